"""Checks of the exercises of chapter 05, gradient descent and momentum. The oracles are eigenvalues and brute force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnzen.exercises import expect_close

__all__ = ["CHECKS", "check_largest_curvature", "check_largest_rate", "check_nesterov_step"]


def check_nesterov_step(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(p, v, g, eta, beta)`: (D,) each -> next point looked ahead to and velocity, by Nesterov's own form."""
    root = rng.normal(size=(size, size))
    hessian = root @ root.T / size
    for eta, beta in ((0.1, 0.9), (0.05, 0.3), (0.2, 0.0)):
        w, velocity = rng.normal(size=size), np.zeros(size)  # Nesterov's form: the iterate itself
        p, v = w, velocity
        for step in range(1, 4):
            gradient = hessian @ (w + beta * velocity)
            velocity = beta * velocity - eta * gradient
            w = w + velocity
            what = f"nesterov_step for {size} parameter(s), eta={eta}, beta={beta}, step {step}: (p, v)"
            expect_close(candidate(p, v, gradient, eta, beta), (w + beta * velocity, velocity), what, rtol=1e-9)
            p, v = w + beta * velocity, velocity


def check_largest_rate(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(H, beta)`: (D, D) and a number -> the learning rate at which heavy ball diverges, by bisection."""
    root = rng.normal(size=(size, size))
    hessian = root @ root.T + 0.1 * np.eye(size)
    for beta in (0.0, 0.5, 0.9):
        low, high = 0.0, 100.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if _radius(hessian, middle, beta) < 1 else (low, middle)
        what = f"largest_rate of a Hessian of shape {hessian.shape} with beta={beta}"
        expect_close(candidate(hessian, beta), high, what, rtol=1e-5)


def check_largest_curvature(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(product, u, steps)`: the map from u to Hu, a start of shape (D,), 300 -> largest eigenvalue of H."""
    basis = np.linalg.qr(rng.normal(size=(size, size)))[0]
    others = rng.uniform(-0.5, 0.5, size)
    for largest, smallest in ((2.0, -1.0), (1.0, -4.0), (-1.0, -3.0), (0.8, -0.5), (0.3, -0.9)):
        values = largest * others / 2 + (-1.5 if largest < 0 else 0.0)
        values[-1] = smallest
        values[0] = largest
        values = values * 10 ** rng.uniform(-2, 3)  # no fixed shift fits every scale
        hessian = basis * values @ basis.T
        what = f"largest_curvature of a Hessian with {size} eigenvalue(s) from {values.min():g} to {values.max():g}"
        answer = candidate(lambda u, hessian=hessian: hessian @ u, rng.normal(size=size), 300)
        expect_close(answer, values.max(), what, rtol=1e-5)


def _radius(hessian: Any, eta: float, beta: float) -> float:
    """Spectral radius of heavy ball's iteration."""
    one = np.eye(len(hessian))
    matrix = np.block([[(1 + beta) * one - eta * hessian, -beta * one], [one, 0 * one]])
    return float(np.abs(np.linalg.eigvals(matrix)).max())


CHECKS = {
    "05/nesterov-step": check_nesterov_step,
    "05/largest-rate": check_largest_rate,
    "05/largest-curvature": check_largest_curvature,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
