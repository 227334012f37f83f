"""nnzen.predictors: the same outputs by every road, sizes, times, and what cannot be run."""

import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy import stats

from nnzen import predictors, runtime
from nnzen.compression import encode
from nnzen.predictors import predictor, read_image


def network(*, softmax=True):
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax" if softmax else None),
        ],
        name="tiny",
    )


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((20, 8, 8), dtype=np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory, images):
    """One network as a model, and as files of Keras and of LiteRT in float and in int8."""
    folder, model = tmp_path_factory.mktemp("files"), network()
    model.save(folder / "tiny.keras")
    (folder / "tiny.nnz").write_bytes(encode(model))
    for name in ("float", "int8"):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if name == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([image[None, ..., None]] for image in images)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        with runtime.quiet_stderr():
            (folder / f"{name}.tflite").write_bytes(converter.convert())
    return model, folder


def test_a_model_and_its_files_put_out_the_same(files, images):
    model, folder = files
    wanted = model.predict(images[..., None], verbose=0)
    assert predictor(model).outputs(images) == pytest.approx(wanted, abs=1e-6)
    assert predictor(folder / "tiny.keras").outputs(images[..., None]) == pytest.approx(wanted, abs=1e-6)
    assert predictor(folder / "tiny.nnz").outputs(images) == pytest.approx(wanted, abs=1e-6)
    assert predictor(str(folder / "float.tflite")).outputs(images) == pytest.approx(wanted, abs=1e-5)
    quantized = predictor(folder / "int8.tflite")
    assert quantized.step == pytest.approx(1 / 256)
    assert quantized.outputs(images) == pytest.approx(wanted, abs=0.03)
    assert np.unique(quantized.outputs(images) / quantized.step % 1) == pytest.approx(0)


def test_more_images_than_fit_into_a_batch_come_back_in_order():
    model = network(softmax=False)
    many = np.random.default_rng(0).random((600, 8, 8, 1), dtype=np.float32)
    assert predictor(model).outputs(many) == pytest.approx(np.asarray(model(many)), abs=1e-5)


def test_sizes(files):
    model, folder = files
    found = predictor(model).size
    assert (found.parameters, found.stored_bytes, found.stored_as) == (475, 4 * 475, "weights")
    assert (found.flop, found.note) == (2 * (36 * 9 * 4 + 144 * 3), "")
    file = predictor(folder / "tiny.keras").size
    assert (file.parameters, file.flop, file.stored_as) == (475, found.flop, "file")
    assert file.stored_bytes == (folder / "tiny.keras").stat().st_size
    lite = predictor(folder / "int8.tflite").size
    assert (lite.parameters, lite.flop, lite.stored_as) == (None, None, "file")
    assert lite.stored_bytes < predictor(folder / "float.tflite").size.stored_bytes


def test_unknown_costs_say_why():
    class Own(layers.Layer):
        def call(self, x):
            return x

    found = predictor(keras.Sequential([keras.Input((3,)), Own(), layers.Dense(2)])).size
    assert found.flop is None
    assert "FLOP: layer" in found.note
    assert "no rule" in found.note


def test_a_subclassed_model_predicts(images):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(layers.Flatten()(x))

    assert predictor(Own()).outputs(images).shape == (20, 2)


def test_numbers_beyond_the_range_of_an_int8_file_are_noted(files, images):
    found = predictor(files[1] / "int8.tflite")
    assert found.notes(images) == []
    (note,) = found.notes(images * np.where(np.arange(20) < 10, 255, 1)[:, None, None])
    assert "lie outside -0.00" in note
    assert note.startswith(("49 %", "50 %"))


def test_images_that_were_not_rescaled_are_noted(files, images):
    pixels = (255 * images).astype(np.uint8)
    for model in (files[0], files[1] / "float.tflite"):
        (note,) = predictor(model).notes(pixels)
        assert note.startswith("images are whole numbers up to 25")
        assert note.endswith("is known to rescale them")
        assert predictor(model).notes(images) == []
    rescaling = keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(1 / 255), files[0]])
    assert predictor(rescaling).notes(pixels) == []


def test_whole_numbers_go_into_a_file_as_they_are():
    pixels = np.array([[0, 255]], np.uint8)
    assert predictors._quantized(pixels, np.uint8, (0.0, 0), "file").tolist() == [[0, 255]]
    with pytest.raises(ValueError, match=r"takes whole numbers from -128 to 127; the images have dtype uint8, from 0"):
        predictors._quantized(pixels, np.int8, (0.0, 0), "file")
    assert predictors._quantized(np.array([[-1, 0, 0.5, 9.0]]), np.int8, (0.5, -3), "").tolist() == [[-5, -3, -2, 15]]
    assert predictors._dequantized(np.array([[-5, 15]], np.int8), (0.5, -3)).tolist() == [[-1.0, 9.0]]


