"""Every study: results complete and not stale, plumbing at toy size; and one cell of one study again at full size."""

import collections

import pytest

from nnzen import datasets, studies
from tests.notebooks import book
from tests.notebooks.commit import commit, digest

NAMES = studies.names()
MEASURED = [name for name in NAMES if studies.is_measured(name)]  # one that needs a GPU may not be


def declaration(name):
    """What a study's notebook says about itself."""
    return book.read(book.ROOT / "nnzen/studies" / f"{name}.ipynb").metadata["nnzen"]["study"]


def skip_without_data(name):
    """Skip the test if a data set that the study declares is not on this machine."""
    for row in datasets.available():
        if row.name in declaration(name).get("data", []) and not row.ready:
            pytest.skip(f"study {name} needs {row.name}, which is not here ({row.where})")


def test_there_are_studies():
    assert NAMES, "no notebooks in nnzen/studies/"


@pytest.mark.parametrize("name", NAMES)
def test_only_a_study_that_needs_a_device_may_be_without_results(name):
    assert name in MEASURED or "needs a GPU" in studies.summary(name)


@pytest.mark.parametrize("name", MEASURED)
def test_results_are_complete_and_not_stale(name):
    study = studies.load(name)
    assert not study.stale, f"its recipe has changed: run `nnzen study {name}`"
    expected = 1
    for values in study.grid.values():
        expected *= len(values)
    assert len({str(cell["parameters"]) for cell in study.cells}) == len(study.cells) == expected
    for cell in study.cells:
        assert all(cell["parameters"][key] in values for key, values in study.grid.items())
        assert sorted(cell["measured"]) == study.measures


@pytest.mark.parametrize("name", MEASURED)
def test_every_setting_has_seeds_to_compare_with(name):
    cells = [{**cell["parameters"], "seed": None} for cell in studies.load(name).cells]
    seeds = collections.Counter(map(str, cells))
    # of what takes most of an hour one may be all there is; no check measures it again, and its claims say "one run"
    least = 1 if declaration(name).get("minutes", 0) > 30 else 3
    assert min(seeds.values()) >= least, f"a setting of {name} has fewer than {least} seeds: {seeds}"


@pytest.mark.parametrize("name", NAMES)
def test_plumbing_at_toy_size(name):
    skip_without_data(name)
    run = studies.run_study(name, toy=True, timeout=600)
    assert run.toy
    assert not run.stored
    measures = {tuple(sorted(cell["measured"])) for cell in run.measured}
    assert measures == {tuple(studies.load(name).measures)} if name in MEASURED else len(measures) == 1


def test_one_cell_again_at_full_size():
    """Study and cell come from the commit's hash; repeat another commit's choice with NNZEN_TEST_SEED."""
    name, cell = studies.pick(digest("study"))
    skip_without_data(name)
    try:
        print(studies.check_study(name, cells=[cell], timeout=600))
    except studies.StudyError as error:
        pytest.fail(f"{error}\nRepeat with NNZEN_TEST_SEED={commit()}")
