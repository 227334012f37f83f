"""Checks of chapter 08's coding exercises: layer arithmetic, convolution by loops, average pooling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.signal import correlate

from nnzen.exercises import expect_close, expect_raises

__all__ = ["CHECKS", "check_average_pool", "check_conv2d", "check_stack"]


def check_stack(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """Output size and receptive field of a stack of layers, by following which pixels each output touches."""
    layers = [
        (int(rng.integers(1, 5)), int(rng.integers(1, 4)), int(rng.integers(0, 3)))
        for _ in range(int(rng.integers(0, 4)))
    ]
    layers = [(k, s, min(p, k // 2)) for k, s, p in layers]
    side = size + 100
    seen = [np.array([i]) for i in range(side)]  # which input pixels each position sees; -1 stands for padding
    for k, s, p in layers:
        nothing = [np.array([-1])] * p
        padded = nothing + seen + nothing
        seen = [np.unique(np.concatenate(padded[i : i + k])) for i in range(0, len(padded) - k + 1, s)]
    middle = seen[len(seen) // 2]
    what = f"stack({side}, {layers})"
    answer = candidate(side, layers)
    expect_close(answer, (len(seen), middle.max() - middle.min() + 1), what, rtol=0, atol=0)
    # A window that is exactly as large as the padded input fits once; one that is larger does not fit.
    expect_close(candidate(size, [(size + 2, 2, 1)]), (1, size + 2), f"stack({size}, [({size + 2}, 2, 1)])", atol=0)
    # In the second case the first layer fits, and the second layer's window would fit the input, but not its output.
    for too_large in ([(size + 3, 1, 1)], [(2, 2, 1), (size // 2 + 2, 1, 0)]):
        expect_raises(ValueError, candidate, size, too_large, what=f"stack({size}, {too_large}), which does not fit,")


def check_conv2d(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """Convolution of one image against SciPy, for every stride up to 3."""
    k_h, k_w, c_in, c_out = (int(n) for n in rng.integers(1, 4, size=4))
    x = rng.normal(size=(k_h + size - 1, k_w + int(rng.integers(0, size + 1)), c_in))
    w = rng.normal(size=(k_h, k_w, c_in, c_out))
    b = rng.normal(size=c_out)
    maps = [correlate(x, w[..., o], mode="valid", method="direct")[..., 0] + b[o] for o in range(c_out)]
    full = np.stack(maps, axis=-1)
    for stride in (1, 2, 3):
        expected = full[::stride, ::stride]
        what = f"conv2d of an image {x.shape} with kernels {w.shape}, stride {stride},"
        expect_close(candidate(x, w, b, stride), expected, what)


def check_average_pool(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """Average pooling of a batch and its gradient, against sums of shifted slices."""
    k = int(rng.integers(1, 4))
    rows, columns = (k * int(rng.integers(1, 4)) for _ in range(2))
    x = rng.normal(size=(size, rows, columns, int(rng.integers(1, 4))))
    pooled = np.sum([x[:, i::k, j::k] for i in range(k) for j in range(k)], axis=0) / k**2
    g = rng.normal(size=pooled.shape)
    gradient = np.empty_like(x)
    for i in range(k):
        for j in range(k):
            gradient[:, i::k, j::k] = g / k**2
    answer = candidate(x, g, k)
    what = f"average_pool(x {x.shape}, g {g.shape}, {k})"
    expect_close(len(answer), 2, f"the number of arrays that {what} returns", atol=0)
    expect_close(answer[0], pooled, f"y of {what}")
    expect_close(answer[1], gradient, f"grad_x of {what}")


CHECKS = {
    "08/stack": check_stack,
    "08/conv2d": check_conv2d,
    "08/average-pool": check_average_pool,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
