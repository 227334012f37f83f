r"""A network and a recipe that learn small images from little arithmetic, with a switch for each of its ideas.

:class:`Design` names the choices, :func:`network` and :func:`plan` make of them what `nnzen.training.fit` trains, and
`VIEWS` what `nnzen.training.predict_views` averages over. :func:`tutorial` and :func:`tutorial_plan` are the
network and the recipe that most introductions to CIFAR-10 share.

The first layer is frozen. It whitens patches: with the covariance :math:`C = V \Lambda V^{\mathsf T}` of the patches of
training images its filters are

.. math:: \pm\, v_i / \sqrt{\lambda_i + \varepsilon},

so that what leaves it is uncorrelated and of equal variance, and a ReLU behind it loses no sign. Each block is a
convolution, a pooling by two and further convolutions, with batch normalization (no gain) and ReLU behind each.
Filters have norm 1: behind them normalization takes the scale away, so that only directions are learned.

Sources: Jordan (2024), https://arxiv.org/abs/2404.00498, for whitening, alternating flips and several views; Jordan
(2024), https://kellerjordan.github.io/posts/muon/. Sizes and rates are this book's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nnzen import augment
from nnzen.mathematics import schedules
from nnzen.muon import muon
from nnzen.training import Plan, tabulated

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

__all__ = ["VIEWS", "Design", "network", "plan", "tutorial", "tutorial_plan", "whitening"]

_CLASSES = 10
_OPTIMIZERS = ("muon", "momentum", "adam")
_FLIPS = ("alternating", "random", "none")
_SAMPLE = 2000  # training images that the whitening filters are computed from


@dataclass(frozen=True)
class Design:
    """The choices of a network and of its recipe.

    Attributes
    ----------
    widths : tuple of int
        Channels of each block.
    depth : int
        Convolutions of a block, 1 or more.
    patch, stride, filters : int
        Side of the first layer's patches, their distance, and how many filters (an even number).
    whitened : bool
        Whether the first layer whitens and is frozen; otherwise it is learned like the others.
    standardized : bool
        Whether each channel has mean 0 and variance 1, or pixels from 0 to 1.
    normalized : bool
        Whether batch normalization stands behind each convolution, or a bias.
    optimizer : {'muon', 'momentum', 'adam'}
        Muon takes the kernels of convolutions and leaves all else to Nesterov's momentum.
    learning_rate : float
        Where the straight line of a falling rate begins, and the rate itself if it is constant; after the warm-up, four
        fifths of it are left.
    biases : float
        Muon alone: learning rate of the shifts, as a multiple of `learning_rate`.
    falling : bool
        Whether the rate falls to 0 in a straight line, with a warm-up over a fifth of the steps, or is constant.
    average : float or None
        Decay of a moving average of the weights, which replaces them in the end.
    epochs, batch_size : int
        As in `nnzen.training.Plan`.
    shift : int
        Images are moved by up to so many pixels; what enters is mirrored at the border.
    flip : {'alternating', 'random', 'none'}
        Whether images are mirrored in every second epoch, at random, or not.
    smoothing : float
        Probability that the target spreads evenly over all classes.
    precision : {'float32', 'mixed_bfloat16', 'mixed_float16'}
        Keras' policy.
    """

    widths: tuple[int, ...] = (64, 128)
    depth: int = 2
    patch: int = 4
    stride: int = 2
    filters: int = 48
    whitened: bool = True
    standardized: bool = True
    normalized: bool = True
    optimizer: str = "muon"
    learning_rate: float = 0.1
    biases: float = 1.0
    falling: bool = True
    average: float | None = None
    epochs: int = 5
    batch_size: int = 500
    shift: int = 2
    flip: str = "alternating"
    smoothing: float = 0.1
    precision: str = "mixed_bfloat16"

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"widths are {self.widths}; give at least one, each 1 or more")
        for name in ("depth", "patch", "stride", "filters"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.filters % 2:
            raise ValueError(f"filters is {self.filters}; it must be even, for each filter has its negative")
        for name, known in (("optimizer", _OPTIMIZERS), ("flip", _FLIPS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(known)}")
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"smoothing is {self.smoothing}; it must be from 0 to below 1")


def network(design: Design, images: NDArray[np.uint8]) -> keras.Model:
    """Build the network of a design, with Keras' global seed.

    Parameters
    ----------
    design : Design
    images : ndarray of uint8, shape (N, S, S, C)
        Training images: the first two layers are computed from them.

    Returns
    -------
    keras.Model
        Not compiled; images as they are stored to logits of shape (N, 10).

    Raises
    ------
    ValueError
        If `images` are not such an array, or too small for the blocks' poolings.
    """
    _check_images(images)
    import keras

    layers = keras.layers
    inputs = keras.Input(images.shape[1:])
    mean, deviation = _statistics(images, design.standardized)
    x = layers.Normalization(mean=mean, variance=deviation**2, dtype="float32", name="pixels")(inputs)
    first = layers.Conv2D(design.filters, design.patch, strides=design.stride, use_bias=False, name="patches")
    x = layers.ReLU()(first(x))
    if design.whitened:
        first.kernel.assign(whitening((images[:_SAMPLE] - mean) / deviation, design.patch, design.filters))
        first.trainable = False
    for width in design.widths:
        if min(x.shape[1:3]) < 2:
            raise ValueError(
                f"images of {images.shape[1]} × {images.shape[2]} leave nothing to pool for block {width} of "
                f"{design.widths}; take fewer blocks, a smaller stride or larger images"
            )
        for place in range(design.depth):
            x = _convolution(layers, x, width, design.normalized, pool=place == 0)
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(inputs, layers.Dense(_CLASSES, use_bias=False, dtype="float32", name="logits")(x))


def _convolution(layers: Any, x: Any, width: int, normalized: bool, *, pool: bool) -> Any:
    import keras

    if normalized:
        options = {"use_bias": False, "kernel_constraint": keras.constraints.UnitNorm(axis=[0, 1, 2])}
    else:
        options = {"kernel_initializer": "he_normal"}
    x = layers.Conv2D(width, 3, padding="same", **options)(x)
    x = layers.MaxPooling2D(2)(x) if pool else x
    x = layers.BatchNormalization(scale=False, momentum=0.8)(x) if normalized else x
    return layers.ReLU()(x)


def whitening(images: NDArray[np.floating], patch: int, filters: int, *, epsilon: float = 5e-4) -> NDArray[np.float32]:
    r"""Return the kernel of a convolution that whitens patches.

    Parameters
    ----------
    images : ndarray of float, shape (N, H, W, C)
        Standardized.
    patch : int
        Side of a patch.
    filters : int
        Half of them are :math:`v_i / \sqrt{\lambda_i + \varepsilon}` for the largest eigenvalues of the patches' second
        moments, the others their negatives. Beyond twice the size of a patch they are 0.
    epsilon : float
        Keeps directions in which patches hardly vary from being blown up.

    Returns
    -------
    ndarray of float32, shape (patch, patch, C, filters)
    """
    windows = np.lib.stride_tricks.sliding_window_view(images, (patch, patch), axis=(1, 2))  # (N, H', W', C, p, p)
    size = patch * patch * images.shape[-1]
    moments, count = np.zeros((size, size)), 0
    for image in windows:  # one at a time: the patches of all images would take gigabytes
        rows = image.transpose(0, 1, 3, 4, 2).reshape(-1, size)
        moments += rows.T @ rows
        count += len(rows)
    values, vectors = np.linalg.eigh(moments / count)
    scaled = (vectors / np.sqrt(values + epsilon))[:, ::-1][:, : filters // 2]
    kernel = np.zeros((size, filters), np.float32)
    kernel[:, : scaled.shape[1]], kernel[:, filters // 2 : filters // 2 + scaled.shape[1]] = scaled, -scaled
    return kernel.reshape(patch, patch, images.shape[-1], filters)


def plan(design: Design, images: int) -> Plan:
    """Return how `nnzen.training.fit` trains a design on so many images."""
    import keras

    def smoothed() -> Any:
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=design.smoothing)

        class Smoothed(keras.losses.Loss):
            def call(self, labels: Any, logits: Any) -> Any:
                return loss.call(keras.ops.one_hot(keras.ops.reshape(labels, (-1,)), _CLASSES), logits)

            def get_config(self) -> dict[str, Any]:
                return super().get_config() | {"smoothing": design.smoothing}

        return Smoothed()

    return Plan(
        optimizer=lambda steps: _optimizer(design, steps),
        epochs=design.epochs,
        batch_size=design.batch_size,
        augment=_augmentation(design, -(-images // design.batch_size)),
        loss=smoothed,
        precision=design.precision,
    )


def _optimizer(design: Design, steps: int) -> Any:
    import keras

    step = np.arange(steps)
    falling = schedules.warm_up(step, max(steps // 5, 1)) * schedules.linear(step, design.learning_rate, steps)
    rates = tabulated(falling if design.falling else schedules.constant(step, design.learning_rate))
    if design.optimizer == "muon":
        return muon(rates, biases=design.biases, average=design.average)
    average = {} if design.average is None else {"use_ema": True, "ema_momentum": design.average}
    if design.optimizer == "momentum":
        return keras.optimizers.SGD(rates, momentum=0.9, nesterov=True, **average)
    return keras.optimizers.Adam(rates, **average)


def _augmentation(design: Design, steps: int) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """Return what happens to a batch; the second number of a key counts the batches."""

    def augmented(images: Any, labels: Any, key: Any) -> tuple[Any, Any]:
        import tensorflow as tf

        x = images
        if design.shift:
            border = [[0, 0], [design.shift] * 2, [design.shift] * 2, [0, 0]]
            x = augment.crop(tf.pad(x, border, mode="REFLECT"), key, size=images.shape[1])
        if design.flip == "random":
            x = augment.flip(x, key)
        elif design.flip == "alternating":
            odd = tf.reduce_sum(tf.cast(images, tf.int64), axis=[1, 2, 3]) + key[1] // steps
            x = tf.where((odd % 2 == 1)[:, None, None, None], tf.reverse(x, axis=[2]), x)
        return x, labels

    return augmented


def tutorial(images: NDArray[np.uint8]) -> keras.Model:
    """Build the network that most introductions to CIFAR-10 share, with Keras' global seed.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, S, S, C)
        Training images; only their shape counts.

    Returns
    -------
    keras.Model
        Not compiled; images as they are stored to logits of shape (N, 10).
    """
    _check_images(images)
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(images.shape[1:]),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(_CLASSES),
        ],
        name="tutorial",
    )


def tutorial_plan(*, epochs: int = 10) -> Plan:
    """Return how those introductions train it: Adam at its usual rate of 0.001, batches of 64."""
    import keras

    return Plan(optimizer=lambda steps: keras.optimizers.Adam(0.001), epochs=epochs, batch_size=64)


def _mirrored(images: NDArray[Any]) -> NDArray[Any]:
    return images[:, :, ::-1]


def _moved(images: NDArray[Any], by: int) -> NDArray[Any]:
    """Move images by one pixel along both axes, down and right or up and left; the border is mirrored."""
    padded = np.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="reflect")
    cut = slice(1 - by, images.shape[1] + 1 - by), slice(1 - by, images.shape[2] + 1 - by)
    return padded[:, cut[0], cut[1]]


VIEWS: tuple[Callable[[NDArray[Any]], NDArray[Any]], ...] = (
    lambda images: images,
    _mirrored,
    lambda images: _moved(images, 1),
    lambda images: _moved(images, -1),
    lambda images: _moved(_mirrored(images), 1),
    lambda images: _moved(_mirrored(images), -1),
)
"""Six views of an image for `nnzen.training.predict_views`: as it is, mirrored, and both moved by one pixel."""


def _statistics(images: NDArray[np.uint8], standardized: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what is subtracted from each channel, and what it is divided by."""
    channels = images.shape[-1]
    if not standardized:
        return np.zeros(channels, np.float32), np.full(channels, 255, np.float32)
    counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(channels)])
    share, levels = counts / counts.sum(axis=1, keepdims=True), np.arange(256)
    mean = share @ levels
    deviation = np.sqrt(share @ levels**2 - mean**2)
    if not (deviation > 0).all():
        raise ValueError(f"channel {int(np.argmin(deviation))} of the images has one value alone; it tells nothing")
    return mean.astype(np.float32), deviation.astype(np.float32)


def _check_images(images: Any) -> None:
    shape, dtype = np.shape(images), getattr(images, "dtype", type(images).__name__)
    if len(shape) != 4 or dtype != np.uint8 or not len(images) or shape[1] != shape[2]:
        raise ValueError(f"images are {dtype} of shape {shape}; they must be uint8 of shape (N, S, S, C) for N ≥ 1")
