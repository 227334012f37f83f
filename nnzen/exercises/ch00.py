"""Checks of chapter 00: the error bar of a difference, how many tries luck needs, three variances."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnzen.exercises import Wrong, expect_close

__all__ = ["CHECKS", "check_best_of_m", "check_same_images", "check_three_variances"]


def check_same_images(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(right_a, right_b)`: difference and its standard error, from a table of counts."""
    n = size + 1
    both = rng.random(n)
    right_a, right_b = (both < 0.7).astype(int), ((both + 0.3 * rng.random(n)) < 0.8).astype(int)
    for a, b in [
        (right_a, right_b),
        (right_a.astype(bool), right_b.astype(bool)),
        (np.ones(n, int), np.ones(n, int)),
        (np.arange(n) % 2, 1 - np.arange(n) % 2),
    ]:
        only_a, only_b = int(np.sum(a > b)), int(np.sum(a < b))
        mean = (only_a - only_b) / n
        variance = (only_a + only_b - n * mean**2) / (n - 1)
        expected = (mean, math.sqrt(max(variance, 0) / n))
        expect_close(_numbers(candidate(a, b), 2), expected, f"difference_on_same_images({a}, {b})", atol=1e-8)


def check_best_of_m(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(k, n, p)`: how many predictors it takes, from the binomial tail summed term by term."""
    n = size
    for p in (float(rng.uniform(0.05, 0.95)), 0.5, 0.9):
        reach = [math.fsum(_binomial(n, p)[k:]) for k in range(n + 1)]
        for k in range(1, n + 1):
            # Rarer events take long to count, and at one half rounding decides.
            if reach[k] > 1e-4 and abs(reach[k] - 0.5) > 1e-9:
                m = next(m for m in itertools.count(1) if 1 - (1 - reach[k]) ** m > 0.5)
                expect_close(candidate(k, n, p), m, f"tries_needed(k={k}, n={n}, p={p:.3g})", rtol=0)
    # One try reaches one half here and does not exceed it; then an event so rare that m = ln 2 / P(k or more).
    expect_close(candidate(1, 1, 0.5), 2, "tries_needed(k=1, n=1, p=0.5)", rtol=0)
    rare = math.fsum(_binomial(100, 0.1)[60:])
    expect_close(candidate(60, 100, 0.1), math.log(2) / rare, "tries_needed(k=60, n=100, p=0.1)", rtol=1e-6)


def check_three_variances(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(c)`: variances of runs, images and rest, from double sums written out."""
    S, n = int(rng.integers(2, 5)), size + 1
    easy = rng.random(n)
    for c in (
        (rng.random((S, n)) < easy).astype(int),
        np.ones((S, n), int),
        np.repeat(np.arange(S)[:, None] % 2, n, axis=1),
        np.repeat(np.arange(n)[None] % 2, S, axis=0),
    ):
        rows = [[float(v) for v in row] for row in c]
        p = sum(map(sum, rows)) / (S * n)
        runs = [sum(row) / n for row in rows]
        images = [sum(row[i] for row in rows) / S for i in range(n)]
        expected = (
            sum((q - p) ** 2 for q in runs) / S,
            sum((q - p) ** 2 for q in images) / n,
            sum((rows[s][i] - runs[s] - images[i] + p) ** 2 for s in range(S) for i in range(n)) / (S * n),
        )
        what = f"three_variances of an array of shape {c.shape} with mean {p:.3g}"
        expect_close(_numbers(candidate(c), 3), expected, what)


CHECKS = {
    "00/same-images": check_same_images,
    "00/best-of-m": check_best_of_m,
    "00/three-variances": check_three_variances,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""


def _binomial(n: int, p: float) -> list[float]:
    """Probabilities of 0 to n right answers."""
    return [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]


def _numbers(answer: Any, count: int) -> list[float]:
    """The answer as a list of `count` numbers."""
    try:
        numbers = [float(x) for x in answer]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != count:
        raise Wrong(f"The answer is {answer!r}; it must be {count} numbers, as in `return first, second`.")
    return numbers