# --- times --------------------------------------------------------------------------------------------------


def test_latency_leaves_out_what_warms_up(monkeypatch, images):
    seconds = iter([*[5.0] * 10, *np.linspace(0.001, 0.1, 100)])
    clock = [0.0]

    def call(_):
        clock[0] += next(seconds)
        return np.zeros((1, 2))

    monkeypatch.setattr(predictors.time, "perf_counter", lambda: clock[0])
    size = predictors.ModelSize(None, None, 1, "file")
    found = predictors.Predictor("slow", call, None, 1, size).latency(images, 100)
    assert (found.calls, found.warm_up_calls) == (100, 10)
    assert found.warm_up_seconds == pytest.approx(50)
    assert found.p50.value == pytest.approx(0.0505)
    assert found.p50.low < 0.0505 < found.p50.high < found.p95.low
    assert found.p99.high == np.inf
    assert found.p99.note == "100 calls are too few for both ends of the interval"
    assert str(found).startswith("latency of one image in ms: p50 50.5 [40")
    assert "after 10 that took 50 s" in found._repr_html_()


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
def test_the_interval_of_a_quantile_covers_it(q):
    rng = np.random.default_rng(4)
    truth = stats.expon.ppf(q)
    found = [predictors._quantile(rng.exponential(size=400), q, 0.95) for _ in range(1000)]
    assert np.mean([m.low <= truth <= m.high for m in found]) >= 0.95 - 4 * 0.007  # it errs on the wide side


def test_a_model_can_be_timed(files, images):
    for model in (files[0], files[1] / "float.tflite"):
        found = predictor(model).latency(images, 100)
        assert 0 < found.p50.value <= found.p95.value <= found.p99.value


# --- what cannot be run -------------------------------------------------------------------------------------


def test_what_a_model_does_not_take_is_refused(files, images):
    for model in (files[0], files[1] / "float.tflite"):
        with pytest.raises(ValueError, match=r"images has shape \(20, 7, 8\); .* takes \(N, 8, 8, 1\)"):
            predictor(model).outputs(images[:, 1:])
    with pytest.raises(ValueError, match="dtype <U1"):
        predictor(files[0]).outputs(np.array([["a"]]))
    with pytest.raises(ValueError, match="calls is 5; it must be"):
        predictor(files[0]).latency(images, 5)


def test_several_inputs_or_outputs_are_refused(tmp_path, images):
    a, b = keras.Input((2,)), keras.Input((3,))
    with pytest.raises(ValueError, match="has inputs of the shapes"):
        predictor(keras.Model([a, b], layers.Concatenate()([a, b])))
    two = keras.Model(a, [layers.Dense(1)(a), layers.Dense(2)(a)])
    with pytest.raises(ValueError, match="puts out a list; it must be one array"):
        predictor(two).outputs(np.zeros((4, 2)))
    scalar = keras.Model(a, keras.ops.sum(a))
    with pytest.raises(ValueError, match=r"puts out shape \(\) for 4 images"):
        predictor(scalar).outputs(np.zeros((4, 2)))
    with runtime.quiet_stderr():
        (tmp_path / "two.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(two).convert())
    with pytest.raises(ValueError, match=r"file 'two.tflite' has 1 inputs and 2 outputs"):
        predictor(tmp_path / "two.tflite")


def test_what_is_no_model_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'model.h5' ends in '.h5'; a model's file ends in .keras, .nnz, .onnx, .tfl"):
        predictor("model.h5")
    with pytest.raises(FileNotFoundError, match=r"there is no file 'gone.keras'"):
        predictor("gone.keras")
    (tmp_path / "bad.tflite").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"file 'bad.tflite' cannot be opened as LiteRT"):
        predictor(tmp_path / "bad.tflite")
    (tmp_path / "bad.nnz").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"file 'bad.nnz' cannot be opened as .nnz: byte 0: "):
        predictor(tmp_path / "bad.nnz")


# --- images -------------------------------------------------------------------------------------------------


