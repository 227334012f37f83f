"""A classifier's report: every figure with its interval, and two reports of the same images compared.

Of N images and K classes, C[i, j] counts the images of class i that were called j. With hits C[c, c], predicted
Σᵢ C[i, c] and support Σⱼ C[c, j], class c has

    precision = hits / predicted, recall = hits / support, F1 = 2 hits / (predicted + support)

What is 0/0 is NaN with a note, and a mean over classes leaves it out and says so. Proportions get Wilson's interval.
The others get the ends of the middle 95 % of resamples, drawn with replacement within each true class, so that the
supports stay as they are. With 200 images a class, such intervals contain the truth about as often as they say; with
40, those of average precision do in nine samples of ten. Only the calibration error, which noise increases, has an
interval that allows for this.

What predicts may also be a Keras model or a file, by :mod:`nnzen.predictors`; then its size is reported, too, and, if
asked for, the time that it takes for one image.

:mod:`nnzen.reports` and :mod:`nnzen.audit` are about reports that others printed; this one makes them.

References
----------
Wilson (1927), https://doi.org/10.1080/01621459.1927.10502953
McNemar (1947), https://doi.org/10.1007/BF02295996
Efron & Tibshirani (1993), *An Introduction to the Bootstrap*, chapter 13
Brier (1950), https://doi.org/10.1175/1520-0493(1950)078%3C0001:VOFEIT%3E2.0.CO;2
Guo et al. (2017), https://arxiv.org/abs/1706.04599, for the expected calibration error
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nnzen import _classification_display as display
from nnzen import _classification_figures as figures
from nnzen import _classification_input
from nnzen._classification_figures import Measure, ReliabilityBin, ReportRow, Resampling
from nnzen._classification_input import Given, read, top_ranks, whole
from nnzen.predictors import Latency, ModelSize

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "KINDS",
    "ClassificationReport",
    "ClassifierDifference",
    "Measure",
    "Mistake",
    "ReliabilityBin",
    "ReportRow",
    "compare",
    "report",
]

KINDS = _classification_input.KINDS
"""Predictions are classes, probabilities that sum to 1, or logits, which are scores before the softmax."""

_MISTAKES = 12  # that a report keeps


# --- results ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Mistake:
    """An image that was called something else than it is.

    Attributes
    ----------
    index : int
        Its place among the images.
    label, predicted : int
        True and predicted class.
    probability : float
        Of the predicted class.
    image : ndarray or None
        The image, if the report was made with images; JSON leaves it out.
    """

    index: int
    label: int
    predicted: int
    probability: float
    image: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False, repr=False)
class ClassificationReport:
    """What :func:`report` measured. It prints as text, displays as HTML, and is stored as JSON.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    classes : tuple of str
        K names.
    labels, predicted : ndarray of int, shape (N,)
        True and predicted class of each image.
    rows : tuple of ReportRow
        One for each class.
    averages : tuple of ReportRow
        Micro (all images together), macro (mean over classes) and weighted (mean weighted by support).
    accuracy, balanced_accuracy : Measure
        Share of images that are right, and mean recall of the classes.
    top_k : dict of int to Measure
        Share of images whose class is among the k with the highest scores; the first class comes first in a tie.
    nll : Measure or None
        Mean −log probability of the true class, in nats.
    brier : Measure or None
        Mean over images of Σ (probability − one-hot label)², between 0 and 2.
    ece : Measure or None
        Expected calibration error, Σ count/N · abs(accuracy − confidence) over the bins. Noise adds to it; its interval
        allows for that, errs on the wide side, and reaches 0 where calibration is not refuted.
    reliability : tuple of ReliabilityBin
        Bins of equal width. It and the three above it are empty or None for predicted labels.
    confidence : float
        Of all intervals.
    resamples, seed : int
        Of the bootstrap.
    notes : tuple of str
        All notes, each with the figures that it is about.
    probabilities : ndarray of float, shape (N, K), or None
        What curves are drawn from. JSON leaves it out.
    mistakes : tuple of Mistake
        The twelve most confident ones, the most confident first; empty for predicted labels.
    size : ModelSize or None
        Parameters, FLOP and bytes of a model or file.
    latency : Latency or None
        The time for one image, if it was asked for.
    """

    kind: str
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    rows: tuple[ReportRow, ...]
    averages: tuple[ReportRow, ...]
    accuracy: Measure
    balanced_accuracy: Measure
    top_k: dict[int, Measure]
    nll: Measure | None
    brier: Measure | None
    ece: Measure | None
    reliability: tuple[ReliabilityBin, ...]
    confidence: float
    resamples: int
    seed: int
    notes: tuple[str, ...]
    probabilities: NDArray[np.float64] | None = None
    mistakes: tuple[Mistake, ...] = ()
    size: ModelSize | None = None
    latency: Latency | None = None

    def __post_init__(self) -> None:
        for array in (self.labels, self.predicted, self.probabilities):
            if array is not None:
                array.setflags(write=False)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Counts by true class (rows) and predicted class (columns), shape (K, K)."""
        return figures.confusion(self.labels, self.predicted, len(self.classes))

    def to_json(self) -> str:
        """Return the report as strict JSON: NaN is null, infinity ``"inf"``; all but probabilities and images."""
        return display.to_json(self)

    @classmethod
    def from_json(cls, text: str) -> ClassificationReport:
        """Read what :meth:`to_json` wrote; raise ValueError if it is something else or contradicts itself."""
        return display.from_json(cls, text)

    def __str__(self) -> str:
        return display.to_text(self)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return display.to_html(self)


