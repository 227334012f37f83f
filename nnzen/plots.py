"""One figure style for the book, and figures that carry their alt text.

Colours are those of Okabe & Ito, which people with colour-blindness tell apart; every line also has its own
dash pattern and every group its own marker, so that colour is never alone.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

__all__ = ["LINESTYLES", "MARKERS", "PALETTE", "images", "runs", "show", "style", "use_style"]

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Blue, vermilion, green, purple, orange, sky blue, black: Okabe & Ito (2008), the darkest first."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""A marker for each colour of `PALETTE`."""

LINESTYLES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.2, 1.2, 1.2)), (0, (8, 2)), (0, (3, 3)), (0, (1, 2)))
"""A dash pattern for each colour of `PALETTE`; lines take both in turn."""

_SCREEN_DPI = 110  # a figure 6.4 inches wide is shown 704 pixels wide ...
_DPI = 165  # ... and stored with half as many again, so that it stays sharp on a phone and in print
_MIN_ALT = 30
_MAX_PNG = 80_000


def use_style() -> None:
    """Set Matplotlib's defaults for the book. :func:`nnzen.setup` does this."""
    import matplotlib

    matplotlib.rcParams.update(_style())


@contextmanager
def style() -> Iterator[None]:
    """Use the book's style within a ``with`` statement only."""
    import matplotlib

    with matplotlib.rc_context(_style()):
        yield


def show(fig: Figure, *, alt: str) -> None:
    """Display a figure as PNG together with its alt text, and close it.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
        The figure. Make a new one for each call: this one is closed.
    alt : str
        What the figure shows and what it means, in one line, for those who do not see it. Without measured
        digits: it is the same for every seed.

    Raises
    ------
    TypeError
        If `fig` is not a Matplotlib figure.
    ValueError
        If `alt` says too little, the figure is empty, or its PNG is larger than 80 kB.
    """
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    if not isinstance(fig, Figure):
        raise TypeError(f"fig is a {type(fig).__name__}; it must be a figure, the first result of plt.subplots()")
    if not isinstance(alt, str) or len(alt.strip()) < _MIN_ALT or "\n" in alt:
        raise ValueError(
            f"alt is {alt!r}; it must say in one line of at least {_MIN_ALT} characters what the figure shows "
            "and what it means"
        )
    if not fig.axes:
        raise ValueError("the figure is empty: it has no axes; draw something before showing it")
    png, width = _png(fig)
    if len(png) > _MAX_PNG:
        raise ValueError(
            f"the figure's PNG is {len(png) / 1000:.0f} kB, at most {_MAX_PNG / 1000:.0f} kB are allowed: show fewer "
            f"images or points, or a smaller figure than {fig.get_figwidth():g} × {fig.get_figheight():g} inches"
        )
    plt.close(fig)
    _display(png, width, alt.strip())


