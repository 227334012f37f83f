r"""Gradient descent, heavy ball and Nesterov's method, and how fast they are on a quadratic, in NumPy.

With parameters :math:`\theta`, gradient :math:`g`, learning rate :math:`\eta` and momentum :math:`\beta` one step is

================  ===============================================================================================
gradient descent  :math:`\theta \leftarrow \theta - \eta g`
heavy ball        :math:`v \leftarrow \beta v - \eta g`, then :math:`\theta \leftarrow \theta + v`
Nesterov          :math:`v \leftarrow \beta v - \eta g`, then :math:`\theta \leftarrow \theta + \beta v - \eta g`
================  ===============================================================================================

In the last line :math:`\theta` is the point looked ahead to, at which the gradient is wanted: the form in which Keras'
``SGD`` writes it, and all three equal that optimizer. On a quadratic whose curvatures lie between :math:`\mu` and
:math:`L`, :func:`convergence_factor` says by which factor the error shrinks per step, and three functions give the
parameters for which that factor is known in closed form, with :math:`\kappa = L/\mu`. Chapter 05 derives all of it;
see also Polyak (1964), `doi:10.1016/0041-5553(64)90137-5 <https://doi.org/10.1016/0041-5553(64)90137-5>`_, and
Nesterov (2018), *Lectures on Convex Optimization*, §2.2.

An optimizer takes one array; a network keeps its parameters in one vector. float32 stays float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "GradientDescent",
    "HeavyBall",
    "Nesterov",
    "Sharpness",
    "Tuned",
    "convergence_factor",
    "sharpness",
    "tuned_gradient_descent",
    "tuned_heavy_ball",
    "tuned_nesterov",
]

Floats = NDArray[np.floating]


# ---------------------------------------------------------------------------------------------------------
# The methods


@dataclass
class GradientDescent:
    r"""Gradient descent: :math:`\theta \leftarrow \theta - \eta g`.

    Parameters
    ----------
    learning_rate : float
        :math:`\eta > 0`. It may be changed between steps.

    Raises
    ------
    ValueError
        If the learning rate is not a positive number.

    Examples
    --------
    >>> GradientDescent(0.1).step([1.0, 2.0], [10.0, 0.0])
    array([0., 2.])
    """

    learning_rate: float

    def __post_init__(self) -> None:
        _check_learning_rate(self.learning_rate)

    def step(self, parameters: ArrayLike, gradient: ArrayLike) -> Floats:
        r"""Return the parameters after one step; the arguments stay as they are.

        Parameters
        ----------
        parameters, gradient : array_like, same shape
            :math:`\theta` and :math:`g`. NaN and infinity pass through: a run that diverges shows it.

        Returns
        -------
        ndarray
            New parameters, same shape.

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        theta, g = _pair(parameters, gradient)
        return theta - float(self.learning_rate) * g


@dataclass
class HeavyBall:
    r"""Gradient descent with momentum: :math:`v \leftarrow \beta v - \eta g`, :math:`\theta \leftarrow \theta + v`.

    Equal to ``keras.optimizers.SGD(learning_rate, momentum)``.

    Parameters
    ----------
    learning_rate : float
        :math:`\eta > 0`. It may be changed between steps: the velocity keeps the steps made so far.
    momentum : float
        :math:`\beta`, from 0 (gradient descent) to below 1.

    Attributes
    ----------
    velocity : ndarray or None
        :math:`v`, shape of the parameters; None before the first step.

    Raises
    ------
    ValueError
        If the learning rate is not a positive number, or the momentum not in [0, 1).

    Examples
    --------
    >>> ball = HeavyBall(0.1, momentum=0.5)
    >>> print(ball.step([1.0], [1.0]), ball.step([0.9], [1.0]))
    [0.9] [0.75]
    """

    learning_rate: float
    momentum: float = 0.9
    velocity: Floats | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        _check_learning_rate(self.learning_rate)
        _check_momentum(self.momentum)

    def step(self, parameters: ArrayLike, gradient: ArrayLike) -> Floats:
        r"""Return the parameters after one step, and update the velocity.

        Parameters
        ----------
        parameters, gradient : array_like, same shape
            :math:`\theta` and :math:`g`.

        Returns
        -------
        ndarray
            New parameters, same shape.

        Raises
        ------
        ValueError
            If the shapes differ, or are not those of the first step.
        """
        theta, g = _pair(parameters, gradient)
        eta, beta = float(self.learning_rate), float(self.momentum)
        self.velocity = beta * _velocity(self.velocity, theta) - eta * g
        return theta + self.velocity


