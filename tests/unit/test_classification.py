"""nnzen.classification against scikit-learn, against resampling in a plain loop, and on what should not be measured."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from sklearn import metrics

from nnzen import _classification_figures as figures
from nnzen import evaluation
from nnzen.classification import ClassificationReport, Measure, compare, report

exact = dict(rel=1e-12, abs=1e-12, nan_ok=True)


def scores(seed=0, n=300, k=4, *, decimals=None, absent=()):
    """Labels and logits that know something of them; rounded logits have ties."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([c for c in range(k) if c not in absent], n)
    logits = rng.normal(size=(n, k)) + 1.5 * (np.arange(k) == labels[:, None])
    return labels, logits if decimals is None else logits.round(decimals)


def values(rows, figure):
    return [getattr(row, figure).value for row in rows]


samples = st.builds(
    scores, st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 5), decimals=st.sampled_from([None, 0])
)


# --- figures ------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(samples)
@pytest.mark.filterwarnings("ignore:.*y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_figures_of_labels_are_scikit_learns(sample):
    labels, logits = sample
    predicted, k = logits.argmax(1), logits.shape[1]
    found = report(predicted, labels, kind="labels", classes=[f"c{c}" for c in range(k)], resamples=100)
    chosen = dict(labels=range(k), zero_division=np.nan)
    columns = metrics.precision_recall_fscore_support(labels, predicted, **chosen)
    for figure, column in zip(("precision", "recall", "f1"), columns, strict=False):
        assert values(found.rows, figure) == pytest.approx(column.tolist(), **exact)
    assert [row.support for row in found.rows] == columns[3].tolist()
    for average in found.averages:
        wanted = metrics.precision_recall_fscore_support(labels, predicted, average=average.name, **chosen)[:3]
        got = (average.precision.value, average.recall.value, average.f1.value)
        assert got == pytest.approx(tuple(map(float, wanted)), **exact)
    assert found.accuracy.value == pytest.approx(metrics.accuracy_score(labels, predicted), **exact)
    assert found.balanced_accuracy.value == pytest.approx(metrics.balanced_accuracy_score(labels, predicted), **exact)
    assert found.confusion.tolist() == metrics.confusion_matrix(labels, predicted, labels=range(k)).tolist()


@settings(deadline=None, max_examples=50)
@given(samples)
def test_figures_of_scores_are_scikit_learns(sample):
    labels, logits = sample
    p, k = special.softmax(logits, axis=1), logits.shape[1]
    one_hot = np.eye(k)[labels]
    found = report(logits, labels, kind="logits", resamples=100)
    for c, row in enumerate(found.rows):
        if 0 < row.support < len(labels):
            assert row.roc_auc.value == pytest.approx(metrics.roc_auc_score(labels == c, p[:, c]), **exact)
        else:
            assert math.isnan(row.roc_auc.value)
        if row.support:
            wanted = metrics.average_precision_score(labels == c, p[:, c])
            assert row.average_precision.value == pytest.approx(wanted, **exact)
        else:
            assert math.isnan(row.average_precision.value)
    assert found.nll.value == pytest.approx(metrics.log_loss(labels, p, labels=range(k)), **exact)
    assert found.brier.value == pytest.approx(k * metrics.mean_squared_error(one_hot, p), **exact)


def test_macro_areas_and_the_binary_brier_score_are_scikit_learns():
    labels, logits = scores()
    p = special.softmax(logits, axis=1)
    macro = report(p, labels, kind="probabilities", resamples=100).averages[1]
    assert macro.roc_auc.value == pytest.approx(metrics.roc_auc_score(labels, p, multi_class="ovr"), **exact)
    assert macro.average_precision.value == pytest.approx(
        metrics.average_precision_score(np.eye(4)[labels], p), **exact
    )
    labels, logits = scores(k=2)
    p = special.softmax(logits, axis=1)
    found = report(p, labels, kind="probabilities", resamples=100)
    assert found.brier.value == pytest.approx(2 * metrics.brier_score_loss(labels, p[:, 1]), **exact)


def test_top_k_is_scikit_learns_and_begins_at_the_accuracy():
    labels, logits = scores(k=7)
    found = report(logits, labels, kind="logits", top_k=range(1, 7), resamples=100)
    for k, measure in found.top_k.items():
        assert measure.value == metrics.top_k_accuracy_score(labels, logits, k=k, labels=range(7))
    labels, logits = scores(k=7, decimals=0)  # in a tie the first class comes first, as it does in argmax
    found = report(logits, labels, kind="logits", top_k=[1], resamples=100)
    assert found.top_k[1] == found.accuracy
    assert any("with a tie for the highest score" in note for note in found.notes)
    assert list(report(logits, labels, kind="logits", resamples=100).top_k) == [2, 3, 5]


def test_calibration_error_is_the_sum_over_the_bins_as_defined():
    p = np.array([[0.6, 0.4], [0.4, 0.6], [0.9, 0.1], [0.2, 0.8], [1.0, 0.0]])
    found = report(p, [0, 0, 0, 1, 0], kind="probabilities", bins=5, resamples=100)
    assert [(b.low, b.high, b.count) for b in found.reliability] == [
        (0.0, 0.2, 0), (0.2, 0.4, 0), (0.4, 0.6, 2), (0.6, 0.8, 1), (0.8, 1.0, 2)
    ]  # fmt: skip
    assert found.ece.value == pytest.approx((2 * abs(0.5 - 0.6) + abs(1 - 0.8) + 2 * abs(1 - 0.95)) / 5, **exact)
    assert found.reliability[2].accuracy.value == 0.5
    assert found.reliability[4].confidence == pytest.approx(0.95)
    assert math.isnan(found.reliability[0].confidence)
    assert "ECE, 5 bins of equal width" in str(found)


def test_probabilities_and_logits_give_the_same_figures():
    labels, logits = scores()
    a = report(logits + 1e3, labels, kind="logits", resamples=100)
    b = report(special.softmax(logits, axis=1), labels, kind="probabilities", resamples=100)
    for name in ("accuracy", "nll", "brier", "ece"):
        first, second = (dataclasses.astuple(getattr(found, name))[:3] for found in (a, b))
        assert first == pytest.approx(second, rel=1e-9)


def test_losses_of_logits_stay_finite_where_the_softmax_underflows():
    found = report([[0.0, 2000.0], [1.0, 0.0]], [0, 0], kind="logits", resamples=100)
    assert found.nll.value == pytest.approx((2000 + math.log1p(math.exp(-1))) / 2, **exact)


# --- intervals ----------------------------------------------------------------------------------------------


def test_proportions_have_wilsons_intervals():
    labels, logits = scores()
    found = report(logits, labels, kind="logits", resamples=100, confidence=0.9)
    hits = found.confusion.diagonal()
    for measure, k, n in [
        (found.accuracy, hits.sum(), 300),
        (found.averages[0].f1, hits.sum(), 300),
        (found.averages[2].recall, hits.sum(), 300),
        (found.rows[1].recall, hits[1], found.rows[1].support),
        (found.rows[1].precision, hits[1], found.rows[1].predicted),
    ]:
        wanted = stats.binomtest(int(k), int(n)).proportion_ci(confidence_level=0.9, method="wilson")
        assert (measure.low, measure.high) == pytest.approx((wanted.low, wanted.high), **exact)
        assert measure.method == "Wilson"


def test_wilsons_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(7)
    covered = []
    for recall in rng.uniform(0.5, 0.99, 1000):  # at one recall it swings about 0.95, as counts are whole numbers
        measure = figures._wilson(np.sum(rng.random(100) < recall), 100, 0.95, "")
        covered.append(measure.low <= recall <= measure.high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.028)  # four standard errors


def drawn(labels, resamples, seed=0):
    return np.concatenate(list(figures._draws(labels, resamples, seed)), axis=1)


@pytest.mark.parametrize("decimals", [None, 0])
def test_figures_of_resampled_scores_are_those_of_a_plain_loop(decimals):
    labels, logits = scores(n=80, k=3, decimals=decimals)
    p = special.softmax(logits, axis=1)
    found = report(p, labels, kind="probabilities", resamples=100, seed=3)
    counts = drawn(labels, 100, 3)
    loop = {"auc": [], "ap": [], "macro": [], "nll": [], "brier": [], "gaps": []}
    for r in range(100):
        images = np.repeat(np.arange(80), counts[:, r])
        y, q = labels[images], p[images]
        areas = [metrics.roc_auc_score(y == c, q[:, c]) for c in range(3)]
        loop["auc"].append(areas[1])
        loop["macro"].append(np.mean(areas))
        loop["ap"].append(metrics.average_precision_score(y == 1, q[:, 1]))
        loop["nll"].append(metrics.log_loss(y, q, labels=range(3)))
        loop["brier"].append(3 * metrics.mean_squared_error(np.eye(3)[y], q))
        loop["gaps"].append(plain_gaps(y, q, 15))
    for name, measure in [
        ("auc", found.rows[1].roc_auc), ("ap", found.rows[1].average_precision),
        ("macro", found.averages[1].roc_auc), ("nll", found.nll), ("brier", found.brier),
    ]:  # fmt: skip
        assert (measure.low, measure.high) == pytest.approx(tuple(np.quantile(loop[name], [0.025, 0.975])), **exact)
    gaps = plain_gaps(labels, p, 15)
    noise = np.array(loop["gaps"]) - gaps
    low = np.abs(gaps).sum() - np.quantile(np.abs(noise).sum(1), 0.975)
    high = np.abs(gaps).sum() - np.quantile(noise @ np.sign(gaps), 0.025)
    assert (found.ece.low, found.ece.high) == pytest.approx((max(0, low), high), **exact)


def plain_gaps(labels, p, bins):
    gaps = np.zeros(bins)
    for b in range(bins):
        inside = (p.max(1) > b / bins) & (p.max(1) <= (b + 1) / bins)
        if inside.any():
            gaps[b] = inside.mean() * ((p.argmax(1) == labels)[inside].mean() - p.max(1)[inside].mean())
    return gaps


@pytest.mark.parametrize(("sharpness", "truth"), [(1.0, 0.0), (2.0, 0.178)])  # 0.178 from 400,000 images
def test_the_interval_of_the_calibration_error_covers_it(sharpness, truth):
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(60):
        logits = 1.5 * rng.normal(size=(200, 5))
        p = special.softmax(logits, axis=1)
        labels = (p.cumsum(1) < rng.random((200, 1))).sum(1).clip(0, 4)
        measure = report(sharpness * logits, labels, kind="logits", resamples=100).ece
        covered += measure.low <= truth <= measure.high
    assert covered >= 51  # at a coverage of 0.95, fewer happen once in a thousand times


def test_bootstrapped_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(3)

    def sample(n):
        logits = 1.5 * rng.normal(size=(n, 3))
        drawn = special.softmax(logits, axis=1).cumsum(1) < rng.random((n, 1))
        return logits, drawn.sum(1).clip(0, 2)

    def measured(n):
        found = report(*sample(n), kind="logits", resamples=100)
        return found.averages[1].f1, found.averages[1].average_precision, found.averages[1].roc_auc, found.nll

    truth = [measure.value for measure in measured(30_000)]
    covered = [[m.low <= t <= m.high for m, t in zip(measured(600), truth, strict=True)] for _ in range(60)]
    assert min(np.sum(covered, axis=0)) >= 51  # at a coverage of 0.95, fewer happen once in a thousand times


def test_draws_keep_the_supports_and_vary_as_draws_with_replacement_do(monkeypatch):
    labels = scores(n=60, k=3)[0]
    counts = drawn(labels, 4000).astype(float)
    for c in range(3):
        n = np.sum(labels == c)
        assert (counts[labels == c].sum(0) == n).all()
        assert counts[labels == c].var(1).mean() == pytest.approx(1 - 1 / n, abs=0.02)
        assert counts[labels == c].mean(1) == pytest.approx(1, abs=0.09)
    monkeypatch.setattr(figures, "_BLOCK", 60 * 7)  # blocks of seven resamples
    assert drawn(labels, 100).shape == (60, 100)


def test_resampled_confusion_matrices_spread_as_those_of_a_plain_loop():
    labels, logits = scores(n=120, k=3)
    predicted = logits.argmax(1)
    found = report(predicted, labels, kind="labels", resamples=4000)
    rng = np.random.default_rng(5)
    classes = [np.flatnonzero(labels == c) for c in range(3)]
    loop = []
    for _ in range(1000):
        images = np.concatenate([rng.choice(c, len(c)) for c in classes])
        y, q = labels[images], predicted[images]
        hits = np.array([np.sum((y == c) & (q == c)) for c in range(3)])
        loop.append(2 * hits / np.array([np.sum(y == c) + np.sum(q == c) for c in range(3)]))
    for measure, resampled in [(found.rows[2].f1, np.array(loop)[:, 2]), (found.averages[1].f1, np.mean(loop, 1))]:
        assert (measure.low, measure.high) == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])), abs=0.015)


