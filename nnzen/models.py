"""Small Keras models that more than one chapter uses, and the same trained.

``linear`` and ``mlp`` are the controls of chapter 08's convolutional network ``cnn``: the first has a single layer, the
second as many parameters as the network, to within one in five hundred. All end in ten logits, without a softmax.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

__all__ = ["MODELS", "build", "trained"]

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


def trained(name: str, seed: int) -> keras.Model:
    """Return a model trained on Fashion-MNIST by its recipe in `nnzen.training.RECIPES`. Imports Keras.

    The first call trains it on this machine, in a process of its own, and keeps the result under ``~/.cache/nnzen``;
    later calls read that. A change of the recipe, of the data or of the versions of Python, NumPy, TensorFlow or Keras
    trains it anew. Several callers may ask at once: one trains, the others wait. The caller's random numbers are the
    same whether the model was there or not.

    Parameters
    ----------
    name : {'linear', 'mlp', 'cnn'}
        Which model.
    seed : int
        Where the initial weights and the order of the images come from, 0 or more.

    Returns
    -------
    keras.Model
        Not compiled; images that `nnzen.training.standardize` prepared, ``like`` the training images, to logits.

    Raises
    ------
    ValueError
        If there is no model of that name, or the seed is not an integer of 0 or more.
    RuntimeError
        If the training failed; the message has its last line.

    Examples
    --------
    >>> model = trained("linear", seed=1)  # doctest: +SKIP
    """
    if name not in MODELS:
        raise ValueError(f"there is no model {name!r}; there are {', '.join(MODELS)}")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed is {seed!r}; it must be an integer of 0 or more")
    with _same_random_numbers():
        return _load_or_train(name, int(seed))


def _load_or_train(name: str, seed: int) -> keras.Model:
    import keras

    path = Path.home() / ".cache" / "nnzen" / f"{name}-{seed}-{_recipe(name)}.keras"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # ends with this process, however it ends
        if not path.exists():
            _train_elsewhere(name, seed, path)
    return keras.models.load_model(path, compile=False)


def _recipe(name: str) -> str:
    """Return a hash of all that a trained model depends on, apart from its seed."""
    from nnzen import datasets, runner
    from nnzen.studies.recipe import code_reached

    code = code_reached([], ["nnzen.training:train", "nnzen.training:RECIPES"], library=Path(__file__).parent)
    parts = [name, code, datasets.load(_DATA).checksum, runner.versions()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _train_elsewhere(name: str, seed: int, path: Path) -> None:
    """Train in another process, to a file that takes its name when it is whole."""
    temporary = path.with_name(f"unfinished-{path.name}")
    code = f"from nnzen.models import _train_here; _train_here({name!r}, {seed}, {str(temporary)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        temporary.unlink(missing_ok=True)
        raise RuntimeError(f"{name} with seed {seed} could not be trained: {last}")
    temporary.replace(path)


def _train_here(name: str, seed: int, path: str) -> None:
    from nnzen import datasets, runtime, training

    runtime.setup(seed, keras=True)
    data = datasets.load(_DATA)
    x = training.standardize(data.x_train, like=data.x_train)
    training.train(name, x, data.y_train, seed=seed, recipe=training.RECIPES[name]).model.save(path)


@contextlib.contextmanager
def _same_random_numbers() -> Iterator[None]:
    """Leave Python's and NumPy's generators as they are: Keras draws from them on import and for every layer."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


_DATA = "fashion_mnist"

MODELS: dict[str, Callable[[Any], list[Any]]] = {"linear": _linear, "mlp": _mlp, "cnn": _cnn}
"""The models by name: functions from ``keras.layers`` to a list of layers."""
