"""Classification reports as printed: read from text, and kept digit by digit.

What stands in a report is rounded, and the number of printed digits says how far. So nothing becomes a float here: a
:class:`Figure` is an exact fraction with the unit of its last digit. A line that is not understood is kept, with what
is wrong with it, and nothing is dropped. :mod:`nnzen.audit` judges what was read.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from nnzen._tables import html_table

__all__ = ["METRICS", "Figure", "Report", "Row", "Unread", "parse"]

METRICS = {"precision": "precision", "recall": "recall", "f1": "F1"}
"""The columns of figures, and their titles."""


# --- what was printed ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """One printed figure.

    Attributes
    ----------
    text : str
        As printed.
    value : Fraction or None
        As a share (``83.5%`` is 0.835), exactly; None for ``nan``.
    unit : Fraction
        Of its last printed digit.
    """

    text: str
    value: Fraction | None
    unit: Fraction

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Row:
    """One row of a report.

    Attributes
    ----------
    name : str
        As printed.
    kind : str
        ``"class"``, ``"accuracy"`` (its figure is in `f1`), ``"micro"``, ``"macro"``, ``"weighted"`` or ``"samples"``.
    precision, recall, f1 : Figure or None
        None where nothing was printed.
    support : int or None
        Samples.
    line : int
        Where it was read, from 1.
    """

    name: str
    kind: str
    precision: Figure | None
    recall: Figure | None
    f1: Figure | None
    support: int | None
    line: int

    @property
    def figures(self) -> dict[str, Figure]:
        """The figures that are printed, by their column in `METRICS`."""
        given = {column: getattr(self, column) for column in METRICS}
        return {column: figure for column, figure in given.items() if figure is not None}


@dataclass(frozen=True)
class Unread:
    """A line that was not understood.

    Attributes
    ----------
    line : int
        Its number, from 1.
    text : str
        What stands there.
    why : str
        What is wrong with it.
    hides : bool
        Whether it may stand for classes: it holds figures enough, or dots.
    """

    line: int
    text: str
    why: str
    hides: bool

    def __str__(self) -> str:
        return f"line {self.line} was not understood, {self.why}: {self.text.strip()!r}"


class _Shown:
    """Prints as its text."""

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, repr=False)
class Report(_Shown):
    """A classification report as printed.

    Attributes
    ----------
    rows : tuple of Row
        In the order of printing.
    unread : tuple of Unread
        Lines that were not understood.
    notes : tuple of str
        What had to be read in one way of several.
    """

    rows: tuple[Row, ...]
    unread: tuple[Unread, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[Row, ...]:
        """The rows of classes."""
        return tuple(row for row in self.rows if row.kind == "class")

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (
                row.name,
                *("" if figure is None else figure.text for figure in (row.precision, row.recall, row.f1)),
                "" if row.support is None else f"{row.support:,}",
            )
            for row in self.rows
        ]

    def __str__(self) -> str:
        table = [_HEAD, *self._cells()]
        widths = [max(len(row[i]) for row in table) for i in range(len(_HEAD))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
        return "\n".join([*lines, *map(str, self.unread), *self.notes])

    def _repr_html_(self) -> str:
        return html_table("nz-report", _HEAD, self._cells(), remarks=(*map(str, self.unread), *self.notes))


_HEAD = ("", "precision", "recall", "F1", "support")


# --- reading a report ---------------------------------------------------------------------------------------

_COLUMNS = {
    "precision": ("precision", "prec", "p", "ppv", "positive predictive value"),
    "recall": ("recall", "rec", "r", "sensitivity", "tpr", "true positive rate"),
    "f1": ("f1", "f", "f 1", "f1 score", "f 1 score", "f1score", "f score", "fscore", "f measure", "f1 measure"),
    "support": ("support", "supp", "n", "count", "counts", "samples", "images", "instances", "examples", "# samples"),
}
_NAMES = ("class", "classes", "label", "labels", "name", "category")
_KNOWN = {name: column for column, names in _COLUMNS.items() for name in names}
_AVERAGE = re.compile(r"(micro|macro|weighted|samples)( (avg|average|mean))?|avg ?/ ?total")
_ACCURACY = ("accuracy", "acc", "overall accuracy")
_UNNAMED = ("average", "avg", "mean", "total", "overall", "avg total", "sum")
_FIGURE = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?) ?(%?)", re.IGNORECASE)
_MISSING = ("", "-", "–", "—", ".", "n/a", "na", "none", "null")
_RULE = re.compile(r"[\s|:+=_`~─━—-]*")
_SPACES = "\u00a0\u2007\u2009\u202f"
_ABOVE = "it stands above the table"
_EXAMPLE = "'class precision recall f1-score support'"


class _Head(NamedTuple):
    """The columns of a table, and how its lines are divided."""

    columns: tuple[str, ...]  # "name", a metric, "support", or "" for what is not audited
    labels: tuple[str, ...]
    percent: tuple[bool, ...]
    divider: str  # "|", ",", ";", tab, or "" for blanks
    named: bool  # whether the names have a title of their own


def parse(text: str) -> Report:
    """Read a classification report from text.

    Understood are what ``sklearn.metrics.classification_report`` prints, with blanks or tabs, Markdown tables, and CSV
    with commas, semicolons or tabs. The first line names the columns, in any order and under their usual names
    (``prec.``, ``F1``, ``n``, …); at least one of precision, recall and F1 must be among them, and two in all. Averages
    are known by their names: accuracy, micro, macro, weighted and samples avg.

    Parameters
    ----------
    text : str
        May hold other lines before and after; those that are not understood are kept in ``Report.unread``.

    Returns
    -------
    Report

    Raises
    ------
    TypeError
        If `text` is no string.
    ValueError
        If no table, or more than one, is found.

    Examples
    --------
    >>> print(parse("| class | prec. | recall | F1 | n |\\n|---|---|---|---|---|\\n| cat | 87% | 83.5% | 85% | 500 |"))
         precision  recall   F1  support
    cat        87%   83.5%  85%      500
    """
    if not isinstance(text, str):
        raise TypeError(f"text is of the type {type(text).__name__}; it must be a string, the printed report")
    lines = [_normal(line) for line in text.splitlines()]
    start, head = _find_head(lines)
    rows: list[Row] = []
    unread = [Unread(i, line, _ABOVE, False) for i, line in enumerate(lines[:start], 1) if _says(line)]
    for number, line in enumerate(lines[start + 1 :], start + 2):
        if not _says(line):
            continue
        if _head(line) is not None:
            raise ValueError(
                f"line {number} begins a second table, {line.strip()!r}; the first begins in line {start + 1}: "
                "give one report at a time"
            )
        try:
            rows.append(_row(line, number, head, len(rows)))
        except _NotARow as error:
            unread.append(Unread(number, line, str(error), _hides(line, head)))
    ignored = [label for column, label in zip(head.columns, head.labels, strict=True) if not column and label]
    notes = [f"column {label!r} is not audited" for label in ignored]
    rows, more = _as_shares(rows, any(head.percent))
    return Report(tuple(rows), tuple(unread), (*notes, *more))


class _NotARow(ValueError):
    """Says why a line is not understood."""


def _hides(line: str, head: _Head) -> bool:
    words = re.split(r"[\s|;,*]+", line)
    figures = sum(_FIGURE.fullmatch(word) is not None or word.casefold() in _MISSING[1:] for word in words)
    return figures >= max(2, len(head.columns) - 2) or re.fullmatch(r"[\s|.,…⋮]+", line) is not None


def _says(line: str) -> bool:
    return _RULE.fullmatch(line) is None and not line.strip().startswith("```")


def _normal(line: str) -> str:
    """Return the line with one kind of blank and of minus, and without blanks inside a figure."""
    line = re.sub(rf"(?<![\d.,])(\d{{1,3}})((?:[{_SPACES}'’]\d{{3}})+)(?!\d)", _joined, line)
    line = re.sub(rf"[{_SPACES}]", " ", line).replace("\u2212", "-").replace("\ufeff", "")
    return re.sub(r"(?<=\d)[ \t]+%", "%", line)


def _joined(found: re.Match[str]) -> str:
    return re.sub(r"\D", "", found[0])


def _title_of(cell: str) -> tuple[str, bool]:
    """Return a column's title in a plain form, and whether it says that the figures are per cent."""
    plain = unicodedata.normalize("NFKC", cell).casefold()
    percent = "%" in plain or "percent" in plain
    plain = re.sub(r"\(?(%|percent(age)?)\)?|\[%\]|[*`$:.]|\bin\b", " ", plain)
    return " ".join(re.sub(r"[-_]", " ", plain).split()), percent


