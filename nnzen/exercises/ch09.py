"""The sabotage lab of chapter 09 and the checks of its exercises. Readers of the chapter: the key stands below."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import optimize, special

from nnzen.exercises import Wrong, expect_close

__all__ = ["CHECKS", "MISTAKES", "check_dead_units", "check_diagnosis", "check_initial_bias", "mistake"]

MISTAKES = (
    "labels off by one row",
    "softmax twice",
    "inputs not scaled",
    "dead ReLUs",
    "rate 100 times too large",
    "sorted by class",
    "frozen first layer",
    "validation leak",
    "ReLU on the logits",
    "validation prepared otherwise",
)
"""What can be wrong with a program of chapter 09; the numbers of exercise 1 count from 1."""

_KEY = {"A": 7, "B": 5, "C": 2, "D": 8, "E": 3, "F": 6, "G": 1, "H": 4}
_EXPECTED = (
    "few labels of the batch would agree with the nearest class mean, and one batch would still be learnt",
    "no image of the one batch would get below log(1 + 9/e), though the network learns",
    "the inputs' standard deviation would lie far above 1, and the first loss far above log 10",
    "all units of a layer would be dead, with inputs, first loss and rate as they should be",
    "the rate would lie far above the range test's, with inputs and first loss as they should be",
    "64 images would hold very few classes",
    "a ratio would be exactly zero while the units live",
    "random labels would give a validation accuracy far above one in ten",
    "of the one batch some images would be learnt, and others stay at log 10",
    "the inputs' standard deviation, the smaller of training and validation, would lie far below 1",
)
"""What each of `MISTAKES` would have shown: the argument against a wrong answer, without a word on the right one."""


def mistake(case: str) -> str:
    """Return the name of the mistake of a case of the lab: the solution, so do not print it.

    Parameters
    ----------
    case : {'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H'}

    Returns
    -------
    str
        One of `MISTAKES`.

    Raises
    ------
    ValueError
        If there is no such case.
    """
    if case not in _KEY:
        raise ValueError(f"case is {case!r}; the cases of the lab are {', '.join(_KEY)}")
    return MISTAKES[_KEY[case] - 1]


def check_diagnosis(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate()` -> a dictionary from the letters of all cases to the numbers of their mistakes."""
    answer = candidate()
    if not isinstance(answer, dict) or set(answer) != set(_KEY):
        raise Wrong(f"return a dictionary with the keys {', '.join(_KEY)}, one number for each")
    for case, number in answer.items():
        if (
            isinstance(number, bool)
            or not isinstance(number, int | np.integer)
            or number not in range(len(MISTAKES) + 1)
        ):
            raise Wrong(f"case {case}: {number!r} is not a number from 1 to {len(MISTAKES)} (0: not decided yet)")
    undecided = [case for case in _KEY if answer[case] == 0]
    if undecided:
        raise Wrong(f"Undecided: {', '.join(undecided)}. The check judges all cases together")
    if len(set(answer.values())) < len(_KEY):
        raise Wrong("Two cases have the same number, but no mistake occurs twice")
    for case, number in answer.items():
        if number != _KEY[case]:
            raise Wrong(f"Case {case} is not {MISTAKES[number - 1]!r}: {_EXPECTED[number - 1]}")


def check_initial_bias(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(y, K)`: labels (N,) with every class among them -> biases (K,) with mean 0, and the mean loss."""
    for classes in (2, 2 + size % 5):
        frequent = rng.integers(classes, size=3 * size) % max(1, classes - 1)
        y = rng.permutation(np.concatenate([np.arange(classes), frequent]))
        answer = candidate(y, classes)
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise Wrong("return a pair: the biases and the loss")

        def mean_loss(b: np.ndarray, y: np.ndarray = y) -> float:
            return float(np.mean(special.logsumexp(b) - b[y]))

        lowest = optimize.minimize(mean_loss, np.zeros(classes), tol=1e-12)
        expected = lowest.x - lowest.x.mean()
        what = f"the biases for labels with the counts {np.bincount(y).tolist()}"
        expect_close(answer[0], expected, what, rtol=1e-3, atol=1e-3)
        expect_close(np.mean(answer[0]), 0, f"the mean of {what}", atol=1e-6)
        what = f"the loss for labels with the counts {np.bincount(y).tolist()}"
        expect_close(answer[1], mean_loss(np.asarray(answer[0], dtype=float)), what, atol=1e-6)


def check_dead_units(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(x, weights, biases)`: (N, D), lists of (D_in, D_out) and (D_out,) -> share of dead units by layer."""
    widths = [3, 5, 4, 2][: 2 + size % 3]
    x = rng.normal(size=(size, widths[0]))
    weights = [rng.normal(size=(m, n)) for m, n in pairwise(widths)]
    biases = [rng.normal(scale=2, size=n) for n in widths[1:]]
    _compare_dead(candidate, x, weights, biases, f"report of {size} image(s), widths {widths}")
    weights = [np.eye(3), np.eye(3)]  # the second unit is exactly 0, the third dies in the second layer
    biases = [np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, -5.0])]
    x = np.array([[1.0, 0.0, 2.0], [2.0, -1.0, 0.0]])
    _compare_dead(candidate, x, weights, biases, "report of two images, where one unit is exactly 0")


def _compare_dead(
    candidate: Callable[..., Any], x: np.ndarray, weights: list[np.ndarray], biases: list[np.ndarray], what: str
) -> None:
    rows, shares = x.tolist(), []
    for matrix, bias in zip(weights, biases, strict=True):  # one unit and one image at a time
        units = [
            [max(0.0, sum(v * w for v, w in zip(row, column, strict=True)) + b) for row in rows]
            for column, b in zip(matrix.T.tolist(), bias.tolist(), strict=True)
        ]
        shares.append(sum(max(unit) == 0 for unit in units) / len(units))
        rows = [list(row) for row in zip(*units, strict=True)]
    expect_close(candidate(x, weights, biases), shares, what)


CHECKS = {
    "09/diagnosis": check_diagnosis,
    "09/initial-bias": check_initial_bias,
    "09/dead-units": check_dead_units,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
