"""Run notebooks with papermill, each in a process of its own, several at a time, and show how far they are.

A process per notebook keeps them apart: one that is killed for memory, or that hangs, takes no other with it. The
processes come from a server that has imported papermill once, which takes seconds. Kernels run this very Python, so
that a kernel named ``python3`` that a user has installed elsewhere is never taken for it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from nnzen.evidence import records_in
from nnzen.notebooks import INJECTED, Notebook, code_cells, disk_is_full, first_line
from nnzen.runtime import processors

__all__ = ["Display", "Failure", "Finished", "Task", "execute", "run_tasks"]

_START_TIMEOUT = 180  # seconds for a kernel to answer on a busy machine
_POLL = 0.25  # seconds between looks at the clock
_HEARTBEAT = 30.0  # seconds between signs of life where the display cannot be redrawn


@dataclass(frozen=True)
class Task:
    """A notebook to run.

    Attributes
    ----------
    name : str
        What it is called in messages and in the display.
    notebook : dict
        The notebook itself; it is not changed.
    parameters : dict
        Values for names of its ``parameters`` cell; empty to run it as it stands.
    folder : Path
        The working directory of its kernel.
    timeout : int
        Seconds that one cell may take.
    """

    name: str
    notebook: Notebook
    parameters: dict[str, Any]
    folder: Path
    timeout: int = 600


@dataclass(frozen=True)
class Failure:
    """Why a notebook did not run to its end, and where: a code cell counted from 1, or 0 outside of any."""

    what: str
    cell: int = 0
    cells: int = 0
    line: str = ""

    def __str__(self) -> str:
        where = f" in code cell {self.cell} of {self.cells} (`{self.line}`)" if self.cell else ""
        return f"failed{where}: {self.what}"


@dataclass(frozen=True)
class Finished:
    """The end of a task: the executed notebook, up to the failing cell where there is a failure."""

    name: str
    notebook: Notebook | None
    failure: Failure | None
    seconds: float


# --- one notebook, in its own process -----------------------------------------------------------------------


@dataclass
class _Place:
    """Follows a running notebook through nbclient's hooks and reports to `send`."""

    cells: int
    send: Callable[[tuple[str, Any]], None]
    notebook: Any = None
    cell: int = 0
    line: str = ""
    claims: int = 0

    def on_notebook_start(self, notebook: Any) -> None:
        self.notebook = notebook

    def on_cell_start(self, cell: Any, cell_index: int) -> None:
        if cell.cell_type == "code" and INJECTED not in cell.metadata.get("tags", []):
            self.cell += 1
            self.line = first_line(cell.source)
            self.send(("cell", (self.cell, self.claims)))

    def on_cell_executed(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        self.claims += len(list(records_in({"cells": [cell]})))


def execute(task: Task, send: Callable[[tuple[str, Any]], None]) -> tuple[Notebook | None, Failure | None]:
    """Run a notebook in this process with a fresh kernel, reporting ``("cell", (number, claims))`` to `send`.

    Returns
    -------
    notebook : dict or None
        The executed notebook as far as it came; None if its kernel never started.
    failure : Failure or None
        What stopped it.
    """
    import nbformat
    import papermill

    place = _Place(len(code_cells(task.notebook)), send)
    failure = None
    try:
        place.notebook = papermill.execute_notebook(
            nbformat.from_dict(task.notebook),
            None,
            parameters=task.parameters,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            request_save_on_cell_execute=False,
            cwd=str(task.folder),
            start_timeout=_START_TIMEOUT,
            execution_timeout=task.timeout,
            coalesce_streams=True,
            kernel_manager_class=_own_kernel_manager(send),
            on_notebook_start=place.on_notebook_start,
            on_cell_start=place.on_cell_start,
            on_cell_executed=place.on_cell_executed,
        )
    except Exception as error:  # whatever stops one notebook must not stop the others
        failure = Failure(_reason(error, task.timeout), place.cell, place.cells, place.line)
    return _plain(place.notebook), failure


def _own_kernel_manager(send: Callable[[tuple[str, Any]], None]) -> type:
    """Return a kernel manager class whose kernel is this Python, and that reports the kernel's process id."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class OwnKernelSpecs(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=argv, display_name="Python 3", language="python")

    class OwnKernelManager(AsyncKernelManager):
        def __init__(self, **options: Any) -> None:
            super().__init__(kernel_spec_manager=OwnKernelSpecs(), **options)
            self.shutdown_wait_time = 2.0

        async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
            await super().start_kernel(**options)
            send(("kernel", getattr(self.provisioner, "pid", None)))

    return OwnKernelManager


def _reason(error: Exception, timeout: int) -> str:
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, PapermillExecutionError):
        value = re.sub(r"\x1b\[[0-9;]*m", "", str(error.evalue)).strip()
        if error.ename == "ClaimError":
            return f"a claim does not hold. {value}"
        return f"{error.ename}: {value[:500]}" if value else str(error.ename)
    if isinstance(error, CellTimeoutError):
        return f"the cell ran longer than {timeout} s; make it shorter, or allow more with --timeout"
    if isinstance(error, DeadKernelError):
        return "its kernel died (out of memory, a crash in native code, or an exit); run the cell by itself to see why"
    if disk_is_full(error):
        return "no space is left on the disk; free some and run again"
    if isinstance(error, RuntimeError) and "kernel" in str(error).lower():
        return f"its kernel did not start ({error}); is ipykernel installed for {sys.executable}?"
    return f"{type(error).__name__}: {error}"


def _plain(notebook: Any) -> Notebook | None:
    """Return the notebook as plain dictionaries, without papermill's copy of its input."""
    if notebook is None:
        return None
    plain = _plain_value(notebook)
    plain["metadata"].pop("papermill", None)
    return plain


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain_value(item) for key, item in value.items() if key != "papermill"}
    return [_plain_value(item) for item in value] if isinstance(value, list) else value


