"""A model is trained in a process of its own, once, and is worth what chapter 08 says."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nnzen import datasets, models, training


def test_a_model_is_trained_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    data = datasets.load("fashion_mnist")
    x = training.standardize(data.x_validation, like=data.x_train)
    logits = training.predict_logits(models.trained("linear", 3), x)
    assert 80 < training.accuracy(logits, data.y_validation) < 90  # a linear model; guessing has 10
    monkeypatch.setattr(models, "_train_elsewhere", None)  # a second training would fail
    np.testing.assert_array_equal(training.predict_logits(models.trained("linear", 3), x), logits)
