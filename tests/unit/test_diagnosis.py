"""nnzen.diagnosis against simulation, closed forms and loops, and the key of the sabotage lab."""

import doctest

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose
from scipy.special import logsumexp

from nnzen import diagnosis as D
from nnzen import exercises
from nnzen.exercises import ch09

numbers = st.floats(-100, 100)


def test_docstrings():
    assert doctest.testmod(D).failed == 0
    assert doctest.testmod(D).attempted >= 4


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_initial_loss_of_random_logits(classes):
    z = 0.3 * np.random.default_rng(classes).normal(size=(400_000 // classes, classes))
    excess = np.mean(logsumexp(z, axis=1) - z[:, 0]) - np.log(classes)
    assert_allclose(D.initial_loss(classes, 0.09) - np.log(classes), excess, rtol=0.15)


@given(st.integers(2, 1000))
def test_equal_logits_cost_ln_k(classes):
    assert_allclose(D.initial_loss(classes), logsumexp(np.zeros(classes)))


@pytest.mark.parametrize(("classes", "variance"), [(1, 0), (2.0, 0), (True, 0), (10, -1), (10, np.nan), (10, np.inf)])
def test_initial_loss_refuses(classes, variance):
    with pytest.raises(ValueError, match=r"classes|logit_variance"):
        D.initial_loss(classes, variance)


@given(hnp.arrays(float, st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.sampled_from([-1.0, 0.0, 2.0])))
def test_dead_share_by_a_loop(h):
    dead = sum(all(not h[n, j] > 0 for n in range(h.shape[0])) for j in range(h.shape[1]))
    assert D.dead_share(h) == dead / h.shape[1]


def test_a_feature_map_is_dead_if_it_is_dead_everywhere():
    maps = np.zeros((4, 3, 3, 2))
    maps[2, 1, 1, 0] = 0.1
    assert D.dead_share(maps) == 0.5
    assert D.dead_share(np.maximum(maps - 1, 0)) == 1


@pytest.mark.parametrize("h", [np.zeros(3), np.zeros((0, 3)), np.zeros((3, 0)), [[1.0, np.nan]]])
def test_dead_share_refuses(h):
    with pytest.raises(ValueError, match="activations"):
        D.dead_share(h)


@given(hnp.arrays(float, (3, 2), elements=numbers), hnp.arrays(float, (3, 2), elements=numbers), st.floats(0.01, 100))
def test_ratios_scale_with_the_update(w, u, factor):
    w = w + np.sign(w) + (w == 0)
    expected = np.sqrt(sum(v**2 for v in u.flat)) / np.sqrt(sum(v**2 for v in w.flat))
    assert_allclose(D.update_ratios([w, w[0]], [factor * u, -w[0]]), [factor * expected, 1], rtol=1e-9, atol=1e-12)


def test_ratios_of_broken_layers():
    zero, one = np.zeros((2, 2)), np.ones((2, 2))
    found = D.update_ratios([one, zero, zero, one], [zero, one, zero, np.nan * one])
    assert_allclose(found, [0, np.inf, np.nan, np.nan])
    assert D.update_ratios([], []).shape == (0,)


@pytest.mark.parametrize(
    ("weights", "updates", "says"),
    [([np.ones(2)], [], "layers"), ([np.ones(2)], [np.ones(3)], "layer 0"), ([np.ones((2, 1))], [np.ones(2)], "shape")],
)
def test_ratios_refuse(weights, updates, says):
    with pytest.raises(ValueError, match=says):
        D.update_ratios(weights, updates)


def test_the_lab_has_eight_different_mistakes():
    found = [ch09.mistake(case) for case in "ABCDEFGH"]
    assert len(set(found)) == 8
    assert set(found) <= set(ch09.MISTAKES)
    with pytest.raises(ValueError, match="case is 'I'"):
        ch09.mistake("I")


KEY = {case: 1 + ch09.MISTAKES.index(ch09.mistake(case)) for case in "ABCDEFGH"}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (dict.fromkeys("ABCDEFGH", 0), "Undecided: A, B, C, D, E, F, G, H. "),
        ({**KEY, "C": 9}, "Case C is not 'ReLU on the logits': of the one batch some images would be learnt"),
        ({**KEY, "C": 9, "D": 0}, "Undecided: D. "),
        ({**KEY, "D": KEY["C"]}, "Two cases have the same number"),
        ({**KEY, "C": 11}, "case C: 11 is not a number"),
        ({**KEY, "C": "softmax twice"}, "is not a number"),
        ({**KEY, "C": True}, "is not a number"),
        ({"A": 1}, "with the keys"),
        ([1, 2], "with the keys"),
    ],
)
def test_wrong_diagnoses(answer, says):
    result = exercises.judge("09/diagnosis", lambda: answer)
    assert not result.passed
    assert says in result.message
    assert exercises.judge("09/diagnosis", lambda: KEY).passed


@pytest.mark.parametrize(
    "candidate",
    [
        lambda y, K: (np.zeros(K), np.log(K)),
        lambda y, K: (np.log(np.bincount(y, minlength=K) / len(y)), 0.0),
        lambda y, K: [np.zeros(K), np.log(K)],
    ],
)
def test_wrong_biases(candidate):
    assert not exercises.judge("09/initial-bias", candidate).passed


def test_share_of_images_is_not_share_of_units():
    def report(x, weights, biases):
        shares = []
        for w, b in zip(weights, biases, strict=True):
            x = np.maximum(x @ w + b, 0)
            shares.append(np.mean(x == 0))
        return shares

    assert not exercises.judge("09/dead-units", report).passed
