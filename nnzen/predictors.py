"""Classifiers behind one call: Keras models, and files of Keras, LiteRT, ONNX and our own format.

What predicts is compared by what it puts out for the same images, by its size, and by the time that it takes for one
image. A file is run by its own runtime on the processor: ``.tflite`` by LiteRT, image by image on one thread, with
whole numbers quantized and dequantized by the file's own scale s and zero point z, q = round(x / s) + z; ``.onnx`` by
ONNX Runtime; ``.nnz`` is decoded into a Keras model. A Keras model is called by its ``predict_on_batch``, whose time is
mostly Python's for a small network.

A time belongs to the machine and to what else it does. Times are given as quantiles over calls with a single image,
because one mean hides the slow calls; calls before them, which compile and fill caches, are left out and told. The
interval of a quantile lies between two of the sorted times, which rank it by the binomial distribution: whatever the
times are distributed like, if they are independent, which those of a busy machine are not quite.
"""

from __future__ import annotations

import html
import math
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnzen._classification_figures import Measure

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Latency", "ModelSize", "Predictor", "predictor", "read_image"]

_BATCH = 256  # images in a call, where a call may have several
_ONNX_TYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16"}


@dataclass(frozen=True)
class ModelSize:
    """How large a model is.

    Attributes
    ----------
    parameters : int or None
        All of them, trained or not; None for files of LiteRT and ONNX, which do not tell them from other constants.
    flop : int or None
        Floating-point operations of the forward pass of one image, by :mod:`nnzen.costs`; None where they are unknown.
    stored_bytes : int
        On disk for a file; for a model without a file those of its weights.
    stored_as : str
        ``"file"`` or ``"weights"``.
    note : str
        Why a figure is unknown.
    """

    parameters: int | None
    flop: int | None
    stored_bytes: int
    stored_as: str
    note: str = ""


@dataclass(frozen=True, repr=False)
class Latency:
    """The time that one image takes on this machine.

    Attributes
    ----------
    p50, p95, p99 : Measure
        Seconds that half, 95 % and 99 % of the calls do not exceed. Where there are too few calls for an end of the
        interval, it is 0 or infinite.
    calls : int
        How many were timed, each with one image.
    warm_up_calls : int
        How many came before and are left out.
    warm_up_seconds : float
        What those took in all, compilation included.
    confidence : float
        Of the intervals.
    """

    p50: Measure
    p95: Measure
    p99: Measure
    calls: int
    warm_up_calls: int
    warm_up_seconds: float
    confidence: float

    def rows(self) -> list[tuple[str, str]]:
        """Return the three quantiles with their names, in milliseconds."""
        return [(name, _milliseconds(getattr(self, name))) for name in ("p50", "p95", "p99")]

    def __str__(self) -> str:
        quantiles = ", ".join(f"{name} {shown}" for name, shown in self.rows())
        return (
            f"latency of one image in ms: {quantiles}; {100 * self.confidence:.4g} % intervals from {self.calls} "
            f"calls, after {self.warm_up_calls} that took {self.warm_up_seconds:.2g} s and are left out"
        )

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f'<p class="nz-result">{html.escape(str(self))}</p>'


