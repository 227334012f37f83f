"""Networks as the bytes of files, and LiteRT's interpreter of them.

Where a format exists, its own library writes it: LiteRT's converter, and tf2onnx, which Keras calls, with the quantizer
of ONNX Runtime.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras
    from numpy.typing import ArrayLike, NDArray

__all__ = ["export", "litert_interpreter", "to_litert", "to_onnx"]

_FORMATS = ("keras", "nnz", "onnx", "tflite")


def export(model: keras.Model, file_format: str, calibration_images: ArrayLike | None = None) -> bytes:
    """Return the bytes of a model's file, which `nnzen.predictors.predictor` runs. Imports Keras.

    Parameters
    ----------
    model : keras.Model
        Built. It is not changed.
    file_format : {'keras', 'nnz', 'onnx', 'tflite'}
        The ending of the file's name: Keras' own, :func:`nnzen.compression.coding.encode`'s, :func:`to_onnx`'s, or
        :func:`to_litert`'s.
    calibration_images : array_like, shape (N, ...), optional
        As the model takes them, for the files of int8 that ONNX and LiteRT know.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        If there is no such format, it has no files of int8, or the model or the images do not fit it.
    ImportError
        If a package that writes the format is not installed; it is named.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> export(model, "nnz")[:3], export(model, "tflite")[4:8]
    (b'NNZ', b'TFL3')
    """
    if file_format not in _FORMATS:
        raise ValueError(f"file_format is {file_format!r}; it must be one of {', '.join(_FORMATS)}")
    if file_format == "onnx":
        return to_onnx(model, calibration_images)
    if file_format == "tflite":
        return to_litert(model, calibration_images)
    if calibration_images is not None:
        raise ValueError(
            f"calibration_images were given, but a {file_format} file keeps the model's numbers; leave them out, or "
            "choose onnx or tflite"
        )
    if file_format == "nnz":
        from nnzen.compression.coding import encode

        return encode(model)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()


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
        images = _checked(calibration_images, model)
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


def to_onnx(model: keras.Model, calibration_images: ArrayLike | None = None) -> bytes:
    """Return the bytes of an ``.onnx`` file, in float32 or with weights and activations of int8. Imports Keras.

    Parameters
    ----------
    model : keras.Model
        With one input, whose shape is fixed apart from the number of images.
    calibration_images : array_like, shape (N, ...), optional
        As the model takes them. With them weights and activations are int8, weights with a scale for each output
        channel; input and output stay float32. These images choose the grids of activations by their extremes. Without
        them everything stays float32.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        If the model's input has no fixed shape, there are no images, one is not finite, or they do not fit the model.
    ImportError
        If onnx, onnxruntime or tf2onnx is not installed; it is named.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> len(to_onnx(model)) < 1000  # doctest: +SKIP
    True
    """
    shape = model.input_shape
    if not isinstance(shape, tuple) or any(side is None for side in shape[1:]):
        raise ValueError(
            f"the model takes {shape}; to_onnx takes one input, whose shape is fixed but for the first axis"
        )
    images = None if calibration_images is None else _checked(calibration_images, model)
    try:
        import onnx
        import tf2onnx  # noqa: F401
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise ImportError(f"to_onnx takes the package {error.name}: pip install 'nnzen[export]'") from error
    with TemporaryDirectory() as folder, _silence():
        path = Path(folder) / "float32.onnx"
        model(np.zeros((1, *shape[1:]), np.float32))  # Keras exports nothing that has not been called
        model.export(path, format="onnx", verbose=False)
        if images is not None:
            prepared, path_int8 = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
            quant_pre_process(path, prepared, skip_symbolic_shape=True)
            quantization.quantize_static(
                prepared,
                path_int8,
                _OneByOne(onnx.load(path).graph.input[0].name, images),
                per_channel=True,
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
            )
            path = path_int8
        return path.read_bytes()


class _OneByOne:
    """Gives ONNX Runtime's quantizer an image at a time, and None at the end."""

    def __init__(self, name: str, images: NDArray[np.float32]) -> None:
        self._feeds = iter([{name: image[None]} for image in images])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._feeds, None)


def _checked(calibration_images: ArrayLike, model: keras.Model) -> NDArray[np.float32]:
    images = np.asarray(calibration_images, dtype=np.float32)
    fits = images.ndim == len(model.input_shape) and len(images) > 0
    if not fits or any(a not in (None, b) for a, b in zip(model.input_shape[1:], images.shape[1:], strict=True)):
        raise ValueError(
            f"calibration_images has shape {images.shape}; the model takes {model.input_shape}, at least one image"
        )
    if not np.isfinite(images).all():
        raise ValueError("calibration_images holds numbers that are NaN or infinite")
    return images


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Drop what the converter prints about itself."""
    from nnzen.runtime import quiet_stderr

    with warnings.catch_warnings(), quiet_stderr(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)
