"""Data sets: what is on board is what was published, splits are fixed, and a damaged file says so."""

import dataclasses
import gzip
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnzen import datasets

FASHION_TRAIN = [3, 0, 9, 8, 4, 1, 4, 9, 1, 1, 7, 3]
FASHION_VALIDATION = [6, 7, 0, 9, 6, 3, 1, 6, 6, 9, 3, 4]
TINY = dataclasses.replace(datasets._SOURCES["mnist"], shape=(2, 2), train=30, test=20, validation=10)


@pytest.fixture(scope="module")
def fashion() -> datasets.Dataset:
    return datasets.load("fashion_mnist")


@pytest.fixture
def fresh_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "_looks", datasets.Counter())


def tiny_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (30, 2, 2), dtype=np.uint8),
        "y_train": np.arange(30, dtype=np.uint8) % 10,
        "x_test": rng.integers(0, 256, (20, 2, 2), dtype=np.uint8),
        "y_test": np.arange(20, dtype=np.uint8) % 10,
    }


# --- Fashion-MNIST ------------------------------------------------------------------------------------------


def test_fashion_mnist_is_the_published_one(fashion: datasets.Dataset, fresh_looks: None) -> None:
    x_test, y_test = fashion.open_test("a test of the data set itself")
    x = np.concatenate([fashion.x_train, fashion.x_validation])
    y = np.concatenate([fashion.y_train, fashion.y_validation])
    assert x.shape == (60_000, 28, 28)
    assert x_test.shape == (10_000, 28, 28)
    assert np.bincount(y).tolist() == [6_000] * 10
    assert np.bincount(y_test).tolist() == [1_000] * 10
    # the published 0.2860 and 0.3530 of 255
    assert round(x.mean(), 2) == 72.94
    assert round(x.std(), 2) == 90.02
    assert fashion.checksum == "61af3f0d17defb9efb5d6392c5e8ad0da3f1b7a6ffcf2710eac3ed89b24d635d"
    assert y_test[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]  # the published order


def test_fashion_mnist_splits(fashion: datasets.Dataset) -> None:
    assert fashion.x_train.shape == (54_000, 28, 28)
    assert fashion.x_train.dtype == np.uint8
    assert fashion.x_validation.shape == (6_000, 28, 28)
    assert fashion.y_validation.dtype == np.int64
    assert np.bincount(fashion.y_train).tolist() == [5_400] * 10
    assert np.bincount(fashion.y_validation).tolist() == [600] * 10
    assert fashion.test_size == 10_000


def test_splits_do_not_depend_on_a_seed(fashion: datasets.Dataset) -> None:
    # Written down: a change of these labels is a change of every result in the book.
    assert fashion.y_train[:12].tolist() == FASHION_TRAIN
    assert fashion.y_validation[:12].tolist() == FASHION_VALIDATION
    np.random.seed(123)
    assert np.array_equal(datasets.load("fashion_mnist").y_train, fashion.y_train)


def test_first_images_are_a_fair_sample(fashion: datasets.Dataset) -> None:
    for labels in (fashion.y_train[:500], fashion.y_train[-500:], fashion.y_validation[:500]):
        counts = np.bincount(labels, minlength=10)
        assert 25 < counts.min() <= counts.max() < 75  # 50 expected, standard deviation 7


def test_arrays_are_read_only(fashion: datasets.Dataset, fresh_looks: None) -> None:
    x_test, y_test = fashion.open_test("to see that it cannot be changed")
    for array in (
        fashion.x_train,
        fashion.y_train,
        fashion.x_validation,
        fashion.y_validation,
        x_test,
        y_test,
    ):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        fashion.name = "other"  # type: ignore[misc]


def test_loading_is_quick() -> None:
    best = min(_seconds_to_load() for _ in range(3))
    assert best < 2  # 0.6 s alone; twice and more on a machine that does something else


def _seconds_to_load() -> float:
    start = time.process_time()
    datasets.load("fashion_mnist")
    return time.process_time() - start


