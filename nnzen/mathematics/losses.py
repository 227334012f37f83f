r"""Loss functions on logits, with their gradients, in NumPy.

Every loss here is a negative log-likelihood in nats, averaged over the rows of a batch, and takes *logits* (the
unbounded scores before a sigmoid or a softmax), because from probabilities it cannot be computed safely: in
float32, :math:`1 - \sigma(z)` is 0 from :math:`z = 24 \ln 2 \approx 16.6` on.

===================== ============================================ ========================
likelihood            loss of one row                              gradient in the logits
===================== ============================================ ========================
Bernoulli             :math:`\max(z, 0) - zy + \ln(1+e^{-|z|})`    :math:`\sigma(z) - y`
categorical           :math:`\ln\sum_k e^{z_k} - z_y`              :math:`p - \mathrm{onehot}(y)`
Gaussian, fixed width :math:`(z - y)^2`, up to scale and constant  :math:`2(z - y)`
===================== ============================================ ========================

Chapter 02 derives the formulas; see also Goodfellow, Bengio & Courville (2016), *Deep Learning*, §3.13 and §6.2.2.
float32 and float64 stay what they are, everything else becomes float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_gradient",
    "kl_divergence",
    "log_sigmoid",
    "log_softmax",
    "log_sum_exp",
    "sigmoid",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_gradient",
    "squared_error",
    "squared_error_gradient",
]

Floats = NDArray[np.floating]


# ---------------------------------------------------------------------------------------------------------
# From logits to probabilities and their logarithms


def sigmoid(logits: ArrayLike) -> Floats:
    r"""Return :math:`\sigma(z) = 1/(1+e^{-z})`, elementwise, without overflow.

    Parameters
    ----------
    logits : array_like, any shape
        Log-odds :math:`z` in nats.

    Returns
    -------
    ndarray
        Probabilities of the same shape.

    Raises
    ------
    ValueError
        If a logit is NaN, infinite or complex.

    Examples
    --------
    >>> sigmoid([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    z = _numbers(logits, "logits")
    small = np.exp(-np.abs(z))  # in (0, 1]: cannot overflow
    return np.where(z >= 0, 1 / (1 + small), small / (1 + small))[()]  # of one number a NumPy number, as elsewhere


def log_sigmoid(logits: ArrayLike) -> Floats:
    r"""Return :math:`\ln\sigma(z) = \min(z, 0) - \ln(1+e^{-|z|})`, elementwise; never :math:`-\infty`.

    Parameters
    ----------
    logits : array_like, any shape
        Log-odds :math:`z` in nats.

    Returns
    -------
    ndarray
        Log-probabilities in nats, of the same shape.

    Raises
    ------
    ValueError
        If a logit is NaN or infinite.

    Examples
    --------
    >>> log_sigmoid([-1000.0, 0.0])
    array([-1.00000000e+03, -6.93147181e-01])
    """
    z = _numbers(logits, "logits")
    return np.minimum(z, 0) - np.log1p(np.exp(-np.abs(z)))


def log_sum_exp(logits: ArrayLike, axis: int = -1) -> Floats:
    r"""Return :math:`\ln\sum_k e^{z_k} = m + \ln\sum_k e^{z_k-m}` with :math:`m = \max_k z_k`.

    After the shift every exponent is at most 0 and one of them is 0, so the sum lies between 1 and the number
    of classes: neither overflow nor the logarithm of 0 is possible.

    Parameters
    ----------
    logits : array_like, at least one dimension
        Scores :math:`z` in nats.
    axis : int
        The axis that is summed over; it disappears.

    Returns
    -------
    ndarray
        In nats, one dimension fewer.

    Raises
    ------
    ValueError
        If a logit is NaN or infinite, or the axis is empty or does not exist.

    Examples
    --------
    >>> print(f"{log_sum_exp([1000.0, 1000.0]):.6f}")  # 1000 + ln 2
    1000.693147
    """
    z = _along(_numbers(logits, "logits"), axis)
    largest = z.max(axis=axis, keepdims=True)
    total = np.exp(z - largest).sum(axis=axis)
    return largest.squeeze(axis) + np.log(total)


def log_softmax(logits: ArrayLike, axis: int = -1) -> Floats:
    r"""Return :math:`\ln p_k = z_k - \ln\sum_j e^{z_j}` along an axis.

    Parameters
    ----------
    logits : array_like, at least one dimension
        Scores :math:`z` in nats.
    axis : int
        The axis of the classes.

    Returns
    -------
    ndarray
        Log-probabilities in nats, of the same shape.

    Raises
    ------
    ValueError
        As :func:`log_sum_exp`.

    Examples
    --------
    >>> log_softmax([0.0, -1000.0])
    array([    0., -1000.])
    """
    z = _along(_numbers(logits, "logits"), axis)
    shifted = z - z.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def softmax(logits: ArrayLike, axis: int = -1) -> Floats:
    r"""Return :math:`p_k = e^{z_k} / \sum_j e^{z_j}` along an axis, without overflow.

    Parameters
    ----------
    logits : array_like, at least one dimension
        Scores :math:`z` in nats; adding a constant to all of them changes nothing.
    axis : int
        The axis of the classes.

    Returns
    -------
    ndarray
        Probabilities of the same shape, which sum to 1 along `axis`.

    Raises
    ------
    ValueError
        As :func:`log_sum_exp`.

    Examples
    --------
    >>> softmax([[1000.0, 1000.0], [0.0, -1000.0]])
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    z = _along(_numbers(logits, "logits"), axis)
    weights = np.exp(z - z.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


# ---------------------------------------------------------------------------------------------------------
# Losses and their gradients


def binary_cross_entropy(logits: ArrayLike, labels: ArrayLike) -> float:
    r"""Return the mean negative log-likelihood of binary labels, :math:`-\ln\sigma(z)` or :math:`-\ln(1-\sigma(z))`.

    Parameters
    ----------
    logits : array_like, any shape, at least one element
        Log-odds :math:`z` of class 1, in nats.
    labels : array_like, same shape
        0, 1, or a probability of class 1 between them.

    Returns
    -------
    float
        Mean loss in nats, zero or more, finite.

    Raises
    ------
    ValueError
        If the shapes differ, nothing is given, a logit is not finite or a label lies outside [0, 1].

    Examples
    --------
    >>> print(f"{binary_cross_entropy([0.0, 1000.0], [1, 0]):.6f}")  # ln 2 and 1000, halved
    500.346574
    """
    z, y = _binary(logits, labels)
    return float(np.mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))))


def binary_cross_entropy_gradient(logits: ArrayLike, labels: ArrayLike) -> Floats:
    r"""Return the gradient of :func:`binary_cross_entropy` in the logits, :math:`(\sigma(z) - y)/N`.

    Parameters
    ----------
    logits, labels : array_like
        As in :func:`binary_cross_entropy`; :math:`N` is the number of elements.

    Returns
    -------
    ndarray
        Same shape as `logits`; between :math:`-1/N` and :math:`1/N`.

    Raises
    ------
    ValueError
        As :func:`binary_cross_entropy`.

    Examples
    --------
    >>> binary_cross_entropy_gradient([0.0, 1000.0], [1, 0])
    array([-0.25,  0.5 ])
    """
    z, y = _binary(logits, labels)
    return (sigmoid(z) - y) / z.dtype.type(z.size)


def softmax_cross_entropy(logits: ArrayLike, labels: ArrayLike) -> float:
    r"""Return the mean negative log-likelihood of class labels, :math:`\ln\sum_k e^{z_k} - z_y`.

    Parameters
    ----------
    logits : array_like, shape (N, K)
        Scores of N rows for K classes, in nats; N ≥ 1, K ≥ 2.
    labels : array_like of int, shape (N,)
        Classes from 0 to K − 1.

    Returns
    -------
    float
        Mean loss in nats, zero or more, finite.

    Raises
    ------
    ValueError
        If the shapes do not fit, nothing is given, there is one class only, a logit is not finite, or a label is
        not an integer from 0 to K − 1.

    Examples
    --------
    >>> print(f"{softmax_cross_entropy([[0.0, 0.0, 0.0, 0.0]], [2]):.6f}")  # a guess among four: ln 4
    1.386294
    """
    z, y = _categorical(logits, labels)
    return float(-np.mean(log_softmax(z)[np.arange(len(y)), y]))


def softmax_cross_entropy_gradient(logits: ArrayLike, labels: ArrayLike) -> Floats:
    r"""Return the gradient of :func:`softmax_cross_entropy` in the logits, :math:`(p - \mathrm{onehot}(y))/N`.

    Parameters
    ----------
    logits, labels : array_like
        As in :func:`softmax_cross_entropy`.

    Returns
    -------
    ndarray, shape (N, K)
        Every row sums to 0.

    Raises
    ------
    ValueError
        As :func:`softmax_cross_entropy`.

    Examples
    --------
    >>> softmax_cross_entropy_gradient([[0.0, 0.0, 0.0, 0.0]], [2])
    array([[ 0.25,  0.25, -0.75,  0.25]])
    """
    z, y = _categorical(logits, labels)
    gradient = softmax(z)
    gradient[np.arange(len(y)), y] -= 1
    return gradient / z.dtype.type(len(y))


def squared_error(predictions: ArrayLike, targets: ArrayLike) -> float:
    r"""Return the mean of :math:`(\hat y - y)^2`.

    It is :math:`2\sigma^2` times the negative log-likelihood of a Gaussian of fixed width :math:`\sigma` around
    the prediction, up to a constant.

    Parameters
    ----------
    predictions, targets : array_like, same shape, at least one element
        Finite numbers, in the same unit.

    Returns
    -------
    float
        In that unit, squared.

    Raises
    ------
    ValueError
        If the shapes differ, nothing is given, or a number is not finite.

    Examples
    --------
    >>> squared_error([1.0, 2.0], [1.0, 4.0])
    2.0
    """
    prediction, target = _pair(predictions, targets, "predictions", "targets")
    return float(np.mean((prediction - target) ** 2))


def squared_error_gradient(predictions: ArrayLike, targets: ArrayLike) -> Floats:
    r"""Return the gradient of :func:`squared_error` in the predictions, :math:`2(\hat y - y)/N`.

    Parameters
    ----------
    predictions, targets : array_like
        As in :func:`squared_error`; :math:`N` is the number of elements.

    Returns
    -------
    ndarray
        Same shape as `predictions`.

    Raises
    ------
    ValueError
        As :func:`squared_error`.

    Examples
    --------
    >>> squared_error_gradient([1.0, 2.0], [1.0, 4.0])
    array([ 0., -2.])
    """
    prediction, target = _pair(predictions, targets, "predictions", "targets")
    return 2 * (prediction - target) / prediction.dtype.type(prediction.size)


def kl_divergence(p: ArrayLike, q: ArrayLike, axis: int = -1) -> Floats:
    r"""Return :math:`D(p\,\|\,q) = \sum_k p_k \ln(p_k/q_k)`, with :math:`0 \ln 0 = 0`.

    Parameters
    ----------
    p, q : array_like, same shape, at least one dimension
        Probabilities that sum to 1 along `axis` (within 1e-5): what is true, and what is predicted.
    axis : int
        The axis of the classes; it disappears.

    Returns
    -------
    ndarray
        In nats, zero or more; infinite where `q` excludes what `p` allows.

    Raises
    ------
    ValueError
        If the shapes differ, the axis is empty or does not exist, or a row is not a distribution.

    Examples
    --------
    >>> p, q = [0.5, 0.5, 0.0], [0.25, 0.75, 0.0]
    >>> print(round(float(kl_divergence(p, q)), 4), round(float(kl_divergence(q, p)), 4))
    0.1438 0.1308
    """
    left, right = _pair(p, q, "p", "q")
    for name, array in (("p", left), ("q", right)):
        _check_distribution(_along(array, axis), name, axis)
    terms = np.zeros_like(left)
    possible = left > 0
    with np.errstate(divide="ignore"):  # q = 0 < p: infinitely surprising, and so it is returned
        # two logarithms: the quotient p/q would overflow for a tiny q
        terms[possible] = left[possible] * (np.log(left[possible]) - np.log(right[possible]))
    # rounding may leave -1e-17 for equal distributions
    return np.maximum(terms.sum(axis=axis), 0)


# ---------------------------------------------------------------------------------------------------------
# Validation


def _numbers(values: ArrayLike, name: str) -> Floats:
    """Return `values` as a float array without NaN and infinity; a cast would drop an imaginary part."""
    array = np.asarray(values)
    if array.dtype.kind == "c":
        raise ValueError(f"{name} must be real numbers, got an array of {array.dtype}")
    if array.dtype not in (np.float32, np.float64):
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"{name} must be numbers, got an array of {array.dtype}") from None
    bad = ~np.isfinite(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name} must be finite: {int(bad.sum())} of {array.size} are not, "
            f"the first is {array[where]} at position {list(where)}"
        )
    return array


def _along(array: Floats, axis: int) -> Floats:
    """Return `array` if it has at least one element along `axis`."""
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(f"axis is {axis}, but an array of shape {array.shape} has {array.ndim} dimensions")
    if array.shape[axis] == 0:
        raise ValueError(f"shape {array.shape} has no element along axis {axis}; at least one is needed")
    return array


def _pair(left: ArrayLike, right: ArrayLike, left_name: str, right_name: str) -> tuple[Floats, Floats]:
    """Return two float arrays of the same shape and dtype, not empty."""
    a, b = _numbers(left, left_name), _numbers(right, right_name)
    if a.shape != b.shape:
        raise ValueError(f"{left_name} and {right_name} must have the same shape, got {a.shape} and {b.shape}")
    if a.size == 0:
        raise ValueError(f"{left_name} and {right_name} are empty (shape {a.shape}); a mean needs one element or more")
    dtype = np.result_type(a, b)
    return a.astype(dtype, copy=False), b.astype(dtype, copy=False)


def _binary(logits: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    """Return logits and labels in [0, 1], of one shape, in the dtype of the logits."""
    z, y = _pair(logits, labels, "logits", "labels")
    outside = (y < 0) | (y > 1)
    if outside.any():
        raise ValueError(f"labels must lie in [0, 1], got {y[outside][0]:g}; for classes use softmax_cross_entropy")
    dtype = _numbers(logits, "logits").dtype
    return z.astype(dtype, copy=False), y.astype(dtype, copy=False)


def _categorical(logits: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.integer]]:
    """Return logits of shape (N, K) and integer labels of shape (N,) that fit."""
    z, y = _numbers(logits, "logits"), np.asarray(labels)
    if z.ndim != 2 or y.shape != z.shape[:1]:
        raise ValueError(f"logits must have shape (N, K) and labels (N,), got {z.shape} and {y.shape}")
    if len(z) == 0:
        raise ValueError(f"logits are empty (shape {z.shape}); a mean needs one row or more")
    if z.shape[1] < 2:
        raise ValueError(
            "logits have one class (column): its probability would always be 1; for one output use binary_cross_entropy"
        )
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"labels must be integers from 0 to {z.shape[1] - 1}, got an array of {y.dtype}")
    outside = (y < 0) | (y >= z.shape[1])
    if outside.any():
        raise ValueError(f"labels must lie between 0 and {z.shape[1] - 1}, got {y[outside][0]}")
    return z, y


def _check_distribution(array: Floats, name: str, axis: int) -> None:
    """Raise unless `array` is non-negative and sums to 1 along `axis`."""
    if array.min() < 0:
        raise ValueError(f"{name} must hold probabilities, got {array.min():g}")
    sums = array.sum(axis=axis)
    worst = float(np.ravel(sums)[np.argmax(np.abs(np.ravel(sums) - 1))])
    if abs(worst - 1) > 1e-5:
        raise ValueError(f"{name} must sum to 1 along axis {axis}, one row sums to {worst:g}; take a softmax first?")
