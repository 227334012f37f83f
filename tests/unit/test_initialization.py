"""nnzen.mathematics.initialization against SciPy's distributions, linear algebra and numerical integration."""

import doctest

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose
from scipy import integrate, stats

from nnzen.mathematics import initialization as I

shapes = st.lists(st.integers(1, 6), min_size=2, max_size=4).map(tuple)
schemes = {
    I.glorot_normal: lambda f: 2 / (f.fan_in + f.fan_out),
    I.glorot_uniform: lambda f: 2 / (f.fan_in + f.fan_out),
    I.he_normal: lambda f: 2 / f.fan_in,
    I.he_uniform: lambda f: 2 / f.fan_in,
}


@given(shapes)
def test_fans_count_the_weights_of_a_unit(shape):
    found = I.fans(shape)
    weights = np.ones(shape)
    assert found.fan_in == weights[..., 0].size  # all that lead to one output
    assert found.fan_out == weights[..., 0, :].size  # all that leave one input


@pytest.mark.parametrize("scheme", schemes)
@pytest.mark.parametrize("shape", [(200, 150), (3, 3, 40, 50)])
def test_weights_follow_the_distribution(scheme, shape):
    weights = scheme(shape, np.random.default_rng(0))
    assert weights.shape == shape
    assert weights.dtype == np.float64
    scale = np.sqrt(schemes[scheme](I.fans(shape)))
    limit = np.sqrt(3) * scale
    expected = stats.norm(scale=scale) if "normal" in scheme.__name__ else stats.uniform(-limit, 2 * limit)
    assert stats.kstest(weights.ravel(), expected.cdf).pvalue > 1e-3
    assert_allclose(weights.var(), scale**2, rtol=0.03)


@pytest.mark.parametrize("scheme", [*schemes, I.orthogonal])
def test_the_generator_decides(scheme):
    first, again, other = (scheme((4, 3), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@given(shapes, st.floats(0.1, 10), st.integers(0, 99))
def test_orthogonal_rows_or_columns(shape, gain, seed):
    weights = I.orthogonal(shape, np.random.default_rng(seed), gain=gain)
    assert weights.shape == shape
    flat = weights.reshape(-1, shape[-1]) / gain
    gram = flat.T @ flat if len(flat) >= flat.shape[1] else flat @ flat.T
    assert_allclose(gram, np.eye(len(gram)), atol=1e-12)


def test_orthogonal_matrices_are_uniform():
    """Of a uniform rotation of the plane every direction is equally likely, and every second one is a reflection."""
    rng = np.random.default_rng(0)
    draws = np.array([I.orthogonal((2, 2), rng) for _ in range(2000)])
    angles = np.arctan2(draws[:, 1, 0], draws[:, 0, 0])
    assert stats.kstest(angles, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3
    assert abs(np.mean(np.linalg.det(draws) > 0) - 0.5) < 0.05


@pytest.mark.parametrize("c", [-0.9, -0.3, 0.0, 0.5, 0.95])
def test_relu_correlation_is_the_expectation(c):
    """2 E[relu(u) relu(v)] of a pair of normal numbers with correlation c, integrated in polar coordinates."""
    theta = np.arccos(c)  # E over the radius of r² is 2; u = r cos t, v = r cos(t − theta)
    value, _ = integrate.quad(
        lambda t: max(np.cos(t), 0) * max(np.cos(t - theta), 0), -np.pi, np.pi, points=[-np.pi / 2, theta - np.pi / 2]
    )
    assert_allclose(I.relu_correlation(c), 2 * 2 * value / (2 * np.pi), atol=1e-9)


@given(hnp.arrays(np.float64, st.integers(1, 9), elements=st.floats(-1, 1)))
def test_relu_brings_every_pair_closer(c):
    after = I.relu_correlation(c)
    assert after.shape == c.shape
    assert (after >= c - 1e-12).all()
    assert (after >= 0).all()
    assert (after <= 1 + 1e-12).all()


def test_relu_correlation_is_that_of_a_wide_layer():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 30))
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    weights = I.he_normal((30, 200_000), rng)
    a, b = np.maximum(first @ weights, 0), np.maximum(second @ weights, 0)
    assert_allclose(a @ b / np.linalg.norm(a) / np.linalg.norm(b), I.relu_correlation(cosine), atol=0.01)


def test_float32_stays_float32():
    assert I.relu_correlation(np.float32([0.5])).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: I.fans((3,)), ValueError, "two axes or more"),
        (lambda: I.fans(3), ValueError, "must be a sequence"),
        (lambda: I.fans((3, 0)), ValueError, "at least 1, got 0"),
        (lambda: I.fans((3, 2.0)), ValueError, "got 2.0"),
        (lambda: I.fans((3, True)), ValueError, "got True"),
        (lambda: I.he_normal((3, 3), 0), TypeError, "rng is a int"),
        (lambda: I.glorot_uniform((3, 3), np.random), TypeError, "default_rng"),
        (lambda: I.orthogonal((3, 3), np.random.default_rng(0), gain=0), ValueError, "gain is 0"),
        (lambda: I.orthogonal((3, 3), np.random.default_rng(0), gain=np.inf), ValueError, "gain is inf"),
        (lambda: I.relu_correlation([0.0, 1.1]), ValueError, "between -1 and 1, got 1.1"),
        (lambda: I.relu_correlation(np.nan), ValueError, "must be finite"),
    ],
)
def test_bad_input_is_refused_with_a_reason(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_doctests():
    results = doctest.testmod(I)
    assert results.attempted > 5
    assert results.failed == 0
