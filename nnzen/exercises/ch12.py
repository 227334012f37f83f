"""Checks of the exercises of chapter 12, augmentation. The oracles are loops over pixels and points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnzen.exercises import expect_close

__all__ = ["CHECKS", "check_about", "check_cutmix"]


def check_cutmix(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(a, b, y_a, y_b, row, column, share)` -> image and label, against a loop over all pixels."""
    height, width = size + 2, size + 1 + int(rng.integers(1, 5))
    a, b = rng.uniform(size=(2, height, width))
    y_a, y_b = np.eye(4)[rng.permutation(4)[:2]]
    for row, column in ((height // 2, width // 2), (0, width - 1), (height - 1, int(rng.integers(width)))):
        share = float(rng.uniform(0.05, 0.95))
        tall, wide = int(height * np.sqrt(1 - share)), int(width * np.sqrt(1 - share))
        expected, kept = a.copy(), 0
        for i, j in np.ndindex(height, width):
            if 0 <= i - (row - tall // 2) < tall and 0 <= j - (column - wide // 2) < wide:
                expected[i, j] = b[i, j]
            else:
                kept += 1
        part = kept / (height * width)
        what = f"cutmix of images of {height} × {width} around ({row}, {column}), share {share:.2f}"
        answer = candidate(a, b, y_a, y_b, row, column, share)
        expect_close(len(answer), 2, f"the number of results of {what}", atol=0)
        expect_close(answer[0], expected, f"the image of {what}")
        expect_close(answer[1], part * y_a + (1 - part) * y_b, f"the label of {what}")


def check_about(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(A, row, column)` -> matrix, by what it does to points."""
    A = rng.normal(size=(2, 3)) * np.array([1, 1, size])
    row, column = rng.normal(size=2) * size
    points = rng.normal(size=(3, 2)) * size
    point = np.array([row, column])
    expected = (points - point) @ A[:, :2].T + A[:, 2] + point
    answer = np.asarray(candidate(A, row, column), dtype=float)
    what = f"about(A, {row:.2f}, {column:.2f})"
    expect_close(np.array(answer.shape), [2, 3], f"the shape of {what}", atol=0)
    expect_close(points @ answer[:, :2].T + answer[:, 2], expected, f"what {what} does to three points")


CHECKS = {
    "12/cutmix": check_cutmix,
    "12/about": check_about,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
