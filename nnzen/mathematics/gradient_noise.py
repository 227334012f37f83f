r"""How noisy the gradient of a batch is: its variance against batch size, and the gradient-noise scale.

Let :math:`g_1, \dots, g_N` be the gradients of N examples, :math:`G` their mean, and
:math:`V = \frac1N\sum_i\lVert g_i - G\rVert^2`, the trace of their covariance. The mean over a batch of B draws misses
:math:`G` by a vector whose expected squared length is :math:`V/B` if the draws are made with replacement, and

.. math:: \frac VB\cdot\frac{N-B}{N-1}

without. The ratio :math:`V/\lVert G\rVert^2` is the **simple noise scale** of McCandlish et al. (2018),
https://arxiv.org/abs/1812.06162: the batch size at which noise and gradient have equal length. Chapter 07 derives all
of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["NoiseScale", "batch_variance", "noise_scale", "noise_scale_from_norms"]


@dataclass(frozen=True)
class NoiseScale:
    r"""Estimates of the squared length of the gradient, of the variance around it, and their ratio.

    Attributes
    ----------
    gradient : float
        Estimate of :math:`\lVert G\rVert^2`. Unbiased, so it may be negative where noise drowns the gradient.
    variance : float
        Estimate of V, the expected squared distance of one example's gradient from :math:`G`. Unbiased.
    """

    gradient: float
    variance: float

    @property
    def value(self) -> float:
        """The noise scale in examples; NaN if the gradient estimate is not positive. A ratio, so not unbiased."""
        return self.variance / self.gradient if self.gradient > 0 else math.nan


def batch_variance(variance: float, batch: ArrayLike, population: int | None = None) -> NDArray[np.float64]:
    """Return the expected squared distance between a batch's mean gradient and that of all examples.

    Parameters
    ----------
    variance : float
        V, the mean squared distance of one example's gradient from the mean of all; 0 or more.
    batch : array_like of int, any shape
        Examples in the batch, at least 1.
    population : int, optional
        N, where the batch is drawn without replacement from N examples; by default it is drawn with replacement.

    Returns
    -------
    ndarray of float64
        Shape of `batch`, unit of `variance`.

    Raises
    ------
    ValueError
        If the variance is negative or not finite, a batch is smaller than 1, or larger than the population.

    Examples
    --------
    >>> print(batch_variance(12.0, [1, 2, 4], population=4))
    [12.  4.  0.]
    """
    if not (math.isfinite(variance) and variance >= 0):
        raise ValueError(f"variance is {variance}; it must be a finite number, 0 or more")
    sizes = np.asarray(batch, dtype=np.float64)
    if not np.isfinite(sizes).all() or (sizes < 1).any():
        raise ValueError(f"batch is {batch!r}; it must be 1 or more examples")
    if population is None:
        return np.asarray(variance / sizes)
    if population < 1 or (sizes > population).any():
        raise ValueError(f"batch is {batch!r}; without replacement it cannot exceed the population, {population}")
    return np.asarray(variance / sizes * (population - sizes) / max(population - 1, 1))


def noise_scale(gradients: ArrayLike) -> NoiseScale:
    """Estimate the noise scale from the gradients of single examples.

    The examples are taken as a sample: both estimates are unbiased for the distribution that they were drawn from.

    Parameters
    ----------
    gradients : array_like, shape (N, D)
        One gradient a row, N at least 2.

    Returns
    -------
    NoiseScale

    Raises
    ------
    ValueError
        If the shape is wrong or a number not finite.

    Examples
    --------
    >>> noise_scale([[1.0, 2.0], [1.0, 0.0]])
    NoiseScale(gradient=1.0, variance=2.0)
    """
    g = np.asarray(gradients, dtype=np.float64)
    if g.ndim != 2 or len(g) < 2 or g.shape[1] < 1:
        raise ValueError(f"gradients has shape {g.shape}; it must be (N, D) with two rows or more")
    if not np.isfinite(g).all():
        raise ValueError("gradients holds NaN or infinity")
    mean = g.mean(axis=0)
    variance = float(np.sum((g - mean) ** 2) / (len(g) - 1))
    return NoiseScale(float(mean @ mean) - variance / len(g), variance)


def noise_scale_from_norms(small: ArrayLike, large: ArrayLike, small_batch: int, large_batch: int) -> NoiseScale:
    r"""Estimate the noise scale from squared lengths of gradients of batches of two sizes b < B.

    From :math:`\mathbb E\lVert g_B\rVert^2 = \lVert G\rVert^2 + V/B` for both sizes; see McCandlish et al. (2018),
    appendix A.1. Average many measurements: it is the averages that are unbiased, not the ratio.

    Parameters
    ----------
    small, large : array_like, shape (measurements,)
        Squared lengths of gradients of batches of either size, drawn independently with replacement (or from so many
        examples that it makes no difference). The two may differ in number.
    small_batch, large_batch : int
        b and B, with 1 ≤ b < B.

    Returns
    -------
    NoiseScale

    Raises
    ------
    ValueError
        If there are no measurements, one is negative or not finite, or the sizes are not in that order.

    Examples
    --------
    >>> noise_scale_from_norms([5.0, 7.0], [3.0], small_batch=1, large_batch=4)
    NoiseScale(gradient=2.0, variance=4.0)
    """
    if not 1 <= small_batch < large_batch:
        raise ValueError(f"batches of {small_batch} and {large_batch}; they must be 1 or more, the small one first")
    means = []
    for name, values in (("small", small), ("large", large)):
        norms = np.asarray(values, dtype=np.float64)
        if norms.size == 0 or not np.isfinite(norms).all() or (norms < 0).any():
            raise ValueError(f"{name} is {values!r}; it must hold squared lengths, finite and 0 or more")
        means.append(float(norms.mean()))
    gradient = (large_batch * means[1] - small_batch * means[0]) / (large_batch - small_batch)
    return NoiseScale(gradient, (means[0] - means[1]) / (1 / small_batch - 1 / large_batch))
