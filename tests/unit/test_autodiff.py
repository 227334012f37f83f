"""nnzen.mathematics.autodiff against central differences, complex steps, closed forms and its neighbouring modules."""

import doctest

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.special as ss
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal

from nnzen.mathematics import autodiff as ad
from nnzen.mathematics import convolution, losses

ordinary = st.floats(-2, 2)


def slopes(function, *arrays, seed=None):
    """Gradients of `function` in all of its arguments, by the engine."""
    variables = [ad.Variable(a) for a in arrays]
    return ad.gradients(function(*variables), variables, seed=seed)


def numerical(function, *arrays):
    """The same by central differences in every argument."""
    return [
        ad.numerical_gradient(lambda v, i=i: float(ad.value(function(*arrays[:i], v, *arrays[i + 1 :]))), a)
        for i, a in enumerate(arrays)
    ]


@st.composite
def broadcastable(draw):
    """Two arrays whose shapes broadcast, away from 0, and the broadcast shape."""
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    a, b = (rng.uniform(0.5, 2, size=s) * rng.choice([-1, 1], size=s) for s in shapes.input_shapes)
    return a, b, rng.normal(size=shapes.result_shape)


# --- every operation against central differences


@settings(max_examples=60, deadline=None)
@given(broadcastable(), st.sampled_from(["add", "subtract", "multiply", "divide"]))
def test_arithmetic_with_broadcasting(arrays, name):
    a, b, g = arrays
    operation, oracle = getattr(ad, name), getattr(np, name)
    assert_allclose(ad.value(operation(ad.Variable(a), b)), oracle(a, b))

    def loss(a, b):
        return ad.sum(operation(a, b) * g)

    for got, expected, array in zip(slopes(loss, a, b), numerical(loss, a, b), (a, b), strict=True):
        assert got.shape == array.shape
        assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


ELEMENTWISE = {
    "exp": (ad.exp, np.exp, np.exp),
    "log": (lambda x: ad.log(ad.exp(x)), lambda x: x, np.ones_like),
    "tanh": (ad.tanh, np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "sigmoid": (ad.sigmoid, ss.expit, lambda x: ss.expit(x) * ss.expit(-x)),
    "relu": (ad.relu, lambda x: x.clip(0), lambda x: (x > 0).astype(float)),
    "cube": (lambda x: x**3, lambda x: x**3, lambda x: 3 * x**2),
    "constant": (lambda x: x**0, np.ones_like, np.zeros_like),
    "negative": (lambda x: -x, np.negative, lambda x: -np.ones_like(x)),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=2, max_side=4), elements=ordinary), st.integers(0, 99))
def test_elementwise_functions_and_their_derivatives(name, x, seed):
    function, oracle, derivative = ELEMENTWISE[name]
    g = np.random.default_rng(seed).normal(size=x.shape)
    assert_allclose(ad.value(function(x)), oracle(x), rtol=1e-12, atol=1e-12)
    assert_allclose(slopes(function, x, seed=g)[0], g * derivative(x), rtol=1e-9, atol=1e-12)


@given(st.integers(0, 99), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_matmul_is_linear_in_both_factors(seed, m, k, n):
    rng = np.random.default_rng(seed)
    a, b, g = rng.normal(size=(m, k)), rng.normal(size=(k, n)), rng.normal(size=(m, n))
    g_a, g_b = slopes(ad.matmul, a, b, seed=g)
    u, v = rng.normal(size=a.shape), rng.normal(size=b.shape)  # <g, J u> = <J^T g, u>
    assert_allclose(np.sum(g * (u @ b)), np.sum(g_a * u), atol=1e-12)
    assert_allclose(np.sum(g * (a @ v)), np.sum(g_b * v), atol=1e-12)


def test_matmul_sums_over_broadcast_stacks():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 2, 3)), rng.normal(size=(3, 4))

    def loss(a, b):
        return ad.sum(ad.tanh(a @ b))

    for got, expected in zip(slopes(loss, a, b), numerical(loss, a, b), strict=True):
        assert_allclose(got, expected, atol=1e-8)


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", ["sum", "mean"])
def test_reductions(name, axis, keepdims):
    x = np.random.default_rng(1).normal(size=(2, 3, 4))
    reduce, oracle = getattr(ad, name), getattr(np, name)
    assert_allclose(ad.value(reduce(ad.Variable(x), axis, keepdims=keepdims)), oracle(x, axis=axis, keepdims=keepdims))

    def loss(x):
        return ad.sum(reduce(x, axis, keepdims=keepdims) ** 2)

    assert_allclose(slopes(loss, x)[0], numerical(loss, x)[0], atol=1e-7)