@dataclass
class Nesterov:
    r"""Nesterov's method: :math:`v \leftarrow \beta v - \eta g`, :math:`\theta \leftarrow \theta + \beta v - \eta g`.

    Equal to ``keras.optimizers.SGD(learning_rate, momentum, nesterov=True)``. The parameters are the point looked
    ahead to, where the gradient belongs; the iterate itself is :math:`\theta - \beta v`.

    Parameters
    ----------
    learning_rate : float
        :math:`\eta > 0`.
    momentum : float
        :math:`\beta`, from 0 (gradient descent) to below 1.

    Attributes
    ----------
    velocity : ndarray or None
        :math:`v`, shape of the parameters; None before the first step.

    Raises
    ------
    ValueError
        If the learning rate is not a positive number, or the momentum not in [0, 1).

    Examples
    --------
    >>> Nesterov(0.1, momentum=0.5).step([1.0], [1.0])
    array([0.85])
    """

    learning_rate: float
    momentum: float = 0.9
    velocity: Floats | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        _check_learning_rate(self.learning_rate)
        _check_momentum(self.momentum)

    def step(self, parameters: ArrayLike, gradient: ArrayLike) -> Floats:
        r"""Return the parameters after one step, and update the velocity.

        Parameters
        ----------
        parameters, gradient : array_like, same shape
            :math:`\theta` and the gradient at :math:`\theta`.

        Returns
        -------
        ndarray
            New parameters, same shape.

        Raises
        ------
        ValueError
            If the shapes differ, or are not those of the first step.
        """
        theta, g = _pair(parameters, gradient)
        eta, beta = float(self.learning_rate), float(self.momentum)
        self.velocity = beta * _velocity(self.velocity, theta) - eta * g
        return theta + beta * self.velocity - eta * g


# ---------------------------------------------------------------------------------------------------------
# How fast they are on a quadratic


@dataclass(frozen=True)
class Tuned:
    """Parameters of a method for a quadratic, and the factor by which its error then shrinks per step.

    Attributes
    ----------
    learning_rate, momentum : float
        What to set.
    factor : float
        Of the slowest direction, in the long run; below 1.
    """

    learning_rate: float
    momentum: float
    factor: float


def tuned_gradient_descent(mu: float, L: float) -> Tuned:
    r"""Return the fastest learning rate of gradient descent, :math:`2/(L+\mu)`.

    The factor is :math:`(\kappa-1)/(\kappa+1)`.

    Parameters
    ----------
    mu, L : float
        Smallest and largest curvature, 0 < mu ≤ L.

    Returns
    -------
    Tuned

    Raises
    ------
    ValueError
        If they are not in that order.

    Examples
    --------
    >>> tuned_gradient_descent(1.0, 3.0)
    Tuned(learning_rate=0.5, momentum=0.0, factor=0.5)
    """
    _check_curvatures(mu, L)
    return Tuned(float(2 / (L + mu)), 0.0, float((L - mu) / (L + mu)))


def tuned_heavy_ball(mu: float, L: float) -> Tuned:
    r"""Return the fastest parameters of heavy ball: :math:`\eta = 4/(\sqrt L+\sqrt\mu)^2`, :math:`\beta = \rho^2`.

    The factor is :math:`\rho = (\sqrt\kappa-1)/(\sqrt\kappa+1)`. It holds for quadratics only: on other functions
    these parameters may never converge (Lessard, Recht & Packard 2016, §4.6, https://arxiv.org/abs/1408.3595).

    Parameters
    ----------
    mu, L : float
        Smallest and largest curvature, 0 < mu ≤ L.

    Returns
    -------
    Tuned

    Raises
    ------
    ValueError
        If they are not in that order.

    Examples
    --------
    >>> tuned_heavy_ball(1.0, 9.0)
    Tuned(learning_rate=0.25, momentum=0.25, factor=0.5)
    """
    _check_curvatures(mu, L)
    slow, fast = math.sqrt(mu), math.sqrt(L)
    factor = (fast - slow) / (fast + slow)
    return Tuned(4 / (fast + slow) ** 2, factor**2, factor)


