"""How the book trains a classifier: a fixed recipe for small ones, and what belongs around Keras' ``fit`` for others.

:func:`train` is one recipe, the same in a chapter and in its studies: Adam with a learning rate that falls along half a
cosine to zero, softmax cross-entropy on logits, pixels standardized with the mean and the standard deviation of the
training pixels. A run is a function of its seed: the initial weights and the order of the images come from it.

:func:`fit` trains any classifier by a :class:`Plan`: seeds, precision, a schedule, an average of the weights,
augmentation, a budget, logs, and a state on disk from which a killed training goes on as if nothing had happened.

References: Kingma and Ba (2015), https://arxiv.org/abs/1412.6980; Loshchilov and Hutter (2017),
https://arxiv.org/abs/1608.03983.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnzen.costs import costs
from nnzen.notebooks import write_atomically, write_problem
from nnzen.records import frame

if TYPE_CHECKING:
    import keras
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "RECIPES",
    "Fitted",
    "Plan",
    "Recipe",
    "Run",
    "TrainingError",
    "accuracy",
    "fit",
    "predict_logits",
    "predict_views",
    "standardize",
    "tabulated",
    "train",
]

_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
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


# ---------------------------------------------------------------------------------------------------------
# What a serious user of Keras writes around `fit`


class TrainingError(RuntimeError):
    """A training that could not go on; the message says where, and what would help.

    Attributes
    ----------
    model : keras.Model
        With the last good weights: those at the end of the last whole epoch, or the initial ones.
    history : dict of list of float
        Of the whole epochs, as in :class:`Fitted`.
    """

    def __init__(self, message: str, model: keras.Model, history: dict[str, list[float]]) -> None:
        super().__init__(message)
        self.model = model
        self.history = history


@dataclass(frozen=True)
class Plan:
    """How to train: all that the result depends on, apart from model, images and seed.

    Attributes
    ----------
    optimizer : function from int to keras.optimizers.Optimizer
        Makes a new optimizer for a training of so many steps, so that a schedule can end where the training ends;
        see :func:`tabulated`. If it keeps an average of the weights (Keras: ``use_ema=True``), validation and the
        result use the average.
    epochs : int
        Passes over the training images.
    batch_size : int
        Images a step; the last step of an epoch takes what is left.
    augment : function, optional
        Called as ``augment(images, labels, key)`` in the input pipeline's graph, with a batch as it is stored and a key
        for `nnzen.augment`; returns images and labels.
    loss : function from nothing to keras.losses.Loss, optional
        Softmax cross-entropy of class numbers on logits unless given.
    precision : {'float32', 'mixed_bfloat16', 'mixed_float16'}
        Keras' policy while the model is built: the weights are float32 in all three.
    jit_compile : bool
        Whether XLA compiles the step. On a processor it is often slower; on a GPU it is often faster.
    """

    optimizer: Callable[[int], Any]
    epochs: int
    batch_size: int = 128
    augment: Callable[[Any, Any, Any], tuple[Any, Any]] | None = None
    loss: Callable[[], Any] | None = None
    precision: str = "float32"
    jit_compile: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}; it must be an integer of 1 or more")
        if self.precision not in _PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}; it must be one of {', '.join(_PRECISIONS)}")


@dataclass(frozen=True, eq=False)
class Fitted:
    """A training that came to its end, or to the end of its budget.

    Attributes
    ----------
    model : keras.Model
        After the last step, with the averaged weights if the optimizer keeps them.
    history : dict of list of float
        For each whole epoch ``loss`` (nats) and ``accuracy`` (per cent) on the training images, measured while the
        weights change; with validation images ``val_loss`` and ``val_accuracy`` at its end; ``learning_rate`` at its
        end; ``seconds`` and ``images_per_second``, those of another process included after a resumption.
    steps : int
        Steps taken in all.
    stopped : str
        ``""``, or which budget was used up.
    resumed : int
        Whole epochs that were read from the folder and not trained again.
    """

    model: keras.Model
    history: dict[str, list[float]]
    steps: int
    stopped: str = ""
    resumed: int = 0

    @property
    def epochs(self) -> int:
        """Whole epochs trained."""
        return len(self.history["loss"])


def tabulated(rates: ArrayLike) -> Any:
    """Make a Keras schedule of the learning rates of all steps, such as `nnzen.mathematics.schedules` gives.

    Parameters
    ----------
    rates : array_like of float, shape (steps,)
        The rate of each step. Later steps keep the last one.

    Returns
    -------
    LearningRateSchedule
        Of `keras.optimizers.schedules`.

    Raises
    ------
    ValueError
        If there is no rate, or one is negative or not finite.
    """
    table = np.asarray(rates, dtype=np.float32)
    if table.ndim != 1 or not len(table):
        raise ValueError(f"rates have shape {table.shape}; there must be one for each step")
    wrong = ~(np.isfinite(table) & (table >= 0))
    if wrong.any():
        step = int(np.argmax(wrong))
        raise ValueError(f"the rate of step {step} is {table[step]}; it must be a finite number of 0 or more")
    import keras

    class Tabulated(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            index = keras.ops.minimum(keras.ops.cast(step, "int32"), len(table) - 1)
            return keras.ops.take(keras.ops.convert_to_tensor(table), index)

        def get_config(self) -> dict[str, Any]:
            return {"rates": table.tolist()}

    return Tabulated()


def fit(
    build: Callable[[], keras.Model],
    images: NDArray[Any],
    labels: NDArray[np.integer],
    plan: Plan,
    *,
    seed: int,
    validation: tuple[NDArray[Any], NDArray[np.integer]] | None = None,
    folder: str | os.PathLike[str] | None = None,
    seconds: float | None = None,
    flop: float | None = None,
    progress: bool = False,
) -> Fitted:
    """Build a classifier and train it, so that it can be killed at any moment and resumed. Sets the global seeds.

    The batch of every step is a function of the seed and the number of the step. With a folder, the state at the end of
    each epoch is written there, and the same call resumes from it: only the epoch that was cut short is trained again.
    With TensorFlow's deterministic operations (``nz.setup(seed, keras=True)``) the result is the same, bit for bit, as
    without the interruption.

    Parameters
    ----------
    build : function
        Makes the model, not compiled: images as they are stored to logits of shape (N, classes).
    images : ndarray, shape (N, ...)
        Training images.
    labels : ndarray of int, shape (N,)
        Class numbers from 0.
    plan : Plan
        How to train.
    seed : int
        Where the initial weights, the order and the augmentation come from.
    validation : pair of ndarray, optional
        Images and labels to measure at the end of each epoch.
    folder : path, optional
        Where ``state.npz``, ``log.csv`` and an event file for TensorBoard go.
    seconds : float, optional
        Budget of time for training, without validation, earlier parts of a resumed run included.
    flop : float, optional
        Budget of arithmetic, as `nnzen.costs` counts it. After either budget no further steps are taken; Keras is asked
        every few steps. A schedule does not know of budgets: choose `plan.epochs` so that it ends in time.
    progress : bool
        Whether to draw a progress bar with images per second, on the terminal or in the notebook.

    Returns
    -------
    Fitted

    Raises
    ------
    ValueError
        If images, labels and model do not fit together, or the folder holds another run.
    TrainingError
        If the loss is no longer a finite number, or the state cannot be written, as on a full disk.
    """
    _check_examples("images", images, "labels", labels)
    if validation is not None:
        _check_examples("validation images", validation[0], "validation labels", validation[1])
    for name, budget in (("seconds", seconds), ("flop", flop)):
        if budget is not None and not budget > 0:
            raise ValueError(f"{name} is {budget!r}; a budget must be above 0")
    import keras

    keras.utils.set_random_seed(seed)
    model = _built(build, plan)
    for name, x, y in (("images", images, labels), *([("validation images", *validation)] if validation else [])):
        _check_fit(model, name, x, y)
    steps = -(-len(labels) // plan.batch_size)
    optimizer = plan.optimizer(steps * plan.epochs)
    model.compile(
        optimizer=optimizer,
        loss=plan.loss() if plan.loss else keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=plan.jit_compile,
        steps_per_execution=min(_STEPS_PER_CALL, steps),
    )
    model.optimizer.build(model.trainable_variables)
    run = _Run(model, plan, len(labels), validation, seconds, flop and flop / costs(model).training_flop)
    if folder is not None:
        run.folder = _Folder(Path(folder), _fingerprint(model, images, labels, plan, seed))
        run.resume()
    with _bar(run) if progress else contextlib.nullcontext():
        run.train(_batches(images, labels, plan, seed))
    _use_average(model)
    return Fitted(model, run.history, run.epoch * steps + run.steps_in_epoch, run.stopped, run.resumed)


def predict_views(
    model: Any, x: NDArray[Any], views: Sequence[Callable[[NDArray[Any]], NDArray[Any]]]
) -> NDArray[np.float32]:
    """Return the mean of the logits of several views of each image: test-time augmentation.

    Parameters
    ----------
    model : keras.Model
        Images to logits.
    x : ndarray, shape (N, ...)
        Images.
    views : sequence of functions
        Each takes the images and returns as many, such as ``lambda x: x`` and ``lambda x: x[:, :, ::-1]``.

    Returns
    -------
    ndarray of float32, shape (N, classes)

    Raises
    ------
    ValueError
        If there is no view, or one returns another number of images.
    """
    if not views:
        raise ValueError("views is empty; give at least one, such as lambda x: x")
    logits = []
    for number, view in enumerate(views):
        seen = view(x)
        if len(seen) != len(x):
            raise ValueError(f"view {number} returns {len(seen)} images for {len(x)}; it must return as many")
        logits.append(predict_logits(model, seen))
    return np.asarray(np.mean(logits, axis=0), dtype=np.float32)


def _check_examples(name: str, images: Any, other: str, labels: Any) -> None:
    if len(images) != len(labels) or len(images) == 0:
        raise ValueError(
            f"there are {len(images)} {name} and {len(labels)} {other}; there must be as many of each, at least one"
        )
    if np.ndim(labels) != 1 or not np.issubdtype(np.asarray(labels).dtype, np.integer):
        raise ValueError(
            f"{other} are {np.asarray(labels).dtype} of shape {np.shape(labels)}; they must be integers of shape (N,)"
        )


def _check_fit(model: Any, name: str, images: NDArray[Any], labels: NDArray[np.integer]) -> None:
    wanted = tuple(model.input_shape[1:])
    if (
        any(a not in (None, b) for a, b in zip(wanted, images.shape[1:], strict=False))
        or len(wanted) != images.ndim - 1
    ):
        raise ValueError(f"{name} have shape {images.shape}; the model takes (N, {', '.join(map(str, wanted))})")
    classes = model.output_shape[-1]
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        first = int(np.argmax(outside))
        raise ValueError(
            f"the label of number {first} of the {name} is {labels[first]}; the model has {classes} classes, "
            f"so labels go from 0 to {classes - 1} ({int(outside.sum())} lie outside)"
        )


def _built(build: Callable[[], Any], plan: Plan) -> Any:
    """Build the model under the plan's precision policy, and leave the global policy as it was."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(plan.precision)
    try:
        model = build()
    finally:
        keras.config.set_dtype_policy(before)
    if not model.built:
        raise ValueError(f"the model {model.name!r} has no weights yet; give it an Input, so that they can be seeded")
    return model


