"""Convolution and pooling against SciPy, Keras and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate

from nnzen.mathematics.convolution import (
    ReceptiveField,
    conv2d,
    conv2d_gradients,
    max_pool2d,
    max_pool2d_gradient,
    output_size,
    receptive_field,
)

PADDINGS = ("valid", "same")


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, object]:
    """Draw images, a kernel that fits them, a stride and a padding."""
    k_h, k_w, c_in, c_out = (draw(st.integers(1, 3)) for _ in range(4))
    n = draw(st.integers(0, 2))
    height, width = draw(st.integers(k_h, 7)), draw(st.integers(k_w, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return {
        "x": rng.normal(size=(n, height, width, c_in)),
        "kernel": rng.normal(size=(k_h, k_w, c_in, c_out)),
        "bias": rng.normal(size=c_out),
        "stride": (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        "padding": draw(st.sampled_from(PADDINGS)),
        "rng": rng,
    }


def zero_padding(size: int, k: int, s: int, padding: str) -> tuple[int, int]:
    """Keras' rule, written a second time."""
    if padding == "valid":
        return 0, 0
    missing = (k - s if size % s == 0 else k - size % s) if k > s or size % s else 0
    missing = max(missing, 0)
    return missing // 2, missing - missing // 2


def scipy_conv2d(x, kernel, bias, stride, padding):
    margins = [zero_padding(x.shape[1 + a], kernel.shape[a], stride[a], padding) for a in (0, 1)]
    padded = np.pad(x, [(0, 0), *margins, (0, 0)])
    maps = [
        [
            sum(correlate(image[:, :, c], kernel[:, :, c, o], mode="valid", method="direct") for c in range(x.shape[3]))
            + bias[o]
            for o in range(kernel.shape[3])
        ]
        for image in padded
    ]
    full = np.moveaxis(np.array(maps), 1, -1)
    return full[:, :: stride[0], :: stride[1]]


def finite_difference(function, at, step=1e-6):
    """Return the gradient of a scalar function by central differences."""
    gradient = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        there = np.zeros_like(at)
        there[index] = step
        gradient[index] = (function(at + there) - function(at - there)) / (2 * step)
    return gradient


@given(case=convolutions())
@settings(max_examples=60)
def test_conv2d_equals_scipy(case):
    arguments = [case[name] for name in ("x", "kernel", "bias")]
    y = conv2d(*arguments, stride=case["stride"], padding=case["padding"])
    if len(case["x"]) == 0:
        assert len(y) == 0
        return
    np.testing.assert_allclose(y, scipy_conv2d(*arguments, case["stride"], case["padding"]), atol=1e-12)


@given(case=convolutions())
@settings(max_examples=60)
def test_gradients_are_the_adjoints(case):
    """⟨g, conv(x, w)⟩ is linear in x and in w, so it equals ⟨∂x, x⟩ and ⟨∂w, w⟩ for all of them."""
    x, kernel = case["x"], case["kernel"]
    options = {"stride": case["stride"], "padding": case["padding"]}
    y = conv2d(x, kernel, **options)
    g = case["rng"].normal(size=y.shape)
    gradients = conv2d_gradients(x, kernel, g, **options)
    total = np.sum(g * y)
    assert np.sum(gradients.x * x) == pytest.approx(total, abs=1e-9)
    assert np.sum(gradients.kernel * kernel) == pytest.approx(total, abs=1e-9)
    np.testing.assert_allclose(gradients.bias, g.sum(axis=(0, 1, 2)))
    assert gradients.x.shape == x.shape
    assert gradients.kernel.shape == kernel.shape


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("stride", [1, 2, (2, 3)])
def test_gradients_equal_finite_differences(padding, stride):
    rng = np.random.default_rng(0)
    x, kernel, bias = rng.normal(size=(2, 5, 6, 2)), rng.normal(size=(3, 2, 2, 3)), rng.normal(size=3)
    options = {"stride": stride, "padding": padding}
    g = rng.normal(size=conv2d(x, kernel, bias, **options).shape)
    gradients = conv2d_gradients(x, kernel, g, **options)
    close = {"rtol": 1e-6, "atol": 1e-7}

    def loss(*arguments):
        return np.sum(g * conv2d(*arguments, **options))

    for ours, theirs in (
        (gradients.x, finite_difference(lambda v: loss(v, kernel, bias), x)),
        (gradients.kernel, finite_difference(lambda v: loss(x, v, bias), kernel)),
        (gradients.bias, finite_difference(lambda v: loss(x, kernel, v), bias)),
    ):
        np.testing.assert_allclose(ours, theirs, **close)