def test_shapes_and_indices():
    x = np.random.default_rng(2).normal(size=(2, 3, 4))
    g = np.random.default_rng(3).normal(size=24)
    assert_array_equal(slopes(lambda v: ad.reshape(v, (-1,)), x, seed=g)[0], g.reshape(x.shape))
    for axes in (None, (2, 0, 1), (0, -1, 1)):
        y = x.transpose(axes)
        assert_array_equal(slopes(lambda v, a=axes: ad.transpose(v, a), x, seed=y)[0], x)
    picked = slopes(lambda v: v[[0, 0, 1]], np.zeros(3), seed=np.array([1.0, 10.0, 100.0]))[0]
    assert_array_equal(picked, [11, 100, 0])  # an index that occurs twice adds twice
    assert slopes(lambda v: v[1, 2, 3], x)[0].sum() == 1


def test_losses_and_layers_use_the_rules_of_their_modules():
    rng = np.random.default_rng(4)
    z, y = rng.normal(size=(6, 5)), rng.integers(5, size=6)
    assert_allclose(slopes(lambda z: ad.softmax_cross_entropy(z, y), z)[0], losses.softmax_cross_entropy_gradient(z, y))
    by_hand = lambda z: ad.mean(ad.log_sum_exp(z) - ad.sum(z * np.eye(5)[y], 1))  # noqa: E731
    assert_allclose(slopes(by_hand, z)[0], losses.softmax_cross_entropy_gradient(z, y), atol=1e-15)
    assert_allclose(slopes(lambda z: ad.log_sum_exp(z, 0), z, seed=np.ones(5))[0], ss.softmax(z, axis=0))

    x, w = rng.normal(size=(2, 6, 6, 2)), rng.normal(size=(3, 3, 2, 4))
    g = rng.normal(size=(2, 3, 3, 4))
    got = slopes(lambda x, w: ad.conv2d(x, w, stride=2, padding="same"), x, w, seed=g)
    expected = convolution.conv2d_gradients(x, w, g, stride=2, padding="same")
    assert_allclose(got[0], expected.x)
    assert_allclose(got[1], expected.kernel)

    def loss(x, w):
        return ad.sum(ad.max_pool2d(ad.tanh(ad.conv2d(x, w))) ** 2)

    for a, b in zip(slopes(loss, x, w), numerical(loss, x, w), strict=True):
        assert_allclose(a, b, atol=1e-7)


# --- the engine


def residual(x, w, b, last):
    h = ad.tanh(x @ w + b)
    h = h + ad.tanh(h @ w + b)  # everything is used twice
    return ad.sum(ad.exp(h @ last) * 0.1) + ad.mean(w * w)


@given(st.integers(0, 999))
def test_a_complex_forward_pass_gives_the_same_slope(seed):
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=s) for s in ((3, 4), (4, 4), (4,), (4, 2))]
    directions = [rng.normal(size=a.shape) for a in arrays]
    stepped = residual(*(a + 1e-30j * u for a, u in zip(arrays, directions, strict=True)))
    predicted = sum(np.sum(g * u) for g, u in zip(slopes(residual, *arrays), directions, strict=True))
    assert_allclose(stepped.imag / 1e-30, predicted, rtol=1e-10, atol=1e-10)


