"""Run the chapters, several at a time, keep what is finished, and store their outputs.

An executed chapter goes to ``build/executed/``, with a stamp beside it: a hash of everything that its outputs depend
on (code cells, parameters, this library with its data and studies, versions of the main packages). While the stamp
holds, the chapter is not executed again; that is also how an interrupted run resumes. A chapter that fails leaves the
stored outputs and the last good run alone, and its notebook up to the failing cell in ``build/failed/``.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nnzen.evidence import records_in
from nnzen.execution import Display, Finished, Task, run_tasks
from nnzen.notebooks import (
    Notebook,
    NotebookError,
    code_cells,
    normalize,
    parameters_of,
    read,
    serialize,
    short_path,
    source_of,
    stderr_of,
    with_outputs,
    write_atomically,
    write_problem,
)
from nnzen.runtime import processors

__all__ = [
    "Outcome",
    "RunError",
    "default_jobs",
    "find_chapters",
    "normalize",
    "run_chapters",
    "stamp",
    "versions",
]

_PACKAGES = ("numpy", "scipy", "matplotlib", "scikit-learn", "tensorflow", "keras", "ipykernel")
_NOT_IN_CHAPTERS = ("cli.py", "execution.py", "ledger.py", "notebooks.py", "runner.py")


class RunError(ValueError):
    """A run that cannot start: no chapters, or an option that makes no sense; the message says which."""


@dataclass(frozen=True)
class Outcome:
    """How one chapter fared.

    Attributes
    ----------
    chapter : str
        Its name, such as ``"02_cross_entropy"``, or what was asked for if there is no such chapter.
    state : str
        ``"done"``, ``"unchanged"`` (nothing to do), ``"kept"`` (its data set is missing) or ``"failed"``.
    message : str
        What happened, where, and what to do; empty where there is nothing to say.
    seconds : float
        Execution time; 0 where it was not executed.
    claims : int
        Number of claims in the executed chapter.
    stored : bool
        Its outputs were written back into the chapter.
    """

    chapter: str
    state: str
    message: str = ""
    seconds: float = 0.0
    claims: int = 0
    stored: bool = False


def default_jobs() -> int:
    """Return how many chapters run at a time unless told otherwise: two, or one on a single processor."""
    return min(2, processors())


def find_chapters(start: Path | None = None) -> Path:
    """Return the folder ``chapters`` of the checkout that `start` (the working directory) lies in.

    Raises
    ------
    RunError
        If neither it nor a folder above it holds one with notebooks.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if any((folder / "chapters").glob("*.ipynb")):
            return folder / "chapters"
    raise RunError(f"there is no chapters/ with notebooks in {start} or above; run this in a checkout of the book")


def run_chapters(
    names: Sequence[str] = (),
    *,
    chapters: Path,
    output: Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    timeout: int = 600,
    store: bool = False,
    force: bool = False,
    display: bool = False,
) -> list[Outcome]:
    """Run chapters and report on each; a failing one does not stop the others.

    Parameters
    ----------
    names : sequence of str
        Chapters by number (``"02"``), name or path; all if empty.
    chapters : Path
        Folder of the notebooks.
    output : Path, optional
        Where executed chapters go; ``build/executed`` beside `chapters` by default.
    parameters : mapping, optional
        Values for names in the chapters' ``parameters`` cells; a chapter gets those that it has.
    jobs : int, optional
        How many run at a time; :func:`default_jobs` by default.
    timeout : int
        Seconds that one cell may take.
    store : bool
        Write the outputs of chapters that ran well with their own parameters back into `chapters`.
    force : bool
        Execute unchanged chapters, too.
    display : bool
        Show progress on stdout.

    Returns
    -------
    list of Outcome
        In the order of the chapters; unknown names first.

    Raises
    ------
    RunError
        If an option makes no sense, no chapter has one of the parameters, or outputs of other than the chapters' own
        parameters were to be stored.
    KeyboardInterrupt
        On Ctrl-C, after all processes have ended; finished chapters are kept.
    """
    jobs = default_jobs() if jobs is None else jobs
    if jobs < 1 or timeout < 1:
        raise RunError(f"jobs is {jobs} and timeout is {timeout}; both must be 1 or more")
    output = (output or chapters.parent / "build" / "executed").resolve()
    paths, outcomes = _select(names, chapters.resolve())
    run = _Run(chapters.resolve(), output, dict(parameters or {}), timeout, store, force)
    screen = Display([path.stem for path in paths]) if display else None
    if screen is None:
        outcomes += run.all(paths, jobs, None)
    else:
        with screen:
            outcomes += run.all(paths, jobs, screen)
    return outcomes


