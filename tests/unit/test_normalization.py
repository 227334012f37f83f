"""nnzen.mathematics.normalization against scikit-learn, SciPy, chapter 03's engine and central differences."""

import doctest

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.preprocessing import StandardScaler, normalize

from nnzen.mathematics import autodiff
from nnzen.mathematics import normalization as N

numbers = st.floats(-100, 100).map(lambda v: round(v, 3))
forward = {"batch": N.batch_norm, "layer": N.layer_norm, "rms": N.rms_norm}
backward = {"batch": N.batch_norm_gradients, "layer": N.layer_norm_gradients, "rms": N.rms_norm_gradients}


def tables(min_side=1):
    sides = st.integers(min_side, 6)
    return hnp.arrays(np.float64, st.tuples(sides, sides), elements=numbers)


def example(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(2, 3, size=shape), rng.normal(size=shape), rng.normal(size=shape[-1]), rng.normal(size=shape[-1])


@given(tables(2))
def test_batch_norm_is_scikit_learns_standard_scaler(x):
    spread = x.std(axis=0)
    x = x[:, spread > 1e-3]
    if x.size:
        assert_allclose(N.batch_norm(x, epsilon=0.0), StandardScaler().fit_transform(x), atol=1e-9)


@given(tables(2))
def test_layer_norm_is_scipys_zscore(x):
    x = x[x.std(axis=1) > 1e-3]
    if x.size:
        assert_allclose(N.layer_norm(x, epsilon=0.0), stats.zscore(x, axis=1), atol=1e-9)


@given(tables())
def test_rms_norm_is_a_unit_vector_times_the_root_of_the_features(x):
    expected = normalize(x) * np.sqrt(x.shape[1])
    assert_allclose(N.rms_norm(x, epsilon=0.0), expected, atol=1e-9)


@pytest.mark.parametrize("kind", forward)
@pytest.mark.parametrize("shape", [(5, 4), (1, 4), (5, 1), (3, 2, 2, 4)])
def test_gradients_are_those_of_central_differences(kind, shape):
    x, g, gain, shift = example(shape)
    keywords = {"epsilon": 0.1}
    arguments = (gain,) if kind == "rms" else (gain, shift)
    got = backward[kind](x, g, gain, **keywords)

    def loss(x, *arguments):
        return float(np.sum(g * forward[kind](x, *arguments, **keywords)))

    assert_allclose(got.x, autodiff.numerical_gradient(lambda v: loss(v, *arguments), x), atol=1e-7)
    numerical = autodiff.numerical_gradient(lambda v: loss(x, v, *arguments[1:]), gain)
    assert_allclose(got.gain, numerical, atol=1e-7)
    assert_allclose(got.shift, g.sum(axis=tuple(range(g.ndim - 1))), atol=1e-12)


@pytest.mark.parametrize(("kind", "axis"), [("batch", 0), ("layer", 1), ("rms", 1)])
def test_gradients_are_those_of_the_engine(kind, axis):
    x, g, gain, _ = example((6, 5), seed=3)
    v = autodiff.Variable(x)
    centered = v if kind == "rms" else v - autodiff.mean(v, axis=axis, keepdims=True)
    divisor = (autodiff.mean(centered * centered, axis=axis, keepdims=True) + 0.01) ** 0.5
    (expected,) = autodiff.gradients(autodiff.sum(centered / divisor * gain * g), [v])
    assert_allclose(backward[kind](x, g, gain, epsilon=0.01).x, expected, atol=1e-12)


@given(tables(2), tables(2), st.sampled_from(["batch", "layer", "rms"]))
def test_gradients_are_orthogonal_to_what_is_normalized_away(x, g, kind):
    g = np.resize(g, x.shape)
    axis = 0 if kind == "batch" else 1
    enough = x.std(axis=axis) > 0.1
    x, g = (x[:, enough], g[:, enough]) if kind == "batch" else (x[enough], g[enough])
    if x.size == 0:
        return
    g_x = backward[kind](x, g, epsilon=0.0).x
    size = 1e-9 * (1 + np.abs(x).max() * np.abs(g_x).max())
    standardized = forward[kind](x, epsilon=0.0)
    assert_allclose(np.sum(g_x * standardized, axis=axis), 0, atol=size)
    if kind != "rms":
        assert_allclose(g_x.sum(axis=axis), 0, atol=size)


@given(tables(2), st.floats(0.01, 100), st.floats(-50, 50))
def test_scale_and_constant_are_normalized_away(x, scale, constant):
    x = x[:, x.std(axis=0) > 0.1]
    if x.size:
        assert_allclose(N.batch_norm(scale * x + constant, epsilon=0.0), N.batch_norm(x, epsilon=0.0), atol=1e-6)


def test_a_batch_of_one_becomes_the_shift():
    x, _, gain, shift = example((1, 4))
    assert_allclose(N.batch_norm(x, gain, shift), [shift])


@pytest.mark.parametrize("kind", forward)
def test_zeros_without_epsilon_stay_zeros(kind):
    assert (forward[kind](np.zeros((3, 2)), epsilon=0.0) == 0).all()
    assert np.isfinite(backward[kind](np.zeros((3, 2)), np.ones((3, 2)), epsilon=0.0).x).all()


def test_inference_with_the_statistics_of_the_batch_is_training():
    x, _, gain, shift = example((7, 4))
    got = N.batch_norm_inference(x, x.mean(axis=0), x.var(axis=0), gain, shift)
    assert_allclose(got, N.batch_norm(x, gain, shift))
    one_by_one = [N.batch_norm_inference(row[None], x.mean(axis=0), x.var(axis=0), gain, shift)[0] for row in x]
    assert_allclose(one_by_one, got)


@pytest.mark.parametrize("kind", forward)
def test_float32_stays_float32(kind):
    x = np.float32([[1, 2], [3, 5]])
    assert forward[kind](x, [1.0, 2.0]).dtype == np.float32
    assert backward[kind](x, np.ones((2, 2))).x.dtype == np.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: N.batch_norm([1.0, 2.0]), r"x has shape \(2,\)"),
        (lambda: N.layer_norm(np.ones((0, 3))), "neither of them 0"),
        (lambda: N.rms_norm([[np.nan, 1.0]]), "x must be finite"),
        (lambda: N.batch_norm([[1.0, 2.0]], gain=[1.0]), "gain must have one number for each of 2 features"),
        (lambda: N.batch_norm([[1.0, 2.0]], shift=[[1.0, 2.0]]), "shift must have one number"),
        (lambda: N.layer_norm([[1.0, 2.0]], epsilon=-1), "epsilon is -1"),
        (lambda: N.layer_norm_gradients([[1.0, 2.0]], [[1.0, 2.0, 3.0]]), "grad_output must have the shape of x"),
        (lambda: N.batch_norm_gradients([[1.0, 2.0]], [[np.inf, 2.0]]), "grad_output must be finite"),
        (lambda: N.batch_norm_inference([[1.0]], mean=[0.0], variance=[-1.0]), "variance must not be negative, got -1"),
        (lambda: N.batch_norm_inference([[1.0]], [0.0], [0.0], epsilon=0.0), "cannot be divided"),
        (lambda: N.batch_norm_inference([[1.0]], [0.0, 1.0], [1.0]), "mean must have one number"),
    ],
)
def test_bad_input_is_refused_with_a_reason(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_doctests():
    results = doctest.testmod(N)
    assert results.attempted > 6
    assert results.failed == 0
