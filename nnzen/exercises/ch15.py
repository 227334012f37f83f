"""Checks of the exercises of chapter 15, CIFAR-10. The oracles are a matrix square root and one pixel at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import linalg

from nnzen.exercises import expect_close

__all__ = ["CHECKS", "check_every_view", "check_zca"]


def check_zca(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(p, epsilon)`: shape (m, n) and a number -> (m, n)."""
    n = min(size, 6)
    p = rng.normal(size=(4 * n, n)) @ rng.normal(size=(n, n)) + rng.normal(size=n)
    epsilon = float(rng.uniform(0.01, 0.5))
    root = np.real(linalg.sqrtm(p.T @ p / len(p) + epsilon * np.eye(n)))
    expected = np.linalg.solve(root, p.T).T
    expect_close(
        candidate(p, epsilon), expected, f"zca of {4 * n} × {n}, epsilon = {epsilon:.3g}", rtol=1e-5, atol=1e-6
    )


def check_every_view(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(logits_of, images, r)`: a function, shape (N, S, S, C), a number -> (N, K)."""
    side, r = min(size, 5) + 2, 1 + size % 2
    images = rng.normal(size=(2, side, side, 2))
    weights = rng.normal(size=(side * side * 2, 3))

    def logits_of(x: Any) -> Any:
        return np.tanh(np.reshape(x, (2, -1)) @ weights)

    place = [_inside(k, side) for k in range(-r, side + r)]  # where each row and column reads, borders mirrored
    seen = []
    for i in range(2 * r + 1):
        for j in range(2 * r + 1):
            rows, columns = place[i : i + side], place[j : j + side]
            for order in (columns, columns[::-1]):
                seen.append(logits_of(images[:, rows][:, :, order]))
    expect_close(
        candidate(logits_of, images, r), np.mean(seen, axis=0), f"every_view of side {side}, r = {r}", rtol=1e-6
    )


def _inside(k: int, side: int) -> int:
    return -k if k < 0 else 2 * (side - 1) - k if k >= side else k


CHECKS = {"15/zca": check_zca, "15/every-view": check_every_view}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
