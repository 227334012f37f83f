"""Random networks of the .nnz format, and files with a header that is right around a body that need not be."""

import struct
import zlib

import numpy as np

from nnzen.compression import coding
from nnzen.compression.coding import _KINDS, _Layer, _Network, _Shape

KINDS = {kind.name: kind for kind in _KINDS}
SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, 65504.0, 65520.0, 0.1], np.float32)
SIGNALLING = np.array([0x7F800001, 0xFFC00123], np.uint32).view(np.float32)  # two NaN that arithmetic would change


def tensor(rng, grid):
    """Weights as they occur, and as they do not: few values or many, zeros or none, half or single precision."""
    size = int(np.prod(grid))
    values = rng.choice([1, 2, 7, 40, 255, 256, 400])
    weights = rng.normal(size=values).astype(rng.choice([np.float16, np.float32])).astype(np.float32)
    if rng.random() < 0.3:
        weights = abs(weights) * rng.choice([-1, 1])
    if rng.random() < 0.2:
        weights[:1].view(np.uint32)[0] = rng.choice(np.concatenate([SPECIAL, SIGNALLING]).view(np.uint32))
    out = rng.choice(weights, size) if rng.random() < 0.8 else rng.normal(size=size).astype(np.float32)
    out[rng.random(size) < rng.choice([0, 0.5, 0.97, 1])] = 0
    return out.astype(np.float32).reshape(grid)


def network(seed):
    """A network of random layers that fit."""
    rng = np.random.default_rng(seed)
    flat = rng.random() < 0.4
    shape = first = (
        _Shape(1, 1, int(rng.integers(1, 40)), True) if flat else _Shape(*map(int, rng.integers(1, 9, 3)), False)
    )
    layers = []
    for _ in range(rng.integers(1, 6)):
        kind = _KINDS[rng.integers(len(_KINDS))]
        drawn = {name: setting(rng, type_) for name, type_ in kind.settings.items()}
        if coding._problem(kind, shape, drawn):
            continue
        layers.append(_Layer(kind, drawn, [tensor(rng, grid) for grid in kind.grids(shape, drawn)]))
        shape = kind.after(shape, drawn)
    layers = layers or [_Layer(KINDS["ReLU"], {}, [])]
    return _Network(first, layers)


def setting(rng, kind):
    if kind == "number":
        return int(rng.integers(1, 20))
    if kind == "pair":
        return int(rng.integers(1, 4)), int(rng.integers(1, 4))
    if kind == "real":
        return float(np.float32(rng.normal()))
    return kind[rng.integers(len(kind))]


def sealed(body):
    """A file with this body and a header that is right."""
    rest = coding._varint(len(body)) + body
    return b"NNZ\x01" + struct.pack("<I", zlib.crc32(rest)) + rest


def body(data):
    return data[9:] if data[8] < 128 else data[10:]
