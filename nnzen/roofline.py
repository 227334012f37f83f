r"""What a device can do at most, and what that says about a computation: the roofline of Williams et al. (2009).

A device that carries out at most :math:`P` FLOP/s and moves at most :math:`\beta` byte/s needs for :math:`F` FLOP on
:math:`Q` bytes at least

.. math:: t \ge \max(F / P,\; Q / \beta) .

Arithmetic is the limit where the intensity :math:`I = F / Q` lies above the ridge :math:`P / \beta`, memory where it
lies below. :math:`P` and :math:`\beta` are measured here, on the device that TensorFlow computes on, whatever it is.

Reference: Williams, Waterman and Patterson (2009), https://doi.org/10.1145/1498765.1498785. Chapter 17 uses it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from nnzen.costs import Costs

__all__ = ["FORMATS", "Roofline", "best_times", "product_rates", "scaling_rates", "training_bound"]

FORMATS = ("float32", "tensorfloat32", "bfloat16", "float16")
"""Formats of numbers in which :func:`product_rates` multiplies; the second is float32 that the device may shorten."""

_Timer = Callable[[Sequence[Callable[[], Any]]], Iterable[float]]

_LONG = 0.005  # seconds after which a larger product or array would only repeat what is known
_SIDE, _SIZE = 512, 2**24  # but so large they must be: on a busy machine small ones take long, too


@dataclass(frozen=True)
class Roofline:
    """The two ceilings of a device.

    Attributes
    ----------
    peak : float
        FLOP/s that it carries out at most.
    bandwidth : float
        Bytes a second that it moves at most.

    Examples
    --------
    >>> device = Roofline(peak=100e9, bandwidth=20e9)
    >>> device.ridge
    5.0
    >>> float(device.seconds(flop=1e9, moved=1e9))
    0.05
    """

    peak: float
    bandwidth: float

    def __post_init__(self) -> None:
        for name in ("peak", "bandwidth"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be a finite number above 0")

    @property
    def ridge(self) -> float:
        """Intensity, in FLOP a byte, at which both ceilings meet."""
        return self.peak / self.bandwidth

    def seconds(self, flop: ArrayLike, moved: ArrayLike) -> NDArray[np.float64]:
        """Return the least time for `flop` operations on `moved` bytes, element by element.

        Parameters
        ----------
        flop, moved : array_like of float
            Zero or more; of shapes that broadcast.

        Returns
        -------
        ndarray of float64
            Seconds.

        Raises
        ------
        ValueError
            If a count is negative or not a number.
        """
        counts = [np.asarray(value, dtype=np.float64) for value in (flop, moved)]
        for name, count in zip(("flop", "moved"), counts, strict=True):
            if not (count >= 0).all():
                raise ValueError(f"{name} is {count}; it must be zero or more")
        return np.maximum(counts[0] / self.peak, counts[1] / self.bandwidth)

    def rate(self, intensity: ArrayLike) -> NDArray[np.float64]:
        """Return the most FLOP/s that a computation of that intensity (FLOP a byte) can reach: the roof itself."""
        return np.minimum(self.peak, self.bandwidth * np.asarray(intensity, dtype=np.float64))


def training_bound(network: Costs, device: Roofline, *, batch: int, value_bytes: int = 4) -> float:
    """Return the least time of a training step with Adam.

    Each layer is done with before the next begins, so their times add up. A layer's backward pass has one or two
    products of the size of its forward pass, and moves as much for each; a layer without weights takes one such pass.
    Adam reads four numbers of 32 bits for each weight and writes three.

    Parameters
    ----------
    network : Costs
        What it costs, from `nnzen.costs.costs`.
    device : Roofline
        Its peak must be that of the format in which the layers multiply.
    batch : int
        Images a step.
    value_bytes : int
        Of a number that the layers hand on: 2 in mixed precision.

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    ValueError
        If `batch` or `value_bytes` is below 1.
    """
    for name, value in (("batch", batch), ("value_bytes", value_bytes)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be 1 or more")
    total = float(device.seconds(0, 7 * 4 * network.trainable))
    for row in network.layers:
        passes = row.training_flop / row.flop if row.flop else 2
        values = batch * (row.input_bytes + row.output_bytes) * value_bytes / 4  # the counts are of float32
        total += float(device.seconds(batch * row.training_flop, passes * (row.weight_bytes + values)))
    return total


def best_times(
    calls: Sequence[Callable[[], Any]], *, repeats: int = 20, clock: Callable[[], float] = time.perf_counter
) -> NDArray[np.float64]:
    """Return the shortest time of each of several calls, in seconds.

    Whatever else the machine does can only make a call longer, so the shortest of many repeats says most about the call
    itself. The calls are timed in turn, so that a burst of other work meets all of them. Two rounds before do not
    count: they trace, compile, and fill the caches. Each call ends when the device has finished, not when it has been
    given the work.

    Parameters
    ----------
    calls : sequence of callable
        Without arguments.
    repeats : int
        How often each is timed.
    clock : callable
        Returns seconds.

    Returns
    -------
    ndarray of float64, shape (calls,)

    Raises
    ------
    ValueError
        If there are no calls, or `repeats` is below 1.

    Examples
    --------
    >>> ticks = iter([0.0, 3.0, 10.0, 12.0])  # a clock for two repeats, of 3 and of 2 seconds
    >>> best_times([lambda: None], repeats=2, clock=lambda: next(ticks))
    array([2.])
    """
    if repeats < 1 or not calls:
        raise ValueError(f"there are {len(calls)} calls and repeats is {repeats}; both must be at least 1")
    for call in [*calls, *calls]:
        call()
    _wait_for_device()
    seconds = np.full(len(calls), np.inf)
    for _ in range(repeats):
        for i, call in enumerate(calls):
            start = clock()
            call()
            _wait_for_device()
            seconds[i] = min(seconds[i], clock() - start)
    return seconds


def product_rates(
    number_format: str = "float32",
    *,
    largest: int = 8192,
    timer: _Timer = best_times,
) -> dict[int, float]:
    """Measure products of square matrices: side 64, 128 and so on to at least 512, until one takes five milliseconds.

    Parameters
    ----------
    number_format : {'float32', 'tensorfloat32', 'bfloat16', 'float16'}
        The first two multiply arrays of float32; a device that can may shorten their factors to 10 mantissa bits in the
        second. Others ignore the difference.
    largest : int
        Side at which to stop in any case.
    timer : callable
        Returns the seconds of each of several calls.

    Returns
    -------
    dict of int to float
        FLOP/s by side; a product of side n has 2n³ FLOP.

    Raises
    ------
    ValueError
        If the format is unknown.
    """
    if number_format not in FORMATS:
        raise ValueError(f"number_format is {number_format!r}; it must be one of {', '.join(FORMATS)}")
    import tensorflow as tf

    dtype = "float32" if number_format == "tensorfloat32" else number_format
    rates = {}
    with _tensor_float_32(allowed=number_format == "tensorfloat32"):
        for side in _doubling(64, largest):
            a = tf.cast(tf.random.stateless_normal((side, side), seed=(side, 0)), dtype)
            (seconds,) = timer([partial(tf.matmul, a, a)])
            rates[side] = 2 * side**3 / seconds
            if seconds > _LONG and side >= _SIDE:
                break
    return rates


def scaling_rates(*, largest: int = 2**30, timer: _Timer = best_times) -> dict[int, float]:
    """Measure ``2 * x`` for float32 arrays of 64 KiB, 128 KiB and so on to at least 16 MiB, until one takes 5 ms.

    Parameters
    ----------
    largest : int
        Bytes of an array at which to stop in any case.
    timer : callable
        Returns the seconds of each of several calls.

    Returns
    -------
    dict of int to float
        Bytes a second by bytes of the array; every byte is read once and written once, so twice as many are moved.
    """
    import tensorflow as tf

    rates = {}
    for size in _doubling(2**16, largest):
        x = tf.ones((size // 4,))
        (seconds,) = timer([partial(tf.multiply, 2.0, x)])
        rates[size] = 2 * size / seconds
        if seconds > _LONG and size >= _SIZE:
            break
    return rates


def _doubling(first: int, last: int) -> Iterator[int]:
    while first <= last:
        yield first
        first *= 2


def _wait_for_device() -> None:
    """Wait until the device is done: a call of TensorFlow returns when the work has been handed over."""
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].test.experimental.sync_devices()


@contextmanager
def _tensor_float_32(*, allowed: bool) -> Iterator[None]:
    """Allow or forbid that products of float32 are computed from shortened factors, and restore what was set."""
    import tensorflow as tf

    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(allowed)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
