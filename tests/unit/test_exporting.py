"""Files of other formats compute what the network computes."""

import numpy as np
import pytest

from nnzen.compression import litert_interpreter, to_litert
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
    with pytest.raises(ValueError, match="NaN or infinite"):
        to_litert(model, np.full((1, 4), np.nan))
    with pytest.raises(ValueError, match="kernels is 'fast'; it must be one of default, reference"):
        litert_interpreter(to_litert(model), kernels="fast")
