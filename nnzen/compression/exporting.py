"""Networks as bytes of other formats, and the interpreter that runs them."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras
    from numpy.typing import ArrayLike

__all__ = ["litert_interpreter", "to_litert"]


def to_litert(model: keras.Model, calibration_images: ArrayLike | None = None) -> bytes:
    """Return the bytes of a ``.tflite`` file, in float32 or in int8 throughout. Imports TensorFlow.

    Parameters
    ----------
    model : keras.Model
        Built.
    calibration_images : array_like, shape (N, ...), optional
        As the model takes them. With them weights, activations, input and output are int8 (sums int32), with a scale
        for each output channel of a kernel, and these images choose the grids of activations by their extremes.
        Without them everything stays float32.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        If there are no images, one is not finite, or they do not fit the model.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> to_litert(model, np.eye(4))[4:8]
    b'TFL3'
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if calibration_images is not None:
        images = np.asarray(calibration_images, dtype=np.float32)
        fits = images.ndim == len(model.input_shape) and len(images) > 0
        if not fits or any(a not in (None, b) for a, b in zip(model.input_shape[1:], images.shape[1:], strict=True)):
            raise ValueError(
                f"calibration_images has shape {images.shape}; the model takes {model.input_shape}, at least one image"
            )
        if not np.isfinite(images).all():
            raise ValueError("calibration_images holds numbers that are NaN or infinite")
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with _silence():
        return bytes(converter.convert())


def litert_interpreter(content: bytes, *, kernels: str = "default", keep: bool = False) -> Any:
    """Return LiteRT's interpreter of the bytes of a file, on one thread. Imports TensorFlow or ``ai_edge_litert``.

    Parameters
    ----------
    content : bytes
        Of a ``.tflite`` file.
    kernels : {'default', 'reference'}
        The fastest that LiteRT has for this processor, or those written to be read.
    keep : bool
        Whether the results of inner operations can be read, too; their memory is not reused then.

    Returns
    -------
    Interpreter
        With its tensors allocated, for one image.

    Raises
    ------
    ValueError
        If there are no such kernels, or the bytes are none of a ``.tflite`` file.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> litert_interpreter(to_litert(model)).get_output_details()[0]["dtype"].__name__
    'float32'
    """
    with _silence():
        try:
            from ai_edge_litert import interpreter as litert
        except ImportError:
            from tensorflow.lite.python import interpreter as litert
        resolvers = {"default": litert.OpResolverType.AUTO, "reference": litert.OpResolverType.BUILTIN_REF}
        if kernels not in resolvers:
            raise ValueError(f"kernels is {kernels!r}; it must be one of {', '.join(resolvers)}")
        interpreter = litert.Interpreter(
            model_content=content,
            experimental_op_resolver_type=resolvers[kernels],
            experimental_preserve_all_tensors=keep,
            num_threads=1,
        )
        interpreter.allocate_tensors()
        return interpreter


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Drop what the converter prints about itself."""
    from nnzen.runtime import quiet_stderr

    with warnings.catch_warnings(), quiet_stderr(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
