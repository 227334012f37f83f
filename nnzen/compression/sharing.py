r"""Weight sharing: the weights of a layer take few different values, a *codebook*, and are trained through it.

A codebook of K values, c₁ < … < c_K, stands for weights w by the nearest of them; the sum of squared errors is smallest
where each value is the mean of the weights that it stands for. :func:`kmeans` alternates the two, from values that are
equally spaced between the smallest weight and the largest: large weights are few, and matter most, and a start from
quantiles would give them no value of their own. Zeros are not shared: a pruned weight stays pruned.

In training, all weights of a value move together: with :math:`w_i = c_{a(i)}`,

.. math:: \frac{\partial L}{\partial c_k} = \sum_{i:\,a(i) = k} \frac{\partial L}{\partial w_i} ,

which is what :func:`tied` makes of a model. :func:`nnzen.compression.coding.encode` writes the result in few bytes.

Reference: Han, Mao and Dally (2016), §3, https://arxiv.org/abs/1510.00149.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nnzen.compression.result import Change, Compressed, copied

if TYPE_CHECKING:
    import keras
    from numpy.typing import ArrayLike, NDArray

__all__ = ["kmeans", "share", "tied", "untied"]

_KINDS = ("Dense", "Conv2D")
_ROUNDS = 1000  # far more than it takes


def kmeans(values: ArrayLike, clusters: int) -> NDArray[np.float64]:
    """Return the means that Lloyd's algorithm finds on a line, from a start that is equally spaced.

    Parameters
    ----------
    values : array_like of float, shape (N,)
        Finite, at least one.
    clusters : int
        How many at most. A mean that no value is nearest to is dropped.

    Returns
    -------
    ndarray of float, shape (K,)
        Rising. The values themselves, if no more than `clusters` of them differ.

    Raises
    ------
    ValueError
        If there is no value, one is not finite, or `clusters` is not an integer of 1 or more.

    Examples
    --------
    >>> kmeans([0.0, 0.2, 1.0, 1.2, 9.0], 2)
    array([0.6, 9. ])
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=None)
    if not ordered.size or not np.isfinite(ordered).all():
        raise ValueError(f"values has {ordered.size} numbers; there must be at least one, and all finite")
    _check_clusters("clusters", clusters)
    means = np.unique(ordered)
    if len(means) <= clusters:
        return means
    means = np.linspace(ordered[0], ordered[-1], clusters) if clusters > 1 else ordered[:1]
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    for _ in range(_ROUNDS):
        ends = np.concatenate([[0], np.searchsorted(ordered, _borders(means)), [ordered.size]])
        counts = np.diff(ends)
        new = (np.diff(sums[ends]) / np.maximum(counts, 1))[counts > 0]
        if np.array_equal(new, means):
            break
        means = new
    return np.asarray(means)


def share(
    model: keras.Model, clusters: int | Mapping[str, int] = 16, *, bias_clusters: int | None = None
) -> Compressed:
    """Give the weights of each kernel few values: the means of their clusters, rounded to float16. Zeros stay zero.

    Parameters
    ----------
    model : keras.Model
        Built, of dense and convolutional layers, batch normalization (which stays as it is) and layers without weights.
    clusters : int or mapping of str to int
        How many values a kernel has at most, apart from zero; as a mapping, by layer, for the layers that it names.
    bias_clusters : int, optional
        The same for the biases of the layers named. If it is not given, they are rounded to float16 only.

    Returns
    -------
    Compressed
        Its note is the root of the mean squared error of a kernel's weights, relative to that of the weights.

    Raises
    ------
    ValueError
        If a layer has weights and no rule, is not there, or has weights that float16 cannot hold; it is named.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1, name="out")], name="small")
    >>> _ = model.layers[0].kernel.assign([[0.0], [1.0], [1.5], [3.0], [4.0]])
    >>> shared = share(model, 2)
    >>> print(shared)
    small: values shared (different weights that are not 0)
    layer   kind   before  after   left
    out     Dense       4      2  50.0%  error 14.9%
    in all              4      2  50.0%
    """
    new = copied(model)
    layers = _shareable(new)
    wanted = dict(clusters) if isinstance(clusters, Mapping) else dict.fromkeys(layers, clusters)
    for name, count in wanted.items():
        if name not in layers:
            raise ValueError(f"there is no layer {name!r} whose weights can be shared; there are {', '.join(layers)}")
        _check_clusters(f"the number of clusters of {name!r}", count)
    if bias_clusters is not None:
        _check_clusters("bias_clusters", bias_clusters)
    changes = []
    for name, count in wanted.items():
        layer = layers[name]
        kernel, *biases = layer.get_weights()
        shared = _shared(kernel, count, name)
        layer.set_weights([shared, *(_shared(bias, bias_clusters or bias.size, name) for bias in biases)])
        size = float(np.sqrt((kernel.astype(np.float64) ** 2).mean()))
        error = float(np.sqrt(((shared.astype(np.float64) - kernel) ** 2).mean())) / size if size else 0.0
        kind = type(layer).__name__
        changes.append(Change(name, kind, _different(kernel), _different(shared), f"error {error:.1%}"))
    return Compressed(new, "values shared", "different weights that are not 0", tuple(changes))


