r"""Random changes of images that keep their labels, and mixtures of images that mix them.

Each function takes a batch of images, shape (N, H, W, C), and a *key*: two integers, such as a seed and the number of
the batch. The result is a function of its arguments, so a map over a ``tf.data`` pipeline gives the same images
whatever its parallelism::

    numbered = dataset.batch(64).enumerate()
    augmented = numbered.map(lambda n, batch: (augment.shift(batch[0], (seed, n), pixels=2), batch[1]))

All are TensorFlow operations and work in eager and in graph mode. What only the running graph can know, such as that a
batch is empty, raises ``tf.errors.InvalidArgumentError`` there in place of ``ValueError``. Images keep their dtype:
uint8 levels are rounded and stay from 0 to 255. What is interpolated, mixed or stretched is computed in float32.
Different functions draw different numbers from the same key; one that is used twice in a pipeline needs two keys.

A geometric change is an affine map of coordinates. With rows and columns counted from the centre of the image, the
output at :math:`(p, q)` is the input at

.. math:: \begin{pmatrix} p' \\ q' \end{pmatrix} = A \begin{pmatrix} p \\ q \\ 1 \end{pmatrix},

interpolated between its four neighbours. Chapter 12 derives it. Mixup: Zhang et al. (2018),
https://arxiv.org/abs/1710.09412; cutout: DeVries & Taylor (2017), https://arxiv.org/abs/1708.04552.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["affine", "contrast", "crop", "cutout", "flip", "matrix", "mixup", "rotate", "shift", "zoom"]


def matrix(
    *, degrees: ArrayLike = 0.0, shift: tuple[ArrayLike, ArrayLike] = (0.0, 0.0), zoom: ArrayLike = 1.0
) -> NDArray[np.float64]:
    """Return the matrix with which :func:`affine` zooms an image, then turns it, then shifts it.

    The matrix leads back from the output to the input, so it undoes the three in the opposite order.

    Parameters
    ----------
    degrees : array_like, any shape
        Angle of the turn about the centre, counter-clockwise as seen on the page.
    shift : pair of array_like
        How far the content moves down and to the right, in pixels.
    zoom : array_like
        Magnification, above 0: 2 doubles all lengths.

    Returns
    -------
    ndarray of float64, shape (..., 2, 3)
        One matrix for each element of the arguments, broadcast against one another.

    Raises
    ------
    ValueError
        If an argument is not finite, or a magnification is not above 0.

    Examples
    --------
    >>> print(matrix(shift=(1, 2)))
    [[ 1.  0. -1.]
     [ 0.  1. -2.]]
    """
    turn, down, right, size = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in (degrees, *shift, zoom))
    )
    for name, value in (("degrees", turn), ("shift", down), ("shift", right), ("zoom", size)):
        if not np.isfinite(value).all():
            raise ValueError(f"{name} is {value}; it must be finite")
    if not (size > 0).all():
        raise ValueError(f"zoom is {size}; it must be above 0")
    cosine, sine = np.cos(np.deg2rad(turn)) / size, np.sin(np.deg2rad(turn)) / size
    # A counter-clockwise turn by the angle moves (p, q) to (p cos − q sin, p sin + q cos): rows count downwards.
    rows = np.stack([cosine, sine, -cosine * down - sine * right], axis=-1)
    columns = np.stack([-sine, cosine, sine * down - cosine * right], axis=-1)
    return np.stack([rows, columns], axis=-2) + 0.0  # no negative zeros


def affine(images: Any, matrices: Any, *, fill: float = 0.0) -> Any:
    """Apply an affine map to each image, with bilinear interpolation.

    Parameters
    ----------
    images : array or tensor, shape (N, H, W, C)
        Integers or floats.
    matrices : array or tensor, shape (N, 2, 3) or (2, 3)
        From the row, the column and 1 of an output pixel to row and column of the input, both counted from the centre
        ((H − 1) / 2, (W − 1) / 2); see :func:`matrix`.
    fill : float
        Value of everything outside the input. Here and below it must be finite and, for images of integers, a whole
        number that their dtype can hold.

    Returns
    -------
    tf.Tensor
        Shape and dtype of `images`.

    Raises
    ------
    ValueError
        If `images` are not a batch of at least one image, or `matrices` do not fit or are not finite.
    """
    import tensorflow as tf

    x, like = _batch(images)
    fill = _filling(fill, like)
    a = tf.cast(tf.convert_to_tensor(matrices), tf.float32)
    if a.shape.rank not in (2, 3) or a.shape[-2:] != (2, 3):
        raise ValueError(f"matrices have shape {a.shape}; it must be (2, 3), or (N, 2, 3) with one for each image")
    if a.shape.rank == 3 and None not in (a.shape[0], x.shape[0]) and a.shape[0] != x.shape[0]:
        raise ValueError(f"there are {a.shape[0]} matrices for {x.shape[0]} images; give one for each")
    known = tf.get_static_value(a)
    if known is not None and not np.isfinite(known).all():
        raise ValueError(f"matrices are {known}; they must be finite")
    return _as(_warp(x, a, fill), like)


def _warp(x: Any, a: Any, fill: float) -> Any:
    """Map images of float32 by matrices, (N, 2, 3) or (2, 3); nothing is checked any more."""
    import tensorflow as tf

    n, height, width, channels = tf.unstack(tf.shape(x))
    size = tf.cast(tf.stack([height, width]), tf.float32)
    centre = (size[:, None] - 1) / 2
    p, q = tf.meshgrid(tf.range(size[0]), tf.range(size[1]), indexing="ij")
    outputs = tf.stack([tf.reshape(p, [-1]), tf.reshape(q, [-1])]) - centre  # (2, H W)
    outputs = tf.concat([outputs, tf.ones_like(outputs[:1])], axis=0)
    # One pixel of `fill` all around; what lies further out reads from there, too.
    source = tf.clip_by_value(tf.matmul(a, outputs) + centre + 1, 0.0, size[:, None] + 1)
    corner = tf.minimum(tf.floor(source), size[:, None])
    part = source - corner
    index = tf.cast(tf.broadcast_to(corner, [n, 2, height * width]), tf.int32)
    padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=fill)
    pixels = tf.reshape(padded, [n, (height + 2) * (width + 2), channels])
    place = index[:, 0] * (width + 2) + index[:, 1]
    total = tf.zeros([n, height * width, channels])
    for i, row_weight in ((0, 1 - part[..., 0, :]), (1, part[..., 0, :])):
        for j, column_weight in ((0, 1 - part[..., 1, :]), (1, part[..., 1, :])):
            neighbour = tf.gather(pixels, place + i * (width + 2) + j, batch_dims=1)
            total += (row_weight * column_weight)[..., None] * neighbour
    return tf.reshape(total, tf.shape(x))


def flip(images: Any, key: Any, *, axis: str = "horizontal", probability: float = 0.5) -> Any:
    """Mirror each image with a probability.

    Parameters
    ----------
    images : array or tensor, shape (N, H, W, C)
    key : two integers
    axis : {'horizontal', 'vertical'}
        Exchange left and right, or top and bottom.
    probability : float
        From 0 to 1.
    """
    import tensorflow as tf

    if axis not in ("horizontal", "vertical"):
        raise ValueError(f"axis is {axis!r}; it must be 'horizontal' or 'vertical'")
    _within("probability", probability, 0, 1)
    x, like = _batch(images, keep=True)
    chosen = _uniform(key, "flip " + axis, [tf.shape(x)[0], 1, 1, 1]) < probability
    return _as(tf.where(chosen, tf.reverse(x, axis=[2 if axis == "horizontal" else 1]), x), like)


def shift(images: Any, key: Any, *, pixels: int, fill: float = 0.0) -> Any:
    """Move each image by a whole number of pixels, from −`pixels` to `pixels`, along both axes.

    The same as padding by `pixels` on all sides and cutting out a window of the old size. Nothing is interpolated.

    Parameters
    ----------
    images : array or tensor, shape (N, H, W, C)
    key : two integers
    pixels : int
        Zero or more, below H and W.
    fill : float
        Value of what enters at the border.
    """
    import tensorflow as tf

    x, like = _batch(images, keep=True)
    pixels = _whole("pixels", pixels, 0)
    x = _at_least(x, pixels + 1, f"pixels is {pixels}", "it must be smaller")
    border = [[0, 0], [pixels, pixels], [pixels, pixels], [0, 0]]
    padded = tf.pad(x, border, constant_values=tf.cast(_filling(fill, x), x.dtype))
    return _as(_windows(padded, key, "shift", tf.shape(x)[1], tf.shape(x)[2]), like)


def crop(images: Any, key: Any, *, size: int) -> Any:
    """Cut a square window out of each image, at a random place.

    Parameters
    ----------
    images : array or tensor, shape (N, H, W, C)
    key : two integers
    size : int
        Side of the window in pixels, from 1 to the smaller of H and W.

    Returns
    -------
    tf.Tensor, shape (N, size, size, C)
    """
    x, _ = _batch(images, keep=True)
    size = _whole("size", size, 1)
    x = _at_least(x, size, f"size is {size}", "the window must fit")
    window = _windows(x, key, "crop", size, size)
    window.set_shape([x.shape[0], size, size, x.shape[3]])
    return window


def rotate(images: Any, key: Any, *, degrees: float, fill: float = 0.0) -> Any:
    """Turn each image about its centre by an angle from −`degrees` to `degrees`.

    Parameters
    ----------
    images : array or tensor, shape (N, H, W, C)
    key : two integers
    degrees : float
        From 0 to 180.
    fill : float
        Value of what enters at the border.
    """
    import tensorflow as tf

    _within("degrees", degrees, 0, 180)
    x, like = _batch(images)
    angle = (2 * _uniform(key, "rotate", [tf.shape(x)[0]]) - 1) * (degrees * math.pi / 180)
    cosine, sine, zero = tf.cos(angle), tf.sin(angle), tf.zeros_like(angle)
    back = tf.stack([cosine, sine, zero, -sine, cosine, zero], axis=-1)
    return _as(_warp(x, tf.reshape(back, [-1, 2, 3]), _filling(fill, like)), like)


def zoom(images: Any, key: Any, *, factor: float, fill: float = 0.0) -> Any:
    """Magnify each image about its centre, by a number from 1 / `factor` to `factor`, uniform in its logarithm.

    Parameters
    ----------
    images : array or tensor, shape (N, H, W, C)
    key : two integers
    factor : float
        1 or more.
    fill : float
        Value of what enters at the border.
    """
    import tensorflow as tf

    _within("factor", factor, 1, math.inf)
    x, like = _batch(images)
    exponent = 2 * _uniform(key, "zoom", [tf.shape(x)[0]]) - 1
    back = tf.exp(-exponent * math.log(factor))[:, None, None] * tf.eye(2, 3)
    return _as(_warp(x, back, _filling(fill, like)), like)


def contrast(images: Any, key: Any, *, strength: float, high: float | None = None) -> Any:
    """Stretch each image about its mean level by a factor from 1 − `strength` to 1 + `strength`, and clip.

    Parameters
    ----------
    images : array or tensor, shape (N, H, W, C)
        Levels from 0 to `high`.
    key : two integers
    strength : float
        From 0 to 1.
    high : float, optional
        The largest level there is, above 0. Needed unless the images are uint8, whose largest is 255.
    """
    import tensorflow as tf

    _within("strength", strength, 0, 1)
    x, like = _batch(images)
    if high is None:
        if like.dtype.name != "uint8":
            raise ValueError(
                f"high is not given for {like.dtype.name} images; pass the largest level there is, such as 1.0 or 255.0"
            )
        high = 255.0
    if not (_number("high", high) > 0 and math.isfinite(high)):
        raise ValueError(f"high is {high}; it must be a finite number above 0")
    factor = 1 + strength * (2 * _uniform(key, "contrast", [tf.shape(x)[0], 1, 1, 1]) - 1)
    mean = tf.reduce_mean(x, axis=[1, 2, 3], keepdims=True)
    # Written so that a factor of 1 gives back every level exactly.
    return _as(tf.clip_by_value(x + (factor - 1) * (x - mean), 0.0, high), like)


def cutout(images: Any, key: Any, *, size: int, fill: float = 0.0) -> Any:
    """Cover a square of each image; its centre is any pixel, so that part of it may lie outside.

    Parameters
    ----------
    images : array or tensor, shape (N, H, W, C)
    key : two integers
    size : int
        Side of the square in pixels, 0 or more.
    fill : float
        Value of the covered pixels.
    """
    import tensorflow as tf

    x, like = _batch(images, keep=True)
    size = _whole("size", size, 0)
    n, height, width, _ = tf.unstack(tf.shape(x))
    covered = []
    for number, side in enumerate((height, width)):
        centre = tf.floor(_uniform(key, f"cutout {number}", [n, 1]) * tf.cast(side, tf.float32))
        first = tf.cast(centre, tf.int32) - size // 2
        place = tf.range(side)[None, :]
        covered.append((place >= first) & (place < first + size))
    square = covered[0][:, :, None, None] & covered[1][:, None, :, None]
    return _as(tf.where(square, tf.cast(_filling(fill, x), x.dtype), x), like)


def mixup(images: Any, targets: Any, key: Any, *, alpha: float) -> tuple[Any, Any]:
    r"""Mix each image, and its target alike, with another one of the batch.

    .. math:: \tilde x_i = \lambda_i x_i + (1 - \lambda_i)\, x_{\pi(i)}, \qquad
              \tilde t_i = \lambda_i t_i + (1 - \lambda_i)\, t_{\pi(i)}

    with :math:`\lambda_i \sim \mathrm{Beta}(\alpha, \alpha)` and a random permutation :math:`\pi` of the batch.

    Parameters
    ----------
    images : array or tensor, shape (N, H, W, C)
    targets : array or tensor of float, shape (N, K)
        Probabilities of the classes, such as one-hot rows.
    key : two integers
    alpha : float
        Above 0: near 0 most mixtures are nearly pure, at 1 every share is equally likely.

    Returns
    -------
    images : tf.Tensor
        Shape and dtype as given.
    targets : tf.Tensor
        Shape and dtype as given; rows that summed to 1 still do.

    Raises
    ------
    ValueError
        If `targets` are not floats of shape (N, K), or an argument is out of range.
    """
    import tensorflow as tf

    if not (_number("alpha", alpha) > 0 and math.isfinite(alpha)):
        raise ValueError(f"alpha is {alpha}; it must be a finite number above 0")
    x, like = _batch(images)
    t = tf.convert_to_tensor(targets)
    if t.shape.rank != 2 or not t.dtype.is_floating:
        raise ValueError(
            f"targets are {t.dtype.name} of shape {t.shape}; they must be floats, (N, classes): one-hot rows"
        )
    if None not in (t.shape[0], x.shape[0]) and t.shape[0] != x.shape[0]:
        raise ValueError(f"there are {x.shape[0]} images and {t.shape[0]} targets; there must be as many of each")
    n = tf.shape(x)[0]
    gamma = tf.random.stateless_gamma([n, 2], _key(key, "mixup"), alpha, dtype=tf.float64)
    total = tf.reduce_sum(gamma, axis=1)
    share = tf.where(total > 0, gamma[:, 0] / tf.where(total > 0, total, 1.0), 1.0)
    order = tf.argsort(_uniform(key, "mixup order", [n]))
    share_x = tf.cast(share, tf.float32)[:, None, None, None]
    share_t = tf.cast(share, t.dtype)[:, None]
    mixed = share_x * x + (1 - share_x) * tf.gather(x, order)
    return _as(mixed, like), share_t * t + (1 - share_t) * tf.gather(t, order)


# --- keys ---------------------------------------------------------------------------------------------------


def _key(key: Any, purpose: str) -> Any:
    """Derive a key of its own for a purpose, so that two functions with one key do not draw the same numbers."""
    import zlib

    import tensorflow as tf

    try:
        pair = tf.convert_to_tensor(key)
        whole = pair.dtype.is_integer
    except (TypeError, ValueError):  # parts of two dtypes
        parts = [tf.convert_to_tensor(part) for part in key]
        whole = all(part.dtype.is_integer for part in parts)
        pair = tf.stack([tf.cast(part, tf.int64) for part in parts])
    if not whole:
        raise ValueError(f"key is {key}; it must be two integers, such as (seed, number of the batch)")
    pair = tf.cast(pair, tf.int64)
    if pair.shape != (2,):
        raise ValueError(f"key has shape {pair.shape}; it must be two integers, such as (seed, number of the batch)")
    return tf.random.experimental.stateless_fold_in(pair, zlib.crc32(purpose.encode()))


def _uniform(key: Any, purpose: str, shape: Any) -> Any:
    import tensorflow as tf

    return tf.random.stateless_uniform(shape, _key(key, purpose))


def _windows(images: Any, key: Any, purpose: str, height: Any, width: Any) -> Any:
    """Cut a window out of each image, at a random whole-numbered place."""
    import tensorflow as tf

    n, rows, columns, _ = tf.unstack(tf.shape(images))
    window = images
    for axis, (room, side) in enumerate(((rows - height, height), (columns - width, width)), start=1):
        draw = _uniform(key, f"{purpose} {axis}", [n]) * tf.cast(room + 1, tf.float32)
        start = tf.minimum(tf.cast(draw, tf.int32), room)
        window = tf.gather(window, start[:, None] + tf.range(side)[None, :], axis=axis, batch_dims=1)
    return window


# --- validation ---------------------------------------------------------------------------------------------


def _batch(images: Any, *, keep: bool = False) -> tuple[Any, Any]:
    """Return images as a tensor (float32 unless `keep`), and the tensor that was given, whose dtype is restored."""
    import tensorflow as tf

    x = tf.convert_to_tensor(images)
    if x.shape.rank != 4:
        raise ValueError(
            f"images have shape {x.shape}; it must be (N, H, W, C): a batch, with an axis for the channels"
        )
    if not (x.dtype.is_integer or x.dtype.is_floating):
        raise ValueError(f"images are {x.dtype.name}; they must be integers or floats")
    if 0 in x.shape.as_list():
        raise ValueError(f"images have shape {x.shape}; there must be at least one image, and one pixel")
    if x.shape[0] is None:
        check = tf.debugging.assert_positive(tf.shape(x)[0], "images are an empty batch; there must be at least one")
        with tf.control_dependencies([check] if check is not None else []):
            x = tf.identity(x)
    return (x if keep else tf.cast(x, tf.float32)), x


def _at_least(images: Any, side: int, given: str, wanted: str) -> Any:
    """Check that both sides of images have so many pixels; a graph that does not know them checks as it runs."""
    import tensorflow as tf

    height, width = images.shape[1:3]
    if any(known is not None and known < side for known in (height, width)):
        raise ValueError(f"{given} for images of {height} × {width}; {wanted}")
    if None not in (height, width):
        return images
    check = tf.debugging.assert_greater_equal(tf.reduce_min(tf.shape(images)[1:3]), side, f"{given}; {wanted}")
    with tf.control_dependencies([check] if check is not None else []):
        return tf.identity(images)


def _filling(fill: float, images: Any) -> float:
    """Return `fill` if images of this dtype can hold it."""
    if not math.isfinite(_number("fill", fill)):
        raise ValueError(f"fill is {fill}; it must be finite")
    dtype = images.dtype
    if dtype.is_integer and not (dtype.min <= fill <= dtype.max and float(fill).is_integer()):
        raise ValueError(
            f"fill is {fill} for {dtype.name} images; it must be a whole number from {dtype.min} to {dtype.max}"
        )
    return fill


def _as(result: Any, like: Any) -> Any:
    """Give a result the dtype and the static shape of the images."""
    import tensorflow as tf

    if result.dtype != like.dtype:
        result = tf.saturate_cast(tf.round(result) if like.dtype.is_integer else result, like.dtype)
    result.set_shape(like.shape)
    return result


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number, at least {least}")
    return int(value)


def _number(name: str, value: Any) -> float:
    if not isinstance(value, Real):
        raise ValueError(f"{name} is {value!r}; it must be a number")
    return float(value)


def _within(name: str, value: float, low: float, high: float) -> None:
    _number(name, value)
    if not (math.isfinite(value) and low <= value <= high):
        limits = f"from {low:g} to {high:g}" if math.isfinite(high) else f"a finite number, at least {low:g}"
        raise ValueError(f"{name} is {value}; it must be {limits}")
