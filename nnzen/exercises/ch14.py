"""Checks of the exercises of chapter 14, regularization. The oracles are a search, all masks, and a rule in words."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnzen.exercises import expect_close

__all__ = ["CHECKS", "check_dropout_deviation", "check_elastic_net", "check_patience"]


def _lowest(u: float, eta: float, lam1: float, lam2: float) -> float:
    """Minimize the convex function of v by ternary search."""

    def f(v: float) -> float:
        return (v - u) ** 2 / 2 + eta * lam1 * abs(v) + eta * lam2 * v**2 / 2

    low, high = -abs(u) - 1, abs(u) + 1
    for _ in range(200):
        third = (high - low) / 3
        if f(low + third) < f(high - third):
            high -= third
        else:
            low += third
    v = (low + high) / 2
    return v if abs(v) > 1e-6 else 0.0  # the search ends within rounding of a minimum at zero


def check_elastic_net(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(w, g, eta, lam1, lam2)`: arrays of one shape and three numbers -> array of that shape."""
    for shape in ((size,), (2, size)):
        w, g = rng.normal(size=(2, *shape))
        eta, lam1, lam2 = (float(x) for x in rng.uniform(0.2, 2, size=3))
        w.flat[0], g.flat[0] = 0.5 * eta * lam1, 0.0  # lands at zero
        expected = np.array([_lowest(u, eta, lam1, lam2) for u in (w - eta * g).ravel()]).reshape(shape)
        what = f"elastic_step of shape {shape}, eta = {eta:.3g}, lam1 = {lam1:.3g}, lam2 = {lam2:.3g}"
        found: NDArray[Any] = np.asarray(candidate(w.copy(), g.copy(), eta, lam1, lam2), dtype=float)
        expect_close(found, expected, what, rtol=1e-6, atol=1e-6)
        expect_close(found == 0, expected == 0, f"exact zeros of {what}")


def check_dropout_deviation(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(h, W, p)`: shapes (M,) and (M, K), a probability -> shape (K,)."""
    M, K = min(size, 6), 3
    h, W = rng.normal(size=M), rng.normal(size=(M, K))
    p = float(rng.uniform(0.05, 0.95))
    masks = np.array(list(itertools.product((0, 1), repeat=M)))
    chance = np.prod(np.where(masks == 1, 1 - p, p), axis=1)
    logits = (masks / (1 - p) * h) @ W
    mean = chance @ logits
    expected = np.sqrt(chance @ (logits - mean) ** 2)
    expect_close(candidate(h, W, p), expected, f"logit_deviation of {M} units, p = {p:.3g}", rtol=1e-7, atol=1e-9)


def check_patience(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(watched, patience)`: shape (T,), a whole number -> measurements made, place restored."""
    tapes = [
        np.round(rng.normal(size=size) + np.linspace(1, 0, size), 1),  # with ties
        np.arange(size, 0, -1.0),  # never stops
        np.arange(size, dtype=float) + 1,
        np.concatenate([[1.0, 2.0, 3.0], np.zeros(size)]),  # a late minimum
        np.abs(np.arange(2.0 * size) - size / 2),
        np.full(size, 0.5),
    ]
    for watched in tapes:
        for patience in (1, 2, 3):
            made = len(watched)
            for end in range(1, len(watched) + 1):  # the last `patience` are no better than what came before
                if end > patience and watched[end - patience : end].min() >= watched[: end - patience].min():
                    made = end
                    break
            expected = (made, int(np.argmin(watched[:made])))
            what = f"stopped_run({watched.tolist()}, {patience})"
            found = candidate(watched.copy(), patience)
            expect_close(np.asarray(found, dtype=float), np.asarray(expected, dtype=float), what)


CHECKS = {
    "14/elastic-net": check_elastic_net,
    "14/dropout-deviation": check_dropout_deviation,
    "14/patience": check_patience,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
