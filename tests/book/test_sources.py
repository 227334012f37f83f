"""What the book is assembled from: order, library pages, bibliography, placeholders."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from types import SimpleNamespace

import nnzen_book
import pytest
import release_check
import stage
import yaml
from docutils import nodes
from fontTools.ttLib import TTFont

from nnzen import ledger

ROOT = stage.ROOT


def test_landing_page_lists_what_exists_and_what_is_planned():
    text = (ROOT / "book/index.md").read_text(encoding="utf-8").split("## Contents")[1]
    finished = re.findall(r"^\* \*\*Finished:\*\* \[\d\d .+\]\(\.\./(chapters/.+)\.ipynb\)$", text, re.MULTILINE)
    assert finished == stage.chapters_in_toc()
    planned = re.findall(r"\b(\d\d) [A-Z]", "".join(re.findall(r"Planned: ([^*#]*)", text)))
    numbers = [name.split("/")[1][:2] for name in finished]
    assert sorted(planned + numbers) == [f"{n:02}" for n in range(32)]


def test_last_page_is_the_ledger():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    assert toc["parts"][-1]["chapters"][-1] == {"file": "book/ledger"}


def test_a_missing_chapter_is_named(monkeypatch):
    monkeypatch.setattr(stage, "chapters_in_toc", lambda: ["chapters/99_missing"])
    with pytest.raises(stage.StageError, match=r"99_missing\.ipynb does not exist"):
        stage.stage()


def test_executed_chapters_are_preferred(tmp_path):
    name = stage.chapters_in_toc()[0]
    notebook = json.loads((ROOT / f"{name}.ipynb").read_text(encoding="utf-8"))
    injected = {"cell_type": "code", "metadata": {"tags": ["injected-parameters"]}, "source": "seed = 1"}
    notebook["cells"].insert(3, {**injected, "outputs": [], "execution_count": None})
    (tmp_path / "executed").mkdir()
    (tmp_path / "executed" / f"{name.split('/')[1]}.ipynb").write_text(json.dumps(notebook))
    stage.stage(tmp_path / "executed", tmp_path / "staged")
    staged = json.loads((tmp_path / "staged" / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert staged["cells"][3]["metadata"]["tags"] == ["injected-parameters", "remove-cell"]
    other = f"{stage.chapters_in_toc()[1]}.ipynb"
    assert (tmp_path / "staged" / other).read_bytes() == (ROOT / other).read_bytes()


def test_staging_again_keeps_time_stamps_and_drops_what_is_gone(tmp_path):
    stage.stage(None, tmp_path)
    page = tmp_path / "book/notation.md"
    before = page.stat().st_mtime_ns
    (tmp_path / "book/gone.md").write_text("# Gone")
    stage.stage(None, tmp_path)
    assert page.stat().st_mtime_ns == before
    assert not (tmp_path / "book/gone.md").exists()


def test_library_pages_hold_every_public_name(html):
    pages = stage.api_pages()
    for module in pages:
        page = (html / f"book/api/{module}.html").read_text(encoding="utf-8")
        loaded = importlib.import_module(module)
        passed_on = ":members:" not in pages[module]
        for name in loaded.__all__:
            if inspect.ismodule(getattr(loaded, name)):
                assert f"{module}.{name}" in pages, f"{module}.{name} has no page"
            elif passed_on:
                assert getattr(loaded, name).__module__ in pages, f"{module}.{name} comes from a module without a page"
            else:
                assert f'id="{module}.{name}"' in page, f"{module}.{name} has no entry; give it a docstring"


def test_bibliography_holds_every_work(html):
    keys = re.findall(r"^@\w+\{(.+),$", (ROOT / "book/references.bib").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(keys) == len(set(keys)) > 0
    page = (html / "book/bibliography.html").read_text(encoding="utf-8")
    assert len(re.findall(r'<div class="citation"', page)) == len(keys)


def test_mathjax_is_the_version_that_its_licence_note_names():
    folder = ROOT / "book/_static/mathjax"
    assert '"3.2.2"' in (folder / "tex-chtml-full.js").read_text(encoding="utf-8")
    assert "3.2.2" in (folder / "README.md").read_text(encoding="utf-8")
    assert "Apache License" in (folder / "LICENSE").read_text(encoding="utf-8")


def test_chinese_titles_have_their_characters():
    font = TTFont(ROOT / "book/_static/fonts/article-titles.woff")
    articles, _ = ledger.register()
    wanted = {character for article in articles for character in article.title if ord(character) >= 0x3000}
    assert wanted <= {chr(code) for code in font.getBestCmap()}, "make the font again, see its README"


def test_no_page_names_a_content_delivery_network(html):
    """Not even in a string that only a click would use."""
    for path in html.rglob("*.html"):
        assert not re.search(r"unpkg\.com|jsdelivr|cdnjs|googleapis", path.read_text(encoding="utf-8")), path


def test_release_check(tmp_path):
    def check(url):
        (tmp_path / "_config.yml").write_text(f"repository:\n  url: {url}\n")
        return release_check.problems(tmp_path)

    assert "placeholder" in check(nnzen_book.PLACEHOLDER)[0]
    assert "placeholder" in check(nnzen_book.PLACEHOLDER + ".git")[0]
    assert "must begin with https://" in check("git@github.com:a/b.git")[0]
    url = "https://github.com/someone/nnzen"
    assert check(url) == []
    chapter = tmp_path / "chapters" / "99_test.ipynb"
    chapter.parent.mkdir()
    chapter.write_text(json.dumps({"cells": [{"source": "# Title"}, {"source": "import nnzen as nz"}]}))
    (problem,) = check(url)
    assert f"99_test.ipynb: the first code cell does not install nnzen from {url}" in problem
    chapter.write_text(json.dumps({"cells": [{"source": "# Title"}, {"source": release_check.install_cell(url)}]}))
    assert check(url) == []


def test_buttons_keep_a_real_address():
    app = SimpleNamespace(
        config=SimpleNamespace(html_theme_options={"repository_url": "https://github.com/someone/nnzen"})
    )
    context = {"header_buttons": [{"url": "https://github.com/someone/nnzen"}], "pathto": str}
    nnzen_book.explain_placeholder(app, "p", "t", context, None)
    assert context["header_buttons"] == [{"url": "https://github.com/someone/nnzen"}]


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("Predict.", "nz-predict"),
        ("Published claim Z-09.", "nz-published"),
        ("Published claims C-06, C-07.", "nz-published"),
        ("Predictions", None),
        ("Published claim", None),
    ],
)
def test_callouts(label, kind):
    words = nodes.paragraph("", "", nodes.Text(""), nodes.strong("", label), nodes.Text(" What happens?"))
    admonition = nnzen_book.callout(nodes.block_quote("", words))
    if kind is None:
        assert admonition is None
    else:
        assert admonition["classes"] == [kind]
        assert admonition.children[0].astext() == label.rstrip(".")
        assert admonition.children[1].astext() == "What happens?"
