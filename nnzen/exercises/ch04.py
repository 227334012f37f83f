"""Checks of the exercises of chapter 04, signal propagation. The oracles are counted weights and explicit Jacobians."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnzen.exercises import Wrong, expect_close

__all__ = ["CHECKS", "check_clip", "check_he_scale", "check_layer_norm_gradient"]


def check_he_scale(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(shape)`: shape of a layer's weights -> standard deviation of He weights, by fan-in."""
    side = int(rng.integers(2, 6))
    for shape in [(size, size + 3), (side, side, size, 2 * size + 1), (side, 2, size), (3, 4, 2, size + 1, 7)]:
        into_one_unit = np.ones(shape)[..., 0].size
        expect_close(candidate(shape), (2 / into_one_unit) ** 0.5, f"he_scale({shape})")


def check_layer_norm_gradient(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(x, g, gamma, epsilon)`: (B, D), (B, D), (D,), a number -> gradient in x, (B, D)."""
    for features, epsilon in ((2, 1e-3), (5, 0.5), (size + 2, 0.1)):
        x, g = rng.normal(3, 2, size=(size, features)), rng.normal(size=(size, features))
        gamma = rng.normal(size=features)
        expected = np.stack([_layer_norm_jacobian(row, gamma, epsilon).T @ up for row, up in zip(x, g, strict=True)])
        what = f"layer_norm_gradient for {size} row(s) of {features} features, epsilon={epsilon}"
        expect_close(candidate(x, g, gamma, epsilon), expected, what, rtol=1e-6, atol=1e-8)


def check_clip(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(gradients, c)`: list of arrays, a number -> list of arrays whose common length is at most c."""
    gradients = [rng.normal(size=(size, 3)), rng.normal(size=size), rng.normal(size=(2, size, 2))]
    length = float(np.linalg.norm(np.concatenate([g.ravel() for g in gradients])))
    cases = [(gradients, c) for c in (length / 3, 2 * length, length * 0.9)]
    cases += [([np.zeros(2), np.zeros((1, size))], 1.0), ([np.full(size, 0.5)], 100.0), ([], 1.0)]
    for arrays, c in cases:
        together = float(np.linalg.norm(np.concatenate([np.zeros(1), *(g.ravel() for g in arrays)])))
        what = f"clip of {len(arrays)} arrays of common length {together:.3g}, c={c:.3g}"
        got = candidate(arrays, c)
        if not isinstance(got, (list, tuple)) or len(got) != len(arrays):
            raise Wrong(f"{what}: the answer must be a list of {len(arrays)} arrays")
        for i, (array, answer) in enumerate(zip(arrays, got, strict=True)):
            expect_close(answer, array / max(together, c) * c, f"{what}: array {i}")


def _layer_norm_jacobian(row: Any, gamma: Any, epsilon: float) -> Any:
    """Jacobian of one row, by imaginary steps: exact to rounding, without a formula for it."""

    def normalized(x: Any) -> Any:
        centered = x - x.sum() / len(x)
        return gamma * centered / np.sqrt((centered * centered).sum() / len(x) + epsilon)

    steps = np.eye(len(row)) * 1e-30j
    return np.stack([normalized(row + step).imag / 1e-30 for step in steps], axis=1)


CHECKS = {
    "04/he-scale": check_he_scale,
    "04/layer-norm-gradient": check_layer_norm_gradient,
    "04/clip": check_clip,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
