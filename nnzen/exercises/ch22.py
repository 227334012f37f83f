"""Checks of chapter 22's coding exercises: exact pruning, a channel that leaves, and Optimal Brain Surgeon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnzen.exercises import expect_close

__all__ = ["CHECKS", "check_surgeon", "check_without_channels", "check_zero_smallest"]


def check_zero_smallest(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """The smallest entries one by one, among many of equal magnitude."""
    shape = (size, *(int(n) for n in rng.integers(1, 4, size=rng.integers(0, 3))))
    w = rng.choice([-1.0, 1.0], size=shape) * rng.choice([0.5, 1.0, 2.0, 3.0], size=shape)
    share = float(rng.choice([0.0, 0.3, 0.5, 0.9, 1.0]))
    expected = w.copy()
    for _ in range(round(share * w.size)):
        left = np.where(expected == 0, np.inf, np.abs(expected))
        expected[np.unravel_index(np.argmin(left), shape)] = 0  # the first of equal ones
    expect_close(candidate(w, share), expected, f"zero_smallest({w.tolist()}, {share})")


def check_without_channels(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """The smaller arrays, index by index."""
    channels, positions, inputs = int(rng.integers(2, 5)), int(size), int(rng.integers(1, 3))
    units = int(rng.integers(1, 5))
    k1, b1 = rng.normal(size=(3, 3, inputs, channels)), rng.normal(size=channels)
    k2 = rng.normal(size=(positions * channels, units))
    gone = rng.permutation(channels)[: rng.integers(0, channels)]
    stay = [c for c in range(channels) if c not in gone]
    rows = [p * channels + c for p in range(positions) for c in stay]
    expected = [np.stack([k1[:, :, :, c] for c in stay], axis=-1), [b1[c] for c in stay], [k2[r] for r in rows]]
    what = f"without_channels(k1 {k1.shape}, b1, k2 {k2.shape}, gone={gone.tolist()})"
    found = candidate(k1, b1, k2, gone)
    for part, name, array in zip(tuple(found), ("k1", "b1", "k2"), expected, strict=True):
        expect_close(part, array, f"{what}: {name}")


def check_surgeon(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """The best change, by solving for the other weights alone."""
    root = rng.normal(size=(size, size))
    h, w, q = root @ root.T + 0.5 * np.eye(size), rng.normal(size=size), int(rng.integers(size))
    others = np.delete(np.arange(size), q)
    expected = np.empty(size)
    expected[q] = -w[q]
    if size > 1:
        expected[others] = np.linalg.solve(h[np.ix_(others, others)], h[others, q] * w[q])
    expect_close(candidate(h, w, q), expected, f"surgeon(H ({size}, {size}), w, q={q})", rtol=1e-6, atol=1e-8)


CHECKS = {
    "22/zero-smallest": check_zero_smallest,
    "22/without-channels": check_without_channels,
    "22/surgeon": check_surgeon,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
