"""HTML tables of the ledger and of the register of published claims, complete without scripts.

Each cell repeats its column's name in ``data-label``: on a phone a row becomes a card (see nnzen.css). The
roles keep the tables tables for screen readers when they are laid out that way. `nnzen.js` adds the filter.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from nnzen.evidence import Claim, _html_value, render_html
from nnzen.ledger import Article, Entry, Ledger, PublishedClaim

__all__ = ["ledger_html", "register_html", "sample_html"]

_MARKS = {
    "holds": "✓",
    "refuted": "✗",
    "impossible": "∅",
    "not reproduced": "≠",
    "sharpened": "◐",
    "not yet tested": "·",
}
_ENGLISH = {
    "Z": "The Zen of the art of AI neural-network computation: big data, big compute, strong algorithms",
    "C": "AI algorithms, compute and big data combined",
    "D": "The Tao of the art of AI deep-neural-network computation",
    "R": "What is invested in basic AI technology, and what returns",
}
_EVIDENCE = {"live": "live", "study": "study", "stale": "stale study"}


def ledger_html(ledger: Ledger) -> str:
    """Return the ledger's Markdown: a summary, all claims, all looks at test sets, and the register's verdicts."""
    entries = sorted(ledger.entries, key=lambda entry: entry.chapter)
    return "\n\n".join(
        [
            _summary(ledger),
            "## All claims",
            _raw(_claims_table(entries)),
            "## Looks at test sets",
            _raw(_looks_table(ledger)) if ledger.looks else "No chapter has opened a test set.",
            "## Published claims",
            "What the book's claims say about the [register of published claims](published.md).",
            _raw(_verdict_table(ledger)),
        ]
    )


def register_html(articles: Sequence[Article], ledger: Ledger) -> str:
    """Return the Markdown of the register: one section for each article, one row for each published claim."""
    parts = []
    for article in articles:
        rows = [row for row in ledger.published if row.id.startswith(article.letter)]
        parts.append(f"## Article {article.letter}")
        parts.append(_raw(f'<p lang="zh">{_text(article.title)}</p>') if article.letter in _ENGLISH else "")
        parts.append(f"*{_ENGLISH.get(article.letter, article.title)}*")
        parts.append(_raw(_register_table(rows, ledger, f"Published claims of article {article.letter}")))
    return "\n\n".join(parts)


def _summary(ledger: Ledger) -> str:
    kinds = [entry.evidence for entry in ledger.entries]
    tested = sum(ledger.verdict(row.id) != "not yet tested" for row in ledger.published)
    stale = kinds.count("stale")
    return (
        f"**{len(kinds)} claims**: {kinds.count('live')} measured live in their chapter, "
        f"{kinds.count('study') + stale} by a study"
        f"{f', of which {stale} stale' if stale else ''}. "
        f"**{tested} of {len(ledger.published)} published claims** tested so far. "
        f"{_looks(len(ledger.looks))}"
    )


def _looks(number: int) -> str:
    return {0: "No test set was opened.", 1: "One look at a test set."}.get(number, f"{number} looks at test sets.")


def sample_html(ledger: Ledger, id: str) -> str:
    """Return one claim as its chapter shows it, and where it stands.

    Raises
    ------
    KeyError
        If the ledger has no claim of this id.
    """
    entry = {entry.claim.id: entry for entry in ledger.entries}[id]
    chapter = f"[{entry.chapter[:2]}](../chapters/{entry.chapter}.ipynb)"
    return f"{_raw(render_html(entry.claim))}\n\nIt stands in chapter {chapter}, below the cell that measured it."


# --- tables -------------------------------------------------------------------------------------------------


def _claims_table(entries: Iterable[Entry]) -> str:
    rows = [
        _row(
            [
                ("Claim", f"{_text(e.claim.says)}<br><small>{_claim_link(e)}</small>"),
                ("Measured", _value(e.claim.measured, e.claim)),
                ("Band", _text(e.claim.band)),
                ("Control", f"{_value(e.claim.control, e.claim)}<br><small>{_text(e.claim.against)}</small>"),
                ("Evidence", _evidence(e)),
            ],
            f'id="ledger-{_slug(e.claim.id)}" data-chapter="{_text(e.chapter[:2])}" '
            f'data-evidence="{e.evidence}" data-verdict="{_text(e.claim.verdict)}"',
        )
        for e in entries
    ]
    columns = ["Claim", "Measured", "Band", "Control", "Evidence"]
    return _table("nz-ledger", "All claims of the book, in chapter order", columns, rows)


def _looks_table(ledger: Ledger) -> str:
    rows = [
        _row(
            [
                ("Chapter", _chapter_link(look.chapter)),
                ("Data set", f"<code>{_text(look.dataset)}</code>"),
                ("Look", str(look.look)),
                ("Why", _text(look.why)),
            ]
        )
        for look in ledger.looks
    ]
    return _table("nz-looks", "Every look at a test set", ["Chapter", "Data set", "Look", "Why"], rows)


def _verdict_table(ledger: Ledger) -> str:
    rows = [
        _row(
            [
                ("Published claim", f'<a href="published.html#{row.id}">{row.id}</a> {_text(row.claim)}'),
                ("Verdict", _verdict(ledger.verdict(row.id))),
                ("Decided by", _deciding(ledger, row.id)),
            ],
            f'data-chapter="{" ".join(e.chapter[:2] for e in ledger.deciding(row.id))}" data-evidence="" '
            f'data-verdict="{ledger.verdict(row.id)}"',
        )
        for row in ledger.published
    ]
    return _table("nz-verdicts", "Verdicts on published claims", ["Published claim", "Verdict", "Decided by"], rows)


def _register_table(rows: Iterable[PublishedClaim], ledger: Ledger, caption: str) -> str:
    lines = [
        _row(
            [
                ("Id", f"{row.id}<br><small>§ {_text(row.section)}</small>"),
                ("The article says", _text(row.claim)),
                ("Reading it", _text(row.reading)),
                ("Tested", f"{_verdict(ledger.verdict(row.id))} {_deciding(ledger, row.id, '')}"),
            ],
            f'id="{row.id}"',
        )
        for row in rows
    ]
    return _table("nz-register", caption, ["Id", "The article says", "Reading it", "Tested"], lines)


def _table(kind: str, caption: str, columns: Sequence[str], rows: Iterable[str]) -> str:
    head = "".join(f'<th role="columnheader" scope="col">{column}</th>' for column in columns)
    return (
        f'<table class="nz-cards {kind}" role="table"><caption>{_text(caption)}</caption>\n'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>\n'
        f'<tbody role="rowgroup">\n{chr(10).join(rows)}\n</tbody></table>'
    )


def _row(cells: Sequence[tuple[str, str]], attributes: str = "") -> str:
    (label, first), *others = cells
    body = "".join(f'<td role="cell" data-label="{name}">{content}</td>' for name, content in others)
    head = f'<th role="rowheader" scope="row" data-label="{label}">{first}</th>'
    return f'<tr role="row" {attributes}>{head}{body}</tr>'


def _raw(markup: str) -> str:
    return f"```{{raw}} html\n{markup}\n```"


# --- cells --------------------------------------------------------------------------------------------------


def _text(words: str) -> str:
    return html.escape(words)


def _slug(id: str) -> str:
    return id.replace("/", "-")


def _value(values: tuple[float, ...], claim: Claim) -> str:
    return _html_value(values, claim.unit)


def _claim_link(entry: Entry) -> str:
    id = entry.claim.id
    return f'<a href="../chapters/{_text(entry.chapter)}.html#claim-{_slug(id)}">{_text(id)}</a>'


def _chapter_link(chapter: str) -> str:
    return f'<a href="../chapters/{_text(chapter)}.html">{_text(chapter)}</a>'


def _evidence(entry: Entry) -> str:
    claim = entry.claim
    kind = f'<span class="nz-badge nz-{entry.evidence}">{_EVIDENCE[entry.evidence]}</span>'
    study = f" <code>{_text(claim.study)}</code>" if claim.study else ""
    source = f"<br><small>{_text(claim.source)}</small>" if claim.source else ""
    rows = ", ".join(f'<a href="published.html#{row}">{row}</a>' for row in claim.published)
    published = f"<br>{_verdict(claim.verdict)} {rows}" if rows else ""
    return f"{kind}{study}{source}{published}"


def _verdict(verdict: str) -> str:
    return f'<span class="nz-badge nz-verdict-{verdict.replace(" ", "-")}">{_MARKS[verdict]} {verdict}</span>'


def _deciding(ledger: Ledger, row: str, nothing: str = "–") -> str:
    return ", ".join(_claim_link(entry) for entry in ledger.deciding(row)) or nothing