def _batches(images: NDArray[Any], labels: NDArray[np.integer], plan: Plan, seed: int) -> Callable[[int], Any]:
    """Return the stream of an epoch's batches as a function of its number: a resumed run sees the same ones."""
    import tensorflow as tf

    n, size = len(labels), plan.batch_size
    steps = -(-n // size)
    x, y = tf.constant(images), tf.constant(labels)
    own = tf.constant(seed, tf.int64)

    def batch(number: Any) -> tuple[Any, Any]:  # counted from the first epoch on
        epoch, step = number // steps, tf.cast(number % steps, tf.int32)
        place = tf.range(step * size, tf.minimum((step + 1) * size, n))
        index = tf.random.experimental.index_shuffle(place, tf.stack([own, epoch]), n - 1)  # one order an epoch
        chosen = tf.gather(x, index), tf.gather(y, index)
        return plan.augment(*chosen, tf.stack([own, number])) if plan.augment else chosen

    def stream(epoch: int) -> Any:
        numbers = tf.data.Dataset.range(epoch * steps, (epoch + 1) * steps)
        return numbers.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)

    return stream


def _fingerprint(model: Any, images: NDArray[Any], labels: NDArray[Any], plan: Plan, seed: int) -> dict[str, Any]:
    """Describe a run by what its result depends on, as far as it can be compared."""
    import keras

    shapes = json.dumps([[list(v.shape), str(v.dtype)] for v in model.variables])  # Keras numbers their names
    optimizer = json.dumps(model.optimizer.get_config() | {"name": ""}, sort_keys=True, default=str)
    return {
        "seed": seed,
        "epochs": plan.epochs,
        "batch_size": plan.batch_size,
        "precision": plan.precision,
        "augment": getattr(plan.augment, "__qualname__", repr(plan.augment)),
        "loss": json.dumps(keras.losses.serialize(model.loss), sort_keys=True, default=str),
        "optimizer": f"{type(model.optimizer).__name__} {_digest(optimizer.encode())}",
        "weights": _digest(shapes.encode()),
        "images": f"{len(images)} {_digest(np.ascontiguousarray(images))}",
        "labels": _digest(np.ascontiguousarray(labels)),
    }


