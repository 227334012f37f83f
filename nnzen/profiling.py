"""What ran when: TensorFlow's own trace of a computation, read as a list of operations.

The profiler writes a file in the format XSpace: *planes* (the host, each accelerator) of *lines* (threads, streams) of
events. Kept are the events that are operations: on an accelerator everything on its streams, on a processor what its
threads did for an operation of the graph (events named ``name:Kind``). Whatever lies between them is time in which the
device waited.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Operation", "operations", "trace"]

_OPERATION = re.compile(r"[^\s:]+:(\w+)")


@dataclass(frozen=True)
class Operation:
    """One operation of a trace.

    Attributes
    ----------
    kind : str
        Such as ``"Conv2D"``; on an accelerator the name of the kernel.
    lane : str
        Thread or stream that it ran on.
    start, end : float
        Seconds since the first operation of the trace began.
    """

    kind: str
    lane: str
    start: float
    end: float


def trace(call: Callable[[], Any]) -> list[Operation]:
    """Run `call` once under TensorFlow's profiler.

    Parameters
    ----------
    call : callable
        Without arguments; call it once before, or the trace shows how it is compiled.

    Returns
    -------
    list of Operation
        In the order of their starts. Empty if no operation ran.

    Raises
    ------
    RuntimeError
        If the profiler left no trace.
    """
    import tensorflow as tf

    from nnzen.runtime import quiet_stderr

    with tempfile.TemporaryDirectory() as folder, quiet_stderr():
        tf.profiler.experimental.start(folder)
        try:
            call()
        finally:
            tf.profiler.experimental.stop()
        files = sorted(Path(folder).rglob("*.xplane.pb"))
        if not files:
            raise RuntimeError("TensorFlow's profiler left no trace; was another one running?")
        return operations(_space(files[0].read_bytes()))


def operations(space: Any) -> list[Operation]:
    """Read the operations out of a trace.

    Parameters
    ----------
    space : XSpace
        The profiler's protocol buffer. If it has a plane of an accelerator, operations of the host are left out: they
        only hand work over.

    Returns
    -------
    list of Operation
        In the order of their starts.
    """
    accelerators = [plane for plane in space.planes if plane.name.startswith("/device:GPU")]
    found = []
    for plane in accelerators or [plane for plane in space.planes if plane.name.startswith("/host:CPU")]:
        for line in plane.lines:
            if accelerators and not line.name.startswith("Stream"):
                continue
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                match = _OPERATION.fullmatch(name)
                if accelerators or match:
                    start = line.timestamp_ns * 1000 + event.offset_ps  # exact: picoseconds since 1970 exceed a float
                    kind = match[1] if match and not accelerators else name
                    found.append((start, start + event.duration_ps, kind, f"{plane.name} {line.name}"))
    found.sort()
    first = found[0][0] if found else 0
    return [Operation(kind, lane, (start - first) / 1e12, (end - first) / 1e12) for start, end, kind, lane in found]


def _space(content: bytes) -> Any:
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    return xplane_pb2.XSpace.FromString(content)
