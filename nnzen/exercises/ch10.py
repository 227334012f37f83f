"""Checks of the exercises of chapter 10, data. The oracles are NumPy's corrcoef and loops over examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnzen.exercises import Wrong, expect_close

__all__ = ["CHECKS", "check_grouped_folds", "check_out_of_fold", "check_overlap"]


def check_overlap(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(first, second, threshold)`: images (N, H, W) and (M, H, W) -> positions, shape (pairs, 2)."""
    first = rng.integers(20, 200, size=(size, 3, 4)).astype(float)
    second = rng.integers(20, 200, size=(size + 2, 3, 4)).astype(float)
    for j in range(size):  # copies, brighter and with noise of several sizes
        second[j] = first[-1 - j // 2] * rng.uniform(0.3, 0.9) + 10 + rng.normal(size=(3, 4)) * 10.0 ** (j % 4 - 1)
    second[-1] = 255.0 - first[0]  # a negative: correlation -1
    second[size // 2] = 7.0  # one grey level
    for threshold in (0.5, 0.95, 0.999):
        expected = [
            (i, j)
            for i in range(len(first))
            for j in range(len(second))
            if second[j].std() > 0 and np.corrcoef(first[i].ravel(), second[j].ravel())[0, 1] >= threshold
        ]
        got = np.asarray(candidate(first, second, threshold))
        what = f"overlap of {len(first)} with {len(second)} images at {threshold}"
        expect_close(got.reshape(-1, 2) if got.size == 0 else got, np.reshape(expected, (-1, 2)), what)
    pictures = np.stack([first[0], np.full((3, 4), 9.0)])
    got = np.asarray(candidate(pictures, pictures[::-1], 0.9))
    expect_close(got, [[0, 1]], "overlap([image, black], [black, image], 0.9)")


def check_out_of_fold(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(x, y, fold, k)`: inputs (N, D), labels 0 or 1, folds (N,) -> predictions (N,)."""
    n = 4 * (size + 2)
    folds = min(size + 1, 4)
    y, fold = np.arange(n) % 2, rng.permutation(np.arange(n) // 2 % folds)
    x = rng.normal(size=(n, 6)) * np.array([1.0, 20.0, 0.05, 3.0, 1.0, 1.0]) + rng.normal(size=6)
    x[:, :3] += 0.8 * y[:, None] * np.array([1.0, 20.0, 0.05])
    x[fold == 0] *= rng.uniform(0.5, 3)  # a fold of another scale: its statistics must not matter
    for k in (1, 2, 5):
        expected = np.zeros(n)
        for i in range(n):
            others = [j for j in range(n) if fold[j] != fold[i]]
            mean, deviation = np.mean(x[others], axis=0), np.std(x[others], axis=0)
            zero, one = (np.mean([(x[j] - mean) / deviation for j in others if y[j] == c], axis=0) for c in (0, 1))
            gaps = np.abs(one - zero).tolist()
            best = [d for _, d in sorted(zip(gaps, range(6), strict=True), reverse=True)][:k]
            z = (x[i] - mean) / deviation
            expected[i] = sum((z[d] - one[d]) ** 2 for d in best) < sum((z[d] - zero[d]) ** 2 for d in best)
        expect_close(candidate(x, y, fold, k), expected, f"out_of_fold of {n} examples in {folds} folds, k = {k}")


def check_grouped_folds(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(groups, f)`: group numbers (N,) -> folds (N,)."""
    groups = rng.choice([3, 5, 8, 21, 40, 41, 77], size=4 * size) * (1 + rng.integers(2, size=4 * size))
    for f in (1, 2, 3):
        load, of = [0] * f, {}
        sizes = {g: int(np.sum(groups == g)) for g in groups.tolist()}
        for g in sorted(sizes, key=lambda g: (-sizes[g], g)):
            of[g] = load.index(min(load))
            load[of[g]] += sizes[g]
        got = np.asarray(candidate(groups, f))
        if got.shape == groups.shape:
            for g in sizes:
                if len(set(got[groups == g].tolist())) > 1:
                    raise Wrong(f"grouped_folds of {len(groups)} examples, f = {f}: group {g} lies in several folds")
        expect_close(got, [of[g] for g in groups.tolist()], f"grouped_folds of {len(groups)} examples, f = {f}")


CHECKS = {
    "10/overlap": check_overlap,
    "10/out-of-fold": check_out_of_fold,
    "10/grouped-folds": check_grouped_folds,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
