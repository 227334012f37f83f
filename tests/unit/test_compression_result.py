"""A compression's result says what was done, and a copy shares nothing with its original."""

import numpy as np
import pytest

from nnzen.compression import Change, Compressed
from nnzen.compression.result import copied


@pytest.fixture(scope="module")
def keras():
    import keras

    return keras


def network(keras):
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((4, 4, 1)), layers.Conv2D(2, 3), layers.BatchNormalization(), layers.Flatten(), layers.Dense(3)],
        name="small",
    )


def test_totals_are_sums_of_the_layers(keras):
    changes = (Change("a", "Dense", 100, 25), Change("b", "Conv2D", 60, 15, "half of the filters"))
    result = Compressed(network(keras), "pruned", "weights that are not 0", changes)
    assert (result.before, result.after) == (160, 40)
    text = str(result)
    assert "small: pruned (weights that are not 0)" in text
    assert text.splitlines()[-1].split() == ["in", "all", "160", "40", "25.0%"]
    assert "half of the filters" in text


def test_text_and_html_show_the_same_cells(keras):
    result = Compressed(network(keras), "a < b", "bytes", (Change("a", "Dense", 1000, 0), Change("b", "Dense", 0, 0)))
    shown = result._repr_html_()
    assert "a &lt; b" in shown
    assert "<td>1,000</td><td>0</td><td>0.0%</td>" in shown
    assert "<td>–</td>" in shown


def test_a_copy_predicts_the_same_and_shares_no_weights(keras):
    model = network(keras)
    copy = copied(model)
    x = np.random.default_rng(0).random((5, 4, 4, 1), np.float32)
    before = model.get_weights()
    np.testing.assert_array_equal(copy(x), model(x))
    assert [layer.name for layer in copy.layers] == [layer.name for layer in model.layers]
    copy.set_weights([w + 1 for w in copy.get_weights()])
    for old, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)


def test_what_a_model_was_compiled_with_is_no_matter(keras):
    class Schedule(keras.optimizers.schedules.LearningRateSchedule):  # Keras could not make it again from its name
        def __call__(self, step):
            return 0.1

        def get_config(self):
            return {}

    model = network(keras)
    model.compile(keras.optimizers.SGD(Schedule()), "mse")
    assert not copied(model).compiled
    assert model.compiled


def test_what_cannot_be_copied_is_said(keras):
    with pytest.raises(TypeError, match="model is a list"):
        copied([1])
    with pytest.raises(ValueError, match="no graph of layers"):
        copied(keras.Sequential([keras.layers.Dense(2)], name="unbuilt"))