def _find_head(lines: list[str]) -> tuple[int, _Head]:
    """Return where the table begins: the first line of titles that a row follows."""
    titles = [(i, head) for i, line in enumerate(lines) if (head := _head(line)) is not None]
    for i, head in titles:
        below = next((line for line in lines[i + 1 :] if _says(line)), "")
        try:
            _row(below, 0, head, 0)
        except _NotARow:
            continue
        return i, head
    if titles:
        i, head = titles[0]
        raise ValueError(
            f"line {i + 1} names the columns {', '.join(filter(None, head.labels))}, but the line below it is no row: "
            "it must hold a name and a figure for each column"
        )
    raise ValueError(
        "no table was found: a line must name at least two columns, one of them precision, recall or F1, such as "
        f"{_EXAMPLE}"
    )


def _head(line: str) -> _Head | None:
    """Read a line of titles, or return None if it is none."""
    for divider in ("|", "\t", ";", ","):
        if divider in line:
            cells = _split(line, divider)
            break
    else:
        divider, cells = "", re.split(r"\s{2,}", line.strip())
        if sum(_title_of(cell)[0] in _KNOWN for cell in cells) < 2:
            cells = _phrases(line.split())
    titles = [_title_of(cell) for cell in cells]
    columns = [_KNOWN.get(title, "") for title, _ in titles]
    known = [column for column in columns if column]
    if len(known) < 2 or not set(known) & set(METRICS) or any(_FIGURE.fullmatch(title) for title, _ in titles):
        return None
    if len(set(known)) < len(known):
        twice = next(column for column in known if known.count(column) > 1)
        raise ValueError(f"the line {line.strip()!r} names two columns {twice}; keep one of them")
    first = next(i for i, column in enumerate(columns) if column)
    if divider == "" and first > 0:  # the title of the names, of any number of words
        cells, titles, columns = [" ".join(cells[:first]), *cells[first:]], titles[first - 1 :], columns[first - 1 :]
    others = [i for i, column in enumerate(columns) if not column]
    named = bool(others)
    if named:
        columns[min(others, key=lambda i: (titles[i][0] not in _NAMES, not titles[i][0]))] = "name"
    else:
        cells, titles, columns = ["", *cells], [("", False), *titles], ["name", *columns]
    labels = (cell.strip(" *`") for cell in cells)
    return _Head(tuple(columns), tuple(labels), tuple(percent for _, percent in titles), divider, named)


