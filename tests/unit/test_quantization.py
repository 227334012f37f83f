"""Grids keep what the definition says, and a simulated network computes what whole numbers would."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nnzen.compression import Affine, quantize
from nnzen.compression.quantization import CALIBRATIONS

FINITE = st.floats(-1e6, 1e6, allow_subnormal=False)
BITS = st.integers(2, 8)


@pytest.fixture(scope="module")
def keras():
    import keras

    return keras


# --- grids --------------------------------------------------------------------------------------------------


@given(arrays(np.float64, st.integers(1, 20), elements=FINITE), BITS, st.booleans())
def test_a_round_trip_within_the_range_is_off_by_half_a_step(x, bits, signed):
    grid = Affine.fit(x, bits=bits, signed=signed)
    assert np.abs(grid.rounded(x) - x).max() <= grid.scale / 2 * (1 + 1e-9)


@given(arrays(np.float64, st.integers(1, 20), elements=FINITE), BITS, st.booleans(), st.sampled_from(CALIBRATIONS))
@example(np.array([3.0, 5.0]), 2, False, "minmax")
@example(np.array([-3.0, -5.0]), 2, True, "percentile")
@example(np.array([0.0]), 8, True, "mse")
@example(np.array([5e-324]), 8, True, "minmax")
def test_zero_is_exact(x, bits, symmetric, method):
    grid = Affine.fit(x, bits=bits, symmetric=symmetric, method=method)
    assert grid.rounded(0.0) == 0
    assert grid.dequantize(np.asarray(grid.zero_point)) == 0
    if symmetric:
        assert (grid.zero_point, grid.lowest) == (0, -grid.highest)


@given(FINITE, st.floats(1e-3, 1e3), st.integers(-8, 7))
def test_quantize_is_the_definition_in_exact_arithmetic(x, scale, zero):
    grid = Affine(scale, zero, bits=4)
    exact = Fraction(x) / Fraction(scale)
    if abs(exact % 1 - Fraction(1, 2)) < Fraction(1, 10**9):
        return  # float64 may round to the other side of a tie
    assert grid.quantize(x) == min(7, max(-8, round(exact) + zero))


@given(arrays(np.int64, 5, elements=st.integers(-128, 127)), st.floats(1e-6, 1e6), st.integers(-128, 127))
def test_numbers_of_the_grid_stay_where_they_are(q, scale, zero):
    grid = Affine(scale, zero)
    np.testing.assert_array_equal(grid.quantize(grid.dequantize(q)), q)


def test_what_lies_outside_is_clipped():
    assert Affine(0.1, 0).quantize([1e300, -1e300, 12.7, 12.8]).tolist() == [127, -128, 127, 127]
    assert Affine(0.1, 0, signed=False).quantize([-1.0, 99.0]).tolist() == [0, 255]
    assert Affine(0.1, 0, narrow=True).quantize([-99.0]).tolist() == [-127]
    low, high = Affine(0.5, 3, bits=4).ends
    assert (low, high) == (-5.5, 2)


def test_ties_go_to_the_even_number():
    assert Affine(1.0).quantize([-1.5, -0.5, 0.5, 1.5, 2.5]).tolist() == [-2, 0, 0, 2, 2]


@pytest.mark.parametrize(
    ("bits", "signed", "dtype"), [(2, True, "int8"), (8, False, "uint8"), (9, True, "int16"), (16, False, "uint16")]
)
def test_the_smallest_type_that_holds_them(bits, signed, dtype):
    grid = Affine(1.0, bits=bits, signed=signed)
    q = grid.quantize([-1e9, 1e9])
    assert q.dtype == dtype
    assert q.tolist() == [grid.lowest, grid.highest]
    assert grid.highest - grid.lowest == 2**bits - 1


def test_channels_have_grids_of_their_own():
    x = np.random.default_rng(0).normal(size=(3, 3, 2, 5)) * 10.0 ** np.arange(5)
    together = Affine.fit(x, symmetric=True, per_channel=True, method="mse")
    for c in range(5):
        alone = Affine.fit(x[..., c], symmetric=True, method="mse")
        assert together.scale[c] == alone.scale
        np.testing.assert_array_equal(together.rounded(x)[..., c], alone.rounded(x[..., c]))
    assert Affine.fit(np.zeros((2, 3)), per_channel=True).scale.tolist() == [1, 1, 1]


def test_percentile_leaves_outliers_out():
    x = np.append(np.linspace(-1, 1, 9999), 1e6)
    grid = Affine.fit(x, method="percentile", share=0.999)
    low, high = grid.ends
    assert low == pytest.approx(-1, abs=0.02)
    assert high == pytest.approx(1, abs=0.02)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_mse_is_the_best_of_its_shares_and_no_worse_than_minmax(seed, bits):
    x = np.random.default_rng(seed).standard_t(3, size=300)

    def error(grid):
        return np.mean((grid.rounded(x) - x) ** 2)

    best = min(error(Affine.fit([c * x.min() / 100, c * x.max() / 100], bits=bits)) for c in range(1, 101))
    assert error(Affine.fit(x, bits=bits, method="mse")) == pytest.approx(best)


def test_mse_of_many_values_is_nearly_that_of_all():
    x = np.random.default_rng(0).standard_t(4, size=50_000)
    grid = Affine.fit(x, bits=4, method="mse")
    shares = [Affine.fit([c * x.min(), c * x.max()], bits=4) for c in np.arange(1, 101) / 100]
    errors = [np.mean((g.rounded(x) - x) ** 2) for g in shares]
    assert np.mean((grid.rounded(x) - x) ** 2) <= 1.001 * min(errors)


def test_mse_clip_of_a_gaussian_is_that_of_numerical_integration():
    from scipy import integrate, optimize, stats

    def error(clip):  # 15 numbers from -clip to clip
        s = clip / 7
        q = np.arange(-7, 8)
        edges = np.concatenate([[-12], s * (q[:-1] + 0.5), [12]])
        parts = zip(q, edges[:-1], edges[1:], strict=True)
        return sum(integrate.quad(lambda v, k=k: (v - s * k) ** 2 * stats.norm.pdf(v), a, b)[0] for k, a, b in parts)

    best = optimize.minimize_scalar(error, bounds=(1, 5), method="bounded").x
    x = np.random.default_rng(0).normal(size=100_000)
    found = Affine.fit(x, bits=4, symmetric=True, method="mse").ends[1]
    assert found == pytest.approx(best, rel=0.03)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(bad):
    with pytest.raises(ValueError, match="x holds 2 numbers that are NaN or infinite"):
        Affine(1.0).quantize([1.0, bad, bad])
    with pytest.raises(ValueError, match="values holds 1 numbers that are NaN or infinite"):
        Affine.fit([1.0, bad])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0.0}, r"scale is 0\.0; it must be positive and finite"),
        ({"scale": math.nan}, "scale is nan"),
        ({"scale": [[1.0]]}, "one or one for each channel"),
        ({"scale": 1.0, "bits": 1}, "bits is 1; it must be a whole number from 2 to 16"),
        ({"scale": 1.0, "bits": 4.0}, r"bits is 4\.0"),
        ({"scale": 1.0, "zero_point": 128}, "zero_point is 128; it must be a whole number from -128 to 127"),
        ({"scale": 1.0, "zero_point": 0.5}, r"zero_point is 0\.5"),
        ({"scale": [1.0, 2.0], "zero_point": [0, 0, 0]}, "they must have the same"),
    ],
)
def test_impossible_grids_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Affine(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": []}, "values is empty"),
        ({"values": [1.0], "method": "max"}, "method is 'max'; it must be one of minmax, percentile, mse"),
        ({"values": [1.0], "signed": False, "symmetric": True}, "a symmetric grid is signed"),
        ({"values": [1.0], "share": 0.4}, r"share is 0\.4"),
    ],
)
def test_impossible_fits_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Affine.fit(**arguments)


def test_numbers_off_the_grid_are_refused():
    grid = Affine(1.0, bits=4)
    with pytest.raises(ValueError, match="q has dtype float64"):
        grid.dequantize([1.0])
    with pytest.raises(ValueError, match="q goes from 0 to 8; this grid goes from -8 to 7"):
        grid.dequantize([0, 8])
    with pytest.raises(ValueError, match=r"shape \(3,\); its last axis must have 2 channels"):
        Affine(np.ones(2)).quantize([1.0, 2.0, 3.0])


# --- networks -----------------------------------------------------------------------------------------------


def network(keras, *, seed=0):
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1), name="x"),
            layers.Conv2D(3, 3, padding="same", name="conv"),
            layers.MaxPooling2D(2),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(5, activation="relu", name="hidden"),
            layers.Dense(2, name="out"),
        ],
        name="small",
    )
    for layer in model.layers:
        if layer.weights:
            layer.bias.assign(np.random.default_rng(seed).normal(size=layer.bias.shape))
    return model


def images(n=40, seed=1):
    return np.random.default_rng(seed).normal(size=(n, 6, 6, 1)).astype("float32")


def by_whole_numbers(found, model, x):
    """The network in exact integer arithmetic between its grids, by loops over NumPy's whole numbers."""
    grids, w = found.activations, {layer.name: layer.get_weights() for layer in model.layers if layer.weights}

    def whole(name, grid_in):
        kernel, bias = w[name]
        step = grid_in.scale * found.weights[name].scale
        return found.weights[name].quantize(kernel).astype(np.int64), np.rint(bias / step).astype(np.int64), step

    def put(acc, step, name):
        grid = grids[name]
        return np.clip(np.rint(acc * (step / grid.scale)) + grid.zero_point, grid.lowest, grid.highest).astype(int)

    q = grids["x"].quantize(x).astype(np.int64) - grids["x"].zero_point
    kernel, bias, step = whole("conv", grids["x"])
    padded = np.pad(q, ((0, 0), (1, 1), (1, 1), (0, 0)))  # 0 of the differences is the zero point
    acc = sum(padded[:, a : a + 6, b : b + 6] @ kernel[a, b] for a in range(3) for b in range(3)) + bias
    q = put(acc, step, "conv")
    q = np.maximum(q.reshape(len(x), 3, 2, 3, 2, 3).max(axis=(2, 4)), grids["conv"].zero_point)
    q = q.reshape(len(x), -1) - grids["conv"].zero_point
    kernel, bias, step = whole("hidden", grids["conv"])
    q = np.maximum(put(q @ kernel + bias, step, "hidden"), grids["hidden"].zero_point) - grids["hidden"].zero_point
    kernel, bias, step = whole("out", grids["hidden"])
    return grids["out"].dequantize(put(q @ kernel + bias, step, "out"))


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("per_channel", [True, False])
def test_a_simulated_network_computes_what_whole_numbers_would(keras, bits, per_channel):
    model, x = network(keras), images()
    found = quantize(model, x, bits=bits, per_channel=per_channel)
    simulated, exact = np.asarray(found.model(x)), by_whole_numbers(found, model, x)
    # where a sum lies within float32 of the middle between two numbers, the simulation may take the other one
    off = np.abs(simulated - exact) > 1e-4
    assert off.mean() <= 0.05
    assert np.abs(simulated - exact).max() <= found.activations["out"].scale * 4 + 1e-4


