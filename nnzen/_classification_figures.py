"""The figures of a classification report and their intervals; :mod:`nnzen.classification` is the public face.

Where the confusion matrix settles a figure, a resample within the true classes is one multinomial draw for each of its
rows. Where scores do, a resample is a count of how often each image was drawn: images are sorted once for each class,
and the areas of all resamples follow from running sums of the counts in that order, exactly, ties included.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nnzen._classification_input import Given
    from nnzen.classification import ClassificationReport

__all__ = [
    "FromScores",
    "Measure",
    "ReliabilityBin",
    "ReportRow",
    "Resampling",
    "confusion",
    "differences",
    "from_counts",
    "from_scores",
    "mcnemar",
    "top_accuracies",
]

_BLOCK = 16_000_000  # counts of images that are held at a time: 16 MB
_AGREE = "all resamples agree, so the interval says nothing"


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


class Resampling(NamedTuple):
    """How intervals are made: their confidence, and the number and the seed of the resamples."""

    confidence: float
    resamples: int
    seed: int


# --- intervals ----------------------------------------------------------------------------------------------


def _wilson(successes: Any, trials: Any, confidence: float, undefined: str = "") -> Measure:
    """Wilson's interval of a proportion; NaN with the note `undefined` of none."""
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


def _average(
    values: NDArray[np.float64],
    resampled: NDArray[np.float64],
    confidence: float,
    weights: NDArray[Any] | float = 1.0,
) -> Measure:
    """Mean of the K classes' values, of which there are R resamples, shape (R, K); it leaves out what is NaN."""
    measure = _bootstrap(_mean(values, weights), _mean(resampled, weights), confidence, "0/0 for every class")
    left_out = np.isnan(values)
    other = int(np.sum((np.isnan(resampled) != left_out).any(1)))
    notes = [f"{left_out.sum()} of {len(values)} classes are left out, where it is 0/0"] if left_out.any() else []
    if other:
        notes.append(f"{other} of {len(resampled)} resamples leave out more classes, where it is 0/0 in them")
    return replace(measure, note="; ".join([*notes, *filter(None, [measure.note])])) if measure.method else measure


# --- figures of the confusion matrix ------------------------------------------------------------------------


def confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Count images by true class (rows) and predicted class (columns), shape (K, K)."""
    return np.bincount(labels * k + predicted, minlength=k * k).reshape(k, k)


def _rates(hits: NDArray[Any], predicted: NDArray[Any], support: NDArray[Any]) -> tuple[NDArray[np.float64], ...]:
    """Precision, recall and F1 of the classes, which are the last axis."""
    return hits / predicted, hits / support, 2 * hits / (predicted + support)


def _mean(values: NDArray[np.float64], weights: NDArray[Any] | float = 1.0) -> NDArray[np.float64]:
    """Mean over the last axis of what is not NaN."""
    defined = ~np.isnan(values)
    weights = weights * defined
    with np.errstate(invalid="ignore"):  # NaN where nothing is defined
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


def from_counts(given: Given, how: Resampling) -> tuple[list[ReportRow], list[ReportRow]]:
    """Return a row for each class, and the micro, macro and weighted averages, all without areas."""
    k, n, confidence = len(given.classes), len(given.labels), how.confidence
    matrix = confusion(given.labels, given.predicted, k)
    hits, predicted, support = matrix.diagonal(), matrix.sum(0), matrix.sum(1)
    rng = np.random.default_rng([how.seed, 0])
    [(hits_r, predicted_r)] = _resampled_counts(rng, given.labels, [given.predicted], k, how.resamples)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0/0 is NaN, and gets a note
        values, drawn = _rates(hits, predicted, support), _rates(hits_r, predicted_r, support)
        rows = [
            ReportRow(
                name,
                int(support[c]),
                int(predicted[c]),
                _wilson(hits[c], predicted[c], confidence, "0/0, as the class is never predicted"),
                _wilson(hits[c], support[c], confidence, "0/0, as there is no image of the class"),
                _bootstrap(
                    values[2][c], drawn[2][:, c], confidence, "0/0, as the class is neither there nor predicted"
                ),
            )
            for c, name in enumerate(given.classes)
        ]
        macro = [_average(v, r, confidence) for v, r in zip(values, drawn, strict=True)]
        there = support > 0
        precision, f1 = (_average(values[i][there], drawn[i][:, there], confidence, support[there]) for i in (0, 2))
    accuracy = _wilson(hits.sum(), n, confidence)
    averages = [
        ReportRow("micro", n, n, accuracy, accuracy, accuracy),
        ReportRow("macro", n, n, *macro),
        ReportRow("weighted", n, n, precision, accuracy, f1),  # Σ support/N · hits/support is the accuracy
    ]
    return rows, averages


def differences(first: ClassificationReport, second: ClassificationReport, how: Resampling) -> tuple[Measure, Measure]:
    """Differences of accuracy and macro F1, first − second, over the same resampled images."""
    labels, k, confidence = first.labels, len(first.classes), how.confidence
    support = np.bincount(labels, minlength=k)
    rng = np.random.default_rng([how.seed, 2])
    counts = _resampled_counts(rng, labels, [first.predicted, second.predicted], k, how.resamples)
    with np.errstate(divide="ignore", invalid="ignore"):
        accuracy = [hits.sum(1) / len(labels) for hits, _ in counts]
        macro_f1 = [_mean(_rates(hits, predicted, support)[2]) for hits, predicted in counts]
    return (
        _bootstrap(first.accuracy.value - second.accuracy.value, accuracy[0] - accuracy[1], confidence),
        _bootstrap(first.averages[1].f1.value - second.averages[1].f1.value, macro_f1[0] - macro_f1[1], confidence),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p: as unequal a division of the images that only one got right, if both are equally likely."""
    from scipy.special import bdtr

    fewer, n = min(only_first, only_second), only_first + only_second
    return min(1.0, 2 * float(bdtr(fewer, n, 0.5)))