def tuned_nesterov(mu: float, L: float) -> Tuned:
    r"""Return Nesterov's parameters :math:`\eta = 1/L`, :math:`\beta = (\sqrt\kappa-1)/(\sqrt\kappa+1)`.

    On a quadratic their factor is :math:`1 - 1/\sqrt\kappa` exactly. For every function whose curvature lies between
    mu and L the *loss* shrinks at least by this factor (Nesterov 2018, §2.2).

    Parameters
    ----------
    mu, L : float
        Smallest and largest curvature, 0 < mu ≤ L.

    Returns
    -------
    Tuned

    Raises
    ------
    ValueError
        If they are not in that order.

    Examples
    --------
    >>> tuned_nesterov(1.0, 4.0)
    Tuned(learning_rate=0.25, momentum=0.3333333333333333, factor=0.5)
    """
    _check_curvatures(mu, L)
    slow, fast = math.sqrt(mu), math.sqrt(L)
    return Tuned(float(1 / L), (fast - slow) / (fast + slow), 1 - slow / fast)


def convergence_factor(
    curvatures: ArrayLike, learning_rate: float, momentum: float = 0.0, *, nesterov: bool = False
) -> Floats:
    r"""Return the long-run factor per step of the error along directions of given curvature.

    It is the larger modulus of the two roots of :math:`z^2 - (1+\beta-\eta\lambda) z + \beta` (heavy ball), or of
    :math:`z^2 - (1+\beta)(1-\eta\lambda) z + \beta(1-\eta\lambda)` (Nesterov). Without momentum both are
    :math:`|1-\eta\lambda|`. Above 1 the method diverges.

    Parameters
    ----------
    curvatures : array_like, any shape
        Eigenvalues :math:`\lambda` of the Hessian, of either sign.
    learning_rate, momentum : float
        :math:`\eta > 0` and :math:`0 \le \beta < 1`.
    nesterov : bool
        Nesterov's method instead of heavy ball.

    Returns
    -------
    ndarray
        Same shape as `curvatures`.

    Raises
    ------
    ValueError
        If a curvature is not finite, or a parameter out of range.

    Examples
    --------
    >>> convergence_factor([1.0, 4.0, 5.0], learning_rate=0.5)
    array([0.5, 1. , 1.5])
    """
    _check_learning_rate(learning_rate)
    _check_momentum(momentum)
    curvature = np.asarray(curvatures, dtype=np.float64)
    if not np.isfinite(curvature).all():
        raise ValueError(f"curvatures must be finite, got {curvature[~np.isfinite(curvature)][0]}")
    shrink = 1 - learning_rate * curvature
    half, product = ((1 + momentum) * shrink, momentum * shrink) if nesterov else (momentum + shrink, momentum)
    half = half / 2
    root = np.sqrt(np.asarray(half**2 - product, dtype=np.complex128))
    return np.maximum(np.abs(half + root), np.abs(half - root))


@dataclass(frozen=True, eq=False)
class Sharpness:
    """The largest curvature at a point, and its direction.

    Attributes
    ----------
    value : float
        Largest eigenvalue of the Hessian (the algebraically largest, not the largest in modulus).
    direction : ndarray of float64, shape of the parameters
        Its eigenvector, of length 1; a good `start` for a point near by.
    """

    value: float
    direction: NDArray[np.float64]


