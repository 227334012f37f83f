"""Checks of the exercises of chapter 07, learning rate and batch size. The oracles are Keras' rule and brute force."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnzen.exercises import expect_close

__all__ = ["CHECKS", "check_batch_error", "check_noise_scale", "check_warm_up_cosine"]


def check_warm_up_cosine(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(t, eta, U, T)`: updates of any shape -> rates of that shape."""
    U = int(rng.integers(1, size + 1))
    T = U + int(rng.integers(1, 4 * size + 1))
    eta = float(rng.uniform(0.01, 2))

    def rate(t: int) -> float:
        if t < U:
            return eta * (t + 1) / U
        return eta * (1 + math.cos(math.pi * (t - U) / (T - U))) / 2 if t < T else 0.0

    t = np.arange(T + size + 2)
    what = f"warm_up_cosine(0 to {t[-1]}, {eta:.3g}, {U}, {T})"
    expect_close(candidate(t, eta, U, T), [rate(int(k)) for k in t], what, rtol=1e-9, atol=1e-12)
    table = np.array([[0, U, T], [U - 1, T - 1, T + 7]])
    expected = [[rate(int(k)) for k in row] for row in table]
    expect_close(candidate(table, eta, U, T), expected, f"warm_up_cosine of a table, U = {U}, T = {T}", atol=1e-12)


def check_batch_error(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(gradients, B)`: shape (N, D) and a batch size -> a number."""
    N = min(size, 6) + 1
    gradients = rng.normal(size=(N, 3)) + rng.normal(size=3)
    for B in range(1, N + 1):
        mean = gradients.mean(axis=0)
        batches = [gradients[list(rows)].mean(axis=0) for rows in itertools.combinations(range(N), B)]
        expected = np.mean([np.sum((batch - mean) ** 2) for batch in batches])
        expect_close(candidate(gradients, B), expected, f"batch_error of {B} of {N} gradients", rtol=1e-9, atol=1e-12)


def check_noise_scale(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(small, large, b, B)`: squared lengths of either size and the sizes -> a number."""
    b = int(rng.integers(1, 10))
    B = b + int(rng.integers(1, 60))
    G2, V = rng.uniform(0.5, 2, size=2) * np.array([1.0, 30.0])
    small, large = rng.uniform(0, 1, size), rng.uniform(0, 1, size + 2)
    small = small - small.mean() + 1 + G2 + V / b  # lengths that scatter around what the formula says
    large = large - large.mean() + 1 + G2 + V / B
    what = f"noise_scale of {size} and {size + 2} squared lengths, batches of {b} and {B}"
    expect_close(candidate(small, large, b, B), V / (G2 + 1), what, rtol=1e-7)


CHECKS = {
    "07/warm-up-cosine": check_warm_up_cosine,
    "07/batch-error": check_batch_error,
    "07/noise-scale": check_noise_scale,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
