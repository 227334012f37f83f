"""nnzen.records against a bitwise division, known check values, and every kind of damage that was thought of."""

import doctest
import json

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from nnzen import records as R

lists = st.lists(st.binary(max_size=40), min_size=1, max_size=9)


def crc32c_bit_by_bit(data):
    """The definition: divide the reflected polynomial one bit at a time."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def write(tmp_path_factory, records, shards):
    folder = tmp_path_factory.mktemp("records")
    return folder, R.write_shards(folder, records, shards)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),  # the check value of the catalogue of CRCs
        (bytes(32), 0x8A9136AA),  # this one and the next: RFC 3720, appendix B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_published_check_values(data, expected):
    assert R.crc32c(data) == expected


@given(st.binary(max_size=60) | st.integers(1000, 1050).map(lambda n: bytes(i * i % 251 for i in range(n))))
def test_crc_is_the_bitwise_remainder(data):
    assert R.crc32c(data) == crc32c_bit_by_bit(data)


def test_crc_across_blocks():
    for n in (1023, 1024, 1025, 1026, 1027, 1028, 2048, 2051):
        data = bytes(i * 7 % 256 for i in range(n))
        assert R.crc32c(data) == crc32c_bit_by_bit(data), n


@given(st.binary(min_size=1, max_size=60), st.data())
def test_any_change_within_32_bits_changes_the_crc(data, draw):
    at = draw.draw(st.integers(0, len(data) - 1))
    width = min(4, len(data) - at)
    change = draw.draw(st.integers(1, 256**width - 1)).to_bytes(width, "little")
    damaged = bytearray(data)
    for k, bits in enumerate(change):
        damaged[at + k] ^= bits
    assert R.crc32c(bytes(damaged)) != R.crc32c(data)


@given(st.integers(0, 2**32 - 1))
def test_the_mask_can_be_undone(checksum):
    rotated = (R.masked(checksum) - 0xA282EAD8) % 2**32
    assert (rotated << 15 | rotated >> 17) % 2**32 == checksum


@settings(max_examples=40, deadline=None)
@given(lists, st.integers(1, 4))
def test_what_is_written_is_read_each_record_once(tmp_path_factory, records, shards):
    folder, manifest = write(tmp_path_factory, records, shards)
    assert list(R.read_shards(folder)) == [r for k in range(shards) for r in records[k::shards]]
    assert R.load_manifest(folder) == manifest
    assert (manifest.records, manifest.bytes) == (len(records), sum(len(r) + 16 for r in records))
    assert R.problems(folder) == ()


@settings(max_examples=60, deadline=None)
@given(lists, st.data())
def test_a_cut_anywhere_is_reported_and_names_the_shard(tmp_path_factory, records, draw):
    folder, manifest = write(tmp_path_factory, records, 1)
    path = folder / manifest.shards[0].name
    path.write_bytes(path.read_bytes()[: draw.draw(st.integers(0, manifest.bytes - 1))])
    (problem,) = R.problems(folder)
    assert path.name in problem
    assert f"expects {manifest.bytes:,}" in problem
    with pytest.raises(R.RecordError):
        list(R.read_shards(folder))


@settings(max_examples=60, deadline=None)
@given(lists, st.data())
def test_a_changed_byte_anywhere_is_reported_before_its_record_is_yielded(tmp_path_factory, records, draw):
    folder, manifest = write(tmp_path_factory, records, 1)
    path = folder / manifest.shards[0].name
    damaged = bytearray(path.read_bytes())
    at = draw.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= draw.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    ends = [sum(len(r) + 16 for r in records[: k + 1]) for k in range(len(records))]
    sound = sum(end <= at for end in ends)
    got = []
    with pytest.raises(R.RecordError, match=f"record {sound} at byte"):
        got.extend(R.read_shards(folder))
    assert len(R.problems(folder)) == 1


def test_sound_records_that_were_not_written_are_reported(tmp_path):
    R.write_shards(tmp_path, [b"coat", b"boot"], 1)
    path = tmp_path / "00000-of-00001.tfrecord"
    path.write_bytes(R.frame(b"boot") + R.frame(b"coat"))  # as long, and every checksum is right
    with pytest.raises(R.RecordError, match="not those that were written"):
        list(R.read_shards(tmp_path))


def test_a_missing_shard_is_reported(tmp_path):
    R.write_shards(tmp_path, [b"coat", b"boot", b"bag"], 3)
    (tmp_path / "00001-of-00003.tfrecord").unlink()
    (problem,) = R.problems(tmp_path)
    assert "00001-of-00003.tfrecord is missing; the manifest expects 1 records" in problem


def test_a_folder_that_was_not_finished_has_no_manifest(tmp_path):
    def broken():
        yield b"coat"
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        R.write_shards(tmp_path, broken(), 2)
    with pytest.raises(R.RecordError, match="not written to its end"):
        R.load_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[1]", json.dumps({"shards": [{"name": "a"}]}), "null"])
def test_an_unreadable_manifest_is_reported(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(R.RecordError, match="cannot be read"):
        R.load_manifest(tmp_path)


def test_bad_input_is_refused_with_a_reason(tmp_path):
    with pytest.raises(ValueError, match="shards is 0"):
        R.write_shards(tmp_path, [], 0)
    with pytest.raises(TypeError, match="data is a str"):
        R.write_shards(tmp_path / "a", ["coat"], 1)
    with pytest.raises(ValueError, match="checksum is -1"):
        R.masked(-1)
    R.write_shards(tmp_path / "b", [], 2)
    assert list(R.read_shards(tmp_path / "b")) == []
    with pytest.raises(FileExistsError, match="empty folder"):
        R.write_shards(tmp_path / "b", [], 2)


def test_doctests():
    assert doctest.testmod(R).failed == 0
