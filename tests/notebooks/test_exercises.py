"""Every checked exercise: the starter fails, the solution passes, and the check rejects mutants of the solution."""

import ast
import signal
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from nnzen import exercises
from tests.notebooks import book
from tests.notebooks.mutants import mutants

REJECTED = 0.8  # share of mutants; not all of them, because some compute the same
SECONDS = 10  # for one mutant; one that takes longer loops, and is rejected

CASES = [
    pytest.param(exercise, id=exercise.id) for path in book.CHAPTERS for exercise in book.exercises(book.read(path))
]


class TimeUp(BaseException):
    """Not an Exception, so that no check can take it for an answer."""


@contextmanager
def time_limit(seconds):
    def stop(*_):
        raise TimeUp

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def accepted(exercise, source):
    """Whether the check accepts the function that `source` defines."""
    try:
        with time_limit(SECONDS):
            return exercises.judge(exercise.id, exercise.namespace(source)).passed
    except (Exception, TimeUp):
        return False


@pytest.mark.parametrize("exercise", CASES)
def test_starter_fails(exercise):
    result = exercises.judge(exercise.id, exercise.namespace(exercise.starter))
    assert not result.passed
    assert result.message


@pytest.mark.parametrize("exercise", CASES)
def test_solution_passes(exercise):
    result = exercises.judge(
        exercise.id, exercise.namespace(exercise.solution), seeds=range(6), sizes=(*range(1, 9), 20, 50)
    )
    assert result.passed, result.message


@pytest.mark.parametrize("exercise", CASES)
def test_mutants_are_rejected(exercise):
    assert accepted(exercise, exercise.solution), f"the check needs more than {SECONDS} s: make it faster"
    made = mutants(exercise.solution)
    survivors = [mutant for mutant in made if accepted(exercise, mutant)]
    share = 1 - len(survivors) / len(made)
    assert len(made) >= 5, f"only {len(made)} mutants of a trivial solution"
    assert share >= REJECTED, f"{share:.0%} of {len(made)} mutants rejected; these survive:\n\n" + "\n\n".join(
        survivors
    )


@pytest.mark.parametrize("shift", [0.1, 1, 5, 1000])
def test_a_fixed_shift_is_not_the_largest_curvature(shift):
    def candidate(product, u, steps):
        for _ in range(steps):
            u = product(u) + shift * u
            u = u / np.linalg.norm(u)
        return u @ product(u)

    assert not exercises.judge("05/largest-curvature", candidate).passed


def test_checks_and_exercises_belong_together():
    assert sorted(case.id for case in CASES) == sorted(exercises.known())


@pytest.mark.parametrize("path", book.CHAPTERS, ids=book.name)
def test_code_in_solutions_parses(path):
    for cell in book.read(path).cells:
        if cell.cell_type == "markdown":
            for block in book.python_blocks(cell.source):
                ast.parse(block)


def test_miniature_convnext_runs_and_has_the_prices_that_its_solution_names(capsys):
    import keras

    import nnzen as nz
    from nnzen import architectures
    from nnzen.costs import costs

    (chapter,) = (path for path in book.CHAPTERS if path.stem == "16_architectures")
    (cell,) = (cell for cell in book.read(chapter).cells if "### Exercise 3: a ConvNeXt block" in cell.source)
    counting, training = book.python_blocks(cell.source)[:2]
    assert "range(3)" in training
    images, labels = np.zeros((64, 28, 28), dtype="uint8"), np.zeros(64, dtype=int)
    images[0] = 255
    resnet = architectures.small("resnet")
    names = {
        **{"nz": nz, "np": np, "keras": keras, "layers": keras.layers, "costs": costs},
        **{"small": {"resnet": resnet}, "counts": {"resnet": costs(resnet)}},
        **{"x_train": images[..., np.newaxis] / 255, "y_train": labels},
        "data": SimpleNamespace(x_train=images, x_validation=images, y_validation=labels),
    }
    for block in (counting, training.replace("range(3)", "range(1)")):
        exec(compile(block, "<16, exercise 3>", "exec"), names)
    assert capsys.readouterr().out.startswith("28589128\n")
    ours, theirs = costs(names["convnext"]), costs(resnet)
    assert ours.training_flop == pytest.approx(theirs.training_flop, rel=0.02)
    assert 4 < ours.parameters / theirs.parameters < 5
    assert 1 < ours.bytes_moved / theirs.bytes_moved < 1.1


# --- the test itself: with a check that looks, and with one that does not --------------------------------------


SUM = book.Exercise("99/sum", "total", "def total(x):\n    ...", "def total(x):\n    return x[:].sum() + 0 * 2", "")


@pytest.mark.parametrize(("check", "survive"), [("looks", False), ("sleeps", True)])
def test_a_check_that_does_not_look_accepts_mutants(monkeypatch, check, survive):
    def looks(candidate, rng, size):
        x = rng.normal(size=size + 2)
        exercises.expect_close(candidate(x), x.sum(), "sum")

    def sleeps(candidate, rng, size):
        candidate(rng.normal(size=size))

    monkeypatch.setattr(exercises, "_find", lambda id: locals_[check])
    locals_ = {"looks": looks, "sleeps": sleeps}
    assert accepted(SUM, SUM.solution)
    assert accepted(SUM, SUM.solution.replace("sum", "mean")) == survive


def test_a_mutant_that_loops_is_rejected(monkeypatch):
    monkeypatch.setattr(exercises, "_find", lambda id: lambda candidate, rng, size: candidate(1))
    monkeypatch.setattr("tests.notebooks.test_exercises.SECONDS", 0.1)
    assert not accepted(SUM, "def total(x):\n    while True:\n        pass")
