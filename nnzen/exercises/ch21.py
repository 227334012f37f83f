"""Checks of chapter 21's coding exercises: a linear model's worst case, the ℓ2 ball, a certified radius."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import optimize, stats

from nnzen.exercises import expect_close

__all__ = ["CHECKS", "check_certified_radius", "check_l2_step", "check_worst_margins"]


def check_worst_margins(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """Smallest margins of a linear model within ball and pixel range, against linear programming."""
    features = int(rng.integers(1, 6))
    x = rng.choice([0.0, 0.05, 0.5, 0.9, 1.0], size=(size, features))
    s = rng.choice([-1, 1], size=size)
    w, b = rng.normal(size=features), float(rng.normal())
    epsilon = float(rng.choice([0.0, 0.1, 0.3, 1.0]))
    expected = []
    for image, sign in zip(x, s, strict=True):
        bounds = np.stack([np.maximum(image - epsilon, 0), np.minimum(image + epsilon, 1)], axis=1)
        expected.append(optimize.linprog(sign * w, bounds=bounds).fun + sign * b)
    what = f"worst_margins(x {x.shape}, s, w, b={b:.3g}, epsilon={epsilon}) for w = {np.round(w, 2).tolist()}"
    expect_close(candidate(x, s, w, b, epsilon), expected, what, rtol=1e-6, atol=1e-7)


def check_l2_step(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """A step along each image's gradient and the way back to the ball in ℓ2, image by image."""
    shape = (size, *(int(n) for n in rng.integers(1, 4, size=3)))
    x = rng.uniform(size=shape)
    moved = x + rng.normal(size=shape) * 0.1
    g = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4, size=(size, 1, 1, 1))
    g[rng.random(size) < 0.2] = 0.0
    alpha, epsilon = float(rng.uniform(0.05, 0.5)), float(rng.uniform(0.1, 0.6))
    expected = np.empty_like(x)
    for i in range(size):
        length = np.sqrt(np.sum(g[i] ** 2))
        change = moved[i] - x[i] + (alpha * g[i] / length if length > 0 else 0.0)
        too_long = np.sqrt(np.sum(change**2)) / epsilon
        expected[i] = x[i] + change / max(1.0, too_long)
    what = f"l2_step(x {shape}, moved, g, alpha={alpha:.3g}, epsilon={epsilon:.3g})"
    expect_close(candidate(x, moved, g, alpha, epsilon), expected, what)


def check_certified_radius(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """Radius of a smoothed classifier from votes, against SciPy's exact binomial test; 0 where it abstains."""
    n = int(rng.integers(1, 60)) * size
    alpha, sigma = float(rng.choice([0.001, 0.05])), float(rng.uniform(0.1, 2.0))
    few = int(rng.integers(0, n + 1))
    for votes in sorted({0, few, n // 2, (3 * n + 3) // 4, n - 1, n}):
        test = stats.binomtest(votes, n, alternative="greater")
        low = test.proportion_ci(confidence_level=1 - alpha, method="exact").low
        expected = sigma * stats.norm.ppf(low) if low > 0.5 else 0.0
        what = f"certified_radius({votes}, {n}, sigma={sigma:.3g}, alpha={alpha})"
        expect_close(candidate(votes, n, sigma, alpha), expected, what, rtol=1e-6, atol=1e-9)


CHECKS = {
    "21/worst-margins": check_worst_margins,
    "21/l2-step": check_l2_step,
    "21/certified-radius": check_certified_radius,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
