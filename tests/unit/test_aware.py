"""Quantization-aware training: its grids against a search, its gradients against those of a float network."""

import numpy as np
import pytest

from nnzen.compression import converted, quantization_aware

BITS = (1, 2, 3, 4, 8)


@pytest.fixture(scope="module")
def keras():
    import keras

    return keras


def network(keras):
    layers = keras.layers
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(5, 3, activation="relu", bias_initializer="normal", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Flatten(name="flat"),
            layers.Dense(7, activation="relu", bias_initializer="normal", name="hidden"),
            layers.Dense(3, use_bias=False, name="out"),
        ],
        name="network",
    )
    rng = np.random.default_rng(1)
    model.get_layer("norm").set_weights([rng.random(5) + 0.5 for _ in range(4)])
    return model


def images():
    rng = np.random.default_rng(2)
    return rng.normal(size=(64, 6, 6, 2)).astype(np.float32), rng.integers(0, 3, 64)


def levels(bits):
    n = 2 ** (bits - 1) - 1
    return np.arange(-n, n + 1) if bits > 1 else np.array([-1, 1])


@pytest.mark.parametrize("bits", BITS)
def test_a_kernel_is_the_nearest_of_few_multiples_of_its_step(keras, bits):
    model = network(keras)
    before = [w.copy() for w in model.get_weights()]
    aware = quantization_aware(model, bits)
    for old, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)
    for name in ("conv", "hidden", "out"):
        kernel, layer = model.get_layer(name).get_weights()[0], aware.get_layer(name)
        assert layer.scale.shape == kernel.shape[-1:]
        choices = layer.scale[..., None] * levels(bits)  # (C, L)
        distance = abs(kernel[..., None] - choices)
        nearest = np.take_along_axis(choices[(None,) * (kernel.ndim - 1)], distance.argmin(-1)[..., None], -1)
        np.testing.assert_allclose(layer.kernel, nearest[..., 0], rtol=1e-6)


def test_the_step_of_one_bit_has_the_least_error(keras):
    model = network(keras)
    kernel = model.get_layer("hidden").get_weights()[0]
    for per_channel in (True, False):
        scale = quantization_aware(model, 1, per_channel=per_channel).get_layer("hidden").scale
        columns = kernel if per_channel else kernel.reshape(-1, 1)
        tried = np.linspace(0, 2, 20001)[:, None] * np.abs(columns).max()
        signs = np.where(columns >= 0, 1, -1)
        # the sum of (w − t·sign)² as a polynomial in t, not simplified
        errors = (columns**2).sum(0) - 2 * tried * (columns * signs).sum(0) + tried**2 * len(columns)
        np.testing.assert_allclose(np.ravel(scale), tried[errors.argmin(0), 0], atol=2e-4)


def gradients(model, x, y):
    import keras
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, model(x, training=False))
    return [np.asarray(g) for g in tape.gradient(loss, model.trainable_variables)]


@pytest.mark.parametrize("bits", BITS)
def test_gradients_are_those_of_a_float_network_at_the_rounded_weights_and_0_outside(keras, bits):
    x, y = images()
    aware = quantization_aware(network(keras), bits)
    rng = np.random.default_rng(3)
    outside = {}
    for name in ("conv", "hidden", "out"):
        latent, end = aware.get_layer(name).latent, aware.get_layer(name).end
        latent.assign(rng.uniform(-1.5, 1.5, latent.shape) * end)
        outside[name] = abs(np.asarray(latent)) > end
        assert 0.2 < outside[name].mean() < 0.6
    plain = converted(aware).model
    names = [(v.path.split("/")[-2], v.name) for v in plain.trainable_variables]
    found = gradients(aware, x, y)
    for (layer, what), expected, got in zip(names, gradients(plain, x, y), found, strict=True):
        if what == "kernel":
            assert not got[outside[layer]].any()
            expected = np.where(outside[layer], 0, expected)
        assert got.any()
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_training_lowers_the_loss_and_the_result_computes_the_same(keras, bits):
    from nnzen import training

    x, y = images()
    model = network(keras)
    plan = training.Plan(
        lambda steps: keras.optimizers.Adam(training.tabulated([0.01] * steps)), epochs=5, batch_size=16
    )
    fitted = training.fit(lambda: quantization_aware(model, bits), x, y, plan, seed=0)
    assert fitted.history["loss"][-1] < fitted.history["loss"][0]
    result = converted(fitted.model)
    assert [type(layer) for layer in result.model.layers] == [type(layer) for layer in model.layers]
    np.testing.assert_array_equal(result.model(x), fitted.model(x))
    np.testing.assert_array_equal(result.model.predict(x, verbose=0), fitted.model.predict(x, verbose=0))
    for name in ("conv", "hidden", "out"):
        layer = fitted.model.get_layer(name)
        assert (abs(np.asarray(layer.latent)) <= layer.end).all()
        columns = result.model.get_layer(name).get_weights()[0].reshape(-1, len(layer.scale))
        assert all(len(np.unique(column)) <= len(levels(bits)) for column in columns.T)
        assert not np.array_equal(layer.latent, quantization_aware(model, bits).get_layer(name).latent)


def test_layers_can_be_named_and_bytes_are_counted(keras):
    model = network(keras)
    result = converted(quantization_aware(model, {"hidden": 3}, per_channel=False))
    (change,) = result.changes
    assert (change.layer, change.before) == ("hidden", 4 * (80 * 7 + 7))
    assert change.after == 80 * 7 * 3 // 8 + 4 * 7 + 4
    for name in ("conv", "norm", "out"):
        for old, new in zip(
            model.get_layer(name).get_weights(), result.model.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("bits", [1, 2, 8])
def test_a_kernel_of_zeros_stays_one(keras, bits):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.set_weights([np.zeros((3, 2)), np.zeros(2)])
    assert not np.asarray(converted(quantization_aware(model, bits)).model(np.ones((1, 3)))).any()


def test_what_cannot_be_quantized_is_named(keras):
    layers = keras.layers
    model = network(keras)
    depthwise = keras.Sequential([keras.Input((4, 4, 2)), layers.DepthwiseConv2D(3, name="deep")])
    empty = keras.Sequential([keras.Input((1,)), layers.ReLU()], name="none")
    for call, message in (
        (lambda: quantization_aware(depthwise, 4), r"'deep' \(DepthwiseConv2D\)"),
        (lambda: quantization_aware(empty, 4), "'none' has no layer"),
        (lambda: quantization_aware(model, {"norm": 4}), "no layer 'norm' with a kernel; there are conv, hidden, out"),
        (lambda: quantization_aware(model, 0), "bits of 'conv' are 0"),
        (lambda: quantization_aware(model, {"out": 9}), "bits of 'out' are 9"),
        (lambda: quantization_aware(model, True), "bits of 'conv' are True"),
        (lambda: converted(model), "'network' has no quantization-aware layer"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="must be a Keras model"):
        quantization_aware("network", 2)
