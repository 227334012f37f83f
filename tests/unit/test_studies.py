"""Studies: measured over a grid, stored whole, stale when the recipe changes."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nnzen import execution, runtime, studies
from nnzen.execution import Failure, Finished
from nnzen.studies import StudyError
from nnzen.studies.recipe import RecipeError, code_reached, recipe_hash
from tests.unit.notebook_files import code, notebook, write

GRID = {"seed": [3, 1, 2], "model": ["b", "a"]}
DECLARED = {"name": "small", "grid": GRID, "data": ["fashion_mnist"], "toy": {"epochs": 1}}
CELLS = (code("seed = 0\nmodel = 'a'\nepochs = 5", "parameters"), "import nnzen as nz\nnz.studies.record(score=seed)")


def make_study(folder, *cells, **changes):
    """Write a study notebook without results."""
    return write(folder / "small.ipynb", *(cells or CELLS), study={**DECLARED, **changes})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_study(tmp_path)
    return tmp_path


@pytest.fixture
def runs(monkeypatch):
    """No kernels: a cell measures score = seed + 10 for model a; the list tells what was run."""
    seen = []

    def run_tasks(tasks, **options):
        for task in tasks:
            seen.append((task.name, task.parameters))
            measured = {"score": float(task.parameters["seed"] + 10 * (task.parameters["model"] == "a"))}
            yield Finished(task.name, recorded({"measured": measured, "device": "a test"}), None, 0.1)

    monkeypatch.setattr(execution, "run_tasks", run_tasks)
    return seen


def recorded(*records):
    outputs = [{"output_type": "display_data", "data": {}, "metadata": {"nnzen_study": r}} for r in records]
    return notebook({**code("record()"), "outputs": outputs})


# --- results ------------------------------------------------------------------------------------------------


def test_a_study_is_measured_stored_and_loaded(folder, runs):
    run = studies.run_study("small", folder=folder)
    assert (run.stored, run.missing, len(run.measured)) == (True, (), 6)
    assert run.measured[0] == {"cell": 0, "parameters": {"model": "b", "seed": 3}, "measured": {"score": 3.0}}
    study = studies.load("small", folder=folder)
    assert (study.name, study.stale, study.grid, study.device) == ("small", False, GRID, "a test")
    assert study.values("score", model="a").tolist() == [13, 11, 12]
    assert study.values("score").tolist() == [3, 1, 2, 13, 11, 12]
    assert study.values("score", model="b", seed=1).tolist() == [1]
    assert set(study.versions) >= {"python", "numpy", "tensorflow", "keras"}
    text = (folder / "small.json").read_text()
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"
    assert set(json.loads(text)) == {"study", "recipe", "grid", "data", "cells", "versions", "device", "checksum"}


def test_intervals_are_those_of_student(folder, runs):
    studies.run_study("small", folder=folder)
    study = studies.load("small", folder=folder)
    low, high = study.prediction_interval("score", confidence=0.9, model="b")
    assert (low + high) / 2 == pytest.approx(2)
    assert (high - low) / 2 == pytest.approx(stats.t(2).ppf(0.95) * 1.0 * np.sqrt(4 / 3))
    low, high = study.mean_interval("score", model="b")
    assert (low, high) == pytest.approx(stats.t(2, 2, 1 / np.sqrt(3)).interval(0.95))


def test_one_new_run_falls_in_the_prediction_interval_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(500):
        *old, new = rng.normal(5, 2, size=6)
        low, high = studies._prediction_interval(old, 0.9)
        inside += low <= new <= high
    assert abs(inside / 500 - 0.9) < 4 * np.sqrt(0.9 * 0.1 / 500)


def test_wrong_questions_say_what_there_is(folder, runs):
    studies.run_study("small", folder=folder)
    study = studies.load("small", folder=folder)
    for question, answer in [
        (lambda: study.values("loss"), "no measure 'loss'; it has: score"),
        (lambda: study.values("score", size=1), "no parameter 'size'; it has: model, seed"),
        (lambda: study.values("score", model="c"), r"no model='c'; it has: \['b', 'a'\]"),
        (lambda: study.prediction_interval("score"), "several settings; choose one value each of .*model"),
        (lambda: study.prediction_interval("score", model="a", seed=1), "two runs or more; there are 1"),
        (lambda: study.prediction_interval("score", model="a", confidence=99.9), "between 0 and 1"),
    ]:
        with pytest.raises(ValueError, match=answer):
            question()


def test_a_study_prints_and_displays(folder, runs):
    studies.run_study("small", folder=folder)
    study = studies.load("small", folder=folder)
    assert repr(study) == study.describe()
    assert "Study small: 6 runs (2 of model, 3 of seed)" in study.describe()
    assert "model=a: score 12 ± 1 (mean ± SD of 3)" in study.describe()
    assert "<td>12 ± 1</td>" in study._repr_html_()
    assert studies.summary("small", folder=folder).endswith("; up to date")


# --- running ------------------------------------------------------------------------------------------------


def test_a_study_resumes_cell_by_cell(folder, runs):
    run = studies.run_study("small", cells=[4, 1], folder=folder)
    assert (run.stored, run.missing, [c["cell"] for c in run.measured]) == (False, (0, 2, 3, 5), [1, 4])
    assert not (folder / "small.json").exists()
    assert "4 cells are missing" in str(run)
    run = studies.run_study("small", folder=folder)
    assert (run.stored, [c["cell"] for c in run.measured]) == (True, [0, 2, 3, 5])
    run = studies.run_study("small", folder=folder)
    assert (run.stored, run.measured) == (False, ())
    assert str(run) == "study small is up to date"
    assert len(runs) == 6
    studies.run_study("small", force=True, cells=[2], folder=folder)
    assert len(runs) == 7


def test_other_versions_or_another_recipe_do_not_mix(folder, runs, monkeypatch):
    studies.run_study("small", cells=[0, 1], folder=folder)
    monkeypatch.setattr("nnzen.runner.versions", lambda: {"numpy": "0"})
    assert len(studies.run_study("small", cells=[0], folder=folder).measured) == 1
    make_study(folder, code("seed = 0\nmodel = 'a'\nepochs = 6", "parameters"), CELLS[1])
    assert len(studies.run_study("small", cells=[0], folder=folder).measured) == 1


def test_a_failing_cell_keeps_the_others_and_the_stored_results(folder, runs, monkeypatch):
    studies.run_study("small", folder=folder)
    before = (folder / "small.json").read_bytes()
    make_study(folder, CELLS[0], CELLS[1] + "\nx = 1")
    good = execution.run_tasks

    def fail_one(tasks, **options):
        for end in good(tasks):
            failure = Failure("ValueError: no", 2, 2, "import nnzen as nz") if end.name == "small 4" else None
            yield Finished(end.name, end.notebook, failure, 0.1)

    monkeypatch.setattr(execution, "run_tasks", fail_one)
    with pytest.raises(StudyError) as error:
        studies.run_study("small", folder=folder)
    assert "study small: cell 4 (model=a, seed=1) failed in code cell 2 of 2" in str(error.value)
    assert "Stored results are untouched" in str(error.value)
    assert (folder / "small.json").read_bytes() == before
    monkeypatch.setattr(execution, "run_tasks", good)
    assert [c["cell"] for c in studies.run_study("small", folder=folder).measured] == [4]


def test_results_do_not_count_if_the_library_changes_while_they_are_measured(folder, runs, monkeypatch):
    hashes = iter("abb")
    monkeypatch.setattr(studies, "recipe_hash", lambda *args, **options: next(hashes))
    with pytest.raises(StudyError, match=r"cell 0 .* was not kept: the library's code changed"):
        studies.run_study("small", cells=[0], folder=folder)
    assert not list(folder.glob("build/studies/small/*"))


def test_a_full_disk_leaves_the_stored_results(folder, runs, monkeypatch):
    import errno

    studies.run_study("small", folder=folder)
    before = (folder / "small.json").read_bytes()

    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("nnzen.notebooks.write_atomically", full)
    with pytest.raises(StudyError, match="the disk is full"):
        studies.run_study("small", force=True, folder=folder)
    assert (folder / "small.json").read_bytes() == before


def test_toy_runs_one_cell_per_setting_and_keeps_nothing(folder, runs):
    run = studies.run_study("small", toy=True, folder=folder)
    assert [parameters for _, parameters in runs] == [
        {"model": "b", "seed": 3, "epochs": 1},
        {"model": "a", "seed": 3, "epochs": 1},
    ]
    assert "nothing was stored" in str(run)
    assert sorted(path.name for path in folder.iterdir()) == ["small.ipynb"]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "recorded nothing"),
        ([{"measured": {"a": 1}, "device": ""}, {"measured": {"a": 2}, "device": ""}], "recorded a more than once"),
    ],
)
def test_what_a_cell_must_record(folder, monkeypatch, records, message):
    def run_tasks(tasks, **options):
        yield from (Finished(task.name, recorded(*records), None, 0.1) for task in tasks)

    monkeypatch.setattr(execution, "run_tasks", run_tasks)
    with pytest.raises(StudyError, match=message):
        studies.run_study("small", cells=[0], folder=folder)


def change_results(folder, score):
    """Replace the stored scores, as a measurement would."""
    stored = json.loads((folder / "small.json").read_text())
    for cell in stored["cells"]:
        cell["measured"]["score"] = score(cell["parameters"])
    (folder / "small.json").write_text(json.dumps(studies._sealed(stored)))


def test_cells_are_checked_against_the_other_seeds(folder, runs):
    studies.run_study("small", folder=folder)
    before = (folder / "small.json").read_bytes()
    shown = studies.check_study("small", cells=[4], folder=folder)
    assert "cell 4 (model=a, seed=1), against 2 other seeds:\n  score 11 is inside" in shown
    assert studies.check_study("small", folder=folder).count("is inside") == 6
    assert (folder / "small.json").read_bytes() == before
    change_results(folder, lambda parameters: 50 + parameters["seed"] / 1e6)
    with pytest.raises(StudyError, match=r"1 measurements left .*\n.*\n  score 11 is OUTSIDE 49\.\d+ to 50"):
        studies.check_study("small", cells=[4], folder=folder)


def test_results_that_do_not_vary_must_be_met(folder, runs):
    studies.run_study("small", folder=folder)
    change_results(folder, lambda parameters: 3.0)
    assert "score 3 is inside 3 to 3" in studies.check_study("small", cells=[0], folder=folder)
    with pytest.raises(StudyError, match="score 1 is OUTSIDE 3 to 3"):
        studies.check_study("small", cells=[1], folder=folder)


def test_a_seed_that_alone_differs_must_repeat_itself(folder, runs):
    studies.run_study("small", folder=folder)
    change_results(folder, lambda parameters: 1.0 if parameters["seed"] == 1 else 3.0)
    assert "score 1 is as stored, not 3 to 3" in studies.check_study("small", cells=[1], folder=folder)
    change_results(folder, lambda parameters: 1.1 if parameters["seed"] == 1 else 3.0)
    with pytest.raises(StudyError, match="score 1 is OUTSIDE 3 to 3"):
        studies.check_study("small", cells=[1], folder=folder)


def test_a_study_really_runs_in_a_kernel(folder):
    make_study(folder, code("seed = 0\nmodel = 'a'\nepochs = 5", "parameters"), "score = seed + epochs", *RECORD)
    run = studies.run_study("small", cells=[4], folder=folder)
    assert run.measured == ({"cell": 4, "parameters": {"model": "a", "seed": 1}, "measured": {"score": 6}},)
    part = json.loads((folder / "build" / "studies" / "small" / "4.json").read_text())
    assert "processor threads" in part["device"]


RECORD = ("import nnzen as nz\nnz.studies.record(score=score)",)


# --- bad files ----------------------------------------------------------------------------------------------


def test_unknown_unmeasured_and_damaged_studies(folder, runs):
    for call in (studies.load, studies.run_study):
        with pytest.raises(StudyError, match="no study 'big'; the known ones are: small"):
            call("big", folder=folder)
    with pytest.raises(StudyError, match="not been measured yet; run `nnzen study small`"):
        studies.load("small", folder=folder)
    studies.run_study("small", folder=folder)
    path = folder / "small.json"
    good = json.loads(path.read_text())
    cells = good["cells"]
    for damaged in (
        path.read_text()[:200],
        path.read_text().replace("13.0", "13.1"),
        "[]",
        json.dumps({k: v for k, v in good.items() if k != "recipe"}),
        json.dumps({**good, "study": "other"}),
        json.dumps({**good, "cells": cells[:-1]}),
        json.dumps({**good, "cells": []}),
        json.dumps(studies._sealed({**good, "cells": [*cells[:-1], {**cells[-1], "measured": {}}]})),
        *(
            json.dumps(studies._sealed({**good, "cells": [*cells[:-1], {**cells[-1], "measured": {"score": score}}]}))
            for score in (float("nan"), "12")
        ),
    ):
        path.write_text(damaged)
        with pytest.raises(StudyError, match=r"damaged: .*restore small\.json"):
            studies.load("small", folder=folder)
        with pytest.raises(StudyError, match="damaged"):
            studies.run_study("small", folder=folder)
        assert path.read_text() == damaged
    (folder / "small.ipynb").write_text("{")
    with pytest.raises(StudyError, match="not a notebook"):
        studies.load("small", folder=folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "other"}, "it must hold"),
        ({"grid": {"seed": []}}, "must map each parameter to a list"),
        ({"grid": {"seed": [1, 1]}}, "repeats values of seed"),
        ({"grid": {"sede": [1]}}, "does not assign sede"),
        ({"toy": {"size": 1}}, "does not assign size"),
        ({"data": ["imagenet"]}, "unknown data"),
        ({"entry": ["nnzen.evaluation:nothing"]}, "'nnzen.evaluation:nothing' does not exist"),
    ],
)
def test_wrong_declarations(tmp_path, changes, message):
    make_study(tmp_path, **changes)
    with pytest.raises(StudyError, match=message):
        studies.run_study("small", folder=tmp_path)


def test_cells_outside_the_grid(folder, runs):
    with pytest.raises(StudyError, match="no cell 6; its cells are 0 to 5"):
        studies.run_study("small", cells=[6], folder=folder)


def test_pick_spreads_over_studies_and_cells(folder, runs):
    studies.run_study("small", folder=folder)
    picked = {studies.pick(f"{number:040x}", folder=folder) for number in range(12)}
    assert picked == {("small", cell) for cell in range(6)}
    with pytest.raises(ValueError, match="'main' is not a commit hash"):
        studies.pick("main", folder=folder)
    (folder / "small.json").unlink()
    with pytest.raises(StudyError, match="no study in"):
        studies.pick("a" * 40, folder=folder)


def test_a_study_of_long_cells_is_left_to_the_full_verification(folder, runs):
    make_study(folder, minutes=5)
    studies.run_study("small", folder=folder)
    assert studies.pick("a" * 40, folder=folder)[0] == "small"
    make_study(folder, minutes=6)
    with pytest.raises(StudyError, match="within minutes"):
        studies.pick("a" * 40, folder=folder)
    assert "; 6 minutes a cell, up to date" in studies.summary("small", folder=folder)


@pytest.mark.parametrize("minutes", [0, -1, True, "12", float("inf")])
def test_minutes_are_a_number_above_zero(folder, minutes):
    make_study(folder, minutes=minutes)
    with pytest.raises(StudyError, match=f"minutes is {minutes!r}; it must be a number above 0"):
        studies.summary("small", folder=folder)


def test_seconds_belong_to_the_machine_and_are_not_compared(folder, monkeypatch):
    speed = [1.0]

    def run_tasks(tasks, **options):
        for task in tasks:
            measured = {"score": task.parameters["seed"], "training_seconds": speed[0] * task.parameters["seed"]}
            yield Finished(task.name, recorded({"measured": measured, "device": "a test"}), None, 0.1)

    monkeypatch.setattr(execution, "run_tasks", run_tasks)
    studies.run_study("small", folder=folder)
    assert studies.load("small", folder=folder).values("training_seconds", model="a", seed=3).tolist() == [3]
    speed[0] = 1e6
    shown = studies.check_study("small", cells=[0], folder=folder)
    assert "training_seconds 3e+06 is not compared" in shown
    assert "score 3 is inside" in shown


# --- devices ------------------------------------------------------------------------------------------------


@pytest.fixture
def accelerators(monkeypatch):
    """What this machine has; a test changes the list."""
    found = []
    monkeypatch.setattr(runtime, "device_report", lambda: runtime.DeviceReport("", "", 1, {}, tuple(found)))
    return found


def test_a_study_that_needs_a_gpu_is_left_alone_without_one(folder, runs, accelerators):
    make_study(folder, needs="GPU")
    assert not studies.is_measured("small", folder=folder)
    assert studies.summary("small", folder=folder).endswith("; needs a GPU, not measured yet")
    for attempt in (studies.run_study, studies.check_study):
        with pytest.raises(studies.DeviceMissing, match="study small needs a GPU that TensorFlow can use"):
            attempt("small", folder=folder)
    assert runs == []
    assert len(studies.run_study("small", toy=True, folder=folder).measured) == 2  # the plumbing runs anywhere


def test_it_is_measured_where_there_is_one_and_checked_on_the_same_kind_only(folder, runs, accelerators):
    make_study(folder, needs="GPU")
    accelerators.append("a test")  # the device that the fixture's runs name
    assert studies.run_study("small", folder=folder).stored
    assert studies.is_measured("small", folder=folder)
    assert "inside" in studies.check_study("small", cells=[0], folder=folder)
    accelerators[:] = ["another"]
    with pytest.raises(studies.DeviceMissing, match="was measured on a test, and this machine has another"):
        studies.check_study("small", folder=folder)


def test_it_is_never_picked_for_a_machine_that_may_lack_one(folder, runs, accelerators):
    make_study(folder, needs="GPU")
    accelerators.append("a test")
    studies.run_study("small", folder=folder)
    with pytest.raises(StudyError, match="runs on any machine"):
        studies.pick("a" * 40, folder=folder)


def test_no_other_device_can_be_needed(folder):
    make_study(folder, needs="TPU")
    with pytest.raises(StudyError, match="needs is 'TPU'; it can only be 'GPU'"):
        studies.summary("small", folder=folder)


# --- recording ----------------------------------------------------------------------------------------------


def test_only_finite_numbers_are_recorded(capsys):
    studies.record(score=np.float32(0.5), count=np.int64(3))
    assert capsys.readouterr().out == "recorded: count = 3, score = 0.5\n"
    with pytest.raises(ValueError, match="nothing to record"):
        studies.record()


@given(st.sampled_from([float("nan"), float("inf"), "1", None, True, [1.0], np.ones(2), 1j]))
def test_everything_else_is_refused(value):
    with pytest.raises(ValueError, match=r"measurement score is .*one finite number"):
        studies.record(score=value)


# --- recipes ------------------------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path):
    """A small package: training uses a constant and, through models, a helper; plots is not followed."""
    package = tmp_path / "package"
    files = {
        "__init__.py": "",
        "training.py": '"""Doc."""\nfrom nnzen import models, plots\nRATE = 0.1\nUNUSED = 1\n\n'
        'def fit(x):\n    """Doc."""\n    plots.show(x)\n    return models.build(x, RATE)\n',
        "models.py": "from .parts.layers import dense as layer\n\nclass Other:\n    pass\n\n"
        "def build(x, rate):\n    return layer(x) * rate\n",
        "parts/__init__.py": "",
        "parts/layers.py": "try:\n    SIZE = 3\nexcept ImportError:\n    SIZE = 4\n\n"
        "def dense(x):\n    print(f'{x:{SIZE}}', '')\n    return x + SIZE\n",
        "plots.py": "def show(x):\n    pass\n",
    }
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


SOURCES = ["import nnzen as nz", "nz.training.fit(1)"]


def hash_of(library, sources=SOURCES, entries=(), grid=GRID, data=None):
    return recipe_hash(sources, entries, grid, {"digits": "abc"} if data is None else data, library=library)


def test_everything_that_is_reached_counts_and_nothing_else(library):
    expected = {
        "nnzen.training:fit",
        "nnzen.training:RATE",
        "nnzen.models:build",
        "nnzen.parts.layers:dense",
        "nnzen.parts.layers:SIZE",
    }
    for sources, entries in [
        (SOURCES, []),
        (["from nnzen.training import fit as f\nf(1)"], []),
        (["from nnzen import training\ntraining.fit(1)"], []),
        (["import nnzen.training\nnnzen.training.fit(1)"], []),
        ([], ["nnzen.training:fit"]),
    ]:
        assert set(code_reached(sources, entries, library=library)) == expected
    assert set(code_reached(["import nnzen.training as t\nuse(t)"], [], library=library)) == expected | {
        "nnzen.training:UNUSED"
    }


@pytest.mark.parametrize(
    ("file", "old", "new", "changes"),
    [
        ("training.py", "return models", "# comment\n    return  models", False),
        ("training.py", '    """Doc."""', '    """Other."""', False),
        ("training.py", "UNUSED = 1", "UNUSED = 2", False),
        ("plots.py", "pass", "return x", False),
        ("models.py", "class Other", "class Another", False),
        ("training.py", "RATE = 0.1", "RATE = 0.2", True),
        ("models.py", "* rate", "/ rate", True),
        ("parts/layers.py", "x + SIZE", "x - SIZE", True),
        ("parts/layers.py", "SIZE = 4", "SIZE = 5", True),
    ],
)
def test_the_hash_changes_with_what_is_computed(library, file, old, new, changes):
    before = hash_of(library)
    path = library / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    assert (hash_of(library) != before) is changes


def test_the_hash_covers_cells_grid_and_data(library):
    base = hash_of(library)
    assert hash_of(library, ["import nnzen as nz  # here", "nz.training.fit( 1 )"]) == base
    assert hash_of(library, ["import nnzen as nz", "nz.training.fit(2)"]) != base
    assert hash_of(library, grid={"seed": [1]}) != base
    assert hash_of(library, data={"digits": "abd"}) != base


def test_the_hash_is_the_same_on_every_python(library):
    assert hash_of(library) == "484a006c2981b2ac14ad11bf67524445a100a49eb28bdf687df021265caf6ead"


def test_what_cannot_be_followed_is_named(library):
    with pytest.raises(RecipeError, match="code cell 2 is not plain Python"):
        hash_of(library, ["x = 1", "%time y = 2"])
    with pytest.raises(RecipeError, match=r"'nnzen\.training:nothing' does not exist"):
        hash_of(library, entries=["nnzen.training:nothing"])


def test_a_change_of_the_library_makes_a_study_stale(folder, runs):
    studies.run_study("small", folder=folder)
    make_study(folder, CELLS[0], CELLS[1] + "  # a comment")
    assert not studies.load("small", folder=folder).stale
    make_study(folder, CELLS[0], CELLS[1] + "\nnz.evaluation")
    study = studies.load("small", folder=folder)
    assert study.stale
    assert "STALE" in study.describe()
    with pytest.raises(StudyError, match="stale"):
        studies.check_study("small", cells=[0], folder=folder)
