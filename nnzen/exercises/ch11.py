"""Checks of the exercises of chapter 11, feeding the network. The oracles follow items one by one."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from nnzen.exercises import Wrong, expect_close, expect_raises

__all__ = ["CHECKS", "check_parallel_map", "check_read_frames", "check_shuffle_buffer"]


def check_shuffle_buffer(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(items, B, u)`: a list, places, one draw an output -> the list in another order."""
    items = [int(x) for x in rng.permutation(100)[:size]]
    u = [float(x) for x in rng.random(size)]
    for B in sorted({1, 2, max(size // 2, 1), size, size + 3}):
        places = {k: items[k] for k in range(min(B, size))}  # place -> item; occupied places are 0, 1, ...
        waiting, expected = items[B:], []
        for draw in u:
            k = int(draw * len(places))
            expected.append(places[k])
            places[k] = waiting.pop(0) if waiting else places[len(places) - 1]
            if len(expected) + B > size:
                del places[len(places) - 1]
        what = f"shuffle_buffer({items}, {B}, {[round(x, 2) for x in u]})"
        expect_close(candidate(items, B, u), expected, what if size < 8 else f"shuffle_buffer of {size} items, B = {B}")


def check_parallel_map(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(t, k)`: seconds of each item, threads -> when each result leaves."""
    quarters = [int(x) for x in rng.integers(1, 30, size)]  # of a second
    t = [x / 4 for x in quarters]
    for k in (1, 2, 3, size + 1):
        inside: list[list[int]] = []  # item, and quarters that are left of it
        expected: list[float] = []
        now, started = 0, 0
        while len(expected) < size:
            while inside and inside[0][1] == 0:
                del inside[0]
                expected.append(now / 4)
            while started < size and len(inside) < k:
                inside.append([started, quarters[started]])
                started += 1
            inside = [[item, max(left - 1, 0)] for item, left in inside]
            now += 1
        expect_close(candidate(t, k), expected, f"leaving_times({t if size < 8 else f'{size} items'}, {k})")


def check_read_frames(candidate: Callable[..., Any], rng: np.random.Generator, size: int) -> None:
    """`candidate(content, checksum)`: bytes of a file, a function of bytes -> the records, or ValueError."""

    def checksum(data: bytes) -> bytes:
        return zlib.crc32(data).to_bytes(4, "little")

    lengths = [300, *map(int, rng.integers(0, 9, size - 1))]
    expected = [rng.integers(0, 256, n, dtype=np.uint8).tobytes() for n in lengths]
    framed = []
    for record in expected:
        head = len(record).to_bytes(8, "little")
        framed.append(head + checksum(head) + record + checksum(record))
    content = b"".join(framed)
    got = candidate(content, checksum)
    if not isinstance(got, list) or [bytes(record) for record in got] != expected:
        raise Wrong(f"read_frames of {size} records of {lengths[:5]} ... bytes does not return these records")
    wide = bytes(65_536 + 7)  # a length that needs its third byte
    head = len(wide).to_bytes(8, "little")
    if candidate(head + checksum(head) + wide + checksum(wide), checksum) != [wide]:
        raise Wrong(f"read_frames does not return a single record of {len(wide):,} bytes")
    if candidate(b"", checksum) != []:
        raise Wrong("read_frames of an empty file should return an empty list")
    last = len(content) - len(framed[-1])
    for cut in (1, 7, 8, 10, 11, 12, len(framed[-1]) - 4, len(framed[-1]) - 1):
        if cut < len(framed[-1]):
            what = f"read_frames of a file that ends {cut} bytes into its last record"
            expect_raises(ValueError, candidate, content[: last + cut], checksum, what=what)
    for at in {0, 8, 11, 12, 311, 312, 315, int(rng.integers(len(content)))}:
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(rng.integers(8))
        what = f"read_frames with a flipped bit in byte {at}"
        expect_raises(ValueError, candidate, bytes(damaged), checksum, what=what)


CHECKS = {
    "11/shuffle-buffer": check_shuffle_buffer,
    "11/parallel-map": check_parallel_map,
    "11/read-frames": check_read_frames,
}
"""The checks of the chapter's coding exercises, by id.

:meta hide-value:
"""
