"""Reading exercises out of a chapter."""

import pytest
from nbformat import v4

from tests.notebooks import book

SOLUTION = (
    "<details><summary>Solution</summary>\n\n```python\ndef double(x):\n    return np.add(x, x)\n```\n\n</details>"
)


def chapter(solution=SOLUTION, starter='def double(x):\n    ...\n\n\nnz.check("00/double", double)', id="00/double"):
    return v4.new_notebook(
        cells=[
            v4.new_code_cell("try:\n    import numpy as np\nexcept ImportError:\n    raise\nimport keras"),
            v4.new_code_cell(starter, metadata={"nnzen": {"exercise": "00/double"}}),
            v4.new_markdown_cell(solution, metadata={"nnzen": {"solution": id}}),
        ]
    )


def test_an_exercise_is_read_with_the_imports_it_uses():
    (exercise,) = book.exercises(chapter())
    assert (exercise.id, exercise.function, exercise.imports) == ("00/double", "double", "import numpy as np")
    assert "nz.check" not in exercise.starter
    assert exercise.namespace(exercise.solution)(2) == 4
    assert exercise.namespace(exercise.starter)(2) is None


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"solution": "Add it to itself."}, "no solution"),
        ({"solution": SOLUTION.replace("double", "twice")}, "0 blocks"),
        ({"id": "00/other"}, "no such exercise"),
        ({"starter": "def double(x):\n    ..."}, "does not call nz.check"),
        ({"starter": 'nz.check("00/treble", double)'}, "nz.check says 00/treble"),
    ],
)
def test_a_malformed_exercise_is_refused(broken, message):
    with pytest.raises(AssertionError, match=message):
        book.exercises(chapter(**broken))


def test_an_exercise_without_a_solution_is_refused():
    notebook = chapter()
    del notebook.cells[-1]
    with pytest.raises(AssertionError, match="no solution"):
        book.exercises(notebook)
