"""Trained models: made once, read afterwards, and no trace in the caller's random numbers."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from nnzen import models


def draws():
    return random.random(), np.random.random()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return tmp_path / ".cache" / "nnzen"


def kernel(model):
    import keras

    return keras.ops.convert_to_numpy(model.layers[-1].kernel)


@pytest.fixture
def quick(monkeypatch):
    """Train in this process's stead a model that needs no time; count how often."""
    trainings = []

    def quickly(name, seed, path):
        import keras

        trainings.append((name, seed))
        keras.utils.set_random_seed(seed)
        models.build(name).save(path)

    monkeypatch.setattr(models, "_train_elsewhere", quickly)
    return trainings


def test_a_warm_cache_and_a_cold_one_leave_the_same_random_numbers(home, quick):
    states = []
    for _ in range(2):  # cold, then warm
        random.seed(3)
        np.random.seed(3)
        models.trained("linear", 1)
        states.append(draws())
        assert [path.suffix for path in sorted(home.iterdir())] == [".keras", ".lock"]
    random.seed(3)
    np.random.seed(3)
    assert states == [draws(), states[0]]
    assert len(quick) == 1


def test_each_seed_is_trained_once(home, quick):
    first, again, other = (models.trained("linear", seed) for seed in (1, 1, 2))
    assert quick == [("linear", 1), ("linear", 2)]
    np.testing.assert_array_equal(kernel(first), kernel(again))
    assert not np.array_equal(kernel(first), kernel(other))


def test_another_recipe_is_another_model(home, quick, monkeypatch):
    models.trained("linear", 1)
    recipe = models._recipe("linear")
    monkeypatch.setattr("nnzen.runner.versions", lambda: {"keras": "0"})
    assert models._recipe("linear") != recipe
    models.trained("linear", 1)
    assert len(quick) == 2


def test_a_training_that_fails_leaves_nothing(home, monkeypatch):
    monkeypatch.setattr(models.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="linear with seed 1 could not be trained: exit status 1"):
        models.trained("linear", 1)
    assert [path.suffix for path in home.iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("name", "seed", "message"),
    [("vgg", 1, "no model 'vgg'"), ("cnn", -1, "seed is -1"), ("cnn", 1.0, r"seed is 1\.0")],
)
def test_unknown_models_and_seeds(name, seed, message):
    with pytest.raises(ValueError, match=message):
        models.trained(name, seed)
