"""Checks of chapter 24's coding exercises: the straight-through estimator, one bit a weight, ternary numbers packed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnzen.exercises import Wrong, expect_close

__all__ = ["CHECKS", "check_one_bit", "check_straight_through", "check_ternary"]


def check_straight_through(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """The estimator, weight by weight, for 1 to 8 bits; weights on the ends of the grid are inside."""
    shape = (size, int(rng.integers(1, 4)))
    for bits in (1, 2, 3, int(rng.integers(4, 9))):
        n = {1: 1, 2: 1, 3: 3}.get(bits) or 2**bits // 2 - 1
        s = 2.0 ** rng.integers(-3, 2, size=shape[1])  # so that the ends are exact
        w = rng.uniform(-2, 2, size=shape) * n * s
        w[rng.random(shape) < 0.2] = 0
        ends = rng.random(shape) < 0.3
        w[ends] = (rng.choice([-1, 1], size=shape) * n * s)[ends]
        upstream = rng.normal(size=shape)
        expected = np.zeros(shape)
        for i in range(shape[0]):
            for j in range(shape[1]):
                if -n * s[j] <= w[i, j] <= n * s[j]:
                    expected[i, j] = upstream[i, j]
        what = f"straight_through(upstream, w={w.tolist()}, s={s.tolist()}, bits={bits})"
        expect_close(candidate(upstream.copy(), w.copy(), s.copy(), bits), expected, what, rtol=0, atol=0)


def check_one_bit(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """Signs and steps for kernels of dense layers and convolutions; zeros are positive."""
    for shape in ((size, int(rng.integers(1, 5))), (2, 3, size, int(rng.integers(1, 5)))):
        kernel = rng.normal(size=shape)
        kernel[rng.random(shape) < 0.3] = 0
        answer = candidate(kernel.copy())
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise Wrong(f"one_bit: got {type(answer).__name__}, expected signs and steps")
        signs, steps = answer
        what = f"one_bit(kernel of shape {shape})"
        if np.asarray(signs).dtype.kind != "i":
            raise Wrong(f"signs of {what}: got numbers of type {np.asarray(signs).dtype}, expected whole numbers")
        expect_close(signs, 1 - 2 * (kernel < 0), f"signs of {what}", rtol=0, atol=0)
        columns = [kernel[..., j].ravel() for j in range(shape[-1])]
        expect_close(steps, [sum(abs(w) for w in column) / len(column) for column in columns], f"steps of {what}")


def check_ternary(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """Five ternary numbers in each byte, against a sum over digits; lengths that are no multiples of 5."""
    for length in (size, 5 * size, 5 * size + int(rng.integers(1, 5))):
        k = rng.integers(-1, 2, size=length)
        expected = []
        for first in range(0, length, 5):
            expected.append(sum((int(digit) + 1) * 3**place for place, digit in enumerate(k[first : first + 5])))
        answer = candidate(k.copy())
        what = f"five_in_a_byte({k.tolist()})"
        if np.asarray(answer).dtype != np.uint8:
            raise Wrong(f"{what}: got numbers of type {np.asarray(answer).dtype}, expected uint8")
        expect_close(np.asarray(answer).astype(int), expected, what, rtol=0, atol=0)


CHECKS = {
    "24/straight-through": check_straight_through,
    "24/one-bit": check_one_bit,
    "24/ternary": check_ternary,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