def images(
    images: ArrayLike,
    titles: Sequence[str] = (),
    *,
    columns: int = 8,
    cmap: str = "gray",
    low: float | None = None,
    high: float | None = None,
) -> Figure:
    """Draw images in a grid, all on one scale.

    Parameters
    ----------
    images : array_like, shape (N, height, width) or (N, height, width, 3)
        Grey levels, or red, green and blue (uint8, or 0 to 1).
    titles : sequence of str, optional
        One short title an image; a line break in it makes two lines.
    columns : int
        Images in a row.
    cmap : str
        Matplotlib's name of a colour map for grey levels; ``"RdBu"`` suits filters with weights of both signs.
    low, high : float, optional
        The values drawn in the map's first and last colour; by default the lowest and the highest of all images.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, for :func:`show`.

    Examples
    --------
    >>> figure = images(np.zeros((3, 8, 8)), ["left", "middle", "right"], columns=2)
    >>> len(figure.axes)
    4
    """
    import matplotlib.pyplot as plt

    array = np.asarray(images)
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[-1] != 3) or array.size == 0:
        raise ValueError(f"images has shape {array.shape}; it must be (N, height, width) or (N, height, width, 3)")
    if len(titles) not in (0, len(array)):
        raise ValueError(f"{len(titles)} titles for {len(array)} images; give one for each, or none")
    if columns < 1:
        raise ValueError(f"columns is {columns}; it must be at least 1")
    columns = min(columns, len(array))
    rows = -(-len(array) // columns)
    side = 6.4 / max(columns, 4)
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    size = (side * columns, rows * (side * array.shape[1] / array.shape[2] + 0.15 * lines + 0.05))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    scale = {} if array.ndim == 4 else {"cmap": cmap, "vmin": _or(low, array.min()), "vmax": _or(high, array.max())}
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image in zip(axes.flat, array, strict=False):
        axis.imshow(image, interpolation="nearest", **scale)
    for axis, title in zip(axes.flat, titles, strict=False):
        axis.set_title(title, fontsize=8, loc="center")
    return figure


def runs(ax: Axes, groups: Mapping[str, ArrayLike], *, confidence: float = 0.95) -> None:
    """Draw every run as a point, and each group's mean with its confidence interval, one group a row.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw. Label its horizontal axis with the quantity and its unit.
    groups : mapping of str to array_like, shape (runs,)
        The measurement of each run, at least two a group; the first group is drawn on top.
    confidence : float
        Of the intervals, which are those of :func:`nnzen.evaluation.mean_interval`.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> figure, ax = plt.subplots()
    >>> runs(ax, {"linear": [84.1, 84.3, 84.2], "convolutional": [91.0, 91.4, 91.2]})
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['linear', 'convolutional']
    """
    from nnzen.evaluation import mean_interval

    if not groups:
        raise ValueError("groups is empty; give at least one name with the measurements of its runs")
    for row, ((name, values), color, marker) in enumerate(zip(groups.items(), cycle(PALETTE), cycle(MARKERS))):
        array = np.asarray(values, dtype=float)
        if array.ndim != 1 or len(array) < 2 or not np.isfinite(array).all():
            raise ValueError(f"group {name!r} is {values!r}; it must be two or more finite numbers, one a run")
        interval = mean_interval(array, confidence=confidence)
        height = row + np.linspace(-0.2, 0.2, len(array))  # spread, so that equal runs stay visible
        ax.plot(array, height, linestyle="none", marker=marker, markersize=4, color=color, alpha=0.55)
        ax.errorbar(
            interval.mean,
            row,
            xerr=[[interval.mean - interval.low], [interval.high - interval.mean]],
            color="black",
            marker="|",
            markersize=14,
            capsize=4,
            linestyle="none",
        )
    ax.set_yticks(range(len(groups)), list(groups))
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")


# --- one style ----------------------------------------------------------------------------------------------


def _style() -> Any:
    from cycler import cycler

    return {
        "figure.figsize": (6.4, 3.6),
        "figure.dpi": _SCREEN_DPI,
        "figure.constrained_layout.use": True,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],  # comes with Matplotlib: the same everywhere
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "axes.labelsize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.prop_cycle": cycler(color=PALETTE) + cycler(linestyle=LINESTYLES),
        "grid.color": "#dddddd",
        "grid.linewidth": 0.7,
        "lines.linewidth": 1.8,
        "lines.markersize": 5,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "legend.handlelength": 2.8,  # long enough to see the dashes
        "image.cmap": "gray",
        "image.interpolation": "nearest",
    }


def _png(fig: Figure, *, dpi: int = _DPI, colors: int = 256) -> tuple[bytes, int]:
    """Return the figure's PNG, reduced to few colours, and the width in pixels at which it is to be shown."""
    from PIL import Image

    raw = io.BytesIO()
    fig.savefig(raw, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.06)
    image = Image.open(raw).convert("RGB")
    small = io.BytesIO()
    image.quantize(colors, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return small.getvalue(), round(image.width * _SCREEN_DPI / dpi)


def _display(png: bytes, width: int, alt: str) -> None:
    """Display the PNG in a notebook, where `alt` is its text and lies in its metadata; elsewhere print the text."""
    text = f"Figure: {alt}"
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        print(text)
        return
    import base64

    from IPython.display import display

    data = {"image/png": base64.b64encode(png).decode(), "text/plain": text}
    display(data, raw=True, metadata={"image/png": {"alt": alt, "width": width}})


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
