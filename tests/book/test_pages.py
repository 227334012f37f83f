"""Every rendered page, in a browser that cannot reach anything but the book."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import stage

from tests.book import checks

PAGES = [
    *(f"book/{path.stem}" for path in sorted((stage.ROOT / "book").glob("*.md"))),
    *stage.chapters_in_toc(),
    *(f"book/api/{name}" for name in stage.api_pages()),
    "genindex",
    "search",
]


def test_all_pages_are_known(html):
    built = {str(p.relative_to(html).with_suffix("")) for p in html.rglob("*.html") if "_static" not in p.parts}
    assert built - {"index", "py-modindex"} == set(PAGES)


def test_the_first_page_leads_to_the_book(html, site, context):
    page = context.new_page()
    page.goto(f"{site}/")
    page.wait_for_url(f"{site}/book/index.html")
    page.close()
    assert '<a href="book/index.html">' in (html / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_page(name, html, site, context):
    visit = checks.open_page(context, f"{site}/{name}.html")
    page = visit.page
    contrast = ["color-contrast"]
    try:
        problems = [
            *checks.mathematics(page),
            *checks.alternative_texts(page),
            *checks.weight(html / f"{name}.html"),
            *checks.dark_figures(page),
            *checks.accessibility(page, without=contrast),
            *checks.phone_width(page),
            *checks.accessibility(page, ["scrollable-region-focusable"]),
        ]
        checks.thin_out(page)
        page.set_viewport_size({"width": 1280, "height": 900})
        problems += checks.accessibility(page, contrast)
        checks.use_theme(page, "dark")
        problems += [*checks.dark_figures(page), *checks.accessibility(page, contrast)]
    finally:
        page.close()
    problems += visit.problems
    assert not problems, f"{name}.html:\n" + "\n".join(problems)


def test_formulas_are_there(html, site, context):
    """The checks above would pass on pages without formulas; these pages have them, and screen readers get MathML."""
    for name in ("book/notation", *stage.chapters_in_toc()):
        visit = checks.open_page(context, f"{site}/{name}.html")
        assert (html / f"{name}.html").read_text().count('class="math') > 0, name
        assert visit.page.locator("mjx-container mjx-assistive-mml").count() > 0, name
        visit.page.close()


def test_phone_can_read_the_tables_of_claims(site, context):
    visit = checks.open_page(context, f"{site}/book/ledger.html")
    visit.page.set_viewport_size({"width": 390, "height": 844})
    row = visit.page.locator("table.nz-ledger tbody tr").first
    assert row.evaluate("e => getComputedStyle(e).display") == "block"
    visit.page.close()


@pytest.mark.parametrize("name", ["ledger", "published"])
def test_tables_of_claims_keep_to_their_column(name, site, context):
    visit = checks.open_page(context, f"{site}/book/{name}.html")
    for width in (1280, 800, 390):
        visit.page.set_viewport_size({"width": width, "height": 900})
        right = "e => e.getBoundingClientRect().right"
        room = visit.page.locator("article.bd-article").evaluate(right)
        assert all(edge <= room for edge in visit.page.locator("table.nz-cards").evaluate_all(f"es => es.map({right})"))
    visit.page.close()


@pytest.mark.parametrize("word", ["cross-entropy", "ledger", "log_sum_exp"])
def test_search_finds(word, site, context):
    visit = checks.open_page(context, f"{site}/search.html?q={word}")
    visit.page.wait_for_selector("#search-results li a", timeout=10_000)
    assert not visit.problems
    visit.page.close()


def test_search_does_not_find_what_is_not_there(site, context):
    visit = checks.open_page(context, f"{site}/search.html?q=xyzzyquux")
    visit.page.wait_for_selector("#search-results .search-summary", timeout=10_000)
    visit.page.wait_for_timeout(300)
    assert visit.page.locator("#search-results li").count() == 0
    visit.page.close()


def test_chapter_buttons(site, context):
    """Colab, Binder and the repository: their address once there is one, until then the page that explains."""
    from release_check import problems

    visit = checks.open_page(context, f"{site}/{stage.chapters_in_toc()[0]}.html")
    found = visit.page.evaluate("[...document.querySelectorAll('.article-header-buttons a')].map(a => a.href)")
    links = [link for link in found if not link.endswith(".ipynb") and "/_sources/" not in link]
    assert len(links) >= 4, links
    if problems():
        assert all(link.endswith("/book/index.html#how-to-run") for link in links), links
        assert visit.page.request.get(links[0]).text().count('id="how-to-run"') == 1
    else:
        assert any("colab.research.google.com" in link for link in links), links
        assert any("mybinder.org" in link for link in links), links
    visit.page.close()


def test_downloaded_chapter_is_the_chapter(html):
    """The download button gives the notebook itself, not a copy that was prepared for the book."""
    for name in stage.chapters_in_toc():
        downloaded = json.loads((html / "_sources" / f"{name}.ipynb").read_text(encoding="utf-8"))
        stored = json.loads(Path(stage.ROOT / f"{name}.ipynb").read_text(encoding="utf-8"))
        assert downloaded == stored
