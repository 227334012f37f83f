"""The .nnz format: exact round trips, sizes against the entropy, and a reader that trusts nothing."""

import tracemalloc

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings

from nnzen.compression import FormatError, Limits, coding, decode, encode
from nnzen.compression.coding import _Layer, _Network, _read, _Shape, _write
from tests.fuzz.networks import KINDS, SIGNALLING, SPECIAL, body, network, sealed, tensor


@pytest.fixture(scope="module")
def keras():
    import keras

    return keras


def same_bits(a, b):
    return a.shape == b.shape and (np.asarray(a).view(np.uint32) == np.asarray(b).view(np.uint32)).all()


def assert_same(a, b):
    assert a.shape == b.shape
    assert [(x.kind, x.settings) for x in a.layers] == [(x.kind, x.settings) for x in b.layers]
    for x, y in zip(a.layers, b.layers, strict=True):
        assert all(same_bits(u, v) for u, v in zip(x.tensors, y.tensors, strict=True))


# ---------------------------------------------------------------------------------------------------------
# What is written is read


@given(st.integers(0, 2**32))
def test_networks_come_back_bit_for_bit_and_make_the_same_file(seed):
    before = network(seed)
    data = _write(before)
    after = _read(data, Limits())
    assert_same(before, after)
    assert _write(after) == data


def all_layers(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((9, 8, 2)),
            layers.Rescaling(1 / 255, offset=-0.5),
            layers.Conv2D(4, (3, 2), padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.ReLU(),
            layers.Conv2D(5, 3, strides=(2, 1), padding="same", use_bias=False),
            layers.BatchNormalization(scale=False, epsilon=1e-5),
            layers.Activation("tanh"),
            layers.AveragePooling2D(2, strides=1, padding="same"),
            layers.Flatten(),
            layers.Dense(6, activation="sigmoid"),
            layers.BatchNormalization(),
            layers.Dense(3),
        ],
        name="all_layers",
    )
    rng = np.random.default_rng(0)
    model.set_weights([abs(tensor(rng, w.shape)) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("end", ["GlobalMaxPooling2D", "GlobalAveragePooling2D", None])
def test_keras_models_come_back_bit_for_bit_and_make_the_same_file(keras, end):
    model = all_layers(keras)
    if end:
        model = keras.Sequential([keras.Input((9, 8, 2)), *model.layers[:4], getattr(keras.layers, end)()])
    weights = model.get_weights()
    data = encode(model)
    decoded = decode(data)
    assert [type(layer) for layer in decoded.layers] == [type(layer) for layer in model.layers]
    assert len(decoded.get_weights()) == len(weights)
    for before, now, after in zip(weights, model.get_weights(), decoded.get_weights(), strict=True):
        assert same_bits(before, now)
        assert same_bits(before, after)
    assert encode(decoded) == data
    x = np.random.default_rng(1).random((3, 9, 8, 2), np.float32)
    np.testing.assert_array_equal(decoded(x), model(x))


def test_special_values_keep_their_bits(keras):
    values = np.concatenate([SPECIAL, SIGNALLING])
    for kernel in (np.tile(values, 20), values):
        model = keras.Sequential([keras.Input((kernel.size,)), keras.layers.Dense(1, use_bias=False)])
        model.set_weights([kernel[:, None]])
        assert same_bits(decode(encode(model)).get_weights()[0], kernel[:, None])


def test_a_chain_of_the_functional_interface_becomes_sequential(keras):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dense(3, activation="relu")(inputs)))
    data = encode(model)
    assert encode(decode(data)) == data
    assert encode(keras.Sequential([keras.Input((4,)), *model.layers[1:]])) == data  # layers that two models call


def test_version_1_stays_what_it_is():
    dense = _Layer(
        KINDS["Dense"],
        {"units": 3, "activation": "relu", "use_bias": True},
        [np.array([0, 0, 0.5, -1, 0, 0, 0, 0.5, 0, 0, 0, -1], np.float32).reshape(2, 2, 1, 3), tensor_of(0, 0, 0)],
    )
    flat = _Layer(KINDS["Flatten"], {}, [])
    data = _write(_Network(_Shape(2, 2, 1, False), [flat, dense]))
    assert data.hex(" ") == GOLDEN
    assert_same(_read(bytes.fromhex(GOLDEN), Limits()), _Network(_Shape(2, 2, 1, False), [flat, dense]))


def tensor_of(*values):
    return np.array(values, np.float32).reshape(1, 1, -1, 1)


