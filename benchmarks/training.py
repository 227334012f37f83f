"""Time the training of chapter 15's network: Keras as it comes, Keras as the book trains, and PyTorch.

The images are random, of 32 × 32 pixels in three channels, as in CIFAR-10: they cost the same. Every row trains the
same network with Nesterov's momentum and nothing else: no augmentation, no schedule. Each row is the best epoch of
several, in images a second by the wall clock, and the share of the roofline: the least time that arithmetic and memory
allow (`nnzen.roofline.training_bound`, in the format of the row), divided by the measured time. PyTorch is no
dependency: it is timed where it is installed. Times are printed, never asserted: they belong to the machine. Run `make
benchmark`, with nothing else running, or `.venv/bin/python benchmarks/training.py --help`.
"""

from __future__ import annotations

import argparse
import dataclasses
from functools import partial
from typing import Any

import numpy as np

import nnzen as nz
from nnzen import speedrun
from nnzen.roofline import best_times

RATE, MOMENTUM = 0.1, 0.9
DESIGN = speedrun.Design(optimizer="momentum", learning_rate=RATE, falling=False, shift=0, flip="none", smoothing=0.0)


def keras_default(images: np.ndarray, labels: np.ndarray, batch: int, epochs: int) -> float:
    """Images a second of `compile` and `fit` with nothing chosen: float32, and XLA where Keras finds that it can."""
    import keras

    model = speedrun.network(dataclasses.replace(DESIGN, precision="float32"), images)
    optimizer = keras.optimizers.SGD(RATE, momentum=MOMENTUM, nesterov=True)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    (seconds,) = best_times([partial(model.fit, images, labels, batch_size=batch, verbose=0)], repeats=epochs)
    return len(images) / seconds


def keras_of_the_book(images: np.ndarray, labels: np.ndarray, batch: int, epochs: int) -> float:
    """Images a second of `nnzen.training.fit`: bfloat16 with float32 weights, no XLA, several steps a call."""
    design = dataclasses.replace(DESIGN, batch_size=batch, epochs=epochs + 1)
    plan = speedrun.plan(design, len(images))
    fitted = nz.training.fit(partial(speedrun.network, design, images), images, labels, plan, seed=0)
    return max(fitted.history["images_per_second"][1:])  # the first epoch traces and compiles


def pytorch(images: np.ndarray, labels: np.ndarray, batch: int, epochs: int) -> float | None:
    """Images a second of the same network in PyTorch: `channels_last`, bfloat16; None without it."""
    try:
        import torch
    except ModuleNotFoundError:
        return None
    from torch import nn

    def convolution(before: int, width: int, pool: bool) -> list[Any]:
        layers = [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        return [layers[0], *([nn.MaxPool2d(2)] if pool else []), *layers[1:]]

    first = nn.Conv2d(images.shape[-1], DESIGN.filters, DESIGN.patch, DESIGN.stride, bias=False)
    first.weight.requires_grad_(False)
    layers: list[Any] = [first, nn.ReLU()]
    for before, width in zip((DESIGN.filters, *DESIGN.widths), DESIGN.widths, strict=False):
        layers += convolution(before, width, True)
        layers += [part for _ in range(DESIGN.depth - 1) for part in convolution(width, width, False)]
    layers += [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(DESIGN.widths[-1], 10, bias=False)]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = nn.Sequential(*layers).to(device, memory_format=torch.channels_last)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learned, RATE, momentum=MOMENTUM, nesterov=True)
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(device, memory_format=torch.channels_last)
    y = torch.from_numpy(labels).to(device)

    def normalize_filters() -> None:  # as the network's constraint does
        with torch.no_grad():
            for layer in layers:
                if isinstance(layer, nn.Conv2d) and layer is not first:
                    layer.weight.div_(layer.weight.flatten(1).norm(dim=1)[:, None, None, None])

    def epoch() -> None:
        order = torch.randperm(len(y), device=device)
        for chosen in order.split(batch):
            optimizer.zero_grad()
            with torch.autocast(device, torch.bfloat16):
                loss = nn.functional.cross_entropy(model(x[chosen].float() / 128 - 1), y[chosen])
            loss.backward()
            optimizer.step()
            normalize_filters()
        loss.item()  # waits until the device has finished

    (seconds,) = best_times([epoch], repeats=epochs)
    return len(images) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10000, help="images an epoch")
    parser.add_argument("--batch", type=int, default=DESIGN.batch_size, help="images a step")
    parser.add_argument("--epochs", type=int, default=3, help="timed epochs of each")
    parser.add_argument("--largest", type=int, default=8192, help="side of the largest product that is measured")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(options.images, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, size=options.images)

    bandwidth = max(nz.roofline.scaling_rates().values())
    costs = nz.costs.costs(speedrun.network(DESIGN, images))
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
        rate = run(images, labels, options.batch, options.epochs)
        if rate is None:
            print(f"{name:36} PyTorch is not installed")
            continue
        peak = max(nz.roofline.product_rates(number_format, largest=options.largest).values())
        device = nz.roofline.Roofline(peak=peak, bandwidth=bandwidth)
        least = nz.roofline.training_bound(costs, device, batch=options.batch, value_bytes=value_bytes)
        print(f"{name:36} {rate:9,.0f} {options.batch / least:9,.0f} {100 * rate * least / options.batch:4.0f} %")


if __name__ == "__main__":
    main()