# --- the test split -----------------------------------------------------------------------------------------


def test_test_images_are_not_public(fashion: datasets.Dataset) -> None:
    public = [getattr(fashion, name) for name in dir(fashion) if not name.startswith("_")]
    assert not any(isinstance(value, np.ndarray) and len(value) == fashion.test_size for value in public)


def test_looks_are_counted_by_data_set(fresh_looks: None, capsys: pytest.CaptureFixture[str]) -> None:
    digits = datasets.load("digits")
    digits.open_test("first")
    datasets.load("digits").open_test("  second ")
    out = capsys.readouterr().out
    assert out.splitlines() == [
        "Test set of digits opened, look 1: first",
        "Test set of digits opened, look 2: second",
    ]


def test_a_look_is_recorded_in_the_output(fresh_looks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnzen import evidence

    shown: list[tuple[str, str, dict]] = []
    monkeypatch.setattr(evidence, "display_line", lambda *args: shown.append(args))
    datasets.load("digits").open_test("is 1 < 2?")
    (text, markup, metadata) = shown[0]
    assert metadata == {"nnzen_test": {"dataset": "digits", "look": 1, "why": "is 1 < 2?"}}
    assert text.endswith("is 1 < 2?")
    assert markup.endswith("is 1 &lt; 2?</p>")


@pytest.mark.parametrize("why", ["", "  ", "two\nlines", None])
def test_a_look_needs_a_reason(why: str, fresh_looks: None) -> None:
    with pytest.raises(ValueError, match="why is"):
        datasets.load("digits").open_test(why)
    assert not datasets._looks


# --- the others ---------------------------------------------------------------------------------------------


def test_digits_are_split_by_class() -> None:
    digits = datasets.load("digits")
    x_test, y_test = digits.open_test("a test of the split")
    assert digits.x_train.shape == (1_197, 8, 8)
    assert x_test.shape == (300, 8, 8)
    assert digits.x_train.max() == 16
    for labels in (digits.y_validation, y_test):
        assert np.abs(np.bincount(labels) - 30).max() <= 1
    rows = np.concatenate([digits.x_train, digits.x_validation, x_test]).reshape(1_797, -1)
    assert len(np.unique(rows, axis=0)) == 1_797  # nothing is in two splits


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_offline_copies(name: str) -> None:
    folder = os.environ.get("NNZEN_DATA", "")
    if not (Path(folder) / f"{name}.npz").is_file() or not folder:
        pytest.skip(f"NNZEN_DATA names no folder with {name}.npz")
    data = datasets.load(name)
    x_test, y_test = data.open_test("a test of the copy")
    if name == "mnist":
        assert data.x_train.shape == (54_000, 28, 28)
        everything = np.concatenate([data.x_train, data.x_validation, x_test])
        assert abs(everything.mean() - 33.3184) < 0.2
        share = np.bincount(data.y_validation) / np.bincount(data.y_train)
        assert np.abs(share - 1 / 9).max() < 1e-3  # each class in proportion
    else:
        assert data.x_train.shape == (45_000, 32, 32, 3)
        assert np.bincount(data.y_validation).tolist() == [500] * 10
        assert len(set(y_test[:20].tolist())) > 3  # the file is sorted by class, the split is not
        with np.load(Path(folder) / "cifar10.npz") as file:
            assert str(file["provenance"]) in data.provenance


def test_every_data_set_is_listed() -> None:
    rows = {row.name: row for row in datasets.available()}
    assert list(rows) == ["fashion_mnist", "digits", "mnist", "cifar10"]
    assert rows["fashion_mnist"].ready
    assert rows["digits"].ready
    assert rows["fashion_mnist"].images == 70_000
    assert rows["cifar10"].shape == (32, 32, 3)


def test_listing_says_where_a_copy_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNZEN_DATA", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    row = next(row for row in datasets.available() if row.name == "mnist")
    assert not row.ready
    assert str(tmp_path / "mnist.npz") in row.where
    (tmp_path / "mnist.npz").touch()
    row = next(row for row in datasets.available() if row.name == "mnist")
    assert row.ready
    assert row.where == str(tmp_path / "mnist.npz")


def test_a_data_set_prints_its_splits_and_provenance(fashion: datasets.Dataset) -> None:
    text, markup = repr(fashion), fashion._repr_html_()
    for words in ("54,000 images, 28 × 28", "Ankle boot", "Vollgraf", "opened by open_test(why)"):
        assert words in text
        assert words in markup


# --- stratification -----------------------------------------------------------------------------------------


@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=200),
    part=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_stratified_sets_aside_in_proportion(labels: list[int], part: float, seed: int) -> None:
    y = np.array(labels)
    size = int(part * len(y))
    aside, rest = datasets._stratified(y, size, np.random.RandomState(seed))
    assert len(aside) == size
    assert sorted([*aside, *rest]) == list(range(len(y)))  # every image once
    share = np.bincount(y) * size / len(y)
    taken = np.bincount(y[aside], minlength=len(share))
    assert np.all(np.abs(taken - share) < 1 + 1e-9)


