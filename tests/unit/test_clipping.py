"""nnzen.mathematics.clipping against NumPy's norm and the definition of a projection."""

import doctest

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from nnzen.mathematics import clipping as C

arrays = hnp.arrays(
    np.float64, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(-1e3, 1e3).map(lambda v: round(v, 6))
)
lists = st.lists(arrays, max_size=4)


def flat(gradients):
    return np.concatenate([np.ravel(g) for g in gradients]) if len(gradients) else np.zeros(0)


@given(lists)
def test_global_norm_is_numpys(gradients):
    assert_allclose(C.global_norm(gradients), np.linalg.norm(flat(gradients)), rtol=1e-12)


@given(lists, st.floats(1e-3, 1e4))
def test_clipping_by_norm_bounds_the_length_and_keeps_the_direction(gradients, bound):
    clipped = C.clip_by_global_norm(gradients, bound)
    before, after = flat(gradients), flat(clipped.gradients)
    assert [g.shape for g in clipped.gradients] == [g.shape for g in gradients]
    assert_allclose(clipped.norm, np.linalg.norm(before), rtol=1e-12)
    assert np.linalg.norm(after) <= bound * (1 + 1e-12)
    if np.linalg.norm(before) <= bound:
        assert (after == before).all()
    else:
        assert_allclose(after, before / np.linalg.norm(before) * bound, rtol=1e-12, atol=1e-300)


def test_it_is_the_nearest_point_of_the_ball():
    gradient, bound = np.array([3.0, -1.0, 2.0]), 1.5
    start = np.full(3, 0.1)
    ball = {"type": "ineq", "fun": lambda p: bound**2 - p @ p}
    nearest = minimize(lambda p: np.sum((p - gradient) ** 2), start, constraints=[ball], tol=1e-12).x
    assert_allclose(C.clip_by_global_norm([gradient], bound).gradients[0], nearest, atol=1e-5)


@given(lists, st.floats(1e-3, 1e4))
def test_clipping_by_value_bounds_every_entry(gradients, limit):
    clipped = C.clip_by_value(gradients, limit)
    expected = np.minimum(np.maximum(flat(gradients), -limit), limit)
    assert (flat(clipped.gradients) == expected).all()


def test_huge_gradients_do_not_overflow():
    huge = np.array([3e200, 4e200])
    assert_allclose(C.global_norm([huge]), 5e200)
    assert_allclose(C.clip_by_global_norm([huge], 1.0).gradients[0], [0.6, 0.8])
    assert C.global_norm([np.float32([1e30, 0])]) == pytest.approx(1e30)


def test_the_input_is_left_alone():
    gradient = np.array([3.0, 4.0])
    for clipped in (C.clip_by_global_norm([gradient], 10.0), C.clip_by_value([gradient], 10.0)):
        clipped.gradients[0][:] = 0
    assert (gradient == [3, 4]).all()


def test_float32_stays_float32():
    gradients = [np.float32([3, 4])]
    assert C.clip_by_global_norm(gradients, 1.0).gradients[0].dtype == np.float32
    assert C.clip_by_value(gradients, 1.0).gradients[0].dtype == np.float32


@pytest.mark.parametrize("clip", [C.clip_by_global_norm, C.clip_by_value])
@pytest.mark.parametrize("bound", [0, -1.0, np.nan, np.inf, True])
def test_a_bound_must_be_positive(clip, bound):
    with pytest.raises(ValueError, match="finite number above 0"):
        clip([[1.0]], bound)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1j])
def test_a_gradient_that_is_not_a_number_is_refused_by_position(bad):
    with pytest.raises(ValueError, match="gradient 1 must be"):
        C.clip_by_global_norm([[1.0], [2.0, bad]], 1.0)


def test_doctests():
    results = doctest.testmod(C)
    assert results.attempted > 4
    assert results.failed == 0
