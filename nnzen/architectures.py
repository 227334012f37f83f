"""Six convolutional networks that each added one idea, as published and in small versions for small images.

The published ones have their full size and fresh weights; they are here to be counted (:func:`nnzen.costs.costs`) and
run, not to be trained. What has no parameters and no products is left out where Keras lacks it: the local response
normalization of AlexNet and GoogLeNet, and GoogLeNet's two extra heads, which serve training only. The small ones are
:data:`SMALL`, and :func:`deep` makes narrow networks of any depth. All end in logits.

References: LeCun et al. (1998), https://doi.org/10.1109/5.726791; Krizhevsky et al. (2012),
https://papers.nips.cc/paper/4824; Simonyan and Zisserman (2015), https://arxiv.org/abs/1409.1556; Szegedy et al.
(2015), https://arxiv.org/abs/1409.4842; He et al. (2016), https://arxiv.org/abs/1512.03385; Howard et al. (2017),
https://arxiv.org/abs/1704.04861.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

__all__ = ["SMALL", "alexnet", "deep", "googlenet", "lenet5", "lenet300", "mobilenet", "resnet50", "small", "vgg16"]

_LENET_MAPS = (  # which of the six maps of S2 each of the sixteen maps of C3 sees: Table I of LeCun et al. (1998)
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)),
)


def lenet5(variant: str = "1998") -> keras.Model:
    """Build LeNet-5 in one of three forms that go by this name.

    Parameters
    ----------
    variant : {'1998', 'dense', 'caffe'}
        ``"1998"``: as published, for 32 × 32 pixels: every map of the third layer sees some of the maps below it,
        subsampling has a factor and a bias a map, and the output compares with fixed codes of ±1. (The published
        squared distance to a code ranks the classes as the product with it does, as all codes are equally long. The
        codes here are random; the published ones are drawn by hand.) ``"dense"``: what most call LeNet-5: every map
        sees all maps below, plain average pooling, a trained output layer. ``"caffe"``: the network that the Caffe
        framework shipped under the name, for 28 × 28 pixels, wider and with max pooling.

    Returns
    -------
    keras.Model
        Grey images of shape (N, 32, 32, 1) or (N, 28, 28, 1) to logits of shape (N, 10).

    Raises
    ------
    ValueError
        If there is no such variant.
    """
    import keras

    layers = keras.layers
    if variant == "caffe":
        return keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                layers.Conv2D(20, 5),
                layers.MaxPooling2D(2),
                layers.Conv2D(50, 5),
                layers.MaxPooling2D(2),
                layers.Flatten(),
                layers.Dense(500, activation="relu"),
                layers.Dense(10),
            ],
            name="lenet_caffe",
        )
    if variant == "dense":
        return keras.Sequential(
            [
                keras.Input((32, 32, 1)),
                layers.Conv2D(6, 5, activation="tanh"),
                layers.AveragePooling2D(2),
                layers.Conv2D(16, 5, activation="tanh"),
                layers.AveragePooling2D(2),
                layers.Conv2D(120, 5, activation="tanh"),
                layers.Flatten(),
                layers.Dense(84, activation="tanh"),
                layers.Dense(10),
            ],
            name="lenet_dense",
        )
    if variant != "1998":
        raise ValueError(f"variant is {variant!r}; it must be '1998', 'dense' or 'caffe'")

    def subsample(x: Any) -> Any:  # a depthwise window of 1 × 1: one factor and one bias a map
        return layers.DepthwiseConv2D(1, activation="tanh")(layers.AveragePooling2D(2)(x))

    inputs = keras.Input((32, 32, 1))
    x = subsample(layers.Conv2D(6, 5)(inputs))
    x = layers.Concatenate()([layers.Conv2D(1, 5)(keras.ops.take(x, maps, axis=-1)) for maps in _LENET_MAPS])
    x = layers.Conv2D(120, 5, activation="tanh")(subsample(x))
    x = layers.Dense(84, activation="tanh")(layers.Flatten()(x))
    codes = layers.Dense(10, use_bias=False, trainable=False, kernel_initializer=_random_codes)
    return keras.Model(inputs, codes(x), name="lenet_1998")


def lenet300() -> keras.Model:
    """Build LeNet-300-100, the dense network of LeCun et al. (1998) on which papers on compression are compared.

    Returns
    -------
    keras.Model
        Images of shape (N, 28, 28, 1) to logits of shape (N, 10), by 300 and 100 ReLU units. (The published units are
        scaled tangents; networks that are compared under this name today have ReLU.)
    """
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dense(300, activation="relu"),
            layers.Dense(100, activation="relu"),
            layers.Dense(10),
        ],
        name="lenet_300_100",
    )


def _random_codes(shape: tuple[int, ...], dtype: Any = None) -> Any:
    import keras

    return keras.ops.sign(keras.random.uniform(shape, -1, 1, dtype=dtype))


def alexnet(*, grouped: bool = True) -> keras.Model:
    """Build AlexNet: as published, in two groups of channels that two graphics cards held, or in one.

    Parameters
    ----------
    grouped : bool
        Whether the second, fourth and fifth convolution see only the half of the channels that lay on their own card.

    Returns
    -------
    keras.Model
        Images of shape (N, 227, 227, 3) to logits of shape (N, 1000). (The paper says 224 pixels, which do not fit its
        first convolution.)
    """
    import keras

    layers, groups = keras.layers, 2 if grouped else 1
    return keras.Sequential(
        [
            keras.Input((227, 227, 3)),
            layers.Conv2D(96, 11, strides=4, activation="relu"),
            layers.MaxPooling2D(3, strides=2),
            layers.Conv2D(256, 5, padding="same", groups=groups, activation="relu"),
            layers.MaxPooling2D(3, strides=2),
            layers.Conv2D(384, 3, padding="same", activation="relu"),
            layers.Conv2D(384, 3, padding="same", groups=groups, activation="relu"),
            layers.Conv2D(256, 3, padding="same", groups=groups, activation="relu"),
            layers.MaxPooling2D(3, strides=2),
            layers.Flatten(),
            layers.Dense(4096, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(4096, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(1000),
        ],
        name="alexnet_grouped" if grouped else "alexnet",
    )


def vgg16() -> keras.Model:
    """Build VGG-16: images of shape (N, 224, 224, 3) to logits of shape (N, 1000).

    Returns
    -------
    keras.Model
        Five stages of windows of 3 × 3, each followed by max pooling, and three dense layers. Takes 530 MiB.
    """
    import keras

    layers = keras.layers
    stack: list[Any] = [keras.Input((224, 224, 3))]
    for repeats, channels in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        stack += [layers.Conv2D(channels, 3, padding="same", activation="relu") for _ in range(repeats)]
        stack.append(layers.MaxPooling2D(2))
    stack.append(layers.Flatten())
    for _ in range(2):
        stack += [layers.Dense(4096, activation="relu"), layers.Dropout(0.5)]
    return keras.Sequential([*stack, layers.Dense(1000)], name="vgg16")


_INCEPTION = (  # channels: 1 × 1; 3 × 3 and before it 1 × 1; 5 × 5 and before it 1 × 1; 1 × 1 after pooling
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        *((192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64)),
        *((112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128)),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)  # Table 1 of Szegedy et al. (2015); a pooling stands between the three stages


def googlenet() -> keras.Model:
    """Build GoogLeNet: images of shape (N, 224, 224, 3) to logits of shape (N, 1000).

    Returns
    -------
    keras.Model
        Nine inception blocks, each of four branches side by side; without the two extra heads.
    """
    import keras

    layers = keras.layers
    inputs = keras.Input((224, 224, 3))
    x = layers.MaxPooling2D(3, strides=2, padding="same")(_conv(layers, inputs, 64, 7, strides=2))
    x = _conv(layers, _conv(layers, x, 64, 1), 192)
    for stage in _INCEPTION:
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        for channels in stage:
            x = _inception(layers, x, channels)
    x = layers.Dropout(0.4)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(1000)(x), name="googlenet")


def resnet50(*, biases: bool = False) -> keras.Model:
    """Build ResNet-50: images of shape (N, 224, 224, 3) to logits of shape (N, 1000).

    Parameters
    ----------
    biases : bool
        Whether convolutions have biases, as in ``keras.applications``. Batch normalization subtracts them again, so
        that they change nothing.

    Returns
    -------
    keras.Model
        Sixteen bottleneck blocks: 1 × 1, 3 × 3 and 1 × 1 beside a shortcut; the stride is in the first, as published.
    """
    import keras

    layers = keras.layers

    def conv(x: Any, channels: int, k: int, strides: int = 1) -> Any:
        x = layers.Conv2D(channels, k, strides=strides, padding="same", use_bias=biases)(x)
        return layers.BatchNormalization(epsilon=1e-5)(x)

    def block(x: Any, channels: int, strides: int) -> Any:
        y = layers.ReLU()(conv(x, channels, 1, strides))
        y = layers.ReLU()(conv(y, channels, 3))
        y = conv(y, 4 * channels, 1)
        shortcut = x if x.shape[-1] == 4 * channels else conv(x, 4 * channels, 1, strides)
        return layers.ReLU()(layers.Add()([shortcut, y]))

    inputs = keras.Input((224, 224, 3))
    x = layers.ReLU()(conv(inputs, 64, 7, strides=2))
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    for repeats, channels in ((3, 64), (4, 128), (6, 256), (3, 512)):
        for i in range(repeats):
            x = block(x, channels, strides=2 if i == 0 and channels > 64 else 1)
    return keras.Model(inputs, layers.Dense(1000)(layers.GlobalAveragePooling2D()(x)), name="resnet50")


def mobilenet() -> keras.Model:
    """Build MobileNet (version 1, width 1): images of shape (N, 224, 224, 3) to logits of shape (N, 1000).

    Returns
    -------
    keras.Model
        A convolution and thirteen depthwise separable ones, each with batch normalization.
    """
    import keras

    layers = keras.layers

    def normalized(x: Any) -> Any:
        return layers.ReLU()(layers.BatchNormalization()(x))

    inputs = keras.Input((224, 224, 3))
    x = normalized(layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False)(inputs))
    channels = (64, 128, 128, 256, 256, *[512] * 6, 1024, 1024)
    for before, after in zip((64, *channels), channels, strict=False):
        strides = 2 if after > before else 1
        x = normalized(layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(x))
        x = normalized(layers.Conv2D(after, 1, use_bias=False)(x))
    return keras.Model(inputs, layers.Dense(1000)(layers.GlobalAveragePooling2D()(x)), name="mobilenet")


# --- small versions -----------------------------------------------------------------------------------------


def small(name: str) -> keras.Model:
    """Build a small version of one of the six networks, or of a control, for images of 28 × 28 pixels.

    The widths are chosen so that all of them cost about the same in training: within two per cent, tested.

    Parameters
    ----------
    name : str
        One of `SMALL`.

    Returns
    -------
    keras.Model
        Not compiled; images of shape (N, 28, 28, 1) to logits of shape (N, 10).

    Raises
    ------
    ValueError
        If there is no small network of that name.
    """
    if name not in SMALL:
        raise ValueError(f"there is no small network {name!r}; there are {', '.join(SMALL)}")
    import keras

    inputs = keras.Input((28, 28, 1))
    return keras.Model(inputs, keras.layers.Dense(10)(SMALL[name](keras.layers, inputs)), name=name)


def deep(depth: int, *, residual: bool) -> keras.Model:
    """Build a narrow network of any depth with batch normalization, for images of 14 × 14 pixels.

    Parameters
    ----------
    depth : int
        Layers with weights on the longest path: even, at least 4.
    residual : bool
        Whether each pair of convolutions is added to its input, or replaces it.

    Returns
    -------
    keras.Model
        Not compiled; images of shape (N, 14, 14, 1) to logits of shape (N, 10). Twelve maps of 7 × 7 throughout, so
        that plain and residual networks have equal parameters.

    Raises
    ------
    ValueError
        If `depth` is odd or below 4.
    """
    if depth < 4 or depth % 2:
        raise ValueError(f"depth is {depth}; it must be even and at least 4")
    import keras

    layers = keras.layers
    inputs = keras.Input((14, 14, 1))
    x = _conv(layers, inputs, 12, strides=2, normalize=True)
    for _ in range((depth - 2) // 2):
        x = _pair(layers, x, 12, residual)
    name = f"{'residual' if residual else 'plain'}_{depth}"
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)), name=name)


def _conv(
    layers: Any, x: Any, channels: int, k: int = 3, *, strides: int = 1, normalize: bool = False, relu: bool = True
) -> Any:
    options = {"strides": strides, "padding": "same", "use_bias": not normalize, "kernel_initializer": "he_normal"}
    x = layers.Conv2D(channels, k, **options)(x)
    x = layers.BatchNormalization(momentum=0.9)(x) if normalize else x
    return layers.ReLU()(x) if relu else x


def _pair(layers: Any, x: Any, channels: int, residual: bool) -> Any:
    """Two convolutions with batch normalization, added to their input or not; where channels grow, maps shrink."""
    strides = 1 if x.shape[-1] == channels else 2
    y = _conv(layers, x, channels, strides=strides, normalize=True)
    y = _conv(layers, y, channels, normalize=True, relu=False)
    if residual:
        shortcut = x if strides == 1 else _conv(layers, x, channels, 1, strides=strides, normalize=True, relu=False)
        y = layers.Add()([shortcut, y])
    return layers.ReLU()(y)


def _small_lenet(layers: Any, x: Any) -> Any:
    return _five_by_five(layers, x, lambda x: layers.AveragePooling2D(2)(x), activation="tanh")


def _small_alexnet(layers: Any, x: Any) -> Any:
    def pool(x: Any) -> Any:
        return layers.MaxPooling2D(3, strides=2, padding="same")(x)

    return _five_by_five(layers, x, pool, activation="relu", kernel_initializer="he_normal")


def _five_by_five(layers: Any, x: Any, pool: Callable[[Any], Any], **options: str) -> Any:
    x = pool(layers.Conv2D(12, 5, padding="same", **options)(x))
    x = pool(layers.Conv2D(32, 5, **options)(x))
    x = layers.Dense(120, **options)(layers.Flatten()(x))
    return layers.Dense(84, **options)(x)


def _small_vgg(layers: Any, x: Any, normalize: bool = False) -> Any:
    x = _two_by_two(layers, x, (8, 8, 16, 16), normalize)
    return layers.Dense(64, activation="relu", kernel_initializer="he_normal")(layers.Flatten()(x))


def _small_vgg_norm(layers: Any, x: Any) -> Any:
    return _small_vgg(layers, x, normalize=True)


def _small_vgg_mean(layers: Any, x: Any) -> Any:
    return layers.GlobalAveragePooling2D()(_two_by_two(layers, x, (8, 8, 16, 18), normalize=True))


def _two_by_two(layers: Any, x: Any, channels: tuple[int, int, int, int], normalize: bool) -> Any:
    for number, width in enumerate(channels):
        x = _conv(layers, x, width, normalize=normalize)
        x = layers.MaxPooling2D(2)(x) if number % 2 else x
    return x


def _small_inception(layers: Any, x: Any) -> Any:
    x = layers.MaxPooling2D(2)(_conv(layers, x, 10, normalize=True))
    x = _inception(layers, x, (8, 8, 10, 4, 4, 4), normalize=True)
    x = layers.MaxPooling2D(2)(_inception(layers, x, (8, 8, 16, 4, 6, 6), normalize=True))
    return layers.GlobalAveragePooling2D()(_inception(layers, x, (16, 16, 32, 8, 12, 12), normalize=True))


def _inception(layers: Any, x: Any, channels: tuple[int, int, int, int, int, int], *, normalize: bool = False) -> Any:
    """Four branches side by side; the numbers of channels as in `_INCEPTION`."""
    one, three_in, three, five_in, five, pooled = channels

    def conv(x: Any, channels: int, k: int) -> Any:
        return _conv(layers, x, channels, k, normalize=normalize)

    branches = [
        conv(x, one, 1),
        conv(conv(x, three_in, 1), three, 3),
        conv(conv(x, five_in, 1), five, 5),
        conv(layers.MaxPooling2D(3, strides=1, padding="same")(x), pooled, 1),
    ]
    return layers.Concatenate()(branches)


def _small_resnet(layers: Any, x: Any, residual: bool = True) -> Any:
    x = layers.MaxPooling2D(2)(_conv(layers, x, 10, normalize=True))
    for channels in (10, 10, 17, 17):
        x = _pair(layers, x, channels, residual)
    return layers.GlobalAveragePooling2D()(x)


def _small_plain(layers: Any, x: Any) -> Any:
    return _small_resnet(layers, x, residual=False)


def _small_mobilenet(layers: Any, x: Any) -> Any:
    x = layers.MaxPooling2D(2)(_conv(layers, x, 16, normalize=True))
    for channels, strides in ((32, 1), (64, 2), (64, 1), (64, 1), (128, 1)):
        x = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        x = _conv(layers, x, channels, 1, normalize=True)
    return layers.GlobalAveragePooling2D()(x)


SMALL: dict[str, Callable[[Any, Any], Any]] = {
    "lenet": _small_lenet,
    "alexnet": _small_alexnet,
    "vgg": _small_vgg,
    "vgg_norm": _small_vgg_norm,
    "vgg_mean": _small_vgg_mean,
    "inception": _small_inception,
    "plain": _small_plain,
    "resnet": _small_resnet,
    "mobilenet": _small_mobilenet,
}
"""The small networks by name: functions from ``keras.layers`` and an image to what the last dense layer reads.

``alexnet`` is ``lenet`` with ReLU and overlapping max pooling; ``vgg`` replaces its windows of 5 × 5 by pairs of 3 × 3;
``vgg_norm`` adds batch normalization, which the later ones have, too; ``vgg_mean`` replaces its dense layer by a mean
over each map, and widens the last convolution for it; ``plain`` is ``resnet`` without its shortcuts.
What stands before a ReLU starts with He weights.
"""
