"""What the notebook tests know about the book: its chapters and their exercises."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
TAG = "nnzen"


def read(path):
    """A notebook as nbformat reads it."""
    return nbformat.read(path, as_version=4)


def name(path):
    """Test id of a chapter: ``02_cross_entropy``."""
    return Path(path).stem


@dataclass(frozen=True)
class Exercise:
    """A checked coding exercise: the reader's starter, the book's solution, and imports both may use."""

    id: str
    function: str
    starter: str
    solution: str
    imports: str

    def namespace(self, source):
        """Run the imports and `source`, return the function that the exercise asks for."""
        names = {}
        exec(self.imports, names)
        exec(compile(source, f"<{self.id}>", "exec"), names)
        return names[self.function]


def exercises(notebook):
    """Checked exercises of a notebook, in order; a missing or unreadable part is an AssertionError."""
    found = {}
    for cell in notebook.cells:
        about = cell.metadata.get(TAG, {})
        if "exercise" in about:
            found[about["exercise"]] = (_starter(cell.source, about["exercise"]), None)
        if "solution" in about:
            id = about["solution"]
            assert id in found, f"the solution of {id} comes before its exercise, or there is no such exercise"
            found[id] = (found[id][0], python_blocks(cell.source))
    return [_exercise(id, *parts, notebook) for id, parts in found.items()]


def python_blocks(markdown):
    """Sources of the fenced python blocks in a Markdown cell."""
    return re.findall(r"^```python\n(.*?)^```", markdown, flags=re.MULTILINE | re.DOTALL)


def _starter(source, id):
    """Starter source without its `nz.check` line, and the name of the function that line checks."""
    tree = ast.parse(source)
    for statement in tree.body:
        call = getattr(statement, "value", None)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "nz.check":
            checked, function = ast.literal_eval(call.args[0]), ast.unparse(call.args[1])
            assert checked == id, f"the cell's metadata says {id}, its nz.check says {checked}"
            tree.body.remove(statement)
            return ast.unparse(tree), function
    raise AssertionError(f"the exercise cell of {id} does not call nz.check")


def _exercise(id, starter, blocks, notebook):
    assert blocks, f"exercise {id} has no solution cell with a ```python block"
    source, function = starter
    solutions = [block for block in blocks if f"def {function}(" in block]
    assert len(solutions) == 1, f"exercise {id}: {len(solutions)} blocks of its solution define {function}"
    return Exercise(id, function, source, solutions[0], imports(notebook, f"{source}\n{solutions[0]}"))


def imports(notebook, source):
    """Import statements of the notebook whose names `source` uses."""
    used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    lines = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    bound = {(alias.asname or alias.name).split(".")[0] for alias in node.names}
                    if bound & used:
                        lines.append(ast.unparse(node))
    return "\n".join(dict.fromkeys(lines))
