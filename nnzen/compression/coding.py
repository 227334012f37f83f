r"""A file format for small networks, ``.nnz``: weights that share values, coded in as few bits as they need.

:func:`encode` writes a Keras model that is a chain of layers, :func:`decode` reads it back with every weight the same,
bit for bit. What serves training only (initializers, regularizers, optimizer, names) is not kept. The reader trusts
nothing: every count is checked against what is left of the file and against `Limits` before memory is taken, and
whatever is wrong ends in a `FormatError` that names the byte. A checksum finds accidents, not forgeries.

**Version 1.** Numbers of several bytes have the lowest byte first; a *varint* has seven bits a byte, the lowest first,
with the top bit set in all bytes but the last, and is as short as possible.

=========  ==========  ==============================================================================================
part       bytes       value
=========  ==========  ==============================================================================================
magic      3           ``NNZ``
version    1           1
checksum   4           CRC-32 of all bytes that follow
length     varint      how many bytes follow
shape      varints     how many dimensions an input has, 1 or 3, then each: features, or height, width, channels
layers     varint      how many records follow
records                a layer each: its kind (1 byte), its settings, its tensors
stream                 all that is arithmetically coded, in the order of the tensors; absent if nothing is
=========  ==========  ==============================================================================================

Shapes are not stored where they follow from settings. Units and filters are varints; window and strides are two each,
up to 255, for height and width; epsilon, scale and offset are float32; the rest is one byte: padding 0 for *valid*, 1
for *same*; an activation its place, from 0, in *linear, relu, relu6, tanh, sigmoid, softmax, elu, selu, gelu, silu,
softplus*; and "or not" 1 or 0.

====  ======================  ==========================================================  ====================
kind  layer                   settings                                                    tensors
====  ======================  ==========================================================  ====================
1     Dense                   units, activation, bias or not                              kernel, bias
2     Conv2D                  filters, window, strides, padding, activation, bias or not  kernel, bias
3     MaxPooling2D            window, strides, padding
4     AveragePooling2D        the same
5     GlobalMaxPooling2D
6     GlobalAveragePooling2D
7     Flatten
8     ReLU
9     Activation              activation
10    BatchNormalization      epsilon, center or not, scale or not                        γ, β, mean, variance
11    Rescaling               scale, offset
====  ======================  ==========================================================  ====================

**A tensor** is one byte, 2 × mode + half, and values: float32, or float16 if `half` is 1, in which case they are exact.

* mode 0: every value, in C order;
* mode 1: how many weights are not zero (varint), and their values; the stream says where they lie;
* mode 2: the *codebook*: how many different values there are apart from zero (varint, at most 255), and the values,
  rising; the stream says which weight has which. (In bits: −0 is a value, and NaN has its place by sign and bits.)

**The stream.** A tensor is seen as a grid of inputs and a number of outputs: (height, width, channels, outputs) for a
convolution and for a dense layer behind `Flatten`, (1, 1, inputs, outputs) for other dense layers, and (1, 1, n, 1) for
vectors. Output by output, in C order of the grid, each weight takes binary decisions: is it zero; does it lie in the
upper part of the codebook, where the sign bit is 0 (asked if both signs occur); then by halving, lo + (hi − lo) // 2
being the first of the upper half, until one value is left.

Every decision is coded by :mod:`nnzen.compression.arithmetic` in a *context*, so that its probability is what has been
observed in the same context. Trained filters are smooth: the context of the first decision is how many of four
neighbours in the same grid that come before it (left, above left, above, above right) are not zero; that of the second
is how many more of them have a sign bit of 0 than of 1; that of the others is which halving is asked for. A tensor
starts with new contexts.

References: Han et al. (2016), https://arxiv.org/abs/1510.00149; Wiedemann et al. (2020), who code networks with
contexts, too, https://arxiv.org/abs/1907.11900.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from nnzen.compression.arithmetic import Decoder, Encoder
from nnzen.compression.result import copied

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

__all__ = ["FormatError", "Limits", "decode", "encode"]

_MAGIC, _VERSION = b"NNZ", 1
_EVERY, _NON_ZERO, _CODEBOOK = range(3)
_MOST_VALUES = 255  # of a codebook: with zero, a symbol is a byte


class FormatError(ValueError):
    """A file that is not a network of this format; the message says what is wrong, and at which byte.

    Attributes
    ----------
    byte : int
        Where, counted from 0.
    """

    def __init__(self, byte: int, message: str) -> None:
        super().__init__(f"byte {byte}: {message}")
        self.byte = byte


@dataclass(frozen=True)
class Limits:
    """What a file may ask for before it is refused.

    Attributes
    ----------
    parameters : int
        Of all tensors together. Decoding takes up to 24 bytes and about a microsecond for each.
    layers : int
        Records.
    values : int
        That a layer puts out for one image: what the network takes in use, not in decoding.
    """

    parameters: int = 1 << 23
    layers: int = 256
    values: int = 1 << 24


def encode(model: keras.Model) -> bytes:
    """Write a model as the bytes of an ``.nnz`` file.

    Files are small where kernels are mostly zero and share few values: see :func:`nnzen.compression.sharing.share`.

    Parameters
    ----------
    model : keras.Model
        Sequential, or functional without branches, in float32.

    Returns
    -------
    bytes

    Raises
    ------
    TypeError
        If it is not a Keras model.
    ValueError
        If the layers are no chain, or one of them, or one of its settings, has no place in the format; it is named.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(300, kernel_initializer="zeros")])
    >>> len(encode(model))
    22
    """
    return _write(_taken_apart(model))


def decode(data: bytes, *, limits: Limits | None = None) -> keras.Model:
    """Read a model from the bytes of an ``.nnz`` file, which need not be trusted.

    Parameters
    ----------
    data : bytes
        The whole file.
    limits : Limits, optional
        What it may ask for; ``Limits()`` unless given.

    Returns
    -------
    keras.Model
        Sequential, not compiled.

    Raises
    ------
    FormatError
        If anything about the file is wrong.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> bool((decode(encode(model)).get_weights()[0] == model.get_weights()[0]).all())
    True
    >>> decode(encode(model)[:-1])
    Traceback (most recent call last):
    nnzen.compression.coding.FormatError: byte 8: the length is 39, but 38 bytes follow: the file is cut off
    """
    return _put_together(_read(bytes(data), limits or Limits()))


# ---------------------------------------------------------------------------------------------------------
# Layers: what each kind stores, and what follows from its settings


@dataclass(frozen=True)
class _Shape:
    """Of what flows between two layers: of a flat one the grid is still known, for the contexts."""

    height: int
    width: int
    channels: int
    flat: bool

    @property
    def size(self) -> int:
        return self.height * self.width * self.channels

    @property
    def features(self) -> int:
        return self.size if self.flat else self.channels


_Settings = dict[str, Any]
_Grid = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Kind:
    """A class of Keras layers: its settings and their types, what comes out, and its tensors as grids."""

    name: str
    settings: dict[str, Any]
    after: Callable[[_Shape, _Settings], _Shape]
    grids: Callable[[_Shape, _Settings], list[_Grid]] = lambda _, __: []
    takes: str = "both"  # or "images" or "flat"


@dataclass(frozen=True)
class _Layer:
    kind: _Kind
    settings: _Settings
    tensors: list[NDArray[np.float32]]  # as grids


@dataclass(frozen=True)
class _Network:
    shape: _Shape
    layers: list[_Layer]


def _window(shape: _Shape, size: tuple[int, int], settings: _Settings) -> tuple[int, int]:
    """Return height and width after a window of this size went over the images; at most 0 if it does not fit."""
    same = settings["padding"] == "same"
    out = [
        -(-n // stride) if same else (n - k) // stride + 1
        for n, k, stride in zip((shape.height, shape.width), size, settings["strides"], strict=True)
    ]
    return out[0], out[1]


def _flattened(shape: _Shape, _: _Settings) -> _Shape:
    return _Shape(shape.height, shape.width, shape.channels, flat=True)


def _pooled(shape: _Shape, settings: _Settings) -> _Shape:
    return _Shape(*_window(shape, settings["pool_size"], settings), shape.channels, flat=False)


def _vectors(n: int, count: int) -> list[_Grid]:
    return [(1, 1, n, 1)] * count


def _same(shape: _Shape, _: _Settings) -> _Shape:
    return shape


_NUMBER, _PAIR, _REAL = "number", "pair", "real"
_FLAG = (False, True)
_PADDING = ("valid", "same")
_ACTIVATIONS = ("linear", "relu", "relu6", "tanh", "sigmoid", "softmax", "elu", "selu", "gelu", "silu", "softplus")
_POOLING = {"pool_size": _PAIR, "strides": _PAIR, "padding": _PADDING}

_KINDS = (
    _Kind(
        "Dense",
        {"units": _NUMBER, "activation": _ACTIVATIONS, "use_bias": _FLAG},
        after=lambda shape, s: _Shape(1, 1, s["units"], flat=True),
        grids=lambda shape, s: [
            (shape.height, shape.width, shape.channels, s["units"]),
            *_vectors(s["units"], s["use_bias"]),
        ],
        takes="flat",
    ),
    _Kind(
        "Conv2D",
        {
            "filters": _NUMBER,
            "kernel_size": _PAIR,
            "strides": _PAIR,
            "padding": _PADDING,
            "activation": _ACTIVATIONS,
            "use_bias": _FLAG,
        },
        after=lambda shape, s: _Shape(*_window(shape, s["kernel_size"], s), s["filters"], flat=False),
        grids=lambda shape, s: [
            (*s["kernel_size"], shape.channels, s["filters"]),
            *_vectors(s["filters"], s["use_bias"]),
        ],
        takes="images",
    ),
    _Kind("MaxPooling2D", _POOLING, after=_pooled, takes="images"),
    _Kind("AveragePooling2D", _POOLING, after=_pooled, takes="images"),
    _Kind(
        "GlobalMaxPooling2D",
        {},
        after=lambda shape, s: _Shape(1, 1, shape.channels, flat=True),
        takes="images",
    ),
    _Kind(
        "GlobalAveragePooling2D",
        {},
        after=lambda shape, s: _Shape(1, 1, shape.channels, flat=True),
        takes="images",
    ),
    _Kind("Flatten", {}, after=_flattened),
    _Kind("ReLU", {}, after=_same),
    _Kind("Activation", {"activation": _ACTIVATIONS}, after=_same),
    _Kind(
        "BatchNormalization",
        {"epsilon": _REAL, "center": _FLAG, "scale": _FLAG},
        after=_same,
        grids=lambda shape, s: _vectors(shape.features, 2 + s["center"] + s["scale"]),
    ),
    _Kind("Rescaling", {"scale": _REAL, "offset": _REAL}, after=_same),
)


def _problem(kind: _Kind, shape: _Shape, settings: _Settings) -> str:
    """Return why a layer cannot follow something of this shape, or nothing."""
    if kind.takes == "images" and shape.flat:
        return "takes images, and what comes before it is flat"
    if kind.takes == "flat" and not shape.flat:
        return "takes flat values, and what comes before it are images"
    after = kind.after(shape, settings)
    if min(after.height, after.width) < 1:
        return f"has a window that is larger than its input of {shape.height} × {shape.width}"
    return ""


# ---------------------------------------------------------------------------------------------------------
# The stream


_NEGATIVE = 5  # what a neighbour adds to the sum of four; a positive one adds 1
_COUNT = [near // _NEGATIVE + near % _NEGATIVE for near in range(4 * _NEGATIVE + 1)]
_BALANCE = [4 + near % _NEGATIVE - near // _NEGATIVE for near in range(4 * _NEGATIVE + 1)]


def _code(coder: Encoder | Decoder, symbols: bytearray, grid: _Grid, values: int, negatives: int) -> None:
    """Write the symbols of a tensor, or read them into `symbols`: 0 for zero, else 1 and the place in the codebook.

    Parameters
    ----------
    symbols : bytearray of length outputs × height × width × channels
        A decoder's are all 0.
    values, negatives : int
        How many values the codebook has, and how many of them have a sign bit of 1.
    """
    height, width, channels, outputs = grid
    bit = coder.bit
    of_zero = [[1, 1] for _ in range(5)]
    of_sign = [[1, 1] for _ in range(9)]
    of_half = [[1, 1] for _ in range(values)]
    row = (width + 2) * channels
    at = 0
    for _ in range(outputs):
        seen = bytearray((height + 1) * row)  # 1, 5 or 0 for each weight so far, with a margin of zeros
        for y in range(1, height + 1):
            for place in range(y * row + channels, (y + 1) * row - channels):
                above = place - row
                near = seen[place - channels] + seen[above - channels] + seen[above] + seen[above + channels]
                symbol = symbols[at]
                if bit(of_zero[_COUNT[near]], symbol > 0):
                    low, high = 1, values + 1
                    if 0 < negatives < values:
                        if bit(of_sign[_BALANCE[near]], symbol > negatives):
                            low = negatives + 1
                        else:
                            high = negatives + 1
                    while high - low > 1:
                        middle = (low + high) // 2
                        if bit(of_half[middle - 1], symbol >= middle):
                            low = middle
                        else:
                            high = middle
                    symbols[at] = low
                    seen[place] = _NEGATIVE if low <= negatives else 1
                at += 1


# ---------------------------------------------------------------------------------------------------------
# Writing


def _write(network: _Network) -> bytes:
    body, coder = bytearray(), Encoder()
    shape = network.shape
    dimensions = [shape.size] if shape.flat else [shape.height, shape.width, shape.channels]
    for number in (len(dimensions), *dimensions, len(network.layers)):
        body += _varint(number)
    for layer in network.layers:
        body.append(1 + _KINDS.index(layer.kind))
        for name, kind in layer.kind.settings.items():
            body += _setting(kind, layer.settings[name])
        for tensor in layer.tensors:
            _write_tensor(body, coder, tensor)
    body += coder.end()
    rest = _varint(len(body)) + body
    return _MAGIC + bytes([_VERSION]) + struct.pack("<I", zlib.crc32(rest)) + rest


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _setting(kind: Any, value: Any) -> bytes:
    if kind == _NUMBER:
        return _varint(value)
    if kind == _PAIR:
        return _varint(value[0]) + _varint(value[1])
    if kind == _REAL:
        return struct.pack("<f", value)
    return bytes([kind.index(value)])


def _write_tensor(body: bytearray, coder: Encoder, tensor: NDArray[np.float32]) -> None:
    bits = tensor.view(np.uint32)
    book, places, counts = np.unique(_rank(bits[bits != 0]), return_inverse=True, return_counts=True)
    filled, values = int(counts.sum()), len(book)
    half = _are_half(bits)
    item = 2 if half else 4
    flags = _bytes(np.array([filled, bits.size - filled]))
    sizes = {
        _EVERY: item * bits.size,
        _NON_ZERO: item * filled + flags,
        _CODEBOOK: item * values + flags + _bytes(counts) if values <= _MOST_VALUES else math.inf,
    }
    mode = min(sizes, key=lambda mode: (sizes[mode], -mode))
    body.append(2 * mode + half)
    if mode == _EVERY:
        body += _packed(bits, half)
        return
    symbols = np.zeros(tensor.shape, np.uint8)
    symbols[bits != 0] = 1 + places if mode == _CODEBOOK else 1
    coded = _by_outputs(symbols)
    if mode == _CODEBOOK:
        negatives = int((book < _SIGN).sum())
        body += _varint(values) + _packed(_unrank(book), half)
        if values:
            _code(coder, bytearray(coded.tobytes()), tensor.shape, values, negatives)
    else:
        ordered = _by_outputs(bits)
        body += _varint(filled) + _packed(ordered[ordered != 0], half)
        _code(coder, bytearray(coded.tobytes()), tensor.shape, 1, 0)


_SIGN = 1 << 31


def _rank(bits: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return numbers that rise as the float32 of these bits do; those with a sign bit come below 2³¹."""
    return np.where(bits >= _SIGN, ~bits, bits | np.uint32(_SIGN))


