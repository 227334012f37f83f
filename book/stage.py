"""Assemble the book's pages in build/book/ and let Jupyter Book render them to book/_build/html/.

Pages and chapters are copied as they are; what must never be typed by hand is generated: the register of
published claims, the ledger, and one page for each public module of `nnzen`.

    python book/stage.py --stored  chapters with their stored outputs (make html)
    python book/stage.py           chapters from build/executed/ where they exist there (make book)

Warnings are errors. A run that failed leaves nothing behind that could let the next one pass.
"""

from __future__ import annotations

import argparse
import ast
import fcntl
import hashlib
import html
import json
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import yaml
from ledger_page import ledger_html, register_html, sample_html
from release_check import PLACEHOLDER, repository_url

from nnzen.ledger import Ledger

ROOT = Path(__file__).resolve().parent.parent
EXECUTED = ROOT / "build" / "executed"
STAGED = ROOT / "build" / "book"
OUTPUT = ROOT / "book" / "_build"
HTML = OUTPUT / "html"
SAMPLE = "02/softmax-gradient"
"""The claim that the landing page shows."""

__all__ = ["HTML", "StageError", "api_pages", "build", "chapters_in_toc", "main", "render", "stage"]


class StageError(RuntimeError):
    """The book cannot be assembled or rendered; the message says what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Assemble and render the book; return the exit status."""
    parser = argparse.ArgumentParser(description="Render the book to book/_build/html/index.html.")
    parser.add_argument("--stored", action="store_true", help="take all chapters as stored, none from build/executed/")
    options = parser.parse_args(arguments)
    try:
        page = build(executed=None if options.stored else EXECUTED)
    except StageError as error:
        print(f"book: {error}", file=sys.stderr)
        return 1
    print(f"book: {page.relative_to(ROOT)} is ready")
    return 0


def build(executed: Path | None = None) -> Path:
    """Assemble and render the book; return its first page. One build at a time; others wait for it.

    Parameters
    ----------
    executed : Path, optional
        Folder of freshly executed chapters; those that it does not have are taken as stored.

    Raises
    ------
    StageError
        If a page or chapter is missing or unreadable, or Jupyter Book warns of anything.
    """
    with _alone(ROOT / "build" / "book.lock"):
        stage(executed)
        return render()


# --- assembling ---------------------------------------------------------------------------------------------


def stage(executed: Path | None = None, target: Path = STAGED) -> None:
    """Write all sources of the book to `target`; files that did not change keep their time stamps."""
    files = {Path(name): (ROOT / name).read_bytes() for name in ("_config.yml", "_toc.yml")}
    for path in sorted((ROOT / "book").rglob("*")):
        relative = path.relative_to(ROOT)
        if path.is_file() and path.suffix not in (".py", ".pyc") and relative.parts[1] != "_build":
            files[relative] = path.read_bytes()
    for path in sorted((ROOT / "book" / "_ext").glob("*.py")):
        files[path.relative_to(ROOT)] = path.read_bytes()
    chapters = [_newest(name, executed) for name in chapters_in_toc()]
    for path in chapters:
        files[Path("chapters") / path.name] = _hide_injected(path)
    files |= {Path("book/api") / f"{name}.md": page.encode() for name, page in api_pages().items()}
    for name, parts in _generated(chapters).items():
        files[Path(name)] = _fill(name, files[Path(name)].decode(), parts).encode()
    _write(files, target)


