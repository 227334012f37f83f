"""Pruning: weights that are set to 0, one by one, or channels that are taken out so that the network is smaller.

Optimal Brain Damage removes the weights whose **saliency** ½ h w² is smallest, where h is the second derivative of the
loss by the weight w. With all h equal that is the order of *magnitude*, abs(w). :func:`prune` takes either and makes no
kernel smaller: it only holds more zeros. :func:`keep_zeros` keeps them through a training, :func:`prune_gradually`
makes them during one, by the cubic schedule

    s_t = s (1 − (1 − (t − begin) / (end − begin))³)

for the sparsity after step t. :func:`prune_channels` removes whole filters and units, and what reads them.

References: LeCun et al. (1989), https://papers.nips.cc/paper/250; Han et al. (2015), https://arxiv.org/abs/1506.02626;
Zhu and Gupta (2017), https://arxiv.org/abs/1710.01878; Li et al. (2017), https://arxiv.org/abs/1608.08710.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nnzen.compression import result
from nnzen.compression.result import Change, copied

if TYPE_CHECKING:
    import keras
    from numpy.typing import ArrayLike, NDArray

__all__ = ["cubic_sparsity", "keep_zeros", "masks", "prune", "prune_channels", "prune_gradually"]

_KERNELS = ("Dense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D")
_ZEROS = "kernel weights that are not 0"


def cubic_sparsity(step: ArrayLike, final: float, *, end: int, begin: int = 0) -> NDArray[np.float64]:
    """Return the sparsity that Zhu and Gupta's schedule asks for: fast at first, slow where it hurts.

    Parameters
    ----------
    step : array_like of int
        Steps of training, counted from 0.
    final : float
        Sparsity at `end` and after it, from 0 to 1.
    end, begin : int
        Between which steps it rises; it is 0 up to `begin`.

    Returns
    -------
    ndarray of float, of the shape of `step`

    Raises
    ------
    ValueError
        If `final` is no share, or `end` does not come after `begin`.

    Examples
    --------
    >>> cubic_sparsity([0, 50, 100, 150], 0.8, end=100)
    array([0. , 0.7, 0.8, 0.8])
    """
    _share("final", final)
    _span(begin, end)
    done = np.clip((np.asarray(step, dtype=float) - begin) / (end - begin), 0, 1)
    return np.asarray(final * (1 - (1 - done) ** 3))


def masks(model: keras.Model) -> dict[str, NDArray[np.bool_]]:
    """Return which weights of each kernel are not 0, by the name of the layer.

    Parameters
    ----------
    model : keras.Model
        Of layers that `prune` knows.

    Returns
    -------
    dict of ndarray of bool
        Of the shapes of the kernels.

    Raises
    ------
    ValueError
        If a layer has weights and no rule, or no layer has a kernel.
    """
    return {layer.name: _values(layer) != 0 for layer in _kernels(model)}


def prune(
    model: keras.Model,
    sparsity: float | Mapping[str, float],
    *,
    by: str | Mapping[str, ArrayLike] = "magnitude",
    scope: str = "layer",
) -> result.Compressed:
    """Set the kernel weights with the smallest scores to 0.

    Biases and the weights of batch normalization stay. Of equal scores those that come first in the array go first.

    Parameters
    ----------
    model : keras.Model
        Built, of layers with kernels (dense, convolutional), batch normalization and layers without weights.
    sparsity : float or mapping of str to float
        Share of each kernel, or of all kernels together, that is to be 0: from 0 to 1. As a mapping, by layer; kernels
        that it does not name stay as they are.
    by : ``"magnitude"`` or mapping of str to array_like
        Scores: abs(w), or an array for each kernel that is to be pruned, of its shape and finite, such as saliencies.
        For the winning ticket of a trained network, prune the *initial* network by the trained one's magnitudes.
    scope : {'layer', 'global'}
        Whether each kernel loses the given share, or all together do, by one common order.

    Returns
    -------
    Compressed
        With the network of the same shape; ``masks(result.model)`` says where it is not 0.

    Raises
    ------
    ValueError
        If a layer has weights and no rule, or a sparsity, a scope or scores do not fit; the message names the layer.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="out")], name="small")
    >>> _ = model.layers[0].kernel.assign([[1.0, -4.0], [3.0, -2.0]])
    >>> pruned = prune(model, 0.5)
    >>> pruned.model.layers[0].kernel.numpy().tolist()
    [[0.0, -4.0], [3.0, 0.0]]
    >>> print(pruned)
    small: pruned by magnitude (kernel weights that are not 0)
    layer   kind   before  after   left
    out     Dense       4      2  50.0%
    in all              4      2  50.0%
    """
    if scope not in ("layer", "global"):
        raise ValueError(f"scope is {scope!r}; it must be 'layer' or 'global'")
    if scope == "global" and isinstance(sparsity, Mapping):
        raise ValueError("sparsity is given by layer, which is a choice of its own; a global scope takes one number")
    new = copied(model)
    layers = {layer.name: layer for layer in _kernels(new)}
    shares = _shares(sparsity, list(layers))
    scores = {name: _scores(layers[name], by) for name in shares}
    before = {name: _nonzero(layer) for name, layer in layers.items()}
    if scope == "global":
        gone = _smallest(np.concatenate([score.ravel() for score in scores.values()]), next(iter(shares.values())))
        ends = np.cumsum([score.size for score in scores.values()])[:-1]
        parts = np.split(gone, ends)
    else:
        parts = [_smallest(scores[name].ravel(), share) for name, share in shares.items()]
    for name, part in zip(shares, parts, strict=True):
        layer = layers[name]
        layer.kernel.assign(np.where(part.reshape(scores[name].shape), 0, _values(layer)))
    changes = tuple(_zeroed(layer, before[name]) for name, layer in layers.items())
    return result.Compressed(new, f"pruned by {by if isinstance(by, str) else 'given scores'}", _ZEROS, changes)


def keep_zeros(model: keras.Model) -> keras.Model:
    """Return a copy whose kernel weights that are 0 stay 0 in any training by a Keras optimizer.

    Each kernel gets a constraint that sets them to 0 after every step: to +0, which an exact file format tells from −0.
    It belongs to the copy in memory and is not saved with it.

    Parameters
    ----------
    model : keras.Model
        Such as ``prune(...).model``.

    Returns
    -------
    keras.Model
        Not compiled; what `nnzen.training.fit` takes as ``build=lambda: keep_zeros(model)``.

    Raises
    ------
    ValueError
        If a layer has weights and no rule.
    """
    import keras

    class Kept(keras.constraints.Constraint):
        def __init__(self, mask: NDArray[np.bool_]) -> None:
            self.mask = mask

        def __call__(self, kernel: Any) -> Any:
            return keras.ops.where(self.mask, kernel, 0)  # a product would be -0 for a negative weight

    new = copied(model)
    for layer in _kernels(new):
        layer.kernel.constraint = Kept(_values(layer) != 0)
    return new


def prune_gradually(
    model: keras.Model, sparsity: float | Mapping[str, float], *, end: int, begin: int = 0, every: int = 10
) -> keras.Model:
    """Return a copy that prunes itself by magnitude while it is trained, along :func:`cubic_sparsity`.

    Every few steps the smallest weights of each kernel go; those that went stay 0, then and after `end`. The count of
    steps lives in memory: a training that was killed and resumed from a folder would start its schedule anew, so train
    without one.

    Parameters
    ----------
    model : keras.Model
        Trained, or not.
    sparsity : float or mapping of str to float
        Of each kernel at `end`; as a mapping, by layer, for those that it names.
    end, begin : int
        Steps of the optimizer between which the sparsity rises.
    every : int
        Steps from one pruning to the next; the last one happens at `end` in any case.

    Returns
    -------
    keras.Model
        Not compiled; what `nnzen.training.fit` takes as ``build=lambda: prune_gradually(...)``. Make a new one for each
        training.

    Raises
    ------
    ValueError
        If a layer has weights and no rule, or a number does not fit.
    """
    _span(begin, end)
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ValueError(f"every is {every!r}; it must be an integer of 1 or more")
    import keras

    ops = keras.ops

    class Gradual(keras.constraints.Constraint):
        def __init__(self, kernel: Any, final: float) -> None:
            self.final, self.size = final, int(np.prod(kernel.shape))
            self.step = keras.Variable(0, dtype="int32", trainable=False)
            self.mask = keras.Variable(ops.ones_like(kernel, dtype="bool"), dtype="bool", trainable=False)

        def smaller_mask(self, kernel: Any) -> Any:
            done = ops.clip(ops.cast(self.step - begin, "float32") / (end - begin), 0.0, 1.0)
            gone = ops.cast(ops.round(self.final * (1 - (1 - done) ** 3) * self.size), "int32")
            size = ops.where(self.mask, ops.abs(kernel), 0)
            ascending = ops.sort(ops.reshape(size, (-1,)))
            largest_gone = ops.take(ascending, ops.maximum(gone - 1, 0))
            return ops.where(gone > 0, size > largest_gone, self.mask)

        def __call__(self, kernel: Any) -> Any:
            kernel = ops.convert_to_tensor(kernel)
            self.step.assign(self.step + 1)
            now = (self.step > begin) & (self.step <= end) & ((self.step % every == 0) | (self.step == end))
            self.mask.assign(ops.cond(now, lambda: self.smaller_mask(kernel), lambda: ops.copy(self.mask)))
            return ops.where(self.mask, kernel, 0)

    new = copied(model)
    layers = {layer.name: layer for layer in _kernels(new)}
    for name, share in _shares(sparsity, list(layers)).items():
        layers[name].kernel.constraint = Gradual(layers[name].kernel, share)
    return new


def prune_channels(
    model: keras.Model, share: float | Mapping[str, float], *, by: str | Mapping[str, ArrayLike] = "magnitude"
) -> result.Compressed:
    """Remove filters and units with the smallest scores, and build the network that is left.

    What reads a removed channel loses the weights that it read it with: the new network computes what the old one
    does if those weights are 0. The last layer with a kernel keeps its units. At least one channel of a layer is left.

    Parameters
    ----------
    model : keras.Model
        A chain of layers, such as a Sequential: Dense, Conv2D without groups, BatchNormalization, pooling, activations,
        Flatten, Dropout, Rescaling. Channels last.
    share : float or mapping of str to float
        Share of the channels of each layer that is removed, from 0 to 1; as a mapping, by layer, for those it names.
    by : ``"magnitude"`` or mapping of str to array_like
        Scores: the Euclidean length of each filter, biases left aside, or an array of shape (channels,) by layer.

    Returns
    -------
    Compressed
        With a Sequential of the same names, whose kernels are smaller.

    Raises
    ------
    ValueError
        If a layer has no rule or the model is no chain, or shares or scores do not fit; the message names the layer.
    """
    import keras

    chain = _chain(copied(model))
    kernels = [layer for layer in chain if type(layer).__name__ in ("Dense", "Conv2D")]
    if not kernels:
        raise ValueError(f"model {model.name!r} has no layer with a kernel: there is nothing to remove")
    shares = _shares(share, [layer.name for layer in kernels[:-1]])
    keep = {layer.name: _channels_kept(layer, shares[layer.name], by) for layer in kernels if layer.name in shares}
    alive = np.arange(model.input_shape[-1])  # which channels of a layer's input are left
    stack: list[Any] = [keras.Input(model.input_shape[1:], name="input")]
    weights, changes = [], []
    for layer in chain:
        config = layer.get_config()
        old = [np.asarray(weight) for weight in layer.get_weights()]
        kind, new = type(layer).__name__, old
        if kind in ("Dense", "Conv2D"):
            left = keep.get(layer.name, np.arange(old[0].shape[-1]))
            new = [old[0][..., alive, :][..., left], *[bias[left] for bias in old[1:]]]
            config["units" if kind == "Dense" else "filters"] = len(left)
            note = f"{len(left)} of {old[0].shape[-1]} channels" if layer.name in keep else ""
            changes.append(Change(layer.name, kind, sum(w.size for w in old), sum(w.size for w in new), note))
            alive = left
        elif kind == "BatchNormalization":
            new = [weight[alive] for weight in old]
            changes.append(Change(layer.name, kind, sum(w.size for w in old), sum(w.size for w in new)))
        elif kind == "Flatten":
            channels = layer.input.shape[-1]
            positions = np.arange(layer.output.shape[-1] // channels)[:, None]
            alive = (positions * channels + alive).ravel()
        stack.append(type(layer).from_config(config))
        weights += new
    smaller = keras.Sequential(stack, name=model.name)
    smaller.set_weights(weights)
    done = f"channels removed by {by if isinstance(by, str) else 'given scores'}"
    return result.Compressed(smaller, done, "parameters", tuple(changes))


# ---------------------------------------------------------------------------------------------------------


def _kernels(model: Any) -> Iterator[Any]:
    """Return the layers whose kernels can be pruned, or say which layer there is no rule for."""
    found = []
    for layer in model.layers:
        kind = type(layer).__name__
        if kind in _KERNELS:
            found.append(layer)
        elif layer.weights and kind != "BatchNormalization":
            raise ValueError(
                f"there is no rule for layer {layer.name!r} ({kind}); pruning knows {', '.join(_KERNELS)}, and leaves "
                "BatchNormalization and layers without weights as they are"
            )
    if not found:
        raise ValueError(f"model {model.name!r} has no layer with a kernel: there is nothing to prune")
    return iter(found)


def _values(layer: Any) -> NDArray[np.floating]:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(layer.kernel))


def _nonzero(layer: Any) -> int:
    return int(np.count_nonzero(_values(layer)))


def _zeroed(layer: Any, before: int) -> Change:
    return Change(layer.name, type(layer).__name__, before, _nonzero(layer))


def _share(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
        raise ValueError(f"{name} is {value!r}; it must be a number from 0 to 1")
    return float(value)


def _span(begin: Any, end: Any) -> None:
    whole = all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in (begin, end))
    if not whole or not 0 <= begin < end:
        raise ValueError(f"begin is {begin!r} and end {end!r}; they must be steps with 0 ≤ begin < end")


def _shares(sparsity: Any, names: list[str]) -> dict[str, float]:
    if not isinstance(sparsity, Mapping):
        return dict.fromkeys(names, _share("the share", sparsity))
    unknown = [name for name in sparsity if name not in names]
    if unknown:
        raise ValueError(f"there is no layer {unknown[0]!r} to prune; there are {', '.join(names)}")
    return {name: _share(f"the share of {name!r}", sparsity[name]) for name in names if name in sparsity}


def _scores(layer: Any, by: Any, shape: tuple[int, ...] | None = None) -> NDArray[np.float64]:
    """Return the scores of a layer's weights, or of its channels where their shape is given."""
    kernel = _values(layer)
    if isinstance(by, str):
        if by != "magnitude":
            raise ValueError(f"by is {by!r}; it must be 'magnitude' or a mapping from layers to scores")
        if shape:
            return np.asarray(np.sqrt(np.sum(kernel.astype(np.float64) ** 2, axis=tuple(range(kernel.ndim - 1)))))
        return np.abs(kernel.astype(np.float64))
    if layer.name not in by:
        raise ValueError(f"there are no scores for layer {layer.name!r}; there are some for {', '.join(by) or 'none'}")
    scores = np.asarray(by[layer.name], dtype=np.float64)
    if scores.shape != (shape or kernel.shape):
        raise ValueError(f"the scores of {layer.name!r} have shape {scores.shape}; it must be {shape or kernel.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(f"the scores of {layer.name!r} hold {scores[~np.isfinite(scores)][0]}; they must be finite")
    return scores


def _smallest(scores: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Return True for the given share of the scores, in whole numbers: the smallest, and the first of equal ones."""
    gone = np.zeros(scores.size, dtype=bool)
    gone[np.argsort(scores, kind="stable")[: round(share * scores.size)]] = True
    return gone


def _channels_kept(layer: Any, share: float, by: Any) -> NDArray[np.intp]:
    channels = int(layer.kernel.shape[-1])
    scores = _scores(layer, by, (channels,))
    return np.flatnonzero(~_smallest(scores, min(share, 1 - 1 / channels)))


_PASSING = (
    *("MaxPooling2D", "AveragePooling2D", "GlobalMaxPooling2D", "GlobalAveragePooling2D"),
    *("Activation", "ReLU", "LeakyReLU", "Dropout", "Rescaling"),
)


def _chain(model: Any) -> list[Any]:
    """Return the layers of a chain in order, or say what is no part of one or has no rule."""
    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    known = ("Dense", "Conv2D", "BatchNormalization", "Flatten", *_PASSING)
    last = max((i for i, layer in enumerate(layers) if type(layer).__name__ in ("Dense", "Conv2D")), default=-1)
    for number, layer in enumerate(layers):
        kind = type(layer).__name__
        if kind not in known:
            raise ValueError(
                f"there is no rule for layer {layer.name!r} ({kind}); channels go through {', '.join(known)}"
            )
        inputs = [tensor for node in layer._inbound_nodes for tensor in node.input_tensors]
        if len(inputs) != 1 or (number and inputs[0] is not layers[number - 1].output):
            raise ValueError(f"layer {layer.name!r} does not read the layer before it alone: the model is no chain")
        if kind == "Conv2D" and layer.groups != 1:
            raise ValueError(f"layer {layer.name!r} has {layer.groups} groups; there is a rule for one")
        last_axis = (-1, len(layer.input.shape) - 1)
        if getattr(layer, "data_format", None) == "channels_first" or getattr(layer, "axis", -1) not in last_axis:
            raise ValueError(f"layer {layer.name!r} has its channels first; there is a rule for channels last")
        if number < last and "softmax" in str(layer.get_config().get("activation")):
            raise ValueError(
                f"layer {layer.name!r} divides by a sum over its channels: none of them can be removed alone"
            )
    return layers
