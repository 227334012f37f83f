"""Checks of chapter 19's coding exercises: calibration error, decisions by costs, and other class shares."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnzen.exercises import expect_close

__all__ = ["CHECKS", "check_decide", "check_equal_mass_ece", "check_under_other_shares"]


def check_equal_mass_ece(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(confidence, right, bins)` against a loop over bins filled one image at a time, ties included."""
    confidence = np.round(rng.uniform(0.1, 1, size), 1)
    right = (rng.random(size) < confidence).astype(float)
    for bins in (1, 3, 2 * size + 1):
        ranked = sorted(range(size), key=lambda i: (confidence[i], i))
        room = [size // bins + (b < size % bins) for b in range(bins)]
        total, begin = [], 0
        for n in room:
            part = ranked[begin : begin + n]
            begin += n
            if part:
                gap = math.fsum(right[i] for i in part) / n - math.fsum(confidence[i] for i in part) / n
                total.append(n / size * abs(gap))
        what = f"equal_mass_ece({confidence}, {right}, {bins})"
        expect_close(candidate(confidence, right, bins), math.fsum(total), what, rtol=1e-9, atol=1e-12)


def check_decide(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(p, costs, ask)` against a comparison of all expected costs, in whole numbers so that ties are ties."""
    k, a = int(rng.integers(2, 5)), int(rng.integers(2, 5))
    eighths = rng.multinomial(8, np.full(k, 1 / k), size=size)
    costs = rng.integers(0, 9, size=(k, a))
    expected = [[sum(int(w) * int(costs[j, b]) for j, w in enumerate(row)) for b in range(a)] for row in eighths]
    middle = sorted(min(row) for row in expected)[size // 2]
    for ask in (0, middle, middle + 1, 100):  # in eighths
        answer = [-1 if ask < min(row) else row.index(min(row)) for row in expected]
        p = eighths / 8
        what = f"decide(p = {p.tolist()}, costs = {costs.tolist()}, ask = {ask / 8})"
        expect_close(candidate(p, costs.astype(float), ask / 8), answer, what, rtol=0, atol=0)


def check_under_other_shares(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(p, old, new)` against counting: known densities at every image, weighted by shares."""
    k = int(rng.integers(2, 5))
    density = rng.uniform(0.1, 2, size=(size, k))
    old, new = rng.dirichlet(np.full(k, 3.0), size=2)
    sparse = np.append(0.0, np.full(k - 1, 1 / (k - 1)))
    p = density * old / (density @ old)[:, None]
    for shares in (new, old, sparse):
        expected = [[d * s / math.fsum(row * shares) for d, s in zip(row, shares, strict=True)] for row in density]
        what = f"under_other_shares(p of shape {p.shape}, {old}, {shares})"
        expect_close(candidate(p, old, shares), expected, what)


CHECKS = {
    "19/equal-mass-ece": check_equal_mass_ece,
    "19/decide": check_decide,
    "19/under-other-shares": check_under_other_shares,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
