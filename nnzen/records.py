r"""Sharded record files with checksums, and a manifest that says what ought to be there.

A shard is a TFRecord file, which TensorFlow reads as well. Each record of n bytes is framed as

====================  =======  ===================================================
what                  bytes    value
====================  =======  ===================================================
length                8        n, lowest byte first
checksum of length    4        masked CRC-32C of the eight bytes above
data                  n        the record
checksum of data      4        masked CRC-32C of the n bytes above
====================  =======  ===================================================

The CRC-32C is the remainder of a division of polynomials over the field of two elements, and finds every change within
32 neighbouring bits. What no checksum of single records can find is a record that is not there: a file that was cut,
or a shard that was never copied. For that there is the manifest, ``manifest.json``: the name, the number of records and
bytes and the SHA-256 of every shard, written after all of them.

Chapter 11 writes the frame out and shows what goes unnoticed without a manifest. The frame is described at
https://www.tensorflow.org/tutorials/load_data/tfrecord, the polynomial in Castagnoli et al. (1993),
https://doi.org/10.1109/26.231911.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Manifest",
    "RecordError",
    "Shard",
    "crc32c",
    "frame",
    "load_manifest",
    "masked",
    "problems",
    "read_shards",
    "write_shards",
]

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, lowest bit first
_MASK = 0xA282EAD8
_BLOCK = 1024  # bytes whose checksum takes one look-up in a table of that many rows
_HEADER, _FOOTER = 12, 4
_MANIFEST = "manifest.json"


class RecordError(Exception):
    """A shard is missing, cut or changed; the message names the file, the place, what was expected and found."""


@dataclass(frozen=True)
class Shard:
    """What a manifest says of one file.

    Attributes
    ----------
    name : str
        File name, without a folder.
    records : int
        Number of records in it.
    bytes : int
        Its size.
    sha256 : str
        SHA-256 of the whole file, in hexadecimal digits.
    """

    name: str
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The shards of a data set, in order."""

    shards: tuple[Shard, ...]

    @property
    def records(self) -> int:
        """Number of records in all shards."""
        return sum(shard.records for shard in self.shards)

    @property
    def bytes(self) -> int:
        """Size of all shards."""
        return sum(shard.bytes for shard in self.shards)

    def __str__(self) -> str:
        return f"{self.records:,} records in {len(self.shards)} shards, {self.bytes:,} bytes"


# ---------------------------------------------------------------------------------------------------------
# Checksums and frames


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of some bytes, a number from 0 to 2³² − 1.

    Parameters
    ----------
    data : bytes
        Any number of them.

    Returns
    -------
    int

    Raises
    ------
    TypeError
        If `data` is not bytes.

    Examples
    --------
    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"data is a {type(data).__name__}; it must be bytes")
    table = _table()
    state = 0xFFFFFFFF
    view = np.frombuffer(data, dtype=np.uint8)
    for start in range(0, len(view), _BLOCK):
        block = view[start : start + _BLOCK]
        n = len(block)
        # The remainder is linear: the state meets the block's first four bytes, then each byte adds its own share.
        first = np.zeros(n, dtype=np.uint8)
        entering = np.frombuffer(state.to_bytes(4, "little"), dtype=np.uint8)[:n]
        first[: len(entering)] = entering
        shares = table[np.arange(n - 1, -1, -1), block ^ first]
        state = int(np.bitwise_xor.reduce(shares)) ^ (state >> 8 * n if n < 4 else 0)
    return state ^ 0xFFFFFFFF


def masked(checksum: int) -> int:
    """Return a CRC-32C as TFRecord files store it: rotated right by 15 bits, plus a constant, modulo 2³².

    Without the mask the checksum of data that holds its own checksum would always be the same number.

    Examples
    --------
    >>> hex(masked(0))
    '0xa282ead8'
    """
    if not 0 <= checksum < 2**32:
        raise ValueError(f"checksum is {checksum}; it must be from 0 to 4294967295")
    return ((checksum >> 15 | checksum << 17) + _MASK) & 0xFFFFFFFF


def frame(data: bytes) -> bytes:
    """Return a record as it stands in a file: 16 bytes longer than `data`.

    Examples
    --------
    >>> len(frame(b"boot")), frame(b"boot")[12:16]
    (20, b'boot')
    """
    checksum = _stored(data)  # first: it refuses what is not bytes
    length = len(data).to_bytes(8, "little")
    return length + _stored(length) + bytes(data) + checksum


# ---------------------------------------------------------------------------------------------------------
# Shards


