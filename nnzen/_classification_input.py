"""What :func:`nnzen.evaluation.report` accepts, checked: arrays, models, files, and labels with or without images.

Whatever is wrong is refused with what was passed and what was expected. Whatever is right but odd gets a note.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nnzen.predictors import Predictor, predictor

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["KINDS", "Given", "read", "top_ranks", "whole"]

KINDS = ("labels", "probabilities", "logits")

_MAX_CLASSES = 10_000
_FEW = 10  # images of a class, below which resampling tells too little


class Given(NamedTuple):
    """What was passed, checked."""

    labels: NDArray[np.int64]  # shape (N,)
    predicted: NDArray[np.int64]  # shape (N,)
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    images: NDArray[Any] | None = None  # shape (N, ...)
    predictor: Predictor | None = None
    scores: NDArray[np.float64] | None = None  # shape (N, K), as passed
    probabilities: NDArray[np.float64] | None = None  # shape (N, K)
    losses: NDArray[np.float64] | None = None  # shape (N,), −log probability of the true class


def read(predictions: Any, labels: Any, kind: str, classes: Sequence[str] | None) -> Given:
    """Check what was passed, and let a model predict."""
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; it must say what predictions are: {', '.join(map(repr, KINDS))}")
    images, truth = _images_and_labels(labels)
    model = _model(predictions)
    step, notes = 0.0, []
    if model is not None:
        if images is None:
            raise ValueError(f"{model.name} needs images to predict: pass (images, labels) in place of labels alone")
        predictions, step = model.outputs(images), model.step
        notes += model.notes(images)
    if kind == "labels":
        scores, predicted = None, _labels("predictions", predictions)
    else:
        scores, rounding = _scores(predictions, kind, step)
        predicted = scores.argmax(1)
    names = _classes(predicted, truth, scores, classes)
    notes += _oddities(truth, scores, names)
    if step and kind == "probabilities":
        notes.append(f"probabilities are multiples of {step:.3g}, so that rows sum to 1 only within {rounding:.2g}")
    given = Given(truth, predicted, names, tuple(notes), images, model)
    if scores is None:
        return given
    probabilities, losses = _log_loss(scores, truth) if kind == "logits" else _checked(scores, truth, rounding)
    return given._replace(scores=scores, probabilities=probabilities, losses=losses)


# --- images, labels and scores ------------------------------------------------------------------------------


def _images_and_labels(labels: Any) -> tuple[NDArray[Any] | None, NDArray[np.int64]]:
    """Separate a pair (images, labels), which is a tuple whose second part is a sequence."""
    if hasattr(labels, "open_test"):
        raise ValueError(
            "labels is a data set; pass one of its splits: data.open_test(why), or (data.x_validation, "
            "data.y_validation)"
        )
    images = None
    if isinstance(labels, tuple) and len(labels) == 2 and np.ndim(labels[1]) >= 1:
        images, labels = np.asarray(labels[0]), labels[1]
    truth = _labels("labels", labels)
    if not len(truth):
        raise ValueError("labels is empty; a report takes at least one image")
    if images is not None and (images.ndim < 2 or len(images) != len(truth)):
        raise ValueError(f"images has shape {images.shape}; with {len(truth)} labels it must be ({len(truth)}, ...)")
    return images, truth


def _model(predictions: Any) -> Predictor | None:
    """Return what predicts, if it is a model or a path; for arrays None."""
    keras = sys.modules.get("keras")  # who has a model has imported it
    if isinstance(predictions, str | os.PathLike) or (keras is not None and isinstance(predictions, keras.Model)):
        return predictor(predictions)
    return None


def _labels(name: str, values: ArrayLike) -> NDArray[np.int64]:
    found = np.asarray(values)
    if found.ndim != 1:
        scores = "for scores say kind='probabilities' or 'logits'"
        hint = scores if name == "predictions" else "of one-hot labels take argmax(1)"
        raise ValueError(f"{name} has shape {found.shape}; it must be (N,), one class for each image; {hint}")
    if found.size and found.dtype.kind not in "iu":
        raise ValueError(f"{name} has dtype {found.dtype}; it must be whole numbers, classes from 0")
    return found.astype(np.int64)


def _scores(predictions: Any, kind: str, step: float) -> tuple[NDArray[np.float64], float]:
    """Return scores, and how far from 1 their sums may be by rounding; `step` is that of a file's whole numbers."""
    try:
        found = np.asarray(predictions)
        scores = found.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"predictions is a {type(predictions).__name__}; it must be {kind}, shape (N, K), a Keras model, or the "
            "path of a file"
        ) from error
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(
            f"predictions has shape {scores.shape}; {kind} have shape (N, K), one column for each of at least two "
            "classes (for two classes both columns: np.column_stack([1 - p, p]))"
        )
    bad = np.argwhere(~np.isfinite(scores))
    if len(bad):
        i, j = bad[0]
        raise ValueError(f"predictions[{i}, {j}] is {scores[i, j]}, one of {len(bad)} that are not finite; all must be")
    short = found.dtype.kind == "f" and found.dtype.itemsize < 4
    epsilon = np.finfo(found.dtype if short else np.float32).eps  # float64 often holds what was computed in float32
    rounding = max(float(epsilon) ** 0.5, step * scores.shape[1] / 2)
    in_range = bool(len(scores)) and bool(((scores >= 0) & (scores <= 1 + rounding)).all())
    if kind == "logits" and in_range and (abs(scores.sum(1) - 1) <= rounding).all():
        raise ValueError(
            "predictions are promised to be logits, but no value is below 0 and every row sums to 1, as "
            "probabilities do; say kind='probabilities'"
        )
    return scores, rounding


