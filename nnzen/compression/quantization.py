r"""Affine quantization: numbers on a grid of few values, and networks that compute on such grids.

A number x is stored as a whole number q of b bits,

.. math:: q = \operatorname{clip}\big(\operatorname{round}(x / s) + z,\ q_{\min},\ q_{\max}\big), \qquad
          \hat{x} = s\,(q - z),

with the *scale* s > 0 and the *zero point* z, a whole number, so that 0 is exact. Rounding is to the nearest, ties to
even. Between the ends of the grid :math:`|\hat{x} - x| \le s/2`; outside them x is clipped. `quantize` simulates a
network of this kind in floating point: its weights and activations lie on grids, its sums are those of whole numbers,
up to the rounding of float32. Chapter 23 derives all of it.

References
----------
Jacob et al. (2018), https://arxiv.org/abs/1712.05877
Nagel et al. (2021), https://arxiv.org/abs/2106.08295
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nnzen.compression.result import Change, Compressed, copied

if TYPE_CHECKING:
    import keras
    from numpy.typing import ArrayLike, NDArray

    from nnzen.compression import result

__all__ = ["CALIBRATIONS", "Affine", "Quantized", "quantize"]

CALIBRATIONS = ("minmax", "percentile", "mse")
"""Ways to choose the ends of a grid: the extremes, quantiles, or the ends of least mean square error."""

_BINS = 4096  # that stand for many values in the search for the least error: sixteen to a step of 8 bits
_BATCH = 256  # calibration images in a call, which is not compiled: that would take longer than the call
_CLIPS = np.arange(1, 101) / 100  # shares of the whole range that are tried there

_WEIGHTED = ("Conv2D", "Dense")
_COMPUTING = ("Activation", "Add", "Average", "AveragePooling2D", "Concatenate", "GlobalAveragePooling2D", "Rescaling")
_PASSING = (  # what only picks or moves numbers leaves them on their grid, because 0 is on it
    "Cropping2D",
    "Dropout",
    "Flatten",
    "GlobalMaxPooling2D",
    "InputLayer",
    "MaxPooling2D",
    "Permute",
    "ReLU",
    "Reshape",
    "ZeroPadding2D",
)


@dataclass(frozen=True, eq=False)
class Affine:
    """A grid of numbers s (q − z), or one for each channel.

    Attributes
    ----------
    scale : float or ndarray, shape (C,)
        s, the step; of the channels of the last axis, where there are several.
    zero_point : int or ndarray, shape (C,)
        z, the whole number that stands for 0.
    bits : int
        b, from 2 to 16.
    signed : bool
        Whether q goes from −2ᵇ⁻¹ to 2ᵇ⁻¹ − 1 or from 0 to 2ᵇ − 1.
    narrow : bool
        Whether the lowest q is left out, so that a signed grid with z = 0 is symmetric.

    Raises
    ------
    ValueError
        If a scale is not positive and finite, or bits or a zero point is no whole number in its range.

    Examples
    --------
    >>> grid = Affine(scale=0.5, zero_point=-2, bits=4)
    >>> grid.quantize([-1.1, 0.0, 0.3, 9.0])
    array([-4, -2, -1,  7], dtype=int8)
    >>> grid.dequantize([-4, -2, -1, 7])
    array([-1. ,  0. ,  0.5,  4.5])
    """

    scale: Any
    zero_point: Any = 0
    bits: int = 8
    signed: bool = True
    narrow: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.bits, bool) or not isinstance(self.bits, int | np.integer) or not 2 <= self.bits <= 16:
            raise ValueError(f"bits is {self.bits!r}; it must be a whole number from 2 to 16")
        scale, zero = np.asarray(self.scale, dtype=np.float64), np.asarray(self.zero_point)
        if scale.ndim > 1 or not np.all((scale > 0) & (scale < np.inf)):
            raise ValueError(f"scale is {self.scale!r}; it must be positive and finite, one or one for each channel")
        if zero.dtype.kind not in "iu" or np.any(zero < self.lowest) or np.any(zero > self.highest):
            raise ValueError(
                f"zero_point is {self.zero_point!r}; it must be a whole number from {self.lowest} to {self.highest}"
            )
        if zero.ndim and zero.shape != scale.shape:
            raise ValueError(f"zero_point has shape {zero.shape} and scale {scale.shape}; they must have the same")

    @property
    def lowest(self) -> int:
        """Lowest whole number."""
        return (-(2 ** (self.bits - 1)) if self.signed else 0) + self.narrow

    @property
    def highest(self) -> int:
        """Highest whole number."""
        return int(2 ** (self.bits - self.signed) - 1)

    @property
    def ends(self) -> tuple[Any, Any]:
        """Lowest and highest number of the grid."""
        return self.scale * (self.lowest - self.zero_point), self.scale * (self.highest - self.zero_point)

    def quantize(self, x: ArrayLike) -> NDArray[np.integer]:
        """Return the whole numbers of `x`, of the smallest type that holds them.

        Parameters
        ----------
        x : array_like of float, any shape
            The last axis has C entries where there are as many scales.

        Raises
        ------
        ValueError
            If a number is NaN or infinite, or the last axis does not fit.
        """
        values = self._fitting(_finite("x", x))
        # clipped before it is a whole number: a huge one would overflow
        q = np.clip(np.rint(values / self.scale) + self.zero_point, self.lowest, self.highest)
        return q.astype(f"{'i' if self.signed else 'u'}{1 if self.bits <= 8 else 2}")

    def dequantize(self, q: ArrayLike) -> NDArray[np.float64]:
        """Return the numbers that whole numbers stand for, s (q − z).

        Parameters
        ----------
        q : array_like of int, any shape

        Raises
        ------
        ValueError
            If they are no whole numbers of this grid.
        """
        numbers = self._fitting(np.asarray(q))
        if numbers.dtype.kind not in "iu":
            raise ValueError(f"q has dtype {numbers.dtype}; it must be whole numbers")
        if numbers.size and (numbers.min() < self.lowest or numbers.max() > self.highest):
            raise ValueError(
                f"q goes from {numbers.min()} to {numbers.max()}; this grid goes from {self.lowest} to {self.highest}"
            )
        return np.asarray(self.scale * (numbers.astype(np.int64) - self.zero_point), dtype=np.float64)

    def rounded(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the nearest numbers of the grid, `dequantize` of `quantize`."""
        return self.dequantize(self.quantize(x))

    def _fitting(self, array: NDArray[Any]) -> NDArray[Any]:
        channels = np.shape(self.scale)
        if channels and array.shape[-1:] != channels:
            raise ValueError(f"the array has shape {array.shape}; its last axis must have {channels[0]} channels")
        return array

    @classmethod
    def fit(
        cls,
        values: ArrayLike,
        *,
        bits: int = 8,
        signed: bool = True,
        symmetric: bool = False,
        per_channel: bool = False,
        method: str = "minmax",
        share: float = 0.9999,
    ) -> Affine:
        """Choose a grid for numbers like those that are given.

        Parameters
        ----------
        values : array_like of float
            At least one; channels are the last axis.
        bits, signed
            Of the grid.
        symmetric : bool
            Whether z is 0 and the grid symmetric, as weights take it; signed grids alone can be.
        per_channel : bool
            Whether each channel gets a grid of its own.
        method : {'minmax', 'percentile', 'mse'}
            Where the grid ends: at the extremes and 0; at the quantiles 1 − `share` and `share`; at the same share of
            both extremes, in hundredths, that has the least mean square error.
        share : float
            Of ``percentile``, above one half and at most 1.

        Raises
        ------
        ValueError
            If there are no values, one is not finite, or an argument is out of range.

        Examples
        --------
        >>> Affine.fit([-0.5, 0.0, 127.0], bits=8)
        Affine(scale=0.5, zero_point=-127, bits=8, signed=True, narrow=False)
        >>> Affine.fit([[1.0, 30.0], [-2.0, 60.0]], bits=3, symmetric=True, per_channel=True).scale
        array([ 0.66666667, 20.        ])
        """
        x = _finite("values", values)
        if not x.size:
            raise ValueError("values is empty; a grid takes at least one number")
        if method not in CALIBRATIONS:
            raise ValueError(f"method is {method!r}; it must be one of {', '.join(CALIBRATIONS)}")
        if symmetric and not signed:
            raise ValueError("a symmetric grid is signed; say signed=True or symmetric=False")
        if not 0.5 < share <= 1:
            raise ValueError(f"share is {share!r}; it must be above 0.5 and at most 1")
        rows = x.reshape(-1, x.shape[-1]) if per_channel else x.reshape(-1, 1)
        make = functools.partial(cls._between, bits=bits, signed=signed, symmetric=symmetric)
        quantiles = np.quantile(rows, (1 - share, share), axis=0) if method == "percentile" else None
        low, high = (rows.min(axis=0), rows.max(axis=0)) if quantiles is None else quantiles
        if method == "mse":
            kept = _best_share(rows, lambda c: make(c * low, c * high))
            low, high = kept * low, kept * high
        return make(low, high) if per_channel else make(float(low[0]), float(high[0]))

    @classmethod
    def _between(cls, low: Any, high: Any, *, bits: int, signed: bool, symmetric: bool) -> Affine:
        low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
        steps = 2 ** (bits - 1) - 1 if symmetric else 2**bits - 1
        width = np.maximum(-low, high) if symmetric else high - low
        # where all is 0 any step will do; the smallest normal number keeps s above 0 where the width is tiny
        scale = np.where(width > 0, np.maximum(width / steps, np.finfo(np.float64).tiny), 1.0)
        lowest = -(2 ** (bits - 1)) if signed else 0
        highest = lowest + 2**bits - 1
        zero = np.zeros_like(scale) if symmetric else np.clip(np.rint(lowest - low / scale), lowest, highest)
        if not np.ndim(low):
            return cls(float(scale), int(zero), bits, signed, symmetric)
        return cls(scale, zero.astype(int), bits, signed, symmetric)


