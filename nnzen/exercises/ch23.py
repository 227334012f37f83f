"""Checks of chapter 23's coding exercises: a grid with an exact zero, rounding in whole numbers, equalization."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from nnzen.exercises import Wrong, expect_close

__all__ = ["CHECKS", "check_equalize", "check_grid", "check_requantize"]


def check_grid(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """Scale and zero point of an unsigned min-max grid, against fractions; ranges on one side of 0, and 0 alone."""
    cases = [(0.0, 0.0), (0.5, 2.0), (-3.0, -1.0), (-1.0, 0.0)]
    cases += [(-float(a), float(b)) for a, b in rng.uniform(0.1, 10, size=(size, 2))]
    for low, high in cases:
        bits = int(rng.integers(2, 9))
        below, above = min(Fraction(low), Fraction(0)), max(Fraction(high), Fraction(0))
        steps = 2**bits - 1
        scale = (above - below) / steps if above > below else Fraction(1)
        exact = -below / scale
        if abs(exact % 1 - Fraction(1, 2)) < Fraction(1, 10**6):
            continue  # a tie may be rounded either way
        what = f"grid({low:.4g}, {high:.4g}, bits={bits})"
        expect_close(candidate(low, high, bits), (float(scale), round(exact)), what, rtol=1e-9)


def check_requantize(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """Products with a fixed-point multiplier, halves upwards, against Python's unlimited whole numbers."""
    r = int(rng.integers(0, 12))
    m = int(rng.choice([2**30, int(rng.integers(2**30, 2**31))]))  # a power of two makes ties
    a = rng.integers(-(2**20), 2**20, size=size + 4)
    a[: size // 2] = (1 << r) * (2 * rng.integers(-50, 50, size=size // 2) + 1)  # ties, if m is 2^30
    a[-2:] = 2**31 - 1, -(2**31)
    expected = [(int(k) * m + (1 << (30 + r))) // (1 << (31 + r)) for k in a]
    answer = candidate(a.astype(np.int32), m, r)
    if np.asarray(answer).dtype.kind != "i":
        raise Wrong(f"requantize: got numbers of type {np.asarray(answer).dtype}, expected whole numbers")
    expect_close(answer, expected, f"requantize(a={a.tolist()}, m={m}, r={r})", rtol=0, atol=0)


def check_equalize(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """Two dense layers of equal ranges and unchanged function, unit by unit; units without weights stay."""
    d, units, k = (int(n) for n in rng.integers(1, 5, size=3))
    units += size
    first = rng.normal(size=(d, units)) * 10.0 ** rng.integers(-3, 4, size=units)
    bias, second = rng.normal(size=units), rng.normal(size=(units, k))
    first[:, rng.random(units) < 0.2] = 0
    second[rng.random(units) < 0.2] = 0
    expected: list[Any] = [first.copy(), bias.copy(), second.copy()]
    for unit in range(units):
        r, t = max(abs(w) for w in first[:, unit]), max(abs(w) for w in second[unit])
        if r > 0 and t > 0:
            c = (t / r) ** 0.5
            expected[0][:, unit] *= c
            expected[1][unit] *= c
            expected[2][unit] /= c
    with np.errstate(all="ignore"):
        answer = candidate(first.copy(), bias.copy(), second.copy())
    if not isinstance(answer, tuple | list) or len(answer) != 3:
        raise Wrong(f"equalize: got {type(answer).__name__}, expected three arrays")
    what = f"equalize(first {first.shape}, bias, second {second.shape})"
    for name, got, wanted in zip(("first", "bias", "second"), answer, expected, strict=True):
        expect_close(got, wanted, f"{name} of {what}", rtol=1e-9, atol=1e-12)


CHECKS = {
    "23/grid": check_grid,
    "23/requantize": check_requantize,
    "23/equalize": check_equalize,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
