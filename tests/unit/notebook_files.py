"""Small notebooks for the tests of the runner, the command and the studies."""

import json
from pathlib import Path
from typing import Any


def code(source: str, *tags: str) -> dict[str, Any]:
    """Return a code cell that has not been run."""
    metadata = {"tags": list(tags)} if tags else {}
    return {"cell_type": "code", "execution_count": None, "metadata": metadata, "outputs": [], "source": source}


def markdown(source: str) -> dict[str, Any]:
    """Return a Markdown cell."""
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def notebook(*cells: dict[str, Any] | str, **metadata: Any) -> dict[str, Any]:
    """Return a notebook; strings become code cells."""
    return {
        "cells": [code(cell) if isinstance(cell, str) else cell for cell in cells],
        "metadata": {"nnzen": metadata} if metadata else {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def write(path: Path, *cells: dict[str, Any] | str, **metadata: Any) -> Path:
    """Write a notebook file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook(*cells, **metadata)), encoding="utf-8")
    return path


def claim(id: str, measured: float = 0.5) -> str:
    """Return the source of a cell that makes a claim with the band 0.49 to 0.51."""
    return (
        "import nnzen as nz\n"
        f"nz.claim({id!r}, 'Half of one', measured={measured}, control=1.0, against='no halving', band=(0.49, 0.51))"
    )


def output(cell: dict[str, Any], text: str, name: str = "stdout") -> dict[str, Any]:
    """Return the cell as it looks after printing `text`."""
    return {**cell, "execution_count": 1, "outputs": [{"output_type": "stream", "name": name, "text": text}]}
