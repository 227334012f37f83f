r"""Initial weights, and what they do to a signal on its way through many layers.

A layer :math:`\mathbf a = \mathbf W^\top\mathbf h` with independent weights of mean 0 and variance :math:`v` multiplies
the mean square of its input, on average over the weights, by :math:`n_\text{in} v`, and the mean square of a gradient
on its way back by :math:`n_\text{out} v`. Two choices keep both near 1:

============ ============================================= =========================================================
scheme       variance of a weight                          for
============ ============================================= =========================================================
Glorot       :math:`2/(n_\text{in} + n_\text{out})`        activations that are about linear near 0, such as tanh
He           :math:`2/n_\text{in}`                         ReLU, which lets half of the mean square pass
============ ============================================= =========================================================

A uniform distribution on :math:`(-r, r)` has the variance :math:`r^2/3`. A convolution's unit has as many inputs as
its kernel has entries. Chapter 04 derives all of it.

References: Glorot & Bengio (2010), https://proceedings.mlr.press/v9/glorot10a.html; He et al. (2015),
https://arxiv.org/abs/1502.01852; Saxe, McClelland & Ganguli (2014), https://arxiv.org/abs/1312.6120, for orthogonal
weights; Cho & Saul (2009) for the angle between two inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nnzen.mathematics.losses import Floats, _numbers

__all__ = [
    "Fans",
    "fans",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "orthogonal",
    "relu_correlation",
]


@dataclass(frozen=True)
class Fans:
    """How many weights meet in one unit.

    Attributes
    ----------
    fan_in : int
        Inputs of one output unit.
    fan_out : int
        Outputs that one input unit reaches (of a convolution with stride 1, away from the border).
    """

    fan_in: int
    fan_out: int


def fans(shape: Sequence[int]) -> Fans:
    """Return the fans of a dense layer's weights or of a convolution's kernel.

    Parameters
    ----------
    shape : sequence of int
        (D_in, D_out), or the kernel's sides followed by (C_in, C_out), as in Keras.

    Returns
    -------
    Fans

    Raises
    ------
    ValueError
        If there are fewer than two lengths, or one is not a whole number of at least 1.

    Examples
    --------
    >>> fans((784, 50))
    Fans(fan_in=784, fan_out=50)
    >>> fans((3, 3, 16, 32))
    Fans(fan_in=144, fan_out=288)
    """
    sizes = _shape(shape)
    window = math.prod(sizes[:-2])
    return Fans(window * sizes[-2], window * sizes[-1])


def glorot_normal(shape: Sequence[int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw normal weights of variance 2/(fan_in + fan_out).

    Parameters
    ----------
    shape : sequence of int
        As in :func:`fans`.
    rng : numpy.random.Generator
        Where to draw from.

    Returns
    -------
    ndarray of float64, of that shape
        Not truncated, unlike Keras', which cuts two standard deviations off and rescales.

    Raises
    ------
    ValueError
        As :func:`fans`.
    TypeError
        If `rng` is not a generator.

    Examples
    --------
    >>> glorot_normal((300, 100), np.random.default_rng(0)).std().round(3)
    np.float64(0.071)
    """
    found = fans(shape)
    return _normal(shape, rng, 2 / (found.fan_in + found.fan_out))


