r"""Reverse-mode automatic differentiation of NumPy programs.

A :class:`Variable` is an array that remembers the operation that made it: its inputs, and for each input the
*vector–Jacobian product* (VJP) that carries the gradient :math:`g_y = \partial L / \partial y` of a loss in the
operation's result back to the input,

.. math:: g_x = J^\top g_y, \qquad g_x = \frac{\partial L}{\partial x}, \quad J = \frac{\partial y}{\partial x} .

No Jacobian is ever formed. :func:`gradients` walks through the operations in reverse and adds up what arrives at
each variable. Forward pass and walk together cost, counted in the multiplications of a dense network whose layer
:math:`l` takes :math:`c_l` of them forwards, :math:`3 - c_1 / \sum_l c_l` forward passes, for all gradients at once.

============ ============================= ==================================================
operation    result                        VJP
============ ============================= ==================================================
``a + b``    broadcast                     :math:`g`, summed back
``a * b``    broadcast                     :math:`g b`, summed back
``a @ b``    :math:`AB`                    :math:`G B^\top`, :math:`A^\top G`
``exp``      :math:`y = e^x`               :math:`g y`
``log``      :math:`\ln x`                 :math:`g / x`
``tanh``     :math:`y = \tanh x`           :math:`g (1 - y^2)`
``sigmoid``  :math:`y = \sigma(x)`         :math:`g y (1 - y)`
``relu``     :math:`\max(x, 0)`            :math:`g [x > 0]`
``sum``      over axes                     :math:`g`, broadcast
============ ============================= ==================================================

An operation whose inputs are all plain arrays returns a plain array and remembers nothing, so constants cost no
gradient, and the same program runs with and without a record.

Chapter 03 builds this engine step by step. References: Griewank and Walther (2008), *Evaluating Derivatives*,
https://doi.org/10.1137/1.9780898717761; Baydin et al. (2018), https://arxiv.org/abs/1502.05767.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nnzen.mathematics import convolution, losses

__all__ = [
    "Variable",
    "add",
    "checkpoint",
    "conv2d",
    "divide",
    "exp",
    "gradients",
    "log",
    "log_sum_exp",
    "matmul",
    "max_pool2d",
    "mean",
    "multiply",
    "numerical_gradient",
    "power",
    "relu",
    "reshape",
    "sigmoid",
    "softmax_cross_entropy",
    "subtract",
    "sum",
    "tanh",
    "transpose",
    "unbroadcast",
    "value",
]

Array = NDArray[Any]
Vjp = Callable[[Array], Array]


class Variable:
    """An array that remembers which operation made it.

    ``+``, ``-``, ``*``, ``/``, ``@``, ``**`` and indexing work as on arrays, with broadcasting, and may mix variables
    and plain arrays; but ``@`` needs two axes or more on both sides, and ``**`` a constant real exponent. Two variables
    are equal if they are the same object. A variable cannot be iterated over: take its parts by index.

    Parameters
    ----------
    value : array_like of float
        The numbers. Integers become float64; a subclass of ``ndarray`` stays what it is.
    parents : sequence of (Variable, callable)
        The inputs of the operation, each with its VJP; none for a parameter.

    Attributes
    ----------
    value : ndarray
        The numbers. The engine never changes them.
    parents : tuple of (Variable, callable)
        As given.

    Raises
    ------
    ValueError
        If the value is not numeric, or complex.

    Examples
    --------
    >>> w = Variable([1.0, 2.0])
    >>> loss = sum(w * w)
    >>> loss
    Variable(5.)
    >>> gradients(loss, [w])
    [array([2., 4.])]
    """

    __array_ufunc__ = None  # NumPy leaves `array @ variable` to the methods below
    __iter__ = None  # else Python would try the indices 0, 1, ... until one fails
    __slots__ = ("parents", "value")

    def __init__(self, value: ArrayLike, parents: Sequence[tuple[Variable, Vjp]] = ()) -> None:
        self.value = _floats(value)
        if self.value.dtype.kind == "c":
            raise ValueError(f"a variable holds real numbers, got an array of {self.value.dtype}")
        self.parents = tuple(parents)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return self.value.shape

    def __repr__(self) -> str:
        return f"Variable({np.array2string(self.value, precision=4, separator=', ', threshold=20)})"

    def __add__(self, other: Any) -> Any:
        return add(self, other)

    def __sub__(self, other: Any) -> Any:
        return subtract(self, other)

    def __rsub__(self, other: Any) -> Any:
        return subtract(other, self)

    def __mul__(self, other: Any) -> Any:
        return multiply(self, other)

    def __truediv__(self, other: Any) -> Any:
        return divide(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return divide(other, self)

    def __matmul__(self, other: Any) -> Any:
        return matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return matmul(other, self)

    def __pow__(self, exponent: float) -> Any:
        return power(self, exponent)

    def __neg__(self) -> Any:
        return multiply(self, -1.0)

    def __getitem__(self, index: Any) -> Any:
        return _getitem(self, index)

    __radd__, __rmul__ = __add__, __mul__


Input = Variable | ArrayLike


# ---------------------------------------------------------------------------------------------------------
# The engine


def gradients(output: Variable, wanted: Sequence[Variable], *, seed: ArrayLike | None = None) -> list[Array]:
    """Return the gradients of an output in the wanted variables, in one walk backwards.

    Parameters
    ----------
    output : Variable
        The loss, a single number; or an array, with a `seed`.
    wanted : sequence of Variable
        Parameters, inputs or intermediate results.
    seed : array_like, shape of `output`, optional
        The vector of the vector–Jacobian product: the gradient of a later loss in `output`.

    Returns
    -------
    list of ndarray
        One for each wanted variable, of its shape; zeros if the output does not depend on it. The variables
        themselves stay as they are: an update is another step.

    Raises
    ------
    ValueError
        If `output` has several elements and there is no seed, or the seed has another shape.
    TypeError
        If the output or a wanted object is not a variable.

    Examples
    --------
    >>> x, y = Variable(3.0), Variable(4.0)
    >>> gradients(x * y + x, [x, y])
    [array(5.), array(3.)]
    """
    for what, variable in [("output", output), *(("wanted", w) for w in wanted)]:
        if not isinstance(variable, Variable):
            raise TypeError(f"{what} is a {type(variable).__name__}, not a Variable: plain arrays are constants")
    if seed is None and output.value.size != 1:
        raise ValueError(
            f"the output has shape {output.shape}: only a single number has a gradient. Sum it, or give a seed"
        )
    start = np.ones_like(output.value) if seed is None else np.asanyarray(seed)
    if start.shape != output.shape:
        raise ValueError(f"the seed has shape {start.shape}, the output {output.shape}: they must agree")
    kept, arrived = set(wanted), {output: start}
    for node in reversed(_in_order(output)):
        gradient = arrived[node] if node in kept else arrived.pop(node)
        for parent, vjp in node.parents:
            share = vjp(gradient)
            arrived[parent] = arrived[parent] + share if parent in arrived else share
    # copies: what arrived may be a view, or shared between two variables
    return [np.array(arrived[w], subok=True) if w in arrived else np.zeros_like(w.value) for w in wanted]


def checkpoint(function: Callable[..., Variable], *inputs: Input) -> Variable:
    """Apply a function, forget what it computed on the way, and compute it again when the gradient needs it.

    Memory for about one more forward pass: only `inputs` and the result are held until then. The function must give
    the same result both times, so it may not draw random numbers.

    Parameters
    ----------
    function : callable
        Takes `inputs`, returns one variable, and uses no variable that is not among its inputs.
    *inputs : Variable or array_like
        As the function wants them.

    Returns
    -------
    Variable
        What ``function(*inputs)`` returns; gradients through it are the same.

    References
    ----------
    Chen et al. (2016), *Training Deep Nets with Sublinear Memory Cost*, https://arxiv.org/abs/1604.06174.

    Examples
    --------
    >>> x = Variable(0.5)
    >>> bool(gradients(checkpoint(tanh, x), [x])[0] == gradients(tanh(x), [x])[0])
    True
    """

    def again(g: Array) -> list[Array | None]:
        fresh = [Variable(x.value) if isinstance(x, Variable) else x for x in inputs]
        arrived = iter(gradients(function(*fresh), [x for x in fresh if isinstance(x, Variable)], seed=g))
        return [next(arrived) if isinstance(x, Variable) else None for x in fresh]

    plain = [x.value if isinstance(x, Variable) else x for x in inputs]  # constants as they are: labels, indices
    return _record(value(function(*plain)), *_together(inputs, again))


def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which its input was repeated; the VJP of broadcasting.

    Parameters
    ----------
    g : ndarray
        Gradient in the broadcast array.
    shape : tuple of int
        Shape of the input before broadcasting.

    Returns
    -------
    ndarray, shape `shape`

    Raises
    ------
    ValueError
        If an array of that shape does not broadcast to the shape of `g`.

    Examples
    --------
    >>> unbroadcast(np.ones((2, 3)), (3,)), unbroadcast(np.ones((2, 3)), (2, 1))
    (array([2., 2., 2.]), array([[3.],
           [3.]]))
    """
    extra = g.ndim - len(shape)
    if extra < 0 or any(n not in (1, m) for n, m in zip(shape, g.shape[extra:], strict=True)):
        raise ValueError(f"an array of shape {shape} does not broadcast to {g.shape}, so no gradient comes back to it")
    axes = tuple(i for i in range(g.ndim) if i < extra or (shape[i - extra] == 1 and g.shape[i] != 1))
    return g.sum(axis=axes).reshape(shape) if axes else g


