"""Image data sets in fixed splits, each with its provenance and a checksum.

=================  =================================================  ====================================
name               where from                                         train / validation / test
=================  =================================================  ====================================
``fashion_mnist``  ships inside this package                          54,000 / 6,000 / 10,000, 28 × 28
``digits``         scikit-learn                                       1,197 / 300 / 300, 8 × 8
``mnist``          ``$NNZEN_DATA/mnist.npz``, else keras.datasets     54,000 / 6,000 / 10,000, 28 × 28
``cifar10``        ``$NNZEN_DATA/cifar10.npz``, else keras.datasets   45,000 / 5,000 / 10,000, 32 × 32 × 3
=================  =================================================  ====================================

The validation images are drawn from the published training images, each class in proportion, by a permutation
that belongs to the data set: no seed of a chapter changes it. The training images are shuffled by the same
permutation, so that the first *n* of them are a random sample. The test images stay closed until
:meth:`Dataset.open_test` is called with a reason, and every look is counted.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import os
import socket
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Availability",
    "Dataset",
    "DatasetCorrupt",
    "DatasetError",
    "DatasetUnavailable",
    "UnknownDataset",
    "available",
    "load",
]


class DatasetError(Exception):
    """What goes wrong with a data set; the base of the three errors below."""


class UnknownDataset(DatasetError, ValueError):
    """The name is not one of the data sets that this module knows."""


class DatasetUnavailable(DatasetError):
    """The data set is not on this machine and could not be fetched; the message names the ways to get it."""


class DatasetCorrupt(DatasetError):
    """A file is damaged, or holds something else; the message names it and says what to do."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images and labels in fixed splits. All arrays are read-only: copy one before changing it.

    Attributes
    ----------
    name : str
        The name that :func:`load` was given.
    x_train, x_validation : ndarray of uint8, shape (N, height, width) or (N, height, width, 3)
        Grey or red, green and blue levels, 0 to 255 (``digits``: 0 to 16).
    y_train, y_validation : ndarray of int64, shape (N,)
        Class numbers, 0 to 9.
    class_names : tuple of str
        The name of each class.
    provenance : str
        Who published it, and where this copy comes from.
    licence : str
        The terms of the data.
    checksum : str
        SHA-256 of all images and labels as published (shapes included), however they were compressed.
    """

    name: str
    x_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    x_validation: NDArray[np.uint8]
    y_validation: NDArray[np.int64]
    class_names: tuple[str, ...]
    provenance: str
    licence: str
    checksum: str
    _test: tuple[NDArray[np.uint8], NDArray[np.int64]] = field(repr=False)

    @property
    def test_size(self) -> int:
        """Number of test images: all that is known of the test split before it is opened."""
        return len(self._test[1])

    def open_test(self, why: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Open the test split, count the look, and display one line that says why.

        Each look at the test images makes what is measured on them a little less of a test: choose on the
        validation images, then open this once.

        Parameters
        ----------
        why : str
            The question that this look answers, in one line of words.

        Returns
        -------
        x_test, y_test : ndarray
            In the order of the source; shuffled where the source is sorted by class.

        Raises
        ------
        ValueError
            If `why` is empty or has more than one line.
        """
        from nnzen.evidence import display_line

        if not isinstance(why, str) or not why.strip() or "\n" in why:
            raise ValueError(f"open_test of {self.name}: why is {why!r}; it must be one line that says what for")
        _looks[self.name] += 1
        record = {"dataset": self.name, "look": _looks[self.name], "why": why.strip()}
        line = f"Test set of {self.name} opened, look {record['look']}: {record['why']}"
        display_line(line, f'<p class="nz-test">{html.escape(line)}</p>', {"nnzen_test": record})
        return self._test

    def __repr__(self) -> str:
        return "\n".join(f"{label:12} {value}" for label, value in self._rows())

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row">{label}</th><td>{html.escape(value)}</td></tr>' for label, value in self._rows()
        )
        return f'<table class="nz-dataset">{rows}</table>'

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("data set", self.name),
            ("train", f"{len(self.y_train):,} images, {_shape_in_words(self.x_train.shape)}"),
            ("validation", f"{len(self.y_validation):,} images"),
            ("test", f"{self.test_size:,} images, opened by open_test(why)"),
            ("classes", ", ".join(self.class_names)),
            ("provenance", self.provenance),
            ("licence", self.licence),
        ]


# How often each test split has been opened in this session.
_looks: Counter[str] = Counter()


@dataclass(frozen=True)
class Availability:
    """Whether a data set can be had here: one row of ``nnzen data``."""

    name: str
    images: int
    shape: tuple[int, ...]
    licence: str
    ready: bool
    where: str
    checksum: str = ""  # SHA-256 of the images and labels, where only one copy is accepted


