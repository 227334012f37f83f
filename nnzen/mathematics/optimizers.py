r"""Gradient descent, momentum and adaptive methods, and how fast the first two are on a quadratic, in NumPy.

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

The adaptive methods divide by a root of squared gradients, coordinate by coordinate:

========  =======================================================================================================
AdaGrad   :math:`a \leftarrow a + g^2`, then :math:`\theta \leftarrow \theta - \eta g/\sqrt{a+\varepsilon}`
RMSprop   :math:`a \leftarrow \rho a + (1-\rho) g^2`, then
          :math:`\theta \leftarrow \theta - \eta g/\sqrt{a+\varepsilon}`
Adam      :math:`m \leftarrow \beta_1 m + (1-\beta_1) g`, :math:`v \leftarrow \beta_2 v + (1-\beta_2) g^2`, then
          :math:`\theta \leftarrow \theta - \eta\,\frac{\sqrt{1-\beta_2^t}}{1-\beta_1^t}\,\frac{m}{\sqrt v+\varepsilon}`
AdamW     :math:`\theta \leftarrow (1-\eta\lambda)\,\theta`, then Adam's step
Muon      :math:`m \leftarrow \beta m + g`, then :math:`\theta \leftarrow \theta - \eta\,s\,O(g+\beta m)`, where
          :math:`O` makes a matrix nearly orthogonal (:func:`orthogonalize`) and :math:`s` sets its scale
========  =======================================================================================================

They follow the optimizers of these names in Keras. Chapter 06 derives them.

An optimizer takes one array; a network keeps its parameters in one vector (but Muon wants one matrix). float32 stays
float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "AdaGrad",
    "Adam",
    "AdamW",
    "GradientDescent",
    "HeavyBall",
    "Muon",
    "Nesterov",
    "RMSprop",
    "Sharpness",
    "Tuned",
    "convergence_factor",
    "orthogonalize",
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
# Adaptive methods


@dataclass
class AdaGrad:
    r"""AdaGrad: :math:`a \leftarrow a + g^2`, :math:`\theta \leftarrow \theta - \eta g/\sqrt{a+\varepsilon}`.

    Equal to ``keras.optimizers.Adagrad``, with its defaults. Source: Duchi, Hazan & Singer (2011), *JMLR* 12, 2121,
    https://jmlr.org/papers/v12/duchi11a.html.

    Parameters
    ----------
    learning_rate : float
        :math:`\eta > 0`. It may be changed between steps.
    initial : float
        What :math:`a` starts from in every coordinate, 0 or more. It bounds the first steps.
    epsilon : float
        :math:`\varepsilon`, 0 or more, under the root. With 0 and `initial` 0 a coordinate whose gradients have all
        been zero becomes NaN.

    Attributes
    ----------
    accumulator : ndarray or None
        :math:`a`, shape of the parameters; None before the first step.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> method = AdaGrad(0.1, initial=0.0, epsilon=0.0)
    >>> print(method.step([1.0], [3.0]), method.step([0.9], [4.0]))
    [0.9] [0.82]
    """

    learning_rate: float
    initial: float = 0.1
    epsilon: float = 1e-7
    accumulator: Floats | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        _check_learning_rate(self.learning_rate)
        _check_not_negative("initial", self.initial)
        _check_not_negative("epsilon", self.epsilon)

    def step(self, parameters: ArrayLike, gradient: ArrayLike) -> Floats:
        r"""Return the parameters after one step, and add to the accumulator.

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
        if self.accumulator is None:
            self.accumulator = np.full_like(theta, float(self.initial))
        self.accumulator = _velocity(self.accumulator, theta) + g * g
        return theta - float(self.learning_rate) * g / np.sqrt(self.accumulator + float(self.epsilon))


