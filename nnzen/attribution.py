r"""On which inputs does a prediction rest? Attributions of a model's output to the numbers that entered.

The functions take the model as a function, so any framework will do: ``f`` maps a batch of inputs, shape (N, ...), to
one number each, shape (N,), and ``gradient`` maps it to :math:`\partial f / \partial \mathbf{x}`, shape (N, ...).
`input_gradient` makes the latter from a Keras model. For a game with P players, ``value`` maps coalitions, a boolean
array of shape (M, P), to their values, shape (M,).

Two properties can be checked on any model: integrated gradients sum to :math:`f(\mathbf{x}) - f(\mathbf{x}')`, where
:math:`\mathbf{x}'` is the baseline, and Shapley values sum to the value of all players minus that of none.

References: Sundararajan, Taly and Yan (2017), https://arxiv.org/abs/1703.01365; Zeiler and Fergus (2014),
https://arxiv.org/abs/1311.2901; Selvaraju et al. (2017), https://arxiv.org/abs/1610.02391; Lundberg and Lee (2017),
https://arxiv.org/abs/1705.07874; Breiman (2001), https://doi.org/10.1023/A:1010933404324; Adebayo et al. (2018),
https://arxiv.org/abs/1810.03292.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import factorial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "grad_cam",
    "input_gradient",
    "integrated_gradients",
    "kernel_shap",
    "occlusion",
    "permutation_importance",
    "rank_similarity",
    "shapley",
]

_MOST_PLAYERS = 16  # 65,536 coalitions


def input_gradient(model: keras.Model, output: int = 0) -> Callable[[ArrayLike], NDArray[np.float32]]:
    """Return the function that computes the gradient of one output in the inputs. Imports TensorFlow.

    Parameters
    ----------
    model : keras.Model
        Maps inputs of shape (N, ...) to outputs of shape (N, K); it runs as in use, not as in training.
    output : int
        Which of the K outputs.

    Returns
    -------
    callable
        From inputs of shape (N, ...) to gradients of the same shape, float32. It follows later changes of the weights.
    """
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def compute(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(model(x, training=False)[:, output])
        return tape.gradient(total, x)

    return lambda x: compute(tf.convert_to_tensor(x, tf.float32)).numpy()


def integrated_gradients(
    gradient: Callable[[NDArray[Any]], NDArray[Any]], x: ArrayLike, baseline: ArrayLike, *, steps: int = 32
) -> NDArray[np.float64]:
    """Multiply x − baseline by the mean gradient along the straight line between them.

    Parameters
    ----------
    gradient : callable
        From a batch to gradients of its shape.
    x : array_like, shape (N, ...)
        Inputs.
    baseline : array_like
        What counts as nothing; its shape must be that of `x`, or broadcast to it.
    steps : int
        Points on the line: the midpoints of as many equal pieces.

    Returns
    -------
    ndarray of float64, shape of `x`
        They sum to f(x) − f(baseline), up to the error of the sum that stands for the integral.

    Examples
    --------
    >>> integrated_gradients(lambda x: 2 * x, [[3.0, 1.0]], 0.0)
    array([[9., 1.]])
    """
    x = np.asarray(x, dtype=float)
    baseline = np.broadcast_to(np.asarray(baseline, dtype=float), x.shape)
    if steps < 1:
        raise ValueError(f"steps is {steps}; it must be at least 1")
    total = np.zeros_like(x)
    for step in range(steps):
        total += gradient(baseline + (step + 0.5) / steps * (x - baseline))
    return (x - baseline) * total / steps


def occlusion(
    f: Callable[[NDArray[Any]], NDArray[Any]], x: ArrayLike, fill: ArrayLike, *, window: int, stride: int
) -> NDArray[np.float64]:
    """Replace one window after the other, and note by how much the output falls.

    Parameters
    ----------
    f : callable
        From images to one number each.
    x : array_like, shape (N, H, W, C)
        Images.
    fill : array_like
        What stands in the window instead: a number, or an image to cut it from, shape (H, W, C).
    window, stride : int
        Side of the window, and pixels from one window to the next; the last window must end at the border.

    Returns
    -------
    ndarray of float64, shape (N, H, W)
        For each pixel the mean of f(x) − f(occluded) over the windows that cover it.

    Examples
    --------
    >>> image = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    >>> occlusion(lambda x: x.sum(axis=(1, 2, 3)), image, 0.0, window=1, stride=1)[0]
    array([[1., 2.],
           [3., 4.]])
    """
    x = np.asarray(x)
    if x.ndim != 4:
        raise ValueError(f"x has shape {x.shape}; it must be (N, H, W, C)")
    if not 1 <= stride <= window <= min(x.shape[1:3]) or any((side - window) % stride for side in x.shape[1:3]):
        raise ValueError(
            f"window {window} and stride {stride} do not cover images of {x.shape[1]} × {x.shape[2]} pixels"
        )
    fill = np.broadcast_to(np.asarray(fill, dtype=x.dtype), x.shape[1:])
    before, total, count = f(x), np.zeros(x.shape[:3]), np.zeros(x.shape[1:3])
    corners = (range(0, side - window + 1, stride) for side in x.shape[1:3])
    for row, column in product(*corners):
        covered = np.s_[row : row + window, column : column + window]
        changed = x.copy()
        changed[:, *covered] = fill[covered]
        total[:, *covered] += (before - f(changed))[:, None, None]
        count[covered] += 1
    return total / count


def grad_cam(maps: ArrayLike, gradients: ArrayLike, size: tuple[int, int]) -> NDArray[np.float64]:
    """Weight feature maps by their mean gradients, add them up, and enlarge the sum to the size of the image.

    The sum is returned with its sign; the original method keeps its positive part only, ``np.maximum(map, 0)``.

    Parameters
    ----------
    maps : array_like, shape (N, h, w, C)
        Feature maps of a layer.
    gradients : array_like, shape (N, h, w, C)
        Gradient of the output in them.
    size : (int, int)
        Height and width of the image.

    Returns
    -------
    ndarray of float64, shape (N, height, width)
        Interpolated linearly between the centres of the maps' cells.

    Examples
    --------
    >>> grad_cam([[[[1.0, 2.0]]]], [[[[3.0, -1.0]]]], (1, 2))
    array([[[1., 1.]]])
    """
    from scipy.ndimage import zoom

    maps, gradients = np.asarray(maps, dtype=float), np.asarray(gradients, dtype=float)
    if maps.ndim != 4 or maps.shape != gradients.shape:
        raise ValueError(
            f"maps and gradients have shapes {maps.shape} and {gradients.shape}; both must be (N, h, w, C)"
        )
    summed = (maps * gradients.mean(axis=(1, 2), keepdims=True)).sum(axis=-1)
    factors = (1, size[0] / maps.shape[1], size[1] / maps.shape[2])
    return zoom(summed, factors, order=1, mode="nearest", grid_mode=True)


def shapley(value: Callable[[NDArray[np.bool_]], ArrayLike], players: int) -> NDArray[np.float64]:
    r"""Compute exact Shapley values from all :math:`2^P` coalitions.

    .. math:: \varphi_j = \sum_{S \not\ni j} \frac{|S|!\,(P - |S| - 1)!}{P!}\,\bigl(v(S \cup \{j\}) - v(S)\bigr)

    Parameters
    ----------
    value : callable
        From coalitions, a boolean array of shape (2^P, P), to their values.
    players : int
        Their number P, from 1 to 16.

    Returns
    -------
    ndarray of float64, shape (P,)
        They sum to the value of all players minus that of none.

    Examples
    --------
    >>> shapley(lambda s: s.all(axis=1), 4)
    array([0.25, 0.25, 0.25, 0.25])
    """
    coalitions = _all_coalitions(players)
    values = np.asarray(value(coalitions), dtype=float)
    if values.shape != (len(coalitions),):
        raise ValueError(f"value returned the shape {values.shape} for {len(coalitions)} coalitions")
    sizes = coalitions.sum(axis=1)
    weights = np.array([factorial(s) * factorial(players - s - 1) / factorial(players) for s in range(players)])
    result = np.empty(players)
    for j in range(players):
        without = np.flatnonzero(~coalitions[:, j])
        result[j] = weights[sizes[without]] @ (values[without + (1 << j)] - values[without])
    return result


def kernel_shap(
    value: Callable[[NDArray[np.bool_]], ArrayLike], players: int, *, samples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    r"""Estimate Shapley values by a least-squares fit to sampled coalitions.

    Coalitions other than none and all are drawn in pairs, each with its complement, with probabilities in proportion to
    the kernel :math:`(P - 1) / \bigl(\binom{P}{s}\, s\,(P - s)\bigr)` of their size :math:`s`. The fit is an additive
    function that must be right for none and for all.

    Parameters
    ----------
    value : callable
        From coalitions, a boolean array of shape (M, P), to their values.
    players : int
        Their number P, at least 2.
    samples : int
        Coalitions to draw, an even number.
    rng : numpy.random.Generator
        Where the coalitions come from.

    Returns
    -------
    ndarray of float64, shape (P,)
        They sum to the value of all players minus that of none, exactly.

    Examples
    --------
    >>> kernel_shap(lambda s: s @ [1.0, 2.0, 3.0], 3, samples=20, rng=np.random.default_rng(0)).round(9)
    array([1., 2., 3.])
    """
    if players < 2 or samples < 2 or samples % 2:
        raise ValueError(f"players is {players} and samples is {samples}; both must be at least 2, samples even")
    sizes = np.arange(1, players)
    mass = 1.0 / (sizes * (players - sizes))  # of a size: the kernel times the number of coalitions
    drawn = rng.choice(sizes, size=samples // 2, p=mass / mass.sum())
    order = rng.random((samples // 2, players)).argsort(axis=1).argsort(axis=1)
    half = order < drawn[:, None]
    coalitions = np.concatenate([half, ~half, np.zeros((1, players), bool), np.ones((1, players), bool)])
    values = np.asarray(value(coalitions), dtype=float)
    nothing, everything = values[-2:]
    members = coalitions[:-2].astype(float)
    # the last player gets what the others leave, so the fit has P - 1 unknowns
    rows = members[:, :-1] - members[:, -1:]
    targets = values[:-2] - nothing - members[:, -1] * (everything - nothing)
    first = np.linalg.lstsq(rows, targets, rcond=None)[0]
    return np.append(first, everything - nothing - first.sum())


def permutation_importance(
    loss: Callable[[NDArray[Any]], float],
    x: ArrayLike,
    groups: Sequence[NDArray[np.bool_]],
    rng: np.random.Generator,
    *,
    repeats: int = 1,
) -> NDArray[np.float64]:
    """Exchange a group of features among the examples, and note by how much the loss rises.

    Parameters
    ----------
    loss : callable
        From inputs, in the order of `x`, to one number: a loss, or a share of errors.
    x : array_like, shape (N, ...)
        Inputs.
    groups : sequence of ndarray of bool
        Masks of the features that move together, of the shape of one input or of its first axes: a mask of pixels
        takes all channels along.
    rng : numpy.random.Generator
        Where the permutations come from.
    repeats : int
        Permutations whose mean is taken.

    Returns
    -------
    ndarray of float64, shape (groups,)
        Loss with the group exchanged, minus the loss as it is.

    Examples
    --------
    >>> x = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0]])
    >>> groups = np.eye(2, dtype=bool)
    >>> def loss(x):
    ...     return np.mean((x[:, 0] - [0, 1, 2]) ** 2)
    >>> rise = permutation_importance(loss, x, groups, np.random.default_rng(0))
    >>> rise[0] > 0, rise[1] == 0
    (np.True_, np.True_)
    """
    x = np.asarray(x)
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; it must be at least 1")
    before, rises = loss(x), np.zeros(len(groups))
    for number, group in enumerate(groups):
        if np.ndim(group) == 0 or np.shape(group) != x.shape[1 : 1 + np.ndim(group)]:
            raise ValueError(f"group {number} has shape {np.shape(group)}; an input has the shape {x.shape[1:]}")
        for _ in range(repeats):
            changed = x.copy()
            changed[:, group] = x[rng.permutation(len(x))][:, group]
            rises[number] += (loss(changed) - before) / repeats
    return rises


def rank_similarity(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Return Spearman's rank correlation of the absolute values of two maps, one for each image.

    Parameters
    ----------
    first, second : array_like, shape (N, ...)
        Attributions of the same images; equal values share their mean rank.

    Returns
    -------
    ndarray of float64, shape (N,)
        NaN where a map is constant: it has no order.

    Examples
    --------
    >>> rank_similarity([[1, -2, 3]], [[-10, 20, 30]])
    array([1.])
    """
    from scipy.stats import rankdata

    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape or first.ndim < 2:
        raise ValueError(f"the maps have shapes {first.shape} and {second.shape}; both must be (N, ...), and equal")
    ranks = [rankdata(np.abs(maps).reshape(len(maps), -1), axis=1) for maps in (first, second)]
    a, b = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    lengths = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.divide((a * b).sum(axis=1), lengths, out=np.full(len(a), np.nan), where=lengths > 0)


def _all_coalitions(players: int) -> NDArray[np.bool_]:
    """Return all coalitions; player j belongs to number n if bit j of n is set."""
    if not 1 <= players <= _MOST_PLAYERS:
        raise ValueError(f"players is {players}; it must be from 1 to {_MOST_PLAYERS}")
    return (np.arange(1 << players)[:, None] >> np.arange(players) & 1).astype(bool)
