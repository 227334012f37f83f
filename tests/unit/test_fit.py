"""What stands around Keras' ``fit``: the same result after a kill, and errors that keep the last good weights."""

from __future__ import annotations

import csv
import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from nnzen import augment, training
from nnzen.costs import costs
from nnzen.mathematics import schedules

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, size=(100, 6, 6, 1), dtype=np.uint8)
LABELS = RNG.integers(0, 3, size=100)


def small():
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(3, dtype="float32"),
        ]
    )


def adam(steps, **options):
    import keras

    return keras.optimizers.Adam(training.tabulated(schedules.cosine(np.arange(steps), 0.01, steps)), **options)


def averaging(steps):
    return adam(steps, use_ema=True, ema_momentum=0.9)


def shifted(images, labels, key):
    return augment.shift(images, key, pixels=1), labels


PLAN = training.Plan(optimizer=averaging, epochs=3, batch_size=16, augment=shifted)


def weights(fitted):
    import keras

    return [keras.ops.convert_to_numpy(v) for v in fitted.model.variables]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))


def run(plan=PLAN, **options):
    return training.fit(small, IMAGES, LABELS, plan, seed=5, **options)


@pytest.fixture(scope="module")
def whole():
    return run(validation=(IMAGES[:20], LABELS[:20]))


def test_history(whole):
    assert whole.epochs == 3
    assert whole.steps == 3 * 7
    assert list(whole.history) == [
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "learning_rate",
        "seconds",
        "images_per_second",
    ]
    assert whole.stopped == ""
    assert 0 <= whole.history["val_accuracy"][-1] <= 100
    assert whole.history["learning_rate"][-1] < whole.history["learning_rate"][0]


def test_a_run_is_a_function_of_its_seed(whole):
    assert same(whole, run())
    assert not same(whole, training.fit(small, IMAGES, LABELS, PLAN, seed=6))


def test_validation_measures_the_averaged_weights_that_the_result_has(whole):
    logits = training.predict_logits(whole.model, IMAGES[:20])
    assert training.accuracy(logits, LABELS[:20]) == pytest.approx(whole.history["val_accuracy"][-1])
    raw = run(training.Plan(optimizer=adam, epochs=3, batch_size=16, augment=shifted))
    assert not same(whole, raw)


def test_an_epoch_shows_every_image_once():
    numbered = np.arange(50, dtype=np.int64)
    plan = training.Plan(optimizer=adam, epochs=2, batch_size=16)
    stream = training._batches(numbered, numbered, plan, 3)
    first, second = (np.concatenate([np.array(y) for _, y in stream(epoch)]) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(50))
    assert not np.array_equal(first, second)
    anew = training._batches(numbered, numbered, plan, 3)(1)
    assert np.array_equal(np.concatenate([np.array(y) for _, y in anew]), second)


def test_augmentation_differs_between_steps_and_epochs():
    keys = []

    def keep(images, labels, key):
        return images, key

    plan = training.Plan(optimizer=adam, epochs=2, batch_size=50, augment=keep)
    stream = training._batches(IMAGES, LABELS, plan, 3)
    for epoch in (0, 1):
        keys += [tuple(np.array(key)) for _, key in stream(epoch)]
    assert len(set(keys)) == 4


KILLED = """
import os, signal, sys
from nnzen import training
from tests.unit import test_fit

steps_end = training._Run.steps_end


def deadly(run, step, logs):
    steps_end(run, step, logs)
    if run.epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)


training._Run.steps_end = deadly
test_fit.run(folder=sys.argv[1])
"""


def test_a_killed_run_loses_the_current_epoch_alone(tmp_path, whole):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, timeout=300, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list(csv.DictReader((tmp_path / "log.csv").open()))) == 1
    resumed = run(folder=tmp_path)
    assert (resumed.resumed, resumed.epochs, resumed.steps) == (1, 3, whole.steps)
    assert resumed.history["loss"] == whole.history["loss"]
    assert same(resumed, whole)


def test_logs(tmp_path):
    import tensorflow as tf

    fitted = run(folder=tmp_path)
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[2]["loss"]) == pytest.approx(fitted.history["loss"][2], rel=1e-5)
    records = tf.data.TFRecordDataset(str(tmp_path / "events.out.tfevents.0")).as_numpy_iterator()
    events = [tf.compat.v1.Event.FromString(record) for record in records]
    assert events[0].file_version == "brain.Event:2"
    assert [event.step for event in events[1:]] == [1, 2, 3]
    assert events[3].summary.value[0].tag == "loss"
    assert events[3].summary.value[0].simple_value == pytest.approx(fitted.history["loss"][2])
    again = run(folder=tmp_path)
    assert again.resumed == 3
    assert same(again, fitted)


def test_a_folder_holds_one_run(tmp_path):
    run(folder=tmp_path)
    plan = training.Plan(optimizer=averaging, epochs=3, batch_size=20, augment=shifted)
    with pytest.raises(ValueError, match=r"holds another run \(batch_size: 16 there, 20 here; optimizer"):
        run(plan, folder=tmp_path)
    with pytest.raises(ValueError, match="images: 100"):
        training.fit(small, 255 - IMAGES, LABELS, PLAN, seed=5, folder=tmp_path)
    (tmp_path / "state.npz").write_bytes((tmp_path / "state.npz").read_bytes()[:500])
    with pytest.raises(ValueError, match=r"state\.npz is damaged"):
        run(folder=tmp_path)