def test_a_variable_used_often_collects_all_shares():
    x = ad.Variable(2.0)
    y = x * x * x + x - x / x
    assert_allclose(ad.gradients(y, [x]), [13.0])


def test_doubling_forty_times_walks_each_operation_once():
    y = x = ad.Variable(1.0)
    for _ in range(40):
        y = y + y  # 2^40 paths lead back
    assert ad.gradients(y, [x])[0] == 2.0**40


def test_ten_thousand_layers_do_not_exhaust_the_stack():
    y = x = ad.Variable(1.0)
    for _ in range(10_000):
        y = y + 1.0
    assert ad.gradients(y, [x])[0] == 1


def test_intermediate_results_and_strangers():
    x, stranger = ad.Variable([1.0, 2.0]), ad.Variable(np.ones((2, 2)))
    h = ad.exp(x)
    g_h, g_stranger, g_x = ad.gradients(ad.sum(h * h), [h, stranger, x])
    assert_allclose(g_h, 2 * h.value)
    assert_array_equal(g_stranger, np.zeros((2, 2)))
    assert_allclose(g_x, 2 * np.exp(2 * x.value))
    loss = ad.sum(x)
    assert_array_equal(ad.gradients(loss, [loss])[0], 1)


def test_gradients_change_nothing_and_share_nothing():
    x, y = ad.Variable(np.ones(3)), ad.Variable(np.ones(3))
    seed = np.ones(3)
    first, second = ad.gradients(x + y, [x, y], seed=seed)
    first += 1
    assert_array_equal(second, np.ones(3))
    assert_array_equal(seed, np.ones(3))
    assert_array_equal(x.value, np.ones(3))
    (g,) = ad.gradients(ad.sum(x), [x])
    g *= 2  # a broadcast view would refuse


def test_constants_are_not_recorded():
    assert isinstance(ad.tanh(np.ones(2)), np.ndarray)
    assert isinstance(ad.matmul(np.ones((1, 2)), np.ones((2, 1))), np.ndarray)
    w = ad.Variable(np.ones((2, 1)))
    for y in (np.ones((1, 2)) @ w, 1 - w, 2 * w, 1 / w, np.ones((2, 1)) + w):
        assert isinstance(y, ad.Variable)
        assert len(y.parents) == 1


def test_float32_stays_float32():
    w = ad.Variable(np.ones((2, 2), np.float32))
    loss = ad.softmax_cross_entropy(ad.tanh(w @ w) * 2 + ad.mean(w), [0, 1])
    assert loss.value.dtype == np.float32
    assert ad.gradients(loss, [w])[0].dtype == np.float32


# --- recomputation


def test_checkpoint_gives_the_same_gradients_and_holds_less():
    rng = np.random.default_rng(5)
    x, weights = rng.normal(size=(3, 4)), [ad.Variable(rng.normal(size=(4, 4))) for _ in range(3)]

    def layers(h, *weights):
        for w in weights:
            h = ad.tanh(h @ w)
        return h

    plain, segment = layers(x, *weights), ad.checkpoint(layers, x, *weights)
    assert_array_equal(plain.value, segment.value)
    for a, b in zip(ad.gradients(ad.sum(plain), weights), ad.gradients(ad.sum(segment), weights), strict=True):
        assert_allclose(a, b, rtol=1e-13)
    assert [parent for parent, _ in segment.parents] == weights  # and nothing in between
    for _ in range(2):  # the walk may be repeated
        assert_allclose(ad.gradients(ad.sum(segment), weights[:1])[0], ad.gradients(ad.sum(plain), weights[:1])[0])


def test_checkpoint_of_constants_is_a_constant():
    assert isinstance(ad.checkpoint(ad.tanh, np.ones(2)), np.ndarray)


