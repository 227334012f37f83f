r"""Activation functions and their derivatives, elementwise, in NumPy.

A unit computes :math:`h = \phi(a)` from its pre-activation :math:`a = \mathbf w^\top\mathbf x + b`. Each function
:math:`\phi` here has its derivative beside it, and :data:`ACTIVATIONS` holds both under one name.

============== ===================================== ============================= ==========================
name           :math:`\phi(a)`                       :math:`\phi'(a)`              range
============== ===================================== ============================= ==========================
``sigmoid``    :math:`1/(1+e^{-a})`                  :math:`\phi(1-\phi)`          (0, 1)
``tanh``       :math:`(e^a-e^{-a})/(e^a+e^{-a})`     :math:`1-\phi^2`              (−1, 1)
``relu``       :math:`\max(0, a)`                    0 or 1                        [0, ∞)
``leaky_relu`` :math:`a`, or :math:`sa` where a < 0  1 or the slope :math:`s`      all numbers
``gelu``       :math:`a\,\Phi(a)`                    :math:`\Phi(a)+a\,\Phi'(a)`   from about −0.17 on
============== ===================================== ============================= ==========================

:math:`\Phi` is the distribution function of the standard normal distribution. ReLU and leaky ReLU have no derivative
at 0; the value returned there is that of the left side, as in TensorFlow.

Chapter 01 derives the formulas. GELU: Hendrycks & Gimpel (2016), https://arxiv.org/abs/1606.08415.
float32 and float64 stay what they are, everything else becomes float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nnzen.mathematics import losses
from nnzen.mathematics.losses import Floats, _numbers

__all__ = [
    "ACTIVATIONS",
    "LEAKY_SLOPE",
    "Activation",
    "gelu",
    "gelu_derivative",
    "leaky_relu",
    "leaky_relu_derivative",
    "relu",
    "relu_derivative",
    "sigmoid",
    "sigmoid_derivative",
    "tanh",
    "tanh_derivative",
]

LEAKY_SLOPE = 0.01
"""Slope of the leaky ReLU's left branch in this book; libraries differ (Keras' function has 0.2, its layer 0.3)."""


def sigmoid(a: ArrayLike) -> Floats:
    r"""Return :math:`\sigma(a) = 1/(1+e^{-a})`, elementwise, as :func:`nnzen.mathematics.losses.sigmoid` does.

    Parameters
    ----------
    a : array_like, any shape
        Pre-activations.

    Returns
    -------
    ndarray
        Of the same shape, from 0 to 1.

    Raises
    ------
    ValueError
        If a pre-activation is NaN, infinite or complex.

    Examples
    --------
    >>> sigmoid([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    return losses.sigmoid(_pre_activations(a))


def sigmoid_derivative(a: ArrayLike) -> Floats:
    r"""Return :math:`\sigma'(a) = \sigma(a)\,\sigma(-a)`, elementwise.

    That is :math:`\sigma(1-\sigma)` without the subtraction, which would lose all digits for large :math:`a`.

    Parameters
    ----------
    a : array_like, any shape
        Pre-activations.

    Returns
    -------
    ndarray
        Of the same shape, between 0 and 1/4.

    Raises
    ------
    ValueError
        If a pre-activation is NaN, infinite or complex.

    Examples
    --------
    >>> sigmoid_derivative([-1000.0, 0.0])
    array([0.  , 0.25])
    """
    a = _pre_activations(a)
    return sigmoid(a) * sigmoid(-a)


def tanh(a: ArrayLike) -> Floats:
    r"""Return :math:`\tanh a = 2\sigma(2a) - 1`, elementwise.

    Parameters
    ----------
    a : array_like, any shape
        Pre-activations.

    Returns
    -------
    ndarray
        Of the same shape, from −1 to 1.

    Raises
    ------
    ValueError
        If a pre-activation is NaN, infinite or complex.

    Examples
    --------
    >>> tanh([-1000.0, 0.0, 1000.0])
    array([-1.,  0.,  1.])
    """
    return np.tanh(_pre_activations(a))


def tanh_derivative(a: ArrayLike) -> Floats:
    r"""Return :math:`\tanh' a = 1 - \tanh^2 a`, elementwise, as :math:`4\sigma'(2a)`, which keeps its digits.

    Parameters
    ----------
    a : array_like, any shape
        Pre-activations.

    Returns
    -------
    ndarray
        Of the same shape, between 0 and 1.

    Raises
    ------
    ValueError
        If a pre-activation is NaN, infinite or complex.

    Examples
    --------
    >>> tanh_derivative([-1000.0, 0.0])
    array([0., 1.])
    """
    a = _pre_activations(a)
    limit = a.dtype.type(1000)  # the derivative is 0 long before; doubling cannot overflow
    return 4 * sigmoid_derivative(2 * np.clip(a, -limit, limit))


def relu(a: ArrayLike) -> Floats:
    r"""Return :math:`\max(0, a)`, elementwise.

    Parameters
    ----------
    a : array_like, any shape
        Pre-activations.

    Returns
    -------
    ndarray
        Of the same shape, zero or more.

    Raises
    ------
    ValueError
        If a pre-activation is NaN, infinite or complex.

    Examples
    --------
    >>> relu([-2.0, 0.0, 3.0])
    array([0., 0., 3.])
    """
    a = _pre_activations(a)
    return np.maximum(a, 0)


def relu_derivative(a: ArrayLike) -> Floats:
    r"""Return 1 where :math:`a > 0` and 0 elsewhere; 0 at the kink, where there is no derivative.

    Parameters
    ----------
    a : array_like, any shape
        Pre-activations.

    Returns
    -------
    ndarray
        Of the same shape and precision.

    Raises
    ------
    ValueError
        If a pre-activation is NaN, infinite or complex.

    Examples
    --------
    >>> relu_derivative([-2.0, 0.0, 3.0])
    array([0., 0., 1.])
    """
    a = _pre_activations(a)
    return (a > 0).astype(a.dtype)


def leaky_relu(a: ArrayLike, slope: float = LEAKY_SLOPE) -> Floats:
    r"""Return :math:`a` where it is positive and `slope` times :math:`a` elsewhere.

    Parameters
    ----------
    a : array_like, any shape
        Pre-activations.
    slope : float
        Of the left branch, from 0 (a ReLU) up to, but not including, 1 (no bend).

    Returns
    -------
    ndarray
        Of the same shape.

    Raises
    ------
    ValueError
        If a pre-activation is NaN, infinite or complex, or the slope is not in [0, 1).

    Examples
    --------
    >>> leaky_relu([-2.0, 0.0, 3.0], slope=0.25)
    array([-0.5,  0. ,  3. ])
    """
    a, slope = _pre_activations(a), _slope(slope)
    return np.where(a > 0, a, a.dtype.type(slope) * a)[()]


def leaky_relu_derivative(a: ArrayLike, slope: float = LEAKY_SLOPE) -> Floats:
    r"""Return 1 where :math:`a > 0` and `slope` elsewhere, at the kink too.

    Parameters
    ----------
    a : array_like, any shape
        Pre-activations.
    slope : float
        As in :func:`leaky_relu`.

    Returns
    -------
    ndarray
        Of the same shape.

    Raises
    ------
    ValueError
        As :func:`leaky_relu`.

    Examples
    --------
    >>> leaky_relu_derivative([-2.0, 0.0, 3.0], slope=0.25)
    array([0.25, 0.25, 1.  ])
    """
    a, slope = _pre_activations(a), _slope(slope)
    return np.where(a > 0, a.dtype.type(1), a.dtype.type(slope))[()]


def gelu(a: ArrayLike) -> Floats:
    r"""Return :math:`a\,\Phi(a)`, elementwise: the exact form, not the approximation by tanh.

    Parameters
    ----------
    a : array_like, any shape
        Pre-activations.

    Returns
    -------
    ndarray
        Of the same shape. The smallest value is about −0.17, near :math:`a = -0.75`.

    Raises
    ------
    ValueError
        If a pre-activation is NaN, infinite or complex.

    Examples
    --------
    >>> gelu([-1.0, 0.0, 1.0]).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    a = _pre_activations(a)
    return a * _normal_cdf(a)


def gelu_derivative(a: ArrayLike) -> Floats:
    r"""Return :math:`\Phi(a) + a\,\Phi'(a)`, elementwise, with the density :math:`\Phi'(a) = e^{-a^2/2}/\sqrt{2\pi}`.

    Parameters
    ----------
    a : array_like, any shape
        Pre-activations.

    Returns
    -------
    ndarray
        Of the same shape, from about −0.13 to 1.13: unlike the others it leaves the interval from 0 to 1.

    Raises
    ------
    ValueError
        If a pre-activation is NaN, infinite or complex.

    Examples
    --------
    >>> gelu_derivative([-1.0, 0.0, 1.0]).round(4)
    array([-0.0833,  0.5   ,  1.0833])
    """
    a = _pre_activations(a)
    near = np.clip(a, -50, 50)  # beyond, the density is 0 in either precision; the square cannot overflow
    density = np.exp(-near * near / 2) / a.dtype.type(math.sqrt(2 * math.pi))
    return _normal_cdf(a) + near * density


@dataclass(frozen=True)
class Activation:
    """A function and its derivative, under one name.

    Attributes
    ----------
    name : str
        The key in :data:`ACTIVATIONS`.
    function, derivative : callable
        Arrays of pre-activations to arrays of the same shape.

    Examples
    --------
    >>> bend = ACTIVATIONS["relu"]
    >>> bend([-1.0, 2.0]), bend.derivative([-1.0, 2.0])
    (array([0., 2.]), array([0., 1.]))
    """

    name: str
    function: Callable[..., Floats]
    derivative: Callable[..., Floats]

    def __call__(self, a: ArrayLike, **settings: Any) -> Floats:
        """Apply the function; `settings` go to it (`slope` of a leaky ReLU)."""
        return self.function(a, **settings)


ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        "sigmoid": Activation("sigmoid", sigmoid, sigmoid_derivative),
        "tanh": Activation("tanh", tanh, tanh_derivative),
        "relu": Activation("relu", relu, relu_derivative),
        "leaky_relu": Activation("leaky_relu", leaky_relu, leaky_relu_derivative),
        "gelu": Activation("gelu", gelu, gelu_derivative),
    }
)
"""The five activations of chapter 01, by name, read-only.

:meta hide-value:
"""


def _pre_activations(a: ArrayLike) -> Floats:
    return _numbers(a, "pre-activations")


def _normal_cdf(a: Floats) -> Floats:
    """Return Φ, by the complementary error function: 1 + erf would lose all digits far to the left."""
    from scipy.special import erfc

    return erfc(-a / a.dtype.type(math.sqrt(2))) / 2


def _slope(slope: float) -> float:
    """Return the slope if it bends the line and keeps it rising."""
    if not isinstance(slope, Real) or not 0 <= slope < 1:
        raise ValueError(f"slope is {slope!r}; it must be a number from 0 up to, but not including, 1")
    return float(slope)
