"""The first pass is green for an honest cell and red for one altered digit, wherever it is stored."""

import os
import re
import subprocess
import sys

import nbformat
from nbclient import NotebookClient
from nbformat import v4

from tests.notebooks.book import ROOT, TAG
from tests.notebooks.claims_plugin import compare, scope


def unchanged(output):
    pass


def last_digit(output):
    """Within the claim's tolerance: another machine may store it."""
    output.metadata[TAG]["measured"] = [0.333334]
    replace(output, "‹0.3333›", "‹0.3334›")


def plain_digit(output):
    output.text = "0.334\n"


def band_in_the_line(output):
    replace(output, "band 0.3", "band 0.2")


def measured(output):
    output.metadata[TAG]["measured"] = [0.353333]


def control(output):
    output.metadata[TAG]["control"] = [0.766667]


def band(output):
    output.metadata[TAG]["band"] = [0.2, 0.4]


def words(output):
    output.metadata[TAG]["says"] = "A quarter"


def tolerance(output):
    output.metadata[TAG]["tolerance"] = 0.1


def missing(output):
    output.metadata = {}


def image_in_html(output):
    output.data["text/html"] = output.data["text/html"].replace("AAAA", "BBBB")


def alt_of_an_image_in_html(output):
    output.data["text/html"] = output.data["text/html"].replace("a circle", "a square")


def measured_where_output_is_ignored(output):
    measured(output)


def replace(output, old, new):
    assert old in output.data["text/plain"]
    output.data["text/plain"] = output.data["text/plain"].replace(old, new)


def refused(output):
    output.text = output.text.replace("‹0.3333›", "‹0.3334›")


ALTERED = [
    plain_digit,
    refused,
    band_in_the_line,
    measured,
    control,
    band,
    words,
    tolerance,
    missing,
    alt_of_an_image_in_html,
    measured_where_output_is_ignored,
]


def cell(case):
    """A cell that claims something, or prints for `plain_digit` and `refused`, or shows HTML."""
    slug = case.__name__.replace("_", "-")
    source = (
        f'nz.claim("00/{slug}", "A third", measured=x, control=2 * x, against="two thirds", '
        "band=(0.3, 0.4), tolerance=1e-3)"
    )
    image = """from IPython.display import HTML
HTML('<img src="data:image/png;base64,AAAA" alt="a circle">')"""
    sources = {
        image_in_html: image,
        alt_of_an_image_in_html: image,
        plain_digit: 'print(f"{x:.3f}")',
        refused: f"try:\n    {source.replace('0.3,', '0.35,')}\nexcept nz.evidence.ClaimError as e:\n    print(e)",
    }
    tags = ["nbval-ignore-output"] if case is measured_where_output_is_ignored else []
    return v4.new_code_cell(sources.get(case, source), metadata={"tags": tags})


def test_first_pass(tmp_path):
    """One notebook, one case in each cell."""
    cases = [unchanged, *ALTERED, last_digit, image_in_html]
    notebook = v4.new_notebook(cells=[v4.new_code_cell("import nnzen as nz\nx = 1 / 3"), *map(cell, cases)])
    NotebookClient(notebook, kernel_name="python3").execute()
    for case, stored in zip(cases, notebook.cells[1:], strict=True):
        case(stored.outputs[0])
    nbformat.write(notebook, tmp_path / "cases.ipynb")

    run = nbval(tmp_path)
    failed = [cases[int(n) - 1] for n in re.findall(r"FAILED cases\.ipynb::Cell (\d+)", run.stdout)]
    assert failed == ALTERED, run.stdout + run.stderr
    assert run.returncode == 1
    assert "measured was [0.353333], is [0.333333]; they may differ by 0.001" in run.stdout


def nbval(folder):
    """Run nbval as `make test` does, in `folder`."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.notebooks.claims_plugin", "--nbval", ".", "--rootdir", "."]
    command += ["--nbval-sanitize-with", str(ROOT / "tests/notebooks/nbval_sanitize.cfg")]
    command += ["-p", "no:cacheprovider", "-q", "-rf", "--color", "no"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_other_records_are_compared_exactly():
    look = v4.new_output("display_data", metadata={"nnzen_test": {"dataset": "digits", "look": 1, "why": "once"}})
    again = v4.new_output("display_data", metadata={"nnzen_test": {"dataset": "digits", "look": 2, "why": "once"}})
    assert compare([look], [look]) == []
    assert compare([look], [again]) != []
    assert compare([look], []) == ["stored are the records ['nnzen_test'], fresh are []"]


def test_a_notebook_stays_on_one_worker_and_chapters_of_the_second_pass_do_not():
    assert scope("chapters/00_a.ipynb::Cell 0") == scope("chapters/00_a.ipynb::Cell 1") == "chapters/00_a.ipynb"
    second_pass = "tests/notebooks/test_other_seed.py::test_claims"
    assert scope(f"{second_pass}[00]") != scope(f"{second_pass}[02]")
