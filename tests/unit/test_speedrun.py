"""The fast network and its recipe: whitened patches, unit filters, flips in every second epoch, and readable errors."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nnzen import speedrun
from nnzen.costs import costs
from nnzen.speedrun import Design, network, plan, tutorial, whitening
from nnzen.training import fit, predict_views


def textures(n, side=16, channels=3, seed=0):
    """Images whose neighbouring pixels and channels go together."""
    noise = np.random.default_rng(seed).normal(size=(n, side + 2, side + 2, channels))
    smooth = sum(noise[:, i : i + side, j : j + side] for i in range(3) for j in range(3))
    return np.clip(128 + 12 * (smooth + smooth.mean(axis=-1, keepdims=True)), 0, 255).astype(np.uint8)


IMAGES = textures(300)
SMALL = Design(widths=(8,), filters=12, batch_size=50, epochs=2, precision="float32")


def test_whitened_patches_are_uncorrelated_and_of_equal_variance():
    images = (IMAGES - IMAGES.mean()) / 50
    kernel = whitening(images, 2, 24, epsilon=0)
    windows = np.lib.stride_tricks.sliding_window_view(images, (2, 2), axis=(1, 2))
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 12)  # as a convolution flattens its kernel
    seen = patches @ kernel[..., :12].reshape(12, 12)
    np.testing.assert_allclose(seen.T @ seen / len(seen), np.eye(12), atol=1e-3)
    np.testing.assert_array_equal(kernel[..., 12:], -kernel[..., :12])
    raw = patches.T @ patches / len(patches)
    assert abs(raw - np.diag(np.diag(raw))).max() > 0.1  # the patches themselves are correlated


def test_whitening_keeps_the_directions_of_largest_variance_and_fills_up_with_zeros():
    images = (IMAGES - IMAGES.mean()) / 50
    few, all_, more = (whitening(images, 2, n) for n in (6, 24, 30))
    np.testing.assert_array_equal(few[..., :3], all_[..., :3])
    assert not more[..., 12:15].any()
    assert not more[..., 27:].any()


def test_epsilon_keeps_directions_without_variance_finite():
    flat = np.repeat(np.arange(8.0), 200).reshape(1, 8, 200, 1)[:, :, :8].repeat(3, axis=0)  # rows alone differ
    assert np.isfinite(whitening(flat - 3.5, 2, 8)).all()


def test_the_first_layer_is_frozen_and_filters_have_norm_one_after_a_step():
    def build():
        return network(SMALL, IMAGES)

    labels = np.arange(300) % 10
    fitted = fit(build, IMAGES, labels, plan(dataclasses.replace(SMALL, epochs=1), 300), seed=1).model
    start = build()
    np.testing.assert_array_equal(fitted.get_layer("patches").kernel, start.get_layer("patches").kernel)
    for layer in fitted.layers:
        if layer.name.startswith("conv2d"):
            np.testing.assert_allclose(np.linalg.norm(np.asarray(layer.kernel).reshape(-1, 8), axis=0), 1, rtol=1e-4)


def test_a_learned_first_layer_is_trained_and_costs_more():
    learned = dataclasses.replace(SMALL, whitened=False)
    assert network(learned, IMAGES).get_layer("patches").trainable
    assert costs(network(learned, IMAGES)).training_flop > costs(network(SMALL, IMAGES)).training_flop


@pytest.mark.parametrize("standardized", [True, False])
def test_pixels_are_standardized_by_channel_or_run_from_0_to_1(standardized):
    model = network(dataclasses.replace(SMALL, standardized=standardized), IMAGES)
    pixels = np.asarray(model.get_layer("pixels")(IMAGES))
    wanted = IMAGES / 255
    if standardized:
        wanted = (IMAGES - IMAGES.mean(axis=(0, 1, 2))) / IMAGES.std(axis=(0, 1, 2))
    np.testing.assert_allclose(pixels, wanted, rtol=1e-3, atol=1e-4)


def augmented(design, number, images=IMAGES):
    x, labels = plan(design, len(images)).augment(images, np.arange(len(images)), (7, number))
    np.testing.assert_array_equal(labels, np.arange(len(images)))
    return np.asarray(x)


def test_an_alternating_flip_shows_each_image_once_either_way_in_two_epochs():
    design = dataclasses.replace(SMALL, shift=0)
    steps = len(IMAGES) // SMALL.batch_size
    first, second, third = (augmented(design, epoch * steps) for epoch in range(3))
    flipped = [np.array_equal(a, b[:, ::-1]) for a, b in zip(first, IMAGES, strict=True)]
    assert 0.4 < np.mean(flipped) < 0.6
    np.testing.assert_array_equal(second, first[:, :, ::-1])
    np.testing.assert_array_equal(third, first)
    np.testing.assert_array_equal(augmented(design, steps - 1), first)  # whatever the step of the epoch


def test_a_random_flip_does_not_alternate_and_none_does_nothing():
    design = dataclasses.replace(SMALL, shift=0, flip="random")
    first, second = augmented(design, 0), augmented(design, 6)
    assert 0.3 < np.mean([np.array_equal(a, b[:, ::-1]) for a, b in zip(first, second, strict=True)]) < 0.7
    np.testing.assert_array_equal(augmented(dataclasses.replace(design, flip="none"), 0), IMAGES)


def test_images_are_moved_and_mirrored_at_the_border():
    moved = augmented(dataclasses.replace(SMALL, shift=2, flip="none"), 0)
    padded = np.pad(IMAGES, [(0, 0), (2, 2), (2, 2), (0, 0)], mode="reflect")
    places = set()
    for image, source in zip(moved, padded, strict=True):
        found = [(i, j) for i in range(5) for j in range(5) if np.array_equal(image, source[i : i + 16, j : j + 16])]
        places |= {*found}
        assert found
    assert len(places) == 25


def test_the_loss_is_cross_entropy_with_smoothed_targets():
    logits = np.random.default_rng(0).normal(size=(6, 10)).astype("float32")
    labels = np.array([0, 9, 3, 3, 1, 5])
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    target = 0.9 * np.eye(10)[labels] + 0.01
    loss = plan(SMALL, 300).loss()
    assert float(loss(labels, logits)) == pytest.approx(-(target * log_p).sum(axis=1).mean(), rel=1e-5)


def test_the_rate_rises_for_a_fifth_and_then_falls_to_nearly_nothing_or_is_constant():
    rates = [float(plan(SMALL, 300).optimizer(100)._learning_rate(k)) for k in range(100)]
    assert int(np.argmax(rates)) == 19
    assert rates[0] < 0.1 * max(rates)
    assert rates[-1] < 0.02 * max(rates)
    assert max(rates) == pytest.approx(0.8 * SMALL.learning_rate, rel=0.02)
    constant = plan(dataclasses.replace(SMALL, falling=False), 300).optimizer(100)
    assert float(constant._learning_rate(99)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("optimizer", "rate", "average"), [("muon", 0.1, 0.5), ("momentum", 0.1, None), ("adam", 0.01, 0.5)]
)
def test_every_optimizer_learns_to_tell_light_from_dark(optimizer, rate, average):
    labels = np.arange(300) % 2
    images = (IMAGES // 2 + 100 * labels[:, None, None, None]).astype(np.uint8)
    design = dataclasses.replace(SMALL, optimizer=optimizer, learning_rate=rate, average=average, epochs=6)
    fitted = fit(lambda: network(design, images), images, labels, plan(design, 300), seed=0)
    logits = predict_views(fitted.model, images, speedrun.VIEWS)
    assert np.mean(logits.argmax(axis=1) == labels) > 0.9


def test_without_normalization_convolutions_have_biases():
    model = network(dataclasses.replace(SMALL, normalized=False), IMAGES)
    assert not any("batch" in layer.name for layer in model.layers)
    assert [layer.use_bias for layer in model.layers if layer.name.startswith("conv2d")] == [True, True]


def test_views_are_the_image_its_mirror_and_both_moved_by_a_pixel():
    seen = [view(IMAGES) for view in speedrun.VIEWS]
    assert all(x.shape == IMAGES.shape for x in seen)
    np.testing.assert_array_equal(seen[1], IMAGES[:, :, ::-1])
    np.testing.assert_array_equal(seen[2][:, 1:, 1:], IMAGES[:, :-1, :-1])
    np.testing.assert_array_equal(seen[3][:, :-1, :-1], IMAGES[:, 1:, 1:])
    np.testing.assert_array_equal(seen[4][:, 1:, 1:], seen[1][:, :-1, :-1])
    assert len({x.tobytes() for x in seen}) == 6


def test_the_tutorials_network_has_the_parameters_of_the_published_one():
    assert costs(tutorial(np.zeros((1, 32, 32, 3), np.uint8))).parameters == 122_570


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": ()}, r"widths are \(\)"),
        ({"widths": (8, 0)}, r"widths are \(8, 0\)"),
        ({"depth": 0}, "depth is 0"),
        ({"filters": 7}, "filters is 7; it must be even"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd'; it must be one of muon, momentum, adam"),
        ({"flip": "left"}, "flip is 'left'"),
        ({"smoothing": 1.0}, r"smoothing is 1\.0"),
    ],
)
def test_a_wrong_choice_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **changes)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES.astype("float32"), r"images are float32 of shape \(300, 16, 16, 3\); they must be uint8"),
        (IMAGES[:, :8], r"images are uint8 of shape \(300, 8, 16, 3\)"),
        (IMAGES[:0], r"of shape \(0, 16, 16, 3\)"),
        (np.zeros((5, 16, 16, 1), np.uint8), "channel 0 of the images has one value alone"),
        (IMAGES[:, :4, :4], "images of 4 × 4 leave nothing to pool for block 8"),
    ],
)
def test_wrong_images_are_named(images, message):
    with pytest.raises(ValueError, match=message):
        network(SMALL, images)