def test_the_seed_decides_the_intervals():
    labels, logits = scores()
    a, b, c = (report(logits, labels, kind="logits", resamples=100, seed=seed) for seed in (1, 1, 2))
    assert a.to_json() == b.to_json()
    assert a.brier.value == c.brier.value
    assert a.brier != c.brier


# --- what is not defined ------------------------------------------------------------------------------------


def test_a_class_that_is_never_predicted_has_no_precision_and_says_so():
    found = report([0, 0, 1, 1], [0, 0, 1, 2], kind="labels", classes=["a", "b", "c"], resamples=100)
    assert math.isnan(found.rows[2].precision.value)
    assert found.rows[2].f1.value == 0.0
    assert "precision of c: 0/0, as the class is never predicted" in found.notes
    assert found.averages[1].precision.value == 0.75
    assert any("1 of 3 classes are left out" in note and "precision of macro" in note for note in found.notes)


def test_an_absent_class_has_no_recall_nor_area_and_says_so():
    labels, logits = scores(absent=(2,))
    found = report(logits, labels, kind="logits", resamples=100)
    row = found.rows[2]
    assert row.support == 0
    assert all(math.isnan(m.value) for m in (row.recall, row.roc_auc, row.average_precision))
    assert row.precision.value == 0.0
    assert "recall of 2, average precision of 2: 0/0, as there is no image of the class" in found.notes
    assert found.averages[1].roc_auc.value == pytest.approx(np.mean([found.rows[c].roc_auc.value for c in (0, 1, 3)]))
    nobody = report([0, 1], [0, 1], kind="labels", classes=["a", "b", "c"], resamples=100).rows[2]
    assert math.isnan(nobody.f1.value)