def value(x: Input) -> Array:
    """Return the numbers of a variable, or a plain array as it is.

    >>> value(Variable(2.0)), value([1, 2])
    (array(2.), array([1., 2.]))
    """
    return x.value if isinstance(x, Variable) else _floats(x)


def numerical_gradient(function: Callable[[Array], float], x: ArrayLike, step: float = 1e-5) -> Array:
    r"""Return the gradient by central differences, in float64.

    For each element :math:`i`, :math:`(f(x + \varepsilon e_i) - f(x - \varepsilon e_i)) / 2\varepsilon`. That takes two
    calls: an oracle for checks, not a method.

    Parameters
    ----------
    function : callable
        Takes an array of the shape of `x`, returns a number.
    x : array_like
        Where to differentiate.
    step : float
        :math:`\varepsilon > 0`. The error is about :math:`\varepsilon^2 |f'''| / 6 + 10^{-16} |f| / \varepsilon`.

    Returns
    -------
    ndarray, shape of `x`

    Raises
    ------
    ValueError
        If the step is not positive.

    Examples
    --------
    >>> numerical_gradient(lambda x: float((x**2).sum()), [1.0, 2.0]).round(6)
    array([2., 4.])
    """
    if not step > 0:
        raise ValueError(f"step is {step}; it must be positive")
    point = np.array(x, dtype=np.float64)
    slopes = np.empty_like(point)
    for i in np.ndindex(point.shape):
        sides = []
        for change in (step, -step):
            moved = point.copy()
            moved[i] += change
            sides.append(float(function(moved)))
        slopes[i] = (sides[0] - sides[1]) / (2 * step)
    return slopes


