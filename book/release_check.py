"""Refuse a release while something in it is still a placeholder: ``python book/release_check.py``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from nnzen_book import PLACEHOLDER  # noqa: E402

__all__ = ["install_cell", "main", "problems", "repository_url"]


def repository_url(root: Path = ROOT) -> str:
    """Return ``repository.url`` of the book's configuration, the one place that knows it."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    return str(config["repository"]["url"])


def install_cell(url: str) -> str:
    """Return the source of a chapter's first code cell once the book has an address: it installs what is missing."""
    return (
        "try:\n"
        "    import nnzen as nz\n"
        "except ModuleNotFoundError:  # as in Colab\n"
        "    import subprocess\n"
        "    import sys\n"
        "\n"
        f'    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "git+{url}"], check=True)\n'
        "    import nnzen as nz"
    )


def problems(root: Path = ROOT) -> list[str]:
    """Return what forbids a release, in words; an empty list if nothing does."""
    url = repository_url(root)
    if url.rstrip("/").removesuffix(".git") == PLACEHOLDER:
        return [f"repository.url in _config.yml is the placeholder {url}; write the public address there"]
    if not url.startswith("https://"):
        return [f"repository.url in _config.yml is {url!r}; it must begin with https://"]
    expected = install_cell(url)
    return [
        f"chapters/{path.name}: the first code cell does not install nnzen from {url}; it must be:\n{expected}"
        for path in sorted((root / "chapters").glob("*.ipynb"))
        if "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][1]["source"]) != expected
    ]


def main() -> int:
    """Print every problem and return the exit status."""
    found = problems()
    for problem in found:
        print(f"release check: {problem}", file=sys.stderr)
    if not found:
        print(f"release check: nothing found; the book points to {repository_url()}")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