def chapters_in_toc() -> list[str]:
    """Return the chapters that `_toc.yml` names, as paths without suffix, in the book's order."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    entries = [entry for part in toc["parts"] for entry in part["chapters"]]
    return [entry["file"] for entry in entries if entry["file"].startswith("chapters/")]


def _newest(name: str, executed: Path | None) -> Path:
    stored = ROOT / f"{name}.ipynb"
    if executed is not None and (executed / stored.name).is_file():
        return executed / stored.name
    if not stored.is_file():
        raise StageError(f"_toc.yml names {name}, but {name}.ipynb does not exist; add it or remove the entry")
    return stored


def _hide_injected(path: Path) -> bytes:
    """Return a notebook's bytes, with papermill's injected parameters marked as not to be shown."""
    source = path.read_bytes()
    if b"injected-parameters" not in source:
        return source
    notebook = json.loads(source)
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags", [])
        if "injected-parameters" in tags and "remove-cell" not in tags:
            tags.append("remove-cell")
    return json.dumps(notebook, ensure_ascii=False, indent=1).encode()


def _generated(chapters: list[Path]) -> dict[str, dict[str, str]]:
    """Return what is generated into pages: for each page, the parts by the name of their place in it."""
    from nnzen import ledger, studies

    try:
        book_ledger = ledger.collect(chapters)
    except (ledger.LedgerError, studies.StudyError) as error:
        raise StageError(str(error)) from error
    articles, _ = ledger.register()
    return {
        "book/index.md": {"repository": _repository_note(), "sample": _sample(book_ledger)},
        "book/published.md": {"register": register_html(articles, book_ledger)},
        "book/ledger.md": {"ledger": ledger_html(book_ledger)},
        "book/api.md": {"modules": _module_table()},
    }


def _sample(book_ledger: Ledger) -> str:
    try:
        return sample_html(book_ledger, SAMPLE)
    except KeyError:
        raise StageError(f"no chapter makes the claim {SAMPLE}; name another one in book/stage.py (SAMPLE)") from None


def _fill(name: str, page: str, parts: dict[str, str]) -> str:
    for place, content in parts.items():
        mark = f"<!-- generated: {place} -->"
        if mark not in page:
            raise StageError(f"{name} has no line {mark!r}; put it where the {place} belongs")
        page = page.replace(mark, content)
    return page


def _repository_note() -> str:
    url = repository_url(ROOT)
    if url != PLACEHOLDER:
        return f"The repository is [{url.removeprefix('https://')}]({url})."
    return (
        ":::{note}\nThis copy of the book has not been published: its repository has no public address yet. "
        "The repository, Colab and Binder buttons therefore lead to this section.\n:::"
    )


def _write(files: dict[Path, bytes], target: Path) -> None:
    for relative, content in files.items():
        path = target / relative
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for path in sorted(target.rglob("*")):
        if path.is_file() and path.relative_to(target) not in files and "__pycache__" not in path.parts:
            path.unlink()


# --- pages of the library -----------------------------------------------------------------------------------


def public_modules() -> list[str]:
    """Return the names of all modules of `nnzen` that declare ``__all__``, packages before their modules."""
    import nnzen

    names = [info.name for info in pkgutil.walk_packages(nnzen.__path__, "nnzen.") if "._" not in info.name]
    return sorted(name for name in names if _public_names(name))


def api_pages() -> dict[str, str]:
    """Return one page for each public module: its docstring and everything in its ``__all__`` that it defines.

    What a package passes on from its modules is described on their pages alone, so that a reference has one target.
    The hash of the module's source lets Sphinx notice that a page is out of date.
    """
    page = "# {0}\n\n<!-- source {1} -->\n\n```{{eval-rst}}\n.. automodule:: {0}\n{2}```\n"
    return {name: page.format(name, _source_hash(name), _members(name)) for name in public_modules()}


def _members(name: str) -> str:
    imports = [node for node in _tree(name).body if isinstance(node, ast.ImportFrom)]
    passed_on = {alias.name for node in imports for alias in node.names}
    return "" if passed_on.issuperset(_public_names(name)) else "   :members:\n"


def _module_table() -> str:
    rows = [f"| [`{name}`](api/{name}.md) | {_summary(name)} |" for name in public_modules()]
    return "\n".join(["| module | what it holds |", "|---|---|", *rows])


def _summary(name: str) -> str:
    docstring = ast.get_docstring(_tree(name)) or ""
    return docstring.split("\n\n")[0].replace("\n", " ").replace("``", "`").replace("|", "\\|")


def _public_names(name: str) -> list[str]:
    """Read ``__all__`` without importing the module (some load TensorFlow)."""
    for node in _tree(name).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    return []


def _tree(name: str) -> ast.Module:
    return ast.parse(_source(name).read_text(encoding="utf-8"))


def _source_hash(name: str) -> str:
    return hashlib.sha256(_source(name).read_bytes()).hexdigest()[:12]


def _source(name: str) -> Path:
    path = ROOT.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


# --- rendering ----------------------------------------------------------------------------------------------


def render() -> Path:
    """Let Jupyter Book render what is staged; only changed pages if nothing concerns all of them."""
    mark = OUTPUT / "fingerprint"
    fingerprint = _fingerprint()
    if not mark.is_file() or mark.read_text() != fingerprint:
        shutil.rmtree(OUTPUT, ignore_errors=True)
    mark.unlink(missing_ok=True)
    command = [Path(sys.executable).with_name("jupyter-book"), "build", STAGED, "--path-output", OUTPUT.parent]
    finished = subprocess.run([*map(str, command), "-W", "-n", "--keep-going", "-q"], cwd=ROOT)
    if finished.returncode != 0:
        raise StageError("Jupyter Book failed or warned (see above); warnings are errors")
    page = HTML / "index.html"
    page.write_text(_redirect("book/index.html"), encoding="utf-8")
    mark.write_text(fingerprint)
    return page


def _fingerprint() -> str:
    """Hash of everything that concerns all pages: configuration, page names, extension, own static files, versions."""
    digest = hashlib.sha256()
    paths = [path for pattern in ("_*.yml", "book/_ext/*.py", "book/_static/*.*") for path in STAGED.glob(pattern)]
    for path in sorted(paths):
        digest.update(path.read_bytes())
    digest.update(repr(sorted(p.name for p in STAGED.rglob("*") if p.suffix in (".md", ".ipynb"))).encode())
    digest.update(repr([version(name) for name in ("jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme")]).encode())
    return digest.hexdigest()


def _redirect(url: str) -> str:
    title = html.escape(yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["title"])
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta http-equiv="refresh" content="0; url={url}">\n<link rel="canonical" href="{url}">\n'
        f'<main><h1>{title}</h1><p><a href="{url}">Open the book</a></p></main>\n</html>\n'
    )


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    raise SystemExit(main())
