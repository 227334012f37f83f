"""Figures of a classifier's report show its numbers, and refuse what they cannot show."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import special
from sklearn import metrics

from nnzen import classification_plots, plots
from nnzen.classification import ClassificationReport, report


@pytest.fixture
def ax():
    plt.switch_backend("agg")
    with plots.style():
        figure, ax = plt.subplots()
        yield ax
        plt.close(figure)


def make(k=5, n=300, absent=()):
    rng = np.random.default_rng(0)
    labels = rng.choice([c for c in range(k) if c not in absent], n)
    logits = rng.normal(size=(n, k)) + 1.5 * (np.arange(k) == labels[:, None])
    return report(logits, labels, kind="logits", resamples=100)


def test_confusion_shows_counts_and_shares_of_the_true_class(ax):
    found = make(absent=(2,))
    classification_plots.confusion(ax, found)
    assert [text.get_text() for text in ax.texts] == [str(count) for count in found.confusion.ravel()]
    shares = np.asarray(ax.images[0].get_array())
    assert shares.sum(1).tolist() == pytest.approx([1, 1, 0, 1, 1])


def test_a_large_confusion_matrix_has_no_room_for_counts(ax):
    classification_plots.confusion(ax, make(k=20))
    assert not ax.texts


def test_reliability_shows_the_bins_that_are_not_empty(ax):
    found = make()
    classification_plots.reliability(ax, found)
    points = ax.collections[-1].get_offsets()
    wanted = [(b.confidence, b.accuracy.value) for b in found.reliability if b.count]
    assert np.asarray(points) == pytest.approx(np.array(wanted))


def test_curves_are_scikit_learns_and_the_smallest_areas_are_named(ax):
    found = make(absent=(2,))
    classification_plots.roc(ax, found)
    worst = min((row for row in found.rows if row.support), key=lambda row: row.roc_auc.value)
    line = next(line for line in ax.lines if line.get_label().startswith(f"{worst.name}, area"))
    assert metrics.auc(*line.get_data()) == pytest.approx(worst.roc_auc.value)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(labels) == 4
    assert labels[-1] == "the other 1"


def test_precision_over_recall_has_the_area_of_the_report(ax):
    found = make(k=3)
    classification_plots.precision_recall(ax, found)
    for row, line in zip(sorted(found.rows, key=lambda row: -row.average_precision.value), ax.lines, strict=True):
        recall, precision = line.get_data()
        assert -np.sum(np.diff(recall) * precision[:-1]) == pytest.approx(row.average_precision.value)


@pytest.mark.parametrize("draw", [classification_plots.roc, classification_plots.precision_recall])
def test_curves_without_scores_are_refused(ax, draw):
    with pytest.raises(ValueError, match="was read from JSON, which leaves scores out"):
        draw(ax, ClassificationReport.from_json(make().to_json()))
    with pytest.raises(ValueError, match="is of predicted labels; curves take"):
        draw(ax, report([0, 1], [0, 1], kind="labels", resamples=100))


def test_calibration_of_labels_is_refused(ax):
    with pytest.raises(ValueError, match="is of predicted labels; calibration takes"):
        classification_plots.reliability(ax, report([0, 1], [0, 1], kind="labels", resamples=100))


def test_one_class_among_the_labels_draws_what_is_defined(ax):
    p = special.softmax(np.random.default_rng(0).normal(size=(9, 3)), axis=1)
    found = report(p, np.zeros(9, int), kind="probabilities", resamples=100)
    classification_plots.precision_recall(ax, found)
    assert [line.get_label() for line in ax.lines] == ["0, area 1.000"]
    with pytest.raises(ValueError, match="no class has a curve"):
        classification_plots.roc(ax, found)