def _work(task: Task, environment: dict[str, str], connection: Connection) -> None:
    """Run one task in a worker process; its messages go through `connection`, its last one is ``"finished"``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all: the parent decides
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # leave through `finally`, which ends the kernel
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.clear()
    os.environ.update(environment)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 1)  # what the kernel's start-up prints would tear the display
        os.dup2(log.fileno(), 2)
        notebook, failure = execute(task, connection.send)
    connection.send(("finished", (notebook, failure)))
    connection.close()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # the kernel watches this process and follows


# --- several notebooks --------------------------------------------------------------------------------------


@dataclass
class _Running:
    task: Task
    process: BaseProcess
    started: float
    kernel: int | None = None


def run_tasks(tasks: Sequence[Task], *, jobs: int, display: Display | None = None) -> Generator[Finished, None, None]:
    """Run tasks, `jobs` at a time, and yield each as it ends; a failing one does not stop the others.

    Closing the generator, or an exception such as KeyboardInterrupt inside it, ends all processes and kernels.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["papermill"])
    environment = _environment(min(jobs, len(tasks)))
    waiting = deque(tasks)
    running: dict[Connection, _Running] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                connection, worker = _start(context, waiting.popleft(), environment)
                running[connection] = worker
                if display is not None:
                    display.start(worker.task.name, len(code_cells(worker.task.notebook)))
            ready = wait(list(running), timeout=_POLL)
            for connection in [c for c in running if c in ready]:
                finished = _receive(connection, running[connection], display)
                if finished is not None:
                    connection.close()
                    _end(running.pop(connection))
                    yield finished
            if display is not None:
                display.tick()
    finally:
        for worker in running.values():
            worker.process.terminate()
        for worker in running.values():
            _end(worker)


def _environment(beside: int) -> dict[str, str]:
    """Return the environment of each of so many kernels: its share of the processors for products of matrices.

    By default OpenBLAS, which NumPy's wheels bring, waits in a loop for as many threads as there are processors: two
    kernels then keep each other's threads from running, and take several times as long.
    """
    share = max(1, processors() // max(1, beside))
    return {"OPENBLAS_NUM_THREADS": str(share), **os.environ}


def _start(context: Any, task: Task, environment: dict[str, str]) -> tuple[Connection, _Running]:
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(task, environment, theirs), daemon=True)
    process.start()
    theirs.close()  # the worker holds the only copy, so its death ends the pipe
    return ours, _Running(task, process, time.monotonic())


