"""The wheel runs a chapter as Colab would: outside the checkout, at the lowest versions that it admits."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOWEST = ROOT / "tests" / "package" / "lowest.txt"
CHAPTER = ROOT / "chapters" / "02_cross_entropy.ipynb"


def run(*command, cwd=None):
    # A kernel or a package found through the checkout's environment would hide what the wheel lacks.
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH", "JUPYTER_PATH")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def uv(*arguments, **options):
    return run(sys.executable, "-m", "uv", *arguments, "--quiet", **options)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder, ROOT)
    (path,) = folder.glob("nnzen-*.whl")
    return path


def test_the_wheel_carries_what_a_chapter_needs_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "nnzen/data/fashion_mnist/train-images-idx3-ubyte.gz",
        "nnzen/data/fashion_mnist/LICENSE",
        "nnzen/data/published.json",
        "nnzen/py.typed",
    ):
        assert needed in names
    for study in (ROOT / "nnzen" / "studies").glob("*.ipynb"):
        results = study.with_suffix(".json")
        assert {f"nnzen/studies/{part.name}" for part in (study, results) if part.exists()} <= set(names)
    assert not [name for name in names if name.startswith(("tests", "chapters", "book"))]


def test_the_lowest_versions_are_those_that_pyproject_declares():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    # A package may be pinned several times, for several Pythons; the first pin is for the lowest one.
    pins = dict(reversed(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", LOWEST.read_text(), flags=re.MULTILINE)))
    for requirement in map(Requirement, declared):
        (lowest,) = (s.version for s in requirement.specifier if s.operator == ">=")
        assert Version(pins[requirement.name]) == Version(lowest), requirement.name


def test_a_chapter_runs_in_a_clean_environment_with_the_lowest_versions(wheel, tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    # Not in the checkout: uv would read the constraints of its pyproject.toml.
    uv("venv", "--python", sys.executable, python.parents[1], cwd=tmp_path)
    uv("pip", "install", "--python", python, "--require-hashes", "-r", LOWEST, cwd=tmp_path)
    uv("pip", "install", "--python", python, "--no-deps", wheel, cwd=tmp_path)
    chapter = Path(shutil.copy(CHAPTER, tmp_path))
    output = tmp_path / "executed.ipynb"
    run(python, "-m", "papermill", "--no-progress-bar", "--kernel", "python3", chapter, output, cwd=tmp_path)
    count = run(
        python,
        "-c",
        f"import nnzen, nnzen.evidence, json; assert 'site-packages' in nnzen.__file__, nnzen.__file__; "
        f"print(len(list(nnzen.evidence.records_in(json.load(open({str(output)!r}))))))",
        cwd=tmp_path,
    )
    assert int(count) > 0, "the chapter made no claim"
