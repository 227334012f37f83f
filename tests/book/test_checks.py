"""The checks of the pages can fail: each is shown a page that is wrong in one way."""

from __future__ import annotations

import pytest

from tests.book import checks
from tests.book.conftest import ROOT, serving

HEAD = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>t</title><link rel="icon" href="data:,">'
MATHJAX = '<script defer src="tex-chtml-full.js"></script>'


@pytest.fixture(scope="module")
def show(tmp_path_factory, context):
    """Serve a page with the given head and body, with MathJax beside it, and open it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "tex-chtml-full.js").symlink_to(ROOT / "book/_static/mathjax/tex-chtml-full.js")
    (folder / "output").symlink_to(ROOT / "book/_static/mathjax/output")
    opened = []
    with serving(folder) as address:

        def show_page(body, head=""):
            name = f"page{len(opened)}.html"  # a new name each time, or the browser may show a page that it knows
            (folder / name).write_text(f"{HEAD}{head}</head><body><main><h1>t</h1>{body}</main></body></html>")
            opened.append(checks.open_page(context, f"{address}/{name}"))
            return opened[-1]

        yield show_page
        for visit in opened:
            visit.page.close()


def every(visit):
    page = visit.page
    found = [*checks.mathematics(page), *checks.alternative_texts(page), *checks.accessibility(page)]
    return [*found, *checks.phone_width(page), *visit.problems]


def test_a_good_page_passes(show):
    assert every(show(r'<p>Text <span class="math">\(x^2\)</span></p>', MATHJAX)) == []


@pytest.mark.parametrize(
    ("body", "head", "words"),
    [
        ("", '<script src="https://cdn.example.org/x.js"></script>', "leaves the host"),
        ('<img alt="a" src="http://127.0.0.1:9/x.png">', "", "leaves the host"),
        ("", '<link rel="stylesheet" href="missing.css">', "status 404"),
        ("<script>console.error('broken')</script>", "", "console error: broken"),
        ("<script>throw new Error('thrown')</script>", "", "script error: thrown"),
        ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "", "without alternative text"),
        (r'<span class="math">\(x\)</span>', "", "not typeset"),
        ("<p>left over: $$x$$</p>", "", "raw TeX"),
        (r"<p>left over: $\mathbf{W}$</p>", "", "raw TeX"),
        ('<span class="math" style="display: inline-block; width: 9px; overflow: hidden">x + y</span>', "", "cut off"),
        (r'<span class="math">\(\frac{1}\)</span>', MATHJAX, "TeX error"),
        (r'<span class="math">\(\nosuchmacro\)</span>', MATHJAX, "TeX error"),
        ('<div style="width: 600px">wide</div>', "", "px wide in 390"),
        ('<p style="color: #bbb; background: #fff">pale</p>', "", "color-contrast"),
        ("<button></button>", "", "button-name"),
    ],
)
def test_a_wrong_page_fails(show, body, head, words):
    assert any(words in problem for problem in every(show(body, head)))


def test_a_figure_on_a_dark_ground_fails(show):
    visit = show(
        '<div class="cell_output"><img alt="a" style="background: #111" src="data:image/gif;base64,R0lGOD=="></div>'
    )
    assert checks.dark_figures(visit.page)


def test_a_heavy_page_fails(tmp_path):
    (tmp_path / "_images").mkdir()
    (tmp_path / "_images" / "a.png").write_bytes(b"0" * checks.LIMIT)
    page = tmp_path / "page.html"
    page.write_text('<img src="_images/a.png">')
    assert "weighs 1.50 MB" in checks.weight(page)[0]
    page.write_text("light")
    assert checks.weight(page) == []