def _phrases(words: list[str]) -> list[str]:
    """Join neighbouring words that together name a column."""
    cells: list[str] = []
    while words:
        length = next((k for k in (3, 2) if len(words) >= k and _title_of(" ".join(words[:k]))[0] in _KNOWN), 1)
        cells.append(" ".join(words[:length]))
        words = words[length:]
    return cells


def _split(line: str, divider: str) -> list[str]:
    if divider == "|":
        line = line.strip()
        cells = line.removeprefix("|").removesuffix("|").split("|")
    else:
        cells = next(csv.reader([line], delimiter=divider, skipinitialspace=True))
    return [cell.strip(" \t*`") for cell in cells]


def _row(line: str, number: int, head: _Head, count: int) -> Row:
    cells = _cells(line, head, count)
    name = cells["name"]
    plain = " ".join(re.sub(r"[-_*`]", " ", name).casefold().rstrip(".:").split())
    if plain in _UNNAMED:
        raise _NotARow(f"it does not say which average it is (call {name!r} macro avg, weighted avg or micro avg)")
    found = _AVERAGE.fullmatch(plain)
    kind = "accuracy" if plain in _ACCURACY else "class" if found is None else found[1] or "weighted"
    percent = dict(zip(head.columns, head.percent, strict=True))
    if kind == "accuracy":
        return _accuracy(name, cells, percent, number)
    figures = {column: _figure(cells[column], percent[column]) for column in METRICS if column in cells}
    if all(figure is None for figure in figures.values()):
        raise _NotARow("it holds no precision, recall or F1")
    precision, recall, f1 = (figures.get(column) for column in METRICS)
    return Row(name, kind, precision, recall, f1, _support(cells.get("support", "")), number)


def _cells(line: str, head: _Head, count: int) -> dict[str, str]:
    """Return the cells of a line by column."""
    cells = _split(line, head.divider) if head.divider else []
    wanted = len(head.columns)
    if not head.named and len(cells) == wanted - 1:
        cells = [f"row {count + 1}", *cells]
    if len(cells) != wanted and head.divider in ("", "\t"):
        cells = _words(line, head)
    if _is_accuracy(cells) and len(cells) < wanted:
        cells = _fill_accuracy(cells, head)
    if len(cells) != wanted:
        quote = "; quote figures that contain a comma" if head.divider == "," and len(cells) > wanted else ""
        raise _NotARow(f"it has {len(cells)} cells where the table has {wanted} columns{quote}")
    return dict(zip(head.columns, cells, strict=True))


