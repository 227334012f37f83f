"""nnzen.attribution against closed forms on linear and quadratic models, all orders, SciPy and Keras."""

import doctest
from itertools import permutations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import spearmanr

from nnzen import attribution


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_doctests():
    assert doctest.testmod(attribution).failed == 0


# --- integrated gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_integrated_gradients_of_a_quadratic_are_exact(rng, steps):
    x, baseline = rng.normal(size=(2, 5, 3))
    Q = rng.normal(size=(3, 3))
    Q += Q.T

    phi = attribution.integrated_gradients(lambda x: x @ Q, x, baseline, steps=steps)

    assert_allclose(phi, (x - baseline) * ((x + baseline) @ Q) / 2, atol=1e-12)
    f = [np.einsum("ni,ij,nj->n", z, Q, z) / 2 for z in (x, baseline)]
    assert_allclose(phi.sum(axis=1), f[0] - f[1], atol=1e-12)


def test_integrated_gradients_converge_to_completeness(rng):
    x = rng.normal(size=(4, 6))
    errors = []
    for steps in (4, 8, 16):
        phi = attribution.integrated_gradients(lambda x: np.cos(x), x, 0.0, steps=steps)
        errors.append(np.abs(phi - np.sin(x)).max())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.05)


def test_integrated_gradients_names_bad_steps():
    with pytest.raises(ValueError, match="steps is 0"):
        attribution.integrated_gradients(lambda x: x, [[1.0]], 0.0, steps=0)


# --- occlusion, Grad-CAM ------------------------------------------------------------------------------------


def test_occlusion_of_a_linear_model_is_its_share_of_the_sum(rng):
    x, fill, w = rng.normal(size=(3, 6, 4, 2)), rng.normal(size=(6, 4, 2)), rng.normal(size=(6, 4, 2))

    shown = attribution.occlusion(lambda x: (x * w).sum(axis=(1, 2, 3)), x, fill, window=2, stride=2)

    blocks = ((x - fill) * w).sum(axis=-1).reshape(3, 3, 2, 2, 2).sum(axis=(2, 4))
    assert_allclose(shown, np.repeat(np.repeat(blocks, 2, axis=1), 2, axis=2), atol=1e-12)


def test_occlusion_averages_overlapping_windows():
    image = np.arange(4.0).reshape(1, 1, 4, 1).repeat(2, axis=1)

    shown = attribution.occlusion(lambda x: x.sum(axis=(1, 2, 3)), image, 0.0, window=2, stride=1)

    assert_array_equal(shown[0, 0], [2.0, (2 + 6) / 2, (6 + 10) / 2, 10.0])


@pytest.mark.parametrize(("window", "stride"), [(0, 1), (3, 2), (2, 3), (5, 1), (2, 0)])
def test_occlusion_names_windows_that_do_not_cover(window, stride):
    with pytest.raises(ValueError, match=f"window {window} and stride {stride}"):
        attribution.occlusion(lambda x: x[:, 0, 0, 0], np.zeros((1, 4, 4, 1)), 0.0, window=window, stride=stride)


def test_occlusion_names_a_bad_shape():
    with pytest.raises(ValueError, match=r"\(4, 4\)"):
        attribution.occlusion(lambda x: x, np.zeros((4, 4)), 0.0, window=2, stride=2)


def test_grad_cam_of_averaged_maps_sums_to_the_output(rng):
    maps, w = rng.normal(size=(3, 4, 4, 5)), rng.normal(size=5)
    gradients = np.broadcast_to(w / 16, maps.shape)

    shown = attribution.grad_cam(maps, gradients, (4, 4))

    assert_allclose(shown.sum(axis=(1, 2)), maps.mean(axis=(1, 2)) @ w, atol=1e-12)


def test_grad_cam_enlarges_as_tensorflow_does(rng):
    tf = pytest.importorskip("tensorflow")
    maps = rng.normal(size=(2, 7, 5, 1))

    shown = attribution.grad_cam(maps, np.ones_like(maps), (28, 15))

    assert_allclose(shown, tf.image.resize(maps, (28, 15)).numpy()[..., 0], atol=1e-5)


def test_grad_cam_names_unequal_shapes():
    with pytest.raises(ValueError, match=r"\(1, 2, 2, 3\) and \(1, 2, 2, 4\)"):
        attribution.grad_cam(np.zeros((1, 2, 2, 3)), np.zeros((1, 2, 2, 4)), (4, 4))


def test_input_gradient_of_a_dense_layer_is_its_weights():
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    gradient = attribution.input_gradient(model, output=1)
    kernel = np.arange(6.0).reshape(3, 2)

    model.set_weights([kernel, np.zeros(2)])
    assert_allclose(gradient(np.ones((4, 3))), np.tile(kernel[:, 1], (4, 1)))
    model.set_weights([2 * kernel, np.zeros(2)])  # the function follows
    assert_allclose(gradient(np.ones((2, 3))), np.tile(2 * kernel[:, 1], (2, 1)))


# --- Shapley values -----------------------------------------------------------------------------------------