@pytest.fixture
def picture(tmp_path):
    """A file of 4 × 6 pixels, red and green rising, blue 200."""
    from PIL import Image

    levels = np.full((4, 6, 3), 200, np.uint8)
    levels[..., 0], levels[..., 1] = 10 * np.arange(6), 50 * np.arange(4)[:, None]
    Image.fromarray(levels).save(tmp_path / "small.png")
    return tmp_path / "small.png", levels


def test_an_image_is_read_as_the_model_takes_it(picture):
    path, levels = picture
    np.testing.assert_array_equal(read_image(path, (4, 6, 3)), levels)
    np.testing.assert_array_equal(read_image(path, (None, None, 3)), levels)
    grey = read_image(str(path), (4, 6, 1))
    luma = levels @ [0.299, 0.587, 0.114]  # ITU-R BT.601
    assert grey.dtype == np.uint8
    assert np.abs(grey[..., 0] - luma).max() <= 1
    halved = read_image(path, (2, 3, 3), resize=True)
    np.testing.assert_allclose(halved[0, :, 0], [5, 25, 45], atol=6)
    assert halved.shape == (2, 3, 3)
    assert (halved[..., 2] == 200).all()


def test_what_is_no_fitting_image_is_refused(picture, tmp_path):
    path, _ = picture
    with pytest.raises(ValueError, match=r"file 'small.png' is 4 × 6, height × width; the model takes 8 × 6: crop it"):
        read_image(path, (8, None, 1))
    with pytest.raises(ValueError, match=r"the model takes shape \(4,\); for image files it must be"):
        read_image(path, (4,))
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*gone.png'"):
        read_image(tmp_path / "gone.png", (4, 6, 1))
    for content in (b"no image", path.read_bytes()[:60]):
        (tmp_path / "bad.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"file 'bad.png' cannot be read as an image"):
            read_image(tmp_path / "bad.png", (4, 6, 1))


# --- ONNX ---------------------------------------------------------------------------------------------------


@pytest.fixture
def onnx_file(tmp_path):
    (tmp_path / "tiny.onnx").write_bytes(b"onnx")
    return tmp_path / "tiny.onnx"


def test_a_missing_package_is_named(monkeypatch, onnx_file):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"tiny.onnx takes the package onnxruntime, which is not installed"):
        predictor(onnx_file)


def session(shape, kind="tensor(float)", outputs=1):
    """What stands in for ONNX Runtime: its one output is the mean of each image, and its complement."""

    def run(names, feed):
        assert names is None
        assert feed["x"].dtype == np.float32
        mean = feed["x"].mean((1, 2))
        return [np.stack([mean, 1 - mean], 1)]

    return SimpleNamespace(
        get_inputs=lambda: [SimpleNamespace(name="x", shape=shape, type=kind)],
        get_outputs=lambda: [None] * outputs,
        run=run,
    )


def stand_in(monkeypatch, *arguments, **how):
    runtime = SimpleNamespace(InferenceSession=lambda path, providers: session(*arguments, **how))
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)


def test_onnx_runs_in_batches_or_image_by_image(monkeypatch, onnx_file, images):
    wanted = images.astype(float).mean((1, 2))
    for batch, limit in (("N", 256), (1, 1)):
        stand_in(monkeypatch, [batch, 8, "width"])
        found = predictor(onnx_file)
        assert (found.shape, found.batch, found.size.stored_bytes) == ((8, None), limit, 4)
        assert found.outputs(images.astype(float))[:, 0] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "how", "message"),
    [
        (([32, 8, 8],), {}, "takes batches of exactly 32 images"),
        ((["N", 8], "tensor(string)"), {}, r"takes tensor\(string\); it must be one of tensor\(float\)"),
        ((["N", 8],), {"outputs": 2}, "has 1 inputs and 2 outputs"),
    ],
)
def test_onnx_that_cannot_be_run_is_refused(monkeypatch, onnx_file, arguments, how, message):
    stand_in(monkeypatch, *arguments, **how)
    with pytest.raises(ValueError, match=message):
        predictor(onnx_file)


def test_onnx_runtime_itself_runs_a_file(tmp_path, images):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    weights = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        "tiny",
        [onnx.helper.make_tensor_value_info("x", kind, ["N", 8])],
        [onnx.helper.make_tensor_value_info("y", kind, ["N", 3])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    opset = [onnx.helper.make_opsetid("", 13)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "tiny.onnx")
    x = images[:, 0]
    assert predictor(tmp_path / "tiny.onnx").outputs(x) == pytest.approx(x @ weights, abs=1e-5)
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"file 'bad.onnx' cannot be opened as ONNX"):
        predictor(tmp_path / "bad.onnx")
