"""nnzen.mathematics.losses against SciPy and scikit-learn, at ordinary and at extreme inputs."""

import doctest
import warnings

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.special as ss
from hypothesis import given, settings
from numpy.testing import assert_allclose
from sklearn.metrics import log_loss

from nnzen.mathematics import losses as L

ordinary = st.floats(-30, 30)
extreme = st.floats(-1e300, 1e300)


def vectors(elements, dtype=np.float64):
    return hnp.arrays(dtype, st.integers(1, 12), elements=elements)


def tables(elements):
    return hnp.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(2, 7)), elements=elements)


@st.composite
def rows_and_labels(draw, elements=ordinary):
    logits = draw(tables(elements))
    labels = draw(hnp.arrays(np.int64, len(logits), elements=st.integers(0, logits.shape[1] - 1)))
    return logits, labels


@st.composite
def distributions(draw):
    """Two distributions over the same classes, zeros included."""
    weights = draw(hnp.arrays(np.float64, st.tuples(st.just(2), st.integers(2, 6)), elements=st.floats(0, 1)))
    weights[weights.sum(axis=1) == 0] = 1
    return weights / weights.sum(axis=1, keepdims=True)


def central_difference(function, x, step=1e-5):
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        shift = np.zeros_like(x)
        shift[i] = step
        gradient[i] = (function(x + shift) - function(x - shift)) / (2 * step)
    return gradient


# --- values, against SciPy and scikit-learn


@given(vectors(extreme))
def test_sigmoid_is_scipys_expit(z):
    assert_allclose(L.sigmoid(z), ss.expit(z), rtol=1e-14)
    assert_allclose(L.log_sigmoid(z), ss.log_expit(z), rtol=1e-14)


@given(tables(extreme), st.sampled_from([0, 1, -1]))
def test_softmax_family_is_scipys(z, axis):
    assert_allclose(L.log_sum_exp(z, axis), ss.logsumexp(z, axis=axis), rtol=1e-14, atol=1e-14)
    assert_allclose(L.log_softmax(z, axis), ss.log_softmax(z, axis=axis), rtol=1e-13, atol=1e-14)
    assert_allclose(L.softmax(z, axis), ss.softmax(z, axis=axis), rtol=1e-13, atol=1e-300)


@given(rows_and_labels(st.floats(-15, 15)))  # scikit-learn clips probabilities near 0
def test_softmax_cross_entropy_is_scikit_learns_log_loss(case):
    logits, labels = case
    expected = log_loss(labels, ss.softmax(logits, axis=1), labels=np.arange(logits.shape[1]))
    assert_allclose(L.softmax_cross_entropy(logits, labels), expected, rtol=1e-9, atol=1e-12)


@given(vectors(ordinary), st.data())
def test_binary_cross_entropy_is_its_formula(z, data):
    y = data.draw(hnp.arrays(np.float64, z.shape, elements=st.floats(0, 1)))
    expected = -np.mean(y * ss.log_expit(z) + (1 - y) * ss.log_expit(-z))
    assert_allclose(L.binary_cross_entropy(z, y), expected, rtol=1e-12, atol=1e-12)


def test_binary_cross_entropy_is_scikit_learns_log_loss():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=200), rng.integers(0, 2, 200)
    assert_allclose(L.binary_cross_entropy(z, y), log_loss(y, ss.expit(z)), rtol=1e-12)


@given(distributions())
def test_kl_divergence_is_scipys_rel_entr(pq):
    p, q = pq
    expected = ss.rel_entr(p, q).sum()
    assert_allclose(L.kl_divergence(p, q), max(expected, 0), rtol=1e-9, atol=1e-12)
    assert L.kl_divergence(p, q) >= 0
    assert L.kl_divergence(p, p) == 0


def test_kl_divergence_of_excluded_and_tiny_probabilities():
    assert L.kl_divergence([0.5, 0.5], [1.0, 0.0]) == np.inf
    assert L.kl_divergence([1.0, 0.0], [0.5, 0.5]) == pytest.approx(np.log(2))
    assert L.kl_divergence([0.5, 0.5], [5e-324, 1.0]) == pytest.approx(-np.log(2) - 0.5 * np.log(5e-324))
    assert_allclose(L.kl_divergence(np.eye(3), np.full((3, 3), 1 / 3), axis=0), np.log(3) * np.ones(3))


@given(hnp.arrays(np.float64, (2, 5), elements=ordinary))
def test_squared_error(pair):
    assert L.squared_error(*pair) == pytest.approx(np.square(pair[0] - pair[1]).mean())


# --- relations


@given(vectors(ordinary), st.data())
def test_binary_is_softmax_over_two_classes(z, data):
    y = data.draw(hnp.arrays(np.int64, z.shape, elements=st.integers(0, 1)))
    two = np.stack([np.zeros_like(z), z], axis=1)
    assert_allclose(L.binary_cross_entropy(z, y), L.softmax_cross_entropy(two, y), rtol=1e-12, atol=1e-12)


@given(rows_and_labels(), st.floats(-1e6, 1e6))
def test_a_common_shift_of_the_logits_changes_nothing(case, shift):
    logits, labels = case
    assert_allclose(
        L.softmax_cross_entropy(logits + shift, labels),
        L.softmax_cross_entropy(logits, labels),
        rtol=1e-8,
        atol=1e-8,
    )