def by_orders(values, players):
    phi = np.zeros(players)
    orders = list(permutations(range(players)))
    for order in orders:
        present = 0
        for player in order:
            phi[player] += values[present | 1 << player] - values[present]
            present |= 1 << player
    return phi / len(orders)


@pytest.mark.parametrize("players", [1, 2, 3, 5])
def test_shapley_values_are_means_over_orders(rng, players):
    values = rng.normal(size=2**players)
    phi = attribution.shapley(lambda _: values, players)
    assert_allclose(phi, by_orders(values, players), atol=1e-12)
    assert phi.sum() == pytest.approx(values[-1] - values[0])


def linear_game(rng, players):
    w, x, mean = rng.normal(size=(3, players))
    return lambda members: np.where(members, x, mean) @ w, w * (x - mean)


def test_shapley_values_of_a_linear_model(rng):
    value, expected = linear_game(rng, 6)
    assert_allclose(attribution.shapley(value, 6), expected, atol=1e-12)
    assert_allclose(attribution.kernel_shap(value, 6, samples=40, rng=rng), expected, atol=1e-9)


def test_kernel_shap_converges_and_is_efficient(rng):
    values = rng.normal(size=2**6)

    def value(members):
        return values[members @ (1 << np.arange(6))]

    exact = attribution.shapley(value, 6)
    errors = []
    for samples in (200, 20_000):
        runs = [attribution.kernel_shap(value, 6, samples=samples, rng=rng) for _ in range(10)]
        assert_allclose(np.sum(runs, axis=1), values[-1] - values[0])
        errors.append(np.sqrt(np.mean((np.array(runs) - exact) ** 2)))
    assert errors[1] / errors[0] == pytest.approx(0.1, rel=0.6)


@pytest.mark.parametrize("players", [0, 17])
def test_shapley_names_too_few_or_many_players(players):
    with pytest.raises(ValueError, match=f"players is {players}"):
        attribution.shapley(lambda s: s.sum(axis=1), players)


def test_shapley_names_a_value_of_the_wrong_shape():
    with pytest.raises(ValueError, match=r"shape \(3,\) for 4 coalitions"):
        attribution.shapley(lambda _: np.zeros(3), 2)


@pytest.mark.parametrize(("players", "samples"), [(1, 10), (3, 0), (3, 5)])
def test_kernel_shap_names_bad_sizes(rng, players, samples):
    with pytest.raises(ValueError, match=f"players is {players} and samples is {samples}"):
        attribution.kernel_shap(lambda s: s.sum(axis=1), players, samples=samples, rng=rng)


# --- permutation importance, similarity ---------------------------------------------------------------------


def test_permutation_importance_of_least_squares_is_twice_the_squared_weight_times_the_variance(rng):
    x = rng.normal(size=(500, 3)) * [1.0, 2.0, 3.0]
    y = x @ [1.0, -1.0, 0.0] + rng.normal(size=500)
    centred = x - x.mean(axis=0)
    w = np.linalg.lstsq(centred, y - y.mean(), rcond=None)[0]
    c = y.mean() - x.mean(axis=0) @ w

    rise = attribution.permutation_importance(
        lambda x: np.mean((y - c - x @ w) ** 2), x, np.eye(3, dtype=bool), rng, repeats=50
    )

    assert_allclose(rise, 2 * w**2 * x.var(axis=0), rtol=0.05, atol=0.02)


def test_permutation_importance_moves_a_group_together_and_takes_channels_along(rng):
    x = rng.normal(size=(50, 2, 2, 3))
    group = np.array([[True, False], [True, False]])

    def loss(changed):
        assert_array_equal(changed[:, :, 1], x[:, :, 1])
        assert {row.tobytes() for row in changed[:, :, 0]} == {row.tobytes() for row in x[:, :, 0]}
        return 0.0

    assert attribution.permutation_importance(loss, x, [group], rng) == [0.0]


def test_permutation_importance_names_what_is_wrong(rng):
    with pytest.raises(ValueError, match=r"group 1 has shape \(3,\); an input has the shape \(2,\)"):
        attribution.permutation_importance(len, np.zeros((4, 2)), [np.ones(2, bool), np.ones(3, bool)], rng)
    with pytest.raises(ValueError, match="repeats is 0"):
        attribution.permutation_importance(len, np.zeros((4, 2)), [np.ones(2, bool)], rng, repeats=0)


def test_rank_similarity_is_spearmans_correlation_of_absolute_values(rng):
    first, second = rng.integers(-3, 4, size=(2, 5, 4, 4))
    expected = [spearmanr(abs(a).ravel(), abs(b).ravel()).statistic for a, b in zip(first, second, strict=True)]
    assert_allclose(attribution.rank_similarity(first, second), expected, atol=1e-12)


def test_rank_similarity_of_a_constant_map_is_nan():
    assert np.isnan(attribution.rank_similarity([[1, -1]], [[1, 2]])).all()


def test_rank_similarity_names_unequal_shapes():
    with pytest.raises(ValueError, match=r"\(1, 2\) and \(1, 3\)"):
        attribution.rank_similarity([[1, 2]], [[1, 2, 3]])
