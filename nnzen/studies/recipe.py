"""The recipe of a study as a hash: what was computed, apart from versions and device.

It covers the code cells of the study's notebook, every function, class and constant of this library that they and
the declared entry functions reach, the grid, and the checksums of the data. Comments, docstrings and formatting do
not change it. The library's code is followed by reading it, without importing anything.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["RecipeError", "code_reached", "recipe_hash"]

_PACKAGE = "nnzen"
# What they return is covered by the data checksums, or does not touch what a study measures.
_NOT_FOLLOWED = {
    f"{_PACKAGE}.{name}"
    for name in (
        "cli",
        "datasets",
        "evidence",
        "execution",
        "exercises",
        "ledger",
        "notebooks",
        "plots",
        "runner",
        "runtime",
        "studies",
    )
}


class RecipeError(ValueError):
    """A notebook or an entry function whose code cannot be followed; the message says which."""


def recipe_hash(
    cells: Sequence[str],
    entries: Sequence[str],
    grid: Mapping[str, Sequence[Any]],
    data: Mapping[str, str],
    *,
    library: Path,
) -> str:
    """Return the SHA-256 of a study's recipe.

    Parameters
    ----------
    cells : sequence of str
        Sources of the notebook's code cells.
    entries : sequence of str
        Entry functions, such as ``"nnzen.training:train"``.
    grid : mapping
        Parameter names and their values.
    data : mapping
        Names of data sets and their checksums.
    library : Path
        Folder of the package.

    Raises
    ------
    RecipeError
        If a cell is not plain Python, or an entry does not exist.
    """
    parts = {
        "cells": [_canonical(_parse(cell, f"code cell {number}")) for number, cell in enumerate(cells, start=1)],
        "code": code_reached(cells, entries, library=library),
        "grid": {name: list(values) for name, values in grid.items()},
        "data": dict(data),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def code_reached(cells: Sequence[str], entries: Sequence[str], *, library: Path) -> dict[str, Any]:
    """Return the definitions that cells and entries reach, by ``module:name``, in a form without comments.

    Raises
    ------
    RecipeError
        If a cell is not plain Python, or an entry does not exist.
    """
    library_code = _Library(library)
    notebook = ast.Module(body=[s for cell in cells for s in _parse(cell, "a code cell").body], type_ignores=[])
    names = _imports(notebook, _PACKAGE)
    waiting = [target for chain in _chains(notebook) for target in library_code.targets(names, {}, chain)]
    waiting += [_entry(library_code, entry) for entry in entries]
    reached: dict[str, Any] = {}
    while waiting:
        module_name, name = waiting.pop()
        key = f"{module_name}:{name}"
        if key in reached:
            continue
        module = library_code.module(module_name)
        assert module is not None
        statements = module.definitions[name]
        reached[key] = [_canonical(statement) for statement in statements]
        for statement in statements:
            for chain in _chains(statement):
                waiting += library_code.targets(module.imports, module.own, chain)
    return reached


def _entry(library: _Library, entry: str) -> tuple[str, str]:
    module_name, _, name = entry.partition(":")
    module = library.module(module_name)
    if module is None or name not in module.definitions:
        raise RecipeError(f"entry function {entry!r} does not exist; it must look like 'nnzen.training:train'")
    return module_name, name


# --- the library as text ------------------------------------------------------------------------------------

_Target = tuple[str, tuple[str, ...]]  # a module, and a chain of attributes in it


@dataclass(frozen=True)
class _Module:
    definitions: dict[str, list[ast.stmt]]
    imports: dict[str, _Target]
    own: dict[str, _Target]


class _Library:
    """Modules of the package by name, parsed when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._modules: dict[str, _Module | None] = {}

    def module(self, name: str) -> _Module | None:
        """Return a module of the package, or None if there is none of that name."""
        if name not in self._modules:
            self._modules[name] = self._load(name)
        return self._modules[name]

    def _load(self, name: str) -> _Module | None:
        package, *parts = name.split(".")
        if package != _PACKAGE:
            return None
        base = self._folder.joinpath(*parts)
        is_package = (base / "__init__.py").is_file()
        path = base / "__init__.py" if is_package else base.with_suffix(".py")
        if not path.is_file():
            return None
        tree = _parse(path.read_text(encoding="utf-8"), str(path))
        definitions: dict[str, list[ast.stmt]] = {}
        for statement in _top_level(tree.body):
            for bound in _bound_names(statement):
                definitions.setdefault(bound, []).append(statement)
        parent = name if is_package else name.rpartition(".")[0]
        return _Module(definitions, _imports(tree, parent), {bound: (name, (bound,)) for bound in definitions})

    def targets(
        self, imports: Mapping[str, _Target], own: Mapping[str, _Target], chain: tuple[str, ...]
    ) -> Iterator[tuple[str, str]]:
        """Yield the definitions that a chain of names such as ``nz.training.fit`` refers to."""
        found = own.get(chain[0]) or imports.get(chain[0])
        if found is not None:
            module, attributes = found
            yield from self._resolve(module, (*attributes, *chain[1:]), seen=frozenset())

    def _resolve(
        self, module_name: str, attributes: tuple[str, ...], seen: frozenset[str]
    ) -> Iterator[tuple[str, str]]:
        while attributes and self.module(f"{module_name}.{attributes[0]}") is not None:
            module_name, attributes = f"{module_name}.{attributes[0]}", attributes[1:]
        module = self.module(module_name)
        if module is None or any(f"{module_name}.".startswith(f"{name}.") for name in _NOT_FOLLOWED):
            return
        if not attributes:
            if module_name != _PACKAGE:  # the module itself is passed on: all of it counts
                yield from ((module_name, name) for name in module.definitions)
        elif attributes[0] in module.definitions:
            yield module_name, attributes[0]
        elif attributes[0] in module.imports and f"{module_name}.{attributes[0]}" not in seen:
            target, inner = module.imports[attributes[0]]
            seen = seen | {f"{module_name}.{attributes[0]}"}
            yield from self._resolve(target, (*inner, *attributes[1:]), seen)


