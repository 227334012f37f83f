"""The mutants are the mistakes that they should be."""

import ast

import pytest

from tests.notebooks.mutants import mutants

CASES = {
    "a - b": ["a", "b", "a + b"],
    "a @ b": ["a", "b", "a * b"],
    "-a": ["a"],
    "a <= b": ["a < b"],
    "not a": ["a"],
    "a.sum(axis=1)": ["a.mean(axis=1)", "a", "a.sum(axis=0)", "a.sum(axis=None)"],
    "a.sum(keepdims=True)": ["a.mean(keepdims=True)", "a", "a.sum(keepdims=False)"],
    "np.argmax(a)": ["np.argmin(a)", "a"],
    "np.asarray(a)": [],
    "min(a, b)": ["max(a, b)", "a"],
    "range(a)": ["range(a + 1)", "range(a - 1)"],
    "range(a, b)": ["range(a, b + 1)", "range(a, b - 1)"],
    "a[1:]": ["a[1 + 1:]", "a[1:-1]", "a[2:]", "a[0:]"],
    "a if b else c": ["a", "c"],
    "3": ["4", "2"],
    "True": ["False"],
    "'text'": [],
}


@pytest.mark.parametrize("expression", CASES)
def test_mutants_of_an_expression(expression):
    assert mutants(expression) == CASES[expression]


def test_forgotten_steps():
    assert mutants("a += b") == ["pass", "a -= b"]
    assert "pass" in mutants("if a:\n    b()")


def test_annotations_and_docstrings_are_left_alone():
    assert mutants('def f(a: int | None = None) -> int:\n    """Text 1."""\n    return a') == []


def test_mutants_parse_and_the_original_is_not_among_them():
    source = "def f(z):\n    m = z.max(axis=1, keepdims=True)\n    return m + np.log(np.exp(z - m).sum(axis=1))"
    found = mutants(source)
    assert len(found) > 15
    assert len(set(found)) == len(found)
    assert ast.unparse(ast.parse(source)) not in found
    assert found == mutants(source)
    for mutant in found:
        ast.parse(mutant)
