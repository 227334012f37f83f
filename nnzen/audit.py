r"""Is a published classification report possible? Proofs from the printed digits alone.

A row of a report says of one class: precision :math:`P = t/m`, recall :math:`R = t/n` and
:math:`F_1 = 2PR/(P + R) = 2t/(n + m)`, where :math:`t` images of the class were found (true positives), :math:`m` were
predicted to be of the class and :math:`n` are (its support). All three are whole numbers, :math:`t \le \min(n, m)`, and
what is printed is rounded. So a row can be refuted twice over: by *intervals* (no :math:`P`, :math:`R` within their
rounding give the :math:`F_1` within its own) and by *search* (no whole numbers do). Of all rows together: averages are
averages, and where each sample has one label, supports and predictions both add up to the number of samples, what a
class is wrongly predicted for is missed by the others, and accuracy, micro averages and weighted recall are one number.

**A verdict is about one check.** *Impossible* is a proof under the assumptions below. *Possible* means that this check
finds nothing, and for rows that whole numbers were found; it never says that the report is true, nor that all checks
could be met at once. *Undecidable* says what is missing.

**Assumed is** that figures count whole samples, all of weight 1, and that each was rounded to its last printed digit:
``rounding="nearest"`` gives it half a unit on both sides, ends included, so that every rule for ties is covered;
``"cut"`` one unit upwards (digits were dropped); ``"any"`` both. Each end is moved out by :math:`10^{-12}` more for
the error of sums in double precision. Where 0/0 occurs (nothing predicted, or nothing there), 0, 1 and ``nan`` are all
taken for what a program may print.

**The search** has no double loop. For a given :math:`t` each printed figure leaves an interval of :math:`m`, bounded by
lines that rise with :math:`t`; pairs of lines bound :math:`t`, and for each :math:`t` left the intervals are
intersected. Where too many are left, some are tried: that can show a row possible, never impossible.

References
----------
Brown & Heathers (2017), https://doi.org/10.1177/1948550616673876, who test means of whole numbers for granularity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from nnzen._tables import html_table
from nnzen.reports import METRICS, Figure, Report, Row, _Shown, parse

__all__ = ["ROUNDINGS", "VERDICTS", "Audit", "Finding", "audit"]

VERDICTS = ("impossible", "undecidable", "possible")
"""What a check can find."""

ROUNDINGS = ("nearest", "cut", "any")
"""How the figures may have been rounded: to the nearest with any rule for ties, by dropping digits, or either."""

_SLACK = Fraction(1, 10**12)  # the error of sums in double precision
_STEPS = 300_000  # numbers of true positives looked at, in one audit
_RUNS = 20_000  # intervals that a set of sums may have

Interval = tuple[Fraction, Fraction]


# --- what was found -----------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Finding(_Shown):
    """The outcome of one check.

    Attributes
    ----------
    subject : str
        The row, or ``"all rows"``.
    check : str
        ``"row"``, or ``"precision"``, ``"predicted counts"``, …
    verdict : str
        One of `VERDICTS`.
    why : str
        The proof, the witness or what is missing, in a sentence.
    witness : tuple of (int, int)
        True positives and predictions that print as reported: of the row, or of each class in order; else empty.
    """

    subject: str
    check: str
    verdict: str
    why: str
    witness: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        return f"{self.verdict:11}  {_title(self)}: {self.why}"


def _title(finding: Finding) -> str:
    return finding.subject if finding.check == "row" else f"{finding.subject}, {finding.check}"


@dataclass(frozen=True, repr=False)
class Audit(_Shown):
    """All findings about one report.

    Attributes
    ----------
    report : Report
        What was audited; supports that were given instead of the printed ones are in it.
    findings : tuple of Finding
        The rows first, then the averages and all rows together.
    assumptions : str
        Under which the proofs hold.
    """

    report: Report
    findings: tuple[Finding, ...]
    assumptions: str

    def of(self, verdict: str) -> tuple[Finding, ...]:
        """Return the findings with one of the `VERDICTS`.

        Raises
        ------
        ValueError
            If there is no such verdict.
        """
        if verdict not in VERDICTS:
            raise ValueError(f"verdict is {verdict!r}; it must be one of {', '.join(VERDICTS)}")
        return tuple(finding for finding in self.findings if finding.verdict == verdict)

    @property
    def verdict(self) -> str:
        """The worst of all findings; *possible* if no check found anything, *undecidable* if nothing was checked."""
        return next((verdict for verdict in VERDICTS if self.of(verdict)), "undecidable")

    def _summary(self) -> str:
        counts = ", ".join(f"{len(self.of(verdict))} {verdict}" for verdict in VERDICTS)
        return f"{self.verdict} ({len(self.findings)} checks: {counts})"

    def _remarks(self) -> tuple[str, ...]:
        return (*map(str, self.report.unread), *self.report.notes, self.assumptions)

    def __str__(self) -> str:
        return "\n".join([self._summary(), *map(str, self.findings), *self._remarks()])

    def _repr_html_(self) -> str:
        rows = [(finding.verdict, _title(finding), finding.why) for finding in self.findings]
        remarks = (self._summary(), *self._remarks())
        return html_table("nz-audit", ("verdict", "what", "why"), rows, remarks=remarks)


# --- intervals ----------------------------------------------------------------------------------------------


def _interval(figure: Figure | None, rounding: str) -> Interval | None:
    """Return what a figure may have been before it was rounded, within 0 and 1; None if it is missing or ``nan``.

    A figure that no share rounds to gets an interval whose ends are in the wrong order.
    """
    if figure is None or figure.value is None:
        return None
    below = Fraction(0) if rounding == "cut" else figure.unit / 2
    above = figure.unit / 2 if rounding == "nearest" else figure.unit
    return max(Fraction(0), figure.value - below - _SLACK), min(Fraction(1), figure.value + above + _SLACK)


def _meet(a: Interval, b: Interval) -> bool:
    return max(a[0], b[0]) <= min(a[1], b[1])


def _f1(p: Fraction, r: Fraction) -> Fraction:
    return 2 * p * r / (p + r) if p + r else Fraction(0)


def _allows(interval: Interval | None, *values: int) -> bool:
    return interval is None or any(interval[0] <= value <= interval[1] for value in values)


def _decimal(x: Fraction, digits: int) -> str:
    with localcontext() as context:
        context.prec = 60
        number = Decimal(x.numerator) / Decimal(x.denominator)
        return str(number.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN))


def _span(interval: Interval, digits: int) -> str:
    return f"{_decimal(interval[0], digits)} to {_decimal(interval[1], digits)}"


def _apart(what: str, derived: Interval, printed: str, own: Interval) -> str:
    """Say that two intervals do not meet, with as many digits as it takes to see it."""
    digits = next(
        (k for k in range(4, 12) if abs(round(max(derived[0], own[0]), k) - round(min(derived[1], own[1]), k)) > 0), 12
    )
    return f"{what} is {_span(derived, digits)}, but {printed} is {_span(own, digits)} before rounding"


# --- whole numbers ------------------------------------------------------------------------------------------


class _Printed(NamedTuple):
    """What a row's figures say: intervals, None where nothing is said, and the columns that are ``nan``."""

    precision: Interval | None
    recall: Interval | None
    f1: Interval | None
    undefined: frozenset[str]


