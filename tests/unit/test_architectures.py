"""nnzen.architectures against published counts and keras.applications."""

import keras
import pytest

from nnzen import architectures
from nnzen.costs import costs

PUBLISHED = [  # trainable parameters, other parameters
    (architectures.lenet5, {}, 60_000, 840),
    (architectures.lenet5, {"variant": "dense"}, 61_706, 0),
    (architectures.lenet5, {"variant": "caffe"}, 431_080, 0),
    (architectures.lenet300, {}, 266_610, 0),
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


def test_small_networks_cost_the_same():
    counts = {name: costs(architectures.small(name)) for name in architectures.SMALL}
    work = [found.training_flop for found in counts.values()]
    assert max(work) <= 1.02 * min(work)
    assert counts["lenet"].parameters == counts["alexnet"].parameters
    assert counts["vgg"].flop == counts["vgg_norm"].flop
    assert counts["vgg_mean"].parameters < counts["vgg_norm"].parameters / 10
    assert len(counts) == 9


@pytest.mark.parametrize("depth", [4, 12])
def test_deep_networks_differ_in_the_sums_only(depth):
    plain, residual = (architectures.deep(depth, residual=residual) for residual in (False, True))
    assert costs(plain).trainable == costs(residual).trainable
    assert sum(type(layer).__name__ == "Conv2D" for layer in plain.layers) == depth - 1  # and a dense layer
    assert not any(type(layer).__name__ == "Add" for layer in plain.layers)
    assert sum(type(layer).__name__ == "Add" for layer in residual.layers) == (depth - 2) // 2


def test_what_does_not_exist_is_named():
    with pytest.raises(ValueError, match="'1999'"):
        architectures.lenet5("1999")
    with pytest.raises(ValueError, match=r"'lenet6'.*lenet, alexnet"):
        architectures.small("lenet6")
    for depth in (2, 7):
        with pytest.raises(ValueError, match=f"depth is {depth}"):
            architectures.deep(depth, residual=True)
