"""Chapters run side by side; a bad one is reported and leaves everything else alone."""

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from nnzen import execution, notebooks, runner
from nnzen.execution import Display, Failure, Finished
from tests.unit.notebook_files import claim, code, markdown, notebook, output, write

GOOD = (markdown("# Title"), code("seed = 0\nsize = 2", "parameters"), "print(seed, size)", claim("00/half"))
UNTOUCHED = "Stored outputs and the last good run are untouched."


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A book with every kind of bad chapter, run once with --store; a foreign kernel named python3 is installed."""
    root = tmp_path_factory.mktemp("book {0}")  # braces: papermill formats paths that it is given
    foreign = root / "jupyter" / "kernels" / "python3"
    foreign.mkdir(parents=True)
    (foreign / "kernel.json").write_text('{"argv": ["false"], "display_name": "foreign", "language": "python"}')
    chapters = root / "chapters"
    write(chapters / "00_good.ipynb", *GOOD)
    write(chapters / "01_raises.ipynb", "x = 1", "\n# divide\n1 / 0", "print('never')")
    write(chapters / "02_claim.ipynb", claim("02/half", measured=0.7))
    write(chapters / "03_dead.ipynb", "import os\nos._exit(3)")
    (chapters / "07_corrupt.ipynb").write_text('{"cells": [', encoding="utf-8")
    write(chapters / "08_data.ipynb", output(code("1"), "stored"), data=["cifar10"])
    write(chapters / "09_unknown_data.ipynb", "1", data=["imagenet"])
    before = {path.name: path.read_bytes() for path in chapters.glob("*.ipynb")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(root / "jupyter"))
        patch.setenv("NNZEN_DATA", str(root))
        patch.setenv("KERAS_HOME", str(root))
        outcomes = runner.run_chapters(["77"], chapters=chapters) + runner.run_chapters(
            chapters=chapters, store=True, jobs=2
        )
    return {"root": root, "chapters": chapters, "before": before, "outcomes": {o.chapter: o for o in outcomes}}


def stored(book, name):
    return (book["chapters"] / f"{name}.ipynb").read_bytes()


def test_a_good_chapter_is_executed_and_stored(book):
    outcome = book["outcomes"]["00_good"]
    assert (outcome.state, outcome.claims, outcome.stored) == ("done", 1, True)
    text = stored(book, "00_good").decode()
    chapter = json.loads(text)
    assert notebooks.normalize(chapter) == chapter
    assert text == notebooks.serialize(chapter)
    assert chapter["cells"][2]["outputs"][0]["text"] == ["0 2\n"]
    assert "papermill" not in text
    assert str(book["root"]) not in text
    nbformat.validate(nbformat.reads(text, as_version=4))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("77", ["no chapter '77'", "00_good"]),
        ("01_raises", ["code cell 2 of 3", "`# divide`", "ZeroDivisionError: division by zero", UNTOUCHED]),
        ("02_claim", ["a claim does not hold", "02/half", "left the band", "0.7", UNTOUCHED]),
        ("03_dead", ["code cell 1 of 1", "`import os`", "kernel died", UNTOUCHED]),
        ("07_corrupt", ["07_corrupt.ipynb is not a notebook", "line 1", "restore it"]),
        ("09_unknown_data", ["unknown data: imagenet", "known are fashion_mnist"]),
    ],
)
def test_a_bad_chapter_is_reported_and_its_stored_outputs_stay(book, name, parts):
    outcome = book["outcomes"][name]
    assert outcome.state == "failed"
    assert not outcome.stored
    assert [part for part in parts if part not in outcome.message] == []
    if name != "77":
        assert stored(book, name) == book["before"][f"{name}.ipynb"]


def test_failed_notebooks_are_kept_up_to_the_failing_cell(book):
    failed = notebooks.read(book["root"] / "build" / "failed" / "01_raises.ipynb")
    assert any(o["output_type"] == "error" for cell in notebooks.code_cells(failed) for o in cell["outputs"])
    assert not (book["root"] / "build" / "executed" / "01_raises.ipynb").exists()


def test_a_chapter_without_its_data_keeps_its_outputs_and_says_so(book):
    outcome = book["outcomes"]["08_data"]
    assert outcome.state == "kept"
    assert "stored outputs kept: cifar10 is not here" in outcome.message
    assert stored(book, "08_data") == book["before"]["08_data.ipynb"]
    executed = notebooks.read(book["root"] / "build" / "executed" / "08_data.ipynb")
    assert executed["cells"][0]["outputs"][0]["text"] == ["stored"]


def test_an_unchanged_chapter_is_not_executed_again_but_new_prose_arrives(book, monkeypatch):
    path = book["chapters"] / "00_good.ipynb"
    chapter = notebooks.read(path)
    chapter["cells"][0]["source"] = "# Another title"
    monkeypatch.setattr(runner, "run_tasks", never_called)
    write(path, *chapter["cells"])
    (outcome,) = runner.run_chapters(["0"], chapters=book["chapters"], store=True)
    assert (outcome.state, outcome.claims, outcome.stored) == ("unchanged", 1, True)
    executed = notebooks.read(book["root"] / "build" / "executed" / "00_good.ipynb")
    assert executed["cells"][0]["source"] == ["# Another title"]


def test_parameters_are_injected_hidden_and_not_stored(book):
    output = book["root"] / "seeds" / "executed"
    (outcome,) = runner.run_chapters(
        ["00"], chapters=book["chapters"], parameters={"seed": 7, "size": 2}, output=output
    )
    assert outcome.state == "done"
    executed = notebooks.read(output / "00_good.ipynb")
    assert [cell["metadata"].get("tags") for cell in executed["cells"]][1:3] == [
        ["parameters"],
        ["injected-parameters", "remove-cell"],
    ]
    assert "seed = 7\n" in executed["cells"][2]["source"]
    assert executed["cells"][3]["outputs"][0]["text"] == ["7 2\n"]
    with pytest.raises(runner.RunError, match="seed=7; leave out either"):
        runner.run_chapters(["00"], chapters=book["chapters"], parameters={"seed": 7}, output=output, store=True)
    with pytest.raises(runner.RunError, match="has a parameter 'sede'; they have: seed, size"):
        runner.run_chapters(["00"], chapters=book["chapters"], parameters={"sede": 7})


def test_a_slow_cell_ends_at_its_timeout(tmp_path):
    write(tmp_path / "chapters" / "00_slow.ipynb", "1", "import time\ntime.sleep(60)")
    (outcome,) = runner.run_chapters(chapters=tmp_path / "chapters", timeout=1)
    assert "code cell 2 of 2 (`import time`): the cell ran longer than 1 s" in outcome.message
    assert "--timeout" in outcome.message


def test_ctrl_c_ends_the_children_and_the_same_command_resumes(tmp_path, monkeypatch):
    write(tmp_path / "chapters" / "00_fast.ipynb", "1")
    pid_file = tmp_path / "kernel.pid"
    write(
        tmp_path / "chapters" / "01_slow.ipynb",
        f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))",
        "time.sleep(60)",
    )
    command = [sys.executable, "-m", "nnzen.cli", "run"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job of a shell ignores it
    )
    executed = tmp_path / "build" / "executed"
    wait_for(lambda: (executed / "00_fast.stamp.json").exists() and pid_file.exists() and pid_file.read_text())
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.strip() == "nnzen: interrupted; what was finished is kept, and the same command resumes"
    wait_for(lambda: not alive(int(pid_file.read_text())))
    assert not (executed / "01_slow.ipynb").exists()
    assert not list(executed.glob(".*"))
    monkeypatch.setattr(runner, "run_tasks", never_called)
    runner._library.cache_clear()
    (outcome,) = runner.run_chapters(["00"], chapters=tmp_path / "chapters")
    assert outcome.state == "unchanged"


def test_a_worker_that_is_killed_is_reported(tmp_path):
    task = execution.Task("00_x", notebook("import time\ntime.sleep(60)"), {}, tmp_path)
    tasks = execution.run_tasks([task], jobs=1, display=Killer(["00_x"]))
    (finished,) = tasks
    assert "ended with code -9; out of memory?" in str(finished.failure)


class Killer(Display):
    """Kills the worker as soon as its first cell runs."""

    def cell(self, name, cell, claims):
        for process in multiprocessing.active_children():
            process.kill()


@pytest.mark.parametrize(("chosen", "expected"), [(None, ["1", "1"]), ("3", ["3", "3"])])
def test_kernels_side_by_side_share_the_processors(tmp_path, monkeypatch, chosen, expected):
    monkeypatch.setattr(execution, "processors", lambda: 2)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if chosen is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", chosen)
    source = notebook("import os\nprint(os.environ['OPENBLAS_NUM_THREADS'])")
    tasks = [execution.Task(name, source, {}, tmp_path) for name in ("00_x", "01_y")]
    printed = [end.notebook["cells"][0]["outputs"][0]["text"].strip() for end in execution.run_tasks(tasks, jobs=2)]
    assert printed == expected


def test_a_kernel_alone_has_all_processors(monkeypatch):
    monkeypatch.setattr(execution, "processors", lambda: 4)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert [execution._environment(n)["OPENBLAS_NUM_THREADS"] for n in (0, 1, 2, 3, 9)] == ["4", "4", "2", "1", "1"]


# --- without kernels ----------------------------------------------------------------------------------------


def never_called(tasks, **options):
    assert not list(tasks), "nothing needed to be executed"
    yield from ()


def wait_for(condition, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # on Linux: a zombie that nobody has waited for yet is dead
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def no_kernels(monkeypatch):
    """Running a notebook seems to give it the outputs that it already has."""

    def run(tasks, **options):
        for task in tasks:
            yield Finished(task.name, task.notebook, None, 1.0)

    monkeypatch.setattr(runner, "run_tasks", run)


@pytest.fixture
def one_chapter(tmp_path, no_kernels):
    """A book of one chapter."""
    return write(tmp_path / "chapters" / "00_a.ipynb", code("seed = 0", "parameters"), output(code("print(1)"), "1\n"))


def with_claim(id):
    shown = {"output_type": "display_data", "data": {}, "metadata": {"nnzen": {"id": id}}}
    return {**code(f"claim {id}"), "execution_count": 1, "outputs": [shown]}


def test_claim_ids_are_unique_in_a_chapter_and_in_the_book(tmp_path, no_kernels):
    chapters = tmp_path / "chapters"
    write(chapters / "00_a.ipynb", with_claim("00/half"), with_claim("00/third"))
    write(chapters / "01_b.ipynb", with_claim("01/half"), with_claim("01/half"))
    write(chapters / "02_c.ipynb", with_claim("02/half"), with_claim("00/half"))
    good, twice, cross = runner.run_chapters(chapters=chapters, store=True)
    assert (good.state, good.claims, good.stored) == ("done", 2, True)
    assert (twice.state, cross.state, cross.stored) == ("failed", "failed", False)
    assert "more than one claim with the id 01/half" in twice.message
    assert "taken by another chapter: '00/half' (00_a)" in cross.message
    (alone,) = runner.run_chapters(["02"], chapters=chapters)
    assert "'00/half' (00_a)" in alone.message


def test_what_writes_to_stderr_is_not_stored(tmp_path, no_kernels):
    path = write(tmp_path / "chapters" / "00_a.ipynb", "1", output(code("warn()"), "oops\nmore", "stderr"))
    before = path.read_bytes()
    (outcome,) = runner.run_chapters(chapters=path.parent)
    assert outcome.state == "done"
    (outcome,) = runner.run_chapters(chapters=path.parent, store=True)
    assert "outputs not stored: it wrote to stderr in code cell 2 (`warn()`): oops" in outcome.message
    assert path.read_bytes() == before


def full_disk(path, text):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_last_good_run_and_the_stored_outputs(one_chapter, monkeypatch):
    chapters = one_chapter.parent
    runner.run_chapters(chapters=chapters)
    executed = chapters.parent / "build" / "executed" / "00_a.ipynb"
    good, source = executed.read_bytes(), one_chapter.read_bytes()
    monkeypatch.setattr(runner, "write_atomically", full_disk)
    (outcome,) = runner.run_chapters(chapters=chapters, force=True)
    assert outcome.state == "failed"
    assert "the disk is full" in outcome.message
    assert "00_a.ipynb was not written" in outcome.message
    (outcome,) = runner.run_chapters(chapters=chapters, store=True)
    assert "the disk is full" in outcome.message
    assert (executed.read_bytes(), one_chapter.read_bytes()) == (good, source)


def test_a_failed_run_keeps_the_last_good_one(one_chapter, monkeypatch):
    runner.run_chapters(chapters=one_chapter.parent)
    executed = one_chapter.parent.parent / "build" / "executed" / "00_a.ipynb"
    good, source = executed.read_bytes(), one_chapter.read_bytes()
    failure = Failure("ValueError: no", 2, 2, "print(1)")
    monkeypatch.setattr(runner, "run_tasks", lambda tasks, **o: (Finished(t.name, None, failure, 1.0) for t in tasks))
    (outcome,) = runner.run_chapters(chapters=one_chapter.parent, force=True, store=True)
    assert outcome.message == f"failed in code cell 2 of 2 (`print(1)`): ValueError: no\n{UNTOUCHED}"
    assert (executed.read_bytes(), one_chapter.read_bytes()) == (good, source)


def test_a_stamp_that_does_not_fit_the_executed_file_does_not_count(one_chapter):
    chapters = one_chapter.parent
    assert [runner.run_chapters(chapters=chapters)[0].state for _ in range(2)] == ["done", "unchanged"]
    executed = chapters.parent / "build" / "executed" / "00_a.ipynb"
    executed.write_text(executed.read_text()[:-20])
    assert runner.run_chapters(chapters=chapters)[0].state == "done"


def test_a_chapter_edited_while_it_runs_is_not_stored(one_chapter, monkeypatch):
    run = runner.run_tasks

    def edit_and_run(tasks, **options):
        yield from run(tasks)
        write(one_chapter, code("seed = 0", "parameters"), "print(2)")

    monkeypatch.setattr(runner, "run_tasks", edit_and_run)
    (outcome,) = runner.run_chapters(chapters=one_chapter.parent, store=True)
    assert "edited while it ran" in outcome.message
    assert "print(2)" in one_chapter.read_text()


def test_stamps_depend_on_code_tags_and_parameters_but_not_on_prose():
    base = notebook(markdown("a"), code("x = 1", "parameters"))
    same = notebook(markdown("b"), markdown("c"), code("x = 1", "parameters"))
    assert runner.stamp(base, {}) == runner.stamp(same, {})
    assert len({runner.stamp(base, {}), runner.stamp(base, {"x": 2}), runner.stamp(notebook(code("x = 1")), {})}) == 3


def test_normal_form_is_that_of_nbformat_and_independent_of_machine_and_time():
    cell = output(code("print(1)", "parameters"), "a\nb\n")
    cell["metadata"] |= {"execution": {"iopub.status.busy": "2020-01-01T00:00:00Z"}, "papermill": {"duration": 1.0}}
    cell["outputs"].append({"output_type": "stream", "name": "stdout", "text": "c\n"})
    cell["execution_count"] = 17
    raw = notebook(markdown("text"), cell, markdown("text"))
    raw["metadata"] |= {"papermill": {"input_path": "/home/me"}, "kernelspec": {"name": "mine"}}
    normal = notebooks.normalize(raw)
    assert notebooks.normalize(normal) == normal
    first, second, third = normal["cells"]
    assert (second["execution_count"], second["outputs"][0]["text"]) == (1, ["a\n", "b\n", "c\n"])
    assert second["metadata"] == {"tags": ["parameters"]}
    assert third["id"] == first["id"] + "-2"
    assert notebooks.serialize(normal) == nbformat.writes(nbformat.from_dict(normal)) + "\n"
    assert runner.normalize is notebooks.normalize


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "no list of cells"),
        ('{"cells": [], "nbformat": 3}', "nbformat is 3, expected 4"),
        ('{"cells": [{"cell_type": "code"}], "nbformat": 4}', "cell 1 has no source"),
        ('{"cells": [{"cell_type": "code", "source": ""}], "nbformat": 4}', "no list of outputs"),
        ('{"cells": [{"cell_type": "heading", "source": ""}], "nbformat": 4}', "not a code, Markdown or raw cell"),
        ("<<<<<<< HEAD", "line 1, column 1"),
        (b"\xff\xfe", "not UTF-8"),
        (None, "does not exist"),
    ],
)
def test_unreadable_notebooks_are_named(tmp_path, content, message):
    path = tmp_path / "x.ipynb"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(notebooks.NotebookError, match=message):
        notebooks.read(path)


def test_atomic_writing_leaves_no_rest(tmp_path):
    path = tmp_path / "a.txt"
    notebooks.write_atomically(path, "old")
    with pytest.raises(TypeError):
        notebooks.write_atomically(path, 1)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_parameters_are_read_from_their_cell():
    cell = code("seed = 0\nname: str = 'x'\na = b = (1, 2)\nproduct = 2 * 3\nhint: int", "parameters")
    found = notebooks.parameters_of(notebook("other = 1", cell))
    assert found == {"seed": 0, "name": "x", "a": (1, 2), "b": (1, 2), "product": ...}
    assert notebooks.parameters_of(notebook(code("1 +", "parameters"))) == {}


def test_chapters_are_found_by_number_name_and_path(tmp_path):
    for name in ("00_a", "02_b"):
        write(tmp_path / "chapters" / f"{name}.ipynb", "1")
    (tmp_path / "below").mkdir()
    chapters = runner.find_chapters(tmp_path / "below")
    assert chapters == tmp_path / "chapters"
    for name in ("2", "02", "02_b", "chapters/02_b.ipynb", "02_b.ipynb"):
        paths, unknown = runner._select([name, name], chapters)
        assert ([path.stem for path in paths], unknown) == (["02_b"], [])
    with pytest.raises(runner.RunError, match="no notebooks in"):
        runner.run_chapters(chapters=tmp_path / "below")
    with pytest.raises(runner.RunError, match="jobs is 0"):
        runner.run_chapters(chapters=chapters, jobs=0)


def test_the_plain_display_says_when_chapters_start_and_end(capsys):
    with Display(["00_a", "01_b"]) as display:
        display.start("00_a", 3)
        display.cell("00_a", 2, 1)
        display.tick()
        display.finish("00_a", "done", seconds=2.2, claims=1)
        display.finish("01_b", "kept", note="no data [x]")
    assert capsys.readouterr().out.splitlines() == [
        "00_a  started, 3 code cells",
        "00_a  done in 2 s, 1 claim",
        "01_b  kept: no data [x]",
    ]


def test_the_live_display_shows_cell_and_claims():
    import io

    from rich.console import Console

    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with Display(["00_a", "01_b"], console) as display:
        display.start("00_a", 9)
        display.cell("00_a", 4, 2)
        display.tick()
    assert "4/9" in console.file.getvalue()
    assert "waiting" in console.file.getvalue()