def test_a_quantized_network_is_near_the_original_and_leaves_it_alone(keras):
    model, x = network(keras), images()
    before = model.get_weights()
    found = quantize(model, x)
    assert np.abs(found.model(x) - model(x)).max() < 0.1
    assert np.abs(quantize(model, x, bits=2).model(x) - model(x)).max() > 0.1
    for old, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)
    assert found.model.name == "small"
    assert set(found.weights) == {"conv", "hidden", "out"}
    assert set(found.activations) == {"x", "conv", "hidden", "out"}


def test_bytes_are_counted(keras):
    found = quantize(network(keras), images(), bits=4, per_channel=False)
    conv, hidden, out = found.changes
    assert (conv.before, conv.after) == (4 * 30, 14 + 12 + 4)  # 27 weights of half a byte
    assert (hidden.before, hidden.after) == (4 * 140, 68 + 20 + 4)
    assert (out.before, out.after, out.note) == (4 * 12, 5 + 8 + 4, "1 scale of weights")


def test_a_quantized_network_can_be_stored(keras, tmp_path):
    found, x = quantize(network(keras), images()), images(5)
    found.model.save(tmp_path / "small.keras")
    again = keras.models.load_model(tmp_path / "small.keras", compile=False)
    np.testing.assert_array_equal(again(x), found.model(x))


