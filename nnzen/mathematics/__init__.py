"""The mathematics of the book in NumPy, one module a subject, each tested against an independent oracle.

`activations` belongs to chapter 01, `losses` to chapter 02, `convolution` to chapter 08. Nothing in here imports
TensorFlow.
"""

from nnzen.mathematics import activations, convolution, losses

__all__ = ["activations", "convolution", "losses"]
