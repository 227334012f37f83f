"""A classification report as text, HTML and JSON; :mod:`nnzen.classification` is the public face."""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nnzen._classification_figures import Measure, ReliabilityBin, ReportRow
from nnzen.predictors import Latency, ModelSize

if TYPE_CHECKING:
    from nnzen.classification import ClassificationReport

__all__ = ["from_json", "gathered", "percent", "to_html", "to_json", "to_text"]

_FORMAT = "nnzen classification report 1"
_SHOWN = 20  # classes, at most, of a confusion matrix that is printed


# --- text and HTML ------------------------------------------------------------------------------------------


def to_text(found: ClassificationReport) -> str:
    """Return the figures in tables that are lines, and the notes."""
    tables = [_text_table(table) for table in _tables(found)]
    return "\n\n".join([_summary(found), *tables, *(["\n".join(found.notes)] if found.notes else [])])


def to_html(found: ClassificationReport) -> str:
    """Return tables, notes and figures, each figure with alt text."""
    from nnzen.classification_plots import pictures

    tables = "".join(_html_table(table) for table in _tables(found))
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in found.notes)
    figures = "".join(
        f'<img src="data:image/png;base64,{base64.b64encode(p.png).decode()}" alt="{html.escape(p.alt)}" '
        f'width="{p.width}" style="max-width: 100%; vertical-align: top">'
        for p in pictures(found)
    )
    return (
        f'<div class="nz-report"><p>{html.escape(_summary(found))}</p>{tables}'
        f"{f'<ul>{notes}</ul>' if notes else ''}<div>{figures}</div></div>"
    )


class _Table(NamedTuple):
    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def percent(fraction: float) -> str:
    """Return a share in per cent."""
    return f"{100 * fraction:.4g} %"


def _summary(found: ClassificationReport) -> str:
    return (
        f"{len(found.labels)} images, {len(found.classes)} classes, from {found.kind}. In brackets: "
        f"{percent(found.confidence)} intervals, Wilson's of proportions, otherwise by {found.resamples} resamples "
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
    if found.size is not None:
        tables.append(_Table("What it takes", ("figure", "value"), _costs(found.size, found.latency)))
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


def _costs(size: ModelSize, latency: Latency | None) -> list[tuple[str, str]]:
    counts = [
        ("parameters", size.parameters),
        ("FLOP for one image", size.flop),
        (f"bytes of the {size.stored_as}", size.stored_bytes),
    ]
    rows = [(name, "unknown" if count is None else f"{count:,}") for name, count in counts]
    if latency is not None:
        rows += [(f"latency of one image, {name}, ms", shown) for name, shown in latency.rows()]
        rows.append((f"left out: {latency.warm_up_calls} calls that warm up, s", f"{latency.warm_up_seconds:.2g}"))
    return rows


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


def gathered(found: ClassificationReport) -> list[str]:
    """All notes of the figures, each once, with the names of its figures."""
    named = _overall(found)
    if found.latency is not None:
        named += [(f"latency {name}", getattr(found.latency, name)) for name in ("p50", "p95", "p99")]
    for row in (*found.rows, *found.averages):
        figures = ("precision", "recall", "f1", "roc_auc", "average_precision")
        titles = ("precision", "recall", "F1", "ROC AUC", "average precision")
        measures = [(title, getattr(row, figure)) for figure, title in zip(figures, titles, strict=True)]
        named += [(f"{title} of {row.name}", measure) for title, measure in measures if measure is not None]
    notes: dict[str, list[str]] = {}
    for name, measure in named:
        if measure.note:
            notes.setdefault(measure.note, []).append(name)
    size = [found.size.note] if found.size is not None and found.size.note else []
    return [*size, *(f"{', '.join(names)}: {note}" for note, names in notes.items())]


# --- JSON ---------------------------------------------------------------------------------------------------


def to_json(found: ClassificationReport) -> str:
    """Return everything but probabilities and images as strict JSON."""
    mistakes = tuple(replace(mistake, image=None) for mistake in found.mistakes)
    content = asdict(replace(found, probabilities=None, mistakes=mistakes))
    del content["probabilities"]
    for mistake in content["mistakes"]:
        del mistake["image"]
    content = {"format": _FORMAT, **content, "confusion": found.confusion}
    return json.dumps(_plain(content), allow_nan=False, ensure_ascii=False)


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


def from_json(kind: type[ClassificationReport], text: str) -> ClassificationReport:
    """Read what `to_json` wrote, or say what is wrong with it."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"this is no JSON: {error}") from error
    if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
        raise ValueError(f"this is no report that was stored as {_FORMAT!r}")
    try:
        matrix = content.pop("confusion")
        found = kind(**_fields(content))
        same = found.confusion.tolist() == matrix
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"this stored report is damaged: {error!r}") from error
    if not same:
        raise ValueError("this stored report is damaged: its confusion matrix is not that of its labels")
    return found


def _fields(content: dict[str, Any]) -> dict[str, Any]:
    """Turn what JSON holds into what the fields of a report hold."""
    from nnzen.classification import Mistake

    for name in ("labels", "predicted"):
        content[name] = np.array(content[name], dtype=np.int64)
    for name in ("accuracy", "balanced_accuracy", "nll", "brier", "ece"):
        content[name] = _measure(content[name])
    content["top_k"] = {int(k): _measure(found) for k, found in content["top_k"].items()}
    content["classes"], content["notes"] = tuple(content["classes"]), tuple(content["notes"])
    content["mistakes"] = tuple(Mistake(**mistake) for mistake in content["mistakes"])
    content["reliability"] = tuple(
        ReliabilityBin(**{**b, "confidence": _number(b["confidence"]), "accuracy": _measure(b["accuracy"])})
        for b in content["reliability"]
    )
    for name in ("rows", "averages"):
        content[name] = tuple(ReportRow(**_measures(row)) for row in content[name])
    if content["size"] is not None:
        content["size"] = ModelSize(**content["size"])
    if content["latency"] is not None:
        content["latency"] = Latency(**_measures(content["latency"]))
    return content


def _measures(found: dict[str, Any]) -> dict[str, Any]:
    return {key: _measure(value) if isinstance(value, dict) else value for key, value in found.items()}


def _measure(found: dict[str, Any] | None) -> Measure | None:
    if found is None:
        return None
    value, low, high = (_number(found[key]) for key in ("value", "low", "high"))
    return Measure(value, low, high, found["method"], found["note"])


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
