"""Figures of a classifier's report: confusion, calibration, ROC, precision and recall, and the worst mistakes.

:mod:`nnzen.classification` measures, this draws, in the style of :mod:`nnzen.plots`. Curves go through every distinct
score, by scikit-learn. The three classes with the smallest area are coloured and named, the others grey. All but the
mistakes are drawn into an axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from nnzen import plots
from nnzen.classification import ClassificationReport, ReportRow
from nnzen.plots import LINESTYLES, PALETTE

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["Picture", "confusion", "mistakes", "pictures", "precision_recall", "reliability", "roc"]

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
    ax.legend(loc="best")


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


def mistakes(found: ClassificationReport) -> Figure:
    """Draw the images of the most confident mistakes, each with its true and predicted class and the probability.

    Parameters
    ----------
    found : ClassificationReport
        Made with images, of probabilities or logits; not read from JSON, which leaves images out.

    Returns
    -------
    matplotlib.figure.Figure
        For :func:`nnzen.show`, which closes it.

    Raises
    ------
    ValueError
        If there is no image to draw: none was passed, nothing is wrong, or they are no pictures.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from nnzen.evaluation import report
    >>> images = np.zeros((2, 8, 8))
    >>> found = report([[0.8, 0.2], [0.6, 0.4]], (images, [0, 1]), kind="probabilities", classes=["coat", "bag"])
    >>> figure = mistakes(found)
    >>> figure.axes[0].get_title()
    'bag, called\\ncoat, p = 0.600'
    >>> plt.close(figure)
    """
    if not _drawable(found):
        raise ValueError(
            f"none of the {len(found.mistakes)} mistakes that this report keeps has a picture; pass images of shape "
            "(height, width), (height, width, 1) or (height, width, 3) by report(..., (images, labels))"
        )
    titles = [
        f"{found.classes[m.label]}, called\n{found.classes[m.predicted]}, p = {m.probability:.3f}"
        for m in found.mistakes
    ]
    pixels = np.stack([m.image for m in found.mistakes if m.image is not None])
    if pixels.ndim == 4 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim == 4 and pixels.dtype.kind == "f" and (pixels.min() < 0 or pixels.max() > 1):
        pixels = (pixels - pixels.min()) / np.ptp(pixels)  # standardized ones
    return plots.images(pixels, titles, columns=4)


@dataclass(frozen=True)
class Picture:
    """A figure of a report as a small file.

    Attributes
    ----------
    alt : str
        What it shows, for those who do not see it.
    png : bytes
        The file.
    width : int
        Pixels at which it is to be shown.
    """

    alt: str
    png: bytes
    width: int


def pictures(found: ClassificationReport) -> list[Picture]:
    """Return every figure that the report has the numbers for, as its HTML shows them.

    Parameters
    ----------
    found : ClassificationReport

    Examples
    --------
    >>> from nnzen.evaluation import report
    >>> [picture.alt[:16] for picture in pictures(report([0, 1, 1], [0, 0, 1], kind="labels"))]
    ['Confusion matrix']
    """
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    def defined(area: str) -> bool:
        return found.probabilities is not None and any(not np.isnan(getattr(r, area).value) for r in found.rows)

    drawn = [
        (confusion, True, "Confusion matrix: true class by predicted class, darker for a larger share of the class"),
        (reliability, bool(found.reliability), "Reliability diagram: accuracy over mean highest probability, by bins"),
        (roc, defined("roc_auc"), "ROC curve of each class against the rest: recall over false positive rate"),
        (precision_recall, defined("average_precision"), "Precision over recall of each class against the rest"),
    ]
    made = []
    with plots.style():
        for draw, shown, alt in drawn:
            if shown:
                figure = Figure(figsize=(4.2, 3.4))
                draw(figure.add_subplot(), found)
                made.append(Picture(alt, *plots._png(figure, dpi=130, colors=48)))  # small: notebooks hold many
        if _drawable(found):
            figure = mistakes(found)
            alt = "Images of the most confident mistakes, with true and predicted class"
            made.append(Picture(alt, *plots._png(figure, dpi=100)))
            plt.close(figure)
    return made


def _drawable(found: ClassificationReport) -> bool:
    """Whether there are mistakes, and their images are pictures."""
    shapes = {None if m.image is None else m.image.shape for m in found.mistakes}
    (shape,) = shapes if len(shapes) == 1 else (None,)
    return shape is not None and (len(shape) == 2 or (len(shape) == 3 and shape[-1] in (1, 3)))


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
