"""Notebook files as plain dictionaries: reading, one normal form, writing in one step.

The normal form (:func:`normalize`) makes a stored chapter a function of its sources and outputs alone: cell ids
are hashes of the sources, and nothing tells when, where or by whom it was run. ``nbformat`` is not imported here:
it takes seconds, and these functions run before and between the notebooks.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import errno
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "INJECTED",
    "NotebookError",
    "code_cells",
    "disk_is_full",
    "first_line",
    "normalize",
    "parameters_of",
    "read",
    "serialize",
    "short_path",
    "source_of",
    "stderr_of",
    "with_outputs",
    "write_atomically",
    "write_problem",
]

Notebook = dict[str, Any]

INJECTED = "injected-parameters"
"""Tag that papermill gives to the cell with the parameters of a run."""

_PAPERMILL_MARKER = "papermill-error-cell-tag"
_KEPT_CELL_METADATA = ("mystnb", "nnzen", "tags")
_KEPT_NOTEBOOK_METADATA = ("nnzen",)
_CELL_TYPES = ("code", "markdown", "raw")


class NotebookError(ValueError):
    """A file that is not a readable notebook; the message names it and says what is wrong."""


def read(path: Path) -> Notebook:
    """Read a notebook and check its outer structure.

    Raises
    ------
    NotebookError
        If the file is missing, is not JSON, or is not a notebook of format 4.
    """
    name = short_path(path)
    remedy = "restore it from version control or repair it in an editor"
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotebookError(f"{name} does not exist") from None
    except UnicodeDecodeError as error:
        raise NotebookError(f"{name} is not UTF-8 text (byte {error.start}); {remedy}") from None
    except json.JSONDecodeError as error:
        where = f"{error.msg} in line {error.lineno}, column {error.colno}"
        raise NotebookError(f"{name} is not a notebook: its JSON is broken ({where}); {remedy}") from None
    except OSError as error:
        raise NotebookError(f"{name} cannot be read: {error.strerror}") from None
    problem = _structure_problem(notebook)
    if problem:
        raise NotebookError(f"{name} is not a notebook: {problem}; {remedy}")
    return notebook


def _structure_problem(notebook: Any) -> str:
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        return "it has no list of cells"
    if notebook.get("nbformat") != 4:
        return f"its nbformat is {notebook.get('nbformat')!r}, expected 4"
    if not isinstance(notebook.get("metadata", {}), dict):
        return "its metadata is not an object"
    for number, cell in enumerate(notebook["cells"], start=1):
        if not isinstance(cell, dict) or cell.get("cell_type") not in _CELL_TYPES:
            return f"cell {number} is not a code, Markdown or raw cell"
        source = cell.get("source")
        if not isinstance(source, str) and not (isinstance(source, list) and all(isinstance(x, str) for x in source)):
            return f"cell {number} has no source"
        if cell["cell_type"] == "code" and not isinstance(cell.get("outputs"), list):
            return f"code cell {number} has no list of outputs"
    return ""


def source_of(cell: Mapping[str, Any]) -> str:
    """Return the source of a cell as one string."""
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def first_line(source: str) -> str:
    """Return the first line that is not empty, shortened to 60 characters.

    >>> first_line("\\n# a comment\\nx = 1")
    '# a comment'
    """
    line = next((line.strip() for line in source.splitlines() if line.strip()), "")
    return line if len(line) <= 60 else line[:59] + "…"


def _tags(cell: Mapping[str, Any]) -> list[str]:
    return list(cell.get("metadata", {}).get("tags", []))


def code_cells(notebook: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the chapter's own code cells, without the one that papermill injects."""
    return [c for c in notebook["cells"] if c["cell_type"] == "code" and INJECTED not in _tags(c)]


