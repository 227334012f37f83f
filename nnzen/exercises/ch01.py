"""Checks of the exercises of chapter 01, neurons and activations. The oracles are SciPy's and NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats

from nnzen.exercises import Wrong, expect_close

__all__ = ["CHECKS", "check_collapse", "check_gelu_derivative", "check_relu_interpolation"]


def check_gelu_derivative(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(a)`: pre-activations of any shape -> derivatives of the same shape."""
    for a in (rng.normal(scale=2, size=size), rng.normal(size=(size, 3))):
        expected = stats.norm.cdf(a) + a * stats.norm.pdf(a)
        expect_close(candidate(a), expected, f"gelu_derivative of pre-activations of shape {a.shape}", rtol=1e-9)
    expect_close(candidate(np.array([0.0])), [0.5], "gelu_derivative([0])")
    far = np.array([-30.0, 30.0])
    expect_close(candidate(far), [0.0, 1.0], "gelu_derivative([-30, 30])")


def check_collapse(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(layers)`: a list of pairs (W, b) -> one pair (W, b) that computes the same."""
    for depth in (1, 2, 4):
        widths = rng.integers(1, size + 2, size=depth + 1)
        layers = [(rng.normal(size=(m, n)), rng.normal(size=n)) for m, n in pairwise(widths)]
        what = f"of {depth} layer(s) with {', '.join(map(str, widths))} units"
        answer = candidate(layers)
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise Wrong(f"collapse {what} must return a pair (W, b)")
        # the images of the origin and of the unit vectors determine the pair
        h = np.vstack([np.zeros(widths[0]), np.eye(widths[0])])
        for weights, bias in layers:
            h = h @ weights + bias
        expect_close(answer[1], h[0], f"b {what}", rtol=1e-9)
        expect_close(answer[0], h[1:] - h[0], f"W {what}", rtol=1e-9)


def check_relu_interpolation(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(t, f)`: knots and values of shape (M + 1,) -> read-out weights of the M units, shape (M,)."""
    for even in (True, False):
        t = np.arange(size + 1.0) / size if even else np.cumsum(rng.uniform(0.5, 2, size=size + 1))
        f = rng.normal(size=size + 1)
        what = f"relu_interpolation at {size + 1} {'even' if even else 'uneven'} knots"
        weights = np.asarray(candidate(t, f), dtype=float)
        if weights.shape != (size,):
            raise Wrong(f"{what} has shape {weights.shape}, expected ({size},): one weight a unit")
        x = np.linspace(t[0], t[-1], 4 * size + 1)
        network = f[0] + np.maximum(0, x[:, None] - t[:-1]) @ weights
        expect_close(network, np.interp(x, t, f), f"{what}: the network's output", rtol=1e-8, atol=1e-8)


CHECKS = {
    "01/collapse": check_collapse,
    "01/gelu-derivative": check_gelu_derivative,
    "01/relu-interpolation": check_relu_interpolation,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
