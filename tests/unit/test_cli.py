"""The command: one message on stderr, and an exit status that tells what kind of failure it was."""

import io
import json
import math
import signal
import subprocess
import sys

import pytest

import nnzen
from nnzen import cli, runner, studies
from tests.unit.notebook_files import claim, write
from tests.unit.test_studies import make_study


@pytest.fixture
def nnzen_command(monkeypatch, tmp_path, capsys):
    """Run the command in an empty folder; return status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        shown = capsys.readouterr()
        return ended.value.code, shown.out, shown.err

    yield run
    signal.signal(signal.SIGTERM, before)


def outcome_of(state, message=""):
    return lambda *args, **options: [runner.Outcome("00_a", "done"), runner.Outcome("01_b", state, message)]


def test_version_and_help(nnzen_command):
    assert nnzen_command("--version") == (0, f"nnzen {nnzen.__version__}\n", "")
    status, shown, errors = nnzen_command("--help")
    assert (status, errors) == (0, "")
    for command in ("run", "study", "evidence", "data", "audit", "classify"):
        assert command in shown
        status, shown_by_command, _ = nnzen_command(command, "--help")
        assert status == 0
        assert "Usage" in shown_by_command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runn"], "runn"),
        (["run", "--fast"], "--fast"),
        (["run", "--jobs", "0"], "--jobs"),
        (["run", "--seed", "-1"], "--seed"),
        (["run", "-p", "epochs"], "parameter 'epochs' must look like NAME=VALUE"),
        (["run"], "there is no chapters/ with notebooks"),
        (["evidence", "--chapters", "nowhere"], "there are no notebooks in nowhere"),
        (["study", "--cell", "x"], "--cell"),
    ],
)
def test_usage_errors_are_one_line_and_end_with_2(nnzen_command, arguments, message):
    status, shown, errors = nnzen_command(*arguments)
    assert (status, shown) == (2, "")
    assert message in errors
    assert errors.startswith("nnzen: ")
    assert errors.count("\n") == 1


def test_run_passes_options_on_and_reports(nnzen_command, monkeypatch, tmp_path):
    seen = {}

    def run_chapters(names, **options):
        seen.update(options, names=names)
        return [runner.Outcome("00_a", "done", stored=True), runner.Outcome("01_b", "unchanged")]

    write(tmp_path / "chapters" / "00_a.ipynb", "1")
    monkeypatch.setattr(runner, "run_chapters", run_chapters)
    status, shown, errors = nnzen_command(
        "run", "0", "01", "--seed", "3", "-p", "rate=0.1", "-p", "name=a b", "--store"
    )
    assert (status, errors) == (0, "")
    assert shown.splitlines() == ["outputs stored: 00_a", "2 of 2 chapters are good"]
    assert seen["names"] == ["0", "01"]
    assert seen["parameters"] == {"rate": 0.1, "name": "a b", "seed": 3}
    assert (seen["store"], seen["force"], seen["timeout"], seen["jobs"]) == (True, False, 600, None)


def test_failed_chapters_are_named_on_stderr(nnzen_command, monkeypatch, tmp_path):
    write(tmp_path / "chapters" / "00_a.ipynb", "1")
    monkeypatch.setattr(runner, "run_chapters", outcome_of("failed", "failed in code cell 2 of 3 (`x`): no"))
    status, shown, errors = nnzen_command("run")
    assert status == 1
    assert shown == "1 of 2 chapters are good\n"
    assert errors == "nnzen: 01_b: failed in code cell 2 of 3 (`x`): no\n"


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted; what was finished is kept"),
        (OSError(5, "Input/output error"), 1, "OSError: [Errno 5] Input/output error"),
        (RuntimeError("surprise"), 1, "RuntimeError: surprise"),
    ],
)
def test_no_tracebacks(nnzen_command, monkeypatch, tmp_path, error, status, message):
    def fail(*args, **options):
        raise error

    write(tmp_path / "chapters" / "00_a.ipynb", "1")
    monkeypatch.setattr(runner, "run_chapters", fail)
    ended, shown, errors = nnzen_command("run")
    assert (ended, shown) == (status, "")
    assert errors.startswith(f"nnzen: {message}")
    assert errors.count("\n") == 1


def test_evidence_as_text_and_json(nnzen_command, tmp_path):
    record = {
        **dict(id="00/half", says="Half of one", measured=[0.5], control=[1.0], against="no halving"),
        **dict(band=[0.49, 0.51], unit="", source="", published=["Z-06"], verdict="refuted", seeds=1, study=""),
        "tolerance": 0.0005,
    }
    path = write(tmp_path / "chapters" / "00_a.ipynb", claim("00/half"))
    chapter = json.loads(path.read_text())
    chapter["cells"][0]["outputs"] = [{"output_type": "display_data", "data": {}, "metadata": {"nnzen": record}}]
    path.write_text(json.dumps(chapter))
    status, shown, errors = nnzen_command("evidence")
    assert (status, errors) == (0, "")
    words = " ".join(shown.split())
    assert "[live] ✓ 00/half: Half of one. Measured ‹0.5›" in words
    assert "Z-06 refuted" in words
    status, shown, errors = nnzen_command("evidence", "--json")
    assert json.loads(shown)["claims"][0]["id"] == "00/half"
    path.write_text("{")
    status, shown, errors = nnzen_command("evidence")
    assert (status, shown, errors.count("\n")) == (1, "", 1)


def test_data_sets_are_listed_with_ways_to_get_them(nnzen_command, monkeypatch, tmp_path):
    monkeypatch.setenv("NNZEN_DATA", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    status, shown, errors = nnzen_command("data")
    assert (status, errors) == (0, "")
    for words in ("fashion_mnist", "70,000", "MIT", "ships with nnzen", "NNZEN_DATA", "--get NAME"):
        assert words in shown
    status, shown, _ = nnzen_command("data", "--get", "digits")
    assert (status, shown.startswith("digits is here: ")) == (0, True)
    status, shown, errors = nnzen_command("data", "--get", "imagenet")
    assert (status, shown) == (1, "")
    assert "imagenet" in errors


def test_studies_are_listed_and_their_errors_reported(nnzen_command, monkeypatch, tmp_path):
    make_study(tmp_path / "studies")
    monkeypatch.setattr(studies, "names", lambda: ["small"])
    monkeypatch.setattr(studies, "summary", lambda name: f"{name}: a summary")
    assert nnzen_command("study") == (0, "small: a summary\n", "")
    monkeypatch.undo()
    status, shown, errors = nnzen_command("study", "no_such_study")
    assert (status, shown) == (1, "")
    assert errors.startswith("nnzen: there is no study 'no_such_study'; the known ones are: ")
    assert errors.count("\n") == 1


def test_a_study_without_its_device_is_left_out_of_all_and_an_error_by_name(nnzen_command, monkeypatch):
    def missing(name, **options):
        raise studies.DeviceMissing(f"study {name} needs a GPU")

    monkeypatch.setattr(studies, "names", lambda: ["one", "two"])
    monkeypatch.setattr(studies, "check_study", missing)
    shown = "left out: study one needs a GPU\nleft out: study two needs a GPU\n"
    assert nnzen_command("study", "--all", "--check") == (0, shown, "")
    assert nnzen_command("study", "one", "--check") == (1, "", "nnzen: study one needs a GPU\n")


def test_the_command_starts_without_tensorflow_and_notebook_libraries():
    heavy = ["tensorflow", "keras", "papermill", "nbformat", "matplotlib", "numpy", "scipy"]
    program = f"import sys, nnzen.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- audit --------------------------------------------------------------------------------------------------

REPORT = "class precision recall f1 support\n"


def test_audit_prints_the_findings_and_ends_with_1_if_something_is_impossible(nnzen_command, tmp_path):
    (tmp_path / "good.txt").write_text(REPORT + "cat 0.90 0.90 0.90 10\ndog 0.80 0.80 0.80 5\naccuracy 0.87 15")
    status, shown, errors = nnzen_command("audit", "good.txt")
    assert (status, errors) == (0, "")
    assert shown.startswith("possible (")
    (tmp_path / "bad.txt").write_text(REPORT + "cat 0.90 0.90 0.80 10")
    status, shown, errors = nnzen_command("audit", "bad.txt")
    assert (status, errors) == (1, "")
    assert "impossible   cat: 2PR/(P + R)" in shown


def test_audit_reads_standard_input_and_takes_options(nnzen_command, monkeypatch):
    for options, status in (((), 0), (("--single-label",), 1), (("--support", "3"), 1), (("--rounding", "any"), 0)):
        monkeypatch.setattr(sys, "stdin", io.StringIO(REPORT + "cat 0.90 0.90 0.90 10\ndog 0.80 0.40 0.53 10"))
        assert nnzen_command("audit", "-", *options)[0] == status, options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere cannot be read: No such file or directory"),
        (["none.txt"], "no table was found"),
        (["bytes.txt"], "bytes.txt is no text in UTF-8"),
        (["none.txt", "--rounding", "up"], "rounding is 'up'; it must be one of nearest, cut, any"),
        (["none.txt", "--support", "-1"], "--support"),
    ],
)
def test_what_cannot_be_audited_ends_with_2(nnzen_command, tmp_path, arguments, message):
    (tmp_path / "none.txt").write_text("nothing")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    status, shown, errors = nnzen_command("audit", *arguments)
    assert (status, shown) == (2, "")
    assert message in errors


# --- classify -----------------------------------------------------------------------------------------------


@pytest.fixture
def ships(tmp_path):
    """A model of ten classes that answers with the level of the only pixel, 0 to 255: class 3 where it is light."""
    import keras
    import numpy as np
    from PIL import Image

    from nnzen.compression import encode

    layers = [keras.Input((1, 1, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(10)]
    model = keras.Sequential(layers)
    kernel = np.zeros((1, 10), np.float32)
    kernel[0, 3] = 2
    model.layers[-1].set_weights([kernel, np.zeros(10, np.float32)])
    (tmp_path / "light.nnz").write_bytes(encode(model))
    model.pop()
    model.add(keras.layers.Dense(10, activation="softmax"))
    model.layers[-1].set_weights([kernel, np.zeros(10, np.float32)])
    model.save(tmp_path / "shares.keras")
    for name, levels in {"white": np.full((1, 1), 255, np.uint8), "wide": np.zeros((2, 4), np.uint8)}.items():
        Image.fromarray(levels).save(tmp_path / f"{name}.png")


@pytest.mark.parametrize("model", ["light.nnz", "shares.keras"])
def test_classify_prints_the_most_probable_classes(nnzen_command, ships, model):
    status, shown, errors = nnzen_command("classify", model, "white.png", "--classes", "fashion_mnist", "--top", "2")
    assert (status, errors) == (0, "")
    of_light, of_others = 100 * math.exp(2) / (math.exp(2) + 9), 100 / (math.exp(2) + 9)
    assert shown == f"Dress        {of_light:5.1f} %\nT-shirt/top  {of_others:5.1f} %\n"
    assert nnzen_command("classify", model, "white.png")[1].startswith("3   45.1 %\n")


def test_classify_scales_only_when_asked(nnzen_command, ships):
    status, shown, errors = nnzen_command("classify", "light.nnz", "wide.png")
    assert (status, shown) == (1, "")
    assert "file 'wide.png' is 2 × 4, height × width; the model takes 1 × 1" in errors
    assert nnzen_command("classify", "light.nnz", "wide.png", "--resize")[:2] == (
        0,
        "0   10.0 %\n1   10.0 %\n2   10.0 %\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.nnz", "white.png"], "there is no file 'gone.nnz'"),
        (["white.png", "white.png"], "ends in '.png'; a model's file ends in .keras, .nnz, .onnx, .tflite"),
        (["light.nnz", "light.nnz"], "file 'light.nnz' cannot be read as an image"),
        (["light.nnz", "white.png", "--classes", "cats"], "cats"),
    ],
)
def test_what_cannot_be_classified_ends_with_1(nnzen_command, ships, arguments, message):
    status, shown, errors = nnzen_command("classify", *arguments)
    assert (status, shown) == (1, "")
    assert message in errors
