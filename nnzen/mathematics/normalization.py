r"""Batch, layer and RMS normalization, forwards and backwards, in NumPy.

All three standardize numbers that belong together and then give every feature a gain :math:`\gamma` and a shift
:math:`\beta` of its own (RMS normalization: a gain only). They differ in which numbers belong together and in whether
their mean is subtracted:

=========== ===================================== ===========================================================
name        taken together                        standardized value :math:`\hat x`
=========== ===================================== ===========================================================
batch norm  one feature, all examples of a batch  :math:`(x - \mu)/s`, :math:`s = \sqrt{v + \varepsilon}`
layer norm  one example, all features             :math:`(x - \mu)/s`
RMS norm    one example, all features             :math:`x/r`, :math:`r = \sqrt{\overline{x^2} + \varepsilon}`
=========== ===================================== ===========================================================

Here :math:`\mu` and :math:`v` are the mean and the variance of the :math:`n` numbers (divided by :math:`n`). With
:math:`g = \gamma\,\partial L/\partial y`, the gradient in :math:`\hat x`, and means over the same numbers,

.. math::

    \frac{\partial L}{\partial x} &= \frac1s\Big(g - \overline g - \hat x\,\overline{g\hat x}\Big)
        &&\text{batch, layer} \\
    \frac{\partial L}{\partial x} &= \frac1r\Big(g - \hat x\,\overline{g\hat x}\Big) &&\text{RMS}

so that (for :math:`\varepsilon = 0`) it is orthogonal to :math:`\hat x`, and for the first two to the constants.

Arrays are channels-last: the last axis counts the features; batch norm takes all other axes together, as in Keras.
The defaults of :math:`\varepsilon` are those of Keras. Chapter 04 derives the formulas.

References: Ioffe & Szegedy (2015), https://arxiv.org/abs/1502.03167; Ba, Kiros & Hinton (2016),
https://arxiv.org/abs/1607.06450; Zhang & Sennrich (2019), https://arxiv.org/abs/1910.07467.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nnzen.mathematics.losses import Floats, _numbers

__all__ = [
    "NormGradients",
    "batch_norm",
    "batch_norm_gradients",
    "batch_norm_inference",
    "layer_norm",
    "layer_norm_gradients",
    "rms_norm",
    "rms_norm_gradients",
]


@dataclass(frozen=True, eq=False)
class NormGradients:
    """Gradients of a loss through a normalization, each of the shape of what it is the gradient in.

    Attributes
    ----------
    x : ndarray of float, shape (..., D)
    gain : ndarray of float, shape (D,)
    shift : ndarray of float, shape (D,)
        Of RMS normalization, which has no shift, this is the gradient in a constant that is added to its result.
    """

    x: Floats
    gain: Floats
    shift: Floats


def batch_norm(
    x: ArrayLike, gain: ArrayLike | None = None, shift: ArrayLike | None = None, *, epsilon: float = 1e-3
) -> Floats:
    """Standardize every feature over the batch, as batch normalization does in training.

    Parameters
    ----------
    x : array_like, shape (..., D)
        A batch; all axes but the last are taken together.
    gain, shift : array_like, shape (D,), optional
        Applied to the standardized features; 1 and 0 by default.
    epsilon : float
        Added to the variance, zero or more.

    Returns
    -------
    ndarray
        Of the shape of `x`. A feature that is constant in the batch (as in a batch of one) becomes its shift.

    Raises
    ------
    ValueError
        If the shapes do not fit, the batch is empty, a number is not finite, or `epsilon` is negative.

    Examples
    --------
    >>> batch_norm([[0.0, 5.0], [2.0, 5.0]], epsilon=0.0)
    array([[-1.,  0.],
           [ 1.,  0.]])
    """
    array = _array(x)
    standardized, _ = _standardize(array, _batch_axes(array), epsilon, center=True)
    return _scale(standardized, gain, shift)


def batch_norm_inference(
    x: ArrayLike,
    mean: ArrayLike,
    variance: ArrayLike,
    gain: ArrayLike | None = None,
    shift: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
) -> Floats:
    """Apply batch normalization with fixed statistics, as it is done after training: every example for itself.

    Parameters
    ----------
    x : array_like, shape (..., D)
        Any number of examples.
    mean, variance : array_like, shape (D,)
        Of every feature, gathered in training; no variance below 0.
    gain, shift, epsilon
        As in :func:`batch_norm`.

    Returns
    -------
    ndarray
        Of the shape of `x`.

    Raises
    ------
    ValueError
        As :func:`batch_norm`, or if a variance is negative, or if a variance and `epsilon` are both 0.

    Examples
    --------
    >>> batch_norm_inference([[3.0]], mean=[1.0], variance=[4.0], epsilon=0.0)
    array([[1.]])
    """
    array = _array(x)
    center, spread = _feature_vector(array, mean, "mean", 0.0), _feature_vector(array, variance, "variance", 1.0)
    if spread.min() < 0:
        raise ValueError(f"variance must not be negative, got {spread.min():g}")
    if spread.min() + _epsilon(epsilon) == 0:
        raise ValueError("a variance is 0 and so is epsilon; the feature cannot be divided by its standard deviation")
    return _scale((array - center) / np.sqrt(spread + array.dtype.type(epsilon)), gain, shift)


def batch_norm_gradients(
    x: ArrayLike, grad_output: ArrayLike, gain: ArrayLike | None = None, *, epsilon: float = 1e-3
) -> NormGradients:
    """Return the gradients of a loss through :func:`batch_norm`, mean and variance of the batch included.

    Parameters
    ----------
    x : array_like, shape (..., D)
        The input of the forward pass.
    grad_output : array_like, shape (..., D)
        Gradient of the loss in the result.
    gain : array_like, shape (D,), optional
        As in :func:`batch_norm`.
    epsilon : float
        As in :func:`batch_norm`.

    Returns
    -------
    NormGradients

    Raises
    ------
    ValueError
        As :func:`batch_norm`, or if `grad_output` differs from `x` in shape.

    Examples
    --------
    >>> batch_norm_gradients([[0.0], [1.0], [5.0]], [[1.0], [1.0], [1.0]]).x  # a constant is normalized away
    array([[0.],
           [0.],
           [0.]])
    """
    array = _array(x)
    return _gradients(array, grad_output, gain, _batch_axes(array), epsilon, center=True)


def layer_norm(
    x: ArrayLike, gain: ArrayLike | None = None, shift: ArrayLike | None = None, *, epsilon: float = 1e-3
) -> Floats:
    """Standardize every example over its features.

    Parameters
    ----------
    x : array_like, shape (..., D)
        Examples; the last axis is standardized.
    gain, shift, epsilon
        As in :func:`batch_norm`.

    Returns
    -------
    ndarray
        Of the shape of `x`.

    Raises
    ------
    ValueError
        As :func:`batch_norm`.

    Examples
    --------
    >>> layer_norm([[1.0, 3.0]], epsilon=0.0)
    array([[-1.,  1.]])
    """
    standardized, _ = _standardize(_array(x), (-1,), epsilon, center=True)
    return _scale(standardized, gain, shift)


def layer_norm_gradients(
    x: ArrayLike, grad_output: ArrayLike, gain: ArrayLike | None = None, *, epsilon: float = 1e-3
) -> NormGradients:
    """Return the gradients of a loss through :func:`layer_norm`.

    Parameters
    ----------
    x, grad_output, gain, epsilon
        As in :func:`batch_norm_gradients`.

    Returns
    -------
    NormGradients

    Raises
    ------
    ValueError
        As :func:`batch_norm_gradients`.

    Examples
    --------
    >>> layer_norm_gradients([[1.0, 3.0, 8.0]], [[2.0, 2.0, 2.0]]).x
    array([[0., 0., 0.]])
    """
    return _gradients(_array(x), grad_output, gain, (-1,), epsilon, center=True)


def rms_norm(x: ArrayLike, gain: ArrayLike | None = None, *, epsilon: float = 1e-6) -> Floats:
    """Divide every example by the root of its mean square.

    Parameters
    ----------
    x : array_like, shape (..., D)
        Examples; the last axis is normalized.
    gain : array_like, shape (D,), optional
        As in :func:`batch_norm`.
    epsilon : float
        Added to the mean square, zero or more.

    Returns
    -------
    ndarray
        Of the shape of `x`.

    Raises
    ------
    ValueError
        As :func:`batch_norm`.

    Examples
    --------
    >>> rms_norm([[1.0, 7.0]], epsilon=0.0)
    array([[0.2, 1.4]])
    """
    standardized, _ = _standardize(_array(x), (-1,), epsilon, center=False)
    return _scale(standardized, gain, None)


def rms_norm_gradients(
    x: ArrayLike, grad_output: ArrayLike, gain: ArrayLike | None = None, *, epsilon: float = 1e-6
) -> NormGradients:
    """Return the gradients of a loss through :func:`rms_norm`.

    Parameters
    ----------
    x, grad_output, gain, epsilon
        As in :func:`batch_norm_gradients` and :func:`rms_norm`.

    Returns
    -------
    NormGradients

    Raises
    ------
    ValueError
        As :func:`batch_norm_gradients`.

    Examples
    --------
    >>> rms_norm_gradients([[3.0, 4.0]], [[3.0, 4.0]], epsilon=0.0).x.round(12) + 0.0  # the length is normalized away
    array([[0., 0.]])
    """
    return _gradients(_array(x), grad_output, gain, (-1,), epsilon, center=False)


# ---------------------------------------------------------------------------------------------------------
# What the three have in common


def _standardize(x: Floats, axes: tuple[int, ...], epsilon: float, *, center: bool) -> tuple[Floats, Floats]:
    """Return the standardized array and what it was divided by, where the latter is 0 a 1."""
    centered = x - x.mean(axis=axes, keepdims=True) if center else x
    mean_square = np.mean(centered * centered, axis=axes, keepdims=True)
    divisor = np.sqrt(mean_square + x.dtype.type(_epsilon(epsilon)))
    divisor = np.where(divisor == 0, x.dtype.type(1), divisor)  # all zeros stay zeros
    return centered / divisor, divisor


def _gradients(
    x: Floats, grad_output: ArrayLike, gain: ArrayLike | None, axes: tuple[int, ...], epsilon: float, *, center: bool
) -> NormGradients:
    g_y = _array(grad_output, "grad_output")
    if g_y.shape != x.shape:
        raise ValueError(f"grad_output must have the shape of x, {x.shape}, got {g_y.shape}")
    g_y = g_y.astype(x.dtype, copy=False)
    standardized, divisor = _standardize(x, axes, epsilon, center=center)
    g = g_y * _feature_vector(x, gain, "gain", 1.0)
    g_x = g - standardized * np.mean(g * standardized, axis=axes, keepdims=True)
    if center:
        g_x = g_x - g.mean(axis=axes, keepdims=True)
    rows = _batch_axes(x)
    return NormGradients(g_x / divisor, np.sum(g_y * standardized, axis=rows), np.sum(g_y, axis=rows))


def _scale(standardized: Floats, gain: ArrayLike | None, shift: ArrayLike | None) -> Floats:
    return standardized * _feature_vector(standardized, gain, "gain", 1.0) + _feature_vector(
        standardized, shift, "shift", 0.0
    )


# ---------------------------------------------------------------------------------------------------------
# Validation


def _array(x: ArrayLike, name: str = "x") -> Floats:
    array = _numbers(x, name)
    if array.ndim < 2 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; it must be (examples, features), neither of them 0")
    return array


def _batch_axes(x: Floats) -> tuple[int, ...]:
    return tuple(range(x.ndim - 1))


def _feature_vector(x: Floats, values: ArrayLike | None, name: str, default: float) -> Floats:
    """Return one number a feature, in the dtype of `x`."""
    if values is None:
        return np.full(x.shape[-1], default, dtype=x.dtype)
    vector = _numbers(values, name)
    if vector.shape != x.shape[-1:]:
        raise ValueError(f"{name} must have one number for each of {x.shape[-1]} features, got shape {vector.shape}")
    return vector.astype(x.dtype, copy=False)


def _epsilon(epsilon: float) -> float:
    if isinstance(epsilon, bool) or not (math.isfinite(epsilon) and epsilon >= 0):
        raise ValueError(f"epsilon is {epsilon}; it must be a finite number, zero or more")
    return float(epsilon)