def sharpness(
    gradient: Callable[[NDArray[np.float64]], ArrayLike],
    parameters: ArrayLike,
    *,
    start: ArrayLike,
    tolerance: float = 1e-3,
) -> Sharpness:
    r"""Return the largest eigenvalue of a Hessian that is known through gradients only.

    The Hessian enters by its products :math:`\mathbf H\mathbf u \approx
    (g(\theta+h\mathbf u)-g(\theta-h\mathbf u))/2h`. Lanczos' method spans a space by a few of them, each made
    orthogonal to all before, and takes the largest eigenvalue of the Hessian restricted to it (Golub & Van Loan 2013,
    *Matrix Computations*, §10.1).

    Parameters
    ----------
    gradient : callable
        Maps parameters to the gradient of a twice differentiable loss, same shape, float64.
    parameters : array_like, shape (D,)
        The point.
    start : array_like, shape (D,)
        Where the iteration starts: a random vector, or the direction found near by. Not zero. What is orthogonal to
        the start stays hidden, so from another eigenvector the result is that one's eigenvalue: in doubt take a
        random start.
    tolerance : float
        Relative error of the eigenvector equation at which the iteration stops. The eigenvalue's own error is of the
        order of its square.

    Returns
    -------
    Sharpness

    Raises
    ------
    ValueError
        If the shapes do not fit, a number is not finite, or the start is zero.

    Examples
    --------
    >>> saddle = sharpness(lambda w: w * [3.0, -10.0], [0.0, 0.0], start=[1.0, 1.0])
    >>> print(f"{saddle.value:.3f}")
    3.000
    """
    theta, first = np.asarray(parameters, dtype=np.float64), np.asarray(start, dtype=np.float64)
    if theta.ndim != 1 or theta.size == 0 or first.shape != theta.shape:
        raise ValueError(f"parameters and start must have one shape (D,), got {theta.shape} and {first.shape}")
    if not np.isfinite(theta).all() or not np.isfinite(first).all() or not first.any():
        raise ValueError("parameters and start must be finite, and start not zero")
    h = float(np.cbrt(np.finfo(np.float64).eps) * max(1.0, float(np.linalg.norm(theta))))

    def product(u: NDArray[np.float64]) -> NDArray[np.float64]:
        ends = [np.asarray(gradient(theta + step * u), dtype=np.float64) for step in (h, -h)]
        for end in ends:
            if end.shape != theta.shape:
                raise ValueError(f"gradient must return an array of shape {theta.shape}, got {end.shape}")
            if not np.isfinite(end).all():
                raise ValueError(f"gradient must return finite numbers, got {end[~np.isfinite(end)][0]}")
        return (ends[0] - ends[1]) / (2 * h)

    basis = [first / np.linalg.norm(first)]
    restricted = np.zeros((0, 0))  # the Hessian in the basis
    while True:
        Hu = product(basis[-1])
        rows = np.array(basis)  # (k, D)
        restricted = np.pad(restricted, (0, 1))
        restricted[-1, :] = restricted[:, -1] = rows @ Hu
        rest = Hu - rows.T @ (rows @ Hu)
        rest -= rows.T @ (rows @ rest)  # once more, for rounding
        length = float(np.linalg.norm(rest))
        values, vectors = np.linalg.eigh(restricted)
        error = length * abs(vectors[-1, -1])
        converged = len(basis) > 1 and error <= tolerance * abs(values[-1])
        if converged or len(basis) == theta.size or length <= 1e-10 * abs(values).max():
            return Sharpness(float(values[-1]), rows.T @ vectors[:, -1])
        basis.append(rest / length)


# ---------------------------------------------------------------------------------------------------------
# Validation


def _check_learning_rate(value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"learning_rate must be a positive number, got {value}")


def _check_momentum(value: float) -> None:
    if not 0 <= value < 1:
        why = "; from 1 on the ball never comes to rest" if value >= 1 else ""
        raise ValueError(f"momentum must lie in [0, 1), got {value}{why}")


def _check_curvatures(mu: float, L: float) -> None:
    if not (math.isfinite(L) and 0 < mu <= L):
        raise ValueError(f"curvatures must satisfy 0 < mu ≤ L, got mu = {mu} and L = {L}")


def _pair(parameters: ArrayLike, gradient: ArrayLike) -> tuple[Floats, Floats]:
    """Return both as float arrays of one shape, in the dtype of the parameters."""
    theta, g = np.asarray(parameters), np.asarray(gradient)
    if theta.dtype not in (np.float32, np.float64):
        theta = theta.astype(np.float64)
    if theta.shape != g.shape:
        raise ValueError(f"gradient must have the shape of the parameters, {theta.shape}, got {g.shape}")
    return theta, g.astype(theta.dtype, copy=False)


def _velocity(velocity: Floats | None, theta: Floats) -> Floats:
    """Return the velocity, zero before the first step."""
    if velocity is None:
        return np.zeros_like(theta)
    if velocity.shape != theta.shape:
        raise ValueError(
            f"this optimizer has made steps on parameters of shape {velocity.shape}, got {theta.shape}; make a new one"
        )
    return velocity
