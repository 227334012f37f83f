"""Temperature scaling: one number that makes a trained classifier's probabilities mean what they say.

Logits z of shape (K,) become softmax(z / T). The order of the classes, and with it every answer, stays as it is. With
β = 1/T the mean negative log-likelihood of N images has the slope mean(Σₖ pₖ zₖ − z_y), which rises with β: the loss is
convex in β, and its minimum is where the logit that the probabilities expect is, on average, that of the true class.

Chapter 19 derives this and shows when it repairs a network and when not. Fit it on images that the network has not
learned from: those it knows tell it to be surer still.

References
----------
Guo et al. (2017), https://arxiv.org/abs/1706.04599
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["fit_temperature"]

_DOUBLINGS = 1000  # of 1/T, from any scale of the logits that float64 holds


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Return the temperature T with which softmax(logits / T) has the smallest mean negative log-likelihood.

    Parameters
    ----------
    logits : array_like of float, shape (N, K)
        Scores before the softmax, of validation images.
    labels : array_like of int, shape (N,)
        Their true classes, from 0.

    Returns
    -------
    float
        Above 1 where the network was too sure, below 1 where it was not sure enough.

    Raises
    ------
    ValueError
        If shapes do not fit, a logit is not finite, a label is out of range, or there is no such temperature: no image
        is wrong, so that the loss falls as long as T does; or the true class's logit is no higher than the mean of all
        classes, so that it falls as long as T rises.

    Examples
    --------
    >>> logits = [[4.0, 0.0]] * 4  # 98 % sure, four times
    >>> round(fit_temperature(logits, [0, 0, 0, 1]), 3)  # and right three times: log 3 = 4 / T
    3.641
    """
    from scipy.optimize import brentq

    z, y = _read(logits, labels)
    z = z - z.max(axis=1, keepdims=True)
    own = z[np.arange(len(y)), y]

    def slope(beta: float) -> float:
        p = np.exp(beta * z)
        return float(np.mean((p * z).sum(axis=1) / p.sum(axis=1) - own))

    if not own.min() < 0:
        raise ValueError(
            f"all {len(y)} labels have the highest logit of their row, so the loss falls as long as the temperature "
            "does; fit it on images that the network did not learn from"
        )
    if not slope(0.0) < 0:
        raise ValueError(
            f"the logit of the true class exceeds the mean of the classes by {-slope(0.0):.3g} on average; it must be "
            "above 0, or every temperature is worse than no information: are the labels in the order of the logits?"
        )
    low, high = 0.0, 1.0 / float(np.ptp(z))
    for _ in range(_DOUBLINGS):
        if slope(high) > 0:
            break
        low, high = high, 2 * high
    return 1.0 / float(brentq(slope, low, high, xtol=1e-15 * high, rtol=1e-12))


def _read(logits: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    z, y = np.asarray(logits, dtype=float), np.asarray(labels)
    if z.ndim != 2 or z.shape[0] == 0 or z.shape[1] < 2:
        raise ValueError(f"logits have shape {z.shape}; it must be (N, K), of N ≥ 1 images and K ≥ 2 classes")
    if y.shape != z.shape[:1] or y.dtype.kind not in "iu":
        raise ValueError(f"labels are {y.dtype} of shape {y.shape}; they must be {len(z)} whole numbers")
    if not np.isfinite(z).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(z))[0])
        raise ValueError(f"logits[{row}, {column}] is {z[row, column]}; all must be finite")
    wrong = np.flatnonzero((y < 0) | (y >= z.shape[1]))
    if wrong.size:
        raise ValueError(f"labels[{wrong[0]}] is {y[wrong[0]]}; it must be from 0 to {z.shape[1] - 1}")
    return z, y.astype(np.int64)
