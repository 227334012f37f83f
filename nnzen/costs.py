r"""What a network costs: parameters, arithmetic and traffic of every layer, read from its structure.

Nothing is run and nothing is typed. A kernel with :math:`n` weights that is applied at :math:`P` positions of its
output takes :math:`nP` multiplications and as many additions for one image, so

.. math:: \text{FLOP} = 2\,n\,P .

That holds for dense layers (:math:`P = 1`) and for convolutions, grouped ones (whose kernels have fewer input
channels) and depthwise ones included; a separable convolution is two of them. **Counted** are these products only.
Biases, activations, pooling, normalization and sums of branches are **not counted**: they take a few operations a
value, where a product takes hundreds; what they cost in practice is traffic, which is counted for them, too.

*Traffic* is what a layer would read and write if it were executed by itself in float32: its inputs and outputs for one
image, and its weights once. Layers that change nothing in use (input, flatten, reshape, dropout) move nothing.

*Training* takes, beside the forward product, one product of the same size for the gradient in the weights of a layer
that is trained, and one for the gradient in its input, if anything below needs it: three in all, and two for the
first layer. Chapter 03 derives both, chapter 16 uses them.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

__all__ = ["Costs", "LayerCost", "costs"]

_BYTES = 4  # of a number in float32


@dataclass(frozen=True)
class LayerCost:
    """What one call of one layer costs.

    Attributes
    ----------
    name : str
        The layer's name; inside nested models ``outer/inner``.
    kind : str
        Its class, such as ``"Conv2D"``.
    shape : tuple of int
        Of its output for one image.
    trainable, other : int
        Parameters that training changes by their gradient, and all others: statistics, frozen weights. A layer that is
        called twice has them in its first row only.
    flop : int
        Of the forward pass of one image.
    training_flop : int
        Of the forward and the backward pass of one image.
    weight_bytes, input_bytes, output_bytes : int
        Read, read and written, in float32: the weights once, the values for one image.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    trainable: int
    other: int
    flop: int
    training_flop: int
    weight_bytes: int
    input_bytes: int
    output_bytes: int


@dataclass(frozen=True, repr=False)
class Costs:
    """What a network costs, layer by layer, and in all.

    Attributes
    ----------
    name : str
        Of the network.
    layers : tuple of LayerCost
        In the order of computation.
    """

    name: str
    layers: tuple[LayerCost, ...]

    def _sum(self, field: str) -> int:
        return sum(getattr(layer, field) for layer in self.layers)

    @property
    def trainable(self) -> int:
        """Parameters that training changes by their gradient."""
        return self._sum("trainable")

    @property
    def other(self) -> int:
        """All other parameters: statistics of normalization, frozen weights."""
        return self._sum("other")

    @property
    def parameters(self) -> int:
        """All parameters, as Keras counts them."""
        return self.trainable + self.other

    @property
    def flop(self) -> int:
        """FLOP of the forward pass of one image."""
        return self._sum("flop")

    @property
    def training_flop(self) -> int:
        """FLOP of the forward and the backward pass of one image."""
        return self._sum("training_flop")

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written for one image, layer by layer, weights included."""
        return self._sum("weight_bytes") + self._sum("input_bytes") + self._sum("output_bytes")

    def _rows(self) -> list[tuple[str, ...]]:
        rows = [
            (r.name, r.kind, " × ".join(map(str, r.shape)), r.trainable, r.other, r.flop, _moved(r))
            for r in self.layers
        ]
        rows.append((self.name, "in all", "", self.trainable, self.other, self.flop, self.bytes_moved))
        return [tuple(cell if isinstance(cell, str) else f"{cell:,}" for cell in row) for row in rows]

    def __str__(self) -> str:
        table = [_HEAD, *self._rows()]
        widths = [max(len(row[i]) for row in table) for i in range(len(_HEAD))]
        return "\n".join(
            "  ".join(row[i].ljust(w) if i < 3 else row[i].rjust(w) for i, w in enumerate(widths)) for row in table
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def line(cells: tuple[str, ...], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(line(row, "td") for row in self._rows())
        return f'<table class="nz-costs"><thead>{line(_HEAD, "th")}</thead><tbody>{body}</tbody></table>'


_HEAD = ("layer", "kind", "output", "trainable", "other", "FLOP", "bytes moved")


def costs(model: keras.Model) -> Costs:
    """Count what a network costs. Neither builds nor runs anything.

    Parameters
    ----------
    model : keras.Model
        Sequential or functional, with known image size; nested models are opened, layers may be called repeatedly.

    Returns
    -------
    Costs

    Raises
    ------
    ValueError
        If the model has no graph of layers (it is subclassed, or not built), if a shape is not known, or if a layer is
        of a kind for which this module has no rule: it is named, never counted as nothing.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Conv2D(8, 3, padding="same", name="conv")])
    >>> found = costs(model)
    >>> found.parameters, found.flop == 2 * (3 * 3 * 1 * 8) * (28 * 28)
    (80, True)
    """
    rows, _ = _follow(model, "", needed=[False] * len(_graph(model).inputs), seen=set())
    return Costs(model.name, tuple(rows))


# --- rules --------------------------------------------------------------------------------------------------

_Products = list[tuple[int, int]]  # numbers of weights and of positions


def _dense(layer: Any, shape: tuple[int, ...]) -> _Products:
    return [(_size(layer.kernel.shape), _size(shape[:-1]))]


def _conv(layer: Any, shape: tuple[int, ...]) -> _Products:
    return [(_size(layer.kernel.shape), _positions(layer, shape))]


def _separable(layer: Any, shape: tuple[int, ...]) -> _Products:
    kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
    return [(_size(kernel.shape), _positions(layer, shape)) for kernel in kernels]


_RULES: dict[str, Callable[[Any, tuple[int, ...]], _Products]] = {
    "Dense": _dense,
    "Conv1D": _conv,
    "Conv2D": _conv,
    "Conv3D": _conv,
    "DepthwiseConv1D": _conv,
    "DepthwiseConv2D": _conv,
    "SeparableConv1D": _separable,
    "SeparableConv2D": _separable,
}
_IDLE = {"InputLayer", "Flatten", "Reshape", "Dropout", "SpatialDropout2D", "GaussianNoise", "Identity"}
_NOT_COUNTED = _IDLE | {
    *("Activation", "ReLU", "Relu", "Relu6", "LeakyReLU", "PReLU", "ELU", "Sigmoid", "Tanh", "Gelu", "Silu", "Softmax"),
    *("Add", "Subtract", "Multiply", "Average", "Maximum", "Concatenate", "Take", "Rescaling", "Normalization"),
    *("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D"),
    *("ZeroPadding2D", "Cropping2D", "UpSampling2D"),
    *("BatchNormalization", "LayerNormalization", "RMSNormalization", "GroupNormalization", "UnitNormalization"),
}


def _products(name: str, layer: Any, shape: tuple[int, ...]) -> _Products:
    kind = type(layer).__name__
    if kind in _RULES:
        return _RULES[kind](layer, shape)
    if kind in _NOT_COUNTED:
        return []
    raise ValueError(f"layer {name!r} is of the kind {kind}, for which nnzen.costs has no rule; add one there")


# --- the graph ----------------------------------------------------------------------------------------------


def _graph(model: Any) -> Any:
    """Return what holds the model's calls of layers; Keras has no public name for them."""
    graph = getattr(model, "_functional", None) or model
    if not hasattr(graph, "_nodes_by_depth"):
        raise ValueError(
            f"model {model.name!r} ({type(model).__name__}) has no graph of layers to read: write it with "
            "keras.Sequential and an Input, or with the functional interface"
        )
    return graph