def test_branches_meet_on_a_new_grid(keras):
    layers = keras.layers
    x = keras.Input((3,), name="x")
    a, b = layers.Dense(3, name="a")(x), layers.Dense(3, name="b")(x)
    model = keras.Model(x, layers.Dense(1, name="end")(layers.ReLU()(layers.Add(name="sum")([a, b]))), name="branches")
    data = np.random.default_rng(0).normal(size=(50, 3)).astype("float32")
    found = quantize(model, data)
    assert set(found.activations) == {"x", "a", "b", "sum", "end"}
    assert np.abs(found.model(data) - model(data)).max() < 0.1


def test_layers_without_a_rule_are_named(keras):
    layers = keras.layers

    def refused(*inner, match):
        model = keras.Sequential([keras.Input((4, 4, 2)), *inner])
        with pytest.raises(ValueError, match=match):
            quantize(model, np.zeros((1, 4, 4, 2)))

    refused(layers.BatchNormalization(name="norm"), match="layer 'norm' is a BatchNormalization.*fold it")
    refused(layers.DepthwiseConv2D(3, name="deep"), match="layer 'deep' is a DepthwiseConv2D")
    refused(layers.ReLU(max_value=6, name="six"), match="layer 'six' is a ReLU with a limit")
    shared = layers.Dense(2, name="twice")
    refused(shared, shared, match="layer 'twice' is used 2 times")
    x = keras.Input((3,))
    with pytest.raises(ValueError, match="model 'forked' has 1 inputs and 2 outputs"):
        quantize(keras.Model(x, [layers.Dense(1)(x), layers.Dense(1)(x)], name="forked"), np.zeros((1, 3)))


