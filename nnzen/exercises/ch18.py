"""Checks of chapter 18's coding exercises: rates from counts, a printed row, and McNemar's test."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import comb
from typing import Any

import numpy as np

from nnzen.exercises import Wrong, expect_close

__all__ = ["CHECKS", "check_mcnemar", "check_possible", "check_rates"]


def check_rates(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(n)`: a confusion matrix (K, K), true class by called class -> precision, recall and F1, (3, K)."""
    k = min(size, 6) + 1
    n = rng.integers(0, 9, size=(k, k))
    silent, absent = rng.integers(k, size=2)
    n[:, silent] = 0  # never called
    if size % 2:
        n[absent] = 0  # not there
    expected = np.full((3, k), np.nan)
    for c in range(k):
        called = sum(int(n[i, c]) for i in range(k))
        there = sum(int(n[c, j]) for j in range(k))
        for row, (top, bottom) in enumerate(((n[c, c], called), (n[c, c], there), (2 * n[c, c], called + there))):
            if bottom:
                expected[row, c] = top / bottom
    expect_close(candidate(n), expected, f"rates({n.tolist()})")


def check_possible(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(p, r, f, n, total)`: printed hundredths as whole numbers, images of the class and in all -> bool."""
    n, more = int(rng.integers(1, 5 * size + 2)), int(rng.integers(1, 5 * size + 2))
    total = n + more
    t = int(rng.integers(n + 1))
    m = int(rng.integers(max(t, 1), t + more + 1))
    honest = [round(100 * share) for share in (t / m, t / n, 2 * t / (m + n))]
    for place, step in ((0, 0), (0, 1), (1, -1), (2, 1), (2, -1), (2, 3)):
        p, r, f = honest
        printed = [p + step * (place == 0), r + step * (place == 1), f + step * (place == 2)]
        expected = _prints(printed, n, total)
        what = f"possible({', '.join(map(str, printed))}, n={n}, total={total})"
        answer = candidate(*printed, n, total)
        if not isinstance(answer, bool | np.bool_):
            raise Wrong(f"{what}: got {answer!r}, expected True or False")
        expect_close(answer, expected, what, rtol=0, atol=0)


def _prints(printed: list[int], n: int, total: int) -> bool:
    """Whether any table of two by two prints so, by trying all, ties either way."""
    half = Fraction(1, 200)
    for t in range(n + 1):
        for m in range(max(t, 1), total - n + t + 1):
            shares = Fraction(t, m), Fraction(t, n), Fraction(2 * t, m + n)
            if all(abs(share - Fraction(h, 100)) <= half for share, h in zip(shares, printed, strict=True)):
                return True
    return False


def check_mcnemar(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(labels, first, second)`: three arrays (N,) of classes -> only the first, only the second, p."""
    labels = rng.integers(3, size=size)
    first = np.where(rng.random(size) < 0.7, labels, rng.integers(3, size=size))
    second = np.where(rng.random(size) < 0.5, labels, rng.integers(3, size=size))
    one = sum(a == y != b for a, b, y in zip(first, second, labels, strict=True))
    other = sum(b == y != a for a, b, y in zip(first, second, labels, strict=True))
    n = one + other
    tail = sum(comb(n, k) for k in range(n + 1) if abs(2 * k - n) >= abs(one - other))
    what = f"mcnemar({labels.tolist()}, {first.tolist()}, {second.tolist()})"
    expect_close(candidate(labels, first, second), (one, other, tail / 2**n), what)


CHECKS = {
    "18/rates": check_rates,
    "18/possible": check_possible,
    "18/mcnemar": check_mcnemar,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