# --- figures of scores --------------------------------------------------------------------------------------


class FromScores(NamedTuple):
    """Figures that take scores; empty or None without them."""

    rows: tuple[ReportRow, ...]
    averages: tuple[ReportRow, ...]
    nll: Measure | None = None
    brier: Measure | None = None
    ece: Measure | None = None
    reliability: tuple[ReliabilityBin, ...] = ()


def from_scores(
    given: Given, rows: list[ReportRow], averages: list[ReportRow], bins: int, how: Resampling
) -> FromScores:
    """Complete the rows by their areas, and measure the calibration."""
    if given.probabilities is None or given.losses is None:
        return FromScores(tuple(rows), tuple(averages))
    n, confidence = len(given.labels), how.confidence
    highest = given.probabilities[np.arange(n), given.predicted]
    right = given.predicted == given.labels
    where = np.searchsorted(np.arange(1, bins) / bins, highest, side="left")
    brier = ((given.probabilities - (np.arange(len(given.classes)) == given.labels[:, None])) ** 2).sum(1)
    # Sums over images that a resample weights by its counts: the losses, and accuracy − confidence in each bin.
    finite = np.where(np.isfinite(given.losses), given.losses, 0.0)
    sums = np.vstack([finite, brier, (where == np.arange(bins)[:, None]) * (right - highest)])
    one = _scored(given, sums, np.ones((n, 1), np.uint8))
    drawn = _resampled_scores(given, sums, how)
    zero = n - int(np.sum(np.isfinite(given.losses)))
    nll = math.inf if zero else one.sums[0, 0] / n
    return FromScores(
        *_with_areas(rows, averages, one, drawn, confidence),
        nll=_bootstrap(nll, drawn.sums[0] / n, confidence, f"images with probability 0 at their true class: {zero}"),
        brier=_bootstrap(one.sums[1, 0] / n, drawn.sums[1] / n, confidence),
        ece=_calibration(one.sums[2:] / n, drawn.sums[2:] / n, confidence),
        reliability=tuple(_bin(b, bins, highest[where == b], right[where == b], confidence) for b in range(bins)),
    )


def _with_areas(
    rows: list[ReportRow], averages: list[ReportRow], one: _Scored, drawn: _Scored, confidence: float
) -> tuple[tuple[ReportRow, ...], tuple[ReportRow, ...]]:
    """Put the areas of each class into its row, and their means into the macro average."""
    undefined = "0/0, as all or none of the images are of the class"
    aucs = [_bootstrap(v, r, confidence, undefined) for v, r in zip(one.roc_auc[:, 0], drawn.roc_auc, strict=True)]
    undefined = "0/0, as there is no image of the class"
    precisions = [
        _bootstrap(v, r, confidence, undefined)
        for v, r in zip(one.average_precision[:, 0], drawn.average_precision, strict=True)
    ]
    micro, macro, weighted = averages
    macro = replace(
        macro,
        roc_auc=_average(one.roc_auc[:, 0], drawn.roc_auc.T, confidence),
        average_precision=_average(one.average_precision[:, 0], drawn.average_precision.T, confidence),
    )
    complete = zip(rows, aucs, precisions, strict=True)
    return (
        tuple(replace(row, roc_auc=auc, average_precision=precision) for row, auc, precision in complete),
        (micro, macro, weighted),
    )


class _Scored(NamedTuple):
    """Figures of scores under R sets of counts."""

    sums: NDArray[np.float64]  # shape (F, R)
    roc_auc: NDArray[np.float64]  # shape (K, R)
    average_precision: NDArray[np.float64]  # shape (K, R)


def _scored(given: Given, sums: NDArray[np.float64], counts: NDArray[np.uint8]) -> _Scored:
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
    with np.errstate(divide="ignore", invalid="ignore"):  # 0/0 is NaN, and gets a note
        return pairs / (p[-1] * q[-1].astype(float)), np.einsum("gr,gr->r", here, precision) / p[-1]


def _running(counts: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.int32]:
    """Running sums of some rows of the counts, the first of them 0."""
    total = np.zeros((len(rows) + 1, counts.shape[1]), np.int32)
    np.cumsum(counts[rows], axis=0, dtype=np.int32, out=total[1:])
    return total


def _resampled_scores(given: Given, sums: NDArray[np.float64], how: Resampling) -> _Scored:
    parts = [_scored(given, sums, counts) for counts in _draws(given.labels, how.resamples, how.seed)]
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
    accuracy = _wilson(right.sum(), right.size, confidence)
    return ReliabilityBin(b / bins, (b + 1) / bins, int(right.size), mean, accuracy)


def top_accuracies(given: Given, chosen: Sequence[int], confidence: float) -> dict[int, Measure]:
    """Return for each k the share of images whose class is among the k with the highest scores."""
    if given.scores is None:
        return {}
    own = given.scores[np.arange(len(given.labels)), given.labels][:, None]
    first = np.arange(len(given.classes)) < given.labels[:, None]
    rank = ((given.scores > own) | ((given.scores == own) & first)).sum(1)
    return {k: _wilson((rank < k).sum(), len(rank), confidence) for k in chosen}
