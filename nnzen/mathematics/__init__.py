"""The mathematics of the book in NumPy, one module a subject, each tested against an independent oracle.

`activations` belongs to chapter 01, `losses` to 02, `autodiff` to 03, `optimizers` to 05, `schedules` and
`gradient_noise` to 07, `convolution` to 08. Nothing in here imports TensorFlow.
"""

from nnzen.mathematics import activations, autodiff, convolution, gradient_noise, losses, optimizers, schedules

__all__ = ["activations", "autodiff", "convolution", "gradient_noise", "losses", "optimizers", "schedules"]
