"""The files around the library: in step with each other, complete, and free of what only one machine has."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import nnzen

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ("3.11", "3.12", "3.13")
MODULES = sorted(path.relative_to(ROOT) for path in (ROOT / "nnzen").rglob("*.py"))


def tracked() -> list[Path]:
    """Every file of the repository: in git or new, not ignored; a copy without git is read as it lies."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]
    parts = ("nnzen", "tests", "book", "chapters", ".github", ".ci")
    return [path for part in parts for path in (ROOT / part).rglob("*") if path.is_file()]


# --- versions -----------------------------------------------------------------------------------------------


def test_one_version_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    found = {"CITATION.cff": citation["version"], "CHANGELOG.md": newest[1], "nnzen": nnzen.__version__}
    assert found == dict.fromkeys(found, PROJECT["version"])


def test_citation_has_what_a_citation_needs() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "version", "date-released", "license"} <= set(citation)
    assert citation["title"] in (ROOT / "README.md").read_text()


# --- the lock -----------------------------------------------------------------------------------------------


def locked() -> list[tuple[Requirement, list[str]]]:
    """Read the lock: each requirement with its hashes."""
    lines = (ROOT / "requirements.lock").read_text().replace("\\\n", " ").splitlines()
    entries = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return [(Requirement(re.split(r"\s+--hash", line)[0]), re.findall(r"--hash=(\S+)", line)) for line in entries]


def test_lock_has_exact_versions_and_hashes() -> None:
    for requirement, hashes in locked():
        assert [spec.operator for spec in requirement.specifier] == ["=="], requirement
        assert requirement.url is None, requirement
        assert hashes, f"{requirement.name} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes), requirement


def test_lock_names_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    options = [line for line in text.splitlines() if re.match(r"\s*-(?!-hash)", line)]
    assert not options