def _digest(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@contextlib.contextmanager
def _averaged(model: Any) -> Iterator[None]:
    """Give the model the averaged weights for a while, if its optimizer keeps them."""
    import keras

    raw = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    used = _use_average(model)
    try:
        yield
    finally:
        if used:
            for variable, value in zip(model.trainable_variables, raw, strict=True):
                variable.assign(value)


def _use_average(model: Any) -> bool:
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # loss scaling wraps the real one
    if optimizer.use_ema:
        optimizer.finalize_variable_values(model.trainable_variables)
    return bool(optimizer.use_ema)


class _Folder:
    """The folder of a run: its state, its log for people, its log for TensorBoard."""

    def __init__(self, path: Path, fingerprint: dict[str, Any]) -> None:
        self.path, self.state, self.fingerprint = path, path / "state.npz", fingerprint

    def load(self) -> tuple[dict[str, list[float]], list[NDArray[Any]]] | None:
        """Read what was written last: the history and the values of all variables."""
        if not self.state.exists():
            return None
        try:
            with np.load(self.state, allow_pickle=False) as file:
                meta = json.loads(str(file["meta"]))
                values = [file[f"v{i}"] for i in range(meta["variables"])]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{self.state} is damaged ({error}); delete it to train from the start") from error
        differs = [key for key, value in self.fingerprint.items() if meta["run"].get(key) != value]
        if differs:
            said = "; ".join(f"{key}: {meta['run'].get(key)} there, {self.fingerprint[key]} here" for key in differs)
            raise ValueError(f"{self.path} holds another run ({said}); give another folder, or delete this one")
        return meta["history"], values

    def save(self, history: dict[str, list[float]], values: list[NDArray[Any]]) -> None:
        """Write the logs and then the state, each whole or not at all."""
        self._append_events({name: column[-1] for name, column in history.items()}, step=len(history["loss"]))
        rows = [",".join(["epoch", *history])]
        rows += [
            ",".join(f"{v:.6g}" for v in (e, *row)) for e, row in enumerate(zip(*history.values(), strict=True), 1)
        ]
        write_atomically(self.path / "log.csv", "\n".join(rows) + "\n")
        buffer = io.BytesIO()
        meta = json.dumps({"run": self.fingerprint, "history": history, "variables": len(values)})
        arrays: dict[str, Any] = {f"v{i}": value for i, value in enumerate(values)}
        np.savez(buffer, meta=np.array(meta), **arrays)
        write_atomically(self.state, buffer.getvalue())

    def _append_events(self, scalars: dict[str, float], step: int) -> None:
        """Append to the event file, whose records are framed as in chapter 11; TensorBoard is not needed for it."""
        from tensorflow.compat.v1 import Event, Summary

        now = time.time()
        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        events = [Event(wall_time=now, step=step, summary=Summary(value=values))]
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "events.out.tfevents.0").open("ab") as file:
            if not file.tell():
                events.insert(0, Event(wall_time=now, file_version="brain.Event:2"))
            file.write(b"".join(frame(event.SerializeToString()) for event in events))