def _receive(connection: Connection, worker: _Running, display: Display | None) -> Finished | None:
    try:
        kind, value = connection.recv()
    except (EOFError, OSError):
        worker.process.join(5)
        code = worker.process.exitcode
        what = f"the process that ran it ended with code {code}; {'out of memory?' if code == -9 else 'run it again'}"
        return Finished(worker.task.name, None, Failure(what), time.monotonic() - worker.started)
    if kind == "cell" and display is not None:
        display.cell(worker.task.name, *value)
    elif kind == "kernel":
        worker.kernel = value
    elif kind == "finished":
        notebook, failure = value
        return Finished(worker.task.name, notebook, failure, time.monotonic() - worker.started)
    return None


def _end(worker: _Running) -> None:
    """Wait for a worker that is done or was told to stop; insist if it does not."""
    worker.process.join(5)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join(5)
    if worker.kernel is not None and worker.process.exitcode != 0:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(worker.kernel, signal.SIGKILL)


# --- display ------------------------------------------------------------------------------------------------


@dataclass
class _Row:
    state: str = "waiting"
    cell: int = 0
    cells: int = 0
    claims: int = 0
    started: float = 0.0
    seconds: float | None = None
    note: str = ""
    said: float = 0.0

    def elapsed(self) -> float | None:
        if self.seconds is not None:
            return self.seconds
        return time.monotonic() - self.started if self.state == "running" else None


_COLOURS = {"running": "cyan", "done": "green", "failed": "red", "kept": "yellow"}


@dataclass
class Display:
    """One line per notebook: state, cell, elapsed seconds, claims so far. Plain lines where it is no terminal.

    Use it as a context manager around :func:`run_tasks`.
    """

    names: Sequence[str]
    console: Console = field(default_factory=Console)
    unit: str = "chapter"

    def __post_init__(self) -> None:
        self._rows = {name: _Row() for name in self.names}
        self._live: Live | None = None

    def __enter__(self) -> Display:
        if self.console.is_terminal:
            self._live = Live(self._table(), console=self.console, auto_refresh=False)
            self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for row in self._rows.values():
            if row.state == "running":  # Ctrl-C
                row.seconds, row.state = row.elapsed(), "stopped"
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
            self._live.__exit__(*error)

    def start(self, name: str, cells: int) -> None:
        """Say that a notebook with so many code cells has started."""
        now = time.monotonic()
        self._rows[name] = _Row("running", cells=cells, started=now, said=now)
        self._say(name, f"started, {cells} code cells")

    def cell(self, name: str, cell: int, claims: int) -> None:
        """Say that a code cell has started, after so many claims."""
        self._rows[name].cell, self._rows[name].claims = cell, claims

    def finish(self, name: str, state: str, *, seconds: float | None = None, claims: int = 0, note: str = "") -> None:
        """Say how a notebook ended: ``done``, ``failed``, ``unchanged`` or ``kept``."""
        row = self._rows[name]
        row.state, row.seconds, row.claims, row.note = state, seconds, claims, note
        if state == "done":
            row.cell = row.cells
        took = f" in {seconds:.0f} s" if seconds is not None else ""
        self._say(name, f"{state}{took}{_plural(claims)}" + (f": {note}" if note else ""))

    def tick(self) -> None:
        """Redraw; where that is impossible, give a sign of life now and then."""
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
            return
        for name, row in self._rows.items():
            if row.state == "running" and time.monotonic() - row.said > _HEARTBEAT:
                row.said = time.monotonic()
                self._say(name, f"cell {row.cell}/{row.cells} after {row.elapsed():.0f} s{_plural(row.claims)}")

    def _say(self, name: str, words: str) -> None:
        if self._live is None:
            width = max(map(len, self._rows))
            self.console.print(f"{name:{width}}  {words}", markup=False, highlight=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for title in (self.unit, "state"):
            table.add_column(title, no_wrap=True)
        for title in ("cell", "seconds", "claims"):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("", overflow="fold")
        for name, row in self._rows.items():
            seconds = row.elapsed()
            table.add_row(
                name,
                f"[{_COLOURS.get(row.state, 'dim')}]{row.state}[/]",
                f"{row.cell}/{row.cells}" if row.cells else "",
                "" if seconds is None else f"{seconds:.0f}",
                str(row.claims) if row.claims else "",
                row.note.replace("[", "\\["),
            )
        return table


def _plural(claims: int) -> str:
    return f", {claims} claim{'' if claims == 1 else 's'}" if claims else ""
