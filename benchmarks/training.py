"""Time the training of a small residual network: Keras as it comes, Keras as the book trains, and PyTorch.

The network takes images of 3 × 32 × 32 pixels, as in CIFAR-10; the images here are random, for they cost the same.
Each row is the best epoch of several, in images a second by the wall clock, and the share of the roofline: the least
time that arithmetic and memory allow (`nnzen.roofline.training_bound`, in the format of the row), divided by
the measured time. PyTorch is no dependency: it is timed where it is installed. Times are printed, never asserted: they
belong to the machine. Run `make benchmark`, with nothing else running, or `.venv/bin/python benchmarks/training.py
--help`.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import numpy as np

import nnzen as nz
from nnzen.roofline import best_times

RATE = 0.001  # Adam's; all of them train alike


def residual_network(channels: int) -> Any:
    """Three stages of one residual pair each, with batch normalization: the network that all rows train."""
    import keras

    layers = keras.layers

    def convolution(x: Any, width: int, k: int, strides: int) -> Any:
        x = layers.Conv2D(width, k, strides=strides, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    inputs = keras.Input((32, 32, 3))
    x = layers.ReLU()(convolution(inputs, channels, 3, 1))
    for stage in range(3):
        width, strides = channels << stage, 1 + (stage > 0)
        y = layers.ReLU()(convolution(x, width, 3, strides))
        shortcut = convolution(x, width, 1, strides) if strides > 1 else x
        x = layers.ReLU()(layers.Add()([shortcut, convolution(y, width, 3, 1)]))
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def keras_default(images: np.ndarray, labels: np.ndarray, channels: int, batch: int, epochs: int) -> float:
    """Images a second of `compile` and `fit` with nothing chosen: float32, and XLA where Keras finds that it can."""
    import keras

    model = residual_network(channels)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.optimizer.learning_rate = RATE
    (seconds,) = best_times([partial(model.fit, images, labels, batch_size=batch, verbose=0)], repeats=epochs)
    return len(images) / seconds


def keras_of_the_book(images: np.ndarray, labels: np.ndarray, channels: int, batch: int, epochs: int) -> float:
    """Images a second of `nnzen.training.fit`: bfloat16 with float32 weights, no XLA, several steps a call."""
    import keras

    plan = nz.training.Plan(
        optimizer=lambda steps: keras.optimizers.Adam(RATE),
        epochs=epochs + 1,
        batch_size=batch,
        precision="mixed_bfloat16",
    )
    history = nz.training.fit(partial(residual_network, channels), images, labels, plan, seed=0).history
    return max(history["images_per_second"][1:])  # the first epoch traces and compiles


def pytorch(images: np.ndarray, labels: np.ndarray, channels: int, batch: int, epochs: int) -> float | None:
    """Images a second of the same network in PyTorch: `channels_last`, bfloat16; None without it."""
    try:
        import torch
    except ModuleNotFoundError:
        return None
    from torch import nn

    class Pair(nn.Module):
        def __init__(self, before: int, width: int) -> None:
            super().__init__()
            strides = 1 if before == width else 2
            self.first = convolution(before, width, 3, strides)
            self.second = convolution(width, width, 3, 1)
            self.shortcut = nn.Identity() if strides == 1 else convolution(before, width, 1, strides)

        def forward(self, x: Any) -> Any:
            return (self.second(self.first(x).relu()) + self.shortcut(x)).relu()

    def convolution(before: int, width: int, k: int, strides: int) -> Any:
        return nn.Sequential(nn.Conv2d(before, width, k, strides, k // 2, bias=False), nn.BatchNorm2d(width))

    device = "cuda" if torch.cuda.is_available() else "cpu"
    pairs = [Pair(channels << max(stage - 1, 0), channels << stage) for stage in range(3)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * channels, 10)]
    model = nn.Sequential(convolution(3, channels, 3, 1), nn.ReLU(), *pairs, *head)
    model = model.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    x = torch.tensor(images.transpose(0, 3, 1, 2).tolist()).to(device, memory_format=torch.channels_last)
    y = torch.tensor(labels.tolist()).to(device)

    def epoch() -> None:
        order = torch.randperm(len(y), device=device)
        for chosen in order.split(batch):
            optimizer.zero_grad()
            with torch.autocast(device, torch.bfloat16):
                loss = nn.functional.cross_entropy(model(x[chosen]), y[chosen])
            loss.backward()
            optimizer.step()
        loss.item()  # waits until the device has finished

    (seconds,) = best_times([epoch], repeats=epochs)
    return len(images) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5120, help="images an epoch")
    parser.add_argument("--channels", type=int, default=16, help="channels of the first stage")
    parser.add_argument("--batch", type=int, default=128, help="images a step")
    parser.add_argument("--epochs", type=int, default=3, help="timed epochs of each")
    parser.add_argument("--largest", type=int, default=8192, help="side of the largest product that is measured")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    images = rng.normal(size=(options.images, 32, 32, 3)).astype("float32")
    labels = rng.integers(0, 10, size=options.images)

    bandwidth = max(nz.roofline.scaling_rates().values())
    costs = nz.costs.costs(residual_network(options.channels))
    print(
        f"{costs.trainable:,} weights, {costs.training_flop / 1e6:.1f} MFLOP an image in training, batches of "
        f"{options.batch}, {nz.runtime.processors()} processor threads; the best of {options.epochs} epochs"
    )
    print(f"{'':36} {'images/s':>9} {'roofline':>9} {'share':>6}")
    for name, run, number_format, value_bytes in (
        ("Keras as it comes, float32", keras_default, "tensorfloat32", 4),
        ("Keras as the book trains, bfloat16", keras_of_the_book, "bfloat16", 2),
        ("PyTorch, channels_last, bfloat16", pytorch, "bfloat16", 2),
    ):
        rate = run(images, labels, options.channels, options.batch, options.epochs)
        if rate is None:
            print(f"{name:36} PyTorch is not installed")
            continue
        peak = max(nz.roofline.product_rates(number_format, largest=options.largest).values())
        device = nz.roofline.Roofline(peak=peak, bandwidth=bandwidth)
        least = nz.roofline.training_bound(costs, device, batch=options.batch, value_bytes=value_bytes)
        print(f"{name:36} {rate:9,.0f} {options.batch / least:9,.0f} {100 * rate * least / options.batch:4.0f} %")


if __name__ == "__main__":
    main()
