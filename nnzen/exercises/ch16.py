"""Checks of chapter 16's coding exercises: costs of grouped convolutions, and two windows merged into one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.signal import convolve

from nnzen.exercises import expect_close, expect_raises

__all__ = ["CHECKS", "check_cost", "check_merge"]


def check_cost(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """Parameters and multiplications of a grouped convolution with padding, by listing who is connected to whom."""
    k, stride, groups = int(rng.integers(1, 6)), int(rng.integers(1, 4)), int(rng.integers(1, 5))
    c_in, c_out = (groups * int(n) for n in rng.integers(1, 4, size=2))
    connected = np.kron(np.eye(groups), np.ones((c_in // groups, c_out // groups)))
    positions = len(range(0, size, stride)) ** 2
    weights = k * k * connected.sum()
    what = f"cost(size={size}, k={k}, stride={stride}, c_in={c_in}, c_out={c_out}, groups={groups})"
    answer = candidate(size, k, stride, c_in, c_out, groups)
    expect_close(answer, (weights + c_out, weights * positions), what, rtol=0, atol=0)
    for wrong in ((2 * groups + 1, 2 * (groups + 1)), (2 * (groups + 1), 2 * groups + 1)):
        what = f"cost(size={size}, k={k}, stride={stride}, c_in={wrong[0]}, c_out={wrong[1]}, groups={groups + 1})"
        expect_raises(ValueError, candidate, size, k, stride, *wrong, groups + 1, what=what)


def check_merge(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """One kernel for two convolutions without an activation between them, against SciPy's full convolution."""
    k_1, k_2 = int(rng.integers(1, 5)), int(rng.integers(1, min(size, 4) + 1))
    c_in, c_middle, c_out = (int(n) for n in rng.integers(1, 4, size=3))
    first = rng.normal(size=(k_1, k_1, c_in, c_middle))
    second = rng.normal(size=(k_2, k_2, c_middle, c_out))
    merged = np.zeros((k_1 + k_2 - 1, k_1 + k_2 - 1, c_in, c_out))
    for c, m, o in np.ndindex(c_in, c_middle, c_out):
        merged[:, :, c, o] += convolve(first[:, :, c, m], second[:, :, m, o], method="direct")
    what = f"merge of kernels {first.shape} and {second.shape}"
    expect_close(candidate(first, second), merged, what)


CHECKS = {
    "16/cost": check_cost,
    "16/merge": check_merge,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
