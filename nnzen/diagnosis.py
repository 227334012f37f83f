r"""Quantities that a healthy network has before and during its first steps, whatever framework trains it.

* The loss before training. Logits of variance :math:`\tau^2`, uncorrelated and with the same mean, have the expected
  cross-entropy :math:`\ln K + \frac12\tau^2(1 - \frac1K)`, to second order in :math:`\tau`.
* The share of dead units, those that a ReLU switches off for every example: they pass no gradient.
* The update ratio of each layer, :math:`\lVert\Delta\mathbf W\rVert/\lVert\mathbf W\rVert`. It is 0 for a layer that
  does not learn.

Chapter 09 derives the first and says what the other two can show. See also Karpathy (2019), *A recipe for training
neural networks*, https://karpathy.github.io/2019/04/25/recipe/.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["dead_share", "initial_loss", "update_ratios"]


def initial_loss(classes: int, logit_variance: float = 0.0) -> float:
    r"""Return the expected cross-entropy of an untrained classifier, in nats.

    Parameters
    ----------
    classes : int
        K, at least 2.
    logit_variance : float
        :math:`\tau^2`, 0 or more. The formula is an expansion: good to a tenth of its second term up to about a half.

    Returns
    -------
    float
        :math:`\ln K + \frac12\tau^2(1-\frac1K)`.

    Raises
    ------
    ValueError
        If there are fewer than two classes, or the variance is negative or not finite.

    Examples
    --------
    >>> round(initial_loss(10), 4)
    2.3026
    >>> round(initial_loss(10, logit_variance=0.2), 4)
    2.3926
    """
    if isinstance(classes, bool) or not isinstance(classes, Integral) or classes < 2:
        raise ValueError(f"classes is {classes!r}; it must be a whole number of at least 2")
    if not (math.isfinite(logit_variance) and logit_variance >= 0):
        raise ValueError(f"logit_variance is {logit_variance}; it must be a finite number of at least 0")
    return math.log(classes) + 0.5 * logit_variance * (1 - 1 / int(classes))


def dead_share(activations: ArrayLike) -> float:
    """Return the share of units that are not positive for any example.

    Parameters
    ----------
    activations : array_like, shape (N, ..., units)
        Of a ReLU layer, or its pre-activations; the last axis holds units, or the channels of a feature map, which is
        dead if it is dead everywhere.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ValueError
        If there are fewer than two axes, no value at all, or a value is NaN: a network that computes NaN is not dead.

    Examples
    --------
    >>> dead_share([[0.0, 1.0], [0.0, 0.0], [-2.0, 3.0]])
    0.5
    """
    h = np.asarray(activations, dtype=float)
    if h.ndim < 2 or h.size == 0:
        raise ValueError(f"activations have shape {h.shape}; they must be (examples, ..., units), one of each at least")
    if np.isnan(h).any():
        raise ValueError("activations hold NaN; look for the first layer that computes it")
    return float(np.mean(np.all(h <= 0, axis=tuple(range(h.ndim - 1)))))


def update_ratios(
    weights: Sequence[NDArray[np.floating]], updates: Sequence[NDArray[np.floating]]
) -> NDArray[np.float64]:
    """Return, layer by layer, the length of an update divided by the length of what it changes.

    Parameters
    ----------
    weights : sequence of ndarray
        The weights of each layer before the step, of any shape.
    updates : sequence of ndarray
        What the step adds to each, of the same shapes; the sign does not matter.

    Returns
    -------
    ndarray of float64, shape (layers,)
        NaN where an update holds NaN or weights and update are both zero, infinite where only the weights are zero.

    Raises
    ------
    ValueError
        If there are not as many updates as weights, or two shapes differ.

    Examples
    --------
    >>> update_ratios([np.array([3.0, 4.0])], [np.array([0.0, 0.5])])
    array([0.1])
    """
    if len(weights) != len(updates):
        raise ValueError(f"there are {len(weights)} layers of weights and {len(updates)} of updates")
    ratios = []
    for layer, (weight, update) in enumerate(zip(weights, updates, strict=True)):
        w, u = np.asarray(weight, dtype=float), np.asarray(update, dtype=float)
        if w.shape != u.shape:
            raise ValueError(f"layer {layer} has weights of shape {w.shape} and an update of shape {u.shape}")
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios.append(np.linalg.norm(u.ravel()) / np.linalg.norm(w.ravel()))
    return np.array(ratios, dtype=float)
