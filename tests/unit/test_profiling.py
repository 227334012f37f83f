"""nnzen.profiling: traces written by hand, and one that TensorFlow wrote."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from nnzen.profiling import operations, trace


def space(*planes):
    """A trace of planes ``(name, {line: [(event, start, end), ...]})``, in microseconds."""
    made = xplane_pb2.XSpace()
    for name, lines in planes:
        plane = made.planes.add(name=name)
        for line_name, events in lines.items():
            line = plane.lines.add(name=line_name, timestamp_ns=10**18)
            for event, start, end in events:
                number = len(plane.event_metadata) + 1
                plane.event_metadata[number].name = event
                line.events.add(metadata_id=number, offset_ps=start * 10**6, duration_ps=(end - start) * 10**6)
    return made


HOST = (
    "/host:CPU",
    {
        "python": [("train", 0, 90), ("EagerLocalExecute: __inference_step_1", 1, 80)],
        "worker": [
            ("ExecutorState::Process", 0, 80),
            ("cnn/conv/BiasAdd:_FusedConv2D", 5, 10),
            ("adam/Sub_18:Sub", 20, 21),
        ],
        "other": [("cnn/dense/MatMul:MatMul", 4, 8), ("ThreadpoolListener::Record", 4, 5)],
    },
)
DEVICE = ("/device:GPU:0", {"Stream #7(Compute)": [("sgemm_128x64", 30, 34)], "Steps": [("0", 0, 99)]})


def test_operations_of_a_processor():
    found = operations(space(HOST))
    assert [o.kind for o in found] == ["MatMul", "_FusedConv2D", "Sub"]
    assert [o.lane.split()[-1] for o in found] == ["other", "worker", "worker"]
    np.testing.assert_allclose([(o.start, o.end) for o in found], [(0, 4e-6), (1e-6, 6e-6), (16e-6, 17e-6)], atol=1e-12)


def test_an_accelerator_hides_the_host():
    (only,) = operations(space(HOST, DEVICE))
    assert (only.kind, only.start, only.end) == ("sgemm_128x64", 0.0, 4e-6)
    assert only.lane == "/device:GPU:0 Stream #7(Compute)"


def test_nothing_ran():
    assert operations(space()) == operations(space(("/host:CPU", {"python": [("train", 0, 1)]}))) == []


def test_a_trace_of_tensorflow():
    multiply = tf.function(lambda a: tf.tanh(a @ a))
    a = tf.ones((200, 200))
    multiply(a)
    found = trace(lambda: [multiply(a) for _ in range(3)])
    assert sum("MatMul" in o.kind for o in found) == 3
    assert min(o.start for o in found) == 0
    assert all(o.start <= o.end for o in found)
    assert found == sorted(found, key=lambda o: o.start)


def test_an_error_of_the_call_is_passed_on_and_ends_the_trace():
    with pytest.raises(ZeroDivisionError):
        trace(lambda: 1 / 0)
    assert trace(lambda: None) == []
