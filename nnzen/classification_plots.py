"""Figures of a classifier's report, each drawn into an axis: confusion, calibration, ROC, precision and recall.

:mod:`nnzen.classification` measures, this draws, in the style of :mod:`nnzen.plots`. Curves go through every distinct
score, by scikit-learn. The three classes with the smallest area are coloured and named, the others grey.
"""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from nnzen.classification import ClassificationReport, ReportRow
from nnzen.plots import LINESTYLES, PALETTE

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["confusion", "precision_recall", "reliability", "roc"]

_NAMED = 3  # coloured curves
_WRITTEN = 12  # classes, at most, whose counts are written into the confusion matrix


def confusion(ax: Axes, found: ClassificationReport) -> None:
    """Draw the confusion matrix: grey by the share of the true class, the counts written where there is room.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    found : ClassificationReport
        From :func:`nnzen.evaluation.report`.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from nnzen.evaluation import report
    >>> figure, ax = plt.subplots()
    >>> confusion(ax, report([0, 1, 1], [0, 0, 1], kind="labels", classes=["coat", "bag"]))
    >>> [text.get_text() for text in ax.texts]
    ['1', '1', '0', '1']
    """
    counts = found.confusion
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    ax.imshow(shares, cmap="Greys", vmin=0, vmax=1)
    ax.grid(visible=False)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    if len(counts) > _WRITTEN:
        return
    ticks = range(len(counts))
    ax.set_xticks(ticks, found.classes, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(ticks, found.classes)
    for i, j in np.ndindex(counts.shape):
        color = "white" if shares[i, j] > 0.5 else "black"
        ax.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=8, color=color)


def reliability(ax: Axes, found: ClassificationReport) -> None:
    """Draw accuracy over mean highest probability, with Wilson's intervals; areas of the points show their counts.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    found : ClassificationReport
        Of probabilities or logits.

    Raises
    ------
    ValueError
        If the report is of predicted labels.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from nnzen.evaluation import report
    >>> figure, ax = plt.subplots()
    >>> reliability(ax, report([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]], [0, 1, 1], kind="probabilities"))
    >>> ax.get_xlabel()
    'mean highest probability'
    """
    bins = [b for b in found.reliability if b.count]
    if not bins:
        raise ValueError("this report is of predicted labels; calibration takes probabilities or logits")
    x = [b.confidence for b in bins]
    y = np.array([b.accuracy.value for b in bins])
    low, high = (np.array([getattr(b.accuracy, end) for b in bins]) for end in ("low", "high"))
    counts = np.array([b.count for b in bins])
    ax.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1, label="perfect calibration")
    ax.errorbar(x, y, yerr=np.maximum([y - low, high - y], 0), color=PALETTE[0], linestyle="none", capsize=3)
    ax.scatter(x, y, s=10 + 90 * counts / counts.max(), color=PALETTE[0], zorder=3, label="bins, area by count")
    ax.set_xlim(0, 1.02)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("mean highest probability")
    ax.set_ylabel("accuracy")
    ax.legend(loc="upper left")


def roc(ax: Axes, found: ClassificationReport) -> None:
    """Draw the ROC curve of each class against the rest.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    found : ClassificationReport
        Of probabilities or logits, not read from JSON, which leaves them out.

    Raises
    ------
    ValueError
        If the report has no probabilities, or its images are of one class only.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from nnzen.evaluation import report
    >>> figure, ax = plt.subplots()
    >>> roc(ax, report([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]], [0, 1, 1], kind="probabilities", classes=["coat", "bag"]))
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['coat, area 1.000', 'bag, area 1.000']
    """
    from sklearn.metrics import roc_curve

    def curve(positive: NDArray[Any], scores: NDArray[Any]) -> tuple[Any, Any]:
        return roc_curve(positive, scores, drop_intermediate=True)[:2]

    ax.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=1)  # what chance gives
    _curves(ax, found, "roc_auc", curve)
    ax.set_xlabel("false positive rate")
    ax.set_ylabel("recall")
    ax.legend(loc="lower right")


def precision_recall(ax: Axes, found: ClassificationReport) -> None:
    """Draw precision over recall of each class against the rest, in steps.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    found : ClassificationReport
        Of probabilities or logits, not read from JSON, which leaves them out.

    Raises
    ------
    ValueError
        If the report has no probabilities.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from nnzen.evaluation import report
    >>> figure, ax = plt.subplots()
    >>> precision_recall(ax, report([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]], [0, 1, 1], kind="probabilities"))
    >>> ax.get_ylabel()
    'precision'
    """
    from sklearn.metrics import precision_recall_curve

    def curve(positive: NDArray[Any], scores: NDArray[Any]) -> tuple[Any, Any]:
        precision, recall, _ = precision_recall_curve(positive, scores)
        return recall, precision

    _curves(ax, found, "average_precision", curve, drawstyle="steps-post")
    ax.set_xlabel("recall")
    ax.set_ylabel("precision")
    ax.legend(loc="lower left")


def _curves(
    ax: Axes, found: ClassificationReport, area: str, curve: Callable[..., tuple[Any, Any]], **how: Any
) -> None:
    """Draw a curve for each class whose area is defined, the smallest areas last, on top."""
    if found.probabilities is None:
        why = "is of predicted labels" if found.kind == "labels" else "was read from JSON, which leaves scores out"
        raise ValueError(f"this report {why}; curves take probabilities or logits")

    def size(row: ReportRow) -> float:
        return float(getattr(row, area).value)

    rows = sorted((row for row in found.rows if not np.isnan(size(row))), key=size, reverse=True)
    if not rows:
        raise ValueError("no class has a curve: all images are of one class")
    grey, named = rows[:-_NAMED], rows[-_NAMED:]
    for row in grey:
        ax.plot(*_points(found, row, curve), color="#bbbbbb", linestyle="-", linewidth=0.8, **how)
    for row, color, line in zip(named, cycle(PALETTE), cycle(LINESTYLES)):
        label = f"{row.name}, area {size(row):.3f}"
        ax.plot(*_points(found, row, curve), color=color, linestyle=line, label=label, **how)
    if grey:
        ax.plot([], [], color="#bbbbbb", linestyle="-", linewidth=0.8, label=f"the other {len(grey)}")
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)


def _points(found: ClassificationReport, row: ReportRow, curve: Callable[..., tuple[Any, Any]]) -> tuple[Any, Any]:
    assert found.probabilities is not None
    c = found.classes.index(row.name)
    return curve(found.labels == c, found.probabilities[:, c])