def _record(result: Array, *inputs: tuple[Any, Vjp]) -> Any:
    """Return a variable that remembers those inputs that are variables; without any, the plain result."""
    variables = [(x, vjp) for x, vjp in inputs if isinstance(x, Variable)]
    return Variable(result, variables) if variables else result


def _together(inputs: Sequence[Any], back: Callable[[Array], Sequence[Array | None]]) -> list[tuple[Any, Vjp]]:
    """Pair each input with its VJP, for an operation that finds all of them in one go; constants may get None."""
    found: dict[int, Any] = {}
    variables = [i for i, x in enumerate(inputs) if isinstance(x, Variable)]

    def pull(place: int) -> Vjp:
        def vjp(g: Array) -> Array:
            if not found:  # the first input that asks pays for all
                shares = back(g)
                found.update((i, shares[i]) for i in variables)
            return found.pop(place)

        return vjp

    return [(x, pull(i)) for i, x in enumerate(inputs)]


def _in_order(output: Variable) -> list[Variable]:
    """Return all variables that the output depends on, each after its parents, and the output last."""
    order: list[Variable] = []
    seen: set[Variable] = set()
    stack = [(output, False)]
    while stack:  # a loop, not a recursion: networks may be deeper than Python's stack
        node, parents_done = stack.pop()
        if parents_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((parent, False) for parent, _ in node.parents)
    return order