@dataclass(frozen=True, repr=False)
class ClassifierDifference:
    """Two classifiers on the same images, first − second.

    Attributes
    ----------
    better : str
        ``"first"``, ``"second"``, or ``""`` where no difference was shown, which does not mean that there is none.
    accuracy, macro_f1 : Measure
        Differences, with intervals of a bootstrap that draws the same images for both.
    only_first, only_second : int
        Images that only the first, and only the second, got right.
    p_value : float
        McNemar's exact test: both kinds of image are equally likely.
    n : int
        Images.
    confidence : float
        Of the intervals; 1 − confidence is the level of the test.
    resamples, seed : int
        Of the bootstrap.
    """

    better: str
    accuracy: Measure
    macro_f1: Measure
    only_first: int
    only_second: int
    p_value: float
    n: int
    confidence: float
    resamples: int
    seed: int

    def __str__(self) -> str:
        verdict = f"the {self.better} is more accurate" if self.better else "no difference shown"
        if not self.better and self.macro_f1.low * self.macro_f1.high > 0:
            verdict = "no difference shown in accuracy, but in macro F1"
        note = f"; {self.macro_f1.note}" if self.macro_f1.note else ""
        return (
            f"{verdict}: accuracy differs by {self.accuracy}, macro F1 by {self.macro_f1} "
            f"(first − second, {display.percent(self.confidence)} intervals); of {self.n} images only the first got "
            f"{self.only_first} right and only the second {self.only_second} (McNemar's p = {self.p_value:.2g}{note})"
        )

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f'<p class="nz-result">{html.escape(str(self))}</p>'


# --- the report ---------------------------------------------------------------------------------------------


def report(
    predictions: Any,
    labels: Any,
    *,
    kind: str,
    classes: Sequence[str] | None = None,
    top_k: Sequence[int] | None = None,
    bins: int = 15,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    latency: int = 0,
) -> ClassificationReport:
    """Measure a classifier, with an interval for every figure.

    The cost of the bootstrap of scores is about N · K · `resamples` additions, and one sort of N scores for each class:
    a few seconds for 10,000 images, 10 classes and 1000 resamples. For predicted labels it is a fraction of a second.

    Parameters
    ----------
    predictions : array_like of shape (N,) or (N, K), keras.Model, or path
        Predicted classes, whole numbers from 0, shape (N,); or scores, one row for each image, shape (N, K); or what
        puts them out: a model, or a file that ends in ``.keras``, ``.tflite`` or ``.onnx``.
    labels : array_like of int, shape (N,), or tuple of images and labels
        True classes, from 0. A model needs a pair, such as ``data.open_test(why)`` returns, with the images as the
        model takes them: scaled as in training. With arrays, images of a pair show the mistakes.
    kind : str
        What `predictions` are, or the model puts out: ``"labels"``, ``"probabilities"`` or ``"logits"``.
    classes : sequence of str, optional
        Names, in order. By default numbers: as many as scores have columns, or as the highest label asks for.
    top_k : sequence of int, optional
        Values of k from 1 to K − 1. By default 2, 3 and 5, as far as there are more classes.
    bins : int
        Number of bins of equal width for the calibration.
    confidence : float
        Of the intervals, between 0 and 1.
    resamples : int
        Of the bootstrap, at least 100.
    seed : int
        Of the bootstrap.
    latency : int
        Calls of a model with one image that are timed, at least 100 (:meth:`nnzen.predictors.Predictor.latency`). By
        default none: times belong to the machine, and a notebook whose outputs are compared must not show them.

    Raises
    ------
    ValueError
        If shapes or lengths do not fit, a label is out of range, a score is not finite, or `predictions` are not what
        `kind` promises: rows of probabilities sum to 1 within the square root of the rounding of float32 (of float16,
        if they are; half a step for each class, where a file quantizes them), logits do not. If a model has no images,
        or cannot take them.
    FileNotFoundError, ImportError
        If there is no such file, or the package that runs it is not installed.

    Examples
    --------
    >>> result = report([0, 0, 1, 1, 1, 2], [0, 0, 0, 1, 1, 2], kind="labels", classes=["shirt", "coat", "bag"])
    >>> result.accuracy
    0.8333 [0.4365, 0.9699]
    >>> result.rows[1].precision
    0.6667 [0.2077, 0.9385]
    >>> result.confusion
    array([[2, 1, 0],
           [0, 2, 0],
           [0, 0, 1]])
    """
    how = _resampling(confidence, resamples, seed)
    bins, latency = whole("bins", bins, 1), whole("latency", latency, 0)
    given = read(predictions, labels, kind, classes)
    ranks = top_ranks(given, top_k)
    model, timed = given.predictor, None
    if latency:
        if model is None or given.images is None:
            raise ValueError(f"latency is {latency}; only a model or a file can be timed, and predictions are an array")
        timed = model.latency(given.images, latency, confidence=how.confidence)
    rows, averages = figures.from_counts(given, how)
    scored = figures.from_scores(given, rows, averages, bins, how)
    result = ClassificationReport(
        kind=kind,
        classes=given.classes,
        labels=given.labels,
        predicted=given.predicted,
        accuracy=averages[0].recall,
        balanced_accuracy=averages[1].recall,
        top_k=figures.top_accuracies(given, ranks, how.confidence),
        confidence=how.confidence,
        resamples=how.resamples,
        seed=how.seed,
        notes=(),
        probabilities=given.probabilities,
        mistakes=_mistakes(given),
        size=model.size if model else None,
        latency=timed,
        **scored._asdict(),
    )
    return replace(result, notes=(*given.notes, *display.gathered(result)))


