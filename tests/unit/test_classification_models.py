"""nnzen.evaluation.report of models and files: the figures of their outputs, their size, mistakes and times."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy import special
from sklearn import metrics

from nnzen import classification_plots, runtime
from nnzen.classification import ClassificationReport, compare, report

CLASSES = ["coat", "bag", "shoe"]


def sample(n=60):
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=n)
    images = rng.random((n, 6, 6)).astype(np.float32)
    images[:, :2, :2] += labels[:, None, None] / 2
    return images / images.max(), labels


def network(activation):
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input((6, 6, 1)), layers.Flatten(), layers.Dense(3, activation=activation)])
    model.name = "tiny"
    return model


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, (images, _) = tmp_path_factory.mktemp("files"), sample()
    model = network("softmax")
    model.save(folder / "tiny.keras")
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None, ..., None]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with runtime.quiet_stderr():
        (folder / "tiny.tflite").write_bytes(converter.convert())
    return model, folder


def made(model, data=None, **how):
    return report(
        model,
        sample() if data is None else data,
        **{"kind": "probabilities", "classes": CLASSES, "resamples": 100, **how},
    )


def test_a_model_has_the_report_of_its_outputs(files):
    images, labels = sample()
    model, folder = files
    p = model.predict_on_batch(images[..., None])
    arrays = made(p)
    for found in (made(model), made(folder / "tiny.keras")):
        assert found.rows == arrays.rows
        assert found.ece == arrays.ece
        assert found.accuracy.value == pytest.approx(metrics.accuracy_score(labels, p.argmax(1)), rel=1e-12)
        assert found.nll.value == pytest.approx(
            metrics.log_loss(labels, p / p.sum(1, keepdims=True, dtype=float)), rel=1e-6
        )
    assert arrays.size is None
    assert "parameters" not in str(arrays)
    assert compare(made(model), arrays).better == ""


def test_logits_and_labels_of_a_model():
    images, _ = sample()
    model = network(None)
    logits = model.predict_on_batch(images[..., None])
    found = made(model, kind="logits")
    assert found.probabilities == pytest.approx(special.softmax(logits.astype(float), axis=1), abs=1e-12)
    top = keras.Sequential([keras.Input((6, 6, 1)), model, layers.Lambda(lambda x: keras.ops.argmax(x, axis=1))])
    assert made(top, kind="labels").predicted.tolist() == found.predicted.tolist()
    with pytest.raises(ValueError, match="say kind='logits'"):
        made(model)
    with pytest.raises(ValueError, match="say kind='probabilities'"):
        made(network("softmax"), kind="logits")


def test_a_quantized_file_keeps_its_steps_and_says_so(files):
    found = made(files[1] / "tiny.tflite")
    assert np.unique(found.probabilities * 256 % 1).tolist() == [0.0]
    assert abs(found.accuracy.value - made(files[0]).accuracy.value) < 0.1
    (note,) = [note for note in found.notes if "multiples" in note]
    assert note == "probabilities are multiples of 0.00391, so that rows sum to 1 only within 0.0059"
    assert found.size.stored_bytes == (files[1] / "tiny.tflite").stat().st_size
    with pytest.raises(ValueError, match="say kind='probabilities'"):
        made(files[1] / "tiny.tflite", kind="logits")
    images, labels = sample()
    (note,) = [note for note in made(files[1] / "tiny.tflite", (255 * images, labels)).notes if "clipped" in note]
    assert "of the numbers in images lie outside" in note


def test_size_is_printed_and_stored(files):
    found = made(files[0])
    assert (found.size.parameters, found.size.flop, found.size.stored_bytes) == (111, 216, 444)
    for line in ("parameters +111", "FLOP for one image +216", "bytes of the weights +444"):
        assert re.search(line, str(found))
    assert re.search("bytes of the file", str(made(files[1] / "tiny.keras")))
    assert re.search("FLOP for one image +unknown", str(made(files[1] / "tiny.tflite")))


def test_times_are_there_only_when_asked_for(files):
    found = made(files[0])
    assert found.latency is None
    assert "latency" not in str(found) + found._repr_html_()
    found = made(files[0], latency=100)
    assert found.latency.calls == 100
    for line in ("latency of one image, p50, ms", "left out: 10 calls that warm up, s"):
        assert line in str(found)
    assert "latency p99: 100 calls are too few for both ends of the interval" in found.notes
    with pytest.raises(ValueError, match="latency is 100; only a model or a file can be timed"):
        made(np.eye(3)[sample()[1]], latency=100)
    with pytest.raises(ValueError, match="calls is 5; it must be a whole number, at least 100"):
        made(files[0], latency=5)


def test_the_most_confident_mistakes_come_first(files):
    images, labels = sample()
    found = made(files[0])
    p = found.probabilities
    wrong = sorted(np.flatnonzero(p.argmax(1) != labels), key=lambda i: -p[i].max())
    assert [m.index for m in found.mistakes] == wrong[:12]
    for m in found.mistakes:
        assert (m.label, m.predicted, m.probability) == (labels[m.index], p[m.index].argmax(), p[m.index].max())
        assert (m.image == images[m.index]).all()
    assert made(p, labels).mistakes[0].image is None
    assert made(p.argmax(1), labels, kind="labels").mistakes == ()
    assert made(np.eye(3)[labels], labels).mistakes == ()


def test_a_report_of_a_model_survives_json(files):
    found = made(files[0], latency=100)
    again = ClassificationReport.from_json(found.to_json())
    assert again.to_json() == found.to_json()
    assert str(again) == str(found)
    assert again.latency.p99.high == np.inf
    assert [m.index for m in again.mistakes] == [m.index for m in found.mistakes]
    assert again.mistakes[0].image is None


# --- figures ------------------------------------------------------------------------------------------------


def pictures_of(page):
    return re.findall(r'<img src="data:image/png;base64,[^"]+" alt="([^"]+)"', page)


def test_html_shows_every_figure_and_stays_small(files):
    page = made(files[0])._repr_html_()
    shown = [alt.split(" ")[0] for alt in pictures_of(page)]
    assert shown == ["Confusion", "Reliability", "ROC", "Precision", "Images"]
    assert len(page) < 150_000
    assert len(pictures_of(ClassificationReport.from_json(made(files[0]).to_json())._repr_html_())) == 2
    labels = sample()[1]
    assert len(pictures_of(made(labels, labels, kind="labels")._repr_html_())) == 1
    one = made(np.tile([0.8, 0.1, 0.1], (20, 1)), np.zeros(20, int))
    assert "ROC curve" not in one._repr_html_()


@pytest.mark.parametrize("shape", [(6, 6), (6, 6, 1), (6, 6, 3)])
def test_mistakes_are_drawn_whatever_their_scale(shape):
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=20)
    found = made(special.softmax(rng.normal(size=(20, 3)), axis=1), (3 * rng.normal(size=(20, *shape)), labels))
    figure = classification_plots.mistakes(found)
    first = found.mistakes[0]
    title = f"{CLASSES[first.label]}, called\n{CLASSES[first.predicted]}, p = {first.probability:.3f}"
    assert figure.axes[0].get_title(loc="center") == title
    assert len([axis for axis in figure.axes if axis.images]) == len(found.mistakes)


def test_what_is_no_picture_is_not_drawn():
    labels = np.array([0, 1, 2, 0])
    p = np.full((4, 3), [0.2, 0.3, 0.5])
    for data in (labels, (np.zeros((4, 9)), labels)):
        found = made(p, data)
        assert len(pictures_of(found._repr_html_())) == 4
        with pytest.raises(ValueError, match="none of the 3 mistakes that this report keeps has a picture"):
            classification_plots.mistakes(found)


# --- what is refused ----------------------------------------------------------------------------------------


def test_data_that_do_not_fit_are_refused(files):
    images, labels = sample()
    with pytest.raises(ValueError, match="model 'tiny' needs images to predict"):
        made(files[0], labels)
    with pytest.raises(ValueError, match=r"images has shape \(60, 6, 6\); with 50 labels it must be \(50, ...\)"):
        made(files[0], (images, labels[:50]))
    with pytest.raises(ValueError, match=r"labels has shape \(60, 3\).*argmax"):
        made(files[0], (images, np.eye(3)[labels]))
    with pytest.raises(ValueError, match="a list; it must be probabilities, shape"):
        made([object()], (images, labels))
    with pytest.raises(ValueError, match="classes has 2 names; predictions has 3 columns"):
        made(files[0], classes=["a", "b"])
    with pytest.raises(ValueError, match=r"predictions\[0, 0\] is nan"):
        made(files[0], (np.full_like(images, np.nan), labels))
    with pytest.raises(FileNotFoundError, match=r"there is no file 'gone.tflite'"):
        made("gone.tflite")


def test_a_data_set_is_not_opened_on_the_sly():
    class Data:
        def open_test(self, why):
            raise AssertionError

    with pytest.raises(ValueError, match=r"labels is a data set; pass one of its splits: data.open_test\(why\)"):
        report([0], Data(), kind="labels")


def test_a_pair_of_two_labels_is_no_pair():
    assert report((0, 1), (0, 1), kind="labels", resamples=100).accuracy.value == 1.0
