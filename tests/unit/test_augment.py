"""nnzen.augment against SciPy and NumPy, in eager and in graph mode, and under a parallel map."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from nnzen import augment

KEY = (7, 3)
IDENTITY = {
    "flip": {"probability": 0.0},
    "shift": {"pixels": 0},
    "rotate": {"degrees": 0.0},
    "zoom": {"factor": 1.0},
    "contrast": {"strength": 0.0, "high": 255.0},
    "cutout": {"size": 0},
}
STRONG = {
    "flip": {"axis": "vertical"},
    "shift": {"pixels": 2},
    "rotate": {"degrees": 180.0},
    "zoom": {"factor": 2.0},
    "contrast": {"strength": 1.0, "high": 255.0},
    "cutout": {"size": 3},
}


@st.composite
def batches(draw, dtype=None):
    """Draw a small batch of images with levels from 0 to 255."""
    shape = tuple(draw(st.integers(low, 6)) for low in (1, 3, 3, 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.integers(0, 256, size=shape).astype(dtype or draw(st.sampled_from(["uint8", "float32"])))


keys = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))


def test_doctests():
    assert doctest.testmod(augment).failed == 0


# --- properties of every change -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", IDENTITY)
@settings(max_examples=15, deadline=None)
@given(images=batches(), key=keys)
def test_identity_parameters_change_nothing(name, images, key):
    assert_array_equal(getattr(augment, name)(images, key, **IDENTITY[name]), images)


@pytest.mark.parametrize("name", STRONG)
@settings(max_examples=15, deadline=None)
@given(images=batches(), key=keys)
def test_shape_dtype_and_range_are_kept(name, images, key):
    changed = getattr(augment, name)(images, key, **STRONG[name])
    assert changed.shape == images.shape
    assert changed.dtype == images.dtype
    assert changed.numpy().min() >= 0
    assert changed.numpy().max() <= (255 if name == "contrast" else images.max())


@pytest.mark.parametrize("name", STRONG)
def test_a_key_is_a_seed(name):
    images = np.random.default_rng(0).integers(0, 256, size=(40, 6, 7, 2), dtype=np.uint8)
    change = getattr(augment, name)
    first = change(images, KEY, **STRONG[name]).numpy()
    assert_array_equal(first, change(images, KEY, **STRONG[name]))
    assert (first != change(images, (7, 4), **STRONG[name]).numpy()).any()
    assert (first != change(images, (8, 3), **STRONG[name]).numpy()).any()


def test_two_functions_with_one_key_draw_different_numbers():
    # One image a row: whether it was flipped must not tell where it was shifted.
    images = np.zeros((4000, 5, 5, 1), np.float32)
    images[:, 2, 1] = 1
    mirrored = augment.flip(images, KEY).numpy()[:, 2, 3, 0] == 1
    column = augment.shift(images, KEY, pixels=1).numpy()[:, :, :, 0].max(axis=1).argmax(axis=1)
    assert abs(np.corrcoef(mirrored, column)[0, 1]) < 0.08  # five standard errors
    assert 0.45 < mirrored.mean() < 0.55


def test_graph_mode_and_a_parallel_map_give_the_same_images():
    import tensorflow as tf

    images = np.random.default_rng(1).integers(0, 256, size=(50, 6, 6, 1), dtype=np.uint8)
    targets = np.eye(5, dtype="float32")[np.arange(50) % 5]

    def change(n, x, t):
        for name, options in STRONG.items():
            x = getattr(augment, name)(x, (5, n), **options)
        return augment.mixup(augment.crop(x, (5, n), size=5), t, (5, n), alpha=0.4)

    pairs = tf.data.Dataset.from_tensor_slices((images, targets)).batch(8)
    numbered = pairs.enumerate().map(lambda n, pair: (n, *pair))
    eager = [change(*row) for row in numbered]
    for parallel in (1, 4):
        for expected, found in zip(eager, numbered.map(change, parallel), strict=True):
            for a, b in zip(expected, found, strict=True):
                assert a.dtype == b.dtype
                assert_allclose(np.asarray(a, float), np.asarray(b, float), atol=1)
                assert np.mean(np.abs(np.asarray(a, float) - np.asarray(b, float)) > 1e-4) < 0.01


# --- each change against an oracle --------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    images=batches("float32"),
    degrees=st.floats(-180, 180),
    down=st.floats(-4, 4),
    right=st.floats(-4, 4),
    zoom=st.floats(0.4, 2.5),
    fill=st.sampled_from([0.0, 100.0]),
)
def test_affine_is_scipys(images, degrees, down, right, zoom, fill):
    A = augment.matrix(degrees=degrees, shift=(down, right), zoom=zoom)
    centre = (np.array(images.shape[1:3]) - 1) / 2
    offset = centre + A[:, 2] - A[:, :2] @ centre
    expected = np.empty(images.shape)
    for n in range(images.shape[0]):
        for c in range(images.shape[3]):
            expected[n, :, :, c] = ndimage.affine_transform(
                images[n, :, :, c].astype(float), A[:, :2], offset, order=1, mode="grid-constant", cval=fill
            )
    assert_allclose(augment.affine(images, A, fill=fill), expected, atol=0.02)  # steep edges, float32


def test_signs_of_the_matrix():
    images = np.arange(25, dtype="float32").reshape(1, 5, 5, 1)
    quarter = augment.affine(images, augment.matrix(degrees=90)).numpy()
    assert_allclose(quarter[0, :, :, 0], np.rot90(images[0, :, :, 0]), atol=1e-4)  # counter-clockwise
    moved = augment.affine(images, augment.matrix(shift=(1, 2))).numpy()
    assert_allclose(moved[0, 1:, 2:, 0], images[0, :-1, :-2, 0], atol=1e-4)
    assert_array_equal(moved[0, :1, :, 0], 0)


def test_matrices_of_several_images():
    A = augment.matrix(degrees=[0, 90, 180], zoom=[1, 1, 2])
    assert A.shape == (3, 2, 3)
    assert_allclose(A[1], augment.matrix(degrees=90), atol=1e-15)
    images = np.random.default_rng(2).random((3, 5, 5, 2)).astype("float32")
    assert_allclose(augment.affine(images, A)[2:], augment.affine(images[2:], A[2]), atol=1e-6)


def test_integer_levels_are_rounded():
    images = np.array([0, 3], np.uint8).reshape(1, 1, 2, 1)
    assert_array_equal(augment.affine(images, augment.matrix(shift=(0, -0.5)))[0, 0, :, 0], [2, 2])


def test_flip_mirrors_or_leaves_alone():
    images = np.random.default_rng(3).random((60, 3, 4, 1)).astype("float32")
    for axis, number in (("horizontal", 2), ("vertical", 1)):
        changed = augment.flip(images, KEY, axis=axis).numpy()
        same = np.array([(a == b).all() for a, b in zip(changed, images, strict=True)])
        assert_array_equal(changed[~same], np.flip(images, number)[~same])
        assert 10 < same.sum() < 50
        assert_array_equal(augment.flip(images, KEY, axis=axis, probability=1.0), np.flip(images, number))


def test_shift_and_crop_reach_every_place_equally_often():
    image = np.zeros((9, 9), np.float32)
    image[4, 4] = 1
    changed = augment.shift(np.tile(image[None, :, :, None], (9000, 1, 1, 1)), KEY, pixels=1).numpy()
    share = changed.mean(axis=0)[3:6, 3:6, 0]
    assert_allclose(share, np.full((3, 3), 1 / 9), atol=5 * np.sqrt(8 / 81 / 9000))
    levels = np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1)
    corners = augment.crop(np.tile(levels, (3000, 1, 1, 1)), KEY, size=2).numpy()
    assert corners.shape == (3000, 2, 2, 1)
    assert_array_equal(corners[:, 1, 1, 0] - corners[:, 0, 0, 0], 5)
    assert_array_equal(np.unique(corners[:, 0, 0, 0]), [0, 1, 2, 4, 5, 6])


def test_contrast_keeps_the_mean_where_nothing_is_clipped():
    images = np.random.default_rng(4).uniform(100, 150, size=(30, 5, 5, 1))
    changed = augment.contrast(images, KEY, strength=0.5, high=255.0).numpy()
    factor = changed.std(axis=(1, 2, 3)) / images.std(axis=(1, 2, 3))
    assert_allclose(changed.mean(axis=(1, 2, 3)), images.mean(axis=(1, 2, 3)), rtol=1e-5)
    assert 0.5 <= factor.min() < 0.7
    assert 1.3 < factor.max() <= 1.5


def test_contrast_of_floats_stays_in_the_range_that_is_named():
    images = np.random.default_rng(5).random((30, 5, 5, 1)).astype("float32")
    changed = augment.contrast(images, KEY, strength=1.0, high=1.0).numpy()
    assert changed.min() >= 0
    assert changed.max() == 1
    levels = np.round(255 * images).astype(np.uint8)
    assert_array_equal(
        augment.contrast(levels, KEY, strength=1.0), augment.contrast(levels, KEY, strength=1.0, high=255.0)
    )


def test_cutout_covers_a_square():
    images = np.ones((500, 8, 9, 2), np.float32)
    changed = augment.cutout(images, KEY, size=3, fill=0.5).numpy()
    covered = (changed == 0.5).all(axis=3)
    assert_array_equal(covered, (changed == 0.5).any(axis=3))
    rows, columns = covered.any(axis=2).sum(axis=1), covered.any(axis=1).sum(axis=1)
    assert_array_equal(covered.sum(axis=(1, 2)), rows * columns)
    assert set(rows) == set(columns) == {2, 3}  # less at the border, but its centre is always a pixel of the image


@settings(max_examples=25, deadline=None)
@given(images=batches(), key=keys, alpha=st.floats(0.01, 5))
def test_mixed_labels_sum_to_one_and_tell_the_share(images, key, alpha):
    n = len(images)
    mixed, targets = augment.mixup(images, np.eye(n, dtype="float32"), key, alpha=alpha)
    assert mixed.dtype == images.dtype
    assert_allclose(targets.numpy().sum(axis=1), 1, atol=1e-6)
    assert targets.numpy().min() >= 0
    expected = np.tensordot(targets.numpy().astype(float), images.astype(float), axes=1)
    assert_allclose(mixed.numpy().astype(float), expected, atol=0.51 if images.dtype == np.uint8 else 1e-3)


# --- errors -------------------------------------------------------------------------------------------------

ONE = np.zeros((1, 4, 4, 1), np.uint8)


@pytest.mark.parametrize("name", STRONG)
def test_images_must_be_a_batch(name):
    change = getattr(augment, name)
    with pytest.raises(ValueError, match=r"images have shape \(4, 4\); it must be \(N, H, W, C\)"):
        change(ONE[0, :, :, 0], KEY, **STRONG[name])
    with pytest.raises(ValueError, match="there must be at least one image"):
        change(ONE[:0], KEY, **STRONG[name])
    with pytest.raises(ValueError, match="images are bool"):
        change(ONE > 0, KEY, **STRONG[name])


def test_an_empty_batch_of_unknown_size_is_found_in_graph_mode():
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 1])], jit_compile=False)
    def change(x):
        return augment.flip(x, KEY)

    assert change(tf.zeros([2, 4, 4, 1])).shape == (2, 4, 4, 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="images are an empty batch"):
        change(tf.zeros([0, 4, 4, 1]))


@pytest.mark.parametrize("name", ["shift", "crop"])
def test_images_of_unknown_size_that_are_too_small_are_found_in_graph_mode(name):
    import tensorflow as tf

    options = {"shift": {"pixels": 3}, "crop": {"size": 4}}[name]

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1])], jit_compile=False)
    def change(x):
        return getattr(augment, name)(x, KEY, **options)

    assert change(tf.zeros([2, 4, 5, 1])).shape[0] == 2
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(pixels is 3|size is 4); "):
        change(tf.zeros([2, 5, 3, 1]))


@pytest.mark.parametrize("name", ["shift", "rotate", "zoom", "cutout"])
@pytest.mark.parametrize("fill", [300, -1, 0.7, float("nan")])
def test_fill_must_be_a_level(name, fill):
    change = getattr(augment, name)
    with pytest.raises(ValueError, match=f"fill is {fill}"):
        change(ONE, KEY, **STRONG[name], fill=fill)
    if np.isfinite(fill):
        assert change(ONE.astype("float32"), KEY, **STRONG[name], fill=fill).shape == ONE.shape


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: augment.flip(ONE, KEY, probability=1.5), "probability is 1.5; it must be from 0 to 1"),
        (lambda: augment.flip(ONE, KEY, axis="diagonal"), "axis is 'diagonal'"),
        (lambda: augment.flip(ONE, 3), "key has shape"),
        (lambda: augment.flip(ONE, (0.9, 2)), r"key is \(0.9, 2\); it must be two integers"),
        (lambda: augment.flip(ONE, (np.int64(1), np.float32(2))), "it must be two integers"),
        (lambda: augment.shift(ONE, KEY, pixels=-1), "pixels is -1; it must be a whole number, at least 0"),
        (lambda: augment.shift(ONE, KEY, pixels=4), "pixels is 4 for images of 4 × 4"),
        (lambda: augment.shift(ONE, KEY, pixels=0.5), "pixels is 0.5"),
        (lambda: augment.crop(ONE, KEY, size=0), "size is 0"),
        (lambda: augment.crop(ONE, KEY, size=5), "the window must fit"),
        (lambda: augment.rotate(ONE, KEY, degrees=200), "degrees is 200; it must be from 0 to 180"),
        (lambda: augment.rotate(ONE, KEY, degrees=[10]), r"degrees is \[10\]; it must be a number"),
        (lambda: augment.zoom(ONE, KEY, factor=0.5), "factor is 0.5; it must be a finite number, at least 1"),
        (lambda: augment.zoom(ONE, KEY, factor=float("inf")), "factor is inf"),
        (lambda: augment.contrast(ONE, KEY, strength=2), "strength is 2"),
        (lambda: augment.contrast(ONE, KEY, strength=0.1, high=0), "high is 0"),
        (lambda: augment.contrast(ONE.astype("float32"), KEY, strength=0.1), "high is not given for float32 images"),
        (lambda: augment.cutout(ONE, KEY, size=True), "size is True"),
        (lambda: augment.mixup(ONE, np.ones((1, 2)), KEY, alpha=0.0), "alpha is 0.0"),
        (lambda: augment.mixup(ONE, np.array([1]), KEY, alpha=1.0), r"targets are int64 of shape \(1,\)"),
        (lambda: augment.mixup(ONE, np.ones((2, 2)), KEY, alpha=1.0), "1 images and 2 targets"),
        (lambda: augment.affine(ONE, np.eye(3)), r"matrices have shape \(3, 3\)"),
        (lambda: augment.affine(ONE, np.full((2, 3), np.nan)), "they must be finite"),
        (lambda: augment.affine(ONE, np.zeros((2, 2, 3))), "2 matrices for 1 images"),
        (lambda: augment.matrix(zoom=0), "zoom is 0.0; it must be above 0"),
        (lambda: augment.matrix(degrees=float("nan")), "degrees is nan"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
