"""Smaller networks: small functions on Keras models, each of which returns something new.

A function never changes the model that it is given. What makes a model returns it in a `Compressed` of
:mod:`nnzen.compression.result`, which also says what was done to each layer and prints as a table. A layer for which a
function has no rule is named in an error.
"""

from nnzen.compression.aware import converted, quantization_aware
from nnzen.compression.coding import FormatError, Limits, decode, encode
from nnzen.compression.exporting import export, litert_interpreter, to_litert, to_onnx
from nnzen.compression.pruning import cubic_sparsity, keep_zeros, masks, prune, prune_channels, prune_gradually
from nnzen.compression.quantization import Affine, Quantized, quantize
from nnzen.compression.result import Change, Compressed
from nnzen.compression.sharing import share, tied, untied

__all__ = [
    "Affine",
    "Change",
    "Compressed",
    "FormatError",
    "Limits",
    "Quantized",
    "converted",
    "cubic_sparsity",
    "decode",
    "encode",
    "export",
    "keep_zeros",
    "litert_interpreter",
    "masks",
    "prune",
    "prune_channels",
    "prune_gradually",
    "quantization_aware",
    "quantize",
    "share",
    "tied",
    "to_litert",
    "to_onnx",
    "untied",
]
