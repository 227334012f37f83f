"""Muon for Keras: the library's NumPy Muon on kernels, Keras' own momentum on all else."""

from __future__ import annotations

import numpy as np
import pytest

from nnzen.mathematics import optimizers
from nnzen.muon import muon

RNG = np.random.default_rng(0)


def model():
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(5, 3, name="first"),
            layers.Flatten(),
            layers.Dense(7, name="hidden"),
            layers.Dense(2, name="logits"),
        ]
    )


def after(optimizer, gradients):
    built = model()
    variables = built.trainable_variables
    for step in gradients:
        optimizer.apply(step, variables)
    return {name(v): v.numpy() for v in variables}


def name(variable):  # of the layer, and of the variable in it
    return "/".join(variable.path.split("/")[-2:])


def draw(steps):
    return [[RNG.normal(size=v.shape).astype("float32") for v in model().trainable_variables] for _ in range(steps)]


def test_kernels_follow_the_numpy_muon_with_a_column_for_each_output_channel():
    gradients = draw(4)
    ours = after(muon(0.1, momentum=0.8), gradients)
    named = {name(v): (k, v) for k, v in enumerate(model().trainable_variables)}
    for path in ("first/kernel", "hidden/kernel"):
        k, variable = named[path]
        oracle = optimizers.Muon(0.1, momentum=0.8, rms=None)
        theta = variable.numpy().reshape(-1, variable.shape[-1])
        for step in gradients:
            theta = oracle.step(theta, step[k].reshape(theta.shape))
        np.testing.assert_allclose(ours[path].reshape(theta.shape), theta, rtol=1e-3, atol=1e-4)


def test_all_else_follows_nesterovs_momentum_as_keras_has_it():
    import keras

    gradients = draw(4)
    ours = after(muon(0.1, momentum=0.8, biases=0.5), gradients)
    kernels = after(keras.optimizers.SGD(0.1, momentum=0.8, nesterov=True), gradients)
    biases = after(keras.optimizers.SGD(0.05, momentum=0.8, nesterov=True), gradients)
    np.testing.assert_allclose(ours["logits/kernel"], kernels["logits/kernel"], rtol=1e-5, atol=1e-6)
    for path in ("first/bias", "hidden/bias", "logits/bias"):
        np.testing.assert_allclose(ours[path], biases[path], rtol=1e-5, atol=1e-6)


def test_a_step_changes_a_kernel_by_about_the_rate_in_every_direction():
    ours = after(muon(0.1, momentum=0.0), draw(1))
    start = {name(v): v.numpy() for v in model().trainable_variables}
    moved = (ours["first/kernel"] - start["first/kernel"]).reshape(-1, 5)
    size = np.linalg.svd(moved, compute_uv=False)
    assert (size > 0.06).all()
    assert (size < 0.13).all()


@pytest.mark.parametrize(
    ("arguments", "value"),
    [({"momentum": 1.0}, "1.0"), ({"biases": 0.0}, "0.0"), ({"biases": float("inf")}, "inf")],
)
def test_a_number_out_of_range_is_named(arguments, value):
    with pytest.raises(ValueError, match=value):
        muon(0.1, **arguments)


def test_an_output_layer_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match=r"'head'.*first, hidden, logits"):
        muon(0.1, output="head").build(model().trainable_variables)
