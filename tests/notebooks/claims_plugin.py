"""pytest plugin beside nbval: compare the records of stored and of fresh outputs.

nbval compares outputs but not their metadata, and the measured digits of a claim's line are sanitized. The
records in the metadata (claims, looks at a test set, a study's measurements) are compared here: everything
declared exactly, measured values within the claim's own tolerance. Use it as

    python -m pytest -p tests.notebooks.claims_plugin --nbval chapters \\
        --nbval-sanitize-with tests/notebooks/nbval_sanitize.cfg -n 2 --dist loadfile

It also distributes the work: the cells of a notebook stay on one worker, as the tests of any file do, but
test_other_seed.py is dealt out test by test, because each of its tests runs a chapter. (`--dist loadgroup` would say
so in fewer words; pytest-xdist 3.8 forgets the groups under pytest 9.2.)
"""

import pytest

from nnzen.evidence import Claim, same

CLAIM = "nnzen"


@pytest.hookimpl(optionalhook=True)  # only pytest-xdist asks
def pytest_xdist_make_scheduler(config, log):
    """Take the place of `--dist loadfile`, and of nothing else."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class LoadFileOrChapter(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return scope(nodeid)

    return LoadFileOrChapter(config, log)


def scope(nodeid):
    """What must run on one worker: the tests of the same file, or this one alone."""
    file = nodeid.split("::", 1)[0]
    return nodeid if file.endswith("test_other_seed.py") else file


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """After nbval has run and compared a cell, compare its records."""
    result = yield
    if getattr(item, "test_outputs", None) is not None:  # a cell that nbval ran
        different = compare(item.cell.outputs, item.test_outputs)
        if item.options["check"]:
            different += compare_plain(item.cell.outputs, item.test_outputs)
        if different:
            item.raise_cell_error("Measured values differ from the stored ones", "\n".join(different))
    return result


def compare(stored, fresh):
    """Differences, in words, between the records of stored and of fresh outputs."""
    old, new = records(stored), records(fresh)
    if len(old) != len(new):
        return [f"stored are the records {names(old)}, fresh are {names(new)}"]
    return [line for a, b in zip(old, new, strict=True) for line in compare_record(*a, *b)]


def records(outputs):
    """Pairs of kind and record, in the order of the outputs."""
    return [
        (kind, record)
        for output in outputs
        for kind, record in sorted(output.get("metadata", {}).items())
        if kind.startswith(CLAIM)
    ]


def names(pairs):
    return [record.get("id", kind) for kind, record in pairs]


def compare_record(kind, stored, fresh_kind, fresh):
    if kind != fresh_kind:
        return [f"stored is a record {kind!r}, fresh is {fresh_kind!r}"]
    if kind == CLAIM:
        try:
            return same(Claim.from_record(stored), Claim.from_record(fresh))
        except ValueError as error:
            return [str(error)]
    return [] if stored == fresh else [f"{kind} was {dict(stored)}, is {dict(fresh)}"]


def compare_plain(stored, fresh):
    """Differences in digits that look like a claim's but have no record, such as those of a refused claim."""
    old, new = without_record(stored), without_record(fresh)
    return [] if old == new else [f"was {old}, is {new}"]


def without_record(outputs):
    """Texts whose digits nbval does not compare although they are no claim (nor a table of claims: lint judges it)."""
    found = []
    for output in outputs:
        texts = [output.get("text", ""), *output.get("data", {}).values()]
        texts = [text for text in texts if isinstance(text, str)]
        if CLAIM not in output.get("metadata", {}) and not any('class="nz-claims"' in text for text in texts):
            found += [text for text in texts if "‹" in text or "nz-num" in text]
    return found
