"""Pruning against plain NumPy, masked forward passes, and training that must not wake what was pruned."""

import itertools

import numpy as np
import pytest

from nnzen.compression import cubic_sparsity, keep_zeros, masks, prune, prune_channels, prune_gradually
from nnzen.training import Plan, fit


@pytest.fixture(scope="module")
def keras():
    import keras

    return keras


def small(keras, activation="relu"):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Rescaling(0.5),
            layers.Conv2D(6, 3, padding="same", activation=activation, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.MaxPooling2D(2),
            layers.Conv2D(5, 3, name="conv_2"),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(7, activation=activation, name="hidden"),
            layers.Dense(3, name="out"),
        ],
        name="small",
    )
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.2, 1, w.shape) * rng.choice([-1, 1], w.shape) for w in model.get_weights()])
    norm = model.get_layer("norm")
    norm.set_weights([np.abs(w) for w in norm.get_weights()])
    return model


def kernel(model, name):
    return np.asarray(model.get_layer(name).kernel)


def images(n=9):
    return np.random.default_rng(1).random((n, 8, 8, 2), np.float32)


# --- single weights -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0, 0.3, 0.5, 1])
def test_the_smallest_weights_of_each_kernel_go(keras, share):
    model = small(keras)
    before = model.get_weights()
    pruned = prune(model, share)
    for name in ("conv", "conv_2", "hidden", "out"):
        old, new = kernel(model, name), kernel(pruned.model, name)
        limit = np.sort(np.abs(old), axis=None)[round(share * old.size) :]
        expected = np.where(np.abs(old) >= limit[0], old, 0) if limit.size else 0 * old
        np.testing.assert_array_equal(new, expected)
    for old, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)  # the one that was given is as it was
    np.testing.assert_array_equal(*(m.get_layer("out").bias for m in (model, pruned.model)))
    assert pruned.before == sum(kernel(model, n).size for n in ("conv", "conv_2", "hidden", "out"))
    assert pruned.after == sum(int(m.sum()) for m in masks(pruned.model).values())


def test_one_order_for_all_kernels(keras):
    model = small(keras)
    pruned = prune(model, 0.4, scope="global").model
    sizes = np.concatenate([np.abs(kernel(model, n)).ravel() for n in masks(model)])
    kept = np.concatenate([mask.ravel() for mask in masks(pruned).values()])
    assert (~kept).sum() == round(0.4 * kept.size)
    assert sizes[~kept].max() <= sizes[kept].min()


def test_a_mapping_prunes_what_it_names(keras):
    pruned = prune(small(keras), {"hidden": 0.5}).model
    assert masks(pruned)["hidden"].mean() == pytest.approx(0.5, abs=0.01)
    assert all(masks(pruned)[name].all() for name in ("conv", "conv_2", "out"))


def test_given_scores_decide_and_the_first_of_equal_ones_go(keras):
    model = small(keras)
    scores = {name: np.zeros(mask.shape) for name, mask in masks(model).items()}
    scores["out"][6, 1] = -1
    flat = masks(prune(model, 0.5, by=scores).model)
    first = np.arange(21) >= 10
    first[[6 * 3 + 1, 9]] = False, True  # the one with the smallest score took the place of the tenth
    np.testing.assert_array_equal(flat["out"].ravel(), first)


def test_a_second_pruning_starts_with_the_zeros_of_the_first(keras):
    once = prune(small(keras), 0.5).model
    twice = prune(once, 0.75).model
    for name, mask in masks(twice).items():
        assert not (mask & ~masks(once)[name]).any()
        assert (~mask).sum() == round(0.75 * mask.size)


# --- during training ----------------------------------------------------------------------------------------


def plan(keras, epochs=3):
    return Plan(lambda steps: keras.optimizers.Adam(0.01), epochs=epochs, batch_size=8)


def test_zeros_stay_and_the_others_learn(keras):
    x, y = images(40), np.arange(40) % 3
    pruned = prune(small(keras), 0.6).model
    wanted = masks(pruned)
    trained = fit(lambda: keep_zeros(pruned), x, y, plan(keras), seed=0).model
    for name, mask in masks(trained).items():
        np.testing.assert_array_equal(mask, wanted[name])
        assert (kernel(trained, name) != kernel(pruned, name))[mask].mean() > 0.2  # some units are dead
    free = fit(lambda: pruned, x, y, plan(keras), seed=0).model
    assert masks(free)["hidden"].mean() > 0.7  # without the constraint they wake up


def test_gradual_pruning_follows_the_schedule(keras):
    x, y = images(40), np.arange(40) % 3
    model = small(keras)
    seen = []

    def build():
        gradual = prune_gradually(model, 0.8, begin=3, end=13, every=2)
        gradual.get_layer("out").kernel.constraint.final = 0.0  # a schedule of its own, to see each is its own
        return gradual

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append({name: mask.copy() for name, mask in masks(self.model).items()})

    gradual = build()
    gradual.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    gradual.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[Look()])
    size = seen[0]["hidden"].size
    done = [step if step in (4, 6, 8, 10, 12, 13) else None for step in range(1, 16)]
    expected, last = [], 0
    for step in done:
        last = last if step is None else round(float(cubic_sparsity(step - 3, 0.8, end=10)) * size)
        expected.append(last)
    assert [int((~look["hidden"]).sum()) for look in seen] == expected
    assert all(look["out"].all() for look in seen)
    for before, after in itertools.pairwise(seen):
        assert not (after["hidden"] & ~before["hidden"]).any()
    trained = fit(build, x, y, plan(keras), seed=0).model
    assert (~masks(trained)["hidden"]).sum() == round(0.8 * size)