GOLDEN = (
    "4e 4e 5a 01 a2 c7 b5 2b 18 03 02 02 01 02 07 01 03 01 01 05 02 00 bc 00 38 05 00 61 d8 42 ff 00 00"  # all of it
)


# ---------------------------------------------------------------------------------------------------------
# Sizes


def dense(weights, units):
    grid = (*weights.shape[:3], units)
    return _Network(
        _Shape(*grid[:3], False),
        [
            _Layer(KINDS["Flatten"], {}, []),
            _Layer(KINDS["Dense"], {"units": units, "activation": "linear", "use_bias": False}, [weights]),
        ],
    )


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.97])
def test_independent_weights_take_what_their_entropy_says(sparsity):
    rng = np.random.default_rng(3)
    values = np.linspace(-1, 1, 16).astype(np.float16).astype(np.float32)
    share = rng.dirichlet(np.ones(16)) * (1 - sparsity)
    weights = rng.choice([0, *values], p=[1 - share.sum(), *share], size=(28, 28, 1, 40)).astype(np.float32)
    p = np.unique(weights, return_counts=True)[1] / weights.size
    entropy = -(p * np.log2(p)).sum() * weights.size / 8
    size = len(_write(dense(weights, 40)))
    assert entropy < size < entropy + 32 + 100  # the codebook, and header and learning


def test_neighbours_make_smooth_kernels_smaller():
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(30, 30, 1, 40))
    smooth = sum(np.roll(noise, (y, x), (0, 1)) for y in range(3) for x in range(3))[1:29, 1:29] / 3
    kept = np.where(abs(smooth) > 1.5, np.sign(smooth), 0).astype(np.float32)
    shuffled = rng.permutation(kept.ravel()).reshape(kept.shape)
    assert len(_write(dense(kept, 40))) < 0.85 * len(_write(dense(shuffled, 40)))


def test_each_mode_is_used_where_it_is_smallest():
    rng = np.random.default_rng(5)
    single = rng.normal(size=(28, 28, 1, 10)).astype(np.float32)
    half = single.astype(np.float16).astype(np.float32)
    sparse = np.where(rng.random(single.shape) < 0.1, single, 0)
    n, filled = single.size, int((sparse != 0).sum())
    flags = 0.469 * n / 8  # the entropy of one in ten
    assert len(_write(dense(single, 10))) == pytest.approx(4 * n, abs=40)
    assert len(_write(dense(half, 10))) == pytest.approx(2 * n, abs=40)
    assert len(_write(dense(sparse, 10))) == pytest.approx(4 * filled + flags, rel=0.02)
    assert len(_write(dense(np.where(sparse != 0, half, 0), 10))) == pytest.approx(2 * filled + flags, rel=0.02)
    assert len(_write(dense(np.sign(sparse), 10))) == pytest.approx((n * 0.469 + filled) / 8, abs=40)
    assert len(_write(dense(0 * abs(single), 10))) < 30


# ---------------------------------------------------------------------------------------------------------
# A reader that trusts nothing

SMALL = Limits(parameters=20_000, layers=8, values=20_000)


def small_file():
    rng = np.random.default_rng(6)
    kernel = np.where(rng.random((3, 3, 1, 4)) < 0.4, rng.choice([-1.0, 0.5, 2.0], (3, 3, 1, 4)), 0).astype(np.float32)
    net = dense(kernel, 4)
    net.layers.append(_Layer(KINDS["Dense"], {"units": 2, "activation": "softmax", "use_bias": True}, [
        rng.normal(size=(1, 1, 4, 2)).astype(np.float32), tensor_of(1, -1),
    ]))  # fmt: skip
    return _write(net)


def test_every_flip_of_one_bit_is_found():
    data = small_file()
    for at in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(FormatError):
            _read(bytes(flipped), Limits())


def test_every_cut_and_every_addition_is_found():
    data = small_file()
    for length in range(len(data)):
        with pytest.raises(FormatError):
            _read(data[:length], Limits())
    for more in (b"\0", b"\xff" * 5, data):
        with pytest.raises(FormatError, match="something was added"):
            _read(data + more, Limits())


def refused_or_bounded(data, limits):
    """Read hostile bytes: a FormatError or a network within limits, in bounded memory."""
    found = refused = None
    tracemalloc.start()
    try:
        found = _read(data, limits)
    except FormatError as error:
        refused = error
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * limits.parameters + 8 * len(data) + 100_000
    if refused:
        assert 0 <= refused.byte <= len(data)
        assert str(refused).startswith(f"byte {refused.byte}: ")
        return None
    assert sum(t.size for layer in found.layers for t in layer.tensors) <= limits.parameters
    assert len(found.layers) <= limits.layers
    assert_same(_read(_write(found), limits), found)
    return found