def load(name: str) -> Dataset:
    """Load a data set in its fixed splits.

    Parameters
    ----------
    name : {'fashion_mnist', 'digits', 'mnist', 'cifar10'}
        Which one. The last two are read from the folder that the environment variable ``NNZEN_DATA`` names,
        else through ``keras.datasets``, which downloads them once and checks their hash.

    Returns
    -------
    Dataset
        Read-only arrays, with class names, provenance and checksum.

    Raises
    ------
    UnknownDataset
        If there is no data set of that name.
    DatasetUnavailable
        If it is neither on this machine nor can be fetched.
    DatasetCorrupt
        If a file is damaged or holds something else.

    Examples
    --------
    >>> data = load("digits")
    >>> data.x_train.shape, data.y_train.dtype, data.test_size
    ((1197, 8, 8), dtype('int64'), 300)
    """
    source = _SOURCES.get(name) if isinstance(name, str) else None
    if source is None:
        raise UnknownDataset(f"there is no data set {name!r}; the known ones are {', '.join(_SOURCES)}")
    raw = source.read(source)
    checksum = _checksum(raw)
    if source.checksum and checksum != source.checksum:
        raise DatasetCorrupt(
            f"{name}: the SHA-256 of its images and labels is {checksum}, expected {source.checksum}. {_REINSTALL}"
        )
    return _split(source, raw, checksum)


def available() -> list[Availability]:
    """List the data sets and whether each can be had here without a download. Reads no images.

    Examples
    --------
    >>> [row.name for row in available() if row.ready][:2]
    ['fashion_mnist', 'digits']
    """
    return [
        Availability(
            source.name,
            source.train + source.test,
            source.shape,
            source.licence,
            *source.look(source),
            checksum=source.checksum,
        )
        for source in _SOURCES.values()
    ]


# --- sources ------------------------------------------------------------------------------------------------

_FASHION_MNIST = Path(__file__).parent / "data" / "fashion_mnist"
_REINSTALL = "Reinstall nnzen; in a checkout, restore the file with `git restore nnzen/data`."


@dataclass(frozen=True)
class _Raw:
    """A data set as published: images uint8, labels 0 to 9, training and test part."""

    x_train: NDArray[np.uint8]
    y_train: NDArray[np.uint8]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.uint8]
    provenance: str


@dataclass(frozen=True)
class _Source:
    """What is known of a data set before it is read."""

    name: str
    class_names: tuple[str, ...]
    shape: tuple[int, ...]
    train: int  # images in the published training part
    test: int
    validation: int  # how many of the training images are set aside
    licence: str
    read: Callable[[_Source], _Raw]
    look: Callable[[_Source], tuple[bool, str]]
    checksum: str = ""


def _read_fashion_mnist(source: _Source) -> _Raw:
    return _Raw(
        x_train=_read_idx(_FASHION_MNIST / "train-images-idx3-ubyte.gz", (source.train, *source.shape)),
        y_train=_read_idx(_FASHION_MNIST / "train-labels-idx1-ubyte.gz", (source.train,)),
        x_test=_read_idx(_FASHION_MNIST / "t10k-images-idx3-ubyte.gz", (source.test, *source.shape)),
        y_test=_read_idx(_FASHION_MNIST / "t10k-labels-idx1-ubyte.gz", (source.test,)),
        provenance="Fashion-MNIST, Xiao, Rasul & Vollgraf (2017); all 70,000 images, from the Debian package "
        "dataset-fashion-mnist; ships with nnzen",
    )


def _look_at_fashion_mnist(source: _Source) -> tuple[bool, str]:
    files = len(list(_FASHION_MNIST.glob("*.gz")))
    if files != 4:
        return False, f"{files} of its 4 files are in {_FASHION_MNIST}. {_REINSTALL}"
    return True, "ships with nnzen"


