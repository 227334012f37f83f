"""nnzen.inspection against brute force over all pairs, and against damage made on purpose."""

import zlib

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from nnzen import inspection


def brute_force(first, second, threshold):
    return {
        (i, j): c
        for i, x in enumerate(first)
        for j, y in enumerate(second)
        if (c := np.corrcoef(x.ravel(), y.ravel())[0, 1]) >= threshold
    }


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.floats(0.1, 0.999))
def test_all_pairs_are_found_whatever_the_projection(seed, components, threshold):
    rng = np.random.default_rng(seed)
    second = rng.integers(0, 256, size=(25, 5, 4)).astype(np.uint8)
    first = np.clip(second[:12] * 0.8 + 20 + rng.normal(size=(12, 5, 4)) * rng.uniform(0, 40), 0, 255)
    expected = brute_force(first, second, threshold)
    pairs = inspection.near_duplicates(first, second, threshold=threshold, components=components)
    found = {(int(i), int(j)): c for i, j, c in zip(pairs.first, pairs.second, pairs.correlation, strict=True)}
    for pair in found.keys() ^ expected.keys():  # only where rounding in float32 decides
        assert abs(np.corrcoef(first[pair[0]].ravel(), second[pair[1]].ravel())[0, 1] - threshold) < 1e-5
    for pair in found.keys() & expected.keys():
        assert found[pair] == pytest.approx(expected[pair], abs=1e-5)
    assert (np.diff(pairs.correlation) <= 0).all()
    assert len(pairs) == len(found)


@given(st.floats(0.1, 10), st.floats(-100, 100))
def test_brightness_and_contrast_do_not_matter(contrast, brightness):
    images = np.random.default_rng(0).integers(0, 256, size=(4, 6, 6)).astype(float)
    pairs = inspection.near_duplicates(contrast * images + brightness, images)
    assert set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == {(i, i) for i in range(4)}


def test_no_pair_and_many_blocks():
    rng = np.random.default_rng(1)
    pairs = inspection.near_duplicates(rng.normal(size=(1203, 30)), rng.normal(size=(40, 30)))
    assert len(pairs) == 0
    assert str(pairs) == "0 pair(s) of 0 image(s) of the first set"
    many = rng.normal(size=(1203, 30))
    assert len(inspection.near_duplicates(many, many)) == 1203


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.eye(3), np.eye(4)), {}, "3 pixels and of second 4"),
        ((np.eye(3), np.ones((2, 3))), {}, "image 0 of second is constant"),
        ((np.full((2, 3), np.nan), np.eye(3)), {}, "image 0 of first is constant or not finite"),
        ((np.zeros(3), np.eye(3)), {}, "first has shape"),
        ((np.zeros((0, 3)), np.eye(3)), {}, "first has shape"),
        ((np.eye(3), np.eye(3)), {"threshold": 0}, "threshold is 0"),
        ((np.eye(3), np.eye(3)), {"threshold": 1.5}, "threshold is 1.5"),
        ((np.eye(3), np.eye(3)), {"components": 0}, "components is 0"),
    ],
)
def test_near_duplicates_refuses(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        inspection.near_duplicates(*arguments, **options)


images = hnp.arrays(np.uint8, (3, 4)).filter(lambda image: image.min() < image.max())


@given(images, st.integers(0, 9))
def test_sound_records_pass(image, label):
    records = [(image, label, zlib.crc32(image.tobytes())), (image.astype(float), np.int64(label), None)]
    assert inspection.check_records(records, shape=(3, 4), classes=10) == []


@given(images, st.integers(0, 11), st.integers(1, 255))
def test_a_changed_byte_breaks_the_checksum(image, position, change):
    changed = image.copy()
    changed.flat[position] ^= change
    found = inspection.check_records([(changed, 0, zlib.crc32(image.tobytes()))], shape=(3, 4), classes=1)
    assert [defect.index for defect in found] == [0]


SOUND = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize(
    ("image", "label", "checksum", "reason"),
    [
        (SOUND.ravel()[:7], 1, None, "shape (7,), expected (3, 4)"),
        (np.where(SOUND == 3, np.nan, SOUND), 1, None, "1 pixel(s) not finite"),
        (SOUND.astype(float) - 1, 1, None, "grey levels from -1 to 10"),
        (SOUND * 100.0, 1, None, "grey levels from 0 to 1100"),
        (SOUND * 0, 1, None, "all pixels are equal"),
        (SOUND.astype(str), 1, None, "an image of type <U3"),
        (SOUND, 10, None, "label 10, expected a whole number from 0 to 9"),
        (SOUND, -1, None, "label -1"),
        (SOUND, 1.5, None, "label 1.5"),
        (SOUND, float("nan"), None, "label nan"),
        (SOUND, None, None, "label None"),
        (SOUND, True, None, "label True"),
        (SOUND, "shirt", None, "label 'shirt'"),
        (SOUND, 1, 0, "the bytes do not have the checksum"),
    ],
)
def test_every_kind_of_damage_is_named(image, label, checksum, reason):
    (defect,) = inspection.check_records([(image, label, checksum)], shape=(3, 4), classes=10)
    assert reason in defect.reason
    assert str(defect) == f"record 0: {defect.reason}"


def test_an_array_of_several_numbers_is_no_label():
    (defect,) = inspection.check_records([(SOUND, np.array([1, 2]), None)], shape=(3, 4), classes=10)
    assert "label" in defect.reason


def test_check_records_refuses_no_classes():
    with pytest.raises(ValueError, match="classes is 0"):
        inspection.check_records([], shape=(3, 4), classes=0)