def _words(line: str, head: _Head) -> list[str]:
    """Divide at blanks: figures from the right, the rest is the name."""
    words = line.split()
    size = len(head.columns) - 1
    for k in range(1, len(words)):
        if _is_accuracy([" ".join(words[:k])]):
            return [" ".join(words[:k]), *words[k:]]
    if len(words) <= size:
        raise _NotARow(f"it has too few words for a name and {size} figures")
    name, cells = words[:-size], words[-size:]
    if len(name) > 1 and "." in name[-1] and _FIGURE.fullmatch(name[-1]):
        raise _NotARow(f"it has more figures than the {size} columns")
    return [" ".join(name), *cells]


def _is_accuracy(cells: Sequence[str]) -> bool:
    return bool(cells) and " ".join(re.sub(r"[-_*`.:]", " ", cells[0]).casefold().split()) in _ACCURACY


def _fill_accuracy(cells: list[str], head: _Head) -> list[str]:
    """Give each figure of a short accuracy row its column: F1 or another metric, then the support."""
    metric = next(column for column in ("f1", "recall", "precision") if column in head.columns)
    filled = dict.fromkeys(head.columns, "") | {"name": cells[0]}
    values = [cell for cell in cells[1:] if cell]
    if len(values) > 1 and "support" in head.columns:
        filled["support"] = values.pop()
    if len(set(values)) != 1:
        raise _NotARow("it should hold one accuracy, and the number of samples")
    filled[metric] = values[0]
    return [filled[column] for column in head.columns]


def _accuracy(name: str, cells: dict[str, str], percent: dict[str, bool], number: int) -> Row:
    printed = {column: cells[column] for column in METRICS if cells.get(column, "").casefold() not in _MISSING}
    if len(set(printed.values())) != 1:
        raise _NotARow("it should hold one accuracy, and the number of samples")
    column, text = printed.popitem()
    total = cells.get("support", "")
    if total == text:  # a data frame repeats the accuracy in every column
        total = ""
    return Row(name, "accuracy", None, None, _figure(text, percent[column]), _support(total), number)


def _figure(text: str, percent: bool) -> Figure | None:
    plain = text.strip().casefold()
    if plain in _MISSING:
        return None
    if plain == "nan":
        return Figure(text, None, Fraction(0))
    if re.fullmatch(r"[-+]?\d*,\d+ ?%?", plain):
        plain = plain.replace(",", ".")  # a decimal comma
    found = _FIGURE.fullmatch(plain)
    if found is None:
        raise _NotARow(f"{text!r} is no figure")
    number = Decimal(found[1])
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # only nan and infinity have none, and neither gets here
    if abs(exponent) > 400 or abs(number.adjusted()) > 400:
        raise _NotARow(f"{text!r} is no share")
    scale = Fraction(1, 100) if percent or found[2] else Fraction(1)
    return Figure(text, Fraction(number) * scale, Fraction(10) ** exponent * scale)


def _support(text: str) -> int | None:
    plain = text.strip()
    if plain.casefold() in (*_MISSING, "nan"):
        return None
    if re.fullmatch(r"\d{1,3}(,\d{3})+|\d{1,3}( \d{3})+", plain):
        plain = re.sub(r"\D", "", plain)
    if re.fullmatch(r"[1-9]\d{0,2}(\.\d{3})+", plain):
        one, other = plain.rstrip("0").rstrip("."), plain.replace(".", "")
        raise _NotARow(f"the support {text!r} can be read as {one} or as {other}; write it without a point")
    if not re.fullmatch(r"\d+(\.0*)?", plain):
        raise _NotARow(f"the support {text!r} is no whole number")
    if len(plain) > 15:
        raise _NotARow(f"the support {text!r} is no number of samples")
    return int(plain.split(".")[0])


def _as_shares(rows: list[Row], percent: bool) -> tuple[list[Row], list[str]]:
    """Read figures as per cent if most are above 1 and nothing says what they are."""
    figures = [figure for row in rows for figure in row.figures.values() if figure.value is not None]
    above = sum(figure.value > 1 for figure in figures if figure.value is not None)
    if percent or any("%" in figure.text for figure in figures) or 2 * above <= len(figures):
        return rows, []
    return [_scaled(row) for row in rows], ["most figures are above 1, so all are read as per cent"]


def _scaled(row: Row) -> Row:
    changed = {
        column: Figure(figure.text, figure.value and figure.value / 100, figure.unit / 100)
        for column, figure in row.figures.items()
    }
    return replace(row, **changed)  # type: ignore[arg-type]
