r"""Regularization: shrinking and zeroing weights, dropout, and a rule for when to stop.

With :math:`\eta` the learning rate and :math:`\lambda` the strength, a step on the loss followed by

.. math:: w \leftarrow \operatorname{sign}(w)\,\max(|w| - \eta\lambda, 0)

is a step of proximal gradient descent on the loss plus :math:`\lambda\lVert\mathbf w\rVert_1`, and gives exact zeros
(Daubechies, Defrise and De Mol, 2004, https://doi.org/10.1002/cpa.20042). Dropout is that of Srivastava et al. (2014),
https://jmlr.org/papers/v15/srivastava14a.html, with the division by the probability of keeping a unit done in training.
Chapter 14 derives all of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["EarlyStopping", "dropout_mask", "soft_threshold"]


def soft_threshold(w: ArrayLike, threshold: ArrayLike) -> NDArray[np.floating]:
    r"""Pull numbers towards zero by `threshold`, and to zero where they are nearer than that.

    The result minimizes :math:`\frac12(v - w)^2 + \text{threshold}\cdot|v|` over v.

    Parameters
    ----------
    w : array_like of float, any shape
        Such as weights after a gradient step.
    threshold : array_like of float
        0 or more, of a shape that broadcasts to that of `w`: learning rate times strength of the penalty.

    Returns
    -------
    ndarray of float
        Shape and type of `w` (float64 for integers).

    Raises
    ------
    ValueError
        If a threshold is negative or NaN, or its shape does not fit.

    Examples
    --------
    >>> print(soft_threshold([-3.0, -0.5, 0.0, 2.0], 1.0))
    [-2. -0.  0.  1.]
    """
    weights, cut = np.asarray(w), np.asarray(threshold)
    if not np.issubdtype(weights.dtype, np.floating):
        weights = weights.astype(np.float64)
    if not (cut >= 0).all():
        raise ValueError(f"threshold is {threshold!r}; it must be 0 or more")
    try:
        cut = np.broadcast_to(cut, weights.shape).astype(weights.dtype)
    except ValueError:
        raise ValueError(f"threshold has shape {cut.shape}, which does not broadcast to {weights.shape}") from None
    return np.asarray(np.sign(weights) * np.maximum(np.abs(weights) - cut, 0), dtype=weights.dtype)


def dropout_mask(shape: tuple[int, ...], rate: float, rng: np.random.Generator) -> NDArray[np.float32]:
    r"""Draw the factors of inverted dropout: 0 with probability `rate`, else :math:`1/(1 - \text{rate})`.

    Their expectation is 1 and their variance :math:`\text{rate}/(1 - \text{rate})`.

    Parameters
    ----------
    shape : tuple of int
        Of the activations, which are multiplied by the mask; a mask of its own for every example.
    rate : float
        Probability of dropping a unit, at least 0 and below 1.
    rng : numpy.random.Generator
        Where the mask comes from.

    Returns
    -------
    ndarray of float32

    Raises
    ------
    ValueError
        If `rate` is out of range.

    Examples
    --------
    >>> mask = dropout_mask((1000,), 0.75, np.random.default_rng(0))
    >>> print(np.unique(mask))
    [0. 4.]
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate is {rate}; it must be a probability of dropping, at least 0 and below 1")
    return ((rng.random(shape) >= rate) / (1 - rate)).astype(np.float32)


@dataclass
class EarlyStopping:
    """Say when a monitored loss has not improved for `patience` measurements.

    Decides as ``keras.callbacks.EarlyStopping`` that monitors a loss. The loss must come from data that the gradient
    does not see. The weights to keep are those of measurement `best_at`: whoever trains copies them when `improved`.
    The lowest of many losses is too good to be true, so report the loss of other data.

    Parameters
    ----------
    patience : int
        Measurements without improvement that end the run, at least 1.
    min_delta : float
        A value counts as an improvement if it lies more than this below the best so far; 0 or more.

    Attributes
    ----------
    best : float
        The lowest value that counted as an improvement; infinite before the first.
    best_at : int
        Its place, counted from 0; -1 before the first.
    improved : bool
        The last measurement was an improvement.
    stopped : bool
        The run should have ended.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> rule = EarlyStopping(patience=2)
    >>> [rule.update(loss) for loss in (1.0, 0.8, 0.9, 0.8)]
    [False, False, False, True]
    >>> rule.best_at
    1
    """

    patience: int
    min_delta: float = 0.0
    best: float = field(default=math.inf, init=False)
    best_at: int = field(default=-1, init=False)
    improved: bool = field(default=False, init=False)
    stopped: bool = field(default=False, init=False)
    _seen: int = field(default=0, init=False, repr=False)
    _waited: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        if not math.isfinite(self.patience) or self.patience != int(self.patience) or self.patience < 1:
            raise ValueError(f"patience is {self.patience}; it must be a whole number of measurements, at least 1")
        if not (math.isfinite(self.min_delta) and self.min_delta >= 0):
            raise ValueError(f"min_delta is {self.min_delta}; it must be a finite number, 0 or more")

    def update(self, loss: float) -> bool:
        """Take the next measurement and say whether to stop after it.

        Parameters
        ----------
        loss : float
            The monitored loss. NaN is no improvement.

        Returns
        -------
        bool
            True from the measurement on that exhausts the patience.
        """
        self.improved = bool(loss + self.min_delta < self.best)
        if self.improved:
            self.best, self.best_at, self._waited = float(loss), self._seen, 0
        else:
            self._waited += 1
            self.stopped = self.stopped or self._waited >= self.patience
        self._seen += 1
        return self.stopped