def _read_digits(source: _Source) -> _Raw:
    """Take 30 digits of 100 as test images, each class in proportion; scikit-learn publishes no split."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    test, train = _stratified(y, source.test, np.random.RandomState(_SPLIT_SEED + 1))
    return _Raw(
        x_train=x[train],
        y_train=y[train],
        x_test=x[test],
        y_test=y[test],
        provenance="Optical recognition of handwritten digits, Alpaydin & Kaynak (1998), the UCI test part, "
        "as scikit-learn ships it; the split is ours",
    )


def _look_at_digits(source: _Source) -> tuple[bool, str]:
    return True, "ships with scikit-learn"


def _read_npz_or_keras(source: _Source) -> _Raw:
    path = _npz_path(source.name)
    if path is not None and path.exists():
        return _read_npz(path, source)
    return _read_keras(source)


def _look_at_npz_or_keras(source: _Source) -> tuple[bool, str]:
    path = _npz_path(source.name)
    if path is not None and path.exists():
        return True, str(path)
    if _keras_cache(source.name).exists():
        return True, str(_keras_cache(source.name))
    wanted = f"{path} does not exist" if path is not None else "NNZEN_DATA is not set"
    return False, f"{wanted}; loading it downloads it through keras.datasets"


_SOURCES: Mapping[str, _Source] = {
    source.name: source
    for source in (
        _Source(
            name="fashion_mnist",
            class_names=(
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            shape=(28, 28),
            train=60_000,
            test=10_000,
            validation=6_000,
            licence="MIT",
            read=_read_fashion_mnist,
            look=_look_at_fashion_mnist,
            checksum="61af3f0d17defb9efb5d6392c5e8ad0da3f1b7a6ffcf2710eac3ed89b24d635d",
        ),
        _Source(
            name="digits",
            class_names=tuple("0123456789"),
            shape=(8, 8),
            train=1_497,
            test=300,
            validation=300,
            licence="CC BY 4.0 (data), BSD 3-Clause (scikit-learn's copy)",
            read=_read_digits,
            look=_look_at_digits,
        ),
        _Source(
            name="mnist",
            class_names=tuple("0123456789"),
            shape=(28, 28),
            train=60_000,
            test=10_000,
            validation=6_000,
            licence="CC BY-SA 3.0",
            read=_read_npz_or_keras,
            look=_look_at_npz_or_keras,
        ),
        _Source(
            name="cifar10",
            class_names=(
                "airplane",
                "automobile",
                "bird",
                "cat",
                "deer",
                "dog",
                "frog",
                "horse",
                "ship",
                "truck",
            ),
            shape=(32, 32, 3),
            train=50_000,
            test=10_000,
            validation=5_000,
            licence="as published by Krizhevsky (2009)",
            read=_read_npz_or_keras,
            look=_look_at_npz_or_keras,
        ),
    )
}


# --- readers ------------------------------------------------------------------------------------------------

# What numpy.load raises for a file that is damaged or holds something else.
_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    TypeError,
    AttributeError,
    NotImplementedError,
    zlib.error,
    BadZipFile,
)


def _read_idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read a gzipped IDX file of bytes: 0, 0, 8, the number of axes, each axis as 4 bytes, then the data."""
    try:
        content = gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise DatasetCorrupt(f"{path} is missing. {_REINSTALL}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetCorrupt(
            f"{path} cannot be unpacked ({error}): it is truncated or damaged. {_REINSTALL}"
        ) from error
    header = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
    found, size = content[: len(header)], len(header) + int(np.prod(shape))
    if found[:4] != header[:4]:
        raise DatasetCorrupt(
            f"{path} starts with the bytes {found[:4].hex(' ')}, expected {header[:4].hex(' ')}: "
            f"it is not an IDX file of {len(shape)}-dimensional bytes. {_REINSTALL}"
        )
    if found != header or len(content) != size:
        axes = tuple(int.from_bytes(found[i : i + 4], "big") for i in range(4, len(header), 4))
        raise DatasetCorrupt(
            f"{path} holds {len(content):,} bytes and says shape {axes}, expected {size:,} bytes "
            f"and shape {shape}. {_REINSTALL}"
        )
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)


def _read_npz(path: Path, source: _Source) -> _Raw:
    names = ("x_train", "y_train", "x_test", "y_test")
    remedy = f"Replace it by a good copy, or unset NNZEN_DATA to let keras.datasets fetch {source.name}."
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in names if name not in file.files]
            if missing:
                raise DatasetCorrupt(
                    f"{path} has no array {', '.join(missing)}; it holds "
                    f"{', '.join(file.files) or 'nothing'}, expected {', '.join(names)}. {remedy}"
                )
            arrays = {name: file[name] for name in names}
            copy = str(file["provenance"]) if "provenance" in file.files else "no provenance in the file"
    except DatasetCorrupt:
        raise
    except PermissionError as error:
        raise DatasetUnavailable(f"{path} cannot be read ({error}). Give this user permission to read it.") from error
    except _UNREADABLE as error:
        raise DatasetCorrupt(f"{path} is not a readable npz file ({error}). {remedy}") from error
    return _checked(source, arrays, f"{source.name} from {path.name}: {copy}", where=str(path), remedy=remedy)


def _read_keras(source: _Source) -> _Raw:
    from nnzen.runtime import quiet_stderr

    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)  # seconds; without it a network that drops packets hangs for ever
    try:
        with quiet_stderr():  # TensorFlow's start-up messages
            import keras

        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, source.name).load_data()
    except Exception as error:  # whatever the network, the disk or Keras raises: the ways out are the same
        raise DatasetUnavailable(_ways_to_get(source.name, error)) from error
    finally:
        socket.setdefaulttimeout(patience)
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    return _checked(
        source,
        arrays,
        f"{source.name} from keras.datasets, hash checked by it",
        where=f"keras.datasets.{source.name}",
        remedy=f"Delete {_keras_cache(source.name)} and load again.",
    )