@given(st.binary(max_size=300))
@example(b"")
@example(b"NNZ")
def test_random_bytes(data):
    assert refused_or_bounded(data, SMALL) is None


@settings(max_examples=300)
@given(st.binary(max_size=60), st.sampled_from([b"", b"\x01", b"\x03\x02\x02", b"\x03\x04\x04\x01\x02\x07\x01\x05"]))
def test_random_bytes_behind_a_right_header(tail, start):
    refused_or_bounded(sealed(start + tail), SMALL)


@settings(max_examples=300)
@given(st.integers(0, 50), st.data())
def test_damage_that_the_checksum_hides(seed, data):
    """What somebody can send who knows the format: bytes changed, cut out and put in, and the checksum right again."""
    changed = bytearray(body(_write(network(seed))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed)))
        end = data.draw(st.integers(at, min(at + 2, len(changed))))
        changed[at:end] = data.draw(st.binary(max_size=3))
    refused_or_bounded(sealed(bytes(changed)), SMALL)


DENSE = b"\x01\x04\x01\x01"  # four features, one layer, and it is dense


@pytest.mark.parametrize(
    ("data", "byte", "message"),
    [
        (b"", 0, "the magic: 3 bytes expected, 0 left"),
        (b"PK\x03\x04" + bytes(20), 0, "starts with b'PK\\x03'"),
        (b"NNZ\x02" + bytes(20), 3, "the version is 2; this reader knows version 1"),
        (b"NNZ\x01" + bytes(20), 8, "the length is 0; it must be 1 to"),
        (b"NNZ\x01" + bytes(4) + b"\x05abc", 8, "the length is 5, but 3 bytes follow: the file is cut off"),
        (b"NNZ\x01" + bytes(4) + b"\x02abc", 8, "the length is 2, but 3 bytes follow: something was added"),
        (b"NNZ\x01" + bytes(4) + b"\x03abc", 4, "the checksum is 00000000, that of the bytes is"),
        (sealed(b"\x02"), 9, "the number of dimensions is 2; there are 1 and 3"),
        (sealed(b"\x01\xff\xff\xff\xff\xff\x01"), 10, "the number of features does not end within 5 bytes"),
        (sealed(b"\x01\x81\x00"), 10, "not written in as few bytes as possible"),
        (sealed(b"\x01\xff\xff\xff\xff\x0f"), 10, "the number of features is 4294967295; it must be 1 to 20000"),
        (sealed(b"\x03\x80\x01\x80\x01\x7f"), 15, "2080768 values an image; the limit is 20000"),
        (sealed(b"\x01\x04\x09"), 11, "the number of layers is 9; it must be 1 to 8"),
        (sealed(b"\x01\x04\x00"), 11, "the number of layers is 0; it must be 1 to 8"),
        (sealed(b"\x01\x04\x01"), 12, "the kind of layer 0: 1 bytes expected, 0 left"),
        (sealed(b"\x01\x04\x01\x4d"), 12, "layer 0 is of kind 77; there are 1 to 11"),
        (sealed(DENSE + b"\x00"), 13, "layer 0 (Dense): units is 0; it must be 1 to"),
        (sealed(DENSE + b"\xff\xff\xff\xff\x07\x00\x00"), 20, "2147483647 values an image; the limit is 20000"),
        (sealed(DENSE + b"\xa0\x9c\x01\x00\x00"), 12, "layer 0 (Dense) has 80000 parameters; 20000 of 20000 are left"),
        (sealed(DENSE + b"\x01\x2a"), 14, "layer 0 (Dense): activation is 42; there are 0 to 10"),
        (sealed(DENSE + b"\x01\x00\x00\x06"), 16, "the mode of a tensor is 6; there are 0 to 5"),
        (sealed(DENSE + b"\x01\x00\x00\x00\x00"), 17, "layer 0 (Dense): weights: 16 bytes expected, 1 left"),
        (sealed(DENSE + b"\x01\x00\x00\x03\x05"), 17, "the number of values is 5; it must be 1 to 4"),
        (sealed(DENSE + b"\x01\x00\x00\x03\x01\x00\x00"), 16, "a value is 0"),
        (sealed(DENSE + b"\x01\x00\x00\x05\x02\x00\x3c\x00\x3c"), 16, "the values of the codebook do not rise"),
        (sealed(DENSE + b"\x01\x00\x00\x05\x01\x00\x3c"), 20, "0 bytes are no coded stream"),
        (sealed(DENSE + b"\x01\x00\x00\x05\x01\x00\x3c" + bytes(5)), 24, "1 bytes too many"),
        (sealed(DENSE + b"\x01\x00\x00\x03\x01\x00\x3c" + bytes(4)), 16, "1 values for 0 weights that are not zero"),
        (sealed(b"\x01\x04\x01\x05"), 12, "layer 0 (GlobalMaxPooling2D) takes images"),
        (sealed(b"\x03\x02\x02\x01\x01\x01\x01\x00\x00"), 14, "layer 0 (Dense) takes flat values"),
        (sealed(b"\x03\x02\x02\x01\x01\x03\x03\x01\x01\x01\x00"), 14, "window that is larger than its input of 2 × 2"),
    ],
)
def test_errors_say_what_is_wrong_and_where(data, byte, message):
    with pytest.raises(FormatError) as caught:
        _read(data, SMALL)
    assert message in str(caught.value)
    assert caught.value.byte == byte