def _operands(a: Input, b: Input) -> tuple[Array, Array]:
    """Values of two inputs; a Python number takes the dtype of the other, so that ``2 * x`` is float32 if x is."""
    x, y = value(a), value(b)
    if isinstance(a, int | float):
        x = x.astype(y.dtype)
    if isinstance(b, int | float):
        y = y.astype(x.dtype)
    return x, y


def _floats(x: Any) -> Array:
    array = np.asanyarray(x)
    if array.dtype.kind in "biu":
        return array.astype(np.float64)
    if array.dtype.kind not in "fc":
        raise ValueError(f"expected an array of numbers, got an array of {array.dtype}")
    return array


# ---------------------------------------------------------------------------------------------------------
# Arithmetic, with broadcasting


def add(a: Input, b: Input) -> Any:
    """Return ``a + b``, with broadcasting.

    >>> gradients(sum(add(Variable([[1.0, 2.0]]), b := Variable(1.0))), [b])
    [array(2.)]
    """
    x, y = _operands(a, b)
    return _record(x + y, (a, lambda g: unbroadcast(g, x.shape)), (b, lambda g: unbroadcast(g, y.shape)))


def subtract(a: Input, b: Input) -> Any:
    """Return ``a - b``, with broadcasting.

    >>> gradients(subtract(1.0, b := Variable(3.0)), [b])
    [array(-1.)]
    """
    x, y = _operands(a, b)
    return _record(x - y, (a, lambda g: unbroadcast(g, x.shape)), (b, lambda g: unbroadcast(-g, y.shape)))


def multiply(a: Input, b: Input) -> Any:
    """Return ``a * b``, elementwise, with broadcasting.

    >>> gradients(multiply(a := Variable(2.0), b := Variable(3.0)), [a, b])
    [array(3.), array(2.)]
    """
    x, y = _operands(a, b)
    return _record(x * y, (a, lambda g: unbroadcast(g * y, x.shape)), (b, lambda g: unbroadcast(g * x, y.shape)))


def divide(a: Input, b: Input) -> Any:
    """Return ``a / b``, elementwise, with broadcasting.

    >>> gradients(divide(1.0, b := Variable(2.0)), [b])
    [array(-0.25)]
    """
    x, y = _operands(a, b)
    ratio = x / y
    return _record(
        ratio, (a, lambda g: unbroadcast(g / y, x.shape)), (b, lambda g: unbroadcast(-g * ratio / y, y.shape))
    )


def power(a: Input, exponent: float) -> Any:
    """Return ``a ** exponent``, elementwise, for a constant exponent.

    Raises
    ------
    TypeError
        If the exponent is not a real number: write ``exp(b * log(a))`` for a variable one.

    Examples
    --------
    >>> gradients(power(a := Variable(3.0), 2), [a])
    [array(6.)]
    """
    if not isinstance(exponent, Real):
        raise TypeError(f"the exponent is a {type(exponent).__name__}; only a constant real number is allowed")
    x, c = value(a), float(exponent)
    slope = (lambda: np.zeros_like(x)) if c == 0 else (lambda: c * x ** (c - 1))
    return _record(x**c, (a, lambda g: g * slope()))