def test_one_class_only():
    found = report([0, 0], [0, 0], kind="labels", resamples=100)
    assert found.accuracy.value == 1.0
    assert "there is one class only, so nothing was told apart" in found.notes
    assert any("all resamples agree" in note for note in found.notes)
    labels, logits = scores(absent=(1, 2, 3))
    found = report(logits, labels, kind="logits", resamples=100)
    assert math.isnan(found.averages[1].roc_auc.value)
    assert found.rows[0].average_precision.value == 1.0


def test_a_true_class_of_probability_zero_costs_infinitely_much_and_says_so():
    found = report([[1.0, 0.0], [1.0, 0.0]], [0, 1], kind="probabilities", resamples=100)
    assert found.nll.value == math.inf
    assert math.isnan(found.nll.low)
    assert "NLL, nats: images with probability 0 at their true class: 1" in found.notes
    assert ClassificationReport.from_json(found.to_json()).nll.value == math.inf


P = [[0.5, 0.5], [0.1, 0.9]]


@pytest.mark.parametrize(
    ("predictions", "labels", "kind", "options", "message"),
    [
        ([0], [0], "scores", {}, "kind is 'scores'; it must say what predictions are: 'labels'"),
        ([], [], "labels", {}, "labels is empty"),
        ([0, 1], [0, 1, 1], "labels", {}, "predictions has 2 rows and labels 3"),
        (P, [0, 1, 1], "probabilities", {}, "predictions has 2 rows and labels 3"),
        ([0, 1], [[1, 0], [0, 1]], "labels", {}, r"labels has shape \(2, 2\).*argmax"),
        (P, [0, 1], "labels", {}, r"predictions has shape \(2, 2\).*kind='probabilities'"),
        ([0.9, 0.2], [0, 1], "labels", {}, "predictions has dtype float64; it must be whole"),
        ([0, 1], ["a", "b"], "labels", {}, "labels has dtype <U1"),
        ([0, 1], [0, -1], "labels", {}, r"labels\[1\] is -1; with 2 classes it is 0 to 1"),
        ([0, 10**9], [0, 1], "labels", {}, "there are 1000000001 classes, by the highest label or column"),
        ([0, 2], [0, 1], "labels", {"classes": ["a", "b"]}, r"predictions\[1\] is 2"),
        (P, [0, 2], "logits", {}, "promised to be logits"),
        ([[1.0, 3], [2, 1]], [0, 2], "logits", {}, r"labels\[1\] is 2"),
        ([0.3, 0.4], [0, 1], "probabilities", {}, r"predictions has shape \(2,\).*column_stack"),
        ([[0.3], [0.4]], [0, 1], "probabilities", {}, r"predictions has shape \(2, 1\)"),
        ([[0.3, np.nan], [0.4, 0.6]], [0, 1], "probabilities", {}, r"predictions\[0, 1\] is nan, one of 1"),
        ([[0.3, np.inf], [0.4, 0.6]], [0, 1], "logits", {}, r"predictions\[0, 1\] is inf"),
        ([[0.3, 0.3], [0.4, 0.6]], [0, 1], "probabilities", {}, r"predictions\[0\] sums to 0.6"),
        ([[1.3, -0.3], [0.4, 0.6]], [0, 1], "probabilities", {}, r"predictions\[0, 0\] is 1.3.*kind='logits'"),
        ([["a", "b"]], [0], "logits", {}, "predictions is a list; it must be logits"),
        (P, [0, 1], "probabilities", {"classes": ["a"]}, "classes has 1 names; predictions has 2 columns"),
        (P, [0, 1], "probabilities", {"classes": "ab"}, "classes is 'ab'"),
        (P, [0, 1], "probabilities", {"classes": ["a", "a"]}, "classes has 1 names more than once"),
        (P, [0, 1], "probabilities", {"top_k": [2]}, r"top_k is \[2\]; each must be from 1 to 1"),
        ([0], [0], "labels", {"top_k": [1]}, "top_k needs scores"),
        ([0], [0], "labels", {"resamples": 10}, "resamples is 10; it must be a whole number, at least 100"),
        ([0], [0], "labels", {"bins": 1.5}, "bins is 1.5"),
        ([0], [0], "labels", {"seed": -1}, "seed is -1"),
        ([0], [0], "labels", {"confidence": 95}, "confidence is 95"),
    ],
)
def test_what_cannot_be_measured_is_refused(predictions, labels, kind, options, message):
    with pytest.raises(ValueError, match=message):
        report(predictions, labels, kind=kind, **options)


