"""The ledger: every stored claim of the book, and the register of published claims with their verdicts.

It is generated from the records in the notebooks and never stored, so it cannot disagree with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from nnzen import notebooks
from nnzen.evidence import Claim, records_in

__all__ = ["Article", "Entry", "Ledger", "LedgerError", "PublishedClaim", "TestLook", "collect", "register"]


class LedgerError(ValueError):
    """Stored claims that contradict each other or the register."""


@dataclass(frozen=True)
class Article:
    """One of the articles that the book grew out of: its letter in the register, and its title."""

    letter: str
    title: str


@dataclass(frozen=True)
class PublishedClaim:
    """A row of the register: what an article states, and what reading it says about that."""

    id: str
    section: str
    claim: str
    reading: str


@dataclass(frozen=True)
class Entry:
    """A stored claim, the chapter (file stem) it stands in, and its kind of evidence: live, study or stale."""

    claim: Claim
    chapter: str
    evidence: str


@dataclass(frozen=True)
class TestLook:
    """A counted look at a test set."""

    __test__ = False  # not a test class, whatever pytest reads into its name

    chapter: str
    dataset: str
    look: int
    why: str


@dataclass(frozen=True)
class Ledger:
    """All claims of the book in chapter order, all looks at test sets, and the register's verdicts."""

    entries: tuple[Entry, ...]
    looks: tuple[TestLook, ...]
    published: tuple[PublishedClaim, ...]

    def verdict(self, row: str) -> str:
        """Return the verdict on a register row, or ``"not yet tested"``."""
        return next((e.claim.verdict for e in self.entries if row in e.claim.published), "not yet tested")

    def deciding(self, row: str) -> list[Entry]:
        """Return the entries that decide a register row."""
        return [e for e in self.entries if row in e.claim.published]

    def to_json(self) -> str:
        """Return the ledger as JSON text: ``claims``, ``test_looks`` and ``published``."""
        return json.dumps(
            {
                "claims": [{"chapter": e.chapter, "evidence": e.evidence, **e.claim.to_record()} for e in self.entries],
                "test_looks": [vars(look) for look in self.looks],
                "published": [
                    {
                        **vars(row),
                        "verdict": self.verdict(row.id),
                        "claims": [e.claim.id for e in self.deciding(row.id)],
                    }
                    for row in self.published
                ],
            },
            ensure_ascii=False,
            indent=1,
        )


@cache
def register() -> tuple[tuple[Article, ...], tuple[PublishedClaim, ...]]:
    """Return the articles and the rows of the register of published claims."""
    data = json.loads((files("nnzen") / "data" / "published.json").read_text(encoding="utf-8"))
    return (
        tuple(Article(**article) for article in data["articles"]),
        tuple(PublishedClaim(**row) for row in data["rows"]),
    )


def collect(paths: Iterable[Path]) -> Ledger:
    """Read the claims stored in notebooks.

    Parameters
    ----------
    paths : iterable of Path
        Chapters with stored outputs; the ledger keeps their order.

    Raises
    ------
    LedgerError
        For a notebook that cannot be read, a duplicate claim id, an id of another chapter, a published row that the
        register does not have, or two claims that give one row different verdicts.
    """
    entries: list[Entry] = []
    looks: list[TestLook] = []
    for path in paths:
        notebook = _read(path)
        for record in records_in(notebook):
            entries.append(_entry(path, record))
        looks += [TestLook(chapter=path.stem, **record) for record in records_in(notebook, "nnzen_test")]
    _, published = register()
    _check(entries, {row.id for row in published})
    return Ledger(tuple(entries), tuple(looks), published)


def _read(path: Path) -> notebooks.Notebook:
    try:
        return notebooks.read(path)
    except notebooks.NotebookError as error:
        raise LedgerError(str(error)) from error


def _entry(path: Path, record: dict[str, Any]) -> Entry:
    try:
        claim = Claim.from_record(record)
    except ValueError as error:
        raise LedgerError(f"{path}: {error}") from error
    if claim.id[:2] != path.stem[:2]:
        raise LedgerError(
            f"{path}: claim {claim.id} carries another chapter's number; it must begin with {path.stem[:2]}/"
        )
    return Entry(claim, path.stem, _evidence(claim))


def _evidence(claim: Claim) -> str:
    if not claim.study:
        return "live"
    from nnzen import studies

    return "stale" if studies.load(claim.study).stale else "study"


def _check(entries: list[Entry], rows: set[str]) -> None:
    seen: dict[str, str] = {}
    verdicts: dict[str, Claim] = {}
    for entry in entries:
        claim = entry.claim
        if claim.id in seen:
            raise LedgerError(f"claim {claim.id} stands twice: in {seen[claim.id]} and in {entry.chapter}; rename one")
        seen[claim.id] = entry.chapter
        for row in claim.published:
            if row not in rows:
                raise LedgerError(
                    f"claim {claim.id} decides {row}, which the register of published claims does not have"
                )
            other = verdicts.setdefault(row, claim)
            if other.verdict != claim.verdict:
                raise LedgerError(
                    f"{row} is {other.verdict!r} by claim {other.id} and {claim.verdict!r} by claim {claim.id}; "
                    "one row has one verdict"
                )