# --- bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fashion-mnist", "", None, ["mnist"]])
def test_unknown_name(name: str) -> None:
    with pytest.raises(datasets.UnknownDataset, match="fashion_mnist, digits, mnist, cifar10") as caught:
        datasets.load(name)
    assert repr(name) in str(caught.value)


def write_idx(path: Path, array: np.ndarray) -> bytes:
    content = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content))
    return content


def test_idx_round_trip(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    write_idx(tmp_path / "a.gz", array)
    assert np.array_equal(datasets._read_idx(tmp_path / "a.gz", (2, 3, 4)), array)


@given(keep=st.integers(0, 1_000))
def test_truncated_idx(tmp_path_factory: pytest.TempPathFactory, keep: int) -> None:
    path = tmp_path_factory.mktemp("idx") / "a.gz"
    write_idx(path, np.random.default_rng(0).integers(0, 256, (4, 16, 16), dtype=np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[: min(keep, len(whole) - 1)])
    with pytest.raises(datasets.DatasetCorrupt, match=r"a\.gz .*Reinstall nnzen"):
        datasets._read_idx(path, (4, 16, 16))


def test_damaged_idx(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    array = np.random.default_rng(0).integers(0, 256, (4, 16, 16), dtype=np.uint8)
    content = write_idx(path, array)
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 0xFF
    wrong = {
        "cannot be unpacked": bytes(damaged),
        r"starts with the bytes 00 00 0d 03, expected 00 00 08 03": gzip.compress(b"\0\0\x0d\3" + content[4:]),
        r"says shape \(4, 16, 16\), expected 1,040 bytes": gzip.compress(content[:-1]),
    }
    for message, data in wrong.items():
        path.write_bytes(data)
        with pytest.raises(datasets.DatasetCorrupt, match=message):
            datasets._read_idx(path, (4, 16, 16))
    write_idx(path, array[:3])
    with pytest.raises(datasets.DatasetCorrupt, match=r"says shape \(3, 16, 16\).*shape \(4, 16, 16\)"):
        datasets._read_idx(path, (4, 16, 16))
    path.unlink()
    with pytest.raises(datasets.DatasetCorrupt, match="is missing"):
        datasets._read_idx(path, (4, 16, 16))


def test_fashion_mnist_of_other_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = dataclasses.replace(TINY, read=lambda _: datasets._Raw(**tiny_arrays(), provenance=""), checksum="ab12")
    monkeypatch.setattr(datasets, "_SOURCES", {"tiny": source})
    with pytest.raises(datasets.DatasetCorrupt, match="expected ab12"):
        datasets.load("tiny")


def test_checksum_sees_every_part() -> None:
    raw = datasets._Raw(**tiny_arrays(), provenance="")
    sums = {datasets._checksum(raw)}
    for name in ("x_train", "y_train", "x_test", "y_test"):
        changed = getattr(raw, name).copy()
        changed.flat[-1] ^= 1
        sums.add(datasets._checksum(dataclasses.replace(raw, **{name: changed})))
    sums.add(datasets._checksum(dataclasses.replace(raw, x_train=raw.x_train.reshape(30, 4, 1))))
    assert len(sums) == 6


def test_npz_round_trip(tmp_path: Path) -> None:
    arrays = tiny_arrays()
    np.savez(tmp_path / "t.npz", **{**arrays, "y_train": arrays["y_train"][:, None]}, provenance="a copy")
    raw = datasets._read_npz(tmp_path / "t.npz", TINY)
    assert "a copy" in raw.provenance
    assert raw.y_train.shape == (30,)
    assert all(np.array_equal(getattr(raw, name), array) for name, array in arrays.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_test": None}, r"has no array y_test; it holds x_train, y_train, x_test"),
        ({"x_train": np.zeros((30, 2, 3), np.uint8)}, r"x_train has shape \(30, 2, 3\)"),
        ({"x_test": np.zeros((20, 2, 2), float)}, "type float64, expected .* uint8"),
        ({"y_train": np.zeros(29, np.uint8)}, r"y_train has shape \(29,\)"),
        ({"y_train": np.zeros(30, float)}, "type float64, expected 30 whole numbers"),
        ({"y_test": np.full(20, 10)}, "y_test runs from 10 to 10, expected 0 to 9"),
    ],
)
def test_npz_of_other_content(tmp_path: Path, change: dict, message: str) -> None:
    arrays = {name: array for name, array in {**tiny_arrays(), **change}.items() if array is not None}
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(datasets.DatasetCorrupt, match=message) as caught:
        datasets._read_npz(tmp_path / "t.npz", TINY)
    assert str(tmp_path / "t.npz") in str(caught.value)
    assert "Replace it" in str(caught.value)


def test_npz_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, **tiny_arrays())
    whole = path.read_bytes()
    np.save(tmp_path / "array.npy", np.zeros(3))
    for content in (b"", b"not a zip file", whole[: len(whole) // 2], (tmp_path / "array.npy").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(datasets.DatasetCorrupt, match="not a readable npz file"):
            datasets._read_npz(path, TINY)


def test_npz_with_a_damaged_member(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, **tiny_arrays())
    content = bytearray(path.read_bytes())
    content[180] ^= 0xFF  # inside the first array
    path.write_bytes(bytes(content))
    with pytest.raises(datasets.DatasetCorrupt):
        datasets._read_npz(path, TINY)


def test_unavailable_names_three_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    def load_data() -> None:
        raise Exception("URL fetch failure on https://example.org: no network")

    fake = types.SimpleNamespace(datasets=types.SimpleNamespace(mnist=types.SimpleNamespace(load_data=load_data)))
    monkeypatch.setitem(sys.modules, "keras", fake)
    monkeypatch.setenv("NNZEN_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(datasets.DatasetUnavailable) as caught:
        datasets.load("mnist")
    message = str(caught.value)
    assert str(tmp_path / "nowhere" / "mnist.npz") in message
    assert "no network" in message
    assert all(f"\n  {n}. " in message for n in (1, 2, 3))
    assert "fashion_mnist" in message


def test_keras_gives_the_same_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    a = tiny_arrays()

    def load_data() -> tuple:
        return (a["x_train"], a["y_train"][:, None]), (a["x_test"], a["y_test"][:, None])

    fake = types.SimpleNamespace(datasets=types.SimpleNamespace(mnist=types.SimpleNamespace(load_data=load_data)))
    monkeypatch.setitem(sys.modules, "keras", fake)
    monkeypatch.delenv("NNZEN_DATA", raising=False)
    monkeypatch.setattr(datasets, "_SOURCES", {"mnist": TINY})
    data = datasets.load("mnist")
    assert data.x_train.shape == (20, 2, 2)
    assert data.test_size == 20
    assert np.bincount(data.y_validation).tolist() == [1] * 10


def test_importing_loads_no_framework() -> None:
    code = "import sys, nnzen.datasets; print({'keras', 'tensorflow', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
