"""nnzen.mathematics.activations against SciPy and central differences, at ordinary and at extreme inputs."""

import doctest
import warnings

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.special as ss
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from nnzen.mathematics import activations as A

NAMES = ["sigmoid", "tanh", "relu", "leaky_relu", "gelu"]
ORACLES = {
    "sigmoid": ss.expit,
    "tanh": np.tanh,
    "relu": lambda a: (a + np.abs(a)) / 2,
    "leaky_relu": lambda a: np.where(a < 0, 0.01 * a, a),
    "gelu": lambda a: a * stats.norm.cdf(a),
}
FIRST = {  # derivatives, from other formulas than those of the module
    "sigmoid": stats.logistic.pdf,
    "tanh": lambda a: 1 / np.cosh(a) ** 2,
    "relu": lambda a: np.heaviside(a, 0),
    "leaky_relu": lambda a: 0.01 + 0.99 * np.heaviside(a, 0),
    "gelu": lambda a: stats.norm.cdf(a) + a * stats.norm.pdf(a),
}
ordinary = st.floats(-30, 30)
extreme = st.floats(-1e308, 1e308)


def arrays(elements, dtype=np.float64):
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    return hnp.arrays(dtype, shapes, elements=elements)


def test_the_table_holds_the_five():
    assert list(A.ACTIVATIONS) == NAMES
    assert [activation.name for activation in A.ACTIVATIONS.values()] == NAMES
    with pytest.raises(TypeError):
        A.ACTIVATIONS["relu"] = None


# --- values and derivatives, against SciPy


@pytest.mark.parametrize("name", NAMES)
@given(arrays(ordinary))
def test_values_and_derivatives(name, a):
    activation = A.ACTIVATIONS[name]
    assert_allclose(activation(a), ORACLES[name](a), rtol=1e-13, atol=1e-15)
    assert_allclose(activation.derivative(a), FIRST[name](a), rtol=1e-12, atol=1e-15)
    assert activation(a).shape == activation.derivative(a).shape == a.shape


@pytest.mark.parametrize("name", NAMES)
@given(st.floats(-20, 20).filter(lambda a: abs(a) > 1e-3))
def test_derivative_is_that_of_the_function(name, a):
    activation, h = A.ACTIVATIONS[name], 1e-5
    numerical = (activation(a + h) - activation(a - h)) / (2 * h)
    assert_allclose(activation.derivative(a), numerical, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
@given(arrays(extreme))
def test_finite_and_silent_everywhere(name, a):
    activation = A.ACTIVATIONS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, slope = activation(a), activation.derivative(a)
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()
    assert (slope >= -0.13).all()
    assert (slope <= 1.13).all()


@given(st.floats(-0.999, 0.999), st.floats(0, 0.99))
def test_slope_of_the_leaky_relu(a, slope):
    assert_allclose(A.leaky_relu(a, slope), max(slope * a, a), atol=1e-15)
    assert A.leaky_relu_derivative(a, slope) == (1 if a > 0 else slope)
    assert_array_equal(A.ACTIVATIONS["leaky_relu"]([a], slope=slope), A.leaky_relu([a], slope))


# --- what the chapter's table says


@pytest.mark.parametrize("name", ["relu", "leaky_relu"])
def test_at_the_kink_the_derivative_is_that_of_the_left_side(name):
    derivative = A.ACTIVATIONS[name].derivative
    assert derivative(0.0) == derivative(-1.0) == derivative(-0.0)


@given(ordinary)
def test_symmetries(a):
    assert_allclose(A.sigmoid(a) + A.sigmoid(-a), 1, rtol=1e-15)
    assert_allclose(A.tanh(a), 2 * A.sigmoid(2 * a) - 1, atol=1e-15)
    assert_allclose(A.gelu(a) - A.gelu(-a), a, atol=1e-13)
    assert A.relu(a) - A.relu(-a) == a


def test_tails_keep_their_digits():
    assert_allclose(A.sigmoid_derivative(40.0), np.exp(-40), rtol=1e-12)  # 1 − σ would be 0
    assert_allclose(A.tanh_derivative(30.0), 4 * np.exp(-60), rtol=1e-12)
    assert_allclose(A.gelu(-10.0), -10 * stats.norm.cdf(-10), rtol=1e-12)
    assert A.gelu(-10.0) < 0


def test_extremes_of_gelu():
    a = np.linspace(-3, 3, 600_001)
    assert -0.17005 < A.gelu(a).min() < -0.16995
    assert -0.13 < A.gelu_derivative(a).min() < -0.128
    assert 1.128 < A.gelu_derivative(a).max() < 1.13


# --- precision


@pytest.mark.parametrize("name", NAMES)
@given(arrays(st.floats(-(2.0**126), 2.0**126, width=32), np.float32))
def test_float32_stays_float32_and_is_accurate(name, a):
    activation = A.ACTIVATIONS[name]
    near = np.clip(a, -9, 9)
    for function in (activation, activation.derivative):
        assert function(a).dtype == np.float32
        assert_allclose(function(near), function(near.astype(float)), rtol=2e-5, atol=3e-7)


def test_integers_become_float64():
    for activation in A.ACTIVATIONS.values():
        assert activation([-1, 2]).dtype == activation.derivative([-1, 2]).dtype == np.float64


# --- what is refused


@pytest.mark.parametrize("name", NAMES)
def test_bad_pre_activations_are_refused_with_a_reason(name):
    for function in (A.ACTIVATIONS[name], A.ACTIVATIONS[name].derivative):
        with pytest.raises(ValueError, match="finite"):
            function([0.0, float("nan")])
        with pytest.raises(ValueError, match="must be numbers"):
            function(["a"])
        for bad in (1j, [0.0, 1 + 2j]):
            with pytest.raises(ValueError, match="must be real"):
                function(bad)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_number_gives_a_number(name, dtype):
    for function in (A.ACTIVATIONS[name], A.ACTIVATIONS[name].derivative):
        assert type(function(dtype(2))) is dtype


@pytest.mark.parametrize("slope", [-0.1, 1.0, 2.0, float("nan"), "0.1", None, [0.1], 0.1j])
def test_a_slope_that_does_not_bend_is_refused(slope):
    with pytest.raises(ValueError, match="slope is"):
        A.leaky_relu([1.0], slope)
    with pytest.raises(ValueError, match="slope is"):
        A.leaky_relu_derivative([1.0], slope)


def test_doctests():
    assert doctest.testmod(A).failed == 0
