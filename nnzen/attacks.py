r"""Adversarial examples: changes of an image, too small to matter to people, that make a network wrong.

An image :math:`\mathbf{x}` has pixels from 0 to 1, and an attack may change each of them by at most :math:`\epsilon`.
It looks for

.. math:: \max_{\mathbf{x}'}\; \ell(\mathbf{x}', y) \quad\text{with}\quad
    \lVert \mathbf{x}' - \mathbf{x} \rVert_\infty \le \epsilon, \quad 0 \le x'_i \le 1 .

In one step :func:`fgsm` goes to the maximum of the linearized loss, which is
:math:`\mathbf{x} + \epsilon\,\operatorname{sign}(\nabla\ell)`. :func:`pgd` takes many smaller steps from a random start
and returns to the ball after each. Neither proves anything by failing: the accuracy under an attack is an upper bound
of the accuracy under the best one. Chapter 21 derives both and shows what misleads them.

References
----------
Goodfellow, Shlens and Szegedy (2015), https://arxiv.org/abs/1412.6572
Madry et al. (2018), https://arxiv.org/abs/1706.06083
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["adversarial_sequential", "climb", "cross_entropy", "fgsm", "margin", "pgd"]

_BATCH = 500  # images attacked at once


def cross_entropy(logits: Any, y: Any) -> Any:
    """Return the softmax cross-entropy of each image in nats: tensors (N, K) and (N,) to (N,). Imports TensorFlow."""
    import tensorflow as tf

    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)


def margin(logits: Any, y: Any) -> Any:
    """Return by how much the largest wrong logit exceeds the right one: tensors (N, K) and (N,) to (N,).

    It is above 0 exactly where the network is wrong, and its gradient does not vanish where the softmax saturates
    (Carlini and Wagner, 2017, https://arxiv.org/abs/1608.04644). Imports TensorFlow.
    """
    import tensorflow as tf

    own = tf.one_hot(y, logits.shape[-1], dtype=tf.bool, on_value=True, off_value=False)
    return tf.reduce_max(tf.where(own, -np.inf, logits), axis=1) - tf.gather(logits, y, batch_dims=1)


def climb(
    model: Any, x: Any, y: Any, *, start: Any, epsilon: float, step_size: float, steps: int, loss: Any = cross_entropy
) -> Any:
    """Take steps of signed gradient ascent, each followed by the way back to the ball: tensors in, tensors out.

    It also works inside a ``tf.function``, such as a model's own ``train_step``. Imports TensorFlow.

    Parameters
    ----------
    model : callable
        Images to logits.
    x, y : tensor, shapes (N, H, W, C) and (N,)
        Images with pixels from 0 to 1, and class numbers.
    start : tensor, shape (N, H, W, C)
        Where to start.
    epsilon : float
        The largest change of a pixel.
    step_size : float
        Change of a pixel in a step.
    steps : int
        How many.
    loss : function
        Of logits and labels, one value an image, such as :func:`cross_entropy` or :func:`margin`.

    Returns
    -------
    tensor, shape (N, H, W, C)
        Within `epsilon` of `x`, from 0 to 1. Where the gradient is zero, the start.
    """
    import tensorflow as tf

    low, high = tf.maximum(x - epsilon, 0.0), tf.minimum(x + epsilon, 1.0)
    size, moved = tf.constant(step_size, tf.float32), start
    for _ in range(steps):
        moved = tf.clip_by_value(moved + size * tf.sign(_gradient()(model, moved, y, loss)), low, high)
    return tf.stop_gradient(moved)


@functools.cache
def _gradient() -> Any:
    """Return a compiled function: the gradient of the loss in the images, traced once for each model and loss."""
    import tensorflow as tf

    @tf.function(reduce_retracing=True, autograph=False)
    def gradient(model: Any, x: Any, y: Any, loss: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            total = tf.reduce_sum(loss(model(x, training=False), y))
        return tape.gradient(total, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    return gradient


def fgsm(
    model: Any,
    x: NDArray[np.float32],
    y: NDArray[np.integer],
    epsilon: float,
    *,
    loss: Callable[..., Any] = cross_entropy,
) -> NDArray[np.float32]:
    """Attack by the fast gradient sign method. Imports TensorFlow.

    Parameters
    ----------
    model : keras.Model
        Images to logits, shape (N, K).
    x : ndarray of float32, shape (N, H, W, C)
        Images, pixels from 0 to 1.
    y : ndarray of int, shape (N,)
        Class numbers from 0.
    epsilon : float
        The largest change of a pixel, from 0 to 1.
    loss : function
        What to increase, :func:`cross_entropy` or :func:`margin`.

    Returns
    -------
    ndarray of float32, shape (N, H, W, C)
        Changed images, within `epsilon` of `x` and from 0 to 1.

    Raises
    ------
    ValueError
        If images and labels do not fit together, a pixel or `epsilon` lies outside 0 to 1.
    """

    def step(x: Any, y: Any, _: slice) -> Any:
        return climb(model, x, y, start=x, epsilon=epsilon, step_size=epsilon, steps=1, loss=loss)

    return _attack(x, y, epsilon, step)


def pgd(
    model: Any,
    x: NDArray[np.float32],
    y: NDArray[np.integer],
    epsilon: float,
    *,
    steps: int = 20,
    restarts: int = 1,
    seed: int = 0,
    loss: Callable[..., Any] = cross_entropy,
) -> NDArray[np.float32]:
    """Attack by projected gradient descent from random starts, with steps of 2.5 ε / `steps`. Imports TensorFlow.

    Parameters
    ----------
    model : keras.Model
        Images to logits, shape (N, K).
    x : ndarray of float32, shape (N, H, W, C)
        Images, pixels from 0 to 1.
    y : ndarray of int, shape (N,)
        Class numbers from 0.
    epsilon : float
        The largest change of a pixel, from 0 to 1.
    steps : int
        Steps from each start, 1 or more.
    restarts : int
        How many starts, drawn uniformly from the ball; of each image the end with the largest :func:`margin` is kept.
    seed : int
        Of the starts.
    loss : function
        What to increase, :func:`cross_entropy` or :func:`margin`.

    Returns
    -------
    ndarray of float32, shape (N, H, W, C)
        Changed images, within `epsilon` of `x` and from 0 to 1.

    Raises
    ------
    ValueError
        If images and labels do not fit together, a pixel or `epsilon` lies outside 0 to 1, or `steps` or `restarts` is
        below 1.
    """
    _check_epsilon(epsilon)
    for name, value in (("steps", steps), ("restarts", restarts)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} is {value!r}; it must be an integer of 1 or more")
    import tensorflow as tf

    rng = np.random.default_rng(seed)
    noise = [rng.uniform(-epsilon, epsilon, size=np.shape(x)).astype(np.float32) for _ in range(restarts)]

    def strongest(x: Any, y: Any, rows: slice) -> Any:
        best, score = None, None
        for start in noise:
            end = climb(
                model,
                x,
                y,
                start=tf.clip_by_value(x + start[rows], 0.0, 1.0),
                epsilon=epsilon,
                step_size=2.5 * epsilon / steps,
                steps=steps,
                loss=loss,
            )
            reached = margin(model(end, training=False), y)
            if best is None:
                best, score = end, reached
            else:
                better = reached > score
                best, score = tf.where(better[:, None, None, None], end, best), tf.maximum(reached, score)
        return best

    return _attack(x, y, epsilon, strongest)


def adversarial_sequential(layers: Sequence[Any], *, epsilon: float, steps: int, seed: int = 0) -> Any:
    """Build a ``keras.Sequential`` that trains on attacked images (Madry et al., 2018). Imports Keras.

    Parameters
    ----------
    layers : sequence of keras layers
        From images with pixels from 0 to 1 to logits, an ``Input`` first.
    epsilon : float
        The largest change of a pixel, from 0 to 1.
    steps : int
        Steps of the attack on each batch, of 2.5 ε / `steps`, from a start drawn uniformly from the ball. With 0 it
        trains on these starts: on noise of the same size.
    seed : int
        Of the starts.

    Returns
    -------
    keras.Sequential
        Not compiled. Only its training differs from that of another model.

    Raises
    ------
    ValueError
        If `epsilon` lies outside 0 to 1, or `steps` is below 0.
    """
    _check_epsilon(epsilon)
    if steps < 0:
        raise ValueError(f"steps is {steps!r}; it must be 0 or more")
    import keras

    class Adversarial(keras.Sequential):
        def __init__(self) -> None:
            super().__init__()
            self.starts = keras.random.SeedGenerator(seed)  # before the layers: a built model takes no more state
            for layer in layers:
                self.add(layer)

        def train_step(self, data: Any) -> Any:
            x, y = data
            noise = keras.random.uniform(keras.ops.shape(x), -epsilon, epsilon, seed=self.starts)
            attacked = climb(
                self,
                x,
                y,
                start=keras.ops.clip(x + noise, 0.0, 1.0),
                epsilon=epsilon,
                step_size=2.5 * epsilon / max(steps, 1),
                steps=steps,
            )
            return super().train_step((attacked, y))

    return Adversarial()


def _check_epsilon(epsilon: float) -> None:
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon is {epsilon!r}; it must lie between 0 and 1, the range of a pixel")


def _attack(
    x: NDArray[np.float32], y: NDArray[np.integer], epsilon: float, change: Callable[[Any, Any, slice], Any]
) -> NDArray[np.float32]:
    """Check the arguments, and attack batch by batch."""
    import tensorflow as tf

    if np.ndim(x) != 4 or len(x) != len(y) or len(x) == 0:
        raise ValueError(f"x has shape {np.shape(x)} for {len(y)} labels; it must be (N, H, W, C) for N ≥ 1 labels")
    _check_epsilon(epsilon)
    if not (np.min(x) >= 0 and np.max(x) <= 1):
        raise ValueError(f"pixels go from {np.min(x):g} to {np.max(x):g}; they must lie between 0 and 1")
    parts = []
    for first in range(0, len(x), _BATCH):
        rows = slice(first, first + _BATCH)
        images, labels = tf.constant(x[rows], tf.float32), tf.constant(y[rows], tf.int64)
        parts.append(change(images, labels, rows).numpy())
    return np.concatenate(parts)