def test_few_images_of_a_class_are_noted():
    found = report([0] * 20 + [1] * 5, [0] * 20 + [1] * 5, kind="labels", classes=["many", "few"], resamples=100)
    assert "fewer than 10 images, so that intervals by resampling are too narrow: few" in found.notes


def test_probabilities_that_rounding_brought_above_1_stay_in_the_last_bin():
    p = np.array([[1 + 1e-9, 0.0], [0.0, 1 + 1e-9]])
    found = report(p, [0, 1], kind="probabilities", resamples=100)
    assert found.reliability[-1].count == 2


def test_rounding_of_short_floats_is_no_broken_promise():
    labels, logits = scores()
    p = special.softmax(logits, axis=1)
    for short in (np.float16, np.float32):
        rounded = p.astype(short)
        assert report(rounded, labels, kind="probabilities", resamples=100).kind == "probabilities"
    rounded = p.astype(np.float32).astype(float)  # as it comes back from a table of numbers
    assert report(rounded, labels, kind="probabilities", resamples=100).kind == "probabilities"
    with pytest.raises(ValueError, match="sums to"):
        report(p.round(3), labels, kind="probabilities")


# --- text, HTML and JSON ------------------------------------------------------------------------------------


def test_a_report_prints_and_displays_all_it_has():
    labels, logits = scores(absent=(2,))
    found = report(logits, labels, kind="logits", classes=["a<b", "coat", "bag", "shoe"], resamples=100)
    page = found._repr_html_()
    for shown in (str(found), page.replace("&#x27;", "'")):
        for part in ("300 images, 4 classes, from logits", "95 % intervals", "balanced accuracy", str(found.rows[1].f1),
                     str(found.averages[1].roc_auc), "Calibration", "Confusion", *found.notes):  # fmt: skip
            assert part.replace("<", "&lt;") in shown or part in shown
    assert "a&lt;b" in page
    assert "a<b" not in page
    many = report(np.arange(30), np.arange(30), kind="labels", resamples=100)
    assert "Confusion" not in str(many)


