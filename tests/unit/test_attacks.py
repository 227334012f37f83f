"""nnzen.attacks on models whose worst case is known, and on their limits."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from nnzen import attacks

EPSILON = 0.1


def linear(weights):
    """A model of two classes: logit 0 is always 0, logit 1 is the weighted sum of pixels."""
    model = keras.Sequential([keras.Input((2, 3, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.set_weights([np.stack([np.zeros(6), weights], axis=1), np.zeros(2)])
    return model


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def images(rng):
    x = rng.uniform(size=(7, 2, 3, 1)).astype("float32")
    x[0], x[1] = 0, 1  # at both ends of the range
    return x, rng.integers(0, 2, size=7)


@pytest.fixture
def small():
    keras.utils.set_random_seed(1)
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((2, 3, 1)), layers.Flatten(), layers.Dense(8, activation="relu"), layers.Dense(3)]
    )


@pytest.mark.parametrize("loss", [attacks.cross_entropy, attacks.margin])
@pytest.mark.parametrize("attack", [attacks.fgsm, attacks.pgd])
def test_attacks_find_the_best_corner_of_a_linear_model(images, rng, attack, loss):
    x, y = images
    weights = rng.normal(size=6)
    towards = np.where(y == 1, -1, 1)[:, None] * np.sign(weights)
    best = np.clip(x + EPSILON * towards.reshape(x.shape), 0, 1)
    assert_allclose(attack(linear(weights), x, y, EPSILON, loss=loss), best, atol=1e-6)


@pytest.mark.parametrize("epsilon", [0, 0.03, 0.5, 1])
def test_results_stay_in_the_ball_and_in_the_range(small, images, epsilon):
    x, y = images
    for changed in (attacks.fgsm(small, x, y, epsilon), attacks.pgd(small, x, y, epsilon, steps=3, restarts=2)):
        assert changed.dtype == np.float32
        assert np.abs(changed - x).max() <= epsilon + 1e-6
        assert changed.min() >= 0
        assert changed.max() <= 1


def test_pgd_is_a_function_of_its_seed(small, images):
    first, again, other = (attacks.pgd(small, *images, EPSILON, steps=1, seed=seed) for seed in (1, 1, 2))
    assert_array_equal(first, again)
    assert (first != other).any()


def test_batches_change_nothing(small, images, monkeypatch):
    whole = attacks.pgd(small, *images, EPSILON, restarts=2)
    monkeypatch.setattr(attacks, "_BATCH", 2)
    assert_allclose(attacks.pgd(small, *images, EPSILON, restarts=2), whole, atol=1e-6)


def test_of_several_starts_the_strongest_end_is_kept(small, images):
    x, y = images
    one, many = (
        attacks.margin(small(attacks.pgd(small, x, y, 0.5, steps=1, restarts=n, seed=0)), y).numpy() for n in (1, 5)
    )
    assert (many >= one - 1e-6).all()
    assert (many > one + 1e-6).any()


def test_margin_is_positive_exactly_where_the_answer_is_wrong(rng):
    logits, y = rng.normal(size=(50, 4)).astype("float32"), rng.integers(0, 4, size=50)
    others = [np.delete(row, k).max() for row, k in zip(logits, y, strict=True)]
    margin = attacks.margin(tf.constant(logits), y).numpy()
    assert_allclose(margin, others - logits[np.arange(50), y], rtol=1e-6)
    assert_array_equal(margin > 0, logits.argmax(axis=1) != y)


def test_without_a_gradient_the_start_is_returned(images):
    x, y = images
    flat = keras.Sequential(
        [keras.Input((2, 3, 1)), keras.layers.Flatten(), keras.layers.Dense(2, kernel_initializer="zeros")]
    )
    assert_array_equal(attacks.fgsm(flat, x, y, EPSILON), x)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilon": 8}, "epsilon is 8"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"steps": 0}, "steps is 0"),
        ({"restarts": True}, "restarts is True"),
    ],
)
def test_errors_name_the_value(small, images, change, message):
    arguments = {"epsilon": EPSILON} | change
    with pytest.raises(ValueError, match=message):
        attacks.pgd(small, *images, **arguments)


def test_errors_name_pixels_and_shapes(small, images):
    x, y = images
    with pytest.raises(ValueError, match="pixels go from 0 to 255"):
        attacks.fgsm(small, 255 * x, y, EPSILON)
    with pytest.raises(ValueError, match=r"shape \(7, 2, 3, 1\) for 6 labels"):
        attacks.fgsm(small, x, y[:6], EPSILON)


def weights_after_training(epsilon, steps, images):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((2, 3, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
    model = attacks.adversarial_sequential(layers, epsilon=epsilon, steps=steps, seed=5)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    model.layers[-1].set_weights([np.ones((6, 2)) * [[0, 1]], np.zeros(2)])
    model.fit(*images, batch_size=7, shuffle=False, verbose=0)
    return model.layers[-1].get_weights()[0]


def test_training_steps_at_the_attacked_images(images):
    x, y = images
    worst = attacks.pgd(linear(np.ones(6)), x, y, EPSILON)  # of a linear model: the same from every start
    expected = weights_after_training(0, 0, (worst, y))
    assert_allclose(weights_after_training(EPSILON, 3, images), expected, atol=1e-6)
    noise = weights_after_training(EPSILON, 0, images)
    assert np.abs(noise - expected).max() > 1e-5
    assert np.abs(noise - weights_after_training(0, 0, images)).max() > 1e-6


def test_training_refuses_wrong_settings():
    with pytest.raises(ValueError, match="epsilon is 16"):
        attacks.adversarial_sequential([], epsilon=16, steps=3)
    with pytest.raises(ValueError, match="steps is -1"):
        attacks.adversarial_sequential([], epsilon=EPSILON, steps=-1)