def write_shards(folder: str | os.PathLike[str], records: Iterable[bytes], shards: int) -> Manifest:
    """Write records to files, dealt out in turn like cards, and then the manifest.

    A folder without a manifest was not written to the end. Only one record is held in memory at a time.

    Parameters
    ----------
    folder : path
        Where to write; it is made if need be, and may not hold a manifest yet.
    records : iterable of bytes
        The records, in any number.
    shards : int
        Number of files, at least 1.

    Returns
    -------
    Manifest

    Raises
    ------
    ValueError
        If `shards` is less than 1.
    FileExistsError
        If the folder holds a manifest.
    TypeError
        If a record is not bytes.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(write_shards(folder, [b"coat", b"bag", b"boot"], shards=2))
    ...     print([bytes(record) for record in read_shards(folder)])
    3 records in 2 shards, 59 bytes
    [b'coat', b'boot', b'bag']
    """
    if shards < 1:
        raise ValueError(f"shards is {shards}; it must be at least 1")
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    if (root / _MANIFEST).exists():
        raise FileExistsError(f"{root / _MANIFEST} exists; write to an empty folder")
    names = [f"{i:05}-of-{shards:05}.tfrecord" for i in range(shards)]
    counts, sizes, digests = [0] * shards, [0] * shards, [hashlib.sha256() for _ in names]
    files = [(root / name).open("wb") for name in names]
    try:
        for i, record in enumerate(records):
            framed, k = frame(record), i % shards
            files[k].write(framed)
            digests[k].update(framed)
            counts[k] += 1
            sizes[k] += len(framed)
    finally:
        for file in files:
            file.close()
    manifest = Manifest(tuple(map(Shard, names, counts, sizes, [d.hexdigest() for d in digests])))
    unfinished = root / f"{_MANIFEST}.part"
    unfinished.write_text(json.dumps(asdict(manifest), indent=1) + "\n", encoding="utf-8")
    unfinished.replace(root / _MANIFEST)
    return manifest


def load_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """Read the manifest of a folder.

    Raises
    ------
    RecordError
        If there is none, or it cannot be read.
    """
    path = Path(folder) / _MANIFEST
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["shards"]
        return Manifest(tuple(Shard(**row) for row in rows))
    except FileNotFoundError:
        raise RecordError(f"{path} is missing: the data set was not written to its end, or not copied whole") from None
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path} cannot be read ({error})") from error


def read_shards(folder: str | os.PathLike[str]) -> Iterator[bytes]:
    """Yield the records of all shards, one shard after the other, and check everything on the way.

    Every record is checked before it is yielded; the number of records and the SHA-256 of a shard at its end. One
    record is held in memory at a time.

    Parameters
    ----------
    folder : path
        What :func:`write_shards` wrote.

    Yields
    ------
    bytes

    Raises
    ------
    RecordError
        At the first thing that is not as the manifest says.
    """
    for shard in load_manifest(folder).shards:
        yield from _read_shard(Path(folder) / shard.name, shard)


def problems(folder: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read everything and return what is wrong, at most one message a shard; empty if all is well.

    Raises
    ------
    RecordError
        If there is no manifest to compare with.
    """
    found = []
    for shard in load_manifest(folder).shards:
        try:
            for _ in _read_shard(Path(folder) / shard.name, shard):
                pass
        except RecordError as error:
            found.append(str(error))
    return tuple(found)


# ---------------------------------------------------------------------------------------------------------
# Inside


@cache
def _table() -> NDArray[np.uint32]:
    """Share of a byte of value v with k bytes after it: shape (_BLOCK, 256)."""
    row = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        row = np.where(row & 1, row >> 1 ^ np.uint32(_POLYNOMIAL), row >> 1).astype(np.uint32)
    rows = [row]
    for _ in range(_BLOCK - 1):
        last = rows[-1]
        rows.append(last >> 8 ^ row[last & 0xFF])
    return np.stack(rows)


def _stored(data: bytes) -> bytes:
    return masked(crc32c(data)).to_bytes(4, "little")


def _read_shard(path: Path, shard: Shard) -> Iterator[bytes]:
    if not path.is_file():
        raise RecordError(f"{path} is missing; the manifest expects {shard.records:,} records in it")
    size = path.stat().st_size
    if size != shard.bytes:
        raise RecordError(f"{path} holds {size:,} bytes, the manifest expects {shard.bytes:,}")
    digest, at, count = hashlib.sha256(), 0, 0
    with path.open("rb") as file:
        while header := file.read(_HEADER):
            where = f"{path}, record {count} at byte {at:,}"
            if len(header) < _HEADER or header[8:] != _stored(header[:8]):
                raise RecordError(f"{where}: its length does not match the checksum of its length")
            length = int.from_bytes(header[:8], "little")
            if at + _HEADER + length + _FOOTER > size:
                raise RecordError(f"{where}: it has {length:,} bytes, more than the rest of the file")
            data, footer = file.read(length), file.read(_FOOTER)
            if footer != _stored(data):
                raise RecordError(
                    f"{where}: the masked CRC-32C of its {length:,} bytes is {_stored(data).hex()}, "
                    f"the file says {footer.hex()}"
                )
            for part in (header, data, footer):
                digest.update(part)
            at += _HEADER + length + _FOOTER
            count += 1
            yield data
    if count != shard.records or digest.hexdigest() != shard.sha256:
        raise RecordError(
            f"{path} holds {count:,} sound records, but not those that were written: the manifest expects "
            f"{shard.records:,} with SHA-256 {shard.sha256[:12]}…, found {digest.hexdigest()[:12]}…"
        )
