"""Checks of the exercises of chapter 03, backpropagation. The oracles are a linear solve and explicit matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnzen.exercises import expect_close

__all__ = ["CHECKS", "check_backward", "check_softmax_vjp", "check_unbroadcast"]


def check_backward(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(edges)`: who was computed from whom, with slopes -> derivative of the last node in every node."""
    cases: list[tuple[list[list[tuple[int, float]]], str]] = [
        ([[]], "backward([[]]), a single node"),
        ([[], [(0, 3.0), (0, 4.0)]], "backward([[], [(0, 3), (0, 4)]]), where node 1 uses node 0 twice"),
        ([[], [(0, 2.0)], [(0, 5.0)], [(1, 1.0), (2, 10.0)]], "backward of a graph in which two roads lead to node 0"),
        ([[], [(0, 2.0)], [(0, 3.0)]], "backward of a graph whose last node does not use node 1"),
    ]
    n = size + 2
    random = [[(int(j), float(rng.normal())) for j in rng.integers(i, size=min(i, 3))] if i else [] for i in range(n)]
    cases.append((random, f"backward of a random graph of {n} nodes"))
    for edges, what in cases:
        slopes = np.zeros((len(edges), len(edges)))  # slopes[i, j]: of node i in node j, directly
        for i, inputs in enumerate(edges):
            for j, slope in inputs:
                slopes[i, j] += slope
        last = np.eye(len(edges))[-1]  # g = last + slopes^T g, solved at once
        expect_close(candidate(edges), np.linalg.solve(np.eye(len(edges)) - slopes.T, last), what)


def check_unbroadcast(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(g, shape)`: gradient in a broadcast array -> gradient in what was broadcast."""
    for shape, to in [
        ((3,), (size, 3)),
        ((size, 1), (size, 3)),
        ((), (2, size)),
        ((1, 3), (2, size, 3)),
        ((2, 1, 4), (2, size, 4)),
        ((1, 1), (3, size)),
        ((2, 3), (2, 3)),
    ]:
        g = rng.normal(size=to)
        # by the definition of the transpose: <g, broadcast(e)> for every unit array e
        units = np.eye(int(np.prod(shape))).reshape(-1, *shape)
        expected = np.array([np.sum(g * np.broadcast_to(e, to)) for e in units]).reshape(shape)
        expect_close(candidate(g, shape), expected, f"the gradient of shape {to} summed to {shape}")


def check_softmax_vjp(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(p, g)`: probabilities and gradients in them, (N, K) -> gradients in the logits, (N, K)."""
    for k in (2, 5):
        p, g = rng.dirichlet(np.ones(k), size=size), rng.normal(size=(size, k))
        expected = np.stack([(np.diag(row) - np.outer(row, row)) @ g_row for row, g_row in zip(p, g, strict=True)])
        expect_close(candidate(p, g), expected, f"softmax_vjp for {size} row(s) and {k} classes")


CHECKS = {
    "03/backward": check_backward,
    "03/unbroadcast": check_unbroadcast,
    "03/softmax-vjp": check_softmax_vjp,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
