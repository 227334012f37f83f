"""Figures: one style, never colour alone, small PNGs that carry their alt text."""

import base64
import io
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from nnzen import plots

ALT = "A straight line that rises: the test figure means nothing."


@pytest.fixture(autouse=True)
def book_style() -> Iterator[None]:
    plt.switch_backend("agg")
    before = plt.get_fignums()
    with plots.style():
        yield
    for number in set(plt.get_fignums()) - set(before):
        plt.close(number)


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict, dict]]:
    """Collect what a notebook would get: pairs of data and metadata."""
    import IPython
    from IPython import display

    shown: list[tuple[dict, dict]] = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: "a kernel")
    monkeypatch.setattr(display, "display", lambda data, *, raw, metadata: shown.append((data, metadata)))
    return shown


def line() -> Any:
    figure, ax = plt.subplots()
    ax.plot([0, 1], [0, 1])
    ax.set(xlabel="time (s)", ylabel="height (m)", title="It rises")
    return figure


# --- show ---------------------------------------------------------------------------------------------------


def test_show_displays_png_and_alt_text_and_closes(displayed: list) -> None:
    from PIL import Image

    figure = line()
    plots.show(figure, alt=ALT)
    [(data, metadata)] = displayed
    assert data["text/plain"] == f"Figure: {ALT}"
    assert metadata["image/png"]["alt"] == ALT
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert metadata["image/png"]["width"] == pytest.approx(704, abs=20)
    assert image.width == pytest.approx(1.5 * metadata["image/png"]["width"], abs=1)
    assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert not plt.fignum_exists(figure.number)


def test_show_gives_the_same_bytes_twice(displayed: list) -> None:
    plots.show(line(), alt=ALT)
    plots.show(line(), alt=ALT)
    assert displayed[0] == displayed[1]


def test_show_prints_the_text_outside_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    plots.show(line(), alt=ALT)
    assert capsys.readouterr().out == f"Figure: {ALT}\n"


@pytest.mark.parametrize("alt", ["", "   ", "A figure", " " * 50, "two lines of more than thirty\ncharacters", None])
def test_show_wants_alt_text(alt: Any, displayed: list) -> None:
    with pytest.raises(ValueError, match="what the figure shows and what it means"):
        plots.show(line(), alt=alt)
    assert not displayed


def test_show_refuses_a_figure_that_is_too_large(displayed: list) -> None:
    figure, ax = plt.subplots()
    ax.imshow(np.random.default_rng(0).random((400, 400)))
    with pytest.raises(ValueError, match=r"PNG is \d+ kB, at most 80 kB are allowed: show fewer .* 6\.4 × 3\.6 inches"):
        plots.show(figure, alt=ALT)
    assert not displayed


def test_show_refuses_what_is_no_figure() -> None:
    with pytest.raises(TypeError, match="fig is a Axes; it must be a figure"):
        plots.show(line().axes[0], alt=ALT)
    with pytest.raises(ValueError, match="empty"):
        plots.show(plt.figure(), alt=ALT)


# --- style --------------------------------------------------------------------------------------------------


def test_every_colour_has_its_own_dashes_and_marker() -> None:
    for properties in (plots.PALETTE, plots.LINESTYLES, plots.MARKERS):
        assert len(set(properties)) == len(properties) == 7
    pairs = [(p["color"], p["linestyle"]) for p in matplotlib.rcParams["axes.prop_cycle"]]
    assert pairs == list(zip(plots.PALETTE, plots.LINESTYLES, strict=True))


def test_style_ends_with_its_block() -> None:
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        with plots.style():
            assert not matplotlib.rcParams["axes.spines.top"]
        assert matplotlib.rcParams["axes.spines.top"]
        plots.use_style()
        assert not matplotlib.rcParams["axes.spines.top"]


def test_importing_sets_nothing() -> None:
    code = "import sys, nnzen.plots; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --- helpers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "columns", "grid"), [(1, 8, (1, 1)), (8, 8, (1, 8)), (9, 4, (3, 4)), (3, 2, (2, 2))])
def test_images_fill_a_grid(count: int, columns: int, grid: tuple[int, int]) -> None:
    stack = np.arange(count * 12, dtype=np.uint8).reshape(count, 3, 4)
    figure = plots.images(stack, [f"image {i}" for i in range(count)], columns=columns)
    assert len(figure.axes) == grid[0] * grid[1]
    drawn = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in drawn] == [f"image {i}" for i in range(count)]
    for axis, image in zip(drawn, stack, strict=True):
        assert np.array_equal(axis.images[0].get_array(), image)
        assert axis.images[0].get_clim() == (0, count * 12 - 1)  # one scale for all


def test_images_in_colour_and_with_bounds() -> None:
    figure = plots.images(np.zeros((2, 4, 4, 3), np.uint8))
    assert figure.axes[0].images[0].get_array().shape == (4, 4, 3)
    figure = plots.images(np.ones((2, 3, 3)), low=-2, high=2, cmap="RdBu")
    assert figure.axes[1].images[0].get_clim() == (-2, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": np.zeros((3, 3))}, r"images has shape \(3, 3\)"),
        ({"images": np.zeros((0, 3, 3))}, r"images has shape \(0, 3, 3\)"),
        ({"images": np.zeros((2, 3, 3, 4))}, r"images has shape \(2, 3, 3, 4\)"),
        ({"images": np.zeros((2, 3, 3)), "titles": ["one"]}, "1 titles for 2 images"),
        ({"images": np.zeros((2, 3, 3)), "columns": 0}, "columns is 0"),
    ],
)
def test_images_refuses(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plots.images(**arguments)


def test_runs_draws_every_run_and_the_interval() -> None:
    from nnzen.evaluation import mean_interval

    groups = {"first": [1.0, 2.0, 4.0], "second": np.array([5.0, 5.0, 6.0, 7.0])}
    _, ax = plt.subplots()
    plots.runs(ax, groups)
    points = [line for line in ax.lines if line.get_marker() in plots.MARKERS and len(line.get_xdata()) > 1]
    assert [list(line.get_xdata()) for line in points] == [list(values) for values in groups.values()]
    assert len({line.get_marker() for line in points}) == 2
    assert len({line.get_color() for line in points}) == 2
    for bar, values in zip(ax.containers, groups.values(), strict=True):
        interval = mean_interval(values)
        segment = bar.lines[2][0].get_segments()[0]
        assert segment[:, 0] == pytest.approx([interval.low, interval.high])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["first", "second"]
    assert ax.yaxis_inverted()  # the first group on top


@pytest.mark.parametrize(
    ("groups", "message"), [({}, "groups is empty"), ({"a": [1.0]}, "group 'a'"), ({"b": [1, np.nan]}, "'b'")]
)
def test_runs_refuses(groups: dict, message: str) -> None:
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match=message):
        plots.runs(ax, groups)
