"""nnzen.architectures against published counts and keras.applications."""

import keras
import pytest

from nnzen import architectures
from nnzen.costs import costs

PUBLISHED = [  # trainable parameters, other parameters
    (architectures.lenet5, {}, 60_000, 840),
    (architectures.lenet5, {"variant": "dense"}, 61_706, 0),
    (architectures.lenet5, {"variant": "caffe"}, 431_080, 0),
    (architectures.alexnet, {}, 60_965_224, 0),
    (architectures.alexnet, {"grouped": False}, 62_378_344, 0),
    (architectures.googlenet, {}, 6_998_552, 0),
    (architectures.resnet50, {}, 25_557_032, 53_120),
]


@pytest.mark.parametrize(("build", "options", "trainable", "other"), PUBLISHED)
def test_published_counts(build, options, trainable, other):
    model = build(**options)
    found = costs(model)
    assert (found.trainable, found.other) == (trainable, other)
    assert model.output_shape[-1] in (10, 1000)


@pytest.mark.parametrize(
    ("build", "options", "reference"),
    [
        (architectures.vgg16, {}, "VGG16"),
        (architectures.resnet50, {"biases": True}, "ResNet50"),
        (architectures.mobilenet, {}, "MobileNet"),
    ],
)
def test_costs_of_keras_applications(build, options, reference):
    ours, theirs = costs(build(**options)), costs(getattr(keras.applications, reference)(weights=None))
    assert (ours.parameters, ours.other, ours.flop) == (theirs.parameters, theirs.other, theirs.flop)


def test_unknown_variant():
    with pytest.raises(ValueError, match="'1999'"):
        architectures.lenet5("1999")