def _best_share(rows: NDArray[np.float64], make: Any) -> NDArray[np.float64]:
    """Return, for each column, the share of the range whose grid has the least sum of squared errors."""
    weights = np.ones_like(rows)
    if len(rows) > _BINS and rows.shape[1] == 1 and rows.min() < rows.max():
        counts, _ = np.histogram(rows, _BINS)
        sums, _ = np.histogram(rows, _BINS, weights=rows)
        there = counts > 0
        rows, weights = (sums[there] / counts[there])[:, None], counts[there][:, None].astype(np.float64)
    errors = np.stack([np.sum(weights * (make(c).rounded(rows) - rows) ** 2, axis=0) for c in _CLIPS])
    return np.asarray(_CLIPS[np.argmin(errors, axis=0)])


def _finite(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds {int(np.sum(~np.isfinite(array)))} numbers that are NaN or infinite")
    return array


# --- networks -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Quantized(Compressed):
    """A network whose weights and activations lie on grids.

    Attributes
    ----------
    weights : dict of str to Affine
        The grid of each kernel, by layer.
    activations : dict of str to Affine
        The grids of the input and of what layers put out, by layer. A layer that only picks or moves numbers, such as
        a ReLU or max pooling, has none: it leaves them on theirs.
    """

    changes: tuple[result.Change, ...]  # as in Compressed; with its module, so that the API page finds it
    weights: dict[str, Affine]
    activations: dict[str, Affine]


def quantize(
    model: keras.Model,
    calibration_images: ArrayLike,
    *,
    bits: int = 8,
    per_channel: bool = True,
    calibration: str = "minmax",
    share: float = 0.9999,
) -> Quantized:
    """Return the network as whole numbers of few bits would compute it, simulated in floating point.

    Kernels get symmetric grids that end at their extremes, the input and what each layer puts out grids for the
    calibration images, biases the step of the sums, s_x s_w, without a limit. Sums are those of whole numbers, up to
    the rounding of float32.

    Parameters
    ----------
    model : keras.Model
        Sequential or functional, of layers named in this module: convolutions and dense layers, pooling, ReLU, sums.
    calibration_images : array_like, shape (N, ...)
        As the model takes them, a few hundred that are like those to come: they choose the grids of activations.
    bits : int
        Of weights and activations, from 2 to 8.
    per_channel : bool
        Whether each output channel of a kernel has a grid of its own.
    calibration : {'minmax', 'percentile', 'mse'}
        How the ends of the grids of activations are chosen, see `Affine.fit`.
    share : float
        Of ``percentile``.

    Returns
    -------
    Quantized
        Its changes count the bytes of kernels (at `bits`), biases (4 each) and scales of kernels (4 each); the model
        itself holds them in float32.

    Raises
    ------
    TypeError
        If it is not a Keras model.
    ValueError
        If a layer is of another kind or used twice; it is named. If the model has several inputs or
        outputs, an argument is out of range, or an image is not finite.

    Examples
    --------
    >>> import keras
    >>> layers = [keras.Input((4,), name="x"), keras.layers.Dense(3, name="out")]
    >>> found = quantize(keras.Sequential(layers, name="small"), np.eye(4))
    >>> print(found)
    small: quantized to 8 bits (bytes of weights)
    layer   kind   before  after   left
    out     Dense      60     36  60.0%  3 scales of weights
    in all             60     36  60.0%
    >>> found.activations["x"]
    Affine(scale=0.00392156862745098, zero_point=-128, bits=8, signed=True, narrow=False)
    """
    import keras

    if isinstance(bits, bool) or not isinstance(bits, int | np.integer) or not 2 <= bits <= 8:
        raise ValueError(f"bits is {bits!r}; it must be a whole number from 2 to 8")
    source = copied(model)
    if (len(source.inputs), len(source.outputs)) != (1, 1):
        raise ValueError(
            f"model {model.name!r} has {len(source.inputs)} inputs and {len(source.outputs)} outputs; it must have one "
            "of each"
        )
    graph = keras.Model(source.inputs[0], source.outputs[0])
    for layer in graph.layers:
        _check(layer)
    activations = _activation_grids(graph, calibration_images, bits=int(bits), method=calibration, share=share)
    weights: dict[str, Affine] = {}
    changes: list[Change] = []
    grids: dict[
        int, tuple[Any, Affine]
    ] = {}  # of tensors of the new graph, by id; they are kept so that ids stay theirs

    def on_grid(tensor: Any, name: str) -> Any:
        grid = activations[name]
        put = _grid_layer()(grid.scale, grid.zero_point, grid.lowest, grid.highest, name=f"{name}_grid")(tensor)
        grids[id(put)] = grids[id(tensor)] = put, grid
        return put

    def entered(tensor: Any) -> Any:
        """Return what stands for an input of the graph: itself on its grid."""
        name = tensor._keras_history.operation.name
        if id(tensor) not in grids:
            on_grid(tensor, name)
        return grids[id(tensor)][0]

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        args = keras.tree.map_structure(lambda t: entered(t) if hasattr(t, "_keras_history") else t, args)
        out = layer(*args, **kwargs)
        if layer.name in activations:
            if type(layer).__name__ in _WEIGHTED:
                _set_weights(layer, source.get_layer(layer.name), grids[id(args[0])][1])
            return on_grid(out, layer.name)
        grids[id(out)] = out, grids[id(args[0])][1]
        return out

    def _set_weights(layer: Any, old: Any, grid_in: Affine) -> None:
        kernel, *bias = (np.asarray(w, dtype=np.float64) for w in old.get_weights())
        grid = Affine.fit(kernel, bits=int(bits), symmetric=True, per_channel=per_channel)
        weights[layer.name] = grid
        step = grid_in.scale * grid.scale
        layer.set_weights([grid.rounded(kernel), *(np.rint(b / step) * step for b in bias)])
        scales, numbers = np.size(grid.scale), sum(b.size for b in bias)
        after = math.ceil(kernel.size * bits / 8) + 4 * numbers + 4 * scales
        note = f"{scales} scale{'s' * (scales > 1)} of weights"
        changes.append(Change(layer.name, type(layer).__name__, 4 * (kernel.size + numbers), after, note))

    new = keras.models.clone_model(graph, call_function=call)
    new.name = model.name
    return Quantized(new, f"quantized to {bits} bits", "bytes of weights", tuple(changes), weights, activations)


def _check(layer: Any) -> None:
    kind = type(layer).__name__
    plain = kind != "ReLU" or (layer.max_value, layer.negative_slope, layer.threshold) == (None, 0, 0)
    if not plain:
        raise ValueError(f"layer {layer.name!r} is a ReLU with a limit, slope or threshold; write it as an Activation")
    if kind not in _WEIGHTED + _COMPUTING + _PASSING:
        hint = "; fold it into the layer before it first" if kind == "BatchNormalization" else ""
        raise ValueError(
            f"layer {layer.name!r} is a {kind}, for which there is no rule{hint}; there are rules for "
            f"{', '.join(sorted(_WEIGHTED + _COMPUTING + _PASSING))}"
        )
    if len(layer._inbound_nodes) > 1:
        raise ValueError(f"layer {layer.name!r} is used {len(layer._inbound_nodes)} times; it must be used once")


def _activation_grids(graph: keras.Model, images: ArrayLike, **choices: Any) -> dict[str, Affine]:
    """Return the grids of the graph's inputs and of what its computing layers put out, by layer."""
    import keras

    x = _finite("calibration_images", images)
    found = [layer for layer in graph.layers if type(layer).__name__ in (*_WEIGHTED, *_COMPUTING, "InputLayer")]
    inner = keras.Model(graph.inputs[0], [layer.output for layer in found])
    parts = [inner(x[i : i + _BATCH].astype(np.float32), training=False) for i in range(0, len(x), _BATCH)]
    outputs = [np.concatenate([np.asarray(o) for o in of_layer]) for of_layer in zip(*parts, strict=True)]
    return {layer.name: Affine.fit(output, **choices) for layer, output in zip(found, outputs, strict=True)}


@functools.cache
def _grid_layer() -> Any:
    """Return the class of layers that round to a grid. Imports Keras."""
    import keras

    @keras.saving.register_keras_serializable("nnzen")
    class Grid(keras.layers.Layer):
        """Round to the nearest number s (q − z) with q from `lowest` to `highest`."""

        def __init__(self, scale: float, zero_point: int, lowest: int, highest: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.scale, self.zero_point, self.lowest, self.highest = scale, zero_point, lowest, highest

        def call(self, x: Any) -> Any:
            ops = keras.ops
            q = ops.clip(ops.round(x / self.scale) + self.zero_point, self.lowest, self.highest)
            return self.scale * (q - self.zero_point)

        def get_config(self) -> dict[str, Any]:
            names = ("scale", "zero_point", "lowest", "highest")
            return super().get_config() | {name: getattr(self, name) for name in names}

    return Grid
