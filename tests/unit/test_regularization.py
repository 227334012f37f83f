"""nnzen.regularization against a search for the minimum, all masks, and early stopping in words."""

import doctest
import math

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar

from nnzen import regularization as reg

numbers = st.floats(-100, 100)
arrays = hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, max_dims=3, max_side=4), elements=numbers)
logs = st.lists(st.one_of(st.integers(-3, 3).map(float), st.just(math.nan)), min_size=1, max_size=30)


@given(numbers, st.floats(0, 50))
def test_soft_threshold_is_the_proximal_minimum(w, threshold):
    def f(v):
        return (v - w) ** 2 / 2 + threshold * abs(v)

    found = float(reg.soft_threshold(w, threshold))
    searched = minimize_scalar(f, bounds=(-101, 101), method="bounded", options={"xatol": 1e-10}).fun
    assert f(found) <= min(searched, f(0.0)) + 1e-9


@given(arrays, st.floats(0, 10), st.floats(0, 10))
def test_two_thresholds_are_their_sum(w, a, b):
    assert_allclose(reg.soft_threshold(reg.soft_threshold(w, a), b), reg.soft_threshold(w, a + b), atol=1e-9)


@given(arrays)
def test_zero_threshold_changes_nothing_and_a_large_one_leaves_nothing(w):
    assert_array_equal(reg.soft_threshold(w, 0), w)
    assert not reg.soft_threshold(w, 101).any()


def test_soft_threshold_keeps_shape_and_type_and_broadcasts():
    w = np.ones((2, 3), dtype=np.float32)
    found = reg.soft_threshold(w, np.array([[0.0], [2.0]]))
    assert found.dtype == np.float32
    assert_array_equal(found, [[1, 1, 1], [0, 0, 0]])
    assert reg.soft_threshold([2, -2], 1).dtype == np.float64


@given(st.floats(0, 0.9), st.integers(0, 2**31))
def test_dropout_mask_has_expectation_one_and_two_values(rate, seed):
    mask = reg.dropout_mask((40, 500), rate, np.random.default_rng(seed))
    assert mask.dtype == np.float32
    assert np.all((mask == 0) | np.isclose(mask, 1 / (1 - rate)))
    deviation = math.sqrt(rate / (1 - rate) / mask.size)
    assert abs(mask.mean(dtype=float) - 1) <= 6 * deviation + 1e-6


def test_dropout_mask_is_a_function_of_its_generator():
    first, second = (reg.dropout_mask((3, 4), 0.5, np.random.default_rng(7)) for _ in range(2))
    assert_array_equal(first, second)


@given(logs, st.integers(1, 5), st.sampled_from([0.0, 0.5, 1.0]))
def test_early_stopping_in_words(log, patience, min_delta):
    """An improvement beats all improvements before it; the run ends `patience` measurements after the last one."""
    best, at, expected = math.inf, -1, len(log)
    for t, loss in enumerate(log):
        if loss < best - min_delta:
            best, at = loss, t
        if t - at == patience:
            expected = t + 1
            break
    rule = reg.EarlyStopping(patience, min_delta)
    made = next((t + 1 for t, loss in enumerate(log) if rule.update(loss)), len(log))
    assert (made, rule.best_at, rule.best) == (expected, at, best)
    assert rule.stopped == (expected < len(log) or len(log) - 1 - at >= patience)


@given(logs, st.integers(1, 5))
def test_early_stopping_stays_stopped_and_marks_improvements(log, patience):
    rule, was = reg.EarlyStopping(patience), False
    for t, loss in enumerate(log):
        now = rule.update(loss)
        assert now or not was
        assert rule.improved == (rule.best_at == t)
        was = now


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reg.soft_threshold([1.0], -0.1), "threshold is"),
        (lambda: reg.soft_threshold([1.0], math.nan), "threshold is"),
        (lambda: reg.soft_threshold([1.0, 2.0], [1.0, 1.0, 1.0]), "broadcast"),
        (lambda: reg.dropout_mask((2,), 1.0, np.random.default_rng(0)), "rate is"),
        (lambda: reg.dropout_mask((2,), -0.1, np.random.default_rng(0)), "rate is"),
        (lambda: reg.EarlyStopping(0), "patience is"),
        (lambda: reg.EarlyStopping(1.5), "patience is"),
        (lambda: reg.EarlyStopping(2, min_delta=-1), "min_delta is"),
        (lambda: reg.EarlyStopping(2, min_delta=math.nan), "min_delta is"),
    ],
)
def test_errors_name_the_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_examples():
    assert doctest.testmod(reg).failed == 0
