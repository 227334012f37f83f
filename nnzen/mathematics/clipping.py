r"""Gradient clipping: a bound on the length of a step.

Clipping by the **global norm** treats all gradients as one long vector :math:`\mathbf g` and, where it is longer than a
bound :math:`c`, shortens it to that length,

.. math::

    \operatorname{clip}(\mathbf g) = \mathbf g\,\min\Big(1, \frac{c}{\lVert\mathbf g\rVert}\Big) ,

so that a step of gradient descent is never longer than :math:`\eta c` and never changes its direction. Clipping by
**value** bounds every entry for itself, and turns the step.

Reference: Pascanu, Mikolov & Bengio (2013), https://arxiv.org/abs/1211.5063.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nnzen.mathematics.losses import Floats, _numbers

__all__ = ["Clipped", "clip_by_global_norm", "clip_by_value", "global_norm"]


@dataclass(frozen=True, eq=False)
class Clipped:
    """Gradients after clipping.

    Attributes
    ----------
    gradients : tuple of ndarray of float
        Each of the shape that it had.
    norm : float
        Length of all gradients together *before* clipping.
    """

    gradients: tuple[Floats, ...]
    norm: float

    def __str__(self) -> str:
        """Say what was clipped in one line."""
        return f"{len(self.gradients)} gradient(s), global norm {self.norm:.4g} before clipping"


def global_norm(gradients: Sequence[ArrayLike]) -> float:
    """Return the Euclidean length of all gradients, taken together as one vector.

    Parameters
    ----------
    gradients : sequence of array_like
        Arrays of any shapes.

    Returns
    -------
    float
        Zero or more; 0 for no gradients. It cannot overflow unless the length itself does.

    Raises
    ------
    ValueError
        If a number is NaN, infinite or complex; the message says in which gradient.

    Examples
    --------
    >>> global_norm([[3.0], [[0.0, 4.0]]])
    5.0
    """
    arrays = _arrays(gradients)
    largest = max((float(np.abs(a).max()) for a in arrays if a.size), default=0.0)
    if largest == 0:
        return 0.0
    return largest * math.sqrt(math.fsum(float(np.sum((a.astype(np.float64) / largest) ** 2)) for a in arrays))


def clip_by_global_norm(gradients: Sequence[ArrayLike], max_norm: float) -> Clipped:
    """Shorten all gradients by one factor if together they are longer than a bound.

    Parameters
    ----------
    gradients : sequence of array_like
        Arrays of any shapes.
    max_norm : float
        The longest global norm allowed, a finite number above 0.

    Returns
    -------
    Clipped
        The gradients and their global norm before.

    Raises
    ------
    ValueError
        As :func:`global_norm`, or if `max_norm` is not a finite number above 0. A gradient that is not finite is
        refused, because scaling cannot repair it.

    Examples
    --------
    >>> clipped = clip_by_global_norm([[3.0], [0.0, 4.0]], max_norm=1.0)
    >>> print(clipped)
    2 gradient(s), global norm 5 before clipping
    >>> clipped.gradients[1]
    array([0. , 0.8])
    """
    bound = _bound(max_norm, "max_norm")
    arrays, norm = _arrays(gradients), global_norm(gradients)
    factor = bound / norm if norm > bound else 1.0
    return Clipped(tuple(a * a.dtype.type(factor) for a in arrays), norm)


def clip_by_value(gradients: Sequence[ArrayLike], limit: float) -> Clipped:
    """Cut every entry of every gradient to the interval from −limit to limit; this turns the gradient.

    Parameters
    ----------
    gradients : sequence of array_like
        Arrays of any shapes.
    limit : float
        A finite number above 0.

    Returns
    -------
    Clipped
        The gradients and their global norm before.

    Raises
    ------
    ValueError
        As :func:`clip_by_global_norm`.

    Examples
    --------
    >>> clip_by_value([[3.0, -0.5]], limit=1.0).gradients
    (array([ 1. , -0.5]),)
    """
    bound = _bound(limit, "limit")
    arrays = _arrays(gradients)
    return Clipped(tuple(np.clip(a, -bound, bound) for a in arrays), global_norm(gradients))


def _arrays(gradients: Sequence[ArrayLike]) -> list[Floats]:
    return [_numbers(gradient, f"gradient {i}") for i, gradient in enumerate(gradients)]


def _bound(value: float, name: str) -> float:
    if isinstance(value, bool) or not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value}; it must be a finite number above 0")
    return float(value)