@dataclass(frozen=True)
class Predictor:
    """What predicts classes of images.

    Attributes
    ----------
    name : str
        In words, for messages.
    call : callable
        From images of shape (B, ...) to outputs of shape (B, K) or (B,).
    shape : tuple of int or None, or None
        Of one image, None where any size will do; None if it is not known.
    batch : int
        Images in a call, at most.
    size : ModelSize
    step : float
        Between neighbouring outputs, where they are quantized; otherwise 0.
    span : tuple of float, or None
        Lowest and highest input that a quantized file can tell apart.
    rescales : bool
        Whether whole numbers may go in as they are: it has a layer that rescales them, or takes nothing else.
    """

    name: str
    call: Callable[[NDArray[Any]], Any]
    shape: tuple[int | None, ...] | None
    batch: int
    size: ModelSize
    step: float = 0.0
    span: tuple[float, float] | None = None
    rescales: bool = False

    def outputs(self, images: ArrayLike) -> NDArray[Any]:
        """Return the outputs of all images, called in batches.

        Parameters
        ----------
        images : array_like, shape (N, ...)
            As the model takes them: scaled as in training. A missing last axis of one channel is added.

        Raises
        ------
        ValueError
            If the images have another shape than the model takes, or the model puts out more than one array.
        """
        fitted = self._fitted(images)
        parts = [self._checked(fitted[i : i + self.batch]) for i in range(0, len(fitted), self.batch)]
        return np.concatenate(parts)

    def latency(self, images: ArrayLike, calls: int = 1000, *, confidence: float = 0.95) -> Latency:
        """Time calls with one image each, after a tenth as many (at least ten) that are left out.

        Parameters
        ----------
        images : array_like, shape (N, ...)
            Taken in turn.
        calls : int
            At least 100; the interval of the 99th percentile takes 368.
        confidence : float
            Of the intervals.

        Raises
        ------
        ValueError
            If there are too few calls, or the images do not fit.
        """
        if isinstance(calls, bool) or not isinstance(calls, int | np.integer) or calls < 100:
            raise ValueError(f"calls is {calls!r}; it must be a whole number, at least 100, to have a 99th percentile")
        fitted = self._fitted(images)
        warm_up = max(10, calls // 10)
        times = np.empty(warm_up + calls)
        for i in range(len(times)):
            one = fitted[i % len(fitted)][None]
            start = time.perf_counter()
            self.call(one)
            times[i] = time.perf_counter() - start
        p50, p95, p99 = (_quantile(times[warm_up:], q, confidence) for q in (0.5, 0.95, 0.99))
        return Latency(p50, p95, p99, int(calls), warm_up, float(times[:warm_up].sum()), confidence)

    def notes(self, images: ArrayLike) -> list[str]:
        """Say what may be wrong with the scale of the images."""
        array, notes = np.asarray(images), []
        if array.dtype.kind in "iu" and array.max() > 1 and not self.rescales:
            notes.append(
                f"images are whole numbers up to {array.max()} and go in as they are; no layer of {self.name} is known "
                "to rescale them"
            )
        low, high = self.span or (-math.inf, math.inf)
        clipped = float(np.mean((array < low) | (array > high)))
        if clipped:
            share = f"{100 * clipped:.2g} % of the numbers in images"
            notes.append(f"{share} lie outside {low:.3g} to {high:.3g} and are clipped")
        return notes

    def _fitted(self, images: ArrayLike) -> NDArray[Any]:
        array = np.asarray(images)
        if array.ndim < 2 or not array.size or array.dtype.kind not in "fiub":
            raise ValueError(f"images has shape {array.shape}, dtype {array.dtype}; it must be numbers, shape (N, ...)")
        if self.shape is None:
            return array
        if array.ndim == len(self.shape) and self.shape[-1] == 1:
            array = array[..., None]
        fits = array.ndim == len(self.shape) + 1
        if not fits or any(want not in (None, got) for want, got in zip(self.shape, array.shape[1:], strict=True)):
            wanted = ", ".join("any" if side is None else str(side) for side in self.shape)
            raise ValueError(f"images has shape {np.shape(images)}; {self.name} takes (N, {wanted})")
        return array

    def _checked(self, images: NDArray[Any]) -> NDArray[Any]:
        outputs = self.call(images)
        if not hasattr(outputs, "shape"):
            raise ValueError(f"{self.name} puts out a {type(outputs).__name__}; it must be one array")
        if not outputs.shape or len(outputs) != len(images):
            raise ValueError(f"{self.name} puts out shape {outputs.shape} for {len(images)} images; it must be (N, K)")
        return np.asarray(outputs)


def predictor(model: Any) -> Predictor:
    """Return what predicts with a Keras model, or with the model in a file.

    Parameters
    ----------
    model : keras.Model or path
        A model with one input and one output, or a file that ends in ``.keras``, ``.nnz``, ``.onnx`` or ``.tflite``.

    Returns
    -------
    Predictor

    Raises
    ------
    ValueError
        If a file is of another kind, is damaged, or has several inputs or outputs.
    FileNotFoundError
        If there is no such file.
    ImportError
        If the package that runs the file is not installed; it is named.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(3)], name="small")
    >>> found = predictor(model)
    >>> found.name, found.shape, found.size.parameters, found.size.flop, found.size.stored_bytes
    ("model 'small'", (4,), 15, 24, 60)
    >>> found.outputs(np.zeros((2, 4))).shape
    (2, 3)
    """
    if not isinstance(model, str | os.PathLike):
        return _keras(model)
    path = Path(model)
    openers = {".keras": _keras_file, ".nnz": _nnz, ".onnx": _onnx, ".tflite": _litert}
    if path.suffix not in openers:
        raise ValueError(f"{str(path)!r} ends in {path.suffix!r}; a model's file ends in {', '.join(openers)}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    return openers[path.suffix](path)


def read_image(path: str | os.PathLike[str], shape: tuple[int | None, ...] | None, *, resize: bool = False) -> Any:
    """Read an image file as the grey or colour levels that a model takes.

    Parameters
    ----------
    path : path
        A file that Pillow reads, such as a PNG or a JPEG; its first frame. Transparency is dropped.
    shape : (int or None, int or None, int)
        Height, width and channels, as `Predictor.shape` has them: 1 channel is grey, 3 are red, green and blue. None:
        any.
    resize : bool
        Whether an image of another size is scaled to this one, without keeping its proportions.

    Returns
    -------
    ndarray of uint8, shape (height, width, channels)
        Levels, 0 to 255.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no image, has another size and `resize` is False, or `shape` is not that of an image.
    """
    from PIL import Image, UnidentifiedImageError

    if shape is None or len(shape) != 3 or shape[2] not in (1, 3):
        raise ValueError(f"the model takes shape {shape}; for image files it must be (height, width, 1 or 3)")
    path = Path(path)
    try:
        with Image.open(path) as opened:
            image = opened.convert("L" if shape[2] == 1 else "RGB")
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {str(path)!r}") from None
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"file {path.name!r} cannot be read as an image: {error}") from error
    height, width = (want or have for want, have in zip(shape, (image.height, image.width), strict=False))
    if (image.height, image.width) != (height, width):
        if not resize:
            raise ValueError(
                f"file {path.name!r} is {image.height} × {image.width}, height × width; the model takes {height} × "
                f"{width}: crop it, or let it be scaled"
            )
        image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3)
    levels = np.asarray(image, dtype=np.uint8)
    return levels[..., None] if levels.ndim == 2 else levels


