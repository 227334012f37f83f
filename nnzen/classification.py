"""A classifier's report from arrays: every figure with its interval, and two reports of the same images compared.

Of N images and K classes, C[i, j] counts the images of class i that were called j. With hits C[c, c], predicted
Σᵢ C[i, c] and support Σⱼ C[c, j], class c has

    precision = hits / predicted, recall = hits / support, F1 = 2 hits / (predicted + support)

What is 0/0 is NaN with a note, and a mean over classes leaves it out and says so. Proportions get Wilson's interval.
The others get the ends of the middle 95 % of resamples, drawn with replacement within each true class, so that the
supports stay as they are. Only the calibration error, which noise increases, has an interval that allows for this.

Where the confusion matrix settles a figure, each of its rows is one multinomial draw. Where scores do, a resample is
a count of how often each image was drawn: images are sorted once for each class, and the areas of all resamples follow
from running sums of the counts in that order, exactly, ties included.

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
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "KINDS",
    "ClassificationReport",
    "ClassifierDifference",
    "Measure",
    "ReliabilityBin",
    "ReportRow",
    "compare",
    "report",
]

KINDS = ("labels", "probabilities", "logits")
"""Predictions are classes, probabilities that sum to 1, or logits, which are scores before the softmax."""

_FORMAT = "nnzen classification report 1"
_BLOCK = 16_000_000  # counts of images that are held at a time: 16 MB
_MAX_CLASSES = 10_000
_FEW = 10  # images of a class, below which resampling tells too little
_AGREE = "all resamples agree, so the interval says nothing"
_SHOWN = 20  # classes, at most, of a confusion matrix that is printed


# --- results ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Measure:
    """One figure with its interval.

    Attributes
    ----------
    value : float
        NaN where it is 0/0.
    low, high : float
        The interval, in the unit of the value; NaN where there is none.
    method : str
        ``"Wilson"``, ``"bootstrap"``, or ``""`` where there is no interval.
    note : str
        What to know before using it.
    """

    value: float
    low: float
    high: float
    method: str
    note: str = ""

    def __str__(self) -> str:
        if not self.method:
            return f"{self.value:.4f}"
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class ReportRow:
    """The figures of one class, or of an average over the classes.

    Attributes
    ----------
    name : str
        The class, or ``"micro"``, ``"macro"`` or ``"weighted"``.
    support, predicted : int
        Images of the class, and images that were called so; all images for an average.
    precision, recall, f1 : Measure
    roc_auc, average_precision : Measure or None
        The class against the rest, by its probability. None for predicted labels, and for averages other than macro.
    """

    name: str
    support: int
    predicted: int
    precision: Measure
    recall: Measure
    f1: Measure
    roc_auc: Measure | None = None
    average_precision: Measure | None = None


@dataclass(frozen=True)
class ReliabilityBin:
    """The images whose highest probability lies in (low, high].

    Attributes
    ----------
    low, high : float
    count : int
    confidence : float
        Mean highest probability; NaN in an empty bin.
    accuracy : Measure
        Share of them that were right.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: Measure


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

    def __post_init__(self) -> None:
        for array in (self.labels, self.predicted, self.probabilities):
            if array is not None:
                array.setflags(write=False)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Counts by true class (rows) and predicted class (columns), shape (K, K)."""
        return _confusion(self.labels, self.predicted, len(self.classes))

    def to_json(self) -> str:
        """Return the report as strict JSON: NaN is null, infinity ``"inf"``; everything but `probabilities`."""
        content = asdict(replace(self, probabilities=None))
        del content["probabilities"]
        content = {"format": _FORMAT, **content, "confusion": self.confusion}
        return json.dumps(_plain(content), allow_nan=False, ensure_ascii=False)

    @staticmethod
    def from_json(text: str) -> ClassificationReport:
        """Read what :meth:`to_json` wrote; raise ValueError if it is something else or contradicts itself."""
        return _from_json(text)

    def __str__(self) -> str:
        tables = [_text_table(table) for table in _tables(self)]
        return "\n\n".join([_summary(self), *tables, *(["\n".join(self.notes)] if self.notes else [])])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        tables = "".join(_html_table(table) for table in _tables(self))
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return (
            f'<div class="nz-report"><p>{html.escape(_summary(self))}</p>{tables}'
            f"{f'<ul>{notes}</ul>' if notes else ''}</div>"
        )


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
            f"(first − second, {_percent(self.confidence)} intervals); of {self.n} images only the first got "
            f"{self.only_first} right and only the second {self.only_second} (McNemar's p = {self.p_value:.2g}{note})"
        )

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f'<p class="nz-result">{html.escape(str(self))}</p>'


# --- the report ---------------------------------------------------------------------------------------------


def report(
    predictions: ArrayLike,
    labels: ArrayLike,
    *,
    kind: str,
    classes: Sequence[str] | None = None,
    top_k: Sequence[int] | None = None,
    bins: int = 15,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> ClassificationReport:
    """Measure a classifier, with an interval for every figure.

    The cost of the bootstrap of scores is about N · K · `resamples` additions, and one sort of N scores for each class:
    a few seconds for 10,000 images, 10 classes and 1000 resamples. For predicted labels it is a fraction of a second.

    Parameters
    ----------
    predictions : array_like, shape (N,) or (N, K)
        Predicted classes, whole numbers from 0, shape (N,); or scores, one row for each image, shape (N, K).
    labels : array_like of int, shape (N,)
        True classes, from 0.
    kind : str
        What `predictions` are: ``"labels"``, ``"probabilities"`` or ``"logits"``.
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

    Raises
    ------
    ValueError
        If shapes or lengths do not fit, a label is out of range, a score is not finite, or `predictions` are not what
        `kind` promises: rows of probabilities sum to 1 within the square root of their type's rounding, logits do not.

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
    confidence = _fraction("confidence", confidence)
    resamples, seed, bins = _whole("resamples", resamples, 100), _whole("seed", seed, 0), _whole("bins", bins, 1)
    given = _read(predictions, labels, kind, classes)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0/0 is NaN, and gets a note
        rows, averages, accuracy = _from_counts(given, confidence, resamples, seed)
        scored = _from_scores(given, rows, averages, bins, confidence, resamples, seed)
    top = _top(given, top_k, confidence)
    result = ClassificationReport(
        kind=kind,
        classes=given.classes,
        labels=given.labels,
        predicted=given.predicted,
        accuracy=accuracy,
        balanced_accuracy=averages[1].recall,
        top_k=top,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        notes=(),
        probabilities=given.probabilities,
        **scored,
    )
    return replace(result, notes=(*given.notes, *_gathered(result)))


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
    for name, given in (("first", first), ("second", second)):
        if not isinstance(given, ClassificationReport):
            raise ValueError(f"{name} is a {type(given).__name__}; it must be a report, from nnzen.evaluation.report")
    if first.classes != second.classes:
        raise ValueError(f"first has the classes {first.classes}, second {second.classes}; they must be the same")
    labels = first.labels
    if len(labels) != len(second.labels):
        raise ValueError(
            f"first is about {len(labels)} images, second about {len(second.labels)}; they must be the same"
        )
    differ = np.flatnonzero(labels != second.labels)
    if differ.size:
        raise ValueError(
            f"the reports are not of the same images in the same order: {differ.size} labels differ, the first at "
            f"{differ[0]}: {labels[differ[0]]} and {second.labels[differ[0]]}"
        )
    confidence = _fraction("confidence", confidence)
    resamples, seed = _whole("resamples", resamples, 100), _whole("seed", seed, 0)
    right = first.predicted == labels, second.predicted == labels
    only_first, only_second = (int(np.sum(a & ~b)) for a, b in (right, right[::-1]))
    p_value = _mcnemar(only_first, only_second)
    accuracy, macro_f1 = _differences(first, second, confidence, resamples, seed)
    shown = p_value < 1 - confidence and accuracy.low * accuracy.high > 0
    return ClassifierDifference(
        better=("first" if accuracy.value > 0 else "second") if shown else "",
        accuracy=accuracy,
        macro_f1=macro_f1,
        only_first=only_first,
        only_second=only_second,
        p_value=p_value,
        n=len(labels),
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )


# --- figures of the confusion matrix ------------------------------------------------------------------------


def _confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    return np.bincount(labels * k + predicted, minlength=k * k).reshape(k, k)


def _rates(hits: NDArray[Any], predicted: NDArray[Any], support: NDArray[Any]) -> tuple[NDArray[np.float64], ...]:
    """Precision, recall and F1 of the classes, which are the last axis."""
    return hits / predicted, hits / support, 2 * hits / (predicted + support)


def _mean(values: NDArray[np.float64], weights: NDArray[Any] | float = 1.0) -> NDArray[np.float64]:
    """Mean over the last axis of what is not NaN."""
    defined = ~np.isnan(values)
    weights = weights * defined
    return (np.where(defined, values, 0.0) * weights).sum(-1) / weights.sum(-1)


def _resampled_counts(
    rng: np.random.Generator,
    labels: NDArray[np.int64],
    predictions: Sequence[NDArray[np.int64]],
    k: int,
    resamples: int,
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Draw hits and predicted, shape (resamples, K), of each classifier, all from the same images."""
    counts = [(np.zeros((resamples, k), np.int64), np.zeros((resamples, k), np.int64)) for _ in predictions]
    for c in np.unique(labels):
        cells, sizes = np.unique(np.stack([p[labels == c] for p in predictions]), axis=1, return_counts=True)
        draws = rng.multinomial(sizes.sum(), sizes / sizes.sum(), size=resamples)
        for (hits, predicted), cell in zip(counts, cells, strict=True):
            hits[:, c] = draws[:, cell == c].sum(1)
            for j in np.unique(cell):
                predicted[:, j] += draws[:, cell == j].sum(1)
    return counts


def _from_counts(
    given: _Given, confidence: float, resamples: int, seed: int
) -> tuple[list[ReportRow], list[ReportRow], Measure]:
    k, n = len(given.classes), len(given.labels)
    matrix = _confusion(given.labels, given.predicted, k)
    hits, predicted, support = matrix.diagonal(), matrix.sum(0), matrix.sum(1)
    rng = np.random.default_rng([seed, 0])
    [(hits_r, predicted_r)] = _resampled_counts(rng, given.labels, [given.predicted], k, resamples)
    values, drawn = _rates(hits, predicted, support), _rates(hits_r, predicted_r, support)
    rows = [
        ReportRow(
            name,
            int(support[c]),
            int(predicted[c]),
            _wilson(hits[c], predicted[c], confidence, "0/0, as the class is never predicted"),
            _wilson(hits[c], support[c], confidence, "0/0, as there is no image of the class"),
            _bootstrap(values[2][c], drawn[2][:, c], confidence, "0/0, as the class is neither there nor predicted"),
        )
        for c, name in enumerate(given.classes)
    ]
    accuracy = _wilson(hits.sum(), n, confidence, "")
    macro = [
        _average(value, _mean(value), _mean(resampled), confidence)
        for value, resampled in zip(values, drawn, strict=True)
    ]
    weighted = [
        _average(value[support > 0], _mean(value, support), _mean(resampled, support), confidence)
        for value, resampled in zip(values, drawn, strict=True)
    ]
    averages = [
        ReportRow("micro", n, n, accuracy, accuracy, accuracy),
        ReportRow("macro", n, n, *macro),
        ReportRow("weighted", n, n, weighted[0], accuracy, weighted[2]),  # Σ support/N · hits/support
    ]
    return rows, averages, accuracy


def _differences(
    first: ClassificationReport, second: ClassificationReport, confidence: float, resamples: int, seed: int
) -> tuple[Measure, Measure]:
    """Differences of accuracy and macro F1, first − second, over the same resampled images."""
    labels, k = first.labels, len(first.classes)
    support = np.bincount(labels, minlength=k)
    rng = np.random.default_rng([seed, 2])
    counts = _resampled_counts(rng, labels, [first.predicted, second.predicted], k, resamples)
    with np.errstate(divide="ignore", invalid="ignore"):
        accuracy = [hits.sum(1) / len(labels) for hits, _ in counts]
        macro_f1 = [_mean(_rates(hits, predicted, support)[2]) for hits, predicted in counts]
    return (
        _bootstrap(first.accuracy.value - second.accuracy.value, accuracy[0] - accuracy[1], confidence),
        _bootstrap(first.averages[1].f1.value - second.averages[1].f1.value, macro_f1[0] - macro_f1[1], confidence),
    )


def _mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p: as unequal a division of the images that only one got right, if both are equally likely."""
    from scipy.special import bdtr

    fewer, n = min(only_first, only_second), only_first + only_second
    return min(1.0, 2 * float(bdtr(fewer, n, 0.5)))


# --- figures of scores --------------------------------------------------------------------------------------


def _from_scores(
    given: _Given,
    rows: list[ReportRow],
    averages: list[ReportRow],
    bins: int,
    confidence: float,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Complete the rows by their areas, and measure the calibration."""
    if given.probabilities is None or given.losses is None:
        return dict(rows=tuple(rows), averages=tuple(averages), nll=None, brier=None, ece=None, reliability=())
    labels, n = given.labels, len(given.labels)
    highest = given.probabilities[np.arange(n), given.predicted]
    right = given.predicted == labels
    where = np.searchsorted(np.arange(1, bins) / bins, highest, side="left")
    one_hot = np.arange(given.probabilities.shape[1]) == labels[:, None]
    brier = ((given.probabilities - one_hot) ** 2).sum(1)
    # Sums over images that a resample weights by its counts: the losses, and accuracy − confidence in each bin.
    lossless = np.where(np.isfinite(given.losses), given.losses, 0.0)
    sums = np.vstack([lossless, brier, (where == np.arange(bins)[:, None]) * (right - highest)])
    drawn = _resampled_scores(given, sums, resamples, seed)
    one = _scored(given, sums, np.ones((n, 1), np.uint8))
    zero = int(np.sum(np.isinf(given.losses)))
    nll = math.inf if zero else float(one.sums[0, 0] / n)
    areas = [
        [_bootstrap(v[0], r, confidence, note) for v, r in zip(values, resampled, strict=True)]
        for values, resampled, note in (
            (one.roc_auc, drawn.roc_auc, "0/0, as all or none of the images are of the class"),
            (one.average_precision, drawn.average_precision, "0/0, as there is no image of the class"),
        )
    ]
    macro = [
        _average(values[:, 0], _mean(values[:, 0]), _mean(resampled.T), confidence)
        for values, resampled in ((one.roc_auc, drawn.roc_auc), (one.average_precision, drawn.average_precision))
    ]
    return dict(
        rows=tuple(replace(row, roc_auc=auc, average_precision=ap) for row, auc, ap in zip(rows, *areas, strict=True)),
        averages=(averages[0], replace(averages[1], roc_auc=macro[0], average_precision=macro[1]), averages[2]),
        nll=_bootstrap(nll, drawn.sums[0] / n, confidence, f"images with probability 0 at their true class: {zero}"),
        brier=_bootstrap(float(one.sums[1, 0] / n), drawn.sums[1] / n, confidence),
        ece=_calibration(one.sums[2:] / n, drawn.sums[2:] / n, confidence),
        reliability=tuple(_bin(b, bins, highest[where == b], right[where == b], confidence) for b in range(bins)),
    )


class _Scored(NamedTuple):
    """Figures of scores under R sets of counts."""

    sums: NDArray[np.float64]  # shape (F, R)
    roc_auc: NDArray[np.float64]  # shape (K, R)
    average_precision: NDArray[np.float64]  # shape (K, R)


def _scored(given: _Given, sums: NDArray[np.float64], counts: NDArray[np.uint8]) -> _Scored:
    """Return sums of shape (F, N) and the areas when image i counts counts[i, r] times; counts has shape (N, R)."""
    assert given.probabilities is not None
    parts = np.array_split(np.arange(len(counts)), -(-len(counts) // 2000))  # so that few counts become floats at once
    weighted = np.zeros((len(sums), counts.shape[1]))
    for part in parts:
        weighted += sums[:, part] @ counts[part].astype(float)
    areas = [_areas(scores, given.labels == c, counts) for c, scores in enumerate(given.probabilities.T)]
    return _Scored(weighted, np.array([auc for auc, _ in areas]), np.array([ap for _, ap in areas]))


def _areas(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], counts: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ROC AUC and average precision, shape (R,), of images that count counts[i, r] times.

    A threshold at each score that a positive has decides both: the area under the ROC curve is the share of pairs
    in which the positive scores higher, ties counting half; average precision is Σ Δrecall · precision.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, positive = scores[order], positive[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)) + 1, len(ranked))
    starts = np.append(0, ends[:-1])
    before = np.append(0, np.cumsum(positive))  # positives among the first i
    hit = before[ends] > before[starts]
    starts, ends = starts[hit], ends[hit]
    p, q = _running(counts, order[positive]), _running(counts, order[~positive])
    p_start, p_end = p[before[starts]], p[before[ends]]
    q_start, q_end = q[starts - before[starts]], q[ends - before[ends]]
    here = (p_end - p_start).astype(float)
    pairs = np.einsum("gr,gr->r", here, 2.0 * q[-1] - q_start - q_end) / 2
    precision = p_end / np.maximum(p_end + q_end, 1)
    return pairs / (p[-1] * q[-1].astype(float)), np.einsum("gr,gr->r", here, precision) / p[-1]


def _running(counts: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.int32]:
    """Running sums of some rows of the counts, the first of them 0."""
    total = np.zeros((len(rows) + 1, counts.shape[1]), np.int32)
    np.cumsum(counts[rows], axis=0, dtype=np.int32, out=total[1:])
    return total


def _resampled_scores(given: _Given, sums: NDArray[np.float64], resamples: int, seed: int) -> _Scored:
    parts = [_scored(given, sums, counts) for counts in _draws(given.labels, resamples, seed)]
    return _Scored(*(np.concatenate(part, axis=1) for part in zip(*parts, strict=True)))


def _draws(labels: NDArray[np.int64], resamples: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Yield how often each image is drawn in each resample, shape (N, R), in blocks of resamples."""
    rng = np.random.default_rng([seed, 1])
    size = max(1, _BLOCK // len(labels))
    for start in range(0, resamples, size):
        r = min(size, resamples - start)
        counts = np.empty((len(labels), r), np.uint8)  # that one image of n is drawn 256 times does not happen
        for c in np.unique(labels):
            images = np.flatnonzero(labels == c)
            drawn = rng.integers(len(images), size=(len(images), r)) * r + np.arange(r)
            counts[images] = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        yield counts


def _calibration(gaps: NDArray[np.float64], resampled: NDArray[np.float64], confidence: float) -> Measure:
    """Return Σ abs(gap) over the bins, from gaps of shape (B, 1) and their resamples of shape (B, R).

    Noise makes gaps, so that the sum is too large, and a resample adds its own noise: its quantiles miss the truth. But
    the sum exceeds the truth by at most Σ abs(noise), and falls short of it by at most −Σ sign(gap) · noise as long
    as the signs are right. The noise of the resamples, resampled − gaps, gives the quantiles of both.
    """
    noise = resampled - gaps
    value = float(np.abs(gaps).sum())
    above = np.quantile(np.abs(noise).sum(0), (1 + confidence) / 2)
    below = np.quantile((np.sign(gaps) * noise).sum(0), (1 - confidence) / 2)
    low, high = max(0.0, value - float(above)), value - min(0.0, float(below))
    return Measure(value, low, high, "bootstrap", _AGREE if low == high else "")


def _bin(
    b: int, bins: int, highest: NDArray[np.float64], right: NDArray[np.bool_], confidence: float
) -> ReliabilityBin:
    mean = float(highest.mean()) if highest.size else math.nan
    accuracy = _wilson(right.sum(), right.size, confidence, "")
    return ReliabilityBin(b / bins, (b + 1) / bins, int(right.size), mean, accuracy)


def _top(given: _Given, top_k: Sequence[int] | None, confidence: float) -> dict[int, Measure]:
    k = len(given.classes)
    if given.scores is None:
        if top_k is not None:
            raise ValueError("top_k needs scores; predictions of kind 'labels' name one class only")
        return {}
    chosen = [_whole("top_k", j, 1) for j in ([j for j in (2, 3, 5) if j < k] if top_k is None else top_k)]
    if any(j >= k for j in chosen):
        raise ValueError(f"top_k is {chosen}; each must be from 1 to {k - 1}, as there are {k} classes")
    own = given.scores[np.arange(len(given.labels)), given.labels][:, None]
    first = np.arange(k) < given.labels[:, None]
    rank = ((given.scores > own) | ((given.scores == own) & first)).sum(1)
    return {j: _wilson((rank < j).sum(), len(rank), confidence, "") for j in chosen}


# --- intervals ----------------------------------------------------------------------------------------------


def _wilson(successes: Any, trials: Any, confidence: float, undefined: str) -> Measure:
    from nnzen.evaluation import proportion_interval

    if trials == 0:
        return Measure(math.nan, math.nan, math.nan, "", undefined)
    found = proportion_interval(int(successes), int(trials), confidence=confidence)
    return Measure(found.proportion, found.low, found.high, "Wilson")


def _bootstrap(value: Any, resampled: NDArray[np.float64], confidence: float, undefined: str = "") -> Measure:
    """Interval between the outer quantiles of the resamples in which the figure is defined."""
    if not np.isfinite(value):
        return Measure(float(value), math.nan, math.nan, "", undefined)
    kept = resampled[np.isfinite(resampled)]
    low, high = np.quantile(kept, [(1 - confidence) / 2, (1 + confidence) / 2])
    notes = []
    if len(kept) < len(resampled):
        notes.append(f"0/0 in {len(resampled) - len(kept)} of {len(resampled)} resamples, which are left out")
    if low == high:
        notes.append(_AGREE)
    return Measure(float(value), float(low), float(high), "bootstrap", "; ".join(notes))


def _average(values: NDArray[np.float64], mean: Any, resampled: NDArray[np.float64], confidence: float) -> Measure:
    measure = _bootstrap(mean, resampled, confidence, "0/0 for every class")
    left_out = int(np.isnan(values).sum())
    if not left_out or not measure.method:
        return measure
    note = f"{left_out} of {len(values)} classes are left out, where it is 0/0"
    return replace(measure, note="; ".join(filter(None, [note, measure.note])))


# --- validation ---------------------------------------------------------------------------------------------


class _Given(NamedTuple):
    """What was passed, checked."""

    labels: NDArray[np.int64]  # shape (N,)
    predicted: NDArray[np.int64]  # shape (N,)
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    scores: NDArray[np.float64] | None = None  # shape (N, K), as passed
    probabilities: NDArray[np.float64] | None = None  # shape (N, K)
    losses: NDArray[np.float64] | None = None  # shape (N,), −log probability of the true class


def _read(predictions: ArrayLike, labels: ArrayLike, kind: str, classes: Sequence[str] | None) -> _Given:
    """Turn what was passed into labels and scores: the one place for other kinds of input, such as models and files."""
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; it must say what predictions are: {', '.join(map(repr, KINDS))}")
    truth = _labels("labels", labels)
    if not len(truth):
        raise ValueError("labels is empty; a report takes at least one image")
    if kind == "labels":
        predicted = _labels("predictions", predictions)
        highest = int(max(truth.max(), predicted.max(initial=0)))
        scores = None
    else:
        scores, rounding = _scores(predictions, kind)
        predicted = scores.argmax(1)
        highest = scores.shape[1] - 1
    if len(predicted) != len(truth):
        raise ValueError(f"predictions has {len(predicted)} rows and labels {len(truth)}; one of each for every image")
    if highest >= _MAX_CLASSES:
        raise ValueError(f"there are {highest + 1} classes, by the highest label or column; at most {_MAX_CLASSES} are")
    names = _names(classes, highest + 1, scores is not None)
    for name, given in (("labels", truth), ("predictions", predicted)):
        bad = np.flatnonzero((given < 0) | (given >= len(names)))
        if bad.size:
            raise ValueError(
                f"{name}[{bad[0]}] is {given[bad[0]]}; with {len(names)} classes it is 0 to {len(names) - 1}"
            )
    notes = ["there is one class only, so nothing was told apart"] if len(names) == 1 else []
    few = [names[c] for c, count in enumerate(np.bincount(truth)) if 0 < count < _FEW]
    if few:
        notes.append(f"fewer than {_FEW} images, so that intervals by resampling are too narrow: {', '.join(few)}")
    if scores is None:
        return _Given(truth, predicted, names, tuple(notes))
    tied = int(np.sum((scores == scores.max(1, keepdims=True)).sum(1) > 1))
    if tied:
        notes.append(f"images with a tie for the highest score, where the first class counts as predicted: {tied}")
    probabilities, losses = _log_loss(scores, truth) if kind == "logits" else _checked(scores, truth, rounding)
    return _Given(truth, predicted, names, tuple(notes), scores, probabilities, losses)


def _labels(name: str, values: ArrayLike) -> NDArray[np.int64]:
    found = np.asarray(values)
    if found.ndim != 1:
        scores = "for scores say kind='probabilities' or 'logits'"
        hint = scores if name == "predictions" else "of one-hot labels take argmax(1)"
        raise ValueError(f"{name} has shape {found.shape}; it must be (N,), one class for each image; {hint}")
    if found.size and found.dtype.kind not in "iu":
        raise ValueError(f"{name} has dtype {found.dtype}; it must be whole numbers, classes from 0")
    return found.astype(np.int64)


def _scores(predictions: ArrayLike, kind: str) -> tuple[NDArray[np.float64], float]:
    """Return scores, and how far from 1 their sums may be by rounding."""
    try:
        found = np.asarray(predictions)
        scores = found.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"predictions is a {type(predictions).__name__}; it must be {kind}, shape (N, K)") from error
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(
            f"predictions has shape {scores.shape}; {kind} have shape (N, K), one column for each of at least two "
            "classes (for two classes both columns: np.column_stack([1 - p, p]))"
        )
    bad = np.argwhere(~np.isfinite(scores))
    if len(bad):
        i, j = bad[0]
        raise ValueError(f"predictions[{i}, {j}] is {scores[i, j]}, one of {len(bad)} that are not finite; all must be")
    rounding = float(np.finfo(found.dtype if found.dtype.kind == "f" else np.float64).eps) ** 0.5
    if kind == "logits" and len(scores) and (scores >= 0).all() and (abs(scores.sum(1) - 1) <= rounding).all():
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
            f"predictions[{off[0]}] sums to {sums[off[0]]:.6g}, and {off.size} of {len(sums)} rows do not sum to 1; "
            "probabilities of the classes do (for scores before the softmax say kind='logits')"
        )
    with np.errstate(divide="ignore"):
        return scores, -np.log(scores[np.arange(len(truth)), truth])


def _log_loss(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the softmax, and losses that stay finite where it underflows."""
    shifted = logits - logits.max(1, keepdims=True)
    sums = np.exp(shifted).sum(1)
    return np.exp(shifted) / sums[:, None], np.log(sums) - shifted[np.arange(len(truth)), truth]


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


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number, at least {least}")
    return int(value)


def _fraction(name: str, value: float) -> float:
    if not 0 < value < 1:
        raise ValueError(f"{name} is {value!r}; it must lie between 0 and 1")
    return float(value)


# --- text, HTML and JSON ------------------------------------------------------------------------------------


class _Table(NamedTuple):
    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.4g} %"


def _summary(found: ClassificationReport) -> str:
    return (
        f"{len(found.labels)} images, {len(found.classes)} classes, from {found.kind}. In brackets: "
        f"{_percent(found.confidence)} intervals, Wilson's of proportions, otherwise by {found.resamples} resamples "
        f"within the true classes (seed {found.seed})."
    )


def _overall(found: ClassificationReport) -> list[tuple[str, Measure]]:
    """All figures that are not of a class, with their names."""
    ece = f"ECE, {len(found.reliability)} bins of equal width"
    named = [("accuracy", found.accuracy), ("balanced accuracy", found.balanced_accuracy)]
    named += [(f"top-{k} accuracy", measure) for k, measure in found.top_k.items()]
    scored = [("NLL, nats", found.nll), ("Brier score, 0 to 2", found.brier), (ece, found.ece)]
    return named + [(name, measure) for name, measure in scored if measure is not None]


def _tables(found: ClassificationReport) -> list[_Table]:
    lines = [*found.rows, *found.averages]
    tables = [
        _Table("", ("figure", "value"), [(name, str(measure)) for name, measure in _overall(found)]),
        _Table(
            "Classes and averages",
            ("class", "precision", "recall", "F1", "support"),
            [(row.name, str(row.precision), str(row.recall), str(row.f1), str(row.support)) for row in lines],
        ),
    ]
    areas = [(row.name, str(row.roc_auc), str(row.average_precision)) for row in lines if row.roc_auc is not None]
    if areas:
        tables.append(_Table("One class against the rest", ("class", "ROC AUC", "average precision"), areas))
    if found.reliability:
        bins = [
            (f"{b.low:.3f} to {b.high:.3f}", f"{b.count}", f"{b.confidence:.4f}", str(b.accuracy))
            for b in found.reliability
            if b.count
        ]
        title = f"Calibration, the {len(bins)} of {len(found.reliability)} bins that are not empty"
        tables.append(_Table(title, ("highest probability", "images", "mean", "accuracy"), bins))
    k = len(found.classes)
    if k <= _SHOWN:
        rows = [
            (f"{i} {name}" if name != str(i) else name, *map(str, counts))
            for i, (name, counts) in enumerate(zip(found.classes, found.confusion.tolist(), strict=True))
        ]
        tables.append(_Table("Confusion: true class by predicted class", ("true", *map(str, range(k))), rows))
    return tables


def _text_table(table: _Table) -> str:
    widths = [max(map(len, column)) for column in zip(table.head, *table.rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in (table.head, *table.rows)
    ]
    return "\n".join([*([table.title] if table.title else []), *(line.rstrip() for line in lines)])


def _html_table(table: _Table) -> str:
    caption = f"<caption>{html.escape(table.title)}</caption>" if table.title else ""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in table.head)
    rows = "".join(
        f'<tr><th scope="row">{html.escape(row[0])}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in table.rows
    )
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _gathered(found: ClassificationReport) -> list[str]:
    """All notes of the figures, each once, with the names of its figures."""
    named = _overall(found)
    for row in (*found.rows, *found.averages):
        figures = ("precision", "recall", "f1", "roc_auc", "average_precision")
        titles = ("precision", "recall", "F1", "ROC AUC", "average precision")
        measures = [(title, getattr(row, figure)) for figure, title in zip(figures, titles, strict=True)]
        named += [(f"{title} of {row.name}", measure) for title, measure in measures if measure is not None]
    notes: dict[str, list[str]] = {}
    for name, measure in named:
        if measure.note:
            notes.setdefault(measure.note, []).append(name)
    return [f"{', '.join(names)}: {note}" for note, names in notes.items()]


def _plain(value: Any) -> Any:
    """Return what strict JSON can hold."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def _from_json(text: str) -> ClassificationReport:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"this is no JSON: {error}") from error
    if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
        raise ValueError(f"this is no report that was stored as {_FORMAT!r}")
    try:
        matrix = content.pop("confusion")
        content["classes"], content["notes"] = tuple(content["classes"]), tuple(content["notes"])
        for name in ("labels", "predicted"):
            content[name] = np.array(content[name], dtype=np.int64)
        for name in ("accuracy", "balanced_accuracy", "nll", "brier", "ece"):
            content[name] = _measure(content[name])
        content["top_k"] = {int(k): _measure(found) for k, found in content["top_k"].items()}
        content["reliability"] = tuple(
            ReliabilityBin(**{**b, "confidence": _number(b["confidence"]), "accuracy": _measure(b["accuracy"])})
            for b in content["reliability"]
        )
        for name in ("rows", "averages"):
            content[name] = tuple(
                ReportRow(**{key: _measure(v) if isinstance(v, dict) else v for key, v in row.items()})  # type: ignore[arg-type]
                for row in content[name]
            )
        found = ClassificationReport(**content)
        same = found.confusion.tolist() == matrix
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"this stored report is damaged: {error!r}") from error
    if not same:
        raise ValueError("this stored report is damaged: its confusion matrix is not that of its labels")
    return found


def _measure(found: dict[str, Any] | None) -> Measure | None:
    if found is None:
        return None
    value, low, high = (_number(found[key]) for key in ("value", "low", "high"))
    return Measure(value, low, high, found["method"], found["note"])


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