@dataclass(eq=False)
class _Run:
    """A run between two steps: how far it is, what to do after a step and after an epoch."""

    model: Any
    plan: Plan
    images: int
    validation: tuple[Any, Any] | None
    seconds: float | None
    worth: float | None  # images that the budget of FLOP is worth
    folder: _Folder | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    resumed: int = 0
    stopped: str = ""
    steps_in_epoch: int = 0
    began: float = 0.0
    report: Callable[[_Run, float], None] = lambda run, loss: None
    good: list[NDArray[Any]] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """Whole epochs trained."""
        return len(self.history.get("loss", ()))

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-self.images // self.plan.batch_size)

    def variables(self) -> list[Any]:
        """Everything that training changes: weights, statistics, states of random seeds, the optimizer's own."""
        return [*self.model.variables, *self.model.optimizer.variables]

    def values(self) -> list[NDArray[Any]]:
        """Copies of their values."""
        import keras

        return [keras.ops.convert_to_numpy(v) for v in self.variables()]

    def resume(self) -> None:
        stored = self.folder.load() if self.folder else None
        if stored:
            self.history, values = stored
            self.resumed = self.epoch
            for variable, value in zip(self.variables(), values, strict=True):
                variable.assign(value)

    def images_seen(self) -> int:
        """Images that a gradient was computed for; the last step of an epoch takes what is left."""
        return self.epoch * self.images + min(self.steps_in_epoch * self.plan.batch_size, self.images)

    def budget_used(self) -> bool:
        running = time.perf_counter() - self.began if self.steps_in_epoch else 0.0
        if self.seconds is not None and sum(self.history.get("seconds", ())) + running >= self.seconds:
            self.stopped = f"the budget of {self.seconds:g} s was used up"
        if self.worth is not None and self.images_seen() >= self.worth:
            self.stopped = f"the budget of FLOP, worth {self.worth:,.0f} images, was used up"
        return bool(self.stopped)

    def train(self, batches: Callable[[int], Any]) -> None:
        import keras

        self.good = self.values()
        callback = keras.callbacks.LambdaCallback(on_train_batch_end=self.steps_end)
        try:
            while self.epoch < self.plan.epochs and not self.budget_used():
                self.began, self.steps_in_epoch = time.perf_counter(), 0
                logs = self.model.fit(batches(self.epoch), callbacks=[callback], shuffle=False, verbose=0).history
                if not self.stopped:
                    self.epoch_ends(logs["loss"][-1], 100 * logs["accuracy"][-1])
        except _Stop as stop:
            for variable, value in zip(self.variables(), self.good, strict=True):
                variable.assign(value)
            kept = f"the model has the weights after epoch {self.epoch}" if self.epoch else "it has its initial weights"
            raise TrainingError(f"{stop}; {kept}", self.model, self.history) from stop.__cause__

    def steps_end(self, step: int, logs: dict[str, float]) -> None:
        self.steps_in_epoch = step + 1
        if not math.isfinite(logs["loss"]):
            rate = float(self.model.optimizer.learning_rate)
            raise _Stop(
                f"the loss is {logs['loss']} at or shortly before step {step + 1} of epoch {self.epoch + 1}, with a "
                f"learning rate of {rate:.3g}: lower the rate, warm it up, or look for numbers in the images that are "
                "not finite"
            )
        self.report(self, logs["loss"])
        if self.steps_in_epoch < self.steps and self.budget_used():
            self.model.stop_training = True

    def epoch_ends(self, loss: float, accuracy: float) -> None:
        seconds = time.perf_counter() - self.began
        row = {"loss": loss, "accuracy": accuracy}
        if self.validation:
            with _averaged(self.model):
                scores = self.model.evaluate(*self.validation, batch_size=1000, verbose=0, return_dict=True)
            row |= {"val_loss": scores["loss"], "val_accuracy": 100 * scores["accuracy"]}
        row["learning_rate"] = float(self.model.optimizer.learning_rate)
        row |= {"seconds": seconds, "images_per_second": self.images / seconds}
        for name, value in row.items():
            self.history.setdefault(name, []).append(float(value))
        self.steps_in_epoch = 0
        self.good = self.values()
        if self.folder:
            try:
                self.folder.save(self.history, self.good)
            except OSError as error:
                raise _Stop(write_problem(self.folder.state, error)) from error


class _Stop(Exception):
    """Leaves Keras' loop."""


@contextlib.contextmanager
def _bar(run: _Run) -> Iterator[None]:
    """Draw a progress bar with images per second while a run trains."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("epoch {task.fields[epoch]} of {task.fields[epochs]}"),
        BarColumn(),
        TextColumn("{task.fields[rate]:,.0f} images/s, loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task(
            "",
            total=run.plan.epochs * run.steps,
            completed=run.epoch * run.steps,
            epoch=run.epoch + 1,
            epochs=run.plan.epochs,
            rate=0,
            loss=math.nan,
        )

        def report(run: _Run, loss: float) -> None:
            rate = (run.images_seen() - run.epoch * run.images) / (time.perf_counter() - run.began)
            done = run.epoch * run.steps + run.steps_in_epoch
            progress.update(task, completed=done, epoch=run.epoch + 1, rate=rate, loss=loss)

        run.report = report
        yield