@given(rows_and_labels(extreme))
def test_losses_and_gradients_are_finite_everywhere(case):
    logits, labels = case
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss = L.softmax_cross_entropy(logits / len(logits), labels)
        gradient = L.softmax_cross_entropy_gradient(logits, labels)
        binary = L.binary_cross_entropy_gradient(logits[:, 0], labels > 0)
    assert loss >= 0
    assert np.isfinite(loss)
    assert_allclose(gradient.sum(axis=1), 0, atol=1e-12)
    assert np.abs(gradient).max() <= 1 / len(logits)
    assert np.isfinite(binary).all()


# --- gradients, against central differences


@settings(max_examples=30)
@given(rows_and_labels())
def test_softmax_gradient(case):
    logits, labels = case
    expected = central_difference(lambda z: L.softmax_cross_entropy(z, labels), logits)
    assert_allclose(L.softmax_cross_entropy_gradient(logits, labels), expected, atol=1e-7)


@settings(max_examples=30)
@given(vectors(ordinary), st.data())
def test_binary_gradient(z, data):
    y = data.draw(hnp.arrays(np.float64, z.shape, elements=st.floats(0, 1)))
    expected = central_difference(lambda t: L.binary_cross_entropy(t, y), z)
    assert_allclose(L.binary_cross_entropy_gradient(z, y), expected, atol=1e-7)


@settings(max_examples=30)
@given(hnp.arrays(np.float64, (2, 5), elements=ordinary))
def test_squared_error_gradient(pair):
    expected = central_difference(lambda t: L.squared_error(t, pair[1]), pair[0])
    assert_allclose(L.squared_error_gradient(*pair), expected, atol=1e-6)


# --- precision


@given(vectors(st.floats(-(2.0**126), 2.0**126, width=32), np.float32))
def test_float32_stays_float32_and_is_accurate(z):
    for function, oracle in ((L.sigmoid, ss.expit), (L.log_sigmoid, ss.log_expit), (L.softmax, ss.softmax)):
        got = function(z)
        assert got.dtype == np.float32
        assert_allclose(got, oracle(z.astype(np.float64)), rtol=3e-6, atol=1e-37)
    assert L.log_sum_exp(z).dtype == np.float32
    assert L.binary_cross_entropy_gradient(z, np.ones(z.shape, int)).dtype == np.float32


def test_float32_losses_where_the_naive_forms_are_infinite():
    assert L.binary_cross_entropy(np.float32([20.0]), [0]) == pytest.approx(20.0)
    assert L.binary_cross_entropy(np.float32([-120.0]), [1]) == pytest.approx(120.0)
    assert L.softmax_cross_entropy(np.float32([[200.0, -200.0]]), [1]) == pytest.approx(400.0)


# --- what is refused

nan, inf = float("nan"), float("inf")
REFUSED = [
    (lambda: L.sigmoid([0.0, nan]), r"logits must be finite: 1 of 2 .* nan at position \[1\]"),
    (lambda: L.log_softmax([[0.0, inf]]), "logits must be finite"),
    (lambda: L.softmax("ab"), "logits must be numbers"),
    (lambda: L.softmax([1.0, 1j]), "logits must be real numbers, got an array of complex128"),
    (lambda: L.log_sum_exp(1.0), "0 dimensions"),
    (lambda: L.softmax(np.zeros((2, 0))), "no element along axis -1"),
    (lambda: L.softmax([1.0, 2.0], axis=1), "axis is 1"),
    (lambda: L.binary_cross_entropy([], []), "empty"),
    (lambda: L.binary_cross_entropy([0.0, 1.0], [1]), r"same shape, got \(2,\) and \(1,\)"),
    (lambda: L.binary_cross_entropy([0.0], [2]), r"labels must lie in \[0, 1\], got 2"),
    (lambda: L.binary_cross_entropy([0.0], [nan]), "labels must be finite"),
    (lambda: L.softmax_cross_entropy(np.zeros((0, 3)), np.zeros(0, int)), "empty"),
    (lambda: L.softmax_cross_entropy([[0.0], [1.0]], [0, 0]), "one class"),
    (lambda: L.softmax_cross_entropy([[0.0, 1.0]], [2]), "between 0 and 1, got 2"),
    (lambda: L.softmax_cross_entropy([[0.0, 1.0]], [-1]), "between 0 and 1, got -1"),
    (lambda: L.softmax_cross_entropy([[0.0, 1.0]], [0.0]), "must be integers"),
    (lambda: L.softmax_cross_entropy([[0.0, 1.0]], [0, 1]), r"got \(1, 2\) and \(2,\)"),
    (lambda: L.softmax_cross_entropy_gradient([0.0, 1.0], [0]), r"shape \(N, K\)"),
    (lambda: L.squared_error([], []), "empty"),
    (lambda: L.squared_error_gradient([1.0], [inf]), "targets must be finite"),
    (lambda: L.kl_divergence([0.5, 0.4], [0.5, 0.5]), "p must sum to 1 .* 0.9"),
    (lambda: L.kl_divergence([0.5, 0.5], [1.5, -0.5]), "q must hold probabilities, got -0.5"),
    (lambda: L.kl_divergence([], []), "empty"),
    (lambda: L.kl_divergence([0.5, 0.5], [0.2, 0.3, 0.5]), "same shape"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_bad_input_is_refused_with_a_reason(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_labels_of_one_class_only_are_fine():
    assert L.softmax_cross_entropy(np.zeros((3, 2)), [1, 1, 1]) == pytest.approx(np.log(2))
    assert L.binary_cross_entropy(np.zeros(3), np.ones(3)) == pytest.approx(np.log(2))


def test_doctests():
    assert doctest.testmod(L).failed == 0
