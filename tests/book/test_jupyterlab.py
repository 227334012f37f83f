"""JupyterLab opens a chapter, runs all cells and ends without an error, as a reader would do it."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
import stage
from nbformat import v4

CHAPTER = stage.chapters_in_toc()[0]
STATE = """() => {
  const panel = window.jupyterapp?.shell.currentWidget;
  if (!panel?.content?.model || !panel.sessionContext?.isReady) return null;
  const cells = [...panel.content.model.cells].filter((cell) => cell.type === "code");
  const outputs = cells.flatMap((cell) => cell.toJSON().outputs);
  return {
    status: panel.sessionContext.session?.kernel?.status,
    cells: cells.length,
    executed: cells.filter((cell) => cell.executionCount !== null).length,
    running: cells.filter((cell) => cell.executionState === "running").length,
    errors: outputs.filter((o) => o.output_type === "error").map((o) => `${o.ename}: ${o.evalue}`),
  };
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab of this environment on two notebooks without outputs, with directories of its own."""
    tmp_path = tmp_path_factory.mktemp("lab")
    work = tmp_path / "work"
    work.mkdir()
    broken = v4.new_notebook(cells=[v4.new_code_cell("1 / 0"), v4.new_code_cell("2")])
    broken.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(broken, work / "broken.ipynb")
    shutil.copy(stage.ROOT / f"{CHAPTER}.ipynb", work / "chapter.ipynb")
    jupyter = Path(sys.executable).with_name("jupyter")
    subprocess.run(
        [jupyter, "nbconvert", "--clear-output", "--inplace", work / "chapter.ipynb"], check=True, capture_output=True
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    folders = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    options = [
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={work}",
        f"--IdentityProvider.token={token}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
        f"--LabApp.workspaces_dir={tmp_path / 'workspaces'}",
        f"--LabApp.user_settings_dir={tmp_path / 'settings'}",
        "--expose-app-in-browser",
        "--no-browser",
        *(["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []),
    ]
    log = tmp_path / "lab.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [jupyter, "lab", *options],
            cwd=work,
            env={**os.environ, **folders, "IPYTHONDIR": str(tmp_path / "ipython")},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_it_answers(server, f"http://127.0.0.1:{port}/api?token={token}", log)
            # A workspace of its own for each notebook, or the tabs of the one before would be opened again.
            yield f"http://127.0.0.1:{port}/lab/workspaces/{{0}}/tree/{{0}}.ipynb?token={token}"
        finally:
            server.terminate()
            try:
                server.wait(timeout=15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_until_it_answers(server, address, log, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"JupyterLab does not answer:\n{log.read_text()[-3000:]}")


def _run_all(context, address):
    """Run all cells through JupyterLab's menu; return the notebook's state when its kernel is idle again."""
    outside = []
    host = address.split("/lab")[0]

    def stay(route):
        if route.request.url.startswith((host, "data:", "blob:")):
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    page = context.new_page()
    page.route("**/*", stay)
    page.goto(address)
    page.wait_for_function(f"(({STATE})())?.status === 'idle'", timeout=90_000)
    page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
    page.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
    page.wait_for_function(
        f"""() => {{ const s = ({STATE})();  // null while the session reconnects or another panel has the focus
            return s && (s.errors.length || (s.executed === s.cells && !s.running && s.status === 'idle')); }}""",
        timeout=180_000,
    )
    state = page.evaluate(STATE)
    page.close()
    return state, outside


def test_chapter_runs_in_jupyterlab(lab, context):
    state, outside = _run_all(context, lab.format("chapter"))
    assert state["errors"] == []
    assert state["executed"] == state["cells"] > 5
    assert outside == [], "JupyterLab asks other hosts"


def test_an_error_would_be_seen(lab, context):
    state, _ = _run_all(context, lab.format("broken"))
    assert state["errors"] == ["ZeroDivisionError: division by zero"]
