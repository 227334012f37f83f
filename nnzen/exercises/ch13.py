"""Checks of the exercises of chapter 13, over- and underfitting. The oracles are pairs of runs, SciPy and a search."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from nnzen.exercises import expect_close

__all__ = ["CHECKS", "check_constant_confidence", "check_ensemble_error", "check_shortest_fit"]


def check_ensemble_error(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(f, t, m)`: shapes (R, M, K) and (M, K), m ≥ 1 -> squared error of the average of m runs."""
    R, M, K = int(rng.integers(2, 5)), size, int(rng.integers(1, 4))
    f, t = rng.normal(size=(R, M, K)) + rng.normal(), rng.normal(size=(M, K))
    for m in range(1, R + 1):
        means = [np.mean([f[r] for r in chosen], axis=0) for chosen in itertools.combinations(range(R), m)]
        expected = np.mean([np.sum((mean - t) ** 2) / M for mean in means])  # over all ensembles of m of the runs
        what = f"ensemble_error of {R} runs, {M} inputs, {K} outputs, for m = {m}"
        expect_close(candidate(f, t, m), expected, what, rtol=1e-9, atol=1e-9)
    pairs = list(itertools.combinations(range(R), 2))
    bias = np.mean([np.sum((f[i] - t) * (f[j] - t)) / M for i, j in pairs])  # independent runs: unbiased
    variance = np.mean([np.sum((f[i] - f[j]) ** 2) / (2 * M) for i, j in pairs])
    for m in (R + 1, 50 * R):
        what = f"ensemble_error of {R} runs, {M} inputs, {K} outputs, for m = {m}"
        expect_close(candidate(f, t, m), bias + variance / m, what, rtol=1e-9, atol=1e-9)
    f, t = np.array([[[1.0]], [[-1.0]]]), np.zeros((1, 1))  # the bias comes out negative: no clipping
    expect_close(candidate(f, t, 10), -0.8, "ensemble_error of the outputs 1 and -1, target 0, m = 10", rtol=1e-9)


def check_shortest_fit(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(Phi, T)`: shapes (n, N) with n ≤ N and (n, K) -> shape (N, K)."""
    from scipy.linalg import pinv

    for more in (0, 1, size + 2):
        turns = [np.linalg.qr(rng.normal(size=(k, k)))[0] for k in (size, size + more)]
        Phi = turns[0] * rng.uniform(1, 3, size) @ turns[1][:size]  # singular values from 1 to 3
        T = rng.normal(size=(size, int(rng.integers(1, 4))))
        what = f"shortest_fit of {size} rows and {size + more} features"
        expect_close(candidate(Phi, T), pinv(Phi) @ T, what, rtol=1e-5, atol=1e-6)


def check_constant_confidence(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(e, K)`: error rates of any shape and a number of classes -> nats of that shape."""
    from scipy.optimize import minimize_scalar
    from scipy.special import xlogy

    K = int(rng.integers(2, 12))
    e = np.concatenate([rng.uniform(0, 1, size), [0.0, 1.0]])
    least = []
    for rate in e:
        found = minimize_scalar(
            lambda p, rate=rate: -xlogy(1 - rate, p) - xlogy(rate, (1 - p) / (K - 1)),
            bounds=(0, 1),
            method="bounded",
            options={"xatol": 1e-10},
        )
        least.append(found.fun)
    expect_close(candidate(e, K), least, f"least_loss of {len(e)} error rates, {K} classes", rtol=1e-5, atol=1e-5)
    expect_close(candidate(e[:, None], K), np.array(least)[:, None], "least_loss of a column", rtol=1e-5, atol=1e-5)


CHECKS = {
    "13/ensemble-error": check_ensemble_error,
    "13/shortest-fit": check_shortest_fit,
    "13/constant-confidence": check_constant_confidence,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