def test_a_report_survives_json():
    labels, logits = scores(absent=(2,))
    for found in (
        report(logits, labels, kind="logits", resamples=100),
        report(logits.argmax(1), labels, kind="labels", resamples=100),
    ):
        text = found.to_json()
        content = json.loads(text, parse_constant=pytest.fail)  # strict: no NaN, no Infinity
        assert content["rows"][2]["recall"]["value"] is None
        assert content["confusion"] == found.confusion.tolist()
        again = ClassificationReport.from_json(text)
        assert again.to_json() == text
        assert str(again) == str(found)
        assert again.probabilities is None
        assert compare(again, found).better == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[1:], "this is no JSON"),
        (lambda text: "[]", "no report that was stored as"),
        (lambda text: text.replace("report 1", "report 9"), "no report that was stored as"),
        (lambda text: text.replace('"predicted": [0', '"predicted": [1'), "its confusion matrix is not that"),
        (lambda text: text.replace('"accuracy"', '"acuracy"'), "damaged"),
    ],
)
def test_damaged_json_is_refused(change, message):
    text = report([0, 0, 1], [0, 1, 1], kind="labels", resamples=100).to_json()
    with pytest.raises(ValueError, match=message):
        ClassificationReport.from_json(change(text))


def test_results_cannot_be_changed_and_evaluation_has_both_functions():
    found = report([0, 1], [0, 1], kind="labels", resamples=100)
    with pytest.raises(ValueError, match="read-only"):
        found.labels[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.accuracy = Measure(1.0, 1.0, 1.0, "")
    assert evaluation.report is report
    assert evaluation.compare is compare


# --- comparison ---------------------------------------------------------------------------------------------


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemars_p_is_the_binomial_test(a, b):
    wanted = stats.binomtest(a, a + b).pvalue if a + b else 1.0
    assert figures.mcnemar(a, b) == pytest.approx(wanted, rel=1e-9)


def noisy(labels, share, seed):
    """Predictions that are right but for a share of images."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(labels)) < share, rng.integers(0, 4, len(labels)), labels)


def test_a_clear_difference_is_shown_and_a_small_one_is_not():
    labels = scores(n=1000)[0]
    good, alike, bad = (
        report(noisy(labels, share, seed), labels, kind="labels", resamples=100)
        for seed, share in enumerate((0.2, 0.21, 0.4))
    )
    found = compare(good, bad)
    right, wrong = good.predicted == labels, bad.predicted != labels
    assert (found.better, found.only_first) == ("first", int(np.sum(right & wrong)))
    assert found.accuracy.value == pytest.approx((found.only_first - found.only_second) / 1000, **exact)
    assert found.accuracy.low > 0
    assert str(found).startswith("the first is more accurate: accuracy differs by 0.1")
    mirrored = compare(bad, good)
    assert mirrored.better == "second"
    assert mirrored.accuracy.value == -found.accuracy.value
    assert compare(good, alike).better == ""
    assert "no difference shown" in compare(good, alike)._repr_html_()


def test_a_paired_interval_is_that_of_a_plain_loop():
    labels = scores(n=200)[0]
    first, second = (noisy(labels, share, seed) for seed, share in enumerate((0.2, 0.4)))
    found = compare(*(report(p, labels, kind="labels", resamples=100) for p in (first, second)), resamples=4000)
    rng = np.random.default_rng(5)
    loop = []
    for _ in range(1000):
        images = np.concatenate([rng.choice(np.flatnonzero(labels == c), np.sum(labels == c)) for c in range(4)])
        y, a, b = labels[images], first[images], second[images]
        f1 = [
            np.mean([2 * np.sum((y == c) & (q == c)) / (np.sum(y == c) + np.sum(q == c)) for c in range(4)])
            for q in (a, b)
        ]
        loop.append((np.mean(a == y) - np.mean(b == y), f1[0] - f1[1]))
    for measure, resampled in zip((found.accuracy, found.macro_f1), np.transpose(loop), strict=True):
        assert (measure.low, measure.high) == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])), abs=0.015)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, 1, 1], ["a", "b"], "first is about 2 images, second about 3"),
        ([1, 1], ["a", "b"], "not of the same images in the same order: 1 labels differ, the first at 0: 0 and 1"),
        ([0, 1], ["a", "c"], "first has the classes"),
    ],
)
def test_reports_of_other_images_are_not_compared(labels, classes, message):
    first = report([0, 1], [0, 1], kind="labels", classes=["a", "b"], resamples=100)
    with pytest.raises(ValueError, match=message):
        compare(first, report(labels, labels, kind="labels", classes=classes, resamples=100))


def test_a_difference_of_macro_f1_alone_is_said():
    labels = np.repeat([0, 1], [990, 10])
    never = np.zeros(1000, int)  # as accurate as one that finds the rare class at the cost of as many others
    finds = np.where(labels == 1, 1, 0)
    finds[:10] = 1
    found = compare(*(report(p, labels, kind="labels", resamples=100) for p in (finds, never)))
    assert found.better == ""
    assert str(found).startswith("no difference shown in accuracy, but in macro F1: accuracy differs by 0.0000")


def test_only_reports_are_compared():
    first = report([0, 1], [0, 1], kind="labels", resamples=100)
    with pytest.raises(ValueError, match="second is a list; it must be a report"):
        compare(first, [0, 1])
