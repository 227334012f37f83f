"""Claims: measured statements, each shown beside a control that must fail and judged against a declared band.

A claim holds when the measurement lies inside the band **and** the control, the same measurement of a variant
that is wrong on purpose, lies outside it. A statement that a wrong implementation or a baseline would
also pass proves nothing, so both failures raise :class:`ClaimError`. Of several values, one per seed, the mean is
judged; its interval is shown, not tested.

The line that a claim displays is a pure function of its record (:func:`render_text`, :func:`render_html`); the
record lies in the output's metadata under ``"nnzen"``, from where :func:`records_in` reads it back.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

__all__ = [
    "VERDICTS",
    "Claim",
    "ClaimError",
    "claim",
    "claims_table",
    "display_line",
    "judge",
    "records_in",
    "render_html",
    "render_table",
    "render_text",
    "same",
]

VERDICTS = ("holds", "refuted", "impossible", "not reproduced", "sharpened")
"""What a tested published claim can be; *sharpened* means true, but only under stated conditions."""

_ID = re.compile(r"\d\d/[a-z0-9]+(-[a-z0-9]+)*")
_PUBLISHED = re.compile(r"[ZCDOR]-\d\d")


class ClaimError(AssertionError):
    """A measurement outside its band, a control inside it, or a claim that was not declared properly."""


@dataclass(frozen=True)
class Claim:
    """One judged claim, in numbers that survive a round trip through JSON.

    Attributes
    ----------
    id : str
        ``"NN/slug"``: chapter number and a slug, unique in the book.
    says : str
        The statement, in one sentence without a measured number.
    measured, control : tuple of float
        One value, or one per seed, in `unit`, rounded to 6 significant digits. The control may be NaN or infinite.
    against : str
        What the control is, in words.
    low, high : float or None
        The declared band, rounded like the measurement; None where it is open.
    unit, source : str
        Unit of all numbers; where the band or the statement comes from.
    published : tuple of str
        Rows of the register of published claims that this claim decides.
    verdict : str
        What it decides about them, one of `VERDICTS`, or empty.
    study : str
        Name of the stored study that the numbers come from, or empty for a live measurement.
    tolerance : float
        How far `measured` may move on another machine, in `unit`.
    """

    id: str
    says: str
    measured: tuple[float, ...]
    control: tuple[float, ...]
    against: str
    low: float | None
    high: float | None
    unit: str = ""
    source: str = ""
    published: tuple[str, ...] = ()
    verdict: str = ""
    study: str = ""
    tolerance: float = 0.0

    def to_record(self) -> dict[str, Any]:
        """Return plain JSON types (non-finite numbers as strings), as stored in an output's metadata."""
        return {
            "id": self.id,
            "says": self.says,
            "measured": [_to_json(x) for x in self.measured],
            "control": [_to_json(x) for x in self.control],
            "against": self.against,
            "band": [self.low, self.high],
            "unit": self.unit,
            "source": self.source,
            "published": list(self.published),
            "verdict": self.verdict,
            "seeds": len(self.measured),
            "study": self.study,
            "tolerance": self.tolerance,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Claim:
        """Read a record back.

        Raises
        ------
        ValueError
            If the record lacks a field or has one that a claim does not have.
        """
        values = dict(record)
        try:
            values["low"], values["high"] = values.pop("band")
            seeds = values.pop("seeds")
            for name in ("measured", "control"):
                values[name] = tuple(float(x) for x in values[name])
            values["published"] = tuple(values["published"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a claim record ({error!r}): {dict(record)}") from error
        if set(values) != {field.name for field in fields(cls)} or seeds != len(values["measured"]):
            raise ValueError(f"not a claim record (fields or seeds are wrong): {dict(record)}")
        return cls(**values)

    @property
    def mean(self) -> float:
        """Mean of the measurement, the number that is judged."""
        return _mean(self.measured)

    @property
    def control_mean(self) -> float:
        """Mean of the control."""
        return _mean(self.control)

    def within(self, value: float) -> bool:
        """Say whether `value` lies in the band (bounds included; NaN never does)."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    @property
    def band(self) -> str:
        """The band in words, such as ``≤ 1e-6`` or ``0.99 to 1.01``."""
        unit = f" {self.unit}" if self.unit else ""
        if self.low is None:
            return f"≤ {_number(self.high)}{unit}"
        if self.high is None:
            return f"≥ {_number(self.low)}{unit}"
        return f"{_number(self.low)} to {_number(self.high)}{unit}"


def judge(
    id: str,
    says: str,
    *,
    measured: Any,
    control: Any,
    against: str,
    band: tuple[float, float] | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    unit: str = "",
    source: str = "",
    published: str | Sequence[str] = (),
    verdict: str = "",
    study: Any = None,
    tolerance: float | None = None,
) -> Claim:
    """Judge a claim without displaying it. See :func:`claim` for the parameters.

    Returns
    -------
    Claim
        The claim, which holds.

    Raises
    ------
    ClaimError
        If the measurement leaves the band, the control lies inside it, or the declaration is incomplete.
    """
    published = (published,) if isinstance(published, str) else tuple(published)
    low, high = _bounds(id, band, at_least, at_most)
    _check_words(id, says, against, published, verdict)
    numbers = _numbers(id, "measured", measured)
    if not all(map(math.isfinite, numbers)):
        raise ClaimError(f"{id}: the measurement is not finite: {list(numbers)}; repair the measurement")
    if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
        raise ClaimError(
            f"{id}: tolerance is {tolerance}; it must be a finite number, zero or more, in the claim's unit"
        )
    result = Claim(
        id=id,
        says=says,
        measured=numbers,
        control=_numbers(id, "control", control),
        against=against,
        low=low,
        high=high,
        unit=unit,
        source=source,
        published=published,
        verdict=verdict,
        study="" if study is None else study.name,
        tolerance=_default_tolerance(numbers, low, high) if tolerance is None else float(tolerance),
    )
    if not result.within(result.mean):
        raise ClaimError(f"{id}: the measurement left the band.\n  {_explain(result)}")
    if result.within(result.control_mean):
        raise ClaimError(
            f"{id}: the control lies inside the band, so the claim proves nothing.\n  {_explain(result)}\n"
            "  Choose a control that is really wrong, or a band that it cannot reach."
        )
    return result


def claim(
    id: str,
    says: str,
    *,
    measured: Any,
    control: Any,
    against: str,
    band: tuple[float, float] | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    unit: str = "",
    source: str = "",
    published: str | Sequence[str] = (),
    verdict: str = "",
    study: Any = None,
    tolerance: float | None = None,
) -> None:
    """Judge a measured statement, display one line and store its record with the output.

    Parameters
    ----------
    id : str
        Chapter number and slug, ``"06/adam-first-step"``, unique in the book.
    says : str
        The statement in one sentence, without a measured number in it.
    measured : float or sequence of float
        The measurement in `unit`; one value per seed where there are several. Their mean is judged.
    control : float or sequence of float
        The same measurement of a variant that is wrong on purpose. It must lie outside the band; NaN always does.
    against : str
        What the control is, in words: ``"the same step without bias correction"``.
    band, at_least, at_most
        Exactly one of them: what would refute the statement, fixed before the run that it judges.
    unit : str
        Unit of all these numbers: ``"%"``, ``"points"``, ``"nats"``, ``"η"``.
    source : str
        Where the statement or its band comes from: a theorem, a paper, a study.
    published : str or sequence of str
        Rows of the register of published claims that this claim decides.
    verdict : str
        What it decides about them, one of `VERDICTS`; given with `published` and only then.
    study : nnzen.studies.Study, optional
        The stored study that the numbers come from.
    tolerance : float, optional
        How far `measured` may move on another processor, in `unit`. The default, a thousandth of the measurement
        or of the band, suits mathematics; give one for everything that comes out of training.

    Raises
    ------
    ClaimError
        If the measurement leaves the band, the control lies inside it, or the declaration is incomplete.

    Examples
    --------
    >>> claim("06/half", "Half of one is one half", measured=0.5, control=1.0, against="no halving", band=(0.49, 0.51))
    ✓ 06/half: Half of one is one half. Measured ‹0.5›, band 0.49 to 0.51. Control ‹1› (no halving) lies outside.
    """
    result = judge(
        id,
        says,
        measured=measured,
        control=control,
        against=against,
        band=band,
        at_least=at_least,
        at_most=at_most,
        unit=unit,
        source=source,
        published=published,
        verdict=verdict,
        study=study,
        tolerance=tolerance,
    )
    _session[result.id] = result
    display_line(render_text(result), render_html(result), {"nnzen": result.to_record()})


# The claims of this kernel, for the table at the end of a chapter; re-running a cell replaces its claim.
_session: dict[str, Claim] = {}


def claims_table() -> None:
    """Display the claims made in this kernel, in the order in which they were made."""
    claims = list(_session.values())
    if not claims:
        raise ClaimError("no claim has been made in this kernel; run the chapter's cells from the top first")
    display_line(*render_table(claims), {})


def render_table(claims: Iterable[Claim]) -> tuple[str, str]:
    """Return the text and the HTML of the table of these claims."""
    claims = list(claims)
    rows = "".join(
        f'<tr><td><a href="#{_anchor(c.id)}">{html.escape(c.says)}</a></td>'
        f"<td>{_html_value(c.measured, c.unit)}</td><td>{html.escape(c.band)}</td>"
        f"<td>{_html_value(c.control, c.unit)}</td><td>{html.escape(_verdict_words(c))}</td></tr>"
        for c in claims
    )
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("Claim", "Measured", "Band", "Control", "Published claim")
    )
    markup = f'<table class="nz-claims"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return "\n".join(map(render_text, claims)), markup


def render_text(claim: Claim) -> str:
    """Return the claim's line for terminals and nbval; measured digits stand between ``‹`` and ``›``."""
    unit = f" {claim.unit}" if claim.unit else ""
    line = (
        f"✓ {claim.id}: {_sentence(claim.says)} Measured {_text_value(claim.measured, unit)}, band {claim.band}. "
        f"Control {_text_value(claim.control, unit)} ({claim.against}) lies outside."
    )
    return line + "".join(f" {remark}." for remark in _remarks(claim))


def render_html(claim: Claim) -> str:
    """Return the claim as HTML for people; measured digits stand in ``<b class="nz-num">``."""
    remarks = " · ".join(html.escape(remark) for remark in [*_remarks(claim), claim.id])
    verdict = f' data-verdict="{claim.verdict}"' if claim.verdict else ""
    return (
        f'<div class="nz-claim" id="{_anchor(claim.id)}"{verdict} '
        'style="border-left:4px solid #0072b2;padding:0.3em 0.9em;margin:0.4em 0">'
        f'<p class="nz-says"><strong>✓ Claim.</strong> {html.escape(_sentence(claim.says))}</p>'
        f'<p class="nz-line">Measured {_html_value(claim.measured, claim.unit)}, band {html.escape(claim.band)}. '
        f"Control {_html_value(claim.control, claim.unit)} ({html.escape(claim.against)}) lies outside.</p>"
        f'<p class="nz-meta">{remarks}</p></div>'
    )


def display_line(text: str, markup: str, metadata: dict[str, Any]) -> None:
    """Display `text` (terminals, nbval) and `markup` (people) as one output that carries `metadata`.

    Outside IPython the text is printed.
    """
    import sys

    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        print(text)
        return
    from IPython.display import display

    display({"text/plain": text, "text/html": markup}, raw=True, metadata=metadata)


def records_in(notebook: Mapping[str, Any], key: str = "nnzen") -> Iterator[dict[str, Any]]:
    """Yield the records stored under `key` in the outputs of a notebook, in order.

    Parameters
    ----------
    notebook : mapping
        A notebook as `nbformat` or `json` reads it.
    key : str
        ``"nnzen"`` for claims, ``"nnzen_test"`` for looks at a test set, ``"nnzen_study"`` for a study's measurements.
    """
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            record = output.get("metadata", {}).get(key)
            if record is not None:
                yield dict(record)


def same(stored: Claim, fresh: Claim) -> list[str]:
    """Compare a stored claim with a freshly measured one.

    Everything that is declared must be equal; the measurement may differ by the stored tolerance, the control
    by the tolerance or a hundredth of itself.

    Returns
    -------
    list of str
        The differences, in words; empty when they agree.
    """
    different = []
    for field in fields(Claim):
        old, new = getattr(stored, field.name), getattr(fresh, field.name)
        if field.name == "measured":
            allowed = stored.tolerance
        elif field.name == "control":
            allowed = max(stored.tolerance, 0.01 * max((abs(x) for x in old if math.isfinite(x)), default=0.0))
        elif field.name == "tolerance" and not math.isclose(old, new, rel_tol=0.1, abs_tol=1e-12):
            different.append(f"{stored.id}: tolerance was {old:g}, is {new:g}")
            continue
        elif field.name == "tolerance" or old == new:
            continue
        else:
            different.append(f"{stored.id}: {field.name} was {old!r}, is {new!r}")
            continue
        if len(old) != len(new) or not all(_near(a, b, allowed) for a, b in zip(old, new, strict=True)):
            different.append(
                f"{stored.id}: {field.name} was {list(old)}, is {list(new)}; "
                f"they may differ by {_number(allowed)} {stored.unit}".rstrip()
            )
    return different


# --- declarations -------------------------------------------------------------------------------------------


def _bounds(
    id: str, band: tuple[float, float] | None, at_least: float | None, at_most: float | None
) -> tuple[float | None, float | None]:
    if sum(x is not None for x in (band, at_least, at_most)) != 1:
        raise ClaimError(f"{id}: give exactly one of band=(low, high), at_least= and at_most=")
    low, high = band if band is not None else (at_least, at_most)
    for bound in (low, high):
        if bound is not None and not math.isfinite(bound):
            raise ClaimError(f"{id}: a bound of the band is {bound}; it must be a finite number")
    if low is not None and high is not None and not low <= high:
        raise ClaimError(f"{id}: the band ({low}, {high}) is empty; its first bound must be the lower one")
    return (None if low is None else _rounded(low)), (None if high is None else _rounded(high))


def _check_words(id: str, says: str, against: str, published: tuple[str, ...], verdict: str) -> None:
    if not _ID.fullmatch(id):
        raise ClaimError(
            f"claim id {id!r} must be the chapter's two digits, a slash and a slug, such as '06/adam-step'"
        )
    for name, words in (("says", says), ("against", against)):
        if not words.strip() or "\n" in words:
            raise ClaimError(f"{id}: {name} is {words!r}; it must be one line of words")
    for row in published:
        if not _PUBLISHED.fullmatch(row):
            raise ClaimError(f"{id}: published row {row!r} must look like 'Z-09'")
    if bool(published) != bool(verdict):
        raise ClaimError(f"{id}: give published= and verdict= together; got {published} and {verdict!r}")
    if verdict and verdict not in VERDICTS:
        raise ClaimError(f"{id}: verdict {verdict!r} is unknown; it must be one of {', '.join(VERDICTS)}")


def _numbers(id: str, name: str, values: Any) -> tuple[float, ...]:
    import numpy as np

    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ClaimError(f"{id}: {name} is {values!r}; it must be a number or one number per seed") from error
    if array.ndim > 1 or array.size == 0:
        raise ClaimError(f"{id}: {name} has shape {array.shape}; it must be a number or one number per seed")
    return tuple(_rounded(x) for x in np.atleast_1d(array))


def _rounded(x: float) -> float:
    """Six significant digits: the others belong to the processor, also those of a bound that was computed."""
    return float(f"{x:.6g}")


def _default_tolerance(numbers: tuple[float, ...], low: float | None, high: float | None) -> float:
    bounds = [x for x in (low, high) if x is not None]
    width = bounds[1] - bounds[0] if len(bounds) == 2 else abs(bounds[0])
    return float(f"{1e-3 * max(width, *map(abs, numbers)):.1e}")


# --- words and numbers --------------------------------------------------------------------------------------


def _mean(values: tuple[float, ...]) -> float:
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else sum(values) / len(values)


def _near(a: float, b: float, allowed: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or abs(a - b) <= allowed


def _to_json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _number(value: float | None) -> str:
    """Four significant digits, without an exponent where people do not need one."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return {"inf": "∞", "-inf": "−∞"}.get(str(value), "NaN")
    if value == int(value) and abs(value) < 1e7:
        return str(int(value)).replace("-", "−")
    digits = f"{value:.4g}"
    if "e" in digits:
        digits = f"{value:.2e}" if abs(value) < 1 or abs(value) >= 1e7 else f"{value:.0f}"
        mantissa, _, exponent = digits.partition("e")
        if exponent:
            digits = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return digits.replace("-", "−")


def _interval(values: tuple[float, ...]) -> tuple[float, float] | None:
    if len(values) < 2 or not all(abs(x) < 1e100 for x in values):
        return None  # one value, NaN, infinite, or so large that its square overflows
    from nnzen.evaluation import mean_interval

    interval = mean_interval(values)
    return interval.low, interval.high


def _text_value(values: tuple[float, ...], unit: str) -> str:
    if len(values) == 1:
        return f"‹{_number(values[0])}›{unit}"
    interval = _interval(values)
    spread = f", 95 % interval ‹{_number(interval[0])}› to ‹{_number(interval[1])}›" if interval else ""
    return f"‹{_number(_mean(values))}›{unit} (mean of {len(values)}{spread})"


def _html_value(values: tuple[float, ...], unit: str) -> str:
    text = html.escape(_text_value(values, f" {unit}" if unit else ""))
    return text.replace("‹", '<b class="nz-num">').replace("›", "</b>")


def _sentence(words: str) -> str:
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _verdict_words(claim: Claim) -> str:
    return f"{', '.join(claim.published)}: {claim.verdict}" if claim.published else ""


def _remarks(claim: Claim) -> list[str]:
    remarks = []
    if claim.published:
        remarks.append(f"Published {_verdict_words(claim)}")
    if claim.study:
        remarks.append(f"From study {claim.study}")
    if claim.source:
        remarks.append(f"Source: {claim.source.rstrip('.')}")
    return remarks


def _anchor(id: str) -> str:
    return f"claim-{id.replace('/', '-')}"


def _explain(claim: Claim) -> str:
    unit = f" {claim.unit}" if claim.unit else ""
    parts: Iterable[str] = (
        f"says:     {claim.says}",
        f"measured: {_text_value(claim.measured, unit)}",
        f"band:     {claim.band}",
        f"control:  {_text_value(claim.control, unit)} ({claim.against})",
        f"source:   {claim.source or 'none given'}",
    )
    return "\n  ".join(parts)
