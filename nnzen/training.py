"""How the book trains a small classifier: one recipe, the same in a chapter and in its studies.

Adam with a learning rate that falls along half a cosine to zero, softmax cross-entropy on logits, pixels standardized
with the mean and the standard deviation of the training pixels. A run is a function of its seed: the initial weights
and the order of the images come from it.

References: Kingma and Ba (2015), https://arxiv.org/abs/1412.6980; Loshchilov and Hutter (2017),
https://arxiv.org/abs/1608.03983.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

__all__ = ["RECIPES", "Recipe", "Run", "accuracy", "predict_logits", "standardize", "train"]

_STEPS_PER_CALL = 8  # steps that TensorFlow takes before Python looks again: saves a fifth of the time of a small model


@dataclass(frozen=True)
class Recipe:
    """What is chosen for a model: on validation images, never on test images.

    Attributes
    ----------
    learning_rate : float
        Adam's learning rate at the first step.
    epochs : int
        Passes over the training images.
    batch_size : int
        Images a step.
    """

    learning_rate: float
    epochs: int = 4
    batch_size: int = 64


RECIPES = {
    "linear": Recipe(learning_rate=0.0045),
    "mlp": Recipe(learning_rate=0.0015),
    "cnn": Recipe(learning_rate=0.0045),
}
"""Recipes of `nnzen.models.MODELS` on Fashion-MNIST, with learning rates that the study ``first_cnn_rates`` chose."""


@dataclass(frozen=True, eq=False)
class Run:
    """One trained network.

    Attributes
    ----------
    model : keras.Model
        The network after the last step.
    loss : list of float
        Mean training loss of each epoch, in nats, measured while the weights change.
    accuracy : list of float
        Training accuracy of each epoch in per cent, measured while the weights change.
    """

    model: keras.Model
    loss: list[float]
    accuracy: list[float]


def standardize(images: NDArray[np.uint8], *, like: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Subtract the mean pixel of `like` and divide by its standard deviation.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W)
        Grey images.
    like : ndarray of uint8, shape (M, H, W)
        The training images: the statistics come from them alone, whatever is standardized.

    Returns
    -------
    ndarray of float32, shape (N, H, W, 1)

    Raises
    ------
    ValueError
        If an array is not of grey uint8 images, or all pixels of `like` are equal.

    Examples
    --------
    >>> train = np.array([[[0, 100]]], dtype=np.uint8)
    >>> standardize(train, like=train)[0, 0, :, 0]
    array([-1.,  1.], dtype=float32)
    """
    for name, array in (("images", images), ("like", like)):
        if not isinstance(array, np.ndarray) or array.ndim != 3 or array.dtype != np.uint8:
            raise ValueError(
                f"{name} is {getattr(array, 'dtype', type(array).__name__)} of shape {np.shape(array)}; "
                "it must be an array of uint8 of shape (N, H, W)"
            )
    counts = np.bincount(like.ravel(), minlength=256)  # exact, and needs no copy of the images in float
    levels = np.arange(256)
    mean = counts @ levels / counts.sum() if len(like) else 0.0
    deviation = np.sqrt(counts @ (levels - mean) ** 2 / counts.sum()) if len(like) else 0.0
    if not deviation > 0:
        raise ValueError(f"like has shape {like.shape} and no two different pixels; give the training images")
    return ((images[..., np.newaxis] - np.float32(mean)) / np.float32(deviation)).astype(np.float32)


def train(name: str, x: NDArray[np.float32], y: NDArray[np.int64], *, seed: int, recipe: Recipe) -> Run:
    """Build a model of `nnzen.models` and train it. Sets the global seeds of Python, NumPy and Keras.

    Parameters
    ----------
    name : {'linear', 'mlp', 'cnn'}
        Which model.
    x : ndarray of float32, shape (N, H, W, C)
        Standardized training images.
    y : ndarray of int64, shape (N,)
        Class numbers, 0 to 9.
    seed : int
        Where the initial weights and the order of the images come from.
    recipe : Recipe
        Such as ``RECIPES["cnn"]``. There is no default, so that the study that chose those does not rest on them.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        If there is no model of that name, or `x` and `y` do not fit together.
    """
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"x holds {len(x)} images and y {len(y)} labels; there must be as many of each, at least one")
    import keras

    from nnzen import models

    keras.utils.set_random_seed(seed)
    model = models.build(name, shape=x.shape[1:])
    steps = recipe.epochs * -(-len(x) // recipe.batch_size)
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # on a processor XLA is about half as fast
        steps_per_execution=_STEPS_PER_CALL,
    )
    history = model.fit(x, y, batch_size=recipe.batch_size, epochs=recipe.epochs, verbose=0).history
    return Run(model, loss=history["loss"], accuracy=[100 * value for value in history["accuracy"]])


def predict_logits(model: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logits of images, shape (N, classes), computed in batches of 1000."""
    return np.asarray(model.predict(x, batch_size=1000, verbose=0))


def accuracy(logits: NDArray[np.floating], y: NDArray[np.int64]) -> float:
    """Return how many of 100 images have their largest logit at their own class.

    Parameters
    ----------
    logits : ndarray of float, shape (N, classes)
    y : ndarray of int64, shape (N,)

    Returns
    -------
    float
        In per cent.

    Examples
    --------
    >>> accuracy(np.array([[2.0, 1.0], [0.0, 3.0]]), np.array([0, 0]))
    50.0
    """
    if np.ndim(logits) != 2 or len(logits) != len(y) or len(y) == 0:
        raise ValueError(
            f"logits have shape {np.shape(logits)} for {len(y)} labels; they must be (N, classes) for N ≥ 1"
        )
    return 100.0 * float(np.mean(np.argmax(logits, axis=1) == y))
