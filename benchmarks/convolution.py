"""Time the library's convolution beside Keras' on the processor: 3 × 3 kernels, 32 channels in and out.

`nnzen.mathematics.convolution` unrolls windows into rows ("im2col") and multiplies matrices; it is written to be read.
The question here is what that costs, and the answer that the book can live with is a factor below 25, forwards and with
both gradients. Times are printed, never asserted: they belong to the machine. Run `make benchmark`, with nothing else
running, or `.venv/bin/python benchmarks/convolution.py --help`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

import nnzen as nz
from nnzen.mathematics.convolution import conv2d, conv2d_gradients

LIMIT = 25.0  # times Keras
Pass = Callable[[], tuple[np.ndarray, ...]]


def median_seconds(function: Callable[[], object], repetitions: int) -> float:
    """Median wall time of a call, after one that is not counted: it traces, allocates and fills caches."""
    function()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def passes(images: int, size: int, channels: int, seed: int) -> dict[str, tuple[Pass, Pass]]:
    """Return for each pass the library's version and Keras', as functions that return their results."""
    rng = nz.setup(seed, keras=True)
    import keras
    import tensorflow as tf

    x = rng.normal(size=(images, size, size, channels)).astype("float32")
    kernel = rng.normal(size=(3, 3, channels, channels)).astype("float32")
    bias = rng.normal(size=channels).astype("float32")
    grad = rng.normal(size=x.shape).astype("float32")
    layer = keras.layers.Conv2D(channels, 3, padding="same")
    layer.build(x.shape)
    layer.set_weights([kernel, bias])
    tensor = tf.constant(x)

    @tf.function
    def forward():
        return layer(tensor)

    @tf.function
    def forward_and_gradients():
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            y = layer(tensor)
        return y, *tape.gradient(y, [tensor, *layer.trainable_variables], output_gradients=grad)

    def forward_and_gradients_here():
        gradients = conv2d_gradients(x, kernel, grad, padding="same")
        return conv2d(x, kernel, bias, padding="same"), gradients.x, gradients.kernel, gradients.bias

    return {
        "forward": (
            lambda: (conv2d(x, kernel, bias, padding="same"),),
            lambda: (forward().numpy(),),
        ),
        "forward and gradients": (
            forward_and_gradients_here,
            lambda: tuple(value.numpy() for value in forward_and_gradients()),
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32, help="images a batch")
    parser.add_argument("--size", type=int, default=32, help="height and width in pixels")
    parser.add_argument("--channels", type=int, default=32, help="channels in and out")
    parser.add_argument("--repetitions", type=int, default=15, help="timed calls of each")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(
        f"3 × 3 convolution, {options.channels} channels in and out, {options.images} images of {options.size} × "
        f"{options.size}, float32, {nz.runtime.processors()} processor threads; median of {options.repetitions} calls"
    )
    print(f"{'':22} {'nnzen':>9} {'Keras':>9} {'ratio':>7}  largest difference, relative to the largest value")
    for name, (ours, theirs) in passes(options.images, options.size, options.channels, options.seed).items():
        pairs = zip(ours(), theirs(), strict=True)
        difference = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)
        a, b = median_seconds(ours, options.repetitions), median_seconds(theirs, options.repetitions)
        verdict = "time within" if a <= LIMIT * b else "time ABOVE"
        print(f"{name:22} {1e3 * a:6.1f} ms {1e3 * b:6.1f} ms {a / b:6.1f}×  {difference:.0e}, {verdict} {LIMIT:.0f}×")


if __name__ == "__main__":
    main()
