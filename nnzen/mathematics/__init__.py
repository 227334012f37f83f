"""The mathematics of the book in NumPy, one module a subject, each tested against an independent oracle.

`losses` belongs to chapter 02, `optimizers` to chapter 05, `convolution` to chapter 08. Nothing in here imports
TensorFlow.
"""

from nnzen.mathematics import convolution, losses, optimizers

__all__ = ["convolution", "losses", "optimizers"]