def _follow(model: Any, prefix: str, needed: list[bool], seen: set[int]) -> tuple[list[LayerCost], list[bool]]:
    """Return a row for each call, and whether each output depends on a weight that is trained; `needed`: the inputs."""
    graph = _graph(model)
    depends = dict(zip(map(id, graph.inputs), needed, strict=True))
    rows: list[LayerCost] = []
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            layer, inputs, outputs = node.operation, node.input_tensors, node.output_tensors
            below = [depends[id(tensor)] for tensor in inputs]
            if hasattr(layer, "_nodes_by_depth") or hasattr(layer, "_functional"):
                inner, above = _follow(layer, f"{prefix}{layer.name}/", below, seen)
                rows += inner
            elif node.is_input:
                rows.append(_row(f"{prefix}{layer.name}", layer, [], outputs, needed=False, first=True))
                above = [depends[id(tensor)] for tensor in outputs]
            else:
                first = id(layer) not in seen
                rows.append(_row(f"{prefix}{layer.name}", layer, inputs, outputs, needed=any(below), first=first))
                above = [any(below) or bool(_weights(layer, "trainable_weights"))] * len(outputs)
            seen.add(id(layer))
            depends.update(zip(map(id, outputs), above, strict=True))
    return rows, [depends[id(tensor)] for tensor in graph.outputs]


def _row(name: str, layer: Any, inputs: list[Any], outputs: list[Any], *, needed: bool, first: bool) -> LayerCost:
    shapes = [tuple(tensor.shape[1:]) for tensor in (*inputs, *outputs)]
    if any(side is None for shape in shapes for side in shape):
        raise ValueError(f"layer {name!r} has inputs and outputs of shape {shapes}; give the model a fixed image size")
    trainable, weights = _count(layer, "trainable_weights"), _count(layer, "weights")
    flop = training = 0
    for kernel, positions in _products(name, layer, shapes[-1]):
        product = 2 * kernel * positions
        flop += product
        training += product * (1 + (trainable > 0) + needed)
        needed = needed or trainable > 0  # the second product of a separable convolution has trained weights below it
    idle = type(layer).__name__ in _IDLE
    return LayerCost(
        name=name,
        kind=type(layer).__name__,
        shape=shapes[-1],
        trainable=trainable * first,
        other=(weights - trainable) * first,
        flop=flop,
        training_flop=training,
        weight_bytes=_BYTES * weights,
        input_bytes=0 if idle else _BYTES * sum(map(_size, shapes[: len(inputs)])),
        output_bytes=0 if idle else _BYTES * sum(map(_size, shapes[len(inputs) :])),
    )


def _weights(layer: Any, which: str) -> list[Any]:
    return getattr(layer, which, [])  # an operation such as a sum of two tensors has none


def _count(layer: Any, which: str) -> int:
    return sum(_size(weight.shape) for weight in _weights(layer, which))


def _size(shape: Any) -> int:
    return math.prod(shape)


def _positions(layer: Any, shape: tuple[int, ...]) -> int:
    return _size(shape[:-1] if layer.data_format == "channels_last" else shape[1:])


def _moved(row: LayerCost) -> int:
    return row.weight_bytes + row.input_bytes + row.output_bytes
