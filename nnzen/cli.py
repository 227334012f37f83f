"""The command ``nnzen``: run chapters and studies, print the evidence, list data, audit a report, classify an image.

Errors are one message on stderr. The exit status is 0 if all went well, 1 if something failed, 2 if the command was
not understood, 130 after Ctrl-C.
"""

from __future__ import annotations

import ast
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

import nnzen

__all__ = ["app", "main"]

app = typer.Typer(
    name="nnzen",
    help="Zen and the Art of Neural Network Computation: run the book, measure again, look at the evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
"""The command-line application.

:meta hide-value:
"""

Chapters = Annotated[Path | None, typer.Option("--chapters", help="Folder of the chapters.", show_default="chapters/")]
Timeout = Annotated[int, typer.Option("--timeout", help="Seconds that one code cell may take.", min=1)]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", help="How many at a time.", min=1, show_default="2, or 1 on 1 CPU"),
]


class Failed(Exception):
    """Ends the command with its message on stderr and its exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command and exit; every error becomes one message on stderr."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        status = app(arguments, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except Failed as error:
        if str(error):
            _complain(str(error))
        status = error.status
    except BrokenPipeError:  # `nnzen evidence | head`
        sys.stderr.close()
        status = 1
    except Exception as error:
        describe = getattr(error, "format_message", None)  # typer's usage errors have it
        if describe is not None:
            _complain(f"{' '.join(str(describe()).split())} (see `nnzen --help` or `nnzen COMMAND --help`)")
        else:
            _complain(f"{type(error).__name__}: {error}")
        status = getattr(error, "exit_code", 1)
    if status == 130:  # some versions of typer return this for Ctrl-C
        _complain("interrupted; what was finished is kept, and the same command resumes")
    sys.exit(status if isinstance(status, int) else 0)


def _terminate(number: int, frame: Any) -> NoReturn:
    raise Failed("terminated; what was finished is kept, and the same command resumes", 128 + number)


def _complain(message: str) -> None:
    print(f"nnzen: {message}", file=sys.stderr, flush=True)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"nnzen {nnzen.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def run(
    chapter: Annotated[list[str] | None, typer.Argument(help="Numbers or names, such as 02; all if none.")] = None,
    store: Annotated[bool, typer.Option("--store", help="Write the outputs back into the chapters.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Execute unchanged chapters, too.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed to use instead of the chapters' own.", min=0)] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Another parameter; repeatable."),
    ] = None,
    jobs: Jobs = None,
    timeout: Timeout = 600,
    chapters: Chapters = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Where executed chapters go.", show_default="build/executed/"),
    ] = None,
) -> None:
    """Execute chapters with live progress; unchanged ones are not executed again."""
    from nnzen import runner

    parameters = _parameters(parameter or [])
    if seed is not None:
        parameters["seed"] = seed
    try:
        outcomes = runner.run_chapters(
            chapter or (),
            chapters=chapters or runner.find_chapters(),
            output=output,
            parameters=parameters,
            jobs=jobs,
            timeout=timeout,
            store=store,
            force=force,
            display=True,
        )
    except runner.RunError as error:
        raise Failed(str(error), 2) from error
    for outcome in outcomes:
        if outcome.state == "failed":
            _complain(f"{outcome.chapter}: {outcome.message}")
    stored = [outcome.chapter for outcome in outcomes if outcome.stored]
    if stored:
        print(f"outputs stored: {', '.join(stored)}")
    failed = sum(outcome.state == "failed" for outcome in outcomes)
    print(f"{len(outcomes) - failed} of {len(outcomes)} chapters are good")
    if failed:
        raise Failed("")


def _parameters(given: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE pairs; a value that is no Python literal is a string."""
    parameters: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise Failed(f"parameter {pair!r} must look like NAME=VALUE, such as epochs=3", 2)
        try:
            parameters[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            parameters[name] = value
    return parameters


@app.command()
def study(
    name: Annotated[str | None, typer.Argument(help="Name of the study; all are listed if none is given.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All studies.")] = False,
    cell: Annotated[
        list[int] | None, typer.Option("--cell", help="Only this cell of the grid, from 0; repeatable.", min=0)
    ] = None,
    toy: Annotated[
        bool, typer.Option("--toy", help="Run at toy size, one cell per setting; nothing is stored.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Measure again: cells must fall in the interval of the other seeds.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Measure again what is up to date, and store it.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="How many cells at a time.", min=1)] = 1,
    timeout: Timeout = 3600,
) -> None:
    """Measure a study over its grid and store the results beside it; an interrupted one resumes."""
    from nnzen import studies

    if (name is not None) + every > 1 or toy + check + force > 1 or (every and cell):
        raise Failed("give either NAME or --all, one of --toy, --check and --force, and --cell with NAME only", 2)
    failures = []
    for known in studies.names() if every or name is None else [name]:
        try:
            if name is None and not every:
                print(studies.summary(known))
            elif check:
                print(studies.check_study(known, cells=cell, jobs=jobs, timeout=timeout, display=True))
            else:
                print(
                    studies.run_study(known, cells=cell, toy=toy, force=force, jobs=jobs, timeout=timeout, display=True)
                )
        except studies.DeviceMissing as error:
            if not every:
                raise Failed(str(error)) from error
            print(f"left out: {error}")
        except (studies.StudyError, OSError) as error:
            failures.append(str(error))
    if failures:
        raise Failed("\nnnzen: ".join(failures))


@app.command()
def evidence(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    chapters: Chapters = None,
) -> None:
    """Print the ledger: every claim of the book, and the verdicts on the published claims."""
    from nnzen import ledger, runner

    try:
        folder = chapters or runner.find_chapters()
        paths = sorted(folder.glob("*.ipynb"))
        if not paths:
            raise Failed(f"there are no notebooks in {folder}", 2)
        book = ledger.collect(paths)
    except (runner.RunError, ledger.LedgerError, OSError) as error:
        raise Failed(str(error)) from error
    if json:
        print(book.to_json())
    else:
        _print_ledger(book)


def _print_ledger(book: Any) -> None:
    from rich.console import Console
    from rich.text import Text

    from nnzen.evidence import render_text

    console = Console(highlight=False)
    chapter = ""
    for entry in book.entries:
        if entry.chapter != chapter:
            chapter = entry.chapter
            console.print(Text(f"\n{chapter}", style="bold"))
        console.print(Text(f"  [{entry.evidence}] {render_text(entry.claim)}"))
    tested = [row for row in book.published if book.deciding(row.id)]
    console.print(Text(f"\nPublished claims: {len(tested)} of {len(book.published)} tested", style="bold"))
    for row in tested:
        deciding = ", ".join(entry.claim.id for entry in book.deciding(row.id))
        console.print(Text(f"  {row.id} {book.verdict(row.id)}: {row.claim} ({deciding})"))
    for look in book.looks:
        console.print(Text(f"  test set of {look.dataset}, look {look.look} in {look.chapter}: {look.why}"))


@app.command()
def data(
    get: Annotated[
        str | None,
        typer.Option("--get", metavar="NAME", help="Load this data set, downloading it if need be."),
    ] = None,
) -> None:
    """List the data sets: where from, under which licence, whether they are here, and the ways to get them."""
    from nnzen import datasets

    if get is not None:
        try:
            loaded = datasets.load(get)
        except datasets.DatasetError as error:
            raise Failed(str(error)) from error
        print(f"{loaded.name} is here: {loaded.provenance}")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("data set", "images", "licence", "here", "where"):
        table.add_column(title, overflow="fold")
    rows = datasets.available()
    for row in rows:
        table.add_row(row.name, f"{row.images:,}", row.licence, "yes" if row.ready else "no", row.where)
    Console().print(table)
    if not all(row.ready for row in rows):
        print(
            "\nThree ways to get one that is not here: `nnzen data --get NAME` with a network; put NAME.npz\n"
            "(x_train, y_train, x_test, y_test) into a folder and name it in the environment variable NNZEN_DATA;\n"
            "or copy the cache of keras.datasets from another machine to the same place here."
        )


@app.command()
def audit(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Text with one report, or - for standard input.")],
    support: Annotated[
        int | None, typer.Option("--support", help="Samples of each class, instead of what is printed.", min=0)
    ] = None,
    single_label: Annotated[
        bool | None,
        typer.Option(
            "--single-label/--several-labels",
            help="Whether each sample has one label and all classes are listed.",
            show_default="yes if there is a row for accuracy",
        ),
    ] = None,
    rounding: Annotated[
        str, typer.Option("--rounding", help="How the figures were rounded: nearest, cut or any.")
    ] = "nearest",
) -> None:
    """Prove which rows and averages of a published classification report are impossible; status 1 if any is."""
    from nnzen.audit import audit as judge

    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        found = judge(text, support=support, single_label=single_label, rounding=rounding)
    except UnicodeDecodeError as error:
        raise Failed(f"{file} is no text in UTF-8: {error}", 2) from error
    except OSError as error:
        raise Failed(f"{file} cannot be read: {error.strerror}", 2) from error
    except ValueError as error:
        raise Failed(str(error), 2) from error
    print(found)
    if found.verdict == "impossible":
        raise Failed("")


@app.command()
def classify(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A file .keras, .nnz, .onnx or .tflite.")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A PNG, a JPEG, or what else Pillow reads.")],
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes", metavar="NAME", help="Data set whose names of classes are printed.", show_default="0, 1, …"
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", help="How many classes to print, the most probable first.", min=1)] = 3,
    resize: Annotated[bool, typer.Option("--resize", help="Scale an image of another size.")] = False,
) -> None:
    """Print what a model takes an image for. It gets levels of 0 to 255: scaling belongs into the model."""
    from nnzen.predictors import predictor, read_image

    try:
        found = predictor(model)
        levels = read_image(image, found.shape, resize=resize)[None]
        outputs = found.outputs(levels)
        shares = _probabilities(outputs, found.step)
        names = _class_names(classes, len(shares))
    except (ValueError, OSError, ImportError) as error:
        raise Failed(str(error)) from error
    for note in found.notes(levels):
        _complain(f"note: {note}")
    ranked = sorted(range(len(shares)), key=lambda k: -shares[k])[:top]
    width = max(len(names[k]) for k in ranked)
    for k in ranked:
        print(f"{names[k]:{width}}  {100 * shares[k]:5.1f} %")


def _probabilities(outputs: Any, step: float) -> list[float]:
    """Return the outputs of one image if they are probabilities, up to their rounding; else the softmax of them."""
    import numpy as np

    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise ValueError(f"the model puts out shape {outputs.shape} for an image; it must be (1, K), K classes")
    scores = outputs[0].astype(np.float64)
    if not np.isfinite(scores).all():
        raise ValueError(f"the model puts out {scores.tolist()}, which are not all finite")
    rounding = len(scores) * max(step, 1e-6)
    if scores.min() >= 0 and abs(scores.sum() - 1) <= rounding:
        return list(scores)
    exponents = np.exp(scores - scores.max())
    return list(exponents / exponents.sum())


def _class_names(dataset: str | None, count: int) -> tuple[str, ...]:
    if dataset is None:
        return tuple(map(str, range(count)))
    from nnzen import datasets

    try:
        names = datasets.load(dataset).class_names
    except datasets.DatasetError as error:
        raise ValueError(str(error)) from error
    if len(names) != count:
        raise ValueError(f"the model tells {count} classes apart; {dataset} has {len(names)}")
    return names


if __name__ == "__main__":
    main()
