"""Checks of the exercises of chapter 02, cross-entropy and likelihood. The oracles are SciPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from nnzen.exercises import expect_close

__all__ = ["CHECKS", "check_kl_divergence", "check_log_sum_exp", "check_softmax_gradient"]


def check_log_sum_exp(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(z)`: logits of shape (N, K) -> shape (N,)."""
    z = rng.normal(size=(size, 4))
    expect_close(candidate(z), special.logsumexp(z, axis=1), f"log_sum_exp of {size} ordinary row(s)", rtol=1e-9)
    for shift in (-2000.0, 2000.0):
        far = z + shift
        what = f"log_sum_exp of {size} row(s) near {shift:g}"
        expect_close(candidate(far), special.logsumexp(far, axis=1), what, rtol=1e-12)
    wide = np.array([[1000.0, -1000.0], [-1000.0, 0.0]])
    expect_close(candidate(wide), [1000.0, 0.0], "log_sum_exp([[1000, -1000], [-1000, 0]])", rtol=1e-12)
    expect_close(candidate(np.zeros((2, 5))), np.log([5, 5]), "log_sum_exp of zeros, shape (2, 5)", rtol=1e-9)


def check_softmax_gradient(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(z, y)`: logits (N, K) and labels (N,) -> gradient of the mean loss, (N, K)."""
    for scale in (1.0, 500.0):
        z = rng.normal(scale=scale, size=(size, 5))
        y = rng.integers(5, size=size)
        expected = (special.softmax(z, axis=1) - (np.arange(5) == y[:, None])) / size
        what = f"gradient_of_mean_loss for {size} row(s) with logits of size {scale:g}"
        expect_close(candidate(z, y), expected, what, rtol=1e-9, atol=1e-12)
    expect_close(
        candidate(np.zeros((2, 2)), np.array([0, 1])),
        [[-0.25, 0.25], [0.25, -0.25]],
        "gradient_of_mean_loss(zeros of shape (2, 2), [0, 1])",
        rtol=1e-9,
    )


def check_kl_divergence(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(y, p)`: distributions of shape (N, K) -> divergences in nats, shape (N,)."""
    y, p = rng.dirichlet(np.ones(4), size=(2, size))
    expect_close(candidate(y, p), special.rel_entr(y, p).sum(axis=1), f"kl_divergence of {size} row(s)", rtol=1e-9)
    hard = np.eye(4)[rng.integers(4, size=size)]  # one-hot labels: zeros in y
    what = f"kl_divergence of {size} one-hot row(s) y from p without zeros"
    expect_close(candidate(hard, p), special.rel_entr(hard, p).sum(axis=1), what, rtol=1e-9)
    half = np.array([[0.5, 0.5, 0.0]])  # 0 log(0/0) counts as 0
    what = "kl_divergence([[0.5, 0.5, 0]], [[0.25, 0.75, 0]])"
    expect_close(candidate(half, np.array([[0.25, 0.75, 0.0]])), [0.5 * np.log(4 / 3)], what)
    what = "kl_divergence([[0.5, 0.5, 0]], [[1, 0, 0]])"
    expect_close(candidate(half, np.array([[1.0, 0.0, 0.0]])), [np.inf], what)


CHECKS = {
    "02/log-sum-exp": check_log_sum_exp,
    "02/softmax-gradient": check_softmax_gradient,
    "02/kl-divergence": check_kl_divergence,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
