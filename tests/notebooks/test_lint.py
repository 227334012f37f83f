"""Every chapter keeps to every rule; the rules themselves are tested in test_rules.py."""

import nbformat
import pytest

from nnzen import notebooks
from tests.notebooks import book, rules


def test_there_are_chapters():
    assert book.CHAPTERS, "no notebooks in chapters/"


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", book.CHAPTERS, ids=book.name)
def test_chapter(path, rule):
    violations = rule(book.read(path))
    assert not violations, "\n".join([f"{path.name}: {rule.__doc__.splitlines()[0]}", *violations])


@pytest.mark.parametrize("rule", rules.BOOK_RULES, ids=lambda rule: rule.__name__)
def test_book(rule):
    violations = rule({book.name(path): book.read(path) for path in book.CHAPTERS})
    assert not violations, "\n".join([rule.__doc__.splitlines()[0], *violations])


@pytest.mark.parametrize("path", book.CHAPTERS, ids=book.name)
def test_chapter_is_stored_in_normal_form(path):
    nbformat.validate(book.read(path))
    normal = notebooks.serialize(notebooks.normalize(notebooks.read(path)))
    assert path.read_text(encoding="utf-8") == normal, f"store it with `nnzen run --store {path.stem}`"