def parameters_of(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names assigned in the cell tagged ``parameters``, with their values where they are literals.

    A value that is not a literal, such as ``2 * 3``, is returned as `Ellipsis`: it equals no given parameter.
    """
    cell = next((c for c in code_cells(notebook) if "parameters" in _tags(c)), None)
    if cell is None:
        return {}
    try:
        statements = ast.parse(source_of(cell)).body
    except SyntaxError:
        return {}
    found: dict[str, Any] = {}
    for statement in statements:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and getattr(statement, "value", None) is not None:
                found[target.id] = _literal(statement.value)  # type: ignore[attr-defined]
    return found


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ...


def normalize(notebook: Mapping[str, Any], *, keep_parameters: bool = False) -> Notebook:
    """Return the normal form of a notebook; the argument is left alone.

    Kernel and language are named in the same way everywhere; cell ids are 8 hexadecimal digits of a hash of type
    and source, with a suffix for repeats; code cells are counted from 1; neighbouring streams of the same name are
    joined. Of the metadata of cells, ``tags``, ``nnzen`` and ``mystnb`` stay; of the notebook's, ``nnzen``. Outputs
    keep theirs.

    Parameters
    ----------
    notebook : mapping
        A notebook of format 4, as `json` or `nbformat` reads it.
    keep_parameters : bool
        Keep the cell with injected parameters, hidden from the book by the tag ``remove-cell``.

    Examples
    --------
    >>> cell = {"cell_type": "code", "source": "1 + 1", "metadata": {"scrolled": True}, "outputs": []}
    >>> normal = normalize({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 2})
    >>> normal["cells"][0]["metadata"], normal == normalize(normal)
    ({}, True)
    """
    repeats: Counter[str] = Counter()
    cells = []
    count = 0
    for cell in notebook["cells"]:
        tags = _tags(cell)
        if _PAPERMILL_MARKER in tags or (INJECTED in tags and not keep_parameters):
            continue
        new = _normal_cell(cell, repeats)
        if new["cell_type"] == "code":
            if cell.get("execution_count") is not None:
                count += 1
                new["execution_count"] = count
            new["outputs"] = _normal_outputs(cell["outputs"], new["execution_count"])
        cells.append(new)
    metadata = {k: copy.deepcopy(v) for k, v in notebook.get("metadata", {}).items() if k in _KEPT_NOTEBOOK_METADATA}
    metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata["language_info"] = {"name": "python"}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _normal_cell(cell: Mapping[str, Any], repeats: Counter[str]) -> dict[str, Any]:
    source = source_of(cell)
    digest = hashlib.sha256(f"{cell['cell_type']}\n{source}".encode()).hexdigest()[:8]
    repeats[digest] += 1
    metadata = {k: copy.deepcopy(v) for k, v in cell.get("metadata", {}).items() if k in _KEPT_CELL_METADATA}
    if INJECTED in metadata.get("tags", []):
        metadata["tags"] = [INJECTED, "remove-cell"]
    if not metadata.get("tags"):
        metadata.pop("tags", None)
    new = {
        "cell_type": cell["cell_type"],
        "id": digest if repeats[digest] == 1 else f"{digest}-{repeats[digest]}",
        "metadata": metadata,
        "source": source.splitlines(True),
    }
    if cell["cell_type"] == "code":
        new["execution_count"] = None
    elif cell.get("attachments"):
        new["attachments"] = copy.deepcopy(cell["attachments"])
    return new


def _normal_outputs(outputs: Iterable[Mapping[str, Any]], count: int | None) -> list[dict[str, Any]]:
    normal: list[dict[str, Any]] = []
    for output in outputs:
        new = {k: copy.deepcopy(v) for k, v in output.items() if k != "transient"}
        if new["output_type"] == "stream":
            text = source_of({"source": new["text"]})
            if normal and normal[-1]["output_type"] == "stream" and normal[-1]["name"] == new["name"]:
                text = "".join(normal.pop()["text"]) + text
            new["text"] = text.splitlines(True)
        for kind, value in new.get("data", {}).items():
            if isinstance(value, str) and kind != "application/json":
                new["data"][kind] = value.splitlines(True)
        if new["output_type"] == "execute_result":
            new["execution_count"] = count
        normal.append(new)
    return normal


def with_outputs(source: Mapping[str, Any], executed: Mapping[str, Any]) -> Notebook:
    """Return the normal form of `source` with the outputs of `executed`, and its injected parameters if it has them.

    Raises
    ------
    NotebookError
        If the code cells of the two differ.
    """
    ran = code_cells(executed)
    notebook = copy.deepcopy(dict(source))
    own = code_cells(notebook)
    if [source_of(c) for c in own] != [source_of(c) for c in ran]:
        raise NotebookError("the code cells of the notebook and of its executed copy differ; execute it again")
    for cell, done in zip(own, ran, strict=True):
        cell["outputs"], cell["execution_count"] = done["outputs"], done.get("execution_count")
    injected = [c for c in executed["cells"] if INJECTED in _tags(c)]
    if injected:
        position = next((i for i, c in enumerate(notebook["cells"]) if "parameters" in _tags(c)), -1) + 1
        notebook["cells"][position:position] = injected
    return normalize(notebook, keep_parameters=True)


def stderr_of(notebook: Mapping[str, Any]) -> str:
    """Say in words where a notebook wrote to stderr or shows an error, or return an empty string."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        where = f"in code cell {number} (`{first_line(source_of(cell))}`)"
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                return f"it shows the error {output['ename']} {where}"
            if output["output_type"] == "stream" and output["name"] == "stderr":
                return f"it wrote to stderr {where}: {first_line(source_of({'source': output['text']}))}"
    return ""


def serialize(notebook: Mapping[str, Any]) -> str:
    """Return the text of a notebook file: sorted keys, one space of indentation, a newline at the end."""
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a whole file or nothing: to a temporary neighbour first, which then takes the name.

    Raises
    ------
    OSError
        If it cannot be written, for example on a full disk. The old file is untouched and no rest is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def disk_is_full(error: BaseException) -> bool:
    """Say whether an error means that no space is left, on the device or in the user's quota."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def write_problem(path: Path, error: OSError) -> str:
    """Say in words why a file could not be written, and what to do."""
    if not disk_is_full(error):
        return f"{short_path(path)} cannot be written: {error.strerror or error}. What was there is untouched."
    free = shutil.disk_usage(next(p for p in path.absolute().parents if p.exists())).free / 2**20
    return (
        f"the disk is full: {short_path(path)} was not written ({free:.0f} MiB free). Free some space and run "
        "again; what was there is untouched."
    )


def short_path(path: Path) -> str:
    """Return a path relative to the working directory where it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