@dataclass
class RMSprop:
    r"""RMSprop: AdaGrad with an average of squares, :math:`a \leftarrow \rho a + (1-\rho) g^2`, instead of their sum.

    The step is :math:`\theta \leftarrow \theta - \eta g/\sqrt{a+\varepsilon}`. Equal to ``keras.optimizers.RMSprop``,
    with its defaults. Source: Tieleman & Hinton (2012), lecture 6.5.

    Parameters
    ----------
    learning_rate : float
        :math:`\eta > 0`. It may be changed between steps.
    rho : float
        :math:`\rho`, from 0 to below 1: the average reaches back about :math:`1/(1-\rho)` steps.
    epsilon : float
        :math:`\varepsilon`, 0 or more, under the root. With 0 a coordinate whose gradients have all been zero becomes
        NaN.

    Attributes
    ----------
    mean_square : ndarray or None
        :math:`a`, shape of the parameters; None before the first step. It starts at zero and is not corrected for it.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> RMSprop(0.1, rho=0.75, epsilon=0.0).step([1.0, 1.0], [5.0, -0.1])
    array([0.8, 1.2])
    """

    learning_rate: float
    rho: float = 0.9
    epsilon: float = 1e-7
    mean_square: Floats | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        _check_learning_rate(self.learning_rate)
        _check_decay("rho", self.rho)
        _check_not_negative("epsilon", self.epsilon)

    def step(self, parameters: ArrayLike, gradient: ArrayLike) -> Floats:
        r"""Return the parameters after one step, and update the mean square.

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
        rho = float(self.rho)
        self.mean_square = rho * _velocity(self.mean_square, theta) + (1 - rho) * (g * g)
        return theta - float(self.learning_rate) * g / np.sqrt(self.mean_square + float(self.epsilon))


@dataclass
class Adam:
    r"""Adam, with :math:`\varepsilon` in the place that Keras gives it, and AMSGrad.

    Equal to ``keras.optimizers.Adam``, with its defaults. Step :math:`t` is

    .. math:: m \leftarrow \beta_1 m + (1-\beta_1) g, \quad v \leftarrow \beta_2 v + (1-\beta_2) g^2, \quad
        \theta \leftarrow \theta - \eta\,\frac{\sqrt{1-\beta_2^t}}{1-\beta_1^t}\,\frac{m}{\sqrt v+\varepsilon} .

    Source: Kingma & Ba (2015), https://arxiv.org/abs/1412.6980, in the form just before §2.1, whose
    :math:`\hat\varepsilon` is this `epsilon`. Algorithm 1 there adds :math:`\varepsilon` after the correction, which
    makes it :math:`\sqrt{1-\beta_2^t}` times as large here. AMSGrad: Reddi, Kale & Kumar (2018),
    https://arxiv.org/abs/1904.09237.

    Parameters
    ----------
    learning_rate : float
        :math:`\eta > 0`. It may be changed between steps.
    beta_1, beta_2 : float
        Decay rates of the two averages, from 0 to below 1.
    epsilon : float
        :math:`\varepsilon`, 0 or more, outside the root. With 0 a coordinate whose gradients have all been zero becomes
        NaN.
    amsgrad : bool
        Divide by the root of the largest :math:`v` so far instead of the present one.

    Attributes
    ----------
    steps : int
        :math:`t`, the steps made so far.
    first_moment, second_moment : ndarray or None
        :math:`m` and :math:`v`, without the correction, shape of the parameters; None before the first step.
    largest_second_moment : ndarray or None
        With `amsgrad`, the largest :math:`v` so far.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> Adam(0.1, epsilon=0.0).step([1.0, 1.0, 1.0], [5.0, -0.01, 1e4])
    array([0.9, 1.1, 0.9])
    """

    learning_rate: float
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False
    steps: int = field(default=0, init=False, repr=False)
    first_moment: Floats | None = field(default=None, init=False, repr=False)
    second_moment: Floats | None = field(default=None, init=False, repr=False)
    largest_second_moment: Floats | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        _check_learning_rate(self.learning_rate)
        _check_decay("beta_1", self.beta_1)
        _check_decay("beta_2", self.beta_2)
        _check_not_negative("epsilon", self.epsilon)

    def step(self, parameters: ArrayLike, gradient: ArrayLike) -> Floats:
        r"""Return the parameters after one step, and update the moments.

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
        beta_1, beta_2 = float(self.beta_1), float(self.beta_2)
        m = beta_1 * _velocity(self.first_moment, theta) + (1 - beta_1) * g
        v = beta_2 * _velocity(self.second_moment, theta) + (1 - beta_2) * (g * g)
        self.steps, self.first_moment, self.second_moment = self.steps + 1, m, v
        if self.amsgrad:
            v = self.largest_second_moment = np.maximum(_velocity(self.largest_second_moment, theta), v)
        correction = math.sqrt(1 - beta_2**self.steps) / (1 - beta_1**self.steps)
        return theta - float(self.learning_rate) * correction * m / (np.sqrt(v) + float(self.epsilon))


