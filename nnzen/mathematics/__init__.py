"""The mathematics of the book in NumPy, one module a subject, each tested against an independent oracle.

`activations` belongs to chapter 01, `losses` to 02, `autodiff` to 03, `initialization`, `normalization` and `clipping`
to 04, `optimizers` to 05 and 06, `schedules` and `gradient_noise` to 07, `convolution` to 08. Nothing in here imports
TensorFlow.
"""

from nnzen.mathematics import (
    activations,
    autodiff,
    clipping,
    convolution,
    gradient_noise,
    initialization,
    losses,
    normalization,
    optimizers,
    schedules,
)

__all__ = [
    "activations",
    "autodiff",
    "clipping",
    "convolution",
    "gradient_noise",
    "initialization",
    "losses",
    "normalization",
    "optimizers",
    "schedules",
]