def test_checkpoint_hands_constants_over_as_they_are():
    z, labels = ad.Variable(np.random.default_rng(6).normal(size=(4, 3))), np.array([0, 2, 1, 1])
    for function, constant in (
        (ad.softmax_cross_entropy, labels),
        (lambda x, i: ad.sum(x[i] ** 2), np.array([0, 0, 3])),
    ):
        loss = ad.checkpoint(function, z, constant)
        assert_array_equal(loss.value, function(z, constant).value)
        assert_array_equal(ad.gradients(loss, [z])[0], ad.gradients(function(z, constant), [z])[0])
    w = ad.Variable(np.ones(2, np.float32))
    scaled = ad.checkpoint(lambda x, c: x * c, w, 0.5)  # a Python number keeps float32
    assert scaled.value.dtype == np.float32
    assert ad.gradients(ad.sum(scaled), [w])[0].dtype == np.float32


def test_a_convolution_computes_both_gradients_once(monkeypatch):
    calls, compute = [], convolution.conv2d_gradients
    monkeypatch.setattr(convolution, "conv2d_gradients", lambda *a, **k: calls.append(1) or compute(*a, **k))
    x, w = ad.Variable(np.ones((1, 3, 3, 1))), ad.Variable(np.ones((2, 2, 1, 1)))
    for inputs in ((x, w), (x.value, w), (x, w.value)):
        y = ad.sum(ad.conv2d(*inputs))
        for _ in range(2):  # the walk may be repeated
            calls.clear()
            g_x, g_w = ad.gradients(y, [x, w])
            assert len(calls) == 1
            assert g_x.sum() == (16 if inputs[0] is x else 0)
            assert g_w.sum() == (16 if inputs[1] is w else 0)


# --- what is refused

REFUSED = [
    (lambda: ad.gradients(ad.Variable([1.0, 2.0]), []), ValueError, r"shape \(2,\): only a single number"),
    (lambda: ad.gradients(ad.Variable(1.0), [], seed=[1.0]), ValueError, r"seed has shape \(1,\), the output \(\)"),
    (lambda: ad.gradients(np.ones(1), []), TypeError, "output is a ndarray, not a Variable"),
    (lambda: ad.gradients(ad.Variable(1.0), [1.0]), TypeError, "wanted is a float, not a Variable"),
    (lambda: ad.Variable("ab"), ValueError, "array of numbers, got an array of"),
    (lambda: ad.Variable([1j]), ValueError, "real numbers, got an array of complex128"),
    (lambda: ad.Variable(1.0) * 1j, ValueError, "real numbers, got an array of complex128"),
    (lambda: list(ad.Variable(3.0)), TypeError, "'Variable' object is not iterable"),
    (lambda: ad.Variable(np.ones(2)) @ np.ones((2, 1)), ValueError, r"got \(2,\) and \(2, 1\)"),
    (lambda: ad.matmul(np.ones((2, 3)), ad.Variable(np.ones((2, 3)))), ValueError, r"got \(2, 3\) and \(2, 3\)"),
    (lambda: ad.Variable(2.0) ** ad.Variable(2.0), TypeError, "exponent is a Variable"),
    (lambda: ad.Variable(2.0) ** "2", TypeError, "exponent is a str; only a constant real number"),
    (lambda: ad.Variable(2.0) ** 1j, TypeError, "exponent is a complex"),
    (lambda: ad.mean(ad.Variable(np.ones((0, 2)))), ValueError, r"shape \(0, 2\) is empty"),
    (lambda: ad.unbroadcast(np.ones((2, 3)), (2,)), ValueError, r"\(2,\) does not broadcast to \(2, 3\)"),
    (lambda: ad.unbroadcast(np.ones(3), (1, 3)), ValueError, "does not broadcast"),
    (lambda: ad.numerical_gradient(np.sum, [1.0], step=0), ValueError, "step is 0; it must be positive"),
    (lambda: ad.Variable(np.ones(2)) + np.ones(3), ValueError, "broadcast"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_bad_input_is_refused_with_a_reason(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_an_empty_batch_has_zero_gradient():
    w = np.ones((3, 2))
    assert_array_equal(slopes(lambda w: ad.sum(np.ones((0, 3)) @ w), w)[0], np.zeros((3, 2)))


def test_doctests():
    assert doctest.testmod(ad).failed == 0