def _mistakes(given: Given) -> tuple[Mistake, ...]:
    """The most confident ones; of equally confident ones those that come first."""
    if given.probabilities is None:
        return ()
    wrong = np.flatnonzero(given.predicted != given.labels)
    highest = given.probabilities[wrong, given.predicted[wrong]]
    return tuple(
        Mistake(
            index=int(i),
            label=int(given.labels[i]),
            predicted=int(given.predicted[i]),
            probability=float(given.probabilities[i, given.predicted[i]]),
            image=None if given.images is None else given.images[i].copy(),
        )
        for i in wrong[np.argsort(-highest, kind="stable")[:_MISTAKES]]
    )


def _resampling(confidence: float, resamples: int, seed: int) -> Resampling:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence!r}; it must lie between 0 and 1")
    return Resampling(float(confidence), whole("resamples", resamples, 100), whole("seed", seed, 0))


def compare(
    first: ClassificationReport,
    second: ClassificationReport,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> ClassifierDifference:
    """Compare two reports of the same images: is one of the classifiers more accurate?

    One is called better only where McNemar's exact test rejects at level 1 − `confidence` and the interval of the
    difference excludes 0. It is a statement about other images from the same source, not about other training runs of
    the same recipe: that takes :func:`nnzen.evaluation.paired_difference`.

    Parameters
    ----------
    first, second : ClassificationReport
        Of the same labels in the same order, with the same classes.
    confidence : float
        Of the intervals, between 0 and 1.
    resamples : int
        Of the bootstrap, at least 100.
    seed : int
        Of the bootstrap.

    Raises
    ------
    ValueError
        If the reports are not of the same images and classes.

    Examples
    --------
    >>> labels = [0, 1] * 20
    >>> result = compare(report(labels, labels, kind="labels"), report([0, 0] * 20, labels, kind="labels"))
    >>> result.better, result.only_first, result.only_second
    ('first', 20, 0)
    """
    _same_images(first, second)
    how = _resampling(confidence, resamples, seed)
    right = [found.predicted == found.labels for found in (first, second)]
    only_first, only_second = int(np.sum(right[0] & ~right[1])), int(np.sum(right[1] & ~right[0]))
    p_value = figures.mcnemar(only_first, only_second)
    accuracy, macro_f1 = figures.differences(first, second, how)
    shown = p_value < 1 - how.confidence and accuracy.low * accuracy.high > 0
    return ClassifierDifference(
        better=("first" if accuracy.value > 0 else "second") if shown else "",
        accuracy=accuracy,
        macro_f1=macro_f1,
        only_first=only_first,
        only_second=only_second,
        p_value=p_value,
        n=len(first.labels),
        confidence=how.confidence,
        resamples=how.resamples,
        seed=how.seed,
    )


def _same_images(first: Any, second: Any) -> None:
    """Refuse what cannot be compared image by image."""
    for name, given in (("first", first), ("second", second)):
        if not isinstance(given, ClassificationReport):
            raise ValueError(f"{name} is a {type(given).__name__}; it must be a report, from nnzen.evaluation.report")
    if first.classes != second.classes:
        raise ValueError(f"first has the classes {first.classes}, second {second.classes}; they must be the same")
    a, b = first.labels, second.labels
    if len(a) != len(b):
        raise ValueError(f"first is about {len(a)} images, second about {len(b)}; they must be the same")
    differ = np.flatnonzero(a != b)
    if differ.size:
        raise ValueError(
            f"the reports are not of the same images in the same order: {differ.size} labels differ, the first at "
            f"{differ[0]}: {a[differ[0]]} and {b[differ[0]]}"
        )
