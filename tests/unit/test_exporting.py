"""Files of other formats compute what the network computes."""

import numpy as np
import pytest

from nnzen.compression import export, litert_interpreter, to_litert, to_onnx
from nnzen.predictors import predictor


@pytest.fixture(scope="module")
def model():
    import keras

    keras.utils.set_random_seed(0)
    layers = [keras.Input((4,)), keras.layers.Dense(300, activation="relu"), keras.layers.Dense(3)]
    return keras.Sequential(layers, name="small")


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(100, 4)).astype("float32")


def test_float_and_int8_files_compute_the_same(model, x, tmp_path, capfd):
    files = {"float.tflite": to_litert(model), "int8.tflite": to_litert(model, x)}
    assert capfd.readouterr() == ("", "")
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        allowed = 1e-5 if name == "float.tflite" else 0.05
        assert np.abs(predictor(tmp_path / name).outputs(x) - model(x)).max() < allowed
    assert len(files["int8.tflite"]) < len(files["float.tflite"])


@pytest.mark.parametrize("file_format", ["keras", "nnz", "onnx", "tflite"])
def test_a_file_computes_what_the_model_does(model, x, file_format, tmp_path, capfd):
    before = [w.copy() for w in model.get_weights()]
    if file_format == "onnx":
        pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    path = tmp_path / f"model.{file_format}"
    path.write_bytes(export(model, file_format))
    assert capfd.readouterr() == ("", "")
    np.testing.assert_allclose(predictor(path).outputs(x), model(x), atol=1e-5)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_onnx_in_int8(model, x, tmp_path, capfd):
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    import onnx

    content = to_onnx(model, x)
    assert capfd.readouterr() == ("", "")
    (tmp_path / "int8.onnx").write_bytes(content)
    outputs = predictor(tmp_path / "int8.onnx").outputs(x)
    assert 1e-4 < np.abs(outputs - model(x)).max() < 0.05
    stored = onnx.load_from_string(content).graph.initializer
    assert {t.data_type for t in stored if len(t.dims) == 2} == {onnx.TensorProto.INT8}
    (scales,) = [t for t in stored if list(t.dims) == [300] and t.data_type == onnx.TensorProto.FLOAT]
    largest = np.abs(model.layers[0].get_weights()[0]).max(axis=0)
    np.testing.assert_allclose(onnx.numpy_helper.to_array(scales), largest / 127, rtol=0.02)  # one for each output
    assert len(content) < len(to_onnx(model))


def test_int8_throughout(model, x):
    details = litert_interpreter(to_litert(model, x)).get_tensor_details()
    assert {d["dtype"].__name__ for d in details if len(d["shape"]) == 2} == {"int8"}


@pytest.mark.parametrize("kernels", ["default", "reference"])
def test_inner_results_can_be_kept(model, x, kernels):
    interpreter = litert_interpreter(to_litert(model, x), kernels=kernels, keep=True)
    (into,) = interpreter.get_input_details()
    interpreter.set_tensor(into["index"], np.ones((1, 4), np.int8))
    interpreter.invoke()
    (hidden,) = [d for d in interpreter.get_tensor_details() if tuple(d["shape"]) == (1, 300)]
    scale, zero = hidden["quantization"]
    s, z = into["quantization"]
    w, b = model.layers[0].get_weights()
    expected = np.maximum(s * (1 - z) * np.ones(4) @ w + b, 0)
    np.testing.assert_allclose(scale * (interpreter.get_tensor(hidden["index"])[0] - zero), expected, atol=0.1)


def test_bad_arguments_are_refused(model, x):
    with pytest.raises(ValueError, match=r"calibration_images has shape \(0, 4\); the model takes \(None, 4\)"):
        to_litert(model, x[:0])
    with pytest.raises(ValueError, match=r"calibration_images has shape \(100, 3\)"):
        to_litert(model, x[:, :3])
    with pytest.raises(ValueError, match=r"calibration_images has shape \(100, 3\)"):
        to_onnx(model, x[:, :3])
    with pytest.raises(ValueError, match=r"file_format is 'h5'; it must be one of keras, nnz, onnx, tflite"):
        export(model, "h5")
    with pytest.raises(ValueError, match=r"calibration_images were given, but a nnz file keeps the model's numbers"):
        export(model, "nnz", x)
    with pytest.raises(ValueError, match="NaN or infinite"):
        to_litert(model, np.full((1, 4), np.nan))
    with pytest.raises(ValueError, match="kernels is 'fast'; it must be one of default, reference"):
        litert_interpreter(to_litert(model), kernels="fast")


def test_onnx_takes_a_fixed_shape_and_its_packages(monkeypatch, model):
    import sys

    import keras

    free = keras.Sequential([keras.Input((None, None, 1)), keras.layers.Conv2D(2, 3)])
    with pytest.raises(ValueError, match=r"the model takes \(None, None, None, 1\); to_onnx takes one input"):
        to_onnx(free)
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ImportError, match=r"to_onnx takes the package tf2onnx: pip install 'nnzen\[export\]'"):
        to_onnx(model)
