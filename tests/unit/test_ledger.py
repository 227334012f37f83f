"""The ledger is what the stored records say, and refuses records that contradict each other."""

import json

import pytest

from nnzen import ledger
from nnzen.evidence import judge
from nnzen.ledger import LedgerError


def record(id="02/gradient", **changes):
    declared = dict(measured=1.0, control=3.0, against="a wrong one", band=(0.9, 1.1))
    return judge(id, "It holds", **{**declared, **changes}).to_record()


@pytest.fixture
def chapter(tmp_path):
    def write(name, *records, test_looks=()):
        outputs = [{"metadata": {"nnzen": r}} for r in records]
        outputs += [{"metadata": {"nnzen_test": look}} for look in test_looks]
        path = tmp_path / f"{name}.ipynb"
        path.write_text(json.dumps({"nbformat": 4, "cells": [{"cell_type": "code", "source": "", "outputs": outputs}]}))
        return path

    return write


def test_claims_and_looks_are_collected_in_order(chapter):
    look = {"dataset": "fashion_mnist", "look": 1, "why": "the final number"}
    book = ledger.collect(
        [chapter("02_a", record("02/b"), record("02/a"), test_looks=[look]), chapter("08_b", record("08/a"))]
    )
    assert [e.claim.id for e in book.entries] == ["02/b", "02/a", "08/a"]
    assert [(x.chapter, x.dataset, x.look) for x in book.looks] == [("02_a", "fashion_mnist", 1)]
    assert {e.evidence for e in book.entries} == {"live"}


def test_json_holds_claims_looks_and_the_whole_register(chapter):
    path = chapter("02_a", record(published="Z-09", verdict="refuted"))
    data = json.loads(ledger.collect([path]).to_json())
    assert data["claims"][0]["measured"] == [1.0]
    verdicts = {row["id"]: (row["verdict"], row["claims"]) for row in data["published"]}
    assert verdicts["Z-09"] == ("refuted", ["02/gradient"])
    assert verdicts["Z-10"] == ("not yet tested", [])
    assert len(verdicts) == len(ledger.register()[1])


def test_duplicate_ids_are_refused_across_chapters(chapter):
    with pytest.raises(LedgerError, match="stands twice"):
        ledger.collect([chapter("02_a", record()), chapter("02_b", record())])


def test_an_id_of_another_chapter_is_refused(chapter):
    with pytest.raises(LedgerError, match="another chapter"):
        ledger.collect([chapter("08_a", record())])


def test_an_unknown_published_row_is_refused(chapter):
    with pytest.raises(LedgerError, match="Z-99"):
        ledger.collect([chapter("02_a", record(published="Z-99", verdict="refuted"))])


def test_one_row_has_one_verdict(chapter):
    first = record("02/a", published="Z-09", verdict="refuted")
    second = record("02/b", published="Z-09", verdict="holds")
    with pytest.raises(LedgerError, match="one row has one verdict"):
        ledger.collect([chapter("02_a", first, second)])


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"cells": 3'])
def test_a_file_that_is_no_notebook_is_named(tmp_path, content):
    path = tmp_path / "02_a.ipynb"
    path.write_text(content)
    with pytest.raises(LedgerError, match="02_a"):
        ledger.collect([path])


def test_a_broken_record_is_named(chapter):
    with pytest.raises(LedgerError, match="not a claim record"):
        ledger.collect([chapter("02_a", {"id": "02/a"})])


def test_the_register_is_complete_and_its_ids_are_unique():
    articles, rows = ledger.register()
    assert [a.letter for a in articles] == list("ZCDOR")
    ids = [row.id for row in rows]
    assert len(ids) == len(set(ids))
    assert all(row.claim and row.reading and row.section for row in rows)