def _unrank(ranks: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return np.where(ranks >= _SIGN, ranks & np.uint32(_SIGN - 1), ~ranks)


def _by_outputs(grid: NDArray[Any]) -> NDArray[Any]:
    """Return the values in the order of the stream: output by output."""
    return np.ascontiguousarray(np.moveaxis(grid, -1, 0)).ravel()


def _are_half(bits: NDArray[np.uint32]) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        exact = bits.view(np.float32).astype(np.float16).astype(np.float32).view(np.uint32)
    return bool((exact == bits).all())


def _packed(bits: NDArray[np.uint32], half: bool) -> bytes:
    return bits.view(np.float32).astype("<f2" if half else "<f4").tobytes()


def _bytes(counts: NDArray[np.integer]) -> float:
    """Return about how many bytes independent symbols of these frequencies take: their entropy, and learning it."""
    counts = counts[counts > 0]
    total = int(counts.sum())
    learning = (len(counts) - 1) / 2 * np.log2(total) if total else 0.0
    return float((counts * np.log2(total / counts)).sum() + learning) / 8


# ---------------------------------------------------------------------------------------------------------
# Reading


class _Reader:
    """Reads from `data`, from byte `at` on, and checks that what it reads is there and allowed."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        raise FormatError(self.at if at is None else at, message)

    def take(self, count: int, what: str) -> bytes:
        left = len(self.data) - self.at
        if count > left:
            self.fail(f"{what}: {count} bytes expected, {left} left")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, what: str, least: int, most: int) -> int:
        """Read a varint from `least` to `most`."""
        start, number, shift = self.at, 0, 0
        while True:
            byte = self.take(1, what)[0]
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
            if shift > 28:
                self.fail(f"{what} does not end within 5 bytes", start)
        if byte == 0 and shift > 7:
            self.fail(f"{what} is not written in as few bytes as possible", start)
        if not least <= number <= most:
            self.fail(f"{what} is {number}; it must be {least} to {most}", start)
        return number

    def choice(self, what: str, choices: tuple[Any, ...]) -> Any:
        byte = self.take(1, what)[0]
        if byte >= len(choices):
            self.fail(f"{what} is {byte}; there are 0 to {len(choices) - 1}", self.at - 1)
        return choices[byte]

    def dimensions(self) -> int:
        number = self.number("the number of dimensions", 0, 127)
        if number not in (1, 3):
            self.fail(f"the number of dimensions is {number}; there are 1 and 3", self.at - 1)
        return number

    def real(self, what: str) -> float:
        return float(struct.unpack("<f", self.take(4, what))[0])

    def floats(self, count: int, half: bool, what: str) -> NDArray[np.uint32]:
        """Read values and return the bits of them as float32."""
        item = np.dtype("<f2" if half else "<f4")
        return np.frombuffer(self.take(count * item.itemsize, what), item).astype(np.float32).view(np.uint32)


@dataclass
class _Coded:
    """A tensor whose weights are in the stream."""

    into: NDArray[np.uint32]
    grid: _Grid
    mode: int
    values: NDArray[np.uint32]
    at: int  # where its record stands
    what: str


def _read(data: bytes, limits: Limits) -> _Network:
    reader = _Reader(data)
    _read_header(reader)
    most = limits.values
    if reader.dimensions() == 1:
        shape = _Shape(1, 1, reader.number("the number of features", 1, most), flat=True)
    else:
        height, width, channels = (reader.number(f"the {name} of an image", 1, most) for name in _DIMENSIONS)
        shape = _Shape(height, width, channels, flat=False)
    _check_values(reader, shape, limits)
    network, coded = _Network(shape, []), []
    left = limits.parameters
    for number in range(reader.number("the number of layers", 1, limits.layers)):
        layer, tensors, shape, left = _read_layer(reader, number, shape, left, limits)
        network.layers.append(layer)
        coded += tensors
    if coded:
        try:
            decoder = Decoder(data, reader.at)
            for tensor in coded:
                _decode(decoder, tensor)
        except EOFError as error:
            raise FormatError(len(data), str(error)) from error
        reader.at = decoder.at
    if reader.at < len(data):
        reader.fail(f"{len(data) - reader.at} bytes too many")
    return network


_DIMENSIONS = ("height", "width", "number of channels")


def _read_header(reader: _Reader) -> None:
    magic = reader.take(3, "the magic")
    if magic != _MAGIC:
        reader.fail(f"the file starts with {magic!r}; this format starts with {_MAGIC!r}", 0)
    version = reader.take(1, "the version")[0]
    if version != _VERSION:
        reader.fail(f"the version is {version}; this reader knows version {_VERSION}", 3)
    checksum = struct.unpack("<I", reader.take(4, "the checksum"))[0]
    start = reader.at
    length = reader.number("the length", 1, (1 << 35) - 1)
    left = len(reader.data) - reader.at
    if length != left:
        why = "the file is cut off" if length > left else "something was added"
        reader.fail(f"the length is {length}, but {left} bytes follow: {why}", start)
    found = zlib.crc32(memoryview(reader.data)[start:])
    if found != checksum:
        reader.fail(f"the checksum is {checksum:08x}, that of the bytes is {found:08x}: the file is damaged", 4)


def _check_values(reader: _Reader, shape: _Shape, limits: Limits) -> None:
    if shape.size > limits.values:
        reader.fail(f"{shape.size} values an image; the limit is {limits.values}")


def _read_layer(
    reader: _Reader, number: int, shape: _Shape, left: int, limits: Limits
) -> tuple[_Layer, list[_Coded], _Shape, int]:
    """Read a record. Return also the tensors in the stream, what comes out, and how many parameters are left."""
    start = reader.at
    code = reader.take(1, f"the kind of layer {number}")[0]
    if not 1 <= code <= len(_KINDS):
        reader.fail(f"layer {number} is of kind {code}; there are 1 to {len(_KINDS)}", start)
    kind = _KINDS[code - 1]
    what = f"layer {number} ({kind.name})"
    settings = {name: _read_setting(reader, type_, f"{what}: {name}") for name, type_ in kind.settings.items()}
    if problem := _problem(kind, shape, settings):
        reader.fail(f"{what} {problem}", start)
    after = kind.after(shape, settings)
    _check_values(reader, after, limits)
    grids = kind.grids(shape, settings)
    size = sum(math.prod(grid) for grid in grids)
    if size > left:
        reader.fail(f"{what} has {size} parameters; {left} of {limits.parameters} are left", start)
    layer, coded = _Layer(kind, settings, []), []
    for grid in grids:
        tensor, stream = _read_tensor(reader, grid, what)
        layer.tensors.append(tensor.view(np.float32))
        coded += stream
    return layer, coded, after, left - size


_LARGEST_NUMBER, _LARGEST_PAIR = (1 << 31) - 1, 255


def _read_setting(reader: _Reader, kind: Any, what: str) -> Any:
    if kind == _NUMBER:
        return reader.number(what, 1, _LARGEST_NUMBER)
    if kind == _PAIR:
        return reader.number(what, 1, _LARGEST_PAIR), reader.number(what, 1, _LARGEST_PAIR)
    if kind == _REAL:
        return reader.real(what)
    return reader.choice(what, kind)


def _read_tensor(reader: _Reader, grid: _Grid, what: str) -> tuple[NDArray[np.uint32], list[_Coded]]:
    start, size = reader.at, math.prod(grid)
    mode, half = divmod(reader.choice(f"{what}: the mode of a tensor", tuple(range(6))), 2)
    if mode == _EVERY:
        return reader.floats(size, bool(half), f"{what}: weights").reshape(grid), []
    most = min(size, _MOST_VALUES) if mode == _CODEBOOK else size
    count = reader.number(f"{what}: the number of values", int(mode == _NON_ZERO), most)
    values = reader.floats(count, bool(half), f"{what}: values")
    if not values.all():
        reader.fail(f"{what}: a value is 0, which has no place among the values", start)
    ranks = _rank(values)
    if mode == _CODEBOOK and not (ranks[1:] > ranks[:-1]).all():
        reader.fail(f"{what}: the values of the codebook do not rise", start)
    into = np.zeros(grid, np.uint32)
    return into, [_Coded(into, grid, mode, values, start, what)] if count else []


def _decode(decoder: Decoder, tensor: _Coded) -> None:
    """Read a tensor's weights from the stream."""
    symbols = bytearray(tensor.into.size)
    codebook = tensor.mode == _CODEBOOK
    values = len(tensor.values) if codebook else 1
    negatives = int((tensor.values >= _SIGN).sum()) if codebook else 0
    _code(decoder, symbols, tensor.grid, values, negatives)
    places = np.frombuffer(symbols, np.uint8)
    if codebook:
        weights = np.concatenate([np.zeros(1, np.uint32), tensor.values])[places]
    else:
        filled = int(places.sum())
        if filled != len(tensor.values):
            raise FormatError(
                tensor.at, f"{tensor.what}: {len(tensor.values)} values for {filled} weights that are not zero"
            )
        weights = np.zeros(places.size, np.uint32)
        weights[places > 0] = tensor.values
    *inputs, outputs = tensor.grid
    tensor.into[...] = np.moveaxis(weights.reshape(outputs, *inputs), 0, -1)


# ---------------------------------------------------------------------------------------------------------
# Keras


def _taken_apart(model: keras.Model) -> _Network:
    model = copied(model)  # layers of their own, which no other model calls
    shape = _input_shape(model)
    network = _Network(shape, [])
    for layer in _chain(model):
        kind, settings = _kind(layer)
        if problem := _problem(kind, shape, settings):
            raise ValueError(f"layer {layer.name!r} ({kind.name}) {problem}")
        tensors = [
            np.ascontiguousarray(weights, np.float32).reshape(grid)
            for weights, grid in zip(layer.get_weights(), kind.grids(shape, settings), strict=True)
        ]
        network.layers.append(_Layer(kind, settings, tensors))
        shape = kind.after(shape, settings)
    return network


def _chain(model: keras.Model) -> list[Any]:
    """Return the layers of a model, each of which takes what the one before it puts out."""
    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    before = model.inputs[0]
    for layer in layers:
        if len(layer._inbound_nodes) != 1 or layer.input is not before:
            raise ValueError(f"layer {layer.name!r} does not take, once, what the layer before it puts out: no chain")
        before = layer.output
    if not layers or len(model.inputs) != 1 or len(model.outputs) != 1 or model.outputs[0] is not before:
        raise ValueError(f"the {len(layers)} layers of model {model.name!r} are no chain from one input to one output")
    return layers


def _input_shape(model: keras.Model) -> _Shape:
    shape = tuple(model.inputs[0].shape[1:])
    if len(shape) not in (1, 3) or None in shape:
        raise ValueError(
            f"model {model.name!r} takes inputs of shape {shape}; the format has (features,) and (height, width, "
            "channels), all of them known"
        )
    height, width, channels = shape if len(shape) == 3 else (1, 1, *shape)
    return _Shape(height, width, channels, flat=len(shape) == 1)


_TRAINING = {"name", "trainable", "dtype", "momentum", "synchronized", "renorm_clipping", "renorm_momentum"}


def _kind(layer: Any) -> tuple[_Kind, _Settings]:
    """Return the kind and the settings of a Keras layer, if the format has a place for all of them."""
    import keras

    name = type(layer).__name__
    kind = next((kind for kind in _KINDS if kind.name == name), None)
    if kind is None or type(layer) is not getattr(keras.layers, name):
        known = ", ".join(kind.name for kind in _KINDS)
        raise ValueError(f"layer {layer.name!r} is a {name}, for which the format has no place; it has {known}")
    if layer.dtype_policy.name != "float32":
        raise ValueError(f"layer {layer.name!r} ({name}) has the policy {layer.dtype_policy.name}; it must be float32")
    config = layer.get_config()
    settings = {setting: config[setting] for setting in kind.settings}
    for setting, value in settings.items():
        if problem := _misfit(kind.settings[setting], value):
            raise ValueError(f"layer {layer.name!r} ({name}) has {setting}={value!r}, which {problem}")
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    plain = getattr(keras.layers, name)(**settings, dtype="float32").get_config()
    for setting, value in config.items():
        serves_training = setting in _TRAINING or setting.endswith(("_initializer", "_regularizer", "_constraint"))
        if not serves_training and value != plain.get(setting):
            raise ValueError(
                f"layer {layer.name!r} ({name}) has {setting}={value!r}, for which the format has no place"
            )
    return kind, settings


def _misfit(kind: Any, value: Any) -> str:
    """Return why a setting's value has no place in the format, or nothing."""
    if kind == _NUMBER:
        return "" if value <= _LARGEST_NUMBER else f"is above {_LARGEST_NUMBER}"
    if kind == _PAIR:
        return "" if max(value) <= _LARGEST_PAIR else f"is above {_LARGEST_PAIR}"
    if kind == _REAL:
        return "" if isinstance(value, int | float) else "is no single number"
    return "" if value in kind else f"is not one of {', '.join(map(str, kind))}"


def _put_together(network: _Network) -> keras.Model:
    import keras

    shape = network.shape
    model = keras.Sequential(name="decoded")
    model.add(keras.Input((shape.size,) if shape.flat else (shape.height, shape.width, shape.channels)))
    for layer in network.layers:
        model.add(getattr(keras.layers, layer.kind.name)(**layer.settings, dtype="float32"))
    for built, layer in zip(model.layers, network.layers, strict=True):
        wanted = [tuple(weights.shape) for weights in built.weights]
        built.set_weights([w.reshape(shape) for w, shape in zip(layer.tensors, wanted, strict=True)])
    return model
