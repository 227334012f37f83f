"""Weight sharing: means against scikit-learn, and gradients of a codebook against sums of gradients of weights."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from sklearn.cluster import KMeans

from nnzen.compression import share, tied, untied
from nnzen.compression.sharing import kmeans


@pytest.fixture(scope="module")
def keras():
    import keras

    return keras


values = st.lists(st.integers(-50, 50), min_size=1, max_size=60).map(lambda numbers: np.array(numbers) / 8)


@given(values, st.integers(1, 12))
def test_means_are_those_of_the_values_nearest_to_them(x, clusters):
    means = kmeans(x, clusters)
    assert 1 <= len(means) <= clusters or len(means) == len(np.unique(x)) <= clusters
    assert (np.diff(means) > 0).all()
    nearest = abs(x[:, None] - means).argmin(1)
    for k in range(len(means)):
        assert means[k] == pytest.approx(x[nearest == k].mean())


def test_means_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.normal(size=4000)
    start = np.linspace(x.min(), x.max(), 8)
    theirs = KMeans(8, init=start[:, None], n_init=1, tol=0, max_iter=1000).fit(x[:, None])
    np.testing.assert_allclose(kmeans(x, 8), np.sort(theirs.cluster_centers_[:, 0]), rtol=1e-4)


@pytest.mark.parametrize(("x", "clusters"), [([], 2), ([np.nan, 1], 2), ([1.0], 0), ([1.0], True), ([1.0], 1.5)])
def test_what_has_no_means_is_said(x, clusters):
    with pytest.raises(ValueError, match=r"values has|clusters is"):
        kmeans(x, clusters)


def pruned(keras):
    """A network half of whose kernel weights are 0, or −0."""
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
        name="pruned",
    )
    rng = np.random.default_rng(1)
    for name in ("conv", "hidden", "out"):
        kernel = model.get_layer(name).kernel
        kernel.assign(kernel.numpy() * (rng.random(kernel.shape) < 0.5))
    model.get_layer("norm").set_weights([rng.random(5) + 0.5 for _ in range(4)])
    return model


def test_kernels_have_few_values_and_their_zeros(keras):
    model = pruned(keras)
    before = [w.copy() for w in model.get_weights()]
    result = share(model, 4, bias_clusters=2)
    for old, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)
    for layer, new in zip(model.layers, result.model.layers, strict=True):
        if layer.name in ("conv", "hidden", "out"):
            kernel = new.get_weights()[0]
            assert len(np.unique(kernel[kernel != 0])) <= 4
            np.testing.assert_array_equal(kernel == 0, layer.get_weights()[0] == 0)
            assert not np.signbit(kernel[kernel == 0]).any()
            np.testing.assert_array_equal(kernel, kernel.astype(np.float16))
            assert all(len(np.unique(bias)) <= 2 for bias in new.get_weights()[1:])
    np.testing.assert_array_equal(result.model.get_layer("norm").gamma, model.get_layer("norm").gamma)
    assert [(c.layer, c.after <= 4) for c in result.changes] == [("conv", True), ("hidden", True), ("out", True)]


def test_enough_clusters_change_nothing_but_the_precision(keras):
    model = pruned(keras)
    for old, new in zip(model.get_weights(), share(model, 1000).model.get_weights(), strict=True):
        np.testing.assert_allclose(new, old, rtol=2**-11, atol=2**-25)


def test_layers_can_be_named(keras):
    model = pruned(keras)
    result = share(model, {"hidden": 3})
    assert [change.layer for change in result.changes] == ["hidden"]
    np.testing.assert_array_equal(result.model.get_layer("out").kernel, model.get_layer("out").kernel)


def gradients(keras, model, x, y):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = keras.ops.mean((model(x) - y) ** 2)
    return [np.asarray(g) for g in tape.gradient(loss, model.trainable_variables)]


def test_a_tied_model_computes_the_same_and_its_gradients_are_sums(keras):
    model = share(pruned(keras), 4, bias_clusters=3).model
    model.get_layer("norm").trainable = False
    copy = tied(model)
    rng = np.random.default_rng(2)
    x, y = rng.random((8, 6, 6, 2), np.float32), rng.random((8, 3), np.float32)
    np.testing.assert_array_equal(copy(x), model(x))
    of_weights = gradients(keras, model, x, y)
    of_values = gradients(keras, copy, x, y)
    tensors = [np.asarray(variable) for variable in model.trainable_variables]
    assert len(of_values) == len(of_weights)
    for weights, gradient, codebook in zip(tensors, of_weights, of_values, strict=True):
        sums = [gradient[weights == value].sum() for value in np.unique(weights[weights != 0])]
        np.testing.assert_allclose(codebook, sums, rtol=1e-4, atol=1e-6)


def test_training_moves_values_together_and_keeps_zeros(keras):
    from nnzen import training

    model = share(pruned(keras), 4, bias_clusters=3).model
    rng = np.random.default_rng(3)
    x, y = rng.random((64, 6, 6, 2), np.float32), rng.integers(0, 3, 64)
    plan = training.Plan(
        lambda steps: keras.optimizers.Adam(training.tabulated([0.01] * steps)), epochs=3, batch_size=16
    )
    fitted = training.fit(lambda: tied(model), x, y, plan, seed=0)
    assert fitted.history["loss"][-1] < fitted.history["loss"][0]
    after = untied(fitted.model)
    assert [type(layer) for layer in after.layers] == [type(layer) for layer in model.layers]
    np.testing.assert_allclose(after(x), fitted.model(x), atol=0.02)
    for name in ("conv", "hidden", "out"):
        for old, new in zip(model.get_layer(name).get_weights(), after.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(new == 0, old == 0)
            assert not np.array_equal(new, old)
            for value in np.unique(old):
                assert len(np.unique(new[old == value])) == 1


def test_a_layer_without_weights_that_are_not_zero_can_be_tied(keras):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.set_weights([np.zeros((3, 2)), np.zeros(2)])
    assert not np.asarray(untied(tied(share(model, 2).model))(np.ones((1, 3)))).any()


def test_what_cannot_be_shared_is_named(keras):
    layers = keras.layers
    depthwise = keras.Sequential([keras.Input((4, 4, 2)), layers.DepthwiseConv2D(3, name="deep")])
    large = keras.Sequential(
        [keras.Input((1,)), layers.Dense(1, kernel_initializer=keras.initializers.Constant(1e6), name="big")]
    )
    empty = keras.Sequential([keras.Input((1,)), layers.ReLU()], name="none")
    for call, message in (
        (lambda: share(depthwise, 4), r"'deep' \(DepthwiseConv2D\)"),
        (lambda: tied(depthwise), r"'deep' \(DepthwiseConv2D\)"),
        (lambda: share(large, 4), "'big' has the weight 1000000.0"),
        (lambda: share(large, {"nope": 4}), "no layer 'nope'"),
        (lambda: share(large, 0), "'big' is 0"),
        (lambda: share(large, 4, bias_clusters=0), "bias_clusters is 0"),
        (lambda: share(empty, 4), "'none'.*nothing to share"),
        (lambda: untied(large), "no tied layer"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call()
