"""nnzen.costs against counts by hand and against TensorFlow's profiler."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from nnzen import runtime
from nnzen.costs import costs


def profiled(function, *shapes):
    """FLOP that TensorFlow's profiler finds in the products of a function of float32 tensors."""
    concrete = tf.function(function).get_concrete_function(*[tf.TensorSpec(shape, tf.float32) for shape in shapes])
    options = tf.compat.v1.profiler.ProfileOptionBuilder(tf.compat.v1.profiler.ProfileOptionBuilder.float_operation())
    with runtime.quiet_stderr():
        found = tf.compat.v1.profiler.profile(concrete.graph, cmd="op", options=options.with_empty_output().build())
    total, waiting = 0, [found]  # a chain of kinds of operations, each with those after it as children
    while waiting:
        node = waiting.pop()
        waiting += node.children
        total += node.float_ops if node.name.startswith(("Conv2D", "DepthwiseConv2d", "MatMul")) else 0
    return total


def inputs(*shape):
    return keras.Input(shape)


def branching():
    x = inputs(9, 8, 4)
    a = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(x)
    b = layers.DepthwiseConv2D((3, 5), strides=2, padding="same", depth_multiplier=2)(x)
    c = layers.SeparableConv2D(5, 3, strides=2, padding="same", depth_multiplier=3)(x)
    y = layers.BatchNormalization()(layers.Concatenate()([a, b, c]))
    y = layers.Conv2D(19, 1, use_bias=False)(y) + y
    return keras.Model(x, layers.Dense(10)(layers.GlobalAveragePooling2D()(y)))


def sequential():
    return keras.Sequential(
        [
            inputs(12, 12, 3),
            layers.Conv2D(4, 5, padding="valid"),
            layers.MaxPooling2D(2),
            layers.ReLU(),
            layers.Dense(7),  # of every position
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10),
        ]
    )


def nested():
    x = inputs(9, 8, 4)
    inner = keras.Sequential([inputs(9, 8, 4), layers.Conv2D(4, 3, padding="same"), layers.ReLU()])
    return keras.Model(x, layers.Dense(3)(layers.Flatten()(inner(x))))


MODELS = [branching, sequential, nested]


@pytest.mark.parametrize("make", MODELS)
def test_forward_flop_are_those_of_the_profiler(make):
    model = make()
    assert costs(model).flop == profiled(model, (1, *model.input_shape[1:])) > 0


@pytest.mark.parametrize("make", MODELS)
def test_parameters_are_those_of_keras(make):
    model = make()
    found = costs(model)
    assert found.parameters == model.count_params()
    assert found.trainable == sum(int(np.prod(w.shape)) for w in model.trainable_weights)


@pytest.mark.parametrize("frozen", [0, 1, 3])
def test_training_flop_are_those_of_the_products_that_tensorflow_makes(frozen):
    model = keras.Sequential([inputs(20), *(layers.Dense(n) for n in (30, 40, 10))])
    for layer in model.layers[:frozen]:
        layer.trainable = False

    def step(x):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([w.value for w in model.trainable_weights])
            y = tf.reduce_sum(model(x))
        return tape.gradient(y, [w.value for w in model.trainable_weights]) if frozen < 3 else y

    assert costs(model).training_flop == profiled(step, (1, 20))


def test_a_grouped_convolution_costs_what_its_groups_cost():
    """Keras compiles it apart, where the profiler does not look, so it is compared with TensorFlow's own operation."""
    model = keras.Sequential([inputs(9, 8, 4), layers.Conv2D(6, 3, padding="same", groups=2)])
    kernel = model.layers[0].kernel.value
    assert kernel.shape == (3, 3, 2, 6)
    assert costs(model).flop == profiled(lambda x: tf.nn.conv2d(x, kernel, 1, "SAME"), (1, 9, 8, 4))


def test_by_hand():
    model = keras.Sequential(
        [
            inputs(28, 28, 1),
            layers.Conv2D(8, 3, padding="same", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Flatten(),
            layers.Dense(10, name="dense"),
        ]
    )
    conv, norm, flat, dense = costs(model).layers[1:]
    products, last = 28 * 28 * 3 * 3 * 8, 28 * 28 * 8 * 10
    assert (conv.name, conv.kind, conv.shape) == ("conv", "Conv2D", (28, 28, 8))
    assert (conv.trainable, conv.other, conv.flop, conv.training_flop) == (80, 0, 2 * products, 4 * products)
    assert (conv.weight_bytes, conv.input_bytes, conv.output_bytes) == (4 * 80, 4 * 784, 4 * 784 * 8)
    assert (norm.trainable, norm.other, norm.flop, norm.weight_bytes) == (16, 16, 0, 4 * 32)
    assert (flat.flop, flat.input_bytes, flat.output_bytes) == (0, 0, 0)
    assert (dense.flop, dense.training_flop) == (2 * last, 6 * last)
    found = costs(model)
    assert found.bytes_moved == 4 * (80 + 784 + 784 * 8 + 32 + 2 * 784 * 8 + (62720 + 10) + 784 * 8 + 10)


def test_a_separable_convolution_saves_one_product_at_the_input():
    model = keras.Sequential([inputs(5, 5, 3), layers.SeparableConv2D(4, 3, padding="same", use_bias=False)])
    deep, point = 2 * 25 * 9 * 3, 2 * 25 * 3 * 4
    assert costs(model).flop == deep + point
    assert costs(model).training_flop == 2 * deep + 3 * point


def test_a_layer_that_is_called_twice_works_twice_and_is_stored_once():
    x = inputs(6)
    shared = layers.Dense(6)
    found = costs(keras.Model(x, shared(shared(x))))
    assert [row.trainable for row in found.layers] == [0, 42, 0]
    assert [row.flop for row in found.layers] == [0, 72, 72]
    assert [row.training_flop for row in found.layers] == [0, 144, 216]


def test_a_frozen_layer_needs_no_gradient_below_it():
    model = sequential()
    model.layers[0].trainable = False
    first, *_, last = (row for row in costs(model).layers if row.flop)
    assert (first.trainable, first.other, first.training_flop) == (0, 304, first.flop)
    assert last.training_flop == 3 * last.flop


def test_nested_layers_say_where_they_are():
    names = [row.name for row in costs(nested()).layers]
    assert any("/conv2d" in name for name in names)


def test_layers_of_another_model_can_be_used_again():
    model = sequential()
    head = keras.Sequential([inputs(12, 12, 3), *model.layers[:3]])
    assert costs(head).flop == next(row.flop for row in costs(model).layers if row.flop)


def test_an_unknown_layer_is_named():
    model = keras.Sequential([inputs(4, 3), layers.LSTM(5, name="memory")])
    with pytest.raises(ValueError, match=r"'memory' is of the kind LSTM"):
        costs(model)


def test_no_graph_and_no_size_are_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match=r"\(Own\) has no graph"):
        costs(Own())
    with pytest.raises(ValueError, match="no graph"):
        costs(keras.Sequential([layers.Dense(3)]))
    with pytest.raises(ValueError, match=r"'pixels'.*None.*fixed image size"):
        costs(keras.Sequential([keras.Input((None, None, 1), name="pixels"), layers.Conv2D(2, 3)]))


def test_table():
    found = costs(sequential())
    text, markup = str(found), found._repr_html_()
    assert text.splitlines()[0].split()[:2] == ["layer", "kind"]
    assert len(text.splitlines()) == len(found.layers) + 2 == markup.count("<tr>")
    assert f"{found.parameters:,}" in text.splitlines()[-1]
    assert repr(found) == text