def glorot_uniform(shape: Sequence[int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw uniform weights of variance 2/(fan_in + fan_out): the default of Keras' layers.

    Parameters
    ----------
    shape, rng
        As in :func:`glorot_normal`.

    Returns
    -------
    ndarray of float64, of that shape
        Between plus and minus the root of 6/(fan_in + fan_out).

    Raises
    ------
    ValueError, TypeError
        As :func:`glorot_normal`.

    Examples
    --------
    >>> abs(glorot_uniform((300, 100), np.random.default_rng(0))).max().round(3)
    np.float64(0.122)
    """
    found = fans(shape)
    return _uniform(shape, rng, 2 / (found.fan_in + found.fan_out))


def he_normal(shape: Sequence[int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw normal weights of variance 2/fan_in.

    Parameters
    ----------
    shape, rng
        As in :func:`glorot_normal`.

    Returns
    -------
    ndarray of float64, of that shape
        Not truncated, unlike Keras'.

    Raises
    ------
    ValueError, TypeError
        As :func:`glorot_normal`.

    Examples
    --------
    >>> he_normal((200, 100), np.random.default_rng(0)).std().round(2)
    np.float64(0.1)
    """
    return _normal(shape, rng, 2 / fans(shape).fan_in)


def he_uniform(shape: Sequence[int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw uniform weights of variance 2/fan_in.

    Parameters
    ----------
    shape, rng
        As in :func:`glorot_normal`.

    Returns
    -------
    ndarray of float64, of that shape
        Between plus and minus the root of 6/fan_in.

    Raises
    ------
    ValueError, TypeError
        As :func:`glorot_normal`.

    Examples
    --------
    >>> abs(he_uniform((600, 100), np.random.default_rng(0))).max().round(2)
    np.float64(0.1)
    """
    return _uniform(shape, rng, 2 / fans(shape).fan_in)


def orthogonal(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> NDArray[np.float64]:
    r"""Draw weights whose rows or columns, whichever are fewer, are orthogonal, uniformly among all such matrices.

    A square one keeps every length and every angle when `gain` is 1. The Q of a QR decomposition of a normal matrix
    becomes uniform once its columns are multiplied by the signs of R's diagonal (Mezzadri 2007).

    Parameters
    ----------
    shape : sequence of int
        (D_in, D_out); of a convolution's kernel all axes but the last count as one.
    rng : numpy.random.Generator
        Where to draw from.
    gain : float
        Length of the rows or columns, a finite number above 0; :math:`\sqrt2` before a ReLU.

    Returns
    -------
    ndarray of float64, of that shape

    Raises
    ------
    ValueError
        As :func:`fans`, or if the gain is not a finite number above 0.
    TypeError
        If `rng` is not a generator.

    Examples
    --------
    >>> w = orthogonal((5, 3), np.random.default_rng(0))
    >>> np.allclose(w.T @ w, np.eye(3))
    True
    """
    sizes = _shape(shape)
    if isinstance(gain, bool) or not (math.isfinite(gain) and gain > 0):
        raise ValueError(f"gain is {gain}; it must be a finite number above 0")
    rows, columns = math.prod(sizes[:-1]), sizes[-1]
    normal = _generator(rng).normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return gain * (q if rows >= columns else q.T).reshape(sizes)


def relu_correlation(correlation: ArrayLike) -> Floats:
    r"""Return the cosine between two inputs after one wide ReLU layer with He weights, from the cosine before it.

    With :math:`c = \cos\vartheta` it is
    :math:`\frac1\pi\big(\sqrt{1-c^2} + (\pi - \vartheta)\,c\big)`, never less than :math:`c`: two inputs come closer.

    Parameters
    ----------
    correlation : array_like, any shape
        Cosines :math:`c`, from −1 to 1; rounding errors of 1e-6 beyond are cut off.

    Returns
    -------
    ndarray
        Of the same shape, from 0 to 1.

    Raises
    ------
    ValueError
        If a cosine is not a finite number from −1 to 1.

    Notes
    -----
    Exact in the limit of infinite width, where it is the arc-cosine kernel of order 1: Cho & Saul (2009), *Kernel
    methods for deep learning*, eq. 6.

    Examples
    --------
    >>> relu_correlation([-1.0, 0.0, 1.0]).round(4)
    array([0.    , 0.3183, 1.    ])
    """
    c = _numbers(correlation, "correlation")
    if c.size and np.abs(c).max() > 1 + 1e-6:
        raise ValueError(f"correlation must lie between -1 and 1, got {c.flat[np.abs(c).argmax()]:g}")
    c = np.clip(c, -1, 1)
    pi = c.dtype.type(math.pi)
    return (np.sqrt((1 - c) * (1 + c)) + (pi - np.arccos(c)) * c) / pi


# ---------------------------------------------------------------------------------------------------------
# Drawing and validation


def _normal(shape: Sequence[int], rng: Any, variance: float) -> NDArray[np.float64]:
    return _generator(rng).normal(scale=math.sqrt(variance), size=_shape(shape))


def _uniform(shape: Sequence[int], rng: Any, variance: float) -> NDArray[np.float64]:
    limit = math.sqrt(3 * variance)
    return _generator(rng).uniform(-limit, limit, size=_shape(shape))


def _generator(rng: Any) -> np.random.Generator:
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng is a {type(rng).__name__}; it must be a generator, such as numpy.random.default_rng(0)")
    return rng


def _shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape as a tuple of at least two whole numbers, each 1 or more."""
    try:
        sizes = tuple(shape)
    except TypeError:
        raise ValueError(f"shape is {shape!r}; it must be a sequence such as (inputs, outputs)") from None
    if len(sizes) < 2:
        raise ValueError(f"shape is {sizes}; weights have two axes or more, the last two for inputs and outputs")
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
            raise ValueError(f"shape is {sizes}; every length must be a whole number of at least 1, got {size!r}")
    return tuple(int(size) for size in sizes)
