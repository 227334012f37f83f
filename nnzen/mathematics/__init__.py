"""The mathematics of the book in NumPy, one module a subject, each tested against an independent oracle.

`losses` belongs to chapter 02, `autodiff` to 03, `convolution` to 08. Nothing in here imports TensorFlow.
"""

from nnzen.mathematics import autodiff, convolution, losses

__all__ = ["autodiff", "convolution", "losses"]