def tied(model: keras.Model) -> keras.Model:
    """Return a copy in which weights of one value are one parameter, and zeros are none.

    The copy computes the same. In a training the values of its codebooks move, each by the sum of the gradients in the
    weights that have it; which weight has which value does not change. :func:`untied` makes a usual model of it again.

    Parameters
    ----------
    model : keras.Model
        Such as ``share(...).model``.

    Returns
    -------
    keras.Model
        Not compiled; what `nnzen.training.fit` takes as ``build=lambda: tied(model)``.

    Raises
    ------
    ValueError
        If a layer has weights and no rule; it is named.
    """
    import keras

    _shareable(model)

    class Tied:
        """In front of a layer's class: a codebook and places in it instead of a kernel and a bias."""

        tensors: list[Any]

        def build(self: Any, _: Any) -> None:
            self.codebooks, self.places = [], []
            for weights in self.tensors:
                values = np.unique(weights[weights != 0])
                initial = keras.initializers.Constant(values)
                self.codebooks.append(self.add_weight(name="codebook", shape=values.shape, initializer=initial))
                self.places.append(np.where(weights != 0, 1 + np.searchsorted(values, weights), 0).astype(np.int32))
            self.built = True

        def looked_up(self: Any, which: int) -> Any:
            codebook = keras.ops.convert_to_tensor(self.codebooks[which])
            table = keras.ops.concatenate([keras.ops.zeros((1,), codebook.dtype), codebook])
            return keras.ops.take(table, self.places[which])

        @property
        def kernel(self: Any) -> Any:
            return self.looked_up(0)

        @property
        def bias(self: Any) -> Any:
            return self.looked_up(1) if self.use_bias else None

    def clone(layer: Any) -> Any:
        if type(layer).__name__ not in _KINDS:
            return type(layer).from_config(layer.get_config())
        kind: Any = type(f"Tied{type(layer).__name__}", (Tied, type(layer)), {"untied": type(layer)})
        new = kind.from_config(layer.get_config())
        new.tensors = layer.get_weights()
        return new

    new = copied(model, clone)
    for layer, old in zip(new.layers, model.layers, strict=True):
        if not hasattr(layer, "untied"):
            layer.set_weights(old.get_weights())
    return new


def untied(model: keras.Model) -> keras.Model:
    """Return a usual model that computes what a tied one does, its values rounded to float16.

    Parameters
    ----------
    model : keras.Model
        Such as `tied` returns, trained or not.

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    ValueError
        If no layer is tied.
    """
    if not any(hasattr(layer, "untied") for layer in model.layers):
        raise ValueError(f"model {model.name!r} has no tied layer; tied(model) makes them")

    def clone(layer: Any) -> Any:
        return getattr(layer, "untied", type(layer)).from_config(layer.get_config())

    new = copied(model, clone)
    for layer, old in zip(new.layers, model.layers, strict=True):
        if hasattr(old, "untied"):
            tensors = [np.asarray(old.looked_up(which)) for which in range(len(old.codebooks))]
            layer.set_weights([_half(weights, layer.name) for weights in tensors])
        else:
            layer.set_weights(old.get_weights())
    return new


# ---------------------------------------------------------------------------------------------------------


def _shareable(model: Any) -> dict[str, Any]:
    """Return the layers whose weights can be shared, by name, or say which layer there is no rule for."""
    found = {}
    for layer in model.layers:
        kind = type(layer).__name__
        if kind in _KINDS:
            found[layer.name] = layer
        elif layer.weights and kind != "BatchNormalization":
            raise ValueError(
                f"there is no rule for layer {layer.name!r} ({kind}); sharing knows {', '.join(_KINDS)}, and leaves "
                "BatchNormalization and layers without weights as they are"
            )
    if not found:
        raise ValueError(f"model {model.name!r} has no layer with a kernel: there is nothing to share")
    return found


def _borders(means: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((means[1:] + means[:-1]) / 2)


def _shared(weights: NDArray[np.float32], clusters: int, name: str) -> NDArray[np.float32]:
    kept = weights != 0
    shared = np.zeros_like(weights)
    if kept.any():
        means = kmeans(weights[kept], clusters)
        shared[kept] = means[np.searchsorted(_borders(means), weights[kept])]
    return _half(shared, name)


def _half(weights: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Round to float16, and give zeros their plain form: −0 would be a value of its own in a file."""
    with np.errstate(over="ignore"):
        rounded = weights.astype(np.float16).astype(np.float32)
    if not np.isfinite(rounded).all():
        raise ValueError(
            f"layer {name!r} has the weight {weights[~np.isfinite(rounded)][0]}, which float16 cannot hold"
        )
    return np.asarray(rounded + np.float32(0))


def _different(weights: NDArray[np.float32]) -> int:
    return len(np.unique(weights[weights != 0]))


def _check_clusters(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} is {value!r}; it must be an integer of 1 or more")
