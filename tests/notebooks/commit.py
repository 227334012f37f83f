"""What a commit's hash decides: seeds that nobody has tuned on, and which study is run again."""

import hashlib
import os
import subprocess

from tests.notebooks.book import ROOT


def commit():
    """The current commit's hash, or `NNZEN_TEST_SEED` to repeat the run of another commit."""
    given = os.environ.get("NNZEN_TEST_SEED")
    if given:
        return given
    command = ["git", "rev-parse", "HEAD"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return run.stdout.strip() if run.returncode == 0 else "no commit"


def digest(*names):
    """64 hexadecimal digits that the commit and the names decide."""
    return hashlib.sha256("/".join([commit(), *map(str, names)]).encode()).hexdigest()


def draw(*names):
    """A number from 0 to 999,999 that the commit and the names decide."""
    return int(digest(*names), 16) % 1_000_000