class _Band(NamedTuple):
    """For one number of true positives, the least and the largest number of predictions (None: any)."""

    found: int
    least: int
    most: int | None


class _Counts(NamedTuple):
    """What a search found: bands in rising order, and whether they are all there are."""

    bands: list[_Band]
    complete: bool


def _printed(row: Row, rounding: str) -> _Printed:
    undefined = frozenset(column for column, figure in row.figures.items() if figure.value is None)
    precision, recall, f1 = (_interval(getattr(row, column), rounding) for column in METRICS)
    return _Printed(precision, recall, f1, undefined)


def _search(printed: _Printed, n: int, steps: int) -> _Counts:
    """Find the whole numbers, true positives and predictions, that print as a row of support n does."""
    bands = _nothing_found(printed, n)
    low, high = _found_range(printed, n)
    lower, upper = _lines(printed, n)
    for a, b, c in lower:  # a t / b + c ≤ d t / e + f, for each pair of lines
        for d, e, f in upper:
            slope, room = a * e - d * b, (f - c) * b * e
            if slope > 0:
                high = min(high, room // slope)
            elif slope < 0:
                low = max(low, -(room // -slope))
            elif room < 0:
                high = low - 1
    if high - low < steps:
        return _Counts(bands + _bands(range(low, high + 1), lower, upper), True)
    # Too many: some from both ends and from the middle.
    part, middle = steps // 3, (low + high) // 2
    tried = (range(low, low + part), range(middle, middle + part), range(high - part + 1, high + 1))
    return _Counts(bands + [band for numbers in tried for band in _bands(numbers, lower, upper)], False)


def _nothing_found(printed: _Printed, n: int) -> list[_Band]:
    """Return the band of no true positives: here 0/0 occurs, and 0, 1 and nan are all printed for it."""
    p, r, f, undefined = printed
    if not (("recall" in undefined and n == 0) or ("recall" not in undefined and _allows(r, *((0,) if n else (0, 1))))):
        return []
    none = ("precision" in undefined or _allows(p, 0, 1)) and (
        "f1" in undefined or _allows(f, *((0,) if n else (0, 1)))
    )
    some = "precision" not in undefined and _allows(p, 0) and ("f1" in undefined or _allows(f, 0))
    return [_Band(0, 0 if none else 1, None if some else 0)] if none or some else []


def _found_range(printed: _Printed, n: int) -> tuple[int, int]:
    """Return the least and the largest number of true positives, from 1, that the recall leaves."""
    if printed.undefined:
        return 1, 0
    low, high = (Fraction(0), Fraction(1)) if printed.recall is None else printed.recall
    return max(1, ceil(low * n)), floor(high * n)


_Line = tuple[int, int, int]  # a, b, c of the line a t / b + c


def _lines(printed: _Printed, n: int) -> tuple[list[_Line], list[_Line]]:
    """Return the lines that bound the predictions from below and from above, in terms of the true positives."""
    lower: list[_Line] = [(1, 1, 0)]
    upper: list[_Line] = []
    for interval, factor, less in ((printed.precision, 1, 0), (printed.f1, 2, n)):
        if interval is not None:
            low, high = interval
            if high > 0:
                lower.append((factor * high.denominator, high.numerator, -less))
            else:
                upper.append((0, 1, -1))  # a true positive makes it more than 0
            if low > 0:
                upper.append((factor * low.denominator, low.numerator, -less))
    return lower, upper


def _bands(numbers: range, lower: Sequence[_Line], upper: Sequence[_Line]) -> list[_Band]:
    bands = []
    for t in numbers:
        least = max([-(-a * t // b) + c for a, b, c in lower])
        most = min([a * t // b + c for a, b, c in upper]) if upper else None
        if most is None or least <= most:
            bands.append(_Band(t, least, most))
    return bands


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join intervals of whole numbers that overlap or touch."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


_Sets = list[list[tuple[int, int]]]


def _sums(sets: _Sets) -> _Sets | None:
    """Return what the first 0, 1, 2, … of these sets of whole numbers can add up to; None if that takes too long."""
    sums = [[(0, 0)]]
    for one in sets:
        if len(one) * len(sums[-1]) > _RUNS:
            return None
        sums.append(_merged((a + c, b + d) for a, b in one for c, d in sums[-1]))
    return sums


def _parts(total: int, sets: _Sets, sums: _Sets) -> list[int]:
    """Return one number of each set, such that they add up to the total, which must be among the last sums."""
    parts = []
    for one, before in zip(reversed(sets), reversed(sums[:-1]), strict=True):
        shares = ((max(a, total - d), min(b, total - c)) for a, b in one for c, d in before)
        low, high = next((low, high) for low, high in shares if low <= high)
        parts.append((low + high) // 2)
        total -= parts[-1]
    return parts[::-1]


# --- one row ------------------------------------------------------------------------------------------------


def _check_row(row: Row, rounding: str, steps: int) -> tuple[Finding, _Counts | None]:
    """Judge a row alone; the counts are what its search found, None where it did not come to a search."""

    def finding(verdict: str, why: str, *witness: tuple[int, int]) -> Finding:
        return Finding(row.name, "row", verdict, why, witness)

    printed = _printed(row, rounding)
    wrong = _out_of_range(row, printed) or _intervals_apart(row, printed)
    if wrong:
        return finding("impossible", wrong), None
    if row.support is None:
        return finding("undecidable", "no support is printed, and the rounding intervals alone do not refute it"), None
    counts = _search(printed, row.support, steps)
    if counts.bands:
        t, least, most = counts.bands[len(counts.bands) // 2]
        m = least if most is None else (least + most) // 2
        why = f"{t:,} true positives among {m:,} predictions and {row.support:,} samples print so"
        return finding("possible", why, (t, m)), counts
    if counts.complete:
        return finding("impossible", _no_whole_numbers(row, printed, row.support)), counts
    return finding("undecidable", f"more than {steps:,} numbers of true positives would have to be tried"), counts


def _out_of_range(row: Row, printed: _Printed) -> str:
    for column, figure in row.figures.items():
        interval = getattr(printed, column)
        if interval is not None and interval[0] > interval[1]:
            return f"{column} {figure} is no share: it must lie between 0 and 1"
    return ""


def _intervals_apart(row: Row, printed: _Printed) -> str:
    p, r, f, _ = printed
    if p is None or r is None or f is None:
        return ""
    derived = _f1(p[0], r[0]), _f1(p[1], r[1])  # it rises with both
    if _meet(derived, f):
        return ""
    what = f"2PR/(P + R) for precision {row.precision} and recall {row.recall}"
    return _apart(what, derived, f"F1 {row.f1}", f)


def _no_whole_numbers(row: Row, printed: _Printed, n: int) -> str:
    """Say why no whole numbers print so: the number of true positives that comes nearest, and what it lacks."""
    low, high = _found_range(printed, n)
    zero = printed.recall is None or printed.recall[0] <= 0
    if low > high and not zero:
        assert printed.recall is not None
        below = floor(printed.recall[0] * n)
        near = " and ".join(
            f"{t:,}/{n:,} = {_decimal(Fraction(t, n), 5)}" for t in (below, below + 1) if 0 <= t <= n > 0
        )
        return f"no whole number of {n:,} samples makes recall {row.recall}" + (f": {near}" if near else "")
    if low > high:
        figures = " and ".join(f"{METRICS[column]} {figure}" for column, figure in row.figures.items())
        return (
            f"a support of {n:,} leaves no true positives, so that precision, recall and F1 are 0, or 0/0 (printed as "
            f"0, 1 or nan), but {figures} are printed"
        )
    t = min(range(low, high + 1, 1 + (high - low) // 5000), key=lambda t: _distance(printed, n, t))
    spans = _predictions(printed, n, t)
    takes = [f"{METRICS[column]} {getattr(row, column)} takes {_number_of(span)}" for column, span in spans.items()]
    if any(most is not None and most < t for _, most in spans.values()):
        takes.append(f"they are at least {t:,}")
    first = 0 if zero else low
    source = f"support {n:,}" if row.recall is None else f"recall {row.recall} of {n:,}"
    nearest = (
        f"; with {t:,}, {'which comes nearest' if high - low < 5000 else 'for example'}, " if first < high else ", and "
    )
    return f"{source} leaves {_whole(first, high)} true positives{nearest}{' and '.join(takes)} predictions"


def _predictions(printed: _Printed, n: int, t: int) -> dict[str, tuple[int, int | None]]:
    """Return the predictions that precision and F1, each by itself, take with t true positives."""
    spans: dict[str, tuple[int, int | None]] = {}
    for column, interval, factor, less in (("precision", printed.precision, 1, 0), ("f1", printed.f1, 2, n)):
        if interval is not None and interval[1] > 0:
            low, high = interval
            most = floor(factor * t / low) - less if low > 0 else None
            spans[column] = ceil(factor * t / high) - less, most
        elif interval is not None:
            spans[column] = 1, 0
    return spans


def _distance(printed: _Printed, n: int, t: int) -> int:
    spans = _predictions(printed, n, t).values()
    least = max([t, *(low for low, _ in spans)])
    most = min([high for _, high in spans if high is not None], default=least)
    return least - most


def _number_of(span: tuple[int, int | None]) -> str:
    low, high = span
    if high is None:
        return f"at least {low:,}"
    return "no whole number" if low > high else _whole(low, high)


def _whole(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


# --- all rows -----------------------------------------------------------------------------------------------


class _Table(NamedTuple):
    """What the checks of all rows share."""

    report: Report
    rounding: str
    single: bool | None  # one label a sample, and all classes listed; None: not known
    total: int | None  # samples, if all supports are known
    counts: list[_Counts | None]
    steps: int

    @property
    def bands(self) -> list[list[_Band]]:
        return [counts.bands for counts in self.counts if counts is not None]

    @property
    def complete(self) -> bool:
        return all(counts is not None and counts.complete for counts in self.counts)

    @property
    def refuted(self) -> list[str]:
        return [
            row.name
            for row, counts in zip(self.report.classes, self.counts, strict=True)
            if counts is None or not counts.bands
        ]


def audit(
    table: str | Report,
    *,
    support: int | Iterable[int] | Mapping[str, int] | None = None,
    single_label: bool | None = None,
    rounding: str = "nearest",
) -> Audit:
    """Prove which rows and averages of a published classification report are impossible.

    Parameters
    ----------
    table : str or Report
        As printed, see :func:`nnzen.reports.parse`.
    support : int, iterable of int, mapping of str to int, or None
        Samples of each class, instead of what is printed: one number for all, one for each in order, or by name.
    single_label : bool or None
        Whether each sample has one label and one prediction, and all classes are listed. None infers it: yes if there
        is a row for accuracy, no if there is one for averages over samples, else it is not known, and what would be
        impossible only then is called undecidable.
    rounding : str
        One of `ROUNDINGS`.

    Returns
    -------
    Audit

    Raises
    ------
    TypeError
        If `table` is neither a string nor a `Report`, or `single_label` is no truth value.
    ValueError
        If no table can be read, or another argument is out of range.

    Examples
    --------
    >>> report = '''
    ...              precision    recall  f1-score   support
    ...         cat      0.900     0.800     0.847      1000
    ...         dog      0.870     0.835     0.841      1000
    ... '''
    >>> for finding in audit(report).findings[:2]:
    ...     print(finding)
    possible     cat: 800 true positives among 889 predictions and 1,000 samples print so
    impossible   dog: 2PR/(P + R) for precision 0.870 and recall 0.835 is 0.8516 to 0.8526, but F1 0.841 is 0.8405 to
    0.8415 before rounding
    """
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding is {rounding!r}; it must be one of {', '.join(ROUNDINGS)}")
    if single_label not in (None, True, False):
        raise TypeError(f"single_label is {single_label!r}; it must be True, False or None")
    if not isinstance(table, str | Report):
        raise TypeError(f"table is of the type {type(table).__name__}; it must be the printed text, or a Report")
    report = parse(table) if isinstance(table, str) else table
    if not report.rows:
        raise ValueError("the report has no rows")
    if support is not None:
        report = _with_support(report, support)
    steps = max(200, _STEPS // len(report.rows))
    judged = [_check_row(row, rounding, steps) for row in report.classes]
    supports = [row.support for row in report.classes]
    total = None if None in supports or not supports else sum(n for n in supports if n is not None)
    single = _single(report) if single_label is None else bool(single_label)
    shared = _Table(report, rounding, single, total, [counts for _, counts in judged], steps)
    return Audit(report, (*(finding for finding, _ in judged), *_check_all(shared)), _assumptions(rounding, single))


def _single(report: Report) -> bool | None:
    kinds = {row.kind for row in report.rows}
    return False if "samples" in kinds else True if "accuracy" in kinds else None


def _assumptions(rounding: str, single: bool | None) -> str:
    how = {
        "nearest": "figures were rounded to the nearest, ties either way",
        "cut": "digits were dropped",
        "any": "figures were rounded to the nearest or cut off",
    }[rounding]
    labels = {
        True: "each sample has one label",
        False: "samples may have several labels",
        None: "samples may have several labels or one that is not listed",
    }[single]
    return f"Assumed: {how}; {labels}; all classes that count are listed; samples are whole and weigh the same."


def _with_support(report: Report, support: int | Iterable[int] | Mapping[str, int]) -> Report:
    names = [row.name for row in report.classes]
    if isinstance(support, Mapping):
        if len(set(names)) < len(names):
            raise ValueError("support is given by name, but two classes have the same name; give it in order")
        unknown = [name for name in support if name not in names]
        lacking = [name for name in names if name not in support]
        if unknown or lacking:
            what = f"no class {unknown[0]!r}" if unknown else f"class {lacking[0]!r}, for which support has no number"
            raise ValueError(f"the report has {what}; its classes are {', '.join(names)}")
        given = [support[name] for name in names]
    elif isinstance(support, str) or not isinstance(support, Iterable):
        given = [support] * len(names)
    else:
        given = list(support)
    if len(given) != len(names):
        raise ValueError(f"support has {len(given)} numbers; the report has {len(names)} classes")
    for n in given:
        if isinstance(n, bool) or not hasattr(n, "__index__") or n < 0:
            raise ValueError(f"support is {n!r}; it must be a whole number of samples, at least 0")
    numbers = iter(given)
    rows = (replace(row, support=int(next(numbers)) if row.kind == "class" else None) for row in report.rows)
    return replace(
        report, rows=tuple(rows), notes=(*report.notes, "supports were given, the printed ones are not used")
    )


def _check_all(table: _Table) -> list[Finding]:
    findings = _check_totals(table)
    hidden = _hidden(table)
    if hidden:
        why = f"{hidden}, so nothing can be said of averages and sums"
        findings.append(Finding("all rows", "averages and sums", "undecidable", why))
    else:
        findings += _check_predicted(table)
    for row in table.report.rows:
        if row.kind != "class":
            findings += _check_average(row, table, bool(hidden))
    return findings + _check_equal(table)


def _hidden(table: _Table) -> str:
    """Say why the classes read may not be all that were printed."""
    if not table.report.classes:
        return "there is no row of a class"
    lines = [str(unread.line) for unread in table.report.unread if unread.hides]
    if lines:
        return f"line {', '.join(lines)} was not understood and may hold a class"
    if table.total is not None and any(n > table.total for _, n in _totals(table)):
        return "by the total support a class may be missing"
    return ""


def _totals(table: _Table) -> list[tuple[str, int]]:
    """Return the printed numbers of all samples; the one for averages over samples may count differently."""
    others = (row for row in table.report.rows if row.kind not in ("class", "samples"))
    return [(row.name, row.support) for row in others if row.support is not None]


def _check_totals(table: _Table) -> list[Finding]:
    printed = _totals(table)
    if not printed or not table.report.classes:
        return []

    def finding(verdict: str, why: str) -> list[Finding]:
        return [Finding("all rows", "total support", verdict, why)]

    if len({n for _, n in printed}) > 1:
        return finding("impossible", f"there are several totals: {', '.join(f'{name} {n:,}' for name, n in printed)}")
    if any(unread.hides for unread in table.report.unread):
        return finding("undecidable", "a line that was not understood may hold a class")
    if table.total is None:
        return finding("undecidable", "a class has no support printed")
    name, n = printed[0]
    if n != table.total:
        return finding("impossible", f"the supports of the classes add up to {table.total:,}, but {name} says {n:,}")
    return finding("possible", f"the supports of the classes add up to {n:,}, as printed")


# --- predictions of all rows --------------------------------------------------------------------------------


def _check_predicted(table: _Table) -> list[Finding]:
    """Must the predictions of all classes add up to the number of samples, and can they?"""
    if table.single is False or not any(row.precision or row.f1 for row in table.report.classes):
        return []

    def finding(verdict: str, why: str, witness: Iterable[tuple[int, int]] = ()) -> list[Finding]:
        if verdict == "impossible" and table.single is None:
            verdict = "undecidable"
            why += ": impossible if each sample has one label and all classes are listed (single_label=True)"
        return [Finding("all rows", "predicted counts", verdict, why, tuple(witness))]

    total = table.total
    if total is None:
        return finding("undecidable", "a class has no support printed")
    low, high = _predicted_by_intervals(table, total)
    allowed = f"add up to {_whole(ceil(low), floor(high))}{_predicted_as_printed(table)}"
    if not low <= total <= high:
        return finding("impossible", f"the predictions, support × recall / precision, {allowed}, not to {total:,}")
    if table.refuted:
        why = f"by the rounding intervals, predictions {allowed}, so {total:,} is not refuted"
        return finding(
            "undecidable", f"{why}, and whole numbers cannot be tried: there are none for {_some(table.refuted)}"
        )
    sets = [
        _merged(
            (band.least, total if band.most is None else min(total, band.most)) for band in bands if band.least <= total
        )
        for bands in table.bands
    ]
    verdict, sums, why = _add_up(table, sets, total, total)
    if verdict != "possible":
        return finding(verdict, f"whole predictions that print as the rows do {why}")
    wrong = _errors_apart(table) if table.complete else ""
    if wrong:
        return finding("impossible", wrong)
    if len(sets) == 2:
        return _check_two_classes(table, finding)
    predicted = _parts(total, sets, sums)
    witness = [
        (next(band.found for band in bands if band.least <= m and (band.most is None or m <= band.most)), m)
        for m, bands in zip(predicted, table.bands, strict=True)
    ]
    return finding("possible", f"whole predictions that print as the rows do can add up to {total:,}", witness)


def _add_up(table: _Table, sets: _Sets, low: int, high: int) -> tuple[str, _Sets, str]:
    """Judge whether one number of each set can add up to low … high; return the verdict, all sums, and words."""
    sums = _sums(sets)
    if sums is not None and any(a <= high and low <= b for a, b in sums[-1]):
        return "possible", sums, ""
    if sums is None or not table.complete:
        return "undecidable", [], "are too many to try"
    wanted = _whole(low, high)
    if not sums[-1]:
        return "impossible", [], f"are more than {wanted} for one class alone"
    ends = _whole(sums[-1][0][0], sums[-1][-1][1])
    inside = " (not to all of these)" if sums[-1][0][0] <= high and low <= sums[-1][-1][1] else ""
    return "impossible", [], f"add up to {ends}{inside}, but not to {wanted}"


def _errors_apart(table: _Table) -> str:
    """Say of which class the errors find no place: what it is wrongly predicted for, the other classes miss."""
    missed, wrong = [], []
    for row, bands in zip(table.report.classes, table.bands, strict=True):
        n = row.support or 0
        missed.append((n - bands[-1].found, n - bands[0].found))
        most = [None if band.most is None else band.most - band.found for band in bands]
        known = [number for number in most if number is not None]
        wrong.append((min(band.least - band.found for band in bands), max(known) if len(known) == len(most) else None))
    all_missed = sum(high for _, high in missed)
    all_wrong = None if any(high is None for _, high in wrong) else sum(high for _, high in wrong if high is not None)
    for row, (fewest_missed, most_missed), (fewest_wrong, most_wrong) in zip(
        table.report.classes, missed, wrong, strict=True
    ):
        if fewest_wrong > all_missed - most_missed:
            others = f"the other classes miss at most {all_missed - most_missed:,}"
            return f"at least {fewest_wrong:,} predictions of {row.name} are wrong, but {others}"
        if all_wrong is not None and most_wrong is not None and fewest_missed > all_wrong - most_wrong:
            others = f"at most {all_wrong - most_wrong:,} predictions of other classes are wrong"
            return f"at least {fewest_missed:,} of {row.name} are missed, but {others}"
    return ""


def _predicted_by_intervals(table: _Table, total: int) -> Interval:
    """Return between which numbers support × recall / precision adds up to; n, if a row does not say."""
    low = high = Fraction(0)
    for row in table.report.classes:
        p, r, _, undefined = _printed(row, table.rounding)
        n = row.support or 0
        if "precision" in undefined:
            continue
        if n == 0 or p is None or r is None or p[0] > p[1] or r[0] > r[1]:
            high += total
            continue
        low += n * r[0] / p[1] if p[1] > 0 else 0
        high += n * r[1] / p[0] if p[0] > 0 else total
    return low, high


def _predicted_as_printed(table: _Table) -> str:
    """Return support × recall / precision, added up over the rows, without any rounding; nothing if a row lacks one."""
    total = Fraction(0)
    for row in table.report.classes:
        p, r = (getattr(row, column) and getattr(row, column).value for column in ("precision", "recall"))
        if not p or r is None or row.support is None:
            return ""
        total += row.support * r / p
    return f" ({round(total):,} as printed)"


def _check_two_classes(table: _Table, finding: Callable[..., list[Finding]]) -> list[Finding]:
    """Try all tables of two by two: what one class misses the other is predicted for."""
    first, second = table.bands
    n1, n2 = (row.support or 0 for row in table.report.classes)
    accuracy = [_interval(row.f1, table.rounding) for row in table.report.rows if row.kind == "accuracy"]
    others = {band.found: band for band in second}
    steps = 0
    for t1, least, most in first:
        high = n2 + t1 - least
        low = 0 if most is None else n2 + t1 - most
        for t2 in range(max(0, low, second[0].found), min(n2, high, second[-1].found) + 1):
            steps += 1
            if steps > table.steps:
                return finding("undecidable", "there are too many tables of two by two to try")
            band, m2 = others.get(t2), t2 + n1 - t1
            if band is None or m2 < band.least or (band.most is not None and m2 > band.most):
                continue
            right = Fraction(t1 + t2, n1 + n2) if n1 + n2 else Fraction(0)
            if all(interval is None or interval[0] <= right <= interval[1] for interval in accuracy):
                rows = f"({t1:,}, {n1 - t1:,}) and ({n2 - t2:,}, {t2:,})"
                return finding("possible", f"the confusion matrix {rows} prints so", ((t1, t1 + n2 - t2), (t2, m2)))
    if not table.complete:
        return finding("undecidable", "there are too many tables of two by two to try")
    named = "both rows and the accuracy" if any(accuracy) else "both rows"
    return finding("impossible", f"no confusion matrix of {n1:,} and {n2:,} samples prints {named} so: all were tried")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 5 else f"{', '.join(names[:5])} and {len(names) - 5} more"


# --- averages -----------------------------------------------------------------------------------------------


def _check_average(row: Row, table: _Table, hidden: bool) -> list[Finding]:
    printed = _printed(row, table.rounding)
    wrong = _out_of_range(row, printed)
    if wrong:
        return [Finding(row.name, "row", "impossible", wrong)]
    if row.kind == "samples":
        return [Finding(row.name, "row", "undecidable", "averages over samples take the labels of each sample")]
    if row.kind == "micro":
        n = row.support if hidden else table.total
        findings = [_check_row(replace(row, support=n), table.rounding, table.steps)[0]]
        if not hidden:
            findings += _check_found(row, "recall", table)
            findings += _check_micro_precision(row, table)
        return findings
    if hidden:
        return []
    if row.kind == "accuracy":
        if table.single is False:
            why = "with several labels a sample, accuracy does not follow from the rows"
            return [Finding(row.name, "row", "undecidable", why)]
        return _check_found(row, "f1", table)
    findings = [_check_mean(row, column, table) for column in row.figures]
    return findings + (_check_found(row, "recall", table) if row.kind == "weighted" else [])


def _check_mean(row: Row, column: str, table: _Table) -> Finding:
    """Judge a macro or weighted average of one column."""

    def finding(verdict: str, why: str) -> Finding:
        return Finding(row.name, METRICS[column], verdict, why)

    figure = row.figures[column]
    own = _interval(figure, table.rounding)
    classes = table.report.classes
    if own is None:
        return finding("undecidable", f"{figure} can be the average of rows that are not numbers")
    if row.kind == "weighted" and not table.total:
        why = (
            "there are no samples" if table.total == 0 else "a class has no support printed, so the weights are missing"
        )
        return finding("undecidable", why)
    ways = _means(row, column, table)
    fits = [what for what, interval in ways if _meet(interval, own)]
    if not fits:
        what, interval = ways[0]
        others = "".join(f"; {other} is {_span(span, 4)}" for other, span in ways[1:])
        return finding("impossible", _apart(what, interval, f"{figure}", own) + others)
    if any(getattr(one, column) is None for one in classes):
        return finding("undecidable", f"a class has no {column} printed")
    return finding("possible", f"{figure} agrees with {fits[0]}")


def _means(row: Row, column: str, table: _Table) -> list[tuple[str, Interval]]:
    """Return all that may be called this average, in words and between which values it lies."""
    classes = table.report.classes
    weights = [1 if row.kind == "macro" else one.support or 0 for one in classes]
    kind = "mean" if row.kind == "macro" else "weighted mean"
    values = {c: [_interval(getattr(one, c), table.rounding) for one in classes] for c in METRICS}
    undefined = [column in _printed(one, table.rounding).undefined for one in classes]

    def mean(column: str, chosen: Iterable[bool]) -> Interval | None:
        kept = [
            (weight, value or (Fraction(0), Fraction(1)))
            for weight, value, keep in zip(weights, values[column], chosen, strict=True)
            if keep
        ]
        total = sum(weight for weight, _ in kept)
        if not total:
            return None
        return sum(w * v[0] for w, v in kept) / Fraction(total), sum(w * v[1] for w, v in kept) / Fraction(total)

    everyone = [True] * len(classes)
    center = ""
    figures = [getattr(one, column) for one in classes]
    if all(figure is not None and figure.value is not None for figure in figures):
        exact = sum((w * figure.value for w, figure in zip(weights, figures, strict=True)), Fraction(0)) / sum(weights)
        center = f" ({_decimal(exact, 4)} as printed)"
    ways = [(f"the {kind} of the rows{center}", mean(column, everyone))]
    if any(undefined):
        ways.append((f"the {kind} of the rows that are numbers", mean(column, (not nan for nan in undefined))))
    if row.kind == "macro" and any(one.support == 0 for one in classes):
        ways.append(("the mean of the rows with samples", mean(column, (one.support != 0 for one in classes))))
    if column == "f1":
        p, r = mean("precision", everyone), mean("recall", everyone)
        if p and r:
            ways.append(("F1 of the averages of the rows", (_f1(p[0], r[0]), _f1(p[1], r[1]))))
        p, r = (_interval(getattr(row, c), table.rounding) for c in ("precision", "recall"))
        if p and r:
            ways.append(("F1 of the printed averages", (_f1(p[0], r[0]), _f1(p[1], r[1]))))
    return [(what, interval) for what, interval in ways if interval is not None]


def _check_found(row: Row, column: str, table: _Table) -> list[Finding]:
    """Judge a figure that is the share of true positives in all samples: accuracy, micro and weighted recall."""
    own = _interval(row.figures.get(column), table.rounding)
    if own is None:
        return []

    def finding(verdict: str, why: str) -> list[Finding]:
        check = "row" if row.kind == "accuracy" else "true positives"
        return [Finding(row.name, check, verdict, why)]

    total, figure = table.total, row.figures[column]
    if not total:
        return finding("undecidable", "there are no samples" if total == 0 else "a class has no support printed")
    least, most = ceil(own[0] * total), floor(own[1] * total)
    claim = f"{figure} of {total:,} is {_whole(least, most)} true positives"
    if least > most:
        return finding("impossible", f"no whole number of {total:,} samples makes {figure}")
    low = high = Fraction(0)
    for one in table.report.classes:
        r = _interval(one.recall, table.rounding) or (Fraction(0), Fraction(1))
        n = one.support or 0
        low, high = low + n * r[0], high + n * r[1]
    if ceil(low) > most or floor(high) < least:
        return finding(
            "impossible", f"the rows' recalls make {ceil(low):,} to {floor(high):,} true positives, but {claim}"
        )
    if table.refuted:
        why = "the rounding intervals do not refute it, and whole numbers cannot be tried: there are none for"
        return finding("undecidable", f"{why} {_some(table.refuted)}")
    sets = [_merged((band.found, band.found) for band in bands) for bands in table.bands]
    verdict, _, why = _add_up(table, sets, least, most)
    if verdict != "possible":
        return finding(verdict, f"{claim}, and whole numbers that print as the rows do {why}")
    return finding("possible", f"{claim}, and the rows can add up to that")


def _check_micro_precision(row: Row, table: _Table) -> list[Finding]:
    """Judge micro precision, all true positives over all predictions, where predictions need not add up to samples."""
    own = _interval(row.precision, table.rounding)
    if own is None or table.single:
        return []

    def finding(verdict: str, why: str) -> list[Finding]:
        return [Finding(row.name, "precision", verdict, why)]

    if table.total is None:
        return finding("undecidable", "a class has no support printed")
    if table.refuted or not table.complete:
        return finding("undecidable", "there are rows that no whole numbers fit, or too many that do")
    ends = [(bands[0], bands[-1]) for bands in table.bands]
    least, most = sum(first.found for first, _ in ends), sum(last.found for _, last in ends)
    fewest, largest = sum(first.least for first, _ in ends), 0
    for _, last in ends:
        largest += 10**18 if last.most is None else last.most
    derived = Fraction(least, largest) if largest else Fraction(0), Fraction(most, fewest) if fewest else Fraction(1)
    what = f"the share of {_whole(least, most)} true positives in the rows' predictions"
    if largest and not _meet(derived, own):
        return finding("impossible", _apart(what, derived, f"{row.precision}", own))
    return finding("possible", f"{row.precision} agrees with {what}")


def _check_equal(table: _Table) -> list[Finding]:
    """Accuracy, micro averages and weighted recall of single labels are one number; two of them always are."""
    figures, always = [], []
    for row in table.report.rows:
        for column, figure in row.figures.items():
            interval = _interval(figure, table.rounding)
            named = (row.name if row.kind == "accuracy" else f"{row.name} {METRICS[column]}", figure, interval)
            if interval is None or interval[0] > interval[1]:
                continue
            if (row.kind, column) in (("micro", "recall"), ("weighted", "recall")):
                always.append(named)
            if row.kind in ("accuracy", "micro") or (row.kind, column) == ("weighted", "recall"):
                figures.append(named)
    compared = always if table.single is False else figures
    if len(compared) < 2:
        return []

    def finding(verdict: str, why: str) -> list[Finding]:
        return [Finding("all rows", "equal figures", verdict, why)]

    names = ", ".join(f"{name} {figure}" for name, figure, _ in compared)
    for which, apart in (("always", _two_apart(always)), ("with one label a sample", _two_apart(compared))):
        if apart:
            why = f"{apart}, which are one number {which}"
            if which != "always" and table.single is None:
                return finding("undecidable", f"{why}, but this is not known (single_label=True)")
            return finding("impossible", why)
    return finding("possible", f"{names} can be one number")


def _two_apart(figures: Sequence[tuple[str, Figure, Interval | None]]) -> str:
    known = [(name, figure, interval) for name, figure, interval in figures if interval is not None]
    if not known:
        return ""
    low = max(known, key=lambda one: one[2][0])
    high = min(known, key=lambda one: one[2][1])
    return "" if low[2][0] <= high[2][1] else f"{high[0]} is {high[1]} and {low[0]} is {low[1]}"
