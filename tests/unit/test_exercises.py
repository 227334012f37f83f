"""The exercise machinery: verdicts, messages, and no way to pass by cheating."""

import sys
import types

import numpy as np
import pytest

from nnzen import exercises
from nnzen.exercises import Wrong, expect_close, expect_raises, judge


def check_double(candidate, rng, size):
    x = rng.normal(size=size)
    expect_close(candidate(x), 2 * x, f"double of {size} numbers")


def check_divide(candidate, rng, size):
    expect_close(candidate(6.0, by=2.0), 3.0, "divide(6, by=2)")
    expect_raises(ValueError, candidate, 1.0, 0.0, what="divide(1, 0)")


@pytest.fixture(autouse=True)
def chapter_99(monkeypatch):
    """A chapter of two exercises that exists only here."""
    module = types.ModuleType("nnzen.exercises.ch99")
    module.CHECKS = {"99/double": check_double, "99/divide": check_divide}
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(exercises, "known", lambda chapter=None: list(module.CHECKS))


def change_in_place(x):
    x *= 2
    return x


WRONG = {
    "value": (lambda x: 3 * x, "position [0]: got"),
    "nan": (lambda x: x * np.nan, "got nan"),
    "shape": (lambda x: 2 * x[:, None], "has shape (1, 1), expected shape (1,)"),
    "none": (lambda x: None, "no `return`"),
    "ellipsis": (lambda x: ..., "no `return`"),
    "raises": (lambda x: x[99], "raised IndexError"),
    "text": (lambda x: "two", "'two' (str)"),
    "ragged": (lambda x: [x, [1, 2]], "(list)"),
    "in place": (change_in_place, "changed its argument"),
    "arguments": (lambda: 1, "raised TypeError"),
    "tensor": (lambda x: object(), "object"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_candidate_gets_a_helpful_message(case):
    candidate, message = WRONG[case]
    result = judge("99/double", candidate)
    assert not result.passed
    assert message in result.message


def test_a_right_candidate_passes():
    assert judge("99/double", lambda x: x + x) == exercises.Result("99/double", True, "")


def test_a_candidate_right_at_one_size_only_fails():
    assert "double of 2" in judge("99/double", lambda x: 2 * x[:1]).message


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (lambda a, by: a / by, "it raised ZeroDivisionError"),
        (lambda a, by: a / (by + 1e-30), "it returned a value"),
    ],
)
def test_an_exercise_can_ask_for_an_exception(candidate, message):
    assert message in judge("99/divide", candidate).message


def test_the_right_exception_passes():
    def divide(a, by):
        if by == 0:
            raise ValueError("by must not be 0")
        return a / by

    assert judge("99/divide", divide).passed


def test_check_displays_one_line_and_writes_nothing_to_stderr(capsys):
    exercises.check("99/double", lambda x: np.exp(1e4) * x)
    shown = capsys.readouterr()
    assert shown.err == ""


def test_html_is_escaped():
    result = exercises.Result("99/double", False, "got <script>")
    assert "<script>" not in result._repr_html_()
    assert "not yet" in str(result)


@pytest.mark.parametrize("id", ["99/triple", "99", 7, "77/double"])
def test_an_unknown_id_names_the_known_ones(id):
    with pytest.raises(exercises.UnknownExercise, match="99/double, 99/divide"):
        judge(id, len)


def test_a_result_instead_of_a_function_is_an_error():
    with pytest.raises(TypeError, match="without calling it"):
        judge("99/double", 3.0)


def test_generators_and_functions_are_passed_through():
    guarded = exercises._guard(lambda rng, f: f(rng.integers(10)))
    rng = np.random.default_rng(0)
    assert isinstance(guarded(rng, lambda i: i + 1), np.integer)


@pytest.mark.parametrize("got", [np.inf, np.nan, -1.0, 1.0 + 1e-6])
def test_expect_close_sees_the_difference(got):
    with pytest.raises(Wrong, match="got"):
        expect_close(got, 1.0, "x")
    with pytest.raises(Wrong, match=r"position \[1, 0\]"):
        expect_close([[1.0], [got], [5.0]], [[1.0], [1.0], [1.0]], "x")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, [1, 2], np.zeros((0, 3))])
def test_expect_close_accepts_equals(value):
    expect_close(value, value, "x", rtol=0, atol=0)


def test_infinities_of_other_sign_differ():
    with pytest.raises(Wrong):
        expect_close(np.inf, -np.inf, "x")
