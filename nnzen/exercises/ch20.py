"""Checks of chapter 20's coding exercises: integrated gradients, Shapley values, mean permutation importance."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np

from nnzen.attribution import shapley
from nnzen.exercises import Wrong, expect_close

__all__ = ["CHECKS", "check_integrated_gradients", "check_mean_importance", "check_orders"]

_MOST_PLAYERS = 5
_MOST_EXAMPLES = 5  # 120 permutations


def check_integrated_gradients(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """Midpoint sums on a cubic, whose closed form is known for every number of steps, and a single call."""
    n, d, m = (int(k) for k in rng.integers(1, (4, size + 2, 6)))
    x, baseline = rng.normal(size=(2, n, d))
    factors = rng.normal(size=d)
    calls = []

    def gradient(points: Any) -> Any:
        calls.append(np.shape(points))
        return 3 * factors * np.asarray(points) ** 2

    way = x - baseline
    # the midpoints' mean of t² is 1/3 − 1/(12 m²)
    mean_square = baseline**2 + baseline * way + way**2 * (1 / 3 - 1 / (12 * m**2))
    what = f"integrated_gradients of x with shape {x.shape} and m = {m}"
    expect_close(candidate(gradient, x, baseline, m), way * 3 * factors * mean_square, what)
    if calls != [(n * m, d)]:
        raise Wrong(f"{what}: gradient was called with the shapes {calls}; expected one call with {(n * m, d)}")


def check_orders(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """Shapley values of a random game, against the formula by coalitions."""
    players = min(size, _MOST_PLAYERS)
    values = rng.normal(size=2**players)
    answer = candidate(lambda members: values[sum(1 << j for j in members)], players)
    expect_close(answer, shapley(lambda _: values, players), f"shapley_by_orders of a random game, {players} player(s)")


def check_mean_importance(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """The mean over all permutations, one by one, for a model in which the features interact."""
    n, d = min(size, _MOST_EXAMPLES), int(rng.integers(1, 4))
    X, y = rng.normal(size=(n, d)), rng.normal(size=n)
    j = int(rng.integers(d))

    def predict(rows: Any) -> Any:
        return np.sin(rows).sum(axis=1) + rows.prod(axis=1)

    errors = []
    for order in permutations(range(n)):
        changed = X.copy()
        changed[:, j] = X[list(order), j]
        errors.append(np.mean((y - predict(changed)) ** 2))
    expected = np.mean(errors) - np.mean((y - predict(X)) ** 2)
    expect_close(candidate(predict, X, y, j), expected, f"mean_importance of feature {j} of X with shape {X.shape}")


CHECKS = {
    "20/integrated-gradients": check_integrated_gradients,
    "20/orders": check_orders,
    "20/mean-importance": check_mean_importance,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