def test_what_is_pruned_in_training_is_plus_zero(keras):
    x, y = images(40), np.arange(40) % 3
    model = small(keras)
    for build in (lambda: keep_zeros(prune(model, 0.6).model), lambda: prune_gradually(model, 0.6, end=10)):
        trained = fit(build, x, y, plan(keras), seed=0).model
        for name, mask in masks(trained).items():
            assert not np.signbit(kernel(trained, name)[~mask]).any()  # -0 is no 0 to an exact file format


def test_the_cubic_schedule():
    np.testing.assert_allclose(cubic_sparsity([0, 10, 20, 30, 99], 0.9, begin=10, end=30), [0, 0, 0.7875, 0.9, 0.9])
    rise = np.diff(cubic_sparsity(np.arange(101), 0.9, end=100))
    assert (np.diff(rise) < 0).all()
    assert rise[0] == pytest.approx(0.9 * (1 - 0.99**3))


# --- channels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_the_smaller_network_computes_what_the_masked_one_does(keras, activation):
    model = small(keras, activation)
    shares = {"conv": 0.5, "conv_2": 0.4, "hidden": 0.3}
    smaller = prune_channels(model, shares)
    assert [kernel(smaller.model, n).shape[-1] for n in (*shares, "out")] == [3, 3, 5, 3]
    masked = small(keras, activation)
    for name, reader in (("conv", "conv_2"), ("conv_2", "hidden"), ("hidden", "out")):
        length = np.sqrt((kernel(model, name) ** 2).sum(axis=tuple(range(kernel(model, name).ndim - 1))))
        gone = np.argsort(length)[: round(shares[name] * length.size)]
        w = kernel(model, reader).copy()
        if reader == "hidden":  # 2 × 2 positions of 5 channels
            w.reshape(2, 2, 5, 7)[:, :, gone] = 0
        else:
            w[..., gone, :] = 0
        masked.get_layer(reader).kernel.assign(w)
    x = images()
    np.testing.assert_allclose(smaller.model(x), masked(x), rtol=1e-5, atol=1e-5)
    assert np.abs(np.asarray(model(x)) - masked(x)).max() > 1e-2
    assert smaller.after == smaller.model.count_params()
    assert smaller.before == model.count_params()


def test_one_channel_is_left_and_none_removed_changes_nothing(keras):
    model = small(keras)
    assert [kernel(prune_channels(model, 1).model, n).shape[-1] for n in ("conv", "conv_2", "hidden", "out")] == [
        *(1, 1, 1, 3)
    ]
    np.testing.assert_array_equal(prune_channels(model, 0).model(images()), model(images()))


def test_given_scores_choose_channels(keras):
    layers = keras.layers
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, name="a"), layers.Dense(2, name="b")])
    smaller = prune_channels(model, 0.5, by={"a": [3, 0, 2, 1]}).model
    np.testing.assert_array_equal(kernel(smaller, "a"), kernel(model, "a")[:, [0, 2]])
    np.testing.assert_array_equal(kernel(smaller, "b"), kernel(model, "b")[[0, 2]])


# --- errors -------------------------------------------------------------------------------------------------


def test_errors_name_what_is_wrong(keras):
    layers, model = keras.layers, small(keras)
    for call, message in (
        (lambda: prune(model, 1.5), "share is 1.5"),
        (lambda: prune(model, {"hiden": 0.5}), "no layer 'hiden'"),
        (lambda: prune(model, {"hidden": -1}), "'hidden' is -1"),
        (lambda: prune(model, 0.5, by="size"), "by is 'size'"),
        (lambda: prune(model, 0.5, scope="all"), "scope is 'all'"),
        (lambda: prune(model, {"out": 0.5}, scope="global"), "given by layer"),
        (lambda: prune(model, 0.5, by={"out": np.ones((7, 3))}), "no scores for layer 'conv'"),
        (lambda: prune(model, {"out": 0.5}, by={"out": np.ones((3, 7))}), r"'out' have shape \(3, 7\)"),
        (lambda: prune(model, {"out": 0.5}, by={"out": np.full((7, 3), np.nan)}), "hold nan"),
        (lambda: prune_gradually(model, 0.5, begin=5, end=5), "begin is 5 and end 5"),
        (lambda: prune_gradually(model, 0.5, end=5, every=0), "every is 0"),
        (lambda: cubic_sparsity(0, 2, end=1), "final is 2"),
        (lambda: prune_channels(model, {"out": 0.5}), "no layer 'out' to prune"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    recurrent = keras.Sequential([keras.Input((4, 2)), layers.LSTM(3, name="memory"), layers.Dense(2)])
    for function in (lambda m: prune(m, 0.5), keep_zeros, masks, lambda m: prune_channels(m, 0.5)):
        with pytest.raises(ValueError, match="'memory'"):
            function(recurrent)
    with pytest.raises(ValueError, match="no layer with a kernel"):
        masks(keras.Sequential([keras.Input((4,)), layers.ReLU()]))


def test_what_is_no_chain_is_named(keras):
    layers = keras.layers
    inputs = keras.Input((4,))
    a = layers.Dense(4, name="a")(inputs)
    b = layers.Dense(3, name="b")(inputs)
    with pytest.raises(ValueError, match="'b' does not read"):
        prune_channels(keras.Model(inputs, [a, b]), 0.5)
    grouped = keras.Sequential([keras.Input((4, 4, 2)), layers.Conv2D(4, 3, groups=2, name="g"), layers.Flatten()])
    with pytest.raises(ValueError, match="'g' has 2 groups"):
        prune_channels(grouped, 0.5)
    soft = keras.Sequential([keras.Input((4,)), layers.Dense(4, activation="softmax", name="s"), layers.Dense(2)])
    with pytest.raises(ValueError, match="'s' divides by a sum"):
        prune_channels(soft, 0.5)
