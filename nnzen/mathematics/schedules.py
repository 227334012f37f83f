r"""Learning-rate schedules: the learning rate as a function of the update number.

Let :math:`t` be the number of updates made so far (0 at the first update, as Keras counts), :math:`\eta` the base rate
and :math:`T` the length of the run in updates.

=================  ===============================================================================================
constant           :math:`\eta`
step               :math:`\eta\,\gamma^{\lfloor t/k \rfloor}`
exponential        :math:`\eta\,\gamma^{t/k}`
linear             :math:`\eta_T + (\eta-\eta_T)(1-t/T)`
cosine             :math:`\eta_T + \tfrac12(\eta-\eta_T)\,(1+\cos \pi t/T)`
one cycle          half a cosine up from :math:`\eta/25` to :math:`\eta`, then half a cosine down to nearly 0
warm-up            a factor :math:`\min(1, (t+1)/U)` for any of these
reduce on plateau  multiply by :math:`\gamma` when a monitored loss has stopped falling
=================  ===============================================================================================

All but the last are pure functions that take one number or an array of them. The last depends on what happened so far,
so it is a small class. Chapter 07 derives what decay buys. Cosine: Loshchilov & Hutter (2017),
https://arxiv.org/abs/1608.03983; one cycle: Smith & Topin (2018), https://arxiv.org/abs/1708.07120.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ReduceOnPlateau",
    "constant",
    "cosine",
    "exponential",
    "linear",
    "one_cycle",
    "step",
    "warm_up",
]

Floats = NDArray[np.float64]


# ---------------------------------------------------------------------------------------------------------
# Functions of the update number


def constant(t: ArrayLike, rate: float) -> Floats:
    """Return the same rate for every update.

    Parameters
    ----------
    t : array_like of int, any shape
        Updates made so far, 0 or more.
    rate : float
        The rate, above 0.

    Returns
    -------
    ndarray of float64
        Shape of `t`.

    Raises
    ------
    ValueError
        If `t` is negative or not finite, or the rate not positive.

    Examples
    --------
    >>> constant([0, 9], 0.1)
    array([0.1, 0.1])
    """
    _positive("rate", rate)
    return np.full_like(_updates(t), rate)


def step(t: ArrayLike, rate: float, every: int, factor: float = 0.1) -> Floats:
    """Return a rate that is multiplied by `factor` after every `every` updates.

    Equal to ``keras.optimizers.schedules.ExponentialDecay(..., staircase=True)``.

    Parameters
    ----------
    t : array_like of int, any shape
        Updates made so far.
    rate : float
        The rate of the first updates, above 0.
    every : int
        Updates between two steps, at least 1.
    factor : float
        Above 0 and at most 1.

    Returns
    -------
    ndarray of float64
        Shape of `t`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> print(step([0, 9, 10, 20], 1.0, every=10, factor=0.5))
    [1.   1.   0.5  0.25]
    """
    _decay(rate, every, factor)
    return rate * factor ** np.floor(_updates(t) / every)


def exponential(t: ArrayLike, rate: float, every: float, factor: float = 0.1) -> Floats:
    """Return a rate that falls smoothly, by `factor` in `every` updates.

    Equal to ``keras.optimizers.schedules.ExponentialDecay``.

    Parameters
    ----------
    t : array_like of int, any shape
        Updates made so far.
    rate : float
        The rate of the first update, above 0.
    every : float
        Updates in which the rate falls by `factor`, at least 1.
    factor : float
        Above 0 and at most 1.

    Returns
    -------
    ndarray of float64
        Shape of `t`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> print(exponential([0, 10, 20], 1.0, every=20, factor=0.25))
    [1.   0.5  0.25]
    """
    _decay(rate, every, factor)
    return rate * factor ** (_updates(t) / every)


def linear(t: ArrayLike, rate: float, total: int, final: float = 0.0) -> Floats:
    """Return a rate that falls on a straight line to `final` after `total` updates, and then stays there.

    Equal to ``keras.optimizers.schedules.PolynomialDecay`` with ``power=1``.

    Parameters
    ----------
    t : array_like of int, any shape
        Updates made so far.
    rate : float
        The rate of the first update, above 0.
    total : int
        Updates of the run, at least 1.
    final : float
        Where it ends, from 0 to `rate`.

    Returns
    -------
    ndarray of float64
        Shape of `t`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> print(linear([0, 5, 10, 11], 1.0, total=10))
    [1.  0.5 0.  0. ]
    """
    _to_the_end(rate, total, final)
    return final + (rate - final) * (1 - np.minimum(_updates(t) / total, 1))


def cosine(t: ArrayLike, rate: float, total: int, final: float = 0.0) -> Floats:
    """Return a rate that falls along half a cosine to `final` after `total` updates, and then stays there.

    Equal to ``keras.optimizers.schedules.CosineDecay``, whose ``alpha`` is ``final / rate``.

    Parameters
    ----------
    t : array_like of int, any shape
        Updates made so far.
    rate : float
        The rate of the first update, above 0.
    total : int
        Updates of the run, at least 1.
    final : float
        Where it ends, from 0 to `rate`.

    Returns
    -------
    ndarray of float64
        Shape of `t`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> print(cosine([0, 5, 10], 1.0, total=10, final=0.5))
    [1.   0.75 0.5 ]
    """
    _to_the_end(rate, total, final)
    return final + (rate - final) * (1 + np.cos(np.pi * np.minimum(_updates(t) / total, 1))) / 2


def one_cycle(
    t: ArrayLike, rate: float, total: int, rise: float = 0.3, start: float = 1 / 25, end: float = 1e-4
) -> Floats:
    r"""Return a rate that rises from a small one to `rate` and then falls to nearly nothing, both on half a cosine.

    Parameters
    ----------
    t : array_like of int, any shape
        Updates made so far.
    rate : float
        The largest rate, above 0.
    total : int
        Updates of the run, at least 1. Past it the rate stays where it ended.
    rise : float
        Share of the run in which the rate rises, above 0 and below 1.
    start : float
        The rate of the first update as a share of `rate`, above 0 and at most 1.
    end : float
        The last rate as a share of `rate`, from 0 to 1.

    Returns
    -------
    ndarray of float64
        Shape of `t`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> print(one_cycle([0, 5, 10, 20], 1.0, total=20, rise=0.5, start=0.1, end=0.0))
    [0.1  0.55 1.   0.  ]
    """
    _to_the_end(rate, total, end * rate)
    if not 0 < rise < 1:
        raise ValueError(f"rise is {rise}; it must be a share of the run, above 0 and below 1")
    if not 0 < start <= 1:
        raise ValueError(f"start is {start}; it must be a share of the rate, above 0 and at most 1")
    share = np.minimum(_updates(t) / total, 1)
    up = start + (1 - start) * (1 - np.cos(np.pi * np.minimum(share / rise, 1))) / 2
    down = end + (1 - end) * (1 + np.cos(np.pi * np.maximum((share - rise) / (1 - rise), 0))) / 2
    return rate * np.where(share < rise, up, down)


def warm_up(t: ArrayLike, updates: int) -> Floats:
    """Return the factor of a linear warm-up: 1/updates at the first update, 1 from the last of them on.

    Multiply a schedule by it.

    Parameters
    ----------
    t : array_like of int, any shape
        Updates made so far.
    updates : int
        Length of the warm-up, at least 1 (which is none).

    Returns
    -------
    ndarray of float64
        Shape of `t`, between 0 and 1.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> print(warm_up([0, 1, 3, 9], updates=4))
    [0.25 0.5  1.   1.  ]
    """
    _count("updates", updates)
    return np.minimum((_updates(t) + 1) / updates, 1)


# ---------------------------------------------------------------------------------------------------------
# A schedule that looks at the run


@dataclass
class ReduceOnPlateau:
    """Multiply the rate by `factor` when a monitored loss has not improved for `patience` measurements.

    Equal to ``keras.callbacks.ReduceLROnPlateau`` that monitors a loss. The loss must come from data that the gradient
    does not see: a training loss says little about when to stop. Noise in it brings cuts too early: one lucky value
    lowers the mark that all that follow must beat.

    Parameters
    ----------
    rate : float
        The rate to begin with, above 0.
    factor : float
        Above 0 and below 1.
    patience : int
        Measurements without improvement that lead to a cut, at least 1.
    min_delta : float
        A value counts as an improvement if it lies more than this below the best so far; 0 or more.
    cooldown : int
        Measurements after a cut in which no failure is counted, 0 or more.
    min_rate : float
        The rate never falls below it; from 0 to `rate`.

    Attributes
    ----------
    best : float
        The lowest value that counted as an improvement; infinite before the first.
    waited : int
        Measurements without improvement since the last improvement or cut.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> plateau = ReduceOnPlateau(0.1, factor=0.5, patience=2)
    >>> [plateau.update(loss) for loss in (1.0, 0.9, 0.9, 0.9, 0.9)]
    [0.1, 0.1, 0.1, 0.05, 0.05]
    """

    rate: float
    factor: float = 0.1
    patience: int = 10
    min_delta: float = 1e-4
    cooldown: int = 0
    min_rate: float = 0.0
    best: float = field(default=math.inf, init=False, repr=False)
    waited: int = field(default=0, init=False, repr=False)
    _cooling: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        _positive("rate", self.rate)
        if not 0 < self.factor < 1:
            raise ValueError(f"factor is {self.factor}; it must lie between 0 and 1")
        _count("patience", self.patience)
        if not (math.isfinite(self.min_delta) and self.min_delta >= 0):
            raise ValueError(f"min_delta is {self.min_delta}; it must be a finite number, 0 or more")
        if self.cooldown != int(self.cooldown) or self.cooldown < 0:
            raise ValueError(f"cooldown is {self.cooldown}; it must be a whole number of measurements, 0 or more")
        if not 0 <= self.min_rate <= self.rate:
            raise ValueError(f"min_rate is {self.min_rate}; it must lie between 0 and the rate, {self.rate}")

    def update(self, loss: float) -> float:
        """Take the next measurement and return the rate to go on with.

        Parameters
        ----------
        loss : float
            The monitored loss. NaN is no improvement.

        Returns
        -------
        float
            The rate, which the object keeps as ``rate``.
        """
        if self._cooling:
            self._cooling -= 1
            self.waited = 0
        if loss < self.best - self.min_delta:
            self.best, self.waited = float(loss), 0
        elif not self._cooling:
            self.waited += 1
            if self.waited >= self.patience and self.rate > self.min_rate:
                self.rate = max(self.rate * self.factor, self.min_rate)
                self._cooling, self.waited = int(self.cooldown), 0
        return self.rate


# ---------------------------------------------------------------------------------------------------------
# Checks


def _updates(t: ArrayLike) -> Floats:
    updates = np.asarray(t, dtype=np.float64)
    if not np.isfinite(updates).all() or (updates < 0).any():
        raise ValueError(f"t is {t!r}; it counts the updates made so far, 0 or more")
    return updates


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value}; it must be a positive number")


def _count(name: str, value: float) -> None:
    if not math.isfinite(value) or value != int(value) or value < 1:
        raise ValueError(f"{name} is {value}; it must be a whole number, at least 1")


def _decay(rate: float, every: float, factor: float) -> None:
    _positive("rate", rate)
    if not (math.isfinite(every) and every >= 1):
        raise ValueError(f"every is {every}; it must be a number of updates, at least 1")
    if not 0 < factor <= 1:
        raise ValueError(f"factor is {factor}; it must lie above 0 and be at most 1")


def _to_the_end(rate: float, total: int, final: float) -> None:
    _positive("rate", rate)
    _count("total", total)
    if not 0 <= final <= rate:
        raise ValueError(f"the final rate is {final}; it must lie between 0 and the rate, {rate}")