@dataclass
class AdamW(Adam):
    r"""Adam with decoupled weight decay: :math:`\theta \leftarrow (1-\eta\lambda)\theta`, then Adam's step.

    Equal to ``keras.optimizers.AdamW``, with its defaults. The gradient does not contain the decay. Source: Loshchilov
    & Hutter (2019), https://arxiv.org/abs/1711.05101.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, amsgrad
        As in :class:`Adam`.
    weight_decay : float
        :math:`\lambda`, 0 or more.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> AdamW(0.1, epsilon=0.0, weight_decay=0.5).step([2.0, 2.0], [1.0, -1.0])
    array([1.8, 2. ])
    """

    weight_decay: float = 0.004

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_not_negative("weight_decay", self.weight_decay)

    def step(self, parameters: ArrayLike, gradient: ArrayLike) -> Floats:
        r"""Return the parameters after one step, and update the moments.

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
        return super().step(theta * (1 - float(self.learning_rate) * float(self.weight_decay)), g)


def orthogonalize(matrix: ArrayLike, steps: int = 5) -> Floats:
    r"""Return a matrix with the singular vectors of `matrix` and singular values near 1, by products only.

    Each step maps every singular value :math:`s` to :math:`as + bs^3 + cs^5`, by
    :math:`X \leftarrow aX + (bXX^\top + c(XX^\top)^2)X`, after the matrix has been divided by its Frobenius norm. The
    coefficients (3.4445, −4.7750, 2.0315) are those of Jordan (2024), https://kellerjordan.github.io/posts/muon/:
    steep at zero, so that small singular values grow fast, at the price that they end between about 0.7 and 1.2
    instead of at 1.

    Parameters
    ----------
    matrix : array_like, shape (n, m)
        Finite numbers.
    steps : int
        Iterations, at least 1. Five reach singular values down to about a thousandth of the Frobenius norm.

    Returns
    -------
    ndarray, shape (n, m)

    Raises
    ------
    ValueError
        If it is not a matrix, or there are no steps.

    Examples
    --------
    >>> print(orthogonalize([[3.0, 0.0], [0.0, -0.1]]).round(1))
    [[ 0.7  0. ]
     [ 0.  -1.1]]
    """
    X = np.asarray(matrix)
    if X.dtype not in (np.float32, np.float64):
        X = X.astype(np.float64)
    if X.ndim != 2 or X.size == 0:
        raise ValueError(f"matrix must have shape (n, m), got {X.shape}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    wide = X.T if X.shape[0] > X.shape[1] else X  # so that XXᵀ is the smaller of the two products
    wide = wide / (np.linalg.norm(wide) + 1e-7)
    for _ in range(steps):
        A = wide @ wide.T
        wide = 3.4445 * wide + (-4.7750 * A + 2.0315 * A @ A) @ wide
    return wide.T if X.shape[0] > X.shape[1] else wide


@dataclass
class Muon:
    r"""Momentum, made orthogonal: for one weight matrix of a hidden layer.

    :math:`m \leftarrow \beta m + g`, then :math:`\theta \leftarrow (1-\eta\lambda)\theta - \eta\,s\,O(g+\beta m)`
    with :math:`O` as in :func:`orthogonalize` and :math:`s = r\sqrt{\max(n, m)}`, so that the entries of a step have a
    root mean square of about :math:`\eta r`. Source: Jordan (2024), https://kellerjordan.github.io/posts/muon/; the
    scale is that of Liu et al. (2025), https://arxiv.org/abs/2502.16982, with :math:`r = 0.2`. Equal to what
    ``keras.optimizers.Muon`` does to matrices in Keras 3.15 (older releases scale otherwise); that optimizer gives all
    other arrays, and should be told to give the output layer, to AdamW.

    Parameters
    ----------
    learning_rate : float
        :math:`\eta > 0`. It may be changed between steps.
    momentum : float
        :math:`\beta`, from 0 to below 1.
    weight_decay : float
        :math:`\lambda`, 0 or more.
    rms : float or None
        :math:`r > 0`; None for :math:`s = 1`.
    steps_of_iteration : int
        Of :func:`orthogonalize`.

    Attributes
    ----------
    velocity : ndarray or None
        :math:`m`, shape of the parameters; None before the first step.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> Muon(0.1, momentum=0.0, rms=None).step(np.ones((2, 2)), [[3.0, 0.0], [0.0, -0.1]]).round(2)
    array([[0.93, 1.  ],
           [1.  , 1.11]])
    """

    learning_rate: float
    momentum: float = 0.95
    weight_decay: float = 0.0
    rms: float | None = 0.2
    steps_of_iteration: int = 5
    velocity: Floats | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        _check_learning_rate(self.learning_rate)
        _check_momentum(self.momentum)
        _check_not_negative("weight_decay", self.weight_decay)
        if self.rms is not None and not (math.isfinite(self.rms) and self.rms > 0):
            raise ValueError(f"rms must be a positive number or None, got {self.rms}")

    def step(self, parameters: ArrayLike, gradient: ArrayLike) -> Floats:
        r"""Return the parameters after one step, and update the velocity.

        Parameters
        ----------
        parameters, gradient : array_like, shape (n, m)
            :math:`\theta` and :math:`g`.

        Returns
        -------
        ndarray, shape (n, m)
            New parameters.

        Raises
        ------
        ValueError
            If the shapes differ, are not those of a matrix, or are not those of the first step.
        """
        theta, g = _pair(parameters, gradient)
        if theta.ndim != 2:
            raise ValueError(f"Muon takes one matrix, got parameters of shape {theta.shape}; use Adam for other arrays")
        eta, beta = float(self.learning_rate), float(self.momentum)
        self.velocity = beta * _velocity(self.velocity, theta) + g
        scale = 1.0 if self.rms is None else float(self.rms) * math.sqrt(max(theta.shape))
        update = orthogonalize(g + beta * self.velocity, self.steps_of_iteration)
        return theta * (1 - eta * float(self.weight_decay)) - eta * scale * update


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


def _check_decay(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} must lie in [0, 1), got {value}")


def _check_not_negative(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite number, 0 or more, got {value}")


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
    """Return the velocity (or another memory of the gradients), zero before the first step."""
    if velocity is None:
        return np.zeros_like(theta)
    if velocity.shape != theta.shape:
        raise ValueError(
            f"this optimizer has made steps on parameters of shape {velocity.shape}, got {theta.shape}; make a new one"
        )
    return velocity