@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.none() | st.tuples(st.integers(1, 3), st.integers(1, 3)),
    shape=st.tuples(st.integers(0, 2), st.integers(3, 7), st.integers(3, 7), st.integers(1, 2)),
    padding=st.sampled_from(PADDINGS),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_pooling_and_its_gradient_by_loops(size, stride, shape, padding, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4, size=shape).astype(float)  # ties on purpose
    y = max_pool2d(x, size, stride=stride, padding=padding)
    steps = stride or size
    margins = [zero_padding(shape[1 + a], size[a], steps[a], padding) for a in (0, 1)]
    g = rng.normal(size=y.shape)
    expected = np.zeros_like(x)
    for n, p, q, c in np.ndindex(y.shape):
        inside = [
            (x[n, row, column, c], -row, -column)
            for row in range(p * steps[0] - margins[0][0], p * steps[0] - margins[0][0] + size[0])
            for column in range(q * steps[1] - margins[1][0], q * steps[1] - margins[1][0] + size[1])
            if 0 <= row < shape[1] and 0 <= column < shape[2]
        ]
        best, row, column = max(inside)  # the first in reading order among equals
        assert y[n, p, q, c] == best
        expected[n, -row, -column, c] += g[n, p, q, c]
    gradient = max_pool2d_gradient(x, g, size, stride=stride, padding=padding)
    np.testing.assert_allclose(gradient, expected, atol=1e-12)


def test_keras_agrees_with_everything():
    keras = pytest.importorskip("keras")
    import tensorflow as tf

    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 9, 8, 3)).astype("float32")
    for padding in PADDINGS:
        for stride in (1, 2):
            convolution = keras.layers.Conv2D(4, (5, 3), strides=stride, padding=padding)
            pooling = keras.layers.MaxPooling2D(2, strides=stride, padding=padding)
            x_tf, ties = tf.constant(x), tf.constant(np.round(x))
            convolution.build(x.shape)
            convolution.bias.assign(rng.normal(size=4))
            with tf.GradientTape(persistent=True) as tape:
                tape.watch([x_tf, ties])
                y, pooled = convolution(x_tf), pooling(ties)
            g = rng.normal(size=y.shape).astype("float32")
            g_pooled = rng.normal(size=pooled.shape).astype("float32")
            kernel, bias = (np.asarray(v) for v in convolution.get_weights())
            options = {"stride": stride, "padding": padding}
            np.testing.assert_allclose(conv2d(x, kernel, bias, **options), y, atol=1e-5)
            ours = conv2d_gradients(x, kernel, g, **options)
            sources = [x_tf, convolution.kernel.value, convolution.bias.value]
            theirs = tape.gradient(y, sources, output_gradients=tf.constant(g))
            for a, b in zip((ours.x, ours.kernel, ours.bias), theirs, strict=True):
                np.testing.assert_allclose(a, b, atol=1e-4)
            np.testing.assert_array_equal(max_pool2d(ties, 2, **options), pooled)
            theirs = tape.gradient(pooled, ties, output_gradients=tf.constant(g_pooled))
            np.testing.assert_allclose(max_pool2d_gradient(ties, g_pooled, 2, **options), theirs, atol=1e-5)


@given(
    size=st.integers(1, 40),
    kernel=st.integers(1, 9),
    stride=st.integers(1, 5),
    padding=st.sampled_from(PADDINGS),
)
def test_output_size_counts_positions(size, kernel, stride, padding):
    if padding == "valid" and kernel > size:
        with pytest.raises(ValueError, match="does not fit"):
            output_size(size, kernel, stride, padding)
        return
    last = size if padding == "same" else size - kernel + 1
    assert output_size(size, kernel, stride, padding) == len(range(0, last, stride))


