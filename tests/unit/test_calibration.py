"""Temperature scaling against SciPy's search, closed forms and data with a known temperature."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from nnzen.calibration import fit_temperature


def loss(logits, labels, temperature):
    return -log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].mean()


def sample(rng, n, k, scale=1.0, temperature=1.0):
    """Logits, and labels drawn from softmax(logits / temperature)."""
    logits = scale * rng.normal(size=(n, k))
    p = softmax(logits / temperature, axis=1)
    return logits, (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=k - 1)


@given(st.integers(0, 10_000), st.integers(2, 6), st.sampled_from([1e-6, 1.0, 30.0, 1e6]))
def test_agrees_with_a_search_of_the_loss(seed, k, scale):
    logits, labels = sample(np.random.default_rng(seed), 300, k, scale, temperature=scale)
    found = fit_temperature(logits, labels)
    search = minimize_scalar(
        lambda t: loss(logits, labels, np.exp(t)),
        bounds=np.log(found) + np.array([-3, 3]),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert found == pytest.approx(np.exp(search.x), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_recovers_the_temperature_that_labels_were_drawn_with(temperature):
    logits, labels = sample(np.random.default_rng(1), 200_000, 5, 2.0, temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.02)


def test_is_log_odds_for_two_classes_and_one_logit():
    for right in (6, 7, 9):
        labels = [0] * right + [1] * (10 - right)
        expected = 5 / np.log(right / (10 - right))
        assert fit_temperature([[5.0, 0.0]] * 10, labels) == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.floats(-50, 50))
def test_follows_the_scale_of_the_logits_and_ignores_their_level(seed, scale, level):
    logits, labels = sample(np.random.default_rng(seed), 100, 3)
    moved = scale * (logits + level)
    assert fit_temperature(moved, labels) == pytest.approx(scale * fit_temperature(logits, labels), rel=1e-6)


def test_takes_lists_of_float32_and_leaves_them_alone():
    logits, labels = sample(np.random.default_rng(3), 50, 4)
    given_logits = logits.astype(np.float32)
    kept = given_logits.copy()
    assert fit_temperature(given_logits, labels.astype(np.uint8)) == pytest.approx(
        fit_temperature(logits, labels), rel=1e-4
    )
    assert (given_logits == kept).all()


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([[1.0, 2.0]], [1], "all 1 labels have the highest logit"),
        ([[0.0, 0.0], [1.0, 1.0]], [0, 1], "all 2 labels have the highest logit"),
        ([[1.0, 2.0], [2.0, 1.0]], [0, 1], r"exceeds the mean of the classes by -0\.5"),
        ([[1.0, 2.0], [1.0, 2.0]], [0, 1], "exceeds the mean of the classes by -?0 "),
        ([1.0, 2.0], [1], r"logits have shape \(2,\)"),
        ([[1.0], [2.0]], [0, 0], r"logits have shape \(2, 1\)"),
        (np.zeros((0, 3)), np.zeros(0, int), r"logits have shape \(0, 3\)"),
        ([[1.0, 2.0]], [0, 1], r"labels are int64 of shape \(2,\); they must be 1"),
        ([[1.0, 2.0]], [0.0], "labels are float64"),
        ([[1.0, 2.0], [np.nan, 0.0]], [0, 1], r"logits\[1, 0\] is nan"),
        ([[1.0, 2.0], [1.0, 0.0]], [0, 2], r"labels\[1\] is 2; it must be from 0 to 1"),
        ([[1.0, 2.0]], [-1], r"labels\[0\] is -1"),
    ],
)
def test_says_what_is_wrong(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        fit_temperature(logits, labels)
