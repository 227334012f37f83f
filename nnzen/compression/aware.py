r"""Quantization-aware training: a network that computes with rounded weights while others, not rounded, are trained.

Behind each weight of the forward pass, a number s k of a grid, stands a *latent* weight w. With the step s > 0,
:math:`n = 2^{b-1} - 1` for b bits, and ties to even,

.. math:: \hat{w} = s\,\operatorname{clip}\big(\operatorname{round}(w / s),\ -n,\ n\big) \quad (b \ge 2), \qquad
          \hat{w} = \pm s \text{ by the sign of } w \quad (b = 1,\ n = 1).

The derivative of this is 0 almost everywhere. The *straight-through estimator* puts another one in its place,

.. math:: \frac{\partial L}{\partial w} := \frac{\partial L}{\partial \hat{w}} \cdot [\,|w| \le n s\,] ,

and after each step w is brought back to [−n s, n s], or a weight outside would never move again. Two bits are three
values, −s, 0 and s. Steps are chosen once, before the training, for the least mean square error: by `Affine.fit` for 2
bits and more; for one bit it is the mean of \|w\|. Chapter 24 derives all of it.

References
----------
Bengio, Léonard and Courville (2013), https://arxiv.org/abs/1308.3432
Courbariaux, Bengio and David (2015), https://arxiv.org/abs/1511.00363
Rastegari et al. (2016), https://arxiv.org/abs/1603.05279
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nnzen.compression.quantization import Affine
from nnzen.compression.result import Change, Compressed, copied

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

__all__ = ["converted", "quantization_aware"]

_KINDS = ("Conv2D", "Dense")


def quantization_aware(model: keras.Model, bits: int | Mapping[str, int], *, per_channel: bool = True) -> keras.Model:
    """Return a copy that computes with kernels of few bits, and is trained by the straight-through estimator.

    Activations and biases stay in float32. :func:`converted` makes a usual model of it.

    Parameters
    ----------
    model : keras.Model
        Built, of dense and convolutional layers, batch normalization (which stays as it is) and layers without weights.
    bits : int or mapping of str to int
        Of a weight, from 1 to 8; as a mapping, by layer, for the layers that it names: others stay as they are.
    per_channel : bool
        Whether each output channel of a kernel has a step of its own.

    Returns
    -------
    keras.Model
        Not compiled; what `nnzen.training.fit` takes as ``build=lambda: quantization_aware(model, 2)``.

    Raises
    ------
    TypeError
        If it is not a Keras model.
    ValueError
        If a layer has weights and no rule or is not there, or bits are out of range; it is named.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name="out")], name="small")
    >>> _ = model.layers[0].kernel.assign([[0.1], [-0.9], [1.1], [1.0]])
    >>> np.asarray(quantization_aware(model, 2).layers[0].kernel).ravel()
    array([ 0.   , -1.001,  1.001,  1.001], dtype=float32)
    >>> np.asarray(quantization_aware(model, 1).layers[0].kernel).ravel()
    array([ 0.775, -0.775,  0.775,  0.775], dtype=float32)
    """
    import keras

    ops = keras.ops
    source = copied(model)
    wanted = _wanted(source, bits)

    class Aware:
        """In front of a layer's class: latent weights, and a kernel that is their place on a grid."""

        bits: int
        scale: Any
        tensors: list[Any]

        def build(self: Any, _: Any) -> None:
            kernel, *bias = self.tensors
            steps = max(1, 2 ** (self.bits - 1) - 1)
            self.steps, self.end = steps, steps * self.scale
            self.latent = self.add_weight(
                name="latent",
                shape=kernel.shape,
                initializer=keras.initializers.Constant(np.clip(kernel, -self.end, self.end)),
                constraint=lambda w: ops.clip(w, -self.end, self.end),
            )
            self.bias = None
            if bias:
                initial = keras.initializers.Constant(bias[0])
                self.bias = self.add_weight(name="bias", shape=bias[0].shape, initializer=initial)
            self.built = True

        @property
        def kernel(self: Any) -> Any:
            w = ops.convert_to_tensor(self.latent)
            if self.bits == 1:
                rounded = ops.where(w >= 0, self.scale, -self.scale)
            else:  # a product: a quotient by a constant may be computed in another way in a graph than outside
                rounded = self.scale * ops.clip(ops.round(w * (1 / self.scale)), -self.steps, self.steps)
            # the difference is 0, and has the derivative 1 inside the grid
            inside = ops.where(ops.abs(w) <= self.end, w, ops.stop_gradient(w))
            return ops.stop_gradient(rounded) + (inside - ops.stop_gradient(inside))

    def clone(layer: Any) -> Any:
        if layer.name not in wanted:
            return type(layer).from_config(layer.get_config())
        kind: Any = type(f"Aware{type(layer).__name__}", (Aware, type(layer)), {"plain": type(layer)})
        new = kind.from_config(layer.get_config())
        new.tensors = layer.get_weights()
        new.bits = wanted[layer.name]
        new.scale = _scale(new.tensors[0], new.bits, per_channel)
        return new

    return copied(source, clone)