# --- Keras --------------------------------------------------------------------------------------------------


def _keras(model: Any, path: Path | None = None) -> Predictor:
    from nnzen.costs import costs

    name = f"model {model.name!r}"
    shape = getattr(model, "input_shape", None)  # a model without a graph does not know it
    if shape is not None and (not isinstance(shape, tuple) or isinstance(shape[0], tuple)):
        raise ValueError(f"{name} has inputs of the shapes {shape}; it must have one")
    note, flop, kinds = "", None, set()
    try:
        found = costs(model)
        flop, kinds = found.flop, {layer.kind for layer in found.layers}
    except ValueError as error:
        note = f"FLOP: {error}"
    stored = sum(math.prod(weight.shape) * np.dtype(weight.dtype).itemsize for weight in model.weights)
    size = ModelSize(
        parameters=sum(math.prod(weight.shape) for weight in model.weights),
        flop=flop,
        stored_bytes=path.stat().st_size if path else stored,
        stored_as="file" if path else "weights",
        note=note,
    )
    rescales = bool(kinds & {"Rescaling", "Normalization"})
    return Predictor(name, model.predict_on_batch, shape[1:] if shape else None, _BATCH, size, rescales=rescales)


def _keras_file(path: Path) -> Predictor:
    import keras

    return _keras(keras.models.load_model(path, compile=False), path)


def _nnz(path: Path) -> Predictor:
    from nnzen.compression.coding import FormatError, decode

    try:
        return _keras(decode(path.read_bytes()), path)
    except FormatError as error:
        raise ValueError(f"file {path.name!r} cannot be opened as .nnz: {error}") from error


# --- LiteRT -------------------------------------------------------------------------------------------------


def _litert(path: Path) -> Predictor:
    """Run a file image by image: its graph need not allow another number."""
    name = f"file {path.name!r}"
    try:
        interpreter = _interpreter(path)
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        if (len(inputs), len(outputs)) == (1, 1):
            interpreter.resize_tensor_input(inputs[0]["index"], (1, *inputs[0]["shape"][1:]))
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{name} cannot be opened as LiteRT: {error}") from error
    _one(name, len(inputs), len(outputs))
    (into,), (out,) = inputs, outputs

    def call(images: NDArray[Any]) -> NDArray[Any]:
        interpreter.set_tensor(into["index"], _quantized(images, into["dtype"], into["quantization"], name))
        interpreter.invoke()
        return _dequantized(interpreter.get_tensor(out["index"]), out["quantization"])

    return Predictor(
        name,
        call,
        shape=tuple(map(int, into["shape"][1:])),
        batch=1,
        size=ModelSize(None, None, path.stat().st_size, "file"),
        step=out["quantization"][0],
        span=_span(into["dtype"], into["quantization"]),
        rescales=np.issubdtype(into["dtype"], np.integer) and not into["quantization"][0],
    )