def matmul(a: Input, b: Input) -> Any:
    r"""Return the matrix product ``a @ b``; leading axes broadcast.

    :math:`Y = AB` has the VJPs :math:`G \mapsto G B^\top` in A and :math:`G \mapsto A^\top G` in B.

    Raises
    ------
    ValueError
        If an input has fewer than two axes, or the inner sizes differ.

    Examples
    --------
    >>> a, b = Variable([[1.0, 2.0]]), Variable([[3.0], [4.0]])
    >>> gradients(a @ b, [a, b])
    [array([[3., 4.]]), array([[1.],
           [2.]])]
    """
    x, y = value(a), value(b)
    if x.ndim < 2 or y.ndim < 2 or x.shape[-1] != y.shape[-2]:
        raise ValueError(f"matmul needs shapes (..., m, k) and (..., k, n), got {x.shape} and {y.shape}")
    return _record(
        x @ y,
        (a, lambda g: unbroadcast(g @ y.swapaxes(-1, -2), x.shape)),
        (b, lambda g: unbroadcast(x.swapaxes(-1, -2) @ g, y.shape)),
    )


# ---------------------------------------------------------------------------------------------------------
# Functions of one array


def exp(a: Input) -> Any:
    """Return :math:`e^x`, elementwise.

    >>> gradients(exp(a := Variable(0.0)), [a])
    [array(1.)]
    """
    y = np.exp(value(a))
    return _record(y, (a, lambda g: g * y))


def log(a: Input) -> Any:
    """Return the natural logarithm, elementwise.

    >>> gradients(log(a := Variable(2.0)), [a])
    [array(0.5)]
    """
    x = value(a)
    return _record(np.log(x), (a, lambda g: g / x))


def tanh(a: Input) -> Any:
    """Return the hyperbolic tangent, elementwise.

    >>> gradients(tanh(a := Variable(0.0)), [a])
    [array(1.)]
    """
    y = np.tanh(value(a))
    return _record(y, (a, lambda g: g * (1 - y * y)))


def sigmoid(a: Input) -> Any:
    """Return the sigmoid, elementwise, without overflow.

    >>> gradients(sigmoid(a := Variable(0.0)), [a])
    [array(0.25)]
    """
    y = losses.sigmoid(value(a))
    return _record(y, (a, lambda g: g * y * (1 - y)))


def relu(a: Input) -> Any:
    """Return the larger of `a` and 0, elementwise. At 0 the derivative, which does not exist, counts as 0.

    >>> gradients(sum(relu(a := Variable([-1.0, 0.0, 2.0]))), [a])
    [array([0., 0., 1.])]
    """
    x = value(a)
    return _record(np.maximum(x, 0), (a, lambda g: g * (x > 0)))