def converted(model: keras.Model) -> Compressed:
    """Return a usual model that computes what a quantization-aware one does, bit for bit.

    Parameters
    ----------
    model : keras.Model
        Such as `quantization_aware` returns, trained or not: without training, this is quantization after training.

    Returns
    -------
    Compressed
        Its changes count the bytes of kernels (at their bits), biases (4 each) and scales of kernels (4 each); the
        model itself holds them in float32.

    Raises
    ------
    ValueError
        If no layer is quantization-aware.

    Examples
    --------
    >>> import keras
    >>> layers = [keras.Input((40,)), keras.layers.Dense(3, name="out")]
    >>> aware = quantization_aware(keras.Sequential(layers, name="small"), 2)
    >>> print(converted(aware))
    small: quantized in training (bytes of weights)
    layer   kind   before  after   left
    out     Dense     492     54  11.0%  2 bits, 3 scales
    in all            492     54  11.0%
    """
    if not any(hasattr(layer, "plain") for layer in model.layers):
        raise ValueError(f"model {model.name!r} has no quantization-aware layer; quantization_aware(model) makes them")

    def clone(layer: Any) -> Any:
        return getattr(layer, "plain", type(layer)).from_config(layer.get_config())

    new, changes = copied(model, clone), []
    for layer, old in zip(new.layers, model.layers, strict=True):
        if hasattr(old, "plain"):
            bias = [] if old.bias is None else [np.asarray(old.bias)]
            layer.set_weights([np.asarray(old.kernel), *bias])
            weights, biases, scales = old.latent.shape, sum(b.size for b in bias), np.size(old.scale)
            after = math.ceil(math.prod(weights) * old.bits / 8) + 4 * biases + 4 * scales
            note = f"{old.bits} bit{'s' * (old.bits > 1)}, {scales} scale{'s' * (scales > 1)}"
            changes.append(Change(old.name, old.plain.__name__, 4 * (math.prod(weights) + biases), after, note))
    return Compressed(new, "quantized in training", "bytes of weights", tuple(changes))


# ---------------------------------------------------------------------------------------------------------


def _wanted(model: Any, bits: int | Mapping[str, int]) -> dict[str, int]:
    """Return the bits of each layer that is to be quantized, or say which layer there is no rule for."""
    there = []
    for layer in model.layers:
        kind = type(layer).__name__
        if kind in _KINDS:
            there.append(layer.name)
        elif layer.weights and kind != "BatchNormalization":
            raise ValueError(
                f"there is no rule for layer {layer.name!r} ({kind}); quantization-aware training knows "
                f"{', '.join(_KINDS)}, and leaves BatchNormalization and layers without weights as they are"
            )
    wanted = dict(bits) if isinstance(bits, Mapping) else dict.fromkeys(there, bits)
    if not wanted:
        raise ValueError(f"model {model.name!r} has no layer to quantize")
    for name, number in wanted.items():
        if name not in there:
            raise ValueError(f"there is no layer {name!r} with a kernel; there are {', '.join(there)}")
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or not 1 <= number <= 8:
            raise ValueError(f"the bits of {name!r} are {number!r}; they must be a whole number from 1 to 8")
    return {name: int(number) for name, number in wanted.items()}


def _scale(kernel: NDArray[np.float32], bits: int, per_channel: bool) -> NDArray[np.float32]:
    """Return the step of least mean square error, one or one for each channel."""
    if bits == 1:
        axes = tuple(range(kernel.ndim - per_channel))
        return np.asarray(np.abs(kernel.astype(np.float64)).mean(axis=axes), dtype=np.float32)
    grid = Affine.fit(kernel, bits=bits, symmetric=True, per_channel=per_channel, method="mse")
    return np.asarray(grid.scale, dtype=np.float32)
