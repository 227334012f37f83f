"""nnzen.roofline: the two ceilings, and times by a clock that is set by hand."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from nnzen import roofline
from nnzen.costs import Costs, LayerCost
from nnzen.roofline import Roofline, best_times, product_rates, scaling_rates, training_bound

counts = st.floats(0, 1e15)
device = Roofline(peak=100e9, bandwidth=20e9)


@given(counts, counts)
def test_the_slower_of_the_two_sets_the_time(flop, moved):
    seconds = device.seconds(flop, moved)
    assert seconds == pytest.approx(max(flop / 100e9, moved / 20e9))
    assert device.seconds(2 * flop, 2 * moved) == pytest.approx(2 * seconds)


def test_layers_are_counted_one_by_one():
    np.testing.assert_allclose(device.seconds([1e9, 1e9], [0, 1e9]), [0.01, 0.05])
    np.testing.assert_allclose(device.seconds([[1e9], [0]], [0, 1e9]), [[0.01, 0.05], [0, 0.05]])


@given(st.floats(1e-3, 1e4), st.floats(1, 1e12))
def test_the_roof_is_flop_over_time(intensity, moved):
    flop = intensity * moved
    assert device.rate(intensity) == pytest.approx(flop / device.seconds(flop, moved))
    assert (device.rate(intensity) == device.peak) == (intensity >= device.ridge)


def layer(**counts):
    zero = dict.fromkeys(
        ("trainable", "other", "flop", "training_flop", "weight_bytes", "input_bytes", "output_bytes"), 0
    )
    return LayerCost(name="", kind="", shape=(), **(zero | counts))


@pytest.mark.parametrize(("value_bytes", "slope"), [(4, 2 * 5e9), (2, 2 * 2.5e9)])
def test_a_training_step_adds_up_layer_by_layer(value_bytes, slope):
    product = layer(flop=1e9, training_flop=3e9)  # arithmetic alone: 0.03 s an image
    light = layer(input_bytes=2e9, output_bytes=3e9)  # memory alone, forwards and backwards
    weights = layer(
        flop=1.0, training_flop=3.0, trainable=1e9, weight_bytes=4e9
    )  # three passes, and Adam's seven numbers
    for batch in (1, 8):
        expected = batch * 0.03 + batch * slope / 20e9 + (3 * 4e9 + 7 * 4e9) / 20e9
        found = training_bound(Costs("", (product, light, weights)), device, batch=batch, value_bytes=value_bytes)
        assert found == pytest.approx(expected)


@pytest.mark.parametrize("name", ["batch", "value_bytes"])
def test_a_step_takes_a_batch_of_numbers(name):
    with pytest.raises(ValueError, match=f"{name} is 0"):
        training_bound(Costs("", ()), device, **{"batch": 1, name: 0})


@pytest.mark.parametrize("field", ["peak", "bandwidth"])
@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf])
def test_a_ceiling_is_a_positive_number(field, value):
    with pytest.raises(ValueError, match=f"{field} is {value}"):
        Roofline(**{"peak": 1.0, "bandwidth": 1.0, field: value})


@pytest.mark.parametrize("value", [-1.0, np.nan])
def test_counts_are_not_negative(value):
    with pytest.raises(ValueError, match="flop is"):
        device.seconds([1.0, value], 1.0)
    with pytest.raises(ValueError, match="moved is"):
        device.seconds(1.0, value)


def test_the_best_of_several_rounds_after_two_that_do_not_count():
    order, now = [], [0.0]
    lengths = {"a": iter([50.0, 40.0, 3.0, 2.0, 7.0]), "b": iter([1.0, 1.0, 5.0, 6.0, 4.0])}

    def call(name):
        order.append(name)
        now[0] += next(lengths[name])

    found = best_times([lambda: call("a"), lambda: call("b")], repeats=3, clock=lambda: now[0])
    np.testing.assert_array_equal(found, [2.0, 4.0])
    assert "".join(order) == "ab" * 5  # in turn


@pytest.mark.parametrize(("calls", "repeats"), [([], 1), ([print], 0)])
def test_there_must_be_something_to_time(calls, repeats):
    with pytest.raises(ValueError, match=f"there are {len(calls)} calls and repeats is {repeats}"):
        best_times(calls, repeats=repeats)


def test_the_device_has_finished_when_the_clock_is_read(monkeypatch):
    order = []
    monkeypatch.setattr(tf.test.experimental, "sync_devices", lambda: order.append("wait"))
    best_times([lambda: order.append("call")], repeats=1, clock=lambda: order.append("clock") or 0.0)
    assert order == ["call", "call", "wait", "clock", "call", "wait", "clock"]


def timer(seconds):
    """A timer that makes a single call, keeps what it returned, and says what `seconds` says of it."""
    results = []

    def time(calls):
        (call,) = calls
        results.append(call())
        return [seconds(results[-1])]

    return time, results


def test_rates_of_products():
    time, results = timer(lambda product: float(product.shape[0]) ** 3 / 1e10)
    # The fourth takes 0.013 s, so that no larger one is tried.
    assert product_rates(timer=time) == pytest.approx({64: 2e10, 128: 2e10, 256: 2e10, 512: 2e10})
    assert [r.shape[0] for r in results] == [64, 128, 256, 512]
    assert product_rates("bfloat16", largest=127, timer=time) == pytest.approx({64: 2e10})
    assert results[-1].dtype == tf.bfloat16
    with pytest.raises(ValueError, match="number_format is 'float8'; it must be one of float32, tensorfloat32"):
        product_rates("float8")


def test_a_shortened_float32_is_asked_for_and_restored():
    seen = []
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    for name in ("float32", "tensorfloat32"):
        product_rates(
            name,
            largest=64,
            timer=lambda calls: [seen.append(tf.config.experimental.tensor_float_32_execution_enabled()) or 1.0],
        )
    assert seen == [False, True]
    assert tf.config.experimental.tensor_float_32_execution_enabled() == before


def test_rates_of_scaling():
    time, results = timer(lambda y: 2e-9 * 4 * len(y))
    rates = scaling_rates(largest=2**18, timer=time)
    assert rates == pytest.approx({2**16: 1e9, 2**17: 1e9, 2**18: 1e9})
    assert len(results[-1]) == 2**16
    assert float(results[-1][0]) == 2.0


def test_a_busy_machine_does_not_end_the_series_early():
    slow = [2 * roofline._LONG]
    assert max(scaling_rates(timer=lambda calls: slow)) == 2**24
    assert max(product_rates(timer=lambda calls: slow)) == 512