def test_bad_arguments_are_refused(keras):
    model = network(keras)
    with pytest.raises(ValueError, match="bits is 9; it must be a whole number from 2 to 8"):
        quantize(model, images(), bits=9)
    with pytest.raises(ValueError, match="calibration_images holds 1 numbers"):
        quantize(model, np.where(np.arange(36).reshape(1, 6, 6, 1) == 5, np.nan, 0.0))
    with pytest.raises(ValueError, match="method is 'best'"):
        quantize(model, images(), calibration="best")
    with pytest.raises(TypeError, match="model is a str"):
        quantize("small", images())


# --- ONNX Runtime as an oracle ------------------------------------------------------------------------------


def onnx_graph(onnx, found, model):
    """The small network with its grids, as ONNX writes quantized networks: each grid as a pair of operators."""
    make, constants, nodes = onnx.helper.make_node, [], []

    def constant(name, values):
        constants.append(onnx.numpy_helper.from_array(np.asarray(values), name))
        return name

    def on_grid(tensor, grid_name):
        grid = found.activations[grid_name]
        pair = [
            constant(f"{grid_name}_s", np.float32(grid.scale)),
            constant(f"{grid_name}_z", np.int8(grid.zero_point)),
        ]
        nodes.append(make("QuantizeLinear", [tensor, *pair], [f"{grid_name}_q"]))
        nodes.append(make("DequantizeLinear", [f"{grid_name}_q", *pair], [f"{grid_name}_on_grid"]))
        return f"{grid_name}_on_grid"

    def weights(name, grid_in, order):
        kernel, bias = model.get_layer(name).get_weights()
        grid = found.weights[name]
        step = found.activations[grid_in].scale * grid.scale
        parts = {
            "w": (grid.quantize(kernel).transpose(order), grid.scale, order.index(kernel.ndim - 1)),
            "b": (np.rint(bias / step).astype(np.int32), step, 0),
        }
        for part, (whole, scale, axis) in parts.items():
            inputs = [constant(f"{name}_{part}_q", whole), constant(f"{name}_{part}_s", np.float32(scale))]
            nodes.append(make("DequantizeLinear", inputs, [f"{name}_{part}"], axis=axis))
        return [f"{name}_w", f"{name}_b"]

    nodes.append(make("Transpose", ["x"], ["x_first"], perm=(0, 3, 1, 2)))
    inputs = [on_grid("x_first", "x"), *weights("conv", "x", (3, 2, 0, 1))]
    nodes.append(make("Conv", inputs, ["conv"], pads=(1, 1, 1, 1)))
    nodes.append(make("MaxPool", [on_grid("conv", "conv")], ["pooled"], kernel_shape=(2, 2), strides=(2, 2)))
    nodes.append(make("Relu", ["pooled"], ["positive"]))
    nodes.append(make("Transpose", ["positive"], ["last"], perm=(0, 2, 3, 1)))
    nodes.append(make("Flatten", ["last"], ["flat"]))
    nodes.append(make("Gemm", ["flat", *weights("hidden", "conv", (0, 1))], ["hidden_sum"]))
    nodes.append(make("Relu", ["hidden_sum"], ["hidden"]))
    nodes.append(make("Gemm", [on_grid("hidden", "hidden"), *weights("out", "hidden", (0, 1))], ["out"]))
    result = on_grid("out", "out")
    kind = onnx.TensorProto.FLOAT
    ends = (
        [onnx.helper.make_tensor_value_info("x", kind, ["N", 6, 6, 1])],
        [onnx.helper.make_tensor_value_info(result, kind, ["N", 2])],
    )
    graph = onnx.helper.make_graph(nodes, "small", *ends, initializer=constants)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


def test_a_simulated_network_computes_what_onnx_runtime_does(keras, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from nnzen.predictors import predictor

    model, x = network(keras), images(300)
    found = quantize(model, images())
    onnx.save(onnx_graph(onnx, found, model), tmp_path / "small.onnx")
    steps = (predictor(tmp_path / "small.onnx").outputs(x) - np.asarray(found.model(x))) / found.activations[
        "out"
    ].scale
    assert np.abs(steps).max() <= 1.01
    assert np.mean(np.abs(steps) > 0.01) <= 0.02  # sums next to a tie
