"""The book's last page: complete without scripts, and its filter works with them."""

from __future__ import annotations

import pytest
import stage

from nnzen import ledger
from tests.book import checks


@pytest.fixture(scope="module")
def stored():
    return ledger.collect(stage.ROOT / f"{name}.ipynb" for name in stage.chapters_in_toc())


def test_complete_without_scripts(stored, site, browser):
    plain = browser.new_context(java_script_enabled=False)
    page = plain.new_page()
    page.goto(f"{site}/book/ledger.html")
    rows = page.locator("table.nz-ledger tbody tr")
    assert rows.count() == len(stored.entries)
    for entry, text in zip(stored.entries, rows.all_inner_texts(), strict=True):
        claim = entry.claim
        for words in (claim.id, claim.says, claim.band, claim.against, claim.source, claim.study, *claim.published):
            assert " ".join(words.split()) in " ".join(text.split())
    assert page.locator("table.nz-verdicts tbody tr").count() == len(stored.published)
    assert page.locator("table.nz-looks tbody tr").count() == len(stored.looks)
    assert page.locator(".nz-filter").count() == 0
    plain.close()


def test_every_row_leads_to_its_claim(stored, html):
    for entry in stored.entries:
        anchor = f"claim-{entry.claim.id.replace('/', '-')}"
        assert f"../chapters/{entry.chapter}.html#{anchor}" in (html / "book/ledger.html").read_text(encoding="utf-8")
        assert f'id="{anchor}"' in (html / f"chapters/{entry.chapter}.html").read_text(encoding="utf-8")


def test_filter(stored, site, context):
    visit = checks.open_page(context, f"{site}/book/ledger.html")
    page = visit.page
    rows = page.locator("table.nz-ledger tbody tr:visible")
    total = len(stored.entries)
    assert rows.count() == total
    one = stored.entries[-1]

    page.get_by_label("Words").fill(one.claim.id)
    assert 1 <= rows.count() < total
    assert one.claim.says in rows.first.inner_text()
    page.get_by_label("Words").fill("xyzzy quux")
    assert rows.count() == 0
    assert page.locator(".nz-filter output").inner_text() == f"0 of {total} claims shown"
    page.get_by_label("Words").fill("")

    chapter = one.claim.id[:2]
    page.get_by_label("Chapter").select_option(chapter)
    assert rows.count() == sum(e.claim.id.startswith(chapter) for e in stored.entries)
    page.get_by_label("Evidence").select_option(one.evidence)
    assert rows.count() == sum(e.claim.id.startswith(chapter) and e.evidence == one.evidence for e in stored.entries)
    page.close()
    assert not visit.problems


def test_register_has_an_anchor_for_each_row(stored, html):
    text = (html / "book/published.html").read_text(encoding="utf-8")
    for row in stored.published:
        assert text.count(f'id="{row.id}"') == 1