def _select(names: Sequence[str], chapters: Path) -> tuple[list[Path], list[Outcome]]:
    """Resolve names to paths; a name that fits no chapter becomes a failed outcome."""
    every = sorted(chapters.glob("*.ipynb"))
    if not every:
        raise RunError(f"there are no notebooks in {chapters}")
    if not names:
        return every, []
    chosen, unknown = set(), []
    for name in dict.fromkeys(names):
        stem = Path(name).stem if name.endswith(".ipynb") else Path(name).name
        fitting = [p for p in every if p.stem == stem or p.stem.split("_")[0] == stem.zfill(2)]
        chosen.update(fitting)
        if not fitting:
            known = ", ".join(path.stem for path in every)
            unknown.append(Outcome(name, "failed", f"there is no chapter {name!r}; there are: {known}"))
    return sorted(chosen), unknown


# --- stamps -------------------------------------------------------------------------------------------------


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide what a notebook computes."""
    return {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@cache
def _library() -> str:
    """Return a hash of the library as chapters see it: modules, data files and stored studies."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".py", ".json", ".gz") and path.name not in _NOT_IN_CHAPTERS:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def stamp(notebook: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """Return a hash of everything that the outputs of a chapter depend on; its prose is no part of it."""
    code = [[source_of(cell), cell.get("metadata", {}).get("tags", [])] for cell in code_cells(notebook)]
    parts = [code, dict(parameters), _library(), versions()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()


# --- a run --------------------------------------------------------------------------------------------------


@dataclass
class _Chapter:
    path: Path
    source: Notebook
    parameters: dict[str, Any]  # those of the run that this chapter has, where they differ from its own values
    stamp: str


@dataclass
class _Run:
    chapters: Path
    output: Path
    parameters: dict[str, Any]
    timeout: int
    store: bool
    force: bool

    def all(self, paths: Sequence[Path], jobs: int, display: Display | None) -> list[Outcome]:
        outcomes: dict[str, Outcome] = {}
        todo: dict[str, _Chapter] = {}
        chapters = self._read(paths, outcomes)
        for chapter in chapters:
            outcome = self._without_running(chapter)
            if outcome is None:
                todo[chapter.path.stem] = chapter
            else:
                outcomes[chapter.path.stem] = outcome
        for outcome in outcomes.values():
            _show(display, outcome)
        tasks = [Task(name, c.source, c.parameters, self.chapters, self.timeout) for name, c in todo.items()]
        with closing(run_tasks(tasks, jobs=jobs, display=display)) as finished:
            for end in finished:
                outcomes[end.name] = self._finish(todo[end.name], end)
                _show(display, outcomes[end.name])
        for name, message in self._duplicates(outcomes):
            outcomes[name] = replace(outcomes[name], state="failed", message=message)
            _show(display, outcomes[name])
        if self.store:
            for chapter in chapters:
                outcomes[chapter.path.stem] = self._store(chapter, outcomes[chapter.path.stem])
        return [outcomes[path.stem] for path in paths]

    def _read(self, paths: Sequence[Path], outcomes: dict[str, Outcome]) -> list[_Chapter]:
        """Read the chapters; one that cannot be read becomes a failed outcome."""
        sources = {}
        for path in paths:
            try:
                sources[path] = read(path)
            except NotebookError as error:
                outcomes[path.stem] = Outcome(path.stem, "failed", str(error))
        own = {path: parameters_of(source) for path, source in sources.items()}
        known = sorted({name for values in own.values() for name in values})
        for name in self.parameters:
            if sources and name not in known:
                raise RunError(
                    f"no chapter of this run has a parameter {name!r}; they have: {', '.join(known) or 'none'}"
                )
        chapters = []
        for path, source in sources.items():
            given = {k: v for k, v in self.parameters.items() if k in own[path] and not _same(own[path][k], v)}
            if given and self.store:
                raise RunError(
                    f"outputs are stored for the chapters' own parameters only, and {path.stem} would run with "
                    f"{_words(given)}; leave out either --store or the parameters"
                )
            chapters.append(_Chapter(path, source, given, stamp(source, given)))
        return chapters

    def _without_running(self, chapter: _Chapter) -> Outcome | None:
        """Return the outcome of a chapter that need not or cannot be run, and None for all others."""
        name = chapter.path.stem
        unknown, missing = _data_problems(chapter.source)
        if unknown:
            return Outcome(name, "failed", unknown)
        if missing:
            failed = self._write(chapter, normalize(chapter.source), {})
            message = failed or f"stored outputs kept: {missing}"
            return Outcome(name, "failed" if failed else "kept", message, claims=_claims(chapter.source))
        executed = None if self.force else self._unchanged(chapter)
        if executed is None:
            return None
        refreshed = with_outputs(chapter.source, executed)  # prose may have changed
        failed = "" if refreshed == executed else self._write(chapter, refreshed, self._stamp_file(chapter))
        return Outcome(name, "failed" if failed else "unchanged", failed, claims=_claims(refreshed))

    def _executed(self, chapter: _Chapter) -> Path:
        return self.output / chapter.path.name

    def _stamp_path(self, chapter: _Chapter) -> Path:
        return self.output / f"{chapter.path.stem}.stamp.json"

    def _stamp_file(self, chapter: _Chapter) -> dict[str, Any]:
        try:
            content = json.loads(self._stamp_path(chapter).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _unchanged(self, chapter: _Chapter) -> Notebook | None:
        """Return the executed copy if its stamp holds and it is the file that was stamped."""
        stamped = self._stamp_file(chapter)
        path = self._executed(chapter)
        try:
            if stamped.get("stamp") != chapter.stamp or stamped.get("file") != _hash(path.read_text(encoding="utf-8")):
                return None
            return read(path)
        except (OSError, UnicodeDecodeError, NotebookError):
            return None

    def _write(self, chapter: _Chapter, notebook: Notebook, stamped: dict[str, Any]) -> str:
        """Write an executed chapter and its stamp; return what went wrong, if anything did."""
        text = serialize(notebook)
        stamped = stamped and {**stamped, "file": _hash(text)}
        try:
            write_atomically(self._executed(chapter), text)
            write_atomically(self._stamp_path(chapter), json.dumps(stamped, indent=1, sort_keys=True) + "\n")
        except OSError as error:
            return write_problem(self._executed(chapter), error)
        return ""

    def _finish(self, chapter: _Chapter, end: Finished) -> Outcome:
        """Keep a finished chapter, or its remains."""
        name = chapter.path.stem
        claims = _claims(end.notebook) if end.notebook else 0
        problem = str(end.failure) if end.failure else _repeated_ids(end.notebook)
        if problem:
            where = self._write_failed(chapter, end.notebook)
            return Outcome(name, "failed", f"{problem}{where}", end.seconds, claims)
        assert end.notebook is not None
        stamped = {"stamp": chapter.stamp, "seconds": round(end.seconds, 1), "parameters": chapter.parameters}
        failed = self._write(chapter, with_outputs(chapter.source, end.notebook), stamped)
        return Outcome(name, "failed" if failed else "done", failed, end.seconds, claims)

    def _write_failed(self, chapter: _Chapter, notebook: Notebook | None) -> str:
        """Keep a failed notebook for inspection and say where."""
        kept = "Stored outputs and the last good run are untouched."
        if notebook is None:
            return f"\n{kept}"
        path = self.output.with_name("failed") / chapter.path.name
        try:
            write_atomically(path, serialize(notebook))
        except OSError as error:
            return f"\n{kept} {write_problem(path, error)}"
        return f"\nThe notebook up to there: {short_path(path)}. {kept}"

    def _duplicates(self, outcomes: Mapping[str, Outcome]) -> Iterator[tuple[str, str]]:
        """Find claim ids that a chapter of this run shares with an earlier one, executed or stored."""
        owners: dict[str, str] = {}
        for path in sorted(self.chapters.glob("*.ipynb")):
            outcome = outcomes.get(path.stem)
            if outcome is not None and outcome.state == "failed":
                continue
            try:
                notebook = read(self.output / path.name if outcome is not None else path)
            except NotebookError:
                continue
            shared = [id for id in _ids(notebook) if owners.setdefault(id, path.stem) != path.stem]
            others = ", ".join(f"{id!r} ({owners[id]})" for id in shared)
            if shared and outcome is not None:
                yield (
                    path.stem,
                    f"claim ids must be unique in the book; taken by another chapter: {others}. Rename them.",
                )

    def _store(self, chapter: _Chapter, outcome: Outcome) -> Outcome:
        """Write outputs back into the chapter if nothing speaks against it."""
        if outcome.state not in ("done", "unchanged"):
            return outcome
        executed = read(self._executed(chapter))
        text = serialize(normalize(executed))
        problem = ""
        if stderr_of(executed):
            problem = f"{stderr_of(executed)}; silence the cause"
        elif read(chapter.path) != chapter.source:
            problem = "the chapter was edited while it ran; run it again"
        if problem:
            return replace(outcome, state="failed", message=f"outputs not stored: {problem}")
        if chapter.path.read_text(encoding="utf-8") == text:
            return outcome
        try:
            write_atomically(chapter.path, text)
        except OSError as error:
            return replace(outcome, state="failed", message=write_problem(chapter.path, error))
        return replace(outcome, stored=True)


def _show(display: Display | None, outcome: Outcome) -> None:
    if display is not None:
        note = outcome.message if outcome.state == "kept" else ""
        seconds = outcome.seconds or None
        display.finish(outcome.chapter, outcome.state, seconds=seconds, claims=outcome.claims, note=note)


def _data_problems(notebook: Mapping[str, Any]) -> tuple[str, str]:
    """Say which data sets a chapter declares that do not exist, and which are not on this machine."""
    names = notebook.get("metadata", {}).get("nnzen", {}).get("data", [])
    if not names:
        return "", ""
    from nnzen import datasets

    rows = {row.name: row for row in datasets.available()}
    unknown = ", ".join(name for name in names if name not in rows)
    missing = [rows[name] for name in names if name in rows and not rows[name].ready]
    return (
        f"its metadata names unknown data: {unknown}; known are {', '.join(rows)}" if unknown else "",
        "; ".join(f"{row.name} is not here ({row.where}): `nnzen data --get {row.name}` fetches it" for row in missing),
    )


def _ids(notebook: Mapping[str, Any]) -> list[str]:
    return [str(record.get("id")) for record in records_in(notebook)]


def _claims(notebook: Mapping[str, Any]) -> int:
    return len(_ids(notebook))


def _repeated_ids(notebook: Notebook | None) -> str:
    repeated = [id for id, count in Counter(_ids(notebook or {"cells": []})).items() if count > 1]
    return (
        f"failed: it makes more than one claim with the id {', '.join(repeated)}; give each its own" if repeated else ""
    )


def _same(own: Any, given: Any) -> bool:
    return type(own) is type(given) and bool(own == given)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _words(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in parameters.items())
