"""Checks of chapter 17's coding exercises: bit patterns, compensated sums, busy time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from nnzen.exercises import expect_close

__all__ = ["CHECKS", "check_busy", "check_compensated", "check_decode"]

_TYPES = ((5, 10, np.float16), (8, 7, ml_dtypes.bfloat16), (5, 2, ml_dtypes.float8_e5m2), (4, 3, ml_dtypes.float8_e4m3))


def check_decode(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """The number behind a bit pattern, against the types of NumPy and ml_dtypes."""
    for e, m, dtype in _TYPES:
        width = 1 + e + m
        top = 2 ** (e + m) - 2**m  # the pattern of infinity
        edges = [0, 1, 2**m - 1, 2**m, top - 1, top, top + 1]
        patterns = [*edges, *(2 ** (e + m) + edge for edge in edges), *rng.integers(0, 2**width, size=size)]
        for bits in map(int, patterns):
            stored = np.array([bits], dtype=np.uint8 if width == 8 else np.uint16)
            expected = float(stored.view(dtype)[0])
            expect_close(candidate(bits, e, m), expected, f"decode(0b{bits:0{width}b}, {e}, {m})", rtol=0, atol=0)


def check_compensated(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """A sum in one format that is as good as one in a wider format, against an exact sum."""
    for dtype, bits in ((np.float16, 10), (ml_dtypes.bfloat16, 7), (np.float64, 52)):
        ones = np.array([2.0 ** (bits + 1)] + [1.0] * 4 * size, dtype=dtype)  # each is lost when it is added alone
        drawn = rng.uniform(0.5, 1, size=20 * size).astype(dtype)
        for values, name in ((ones, "a large number and ones"), (drawn, "numbers between 0.5 and 1")):
            answer = candidate(values)
            what = f"compensated_sum of {len(values)} values of {np.dtype(dtype).name}, {name},"
            expect_close(getattr(answer, "dtype", None) == dtype, True, f"dtype == {np.dtype(dtype).name} of {what}")
            exact = math.fsum(values.astype(float))
            expect_close(float(answer), exact, what, rtol=2.0**-bits, atol=0)


def check_busy(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """Length of a union of intervals, against counting the milliseconds that lie in one."""
    starts = rng.integers(0, 10 * size + 1, size=size)
    ends = starts + rng.integers(0, 12, size=size)
    cases = [
        list(zip(starts.tolist(), ends.tolist(), strict=True)),
        [(0, 10), (2, 3), (4, 12)],  # one inside another, and one that reaches beyond it
        [(5, 6), (0, 1)],
        [],
    ]
    for spans in cases:
        covered = {tick for start, end in spans for tick in range(start, end)}
        expect_close(candidate(spans), len(covered), f"busy({spans})")


CHECKS = {
    "17/decode": check_decode,
    "17/compensated": check_compensated,
    "17/busy": check_busy,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