def environments() -> list[dict[str, str]]:
    systems = [
        {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
        {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
    ]
    return [
        {**default_environment(), **system, "python_version": python, "python_full_version": f"{python}.7"}
        for python in PYTHONS
        for system in systems
    ]


@pytest.mark.parametrize("environment", environments(), ids=lambda e: f"{e['python_version']}-{e['sys_platform']}")
def test_lock_satisfies_the_project(environment: dict[str, str]) -> None:
    versions = {
        requirement.name.lower(): Version(next(iter(requirement.specifier)).version)
        for requirement, _ in locked()
        if requirement.marker is None or requirement.marker.evaluate(environment)
    }
    extras = PROJECT["optional-dependencies"].values()
    for text in [*PROJECT["dependencies"], *(text for extra in extras for text in extra)]:
        wanted = Requirement(text)
        assert wanted.name in versions, f"the lock lacks {wanted.name}; run `make lock`"
        assert wanted.specifier.contains(versions[wanted.name]), f"{wanted} but locked {versions[wanted.name]}"


def test_lock_has_one_version_of_a_package_at_a_time() -> None:
    for environment in environments():
        names = [r.name for r, _ in locked() if r.marker is None or r.marker.evaluate(environment)]
        assert len(names) == len(set(names))


def test_python_versions_agree() -> None:
    admitted = SpecifierSet(PROJECT["requires-python"])
    assert [v for v in ("3.10", *PYTHONS, "3.14") if Version(v) in admitted] == list(PYTHONS)
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == list(PYTHONS)


def test_conda_environment_is_the_same() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    [python] = [entry for entry in plain if entry.split()[0] == "python"]
    assert python.split(maxsplit=1)[1].replace(" ", "") == PROJECT["requires-python"].replace(" ", "")
    assert "pip" in plain
    [pip] = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-r requirements.lock"]
    assert environment["name"] == PROJECT["name"]


# --- commands and links -------------------------------------------------------------------------------------

PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE-text.md", "_config.yml")


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", [*PAGES, ".github/workflows/ci.yml", ".github/workflows/scheduled.yml"])
def test_commands_that_are_named_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    in_code = re.findall(r"`([^`\n]+)`|^(?:    |\s*run: )(.+)$|^(make .+)$", text, re.MULTILINE)
    commands = [part for match in in_code for part in match if part]
    named = {target for command in commands for target in re.findall(r"\bmake ([a-z][a-z-]+)", command)}
    assert named <= make_targets(), f"{page} names make targets that do not exist"


@pytest.mark.parametrize("page", PAGES[:-1])
def test_relative_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text) + re.findall(r'src="(?!https?:)([^"]+)"', text)
    missing = [target for target in targets if not (ROOT / target).exists()]
    assert not missing


def test_workflows_run_what_ci_runs() -> None:
    def commands(name: str, job: str) -> list[str]:
        workflow = yaml.safe_load((ROOT / ".github/workflows" / name).read_text())
        return [step["run"] for step in workflow["jobs"][job]["steps"] if "run" in step]

    assert ".ci/run" in commands("ci.yml", "test")
    assert "make verify" in commands("scheduled.yml", "verify")
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert re.search(r"^make test$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert "make test" in (ROOT / "README.md").read_text()


def test_hooks_download_nothing() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks)


def test_licences_are_there() -> None:
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
    assert "Creative Commons Attribution 4.0" in (ROOT / "LICENSE-text.md").read_text()
    assert "Zalando SE" in (ROOT / "nnzen/data/fashion_mnist/LICENSE").read_text()


# --- nothing that only one machine has ----------------------------------------------------------------------

INDEX = re.compile(
    r"(?<!emit-)\bindex-url\s*[=\s]\s*\S|\bregistry\s*=|\bindex_url\b|//registry\.|/simple/?[\s\"']", re.IGNORECASE
)


def test_no_file_names_a_package_index() -> None:
    found = []
    for path in tracked():
        if path == Path(__file__) or path.suffix in {".gz", ".png", ".woff", ".woff2", ".js"}:
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        found += [f"{path.relative_to(ROOT)}: {match.group()!r}" for match in INDEX.finditer(text)]
    assert not found


def test_no_file_is_larger_than_a_repository_can_bear() -> None:
    data = ROOT / "nnzen/data/fashion_mnist"
    large = {path.relative_to(ROOT): path.stat().st_size for path in tracked() if data not in path.parents}
    assert not {path: size for path, size in large.items() if size > 3_000_000}


# --- the package --------------------------------------------------------------------------------------------

HEAVY = ("tensorflow", "keras", "numpy", "scipy", "matplotlib", "sklearn", "IPython", "papermill", "typer", "rich")
IMPORT = f"""
import json, sys, time
start = time.perf_counter()
import nnzen
seconds = time.perf_counter() - start
print(json.dumps({{"seconds": seconds, "heavy": [name for name in {HEAVY} if name in sys.modules]}}))
"""


def test_import_is_quick_and_loads_nothing_heavy() -> None:
    runs = []
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", IMPORT], cwd="/", capture_output=True, text=True, check=True)
        runs.append(json.loads(done.stdout))
        assert runs[-1]["heavy"] == []
        assert done.stderr == ""
    assert min(run["seconds"] for run in runs) <= 0.2


def test_every_public_name_can_be_had() -> None:
    for name in nnzen.__all__:
        assert getattr(nnzen, name) is not None
    assert set(nnzen.__all__) <= set(dir(nnzen))
    with pytest.raises(AttributeError, match=r"nnzen has no attribute 'clain'; it has: .*claim"):
        _ = nnzen.clain


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_modules_say_what_is_public_and_document_it(path: Path) -> None:
    tree = ast.parse((ROOT / path).read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    module = importlib.import_module(name)
    assert isinstance(module.__all__, list), f"{path} has no __all__"
    assert len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        assert hasattr(module, public), f"{name} has no {public}, which its __all__ names"
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    bare = [node.name for node in defined if not node.name.startswith("_") and not ast.get_docstring(node)]
    assert not bare, f"{path}: no docstring: {bare}"
    if path.name == "cli.py":
        return  # its functions are the commands
    hidden = [node.name for node in defined if not node.name.startswith("_") and node.name not in module.__all__]
    assert not hidden, f"{path}: public by name, missing in __all__: {hidden}"