def test_a_small_file_that_asks_for_much_gets_nothing():
    """A kernel of 2³¹ × 2²⁴ zeros fits into 20 bytes; it is refused before anything is made."""
    bomb = sealed(b"\x01" + coding._varint(1 << 24) + b"\x01\x01" + coding._varint((1 << 31) - 1) + b"\x00\x00\x05\x00")
    tracemalloc.start()
    with pytest.raises(FormatError, match="limit"):
        _read(bomb, Limits())
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_limits_of_the_caller_hold(keras):
    data = small_file()
    assert decode(data, limits=Limits(parameters=46, layers=3, values=9)).count_params() == 46
    for limits in (Limits(parameters=45), Limits(layers=2), Limits(values=8)):
        with pytest.raises(FormatError, match=r"limit|must be|are left"):
            decode(data, limits=limits)


# ---------------------------------------------------------------------------------------------------------
# What has no place in the format is named


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            lambda layers: layers.Dropout(0.5, name="drop"),
            "layer 'drop' is a Dropout, for which the format has no place",
        ),
        (
            lambda layers: layers.Conv2D(2, 3, dilation_rate=2, name="wide"),
            r"'wide' \(Conv2D\) has dilation_rate=\(2, 2\)",
        ),
        (lambda layers: layers.ReLU(max_value=6, name="six"), r"'six' \(ReLU\) has max_value=6"),
        (lambda layers: layers.Activation("mish", name="fish"), "activation='mish', which is not one of linear, relu"),
        (lambda layers: layers.Dense(2, dtype="mixed_bfloat16", name="low"), "'low'.*policy mixed_bfloat16"),
        (lambda layers: layers.Dense(2, name="wide"), r"'wide' \(Dense\) takes flat values"),
        (
            lambda layers: layers.MaxPooling2D(300, padding="same", name="all"),
            r"pool_size=\(300, 300\), which is above 255",
        ),
        (lambda layers: layers.Rescaling([1.0, 2.0, 3.0], name="each"), "'each'.*which is no single number"),
        (lambda layers: layers.BatchNormalization(axis=1, name="rows"), r"'rows' \(BatchNormalization\) has axis=1"),
    ],
)
def test_a_layer_or_setting_without_a_place_is_named(keras, layer, message):
    model = keras.Sequential([keras.Input((8, 8, 3)), layer(keras.layers)])
    with pytest.raises(ValueError, match=message):
        encode(model)


def test_models_without_a_place_are_named(keras):
    layers = keras.layers
    inputs = keras.Input((4,), name="first")
    hidden = layers.Dense(4, name="hidden")
    twice = keras.Model(inputs, hidden(hidden(inputs)), name="twice")
    skip = keras.Model(
        inputs, layers.Dense(2, name="behind")(layers.Add(name="sum")([inputs, layers.Dense(4)(inputs)]))
    )
    early = keras.Model(inputs, [layers.Dense(1)(inputs), layers.Dense(1, name="beside")(inputs)])
    for model, message in (
        (twice, "'hidden'"),
        (skip, "'sum'"),
        (early, "'beside'"),
        (keras.Model([inputs, keras.Input((4,))], hidden(inputs)), "no chain from one input"),
        (keras.Sequential([keras.Input((None, 8, 1)), layers.Flatten()], name="any"), "'any' takes inputs of shape"),
        (keras.Sequential([layers.Dense(2)], name="unbuilt"), "'unbuilt'.*no graph of layers"),
    ):
        with pytest.raises(ValueError, match=message):
            encode(model)
    with pytest.raises(TypeError, match="model is a str"):
        encode("model")
