r"""How the error on new data arises and how it falls: bias and variance, and learning curves.

Train on R training sets that were drawn independently, and let :math:`f_r(x)` be the output of run r for the input x
with the target t. With the mean output :math:`\bar f(x)`, the squared error averaged over runs is

.. math:: \frac1R\sum_r\lVert f_r - t\rVert^2
   = \lVert\bar f - t\rVert^2 + \frac1R\sum_r\lVert f_r - \bar f\rVert^2 ,

but :math:`\bar f` is itself an average of R runs, so its squared distance from the target exceeds the squared bias by a
share 1/R of the variance; :func:`bias_variance` takes that away (Geman, Bienenstock & Doursat 1992,
https://doi.org/10.1162/neco.1992.4.1.1).

A learning curve is the error against the number n of training examples. It is often described by
:math:`a n^{-b} + c` with a floor c (Hestness et al. 2017, https://arxiv.org/abs/1712.00409), which
:func:`fit_power_law` fits and :func:`extrapolate` carries on. Chapter 13 derives and tests both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["BiasVariance", "Extrapolation", "PowerLaw", "bias_variance", "extrapolate", "fit_power_law"]

_EXPONENTS = np.arange(0.01, 3.0, 0.005)  # b is searched here; a and c then follow in closed form


@dataclass(frozen=True)
class BiasVariance:
    """The parts of a squared error, averaged over inputs.

    Attributes
    ----------
    bias : float
        Estimate of the squared bias; where targets are noisy, the noise is in it. Unbiased, so it may be negative.
    variance : float
        Estimate of the variance of the outputs from training set to training set. Unbiased.
    runs : int
        Training sets, R.
    """

    bias: float
    variance: float
    runs: int

    @property
    def error(self) -> float:
        """Mean squared error of a single run: the sum of both parts."""
        return self.bias + self.variance

    def of_average(self, runs: int) -> float:
        """Return the expected squared error of the average of so many independent runs (1 or more)."""
        if runs < 1:
            raise ValueError(f"runs is {runs}; an average needs at least one")
        return self.bias + self.variance / runs


@dataclass(frozen=True)
class PowerLaw:
    r"""The curve :math:`a n^{-b} + c`.

    Attributes
    ----------
    a, b, c : float
        Scale (unit of the error), exponent, and floor (unit of the error).
    """

    a: float
    b: float
    c: float

    def __call__(self, n: ArrayLike) -> NDArray[np.float64]:
        """Return the error predicted for `n` training examples (positive, any shape)."""
        sizes = np.asarray(n, dtype=np.float64)
        if not (sizes > 0).all():
            raise ValueError(f"n is {n!r}; numbers of examples must be positive")
        return np.asarray(self.a * sizes**-self.b + self.c)


@dataclass(frozen=True)
class Extrapolation:
    """A learning curve carried on to a larger training set.

    Attributes
    ----------
    value, low, high : float
        The error predicted, and the limits of its bootstrap interval.
    n : int
        Training examples that it is predicted for.
    law : PowerLaw
        The fitted curve.
    """

    value: float
    low: float
    high: float
    n: int
    law: PowerLaw


def bias_variance(predictions: ArrayLike, targets: ArrayLike) -> BiasVariance:
    """Split a squared error into squared bias and variance.

    Parameters
    ----------
    predictions : array_like, shape (R, N) or (R, N, K)
        Outputs of R runs, 2 or more, each trained on a training set of its own, for the same N inputs.
    targets : array_like, shape (N,) or (N, K)
        What they should be, for example one-hot labels. Squares are summed over K and averaged over N.

    Returns
    -------
    BiasVariance

    Raises
    ------
    ValueError
        If shapes do not fit, there are fewer than two runs, or a number is not finite.

    Examples
    --------
    >>> bias_variance([[0.0], [2.0]], [3.0])
    BiasVariance(bias=3.0, variance=2.0, runs=2)
    """
    f, t = np.asarray(predictions, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if f.ndim not in (2, 3) or f.shape[1:] != t.shape or t.size == 0:
        raise ValueError(
            f"predictions have shape {f.shape} and targets {t.shape}; they must be (R, N) and (N,), or (R, N, K) "
            "and (N, K)"
        )
    if len(f) < 2:
        raise ValueError(f"predictions hold {len(f)} run; a variance needs two or more")
    if not (np.isfinite(f).all() and np.isfinite(t).all()):
        raise ValueError("predictions or targets hold NaN or infinity")
    runs, mean = len(f), f.mean(axis=0)
    variance = float(np.sum((f - mean) ** 2) / (runs - 1) / len(t))
    return BiasVariance(float(np.sum((mean - t) ** 2) / len(t)) - variance / runs, variance, runs)


def fit_power_law(sizes: ArrayLike, errors: ArrayLike, *, floor: bool = True) -> PowerLaw:
    r"""Fit :math:`a n^{-b} + c` to a learning curve by least squares of the relative deviations.

    For a given b the curve is linear in a and c, so these have a closed form; b is searched on a grid of step 0.005
    between 0.01 and 3.

    Parameters
    ----------
    sizes : array_like, shape (S,)
        Numbers of training examples, all positive and different; 4 or more with a floor, 3 or more without.
    errors : array_like, shape (S,)
        The error at each size, positive.
    floor : bool
        Whether c, which cannot be negative, is fitted; otherwise it is 0.

    Returns
    -------
    PowerLaw

    Raises
    ------
    ValueError
        If shapes do not fit, sizes are too few or repeated, or a number is not finite and positive.

    Examples
    --------
    >>> law = fit_power_law([100, 400, 1600, 6400], [0.3, 0.2, 0.15, 0.125])
    >>> print(round(law.a, 3), round(law.b, 3), round(law.c, 3))
    2.0 0.5 0.1
    """
    n, e = _curve(sizes, np.asarray(errors, dtype=np.float64)[..., None], floor=floor)
    return _fit(n, e, floor=floor)[0]


def extrapolate(
    sizes: ArrayLike,
    errors: ArrayLike,
    n: int,
    rng: np.random.Generator,
    *,
    floor: bool = True,
    resamples: int = 400,
    confidence: float = 0.95,
) -> Extrapolation:
    """Predict the error for `n` training examples, with a bootstrap interval over runs.

    The interval shows what the scatter of the runs leaves open *if the form is right*. It knows nothing of a curve
    that bends later than the data reach.

    Parameters
    ----------
    sizes : array_like, shape (S,)
        Numbers of training examples.
    errors : array_like, shape (S, R)
        The error of R runs, 2 or more, at each size. A run may use nested training sets: whole runs are resampled.
    n : int
        Training examples to predict for.
    rng : numpy.random.Generator
        Draws the resamples.
    floor : bool
        As for :func:`fit_power_law`.
    resamples : int
        Bootstrap samples, 1 or more.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    Extrapolation

    Raises
    ------
    ValueError
        As for :func:`fit_power_law`; and if there are fewer than two runs, or an argument is out of its range.

    Examples
    --------
    >>> curve = [[0.3, 0.3], [0.2, 0.2], [0.15, 0.15], [0.125, 0.125]]
    >>> found = extrapolate([100, 400, 1600, 6400], curve, 25600, np.random.default_rng(0))
    >>> print(round(found.value, 4), round(found.low, 4), round(found.high, 4))
    0.1125 0.1125 0.1125
    """
    if n < 1 or resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"n is {n}, resamples {resamples}, confidence {confidence}; the first two must be 1 or more, the last "
            "between 0 and 1"
        )
    ns, e = _curve(sizes, np.asarray(errors, dtype=np.float64), floor=floor)
    runs = e.shape[1]
    if runs < 2:
        raise ValueError(f"errors hold {runs} run; a bootstrap needs two or more")
    drawn = rng.integers(runs, size=(resamples, runs))
    means = np.concatenate([e.mean(axis=1)[:, None], e[:, drawn].mean(axis=2)], axis=1)
    laws = _fit(ns, means, floor=floor)
    values = [float(law(n)) for law in laws]
    low, high = np.quantile(values[1:], [(1 - confidence) / 2, (1 + confidence) / 2])
    return Extrapolation(values[0], float(low), float(high), int(n), laws[0])


def _curve(sizes: ArrayLike, e: NDArray[np.float64], *, floor: bool) -> tuple[NDArray[np.float64], ...]:
    n = np.asarray(sizes, dtype=np.float64)
    least = 4 if floor else 3
    if n.ndim != 1 or e.ndim != 2 or len(e) != len(n) or e.shape[1] < 1:
        raise ValueError(f"sizes have shape {n.shape} and errors {e.shape}; give one row of errors for each size")
    if len(set(n.tolist())) < max(least, len(n)):
        raise ValueError(f"sizes are {n.tolist()}; give {least} or more, all different")
    for name, values in (("sizes", n), ("errors", e)):
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise ValueError(f"{name} must be finite and positive; got {values.min()} to {values.max()}")
    return n, e


def _fit(n: NDArray[np.float64], e: NDArray[np.float64], *, floor: bool) -> list[PowerLaw]:
    """Fit every column of e, shape (S, M): minimize sum((a x + c) / e - 1)² with x = (n / scale)^-b."""
    scale = math.exp(float(np.log(n).mean()))
    x = (n / scale)[:, None, None] ** -_EXPONENTS  # (S, 1, exponents)
    u, v = x / e[:, :, None], np.broadcast_to(1 / e[:, :, None], (*e.shape, len(_EXPONENTS)))
    uu, uv, vv = (u * u).sum(0), (u * v).sum(0), (v * v).sum(0)
    su, sv = u.sum(0), v.sum(0)
    a, c = su / uu, np.zeros_like(su)
    if floor:
        determinant = uu * vv - uv**2
        a2, c2 = (su * vv - sv * uv) / determinant, (sv * uu - su * uv) / determinant
        inside = (a2 > 0) & (c2 > 0)
        a, c = np.where(inside, a2, a), np.where(inside, c2, c)
    loss = ((a * u + c * v - 1) ** 2).sum(axis=0)
    best = loss.argmin(axis=1)
    pick = np.arange(len(best)), best
    exponents = _EXPONENTS[best]
    return [
        PowerLaw(float(a_ * scale**b_), float(b_), float(c_))
        for a_, b_, c_ in zip(a[pick], exponents, c[pick], strict=True)
    ]
