"""Small Keras models that more than one chapter uses.

``linear`` and ``mlp`` are the controls of chapter 08's convolutional network ``cnn``: the first has a single layer, the
second as many parameters as the network, to within one in five hundred. All end in ten logits, without a softmax.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

__all__ = ["MODELS", "build"]

_CLASSES = 10


def build(name: str, *, shape: tuple[int, int, int] = (28, 28, 1)) -> keras.Model:
    """Build a model with fresh weights from Keras' global seed. Imports Keras.

    Parameters
    ----------
    name : {'linear', 'mlp', 'cnn'}
        Which one: its layers stand in this module, one line each.
    shape : (int, int, int)
        Height, width and channels of an image.

    Returns
    -------
    keras.Model
        Not compiled; images of float32, shape (N, height, width, channels), to logits of shape (N, 10).

    Raises
    ------
    ValueError
        If there is no model of that name.
    """
    if name not in MODELS:
        raise ValueError(f"there is no model {name!r}; there are {', '.join(MODELS)}")
    import keras

    return keras.Sequential([keras.Input(shape), *MODELS[name](keras.layers)], name=name)


def _linear(layers: Any) -> list[Any]:
    return [layers.Flatten(), layers.Dense(_CLASSES)]


def _mlp(layers: Any) -> list[Any]:
    return [layers.Flatten(), layers.Dense(193, activation="relu"), layers.Dense(_CLASSES)]


def _cnn(layers: Any) -> list[Any]:
    return [
        layers.Conv2D(8, 3, padding="same"),
        layers.MaxPooling2D(2),
        layers.ReLU(),  # after the pooling: the result is the same, on a quarter of the values
        layers.Conv2D(24, 3, padding="same"),
        layers.MaxPooling2D(2),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dense(_CLASSES),
    ]


MODELS: dict[str, Callable[[Any], list[Any]]] = {"linear": _linear, "mlp": _mlp, "cnn": _cnn}
"""The models by name: functions from ``keras.layers`` to a list of layers."""