def _parse(source: str, where: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise RecipeError(
            f"{where} is not plain Python ({error.msg} in line {error.lineno}); remove the magic"
        ) from None


def _top_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, those inside if, try, with and for one by one."""
    for statement in body:
        if isinstance(statement, ast.If | ast.Try | ast.With | ast.For):
            for part in ("body", "orelse", "finalbody"):
                yield from _top_level(getattr(statement, part, []))
            for handler in getattr(statement, "handlers", []):
                yield from _top_level(handler.body)
        else:
            yield statement


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def _imports(tree: ast.AST, parent: str) -> dict[str, _Target]:
    """Return the names that import statements anywhere in `tree` bind; relative ones start at `parent`."""
    names: dict[str, _Target] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    names[alias.asname] = (alias.name, ())
                else:
                    names[alias.name.split(".")[0]] = (alias.name.split(".")[0], ())
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = parent.split(".")[: len(parent.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                names[alias.asname or alias.name] = (base, (alias.name,))
    return names


def _chains(tree: ast.AST) -> Iterator[tuple[str, ...]]:
    """Yield ``("nz", "training", "fit")`` for nz.training.fit, and one-name chains for plain names."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        chain: list[str] = []
        inner = node
        while isinstance(inner, ast.Attribute):
            chain.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            yield (inner.id, *reversed(chain))
        else:
            waiting.extend(ast.iter_child_nodes(node))


def _canonical(node: Any) -> Any:
    """Return an AST as lists and strings, the same on every Python: without positions, docstrings, empty fields."""
    if isinstance(node, list):
        return [_canonical(item) for item in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    values = {name: value for name, value in ast.iter_fields(node) if name not in ("ctx", "kind", "type_comment")}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
        values["body"] = node.body[1:]
    if isinstance(node, ast.JoinedStr):  # Python 3.12 adds empty constants to some
        values["values"] = [v for v in node.values if not (isinstance(v, ast.Constant) and v.value == "")]
    fields = {name: _canonical(value) for name, value in values.items() if value is not None and value != []}
    return [type(node).__name__, fields]
