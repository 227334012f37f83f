r"""Look at data before a network does: near-duplicates of images, and records that are damaged.

Two images :math:`\mathbf{x}, \mathbf{x}'` are compared by the correlation :math:`c = \mathbf{u}^\top\mathbf{u}'` of
their pixels, where :math:`\mathbf{u}` is an image with mean 0 and length 1; brightness and contrast do not matter to
it. Let :math:`\mathbf{P}`, shape (D, M), have orthonormal columns, :math:`\mathbf{a} = \mathbf{P}^\top\mathbf{u}`, and
:math:`r = \sqrt{1 - \lVert\mathbf{a}\rVert^2}` what the projection loses. By the inequality of Cauchy and Schwarz

.. math:: c \le \mathbf{a}^\top\mathbf{a}' + r r',

so a pair whose bound lies below the threshold needs no closer look, and none is missed. Chapter 10 derives it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Defect", "Pairs", "check_records", "near_duplicates"]

_BLOCK = 500  # images of the first set compared at once
_BASIS = 8000  # images of the second set that choose the projection
_SLACK = 1e-4  # of the bound, for rounding in float32


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of similar images, the most similar first.

    Attributes
    ----------
    first, second : ndarray of int64, shape (pairs,)
        Positions in the two sets of images.
    correlation : ndarray of float64, shape (pairs,)
        Correlation of their pixels, at most 1.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    correlation: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.first)

    def __str__(self) -> str:
        return f"{len(self)} pair(s) of {len(np.unique(self.first))} image(s) of the first set"


@dataclass(frozen=True)
class Defect:
    """What is wrong with one record.

    Attributes
    ----------
    index : int
        Its position.
    reason : str
        In words, with the value that is wrong.
    """

    index: int
    reason: str

    def __str__(self) -> str:
        return f"record {self.index}: {self.reason}"


def near_duplicates(first: ArrayLike, second: ArrayLike, *, threshold: float = 0.998, components: int = 64) -> Pairs:
    """Find all pairs of an image of `first` and one of `second` whose pixels correlate at least by `threshold`.

    Parameters
    ----------
    first, second : array_like, shapes (N, ...) and (M, ...)
        Images of the same shape, none of them of one grey level.
    threshold : float
        Above 0, at most 1.
    components : int
        How many directions the screening uses. It decides about the time and not about the result.

    Returns
    -------
    Pairs

    Raises
    ------
    ValueError
        If the shapes do not fit, an image is constant or not finite, or `threshold` or `components` out of range.

    Examples
    --------
    >>> a = np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]])
    >>> pairs = near_duplicates(a, 10 + 2 * a[:1])
    >>> pairs.first, pairs.second
    (array([0]), array([0]))
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}; it must be above 0 and at most 1")
    if components < 1:
        raise ValueError(f"components is {components}; it must be at least 1")
    u, v = _unit("first", first), _unit("second", second)
    if u.shape[1] != v.shape[1]:
        raise ValueError(f"images of first have {u.shape[1]} pixels and of second {v.shape[1]}; they must agree")
    basis = np.linalg.eigh(v[:_BASIS].T @ v[:_BASIS])[1][:, ::-1][:, :components]
    a, b = _with_loss(u @ basis), _with_loss(v @ basis)
    rows, columns = [], []
    for start in range(0, len(a), _BLOCK):
        close = a[start : start + _BLOCK] @ b.T >= threshold - _SLACK
        i, j = np.divmod(np.flatnonzero(close), len(b))  # much faster than np.nonzero
        rows.append(i + start)
        columns.append(j)
    i, j = np.concatenate(rows), np.concatenate(columns)
    exact = np.concatenate(
        [np.zeros(0)]
        + [np.sum(u[i[k : k + 5000]] * v[j[k : k + 5000]], axis=1, dtype=float) for k in range(0, len(i), 5000)]
    )
    found = np.flatnonzero(exact >= threshold - 1e-6)
    order = found[np.argsort(-exact[found], kind="stable")]
    return Pairs(i[order], j[order], np.minimum(exact[order], 1.0))


def check_records(
    records: Iterable[tuple[Any, Any, int | None]], *, shape: tuple[int, ...], classes: int
) -> list[Defect]:
    """Name every damaged record, and what is wrong with it; of several defects the first.

    Parameters
    ----------
    records : iterable of (image, label, checksum)
        An image is an array of grey levels 0 to 255 of any type; a label a class number; a checksum the
        ``zlib.crc32`` of the image's bytes, or None where there is none.
    shape : tuple of int
        That an image must have.
    classes : int
        Labels run from 0 to `classes` − 1.

    Returns
    -------
    list of Defect
        In the order of the records; empty if all are sound.

    Raises
    ------
    ValueError
        If `classes` is below 1.

    Examples
    --------
    >>> sound = np.array([[0, 255]], dtype=np.uint8)
    >>> records = [(sound, 3, None), (sound, 12, None), (sound / 0.5, 3, None)]
    >>> for defect in check_records(records, shape=(1, 2), classes=10):
    ...     print(defect)
    record 1: label 12, expected a whole number from 0 to 9
    record 2: grey levels from 0 to 510, expected 0 to 255
    """
    if classes < 1:
        raise ValueError(f"classes is {classes}; it must be at least 1")
    found = []
    for index, (image, label, checksum) in enumerate(records):
        reason = _image_problem(image, shape) or _label_problem(label, classes) or _checksum_problem(image, checksum)
        if reason:
            found.append(Defect(index, reason))
    return found


# --- inside -------------------------------------------------------------------------------------------------


def _unit(name: str, images: ArrayLike) -> NDArray[np.float32]:
    array = np.asarray(images)
    if array.ndim < 2 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; it must be (N, ...) with at least one image and one pixel")
    flat = array.reshape(len(array), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.sqrt(np.sum(flat**2, axis=1, keepdims=True))
    bad = np.flatnonzero(~(length[:, 0] > 0) | ~np.isfinite(length[:, 0]))
    if bad.size:
        raise ValueError(f"image {bad[0]} of {name} is constant or not finite; it has no correlation with others")
    return flat / length


def _with_loss(projected: NDArray[np.float32]) -> NDArray[np.float32]:
    """Append what the projection lost of an image of length 1, so that inner products become upper bounds."""
    lost = np.sqrt(np.maximum(1 - np.sum(projected**2, axis=1), 0))
    return np.column_stack([projected, lost])


def _image_problem(image: Any, shape: tuple[int, ...]) -> str:
    array = np.asarray(image)
    if array.dtype.kind not in "uif":
        return f"an image of type {array.dtype}, expected numbers"
    if array.shape != tuple(shape):
        return f"an image of shape {array.shape}, expected {tuple(shape)}"
    if not np.isfinite(array).all():
        return f"{np.count_nonzero(~np.isfinite(array))} pixel(s) not finite"
    low, high = array.min(), array.max()
    if low < 0 or high > 255:
        return f"grey levels from {low:g} to {high:g}, expected 0 to 255"
    return "all pixels are equal" if low == high else ""


def _label_problem(label: Any, classes: int) -> str:
    try:
        sound = not isinstance(label, bool) and label == int(label) and 0 <= label < classes
    except (TypeError, ValueError, OverflowError):
        sound = False
    return "" if sound else f"label {label!r}, expected a whole number from 0 to {classes - 1}"


def _checksum_problem(image: Any, checksum: int | None) -> str:
    if checksum is None or zlib.crc32(np.ascontiguousarray(image).tobytes()) == checksum:
        return ""
    return "the bytes do not have the checksum they were stored with"
