"""The recipe of chapter 08: what needs no TensorFlow, and one tiny run that does."""

from __future__ import annotations

import numpy as np
import pytest

from nnzen import models, training

IMAGES = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)


def test_standardized_pixels_have_mean_zero_and_deviation_one():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(50, 7, 6), dtype=np.uint8)
    x = training.standardize(images, like=images)
    assert x.shape == (50, 7, 6, 1)
    assert x.dtype == np.float32
    assert x.mean() == pytest.approx(0, abs=1e-5)
    assert x.std() == pytest.approx(1, abs=1e-5)


def test_the_statistics_come_from_the_training_images():
    bright = np.full((3, 4, 4), 255, np.uint8)
    assert training.standardize(bright, like=IMAGES).min() == pytest.approx((255 - IMAGES.mean()) / IMAGES.std())


@pytest.mark.parametrize(
    ("images", "like", "message"),
    [
        (IMAGES.astype(float), IMAGES, r"images is float64 of shape \(2, 4, 4\)"),
        (IMAGES[0], IMAGES, r"images is uint8 of shape \(4, 4\)"),
        ([[0]], IMAGES, "images is list"),
        (IMAGES, IMAGES[:0], r"like has shape \(0, 4, 4\) and no two different pixels"),
        (IMAGES, np.zeros((2, 4, 4), np.uint8), "no two different pixels"),
    ],
)
def test_bad_images_are_named(images, like, message):
    with pytest.raises(ValueError, match=message):
        training.standardize(images, like=like)


def test_accuracy_is_in_per_cent():
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.0, 1.0, 4.0], [5.0, 0.0, 0.0]])
    assert training.accuracy(logits, np.array([0, 1, 2, 1])) == 75.0


@pytest.mark.parametrize(("shape", "labels"), [((3, 2), 2), ((3,), 3), ((0, 2), 0)])
def test_accuracy_wants_a_label_for_each_row(shape, labels):
    with pytest.raises(ValueError, match="logits have shape"):
        training.accuracy(np.zeros(shape), np.zeros(labels, int))


def test_every_model_has_a_recipe():
    assert set(training.RECIPES) == set(models.MODELS)


def test_unknown_model_and_unequal_lengths():
    with pytest.raises(ValueError, match="there is no model 'resnet'; there are linear, mlp, cnn"):
        models.build("resnet")
    x, recipe = np.zeros((2, 4, 4, 1), np.float32), training.RECIPES["linear"]
    with pytest.raises(ValueError, match="x holds 2 images and y 3 labels"):
        training.train("linear", x, np.zeros(3, int), seed=0, recipe=recipe)


def test_mlp_and_cnn_have_the_same_number_of_parameters():
    mlp, cnn = (models.build(name).count_params() for name in ("mlp", "cnn"))
    assert abs(mlp - cnn) <= 0.005 * cnn


def test_a_run_is_a_function_of_its_seed_and_learns():
    data = np.random.default_rng(0)
    y = data.integers(0, 10, size=200)
    x = data.normal(size=(200, 6, 6, 1)).astype(np.float32)
    x[np.arange(200), y // 5, y % 5] += 3.0
    recipe = training.Recipe(learning_rate=0.03, epochs=10, batch_size=32)
    first, again, other = (training.train("linear", x, y, seed=s, recipe=recipe) for s in (1, 1, 2))
    logits = [training.predict_logits(run.model, x) for run in (first, again, other)]
    np.testing.assert_array_equal(logits[0], logits[1])
    assert not np.allclose(logits[0], logits[2])
    assert len(first.loss) == len(first.accuracy) == 10
    assert first.loss[-1] < first.loss[0]
    assert training.accuracy(logits[0], y) > 50