@given(layers=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=1, max_size=3))
@settings(max_examples=40)
def test_receptive_field_by_asking_the_gradient(layers):
    field = receptive_field(layers)
    size = field.size + field.stride  # room for two outputs side by side
    shapes = [size]
    for k, s in layers:
        shapes.append(output_size(shapes[-1], k, s))
    assert shapes[-1] == 2
    seen = []
    for output in (0, 1):
        g = np.zeros((1, shapes[-1], 1, 1))
        g[0, output] = 1.0
        for (k, s), before in zip(reversed(layers), reversed(shapes[:-1]), strict=True):
            g = conv2d_gradients(np.zeros((1, before, 1, 1)), np.ones((k, 1, 1, 1)), g, stride=(s, 1)).x
        seen.append(np.flatnonzero(g[0, :, 0, 0]))
    assert seen[0][0] == 0
    assert seen[0][-1] + 1 == field.size
    assert seen[1][0] == field.stride


def test_receptive_field_of_no_layer_is_a_pixel():
    assert receptive_field([]) == ReceptiveField(1, 1)


def test_types_follow_the_input():
    kernel = np.ones((2, 2, 1, 1), np.float32)
    assert conv2d(np.ones((1, 3, 3, 1), np.float32), kernel).dtype == np.float32
    assert conv2d(np.ones((1, 3, 3, 1), np.uint8), kernel).dtype == np.float32
    assert conv2d(np.ones((1, 3, 3, 1), np.int64), kernel).dtype == np.float64
    assert max_pool2d(np.ones((1, 2, 2, 1), np.uint8)).dtype == np.float32


def test_nan_is_not_hidden():
    x = np.zeros((1, 4, 4, 1))
    x[0, 0, 0, 0] = np.nan
    assert np.isnan(conv2d(x, np.ones((2, 2, 1, 1)))[0, 0, 0, 0])
    assert np.isnan(max_pool2d(x)[0, 0, 0, 0])


IMAGES, KERNEL = np.zeros((1, 4, 4, 2)), np.zeros((3, 3, 2, 5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conv2d(np.zeros((4, 4, 2)), KERNEL), r"x has shape \(4, 4, 2\); it must be \(N, H, W, C\)"),
        (lambda: conv2d(IMAGES, np.zeros((3, 3, 2))), r"kernel has shape \(3, 3, 2\)"),
        (lambda: conv2d(IMAGES, np.zeros((3, 3, 1, 5))), "x has 2 channels and the kernel is for 1"),
        (lambda: conv2d(IMAGES, KERNEL, np.zeros(2)), r"bias has shape \(2,\); .* needs \(5,\)"),
        (lambda: conv2d(IMAGES, np.zeros((5, 5, 2, 1))), "window of 5 does not fit into an input of 4"),
        (lambda: conv2d(IMAGES, KERNEL, stride=0), "stride is 0; it must be an integer of at least 1"),
        (lambda: conv2d(IMAGES, KERNEL, stride=1.5), "stride is 1.5"),
        (lambda: conv2d(IMAGES, KERNEL, padding="full"), "padding is 'full'"),
        (lambda: conv2d(IMAGES + 1j, KERNEL), "x has dtype complex128"),
        (lambda: conv2d(IMAGES[:, :0], KERNEL), r"x has shape \(1, 0, 4, 2\)"),
        (
            lambda: conv2d_gradients(IMAGES, KERNEL, np.zeros((1, 4, 4, 5))),
            r"grad_output has shape \(1, 4, 4, 5\); the output has shape \(1, 2, 2, 5\)",
        ),
        (lambda: max_pool2d(IMAGES, 5), "window of 5 does not fit"),
        (lambda: max_pool2d(IMAGES, True), "size is True"),
        (lambda: max_pool2d(np.zeros(3)), r"x has shape \(3,\)"),
        (lambda: max_pool2d_gradient(IMAGES, np.zeros((1, 4, 4, 2))), "grad_output has shape"),
        (lambda: output_size(0, 1), "size is 0"),
        (lambda: output_size(4, 2, padding="reflect"), "padding is 'reflect'"),
        (lambda: receptive_field([(3, 1), 2]), r"layer 2 is 2; it must be a pair \(window, stride\)"),
        (lambda: receptive_field([(0, 1)]), "window of layer 1 is 0"),
        (lambda: receptive_field([(3, 0)]), "stride of layer 1 is 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