def _checked(source: _Source, arrays: dict[str, Any], provenance: str, *, where: str, remedy: str) -> _Raw:
    """Check shapes, types and labels; labels of shape (N, 1) become (N,)."""
    for part, count in (("train", source.train), ("test", source.test)):
        x, y = np.asarray(arrays[f"x_{part}"]), np.asarray(arrays[f"y_{part}"])
        expected = (count, *source.shape)
        if x.shape != expected or x.dtype != np.uint8:
            raise DatasetCorrupt(
                f"{where}: x_{part} has shape {x.shape} and type {x.dtype}, expected {expected} and uint8. {remedy}"
            )
        if y.size != count or y.dtype.kind not in "iu":
            raise DatasetCorrupt(
                f"{where}: y_{part} has shape {y.shape} and type {y.dtype}, expected {count:,} whole numbers. {remedy}"
            )
        if y.min() < 0 or y.max() >= len(source.class_names):
            raise DatasetCorrupt(
                f"{where}: y_{part} runs from {y.min()} to {y.max()}, expected 0 to "
                f"{len(source.class_names) - 1}. {remedy}"
            )
        arrays[f"x_{part}"], arrays[f"y_{part}"] = x, y.reshape(-1).astype(np.uint8)
    return _Raw(**arrays, provenance=provenance)


def _npz_path(name: str) -> Path | None:
    folder = os.environ.get("NNZEN_DATA", "").strip()
    return Path(folder).expanduser() / f"{name}.npz" if folder else None


def _keras_cache(name: str) -> Path:
    """Where keras.datasets keeps its copy; found without importing Keras, which takes seconds."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"
    return home / {"mnist": "mnist.npz", "cifar10": "cifar-10-batches-py-target"}[name]


def _ways_to_get(name: str, error: Exception) -> str:
    path = _npz_path(name)
    looked = f"{path} does not exist" if path is not None else "the environment variable NNZEN_DATA is not set"
    return (
        f"{name} is not on this machine: {looked}, and keras.datasets could not fetch it "
        f"({type(error).__name__}: {error}). Three ways to get it:\n"
        f"  1. with a network: nnzen data --get {name}\n"
        f"  2. from another machine: copy its {_keras_cache(name)} to the same place here\n"
        f"  3. from a file: save x_train, y_train, x_test, y_test (uint8) as FOLDER/{name}.npz and set "
        "NNZEN_DATA=FOLDER\n"
        "Or use fashion_mnist, which ships with nnzen."
    )


# --- splits -------------------------------------------------------------------------------------------------

_SPLIT_SEED = 1707  # of the splits alone; RandomState, because NumPy promises that its stream never changes


def _split(source: _Source, raw: _Raw, checksum: str) -> Dataset:
    validation, train = _stratified(raw.y_train, source.validation, np.random.RandomState(_SPLIT_SEED))
    test = np.arange(source.test)
    if np.all(np.diff(raw.y_test.astype(int)) >= 0):
        test = np.random.RandomState(_SPLIT_SEED).permutation(source.test)
    return Dataset(
        name=source.name,
        x_train=_read_only(raw.x_train[train]),
        y_train=_read_only(raw.y_train[train].astype(np.int64)),
        x_validation=_read_only(raw.x_train[validation]),
        y_validation=_read_only(raw.y_train[validation].astype(np.int64)),
        class_names=source.class_names,
        provenance=raw.provenance,
        licence=source.licence,
        checksum=checksum,
        _test=(_read_only(raw.x_test[test]), _read_only(raw.y_test[test].astype(np.int64))),
    )


def _stratified(
    labels: NDArray[Any], size: int, random: np.random.RandomState
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Shuffle, then set `size` positions aside, each class in proportion (largest remainders rounded up).

    Returns
    -------
    aside, rest : ndarray of int64
        Positions in `labels`, both in shuffled order.
    """
    order = random.permutation(len(labels))
    share = np.bincount(labels) * size / len(labels)
    quota = np.floor(share).astype(int)
    quota[np.argsort(quota - share, kind="stable")[: size - quota.sum()]] += 1
    aside = np.zeros(len(labels), dtype=bool)
    for label, count in enumerate(quota):
        aside[np.flatnonzero(labels[order] == label)[:count]] = True
    # Again, because the rest now begins with the classes that filled their quota first.
    return random.permutation(order[aside]), random.permutation(order[~aside])


def _checksum(raw: _Raw) -> str:
    digest = hashlib.sha256()
    for array in (raw.x_train, raw.y_train, raw.x_test, raw.y_test):
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array


def _shape_in_words(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape[1:]))