def sum(a: Input, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> Any:
    """Return the sum over all axes, or over some; its VJP is broadcasting.

    >>> gradients(sum(a := Variable([[1.0, 2.0]])), [a])
    [array([[1., 1.]])]
    """
    x = value(a)
    kept = x.sum(axis=axis, keepdims=True).shape
    return _record(
        np.asanyarray(x.sum(axis=axis, keepdims=keepdims)),
        (a, lambda g: np.broadcast_to(g.reshape(kept), x.shape)),
    )


def mean(a: Input, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> Any:
    """Return the mean over all axes, or over some.

    Raises
    ------
    ValueError
        If there is nothing to average.

    Examples
    --------
    >>> gradients(mean(a := Variable([1.0, 2.0])), [a])
    [array([0.5, 0.5])]
    """
    x = value(a)
    total = sum(a, axis, keepdims=keepdims)
    if x.size == 0:
        raise ValueError(f"an array of shape {x.shape} is empty; a mean needs one element or more")
    return multiply(total, x.dtype.type(value(total).size / x.size))


def reshape(a: Input, shape: tuple[int, ...]) -> Any:
    """Return the same elements in another shape; one axis may be -1.

    >>> reshape(Variable([[1.0, 2.0]]), (-1,)).shape
    (2,)
    """
    x = value(a)
    return _record(x.reshape(shape), (a, lambda g: g.reshape(x.shape)))


def transpose(a: Input, axes: tuple[int, ...] | None = None) -> Any:
    """Return the array with its axes in another order, by default reversed.

    >>> transpose(Variable([[1.0, 2.0]])).shape
    (2, 1)
    """
    x = value(a)
    back = None if axes is None else tuple(np.argsort([axis % x.ndim for axis in axes]))
    return _record(x.transpose(axes), (a, lambda g: g.transpose(back)))


def _getitem(a: Variable, index: Any) -> Any:
    x = a.value

    def scatter(g: Array) -> Array:
        full = np.zeros_like(x)
        np.add.at(full, index, g)  # an element may have been picked twice
        return full

    return _record(np.asanyarray(x[index]), (a, scatter))


# ---------------------------------------------------------------------------------------------------------
# Losses and layers as one operation each, with the VJPs of the neighbouring modules


def log_sum_exp(a: Input, axis: int = -1) -> Any:
    """Return the logarithm of the sum of exponentials along an axis, without overflow.

    >>> gradients(log_sum_exp(a := Variable([1000.0, 1000.0])), [a])
    [array([0.5, 0.5])]
    """
    z = value(a)
    y = losses.log_sum_exp(z, axis)
    return _record(np.asarray(y), (a, lambda g: np.expand_dims(g, axis) * losses.softmax(z, axis)))


def softmax_cross_entropy(logits: Input, labels: ArrayLike) -> Any:
    """Return the mean softmax cross-entropy in nats, of logits (N, K) and integer labels (N,).

    Raises
    ------
    ValueError
        As :func:`nnzen.mathematics.losses.softmax_cross_entropy`.

    Examples
    --------
    >>> gradients(softmax_cross_entropy(z := Variable([[0.0, 0.0]]), [1]), [z])
    [array([[ 0.5, -0.5]])]
    """
    z = value(logits)
    loss = np.asarray(losses.softmax_cross_entropy(z, labels), dtype=z.dtype)
    return _record(loss, (logits, lambda g: g * losses.softmax_cross_entropy_gradient(z, labels)))


def conv2d(x: Input, kernel: Input, *, stride: int = 1, padding: str = "valid") -> Any:
    """Convolve images (N, H, W, C_in) with a kernel (k_h, k_w, C_in, C_out); add the bias yourself.

    Raises
    ------
    ValueError
        As :func:`nnzen.mathematics.convolution.conv2d`.

    Examples
    --------
    >>> w = Variable(np.ones((2, 2, 1, 1)))
    >>> gradients(sum(conv2d(np.ones((1, 3, 3, 1)), w)), [w])[0].ravel()
    array([4., 4., 4., 4.])
    """
    image, window = value(x), value(kernel)

    def back(g: Array) -> list[Array | None]:
        both = convolution.conv2d_gradients(image, window, g, stride=stride, padding=padding)
        return [both.x, both.kernel]

    return _record(convolution.conv2d(image, window, stride=stride, padding=padding), *_together([x, kernel], back))


def max_pool2d(x: Input, size: int = 2, *, padding: str = "valid") -> Any:
    """Take the largest value of each block of (N, H, W, C); the gradient goes to the winner.

    Raises
    ------
    ValueError
        As :func:`nnzen.mathematics.convolution.max_pool2d`.

    Examples
    --------
    >>> x = Variable(np.arange(4.0).reshape(1, 2, 2, 1))
    >>> gradients(sum(max_pool2d(x)), [x])[0].ravel()
    array([0., 0., 0., 1.])
    """
    image = value(x)
    return _record(
        convolution.max_pool2d(image, size, padding=padding),
        (x, lambda g: convolution.max_pool2d_gradient(image, g, size, padding=padding)),
    )