def test_a_budget_in_seconds_stops_between_steps(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    fitted = run(training.Plan(optimizer=averaging, epochs=50, batch_size=2), seconds=30)
    assert fitted.stopped == "the budget of 30 s was used up"
    assert 0 < fitted.steps < 50 * 50


def test_a_budget_in_flop_stops_at_the_same_step_on_every_machine(tmp_path):
    cost = costs(small()).training_flop
    plan = training.Plan(optimizer=averaging, epochs=3, batch_size=5)
    fitted = run(plan, flop=130 * cost, folder=tmp_path)
    assert fitted.steps == 20 + 8  # 26 are enough; Keras is asked after every eighth
    assert fitted.epochs == 1
    assert fitted.stopped == "the budget of FLOP, worth 130 images, was used up"
    with pytest.raises(ValueError, match="flop is -1; a budget must be above 0"):
        run(flop=-1)
    further = run(plan, folder=tmp_path)
    assert (further.resumed, further.epochs) == (1, 3)


def explodes(steps):
    import keras

    rates = np.where(np.arange(steps) < 10, 1e-3, 1e30)
    return keras.optimizers.SGD(training.tabulated(rates))


def test_a_loss_that_is_not_finite_ends_with_the_last_good_weights(tmp_path):
    plan = training.Plan(optimizer=explodes, epochs=3, batch_size=16)
    with pytest.raises(training.TrainingError, match=r"the loss is (nan|inf) at or shortly before step \d of epoch 2"):
        run(plan, folder=tmp_path)
    with pytest.raises(training.TrainingError, match="the model has the weights after epoch 1") as caught:
        run(plan, folder=tmp_path)
    assert len(caught.value.history["loss"]) == 1
    with np.load(tmp_path / "state.npz") as stored:
        for number, value in enumerate(weights(caught.value)):
            assert np.isfinite(value).all()
            np.testing.assert_array_equal(value, stored[f"v{number}"])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_keeps_what_was_there(tmp_path, monkeypatch, number):
    calls = []
    fsync = os.fsync

    def fills_up(descriptor):
        calls.append(descriptor)
        if len(calls) > 2:  # log and state of the first epoch
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fills_up)
    with pytest.raises(training.TrainingError, match=r"disk is full|Permission denied") as caught:
        run(folder=tmp_path)
    monkeypatch.setattr(os, "fsync", fsync)
    assert "state.npz" in str(caught.value)
    assert len(caught.value.history["loss"]) == 2
    assert not list(tmp_path.glob(".*"))
    assert run(folder=tmp_path).resumed == 1


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES[:0], LABELS[:0], "there are 0 images and 0 labels"),
        (IMAGES, LABELS[:50], "there are 100 images and 50 labels"),
        (IMAGES, LABELS.astype(float), r"labels are float64 of shape \(100,\)"),
        (IMAGES[:, :5], LABELS, r"images have shape \(100, 5, 6, 1\); the model takes \(N, 6, 6, 1\)"),
        (IMAGES[..., 0], LABELS, r"images have shape \(100, 6, 6\)"),
        (
            IMAGES,
            LABELS + 1,
            r"label of number \d+ of the images is 3; the model has 3 classes, so labels go from 0 to 2",
        ),
        (IMAGES, LABELS - 1, r"is -1; the model has 3 classes"),
    ],
)
def test_wrong_examples_are_named(images, labels, message):
    with pytest.raises(ValueError, match=message):
        training.fit(small, images, labels, PLAN, seed=5)


def test_wrong_validation_and_budget_are_named():
    with pytest.raises(ValueError, match="there are 0 validation images"):
        run(validation=(IMAGES[:0], LABELS[:0]))
    with pytest.raises(ValueError, match="of the validation images is 9"):
        run(validation=(IMAGES[:3], np.array([0, 9, 1])))
    with pytest.raises(ValueError, match="seconds is 0; a budget must be above 0"):
        run(seconds=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"epochs": 2.0}, r"epochs is 2\.0"),
        ({"epochs": 1, "batch_size": True}, "batch_size is True"),
        ({"epochs": 1, "precision": "float16"}, "precision is 'float16'; it must be one of float32"),
    ],
)
def test_wrong_plans_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        training.Plan(optimizer=adam, **options)


def test_precision_holds_for_the_model_alone():
    import keras

    fitted = run(training.Plan(optimizer=averaging, epochs=1, precision="mixed_bfloat16"))
    assert fitted.model.layers[1].compute_dtype == "bfloat16"
    assert {v.dtype for v in fitted.model.trainable_variables} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("rates", "message"),
    [([], "shape"), ([[1.0]], "shape"), ([0.1, -1.0], "rate of step 1 is -1"), ([np.nan], "step 0 is nan")],
)
def test_wrong_rates_are_named(rates, message):
    with pytest.raises(ValueError, match=message):
        training.tabulated(rates)


def test_a_table_of_rates_is_followed_and_then_holds():
    schedule = training.tabulated([0.5, 0.25])
    assert [float(schedule(step)) for step in (0, 1, 2, 100)] == [0.5, 0.25, 0.25, 0.25]


def test_views_are_averaged():
    model = small()
    x = IMAGES[:4].astype(np.float32)

    def mirrored(images):
        return images[:, :, ::-1]

    both = training.predict_views(model, x, [lambda images: images, mirrored])
    apart = [training.predict_logits(model, view) for view in (x, mirrored(x))]
    np.testing.assert_allclose(both, np.mean(apart, axis=0), rtol=1e-6)
    with pytest.raises(ValueError, match="views is empty"):
        training.predict_views(model, x, [])
    with pytest.raises(ValueError, match="view 0 returns 2 images for 4"):
        training.predict_views(model, x, [lambda images: images[:2]])


def test_the_bar_counts_images_per_second(capsys):
    run(progress=True)
    assert "images/s" in capsys.readouterr().out