def _interpreter(path: Path) -> Any:
    """Open a file by LiteRT's own package, or by the copy that TensorFlow still has."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tensorflow.lite.python.interpreter import Interpreter
        except ImportError as error:
            raise ImportError(f"{path.name} takes the package ai-edge-litert, which is not installed") from error
    from nnzen.runtime import quiet_stderr

    with warnings.catch_warnings(), quiet_stderr():  # TensorFlow's copy warns that LiteRT has moved
        warnings.simplefilter("ignore")
        return Interpreter(model_path=str(path), num_threads=1)


def _quantized(images: NDArray[Any], dtype: Any, quantization: tuple[float, int], name: str) -> NDArray[Any]:
    scale, zero = quantization
    if np.issubdtype(dtype, np.floating):
        return images.astype(dtype)
    limits = np.iinfo(dtype)
    if scale:
        return np.clip(np.rint(images / scale) + zero, limits.min, limits.max).astype(dtype)
    if images.dtype.kind not in "iu" or images.min() < limits.min or images.max() > limits.max:
        raise ValueError(
            f"{name} takes whole numbers from {limits.min} to {limits.max}; the images have dtype {images.dtype}, from "
            f"{images.min()} to {images.max()}"
        )
    return images.astype(dtype)


def _dequantized(outputs: NDArray[Any], quantization: tuple[float, int]) -> NDArray[Any]:
    scale, zero = quantization
    return (outputs.astype(np.float64) - zero) * scale if scale else outputs


def _span(dtype: Any, quantization: tuple[float, int]) -> tuple[float, float] | None:
    """Return the lowest and the highest number that is not clipped: half a step beyond the outermost ones."""
    scale, zero = quantization
    if not scale:
        return None
    limits = np.iinfo(dtype)
    return float((limits.min - zero - 0.5) * scale), float((limits.max - zero + 0.5) * scale)


# --- ONNX ---------------------------------------------------------------------------------------------------


def _onnx(path: Path) -> Predictor:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(f"{path.name} takes the package onnxruntime, which is not installed") from error
    name = f"file {path.name!r}"
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has no common class of its own
        raise ValueError(f"{name} cannot be opened as ONNX: {error}") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    _one(name, len(inputs), len(outputs))
    if inputs[0].type not in _ONNX_TYPES:
        raise ValueError(f"{name} takes {inputs[0].type}; it must be one of {', '.join(_ONNX_TYPES)}")
    dtype = _ONNX_TYPES[inputs[0].type]
    batch, *shape = [side if isinstance(side, int) else None for side in inputs[0].shape]
    if batch not in (None, 1):
        raise ValueError(f"{name} takes batches of exactly {batch} images; export it with a free batch size")

    def call(images: NDArray[Any]) -> Any:
        return session.run(None, {inputs[0].name: images.astype(dtype)})[0]

    return Predictor(name, call, tuple(shape), batch or _BATCH, ModelSize(None, None, path.stat().st_size, "file"))


def _one(name: str, inputs: int, outputs: int) -> None:
    if (inputs, outputs) != (1, 1):
        raise ValueError(f"{name} has {inputs} inputs and {outputs} outputs; it must have one of each")


# --- times --------------------------------------------------------------------------------------------------


def _quantile(times: NDArray[np.float64], q: float, confidence: float) -> Measure:
    """Return a quantile, and the sorted times whose ranks enclose it: of n times, Binomial(n, q) lie below it."""
    from scipy.stats import binom

    n = len(times)
    below = int(binom.ppf((1 - confidence) / 2, n, q))
    above = int(binom.ppf((1 + confidence) / 2, n, q)) + 1
    ranked = np.concatenate([[0.0], np.sort(times), [math.inf]])
    note = "" if below > 0 and above <= n else f"{n} calls are too few for both ends of the interval"
    return Measure(float(np.quantile(times, q)), float(ranked[below]), float(ranked[above]), "order statistics", note)


def _milliseconds(found: Measure) -> str:
    return f"{1e3 * found.value:.3g} [{1e3 * found.low:.3g}, {1e3 * found.high:.3g}]"