def _checked(
    scores: NDArray[np.float64], truth: NDArray[np.int64], rounding: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return probabilities as they are, with the losses; refuse what is none."""
    outside = np.argwhere((scores < 0) | (scores > 1 + rounding))
    if len(outside):
        i, j = outside[0]
        raise ValueError(
            f"predictions[{i}, {j}] is {scores[i, j]:.6g}; probabilities lie between 0 and 1 (for scores before the "
            "softmax say kind='logits')"
        )
    sums = scores.sum(1)
    off = np.flatnonzero(abs(sums - 1) > rounding)
    if off.size:
        raise ValueError(
            f"predictions[{off[0]}] sums to {sums[off[0]]:.8g}, and {off.size} of {len(sums)} rows do not sum to 1; "
            "probabilities of the classes do (for scores before the softmax say kind='logits')"
        )
    with np.errstate(divide="ignore"):
        return scores, -np.log(scores[np.arange(len(truth)), truth])


def _log_loss(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the softmax, and losses that stay finite where it underflows."""
    shifted = logits - logits.max(1, keepdims=True)
    sums = np.exp(shifted).sum(1)
    return np.exp(shifted) / sums[:, None], np.log(sums) - shifted[np.arange(len(truth)), truth]


# --- classes ------------------------------------------------------------------------------------------------


def _classes(
    predicted: NDArray[np.int64],
    truth: NDArray[np.int64],
    scores: NDArray[np.float64] | None,
    classes: Sequence[str] | None,
) -> tuple[str, ...]:
    """Return the names, after a check that there is one prediction for each label and that all are in range."""
    if len(predicted) != len(truth):
        raise ValueError(f"predictions has {len(predicted)} rows and labels {len(truth)}; one of each for every image")
    k = scores.shape[1] if scores is not None else 1 + int(max(truth.max(), predicted.max()))
    if k > _MAX_CLASSES:
        raise ValueError(f"there are {k} classes, by the highest label or column; at most {_MAX_CLASSES} are allowed")
    names = _names(classes, k, scores is not None)
    for name, given in (("labels", truth), ("predictions", predicted)):
        bad = np.flatnonzero((given < 0) | (given >= len(names)))
        if bad.size:
            raise ValueError(
                f"{name}[{bad[0]}] is {given[bad[0]]}; with {len(names)} classes it is 0 to {len(names) - 1}"
            )
    return names


def _names(classes: Sequence[str] | None, k: int, exact: bool) -> tuple[str, ...]:
    if classes is None:
        return tuple(map(str, range(k)))
    names = () if isinstance(classes, str) else tuple(classes)
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"classes is {classes!r}; it must be a sequence of names, one for each class")
    if len(set(names)) < len(names):
        raise ValueError(f"classes has {len(names) - len(set(names))} names more than once; each class has its own")
    if exact and len(names) != k:
        raise ValueError(f"classes has {len(names)} names; predictions has {k} columns")
    return names


def _oddities(truth: NDArray[np.int64], scores: NDArray[np.float64] | None, names: tuple[str, ...]) -> list[str]:
    """Notes about what makes the figures say less than they seem to."""
    notes = ["there is one class only, so nothing was told apart"] if len(names) == 1 else []
    few = [names[c] for c, count in enumerate(np.bincount(truth)) if 0 < count < _FEW]
    if few:
        notes.append(f"fewer than {_FEW} images, so that intervals by resampling are too narrow: {', '.join(few)}")
    if scores is not None:
        tied = int(np.sum((scores == scores.max(1, keepdims=True)).sum(1) > 1))
        if tied:
            notes.append(f"images with a tie for the highest score, where the first class counts as predicted: {tied}")
    return notes


def top_ranks(given: Given, top_k: Sequence[int] | None) -> list[int]:
    """Return the values of k for top-k accuracies: those asked for, or 2, 3 and 5 as far as there are more classes."""
    if given.scores is None and top_k is not None:
        raise ValueError("top_k needs scores; predictions of kind 'labels' name one class only")
    k = len(given.classes)
    chosen = [whole("top_k", j, 1) for j in ([j for j in (2, 3, 5) if j < k] if top_k is None else top_k)]
    if any(j >= k for j in chosen):
        raise ValueError(f"top_k is {chosen}; each must be from 1 to {k - 1}, as there are {k} classes")
    return chosen


def whole(name: str, value: Any, least: int) -> int:
    """Refuse what is no whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number, at least {least}")
    return int(value)
