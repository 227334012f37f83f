"""Checks of the exercises of chapter 06, adaptive methods. The oracles are weighted sums, loops and SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import polar

from nnzen.exercises import expect_close

__all__ = ["CHECKS", "check_adafactor", "check_adam_step", "check_orthogonal"]


def check_adam_step(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(w, m, v, g, t, eta, beta_1, beta_2, eps)`: (D,) each -> new w, m, v, by weighted sums of the past."""
    for eta, beta_1, beta_2, eps in ((0.1, 0.9, 0.999, 1e-8), (0.3, 0.5, 0.8, 0.1), (0.02, 0.0, 0.9, 1e-3)):
        gradients = rng.normal(size=(4, size)) * 10 ** rng.uniform(-3, 2, size=size)
        gradients[:, 0] = 0.0  # no image has ink here
        w, m, v = rng.normal(size=size), np.zeros(size), np.zeros(size)
        for t in range(1, 5):
            past = np.arange(t - 1, -1, -1)[:, None]
            new_m = (1 - beta_1) * np.sum(beta_1**past * gradients[:t], axis=0)
            new_v = (1 - beta_2) * np.sum(beta_2**past * gradients[:t] ** 2, axis=0)
            new_w = w - eta * (new_m / (1 - beta_1**t)) / (np.sqrt(new_v / (1 - beta_2**t)) + eps)
            answer = candidate(w, m, v, gradients[t - 1], t, eta, beta_1, beta_2, eps)
            what = f"adam_step for {size} parameter(s), t={t}, beta_1={beta_1}, beta_2={beta_2}, eps={eps}: (w, m, v)"
            expect_close(answer, (new_w, new_m, new_v), what, rtol=1e-9, atol=1e-12)
            w, m, v = new_w, new_m, new_v


def check_adafactor(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(row_sums, column_sums)`: (n,), (m,) -> (n, m), entry by entry from the sums of a random matrix."""
    for n, m in ((size, size + 1), (size + 2, size), (size, 1)):
        squares = rng.normal(size=(n, m)) ** 2 * 10 ** rng.uniform(-2, 2)
        if n > 2:
            squares[0] = 0.0  # a row of zeros
        rows, columns = squares.sum(axis=1), squares.sum(axis=0)
        expected = [[float(row) * float(column) / float(squares.sum()) for column in columns] for row in rows]
        expect_close(candidate(rows, columns), expected, f"rebuild for a matrix of shape {(n, m)}", rtol=1e-9)


def check_orthogonal(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(G)`: (n, m) -> U Vᵀ, by SciPy's polar decomposition."""
    for n, m in ((size, size + 2), (size + 2, size), (size, size)):
        rank = min(n, m)
        left, right = (np.linalg.qr(rng.normal(size=(k, rank)))[0] for k in (n, m))
        matrix = left * rng.uniform(0.1, 10, rank) @ right.T
        expect_close(candidate(matrix), polar(matrix)[0], f"orthogonal of a matrix of shape {(n, m)}", atol=1e-7)


CHECKS = {"06/adam-step": check_adam_step, "06/adafactor": check_adafactor, "06/orthogonal": check_orthogonal}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
