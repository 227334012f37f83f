"""Intervals, paired comparison, power and equivalence against SciPy's own tests and against simulation."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from nnzen import evaluation

numbers = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))
samples = st.lists(numbers, min_size=2, max_size=30)
pairs = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=30)
confidences = st.floats(0.5, 0.999)
counts = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
close = dict(rel=1e-8, abs=1e-8)


# --- proportion ---------------------------------------------------------------------------------------------


@given(counts, confidences)
def test_proportion_interval_is_scipys_wilson(count, confidence):
    k, n = count
    expected = stats.binomtest(k, n).proportion_ci(confidence_level=confidence, method="wilson")
    got = evaluation.proportion_interval(k, n, confidence=confidence)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= got.low <= got.proportion <= got.high <= 1


def test_ends_of_wilsons_interval_solve_its_equation():
    got = evaluation.proportion_interval(7, 50)
    z = stats.norm.ppf(0.975)
    for p, bracket in [(got.low, (1e-9, 0.14)), (got.high, (0.14, 1 - 1e-9))]:
        root = optimize.brentq(lambda p: (0.14 - p) ** 2 - z**2 * p * (1 - p) / 50, *bracket)
        assert p == pytest.approx(root, abs=1e-9)


@given(counts)
def test_successes_and_failures_mirror(count):
    k, n = count
    got, mirrored = evaluation.proportion_interval(k, n), evaluation.proportion_interval(n - k, n)
    assert (got.low, got.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-12)


@pytest.mark.parametrize(
    ("k", "n", "message"),
    [
        (1, 0, "trials is 0"),
        (-1, 5, "successes is -1"),
        (6, 5, "successes is 6, more than trials, which is 5"),
        (2.5, 5, "successes is 2.5"),
        (float("nan"), 5, "successes is nan"),
        (float("inf"), 5, "successes is inf"),
        ("3", 5, "successes is '3'"),
        (True, 5, "successes is True"),
        (None, 5, "successes is None"),
    ],
)
def test_proportion_of_bad_counts(k, n, message):
    with pytest.raises(ValueError, match=message):
        evaluation.proportion_interval(k, n)


def test_counts_may_come_from_numpy():
    assert evaluation.proportion_interval(np.int64(3), np.float64(5.0)).trials == 5


# --- mean ---------------------------------------------------------------------------------------------------


@given(samples, confidences)
def test_mean_interval_is_scipys(values, confidence):
    got = evaluation.mean_interval(values, confidence=confidence)
    assert got.mean == pytest.approx(np.mean(values), **close)
    assert got.sd == pytest.approx(np.std(values, ddof=1), rel=1e-6, abs=1e-6)
    if got.sd > 1e-6:
        low, high = stats.t.interval(confidence, len(values) - 1, np.mean(values), stats.sem(values))
        assert (got.low, got.high) == pytest.approx((low, high), rel=1e-6, abs=1e-6)


@given(samples, st.floats(-100, 100), st.floats(0.01, 100))
def test_mean_interval_follows_its_unit(values, shift, scale):
    got = evaluation.mean_interval(values)
    moved = evaluation.mean_interval([scale * x + shift for x in values])
    assert (moved.low, moved.high) == pytest.approx(
        (scale * got.low + shift, scale * got.high + shift), rel=1e-6, abs=1e-5
    )


def test_equal_runs_have_an_interval_without_width():
    got = evaluation.mean_interval([3.1] * 7)
    assert (got.low, got.mean, got.high, got.sd) == (3.1, 3.1, 3.1, 0.0)


def test_mean_interval_covers_as_often_as_it_says():
    values = np.random.default_rng(0).normal(5, 2, size=(4000, 4))
    intervals = [evaluation.mean_interval(v, confidence=0.9) for v in values]
    assert np.mean([i.low <= 5 <= i.high for i in intervals]) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "values has 0 value"),
        ([1.0], "values has 1 value"),
        (1.0, r"values has shape \(\)"),
        ([[1.0, 2.0]], r"values has shape \(1, 2\)"),
        ([1.0, float("nan")], r"values\[1\] is nan"),
        ([float("inf"), 1.0], r"values\[0\] is inf"),
        (["a", "b"], "must be one number per run"),
        ([[1, 2], [3]], "must be one number per run"),
    ],
)
def test_mean_of_bad_values(values, message):
    with pytest.raises(ValueError, match=message):
        evaluation.mean_interval(values)


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 95, float("nan")])
def test_confidence_out_of_range(confidence):
    for call in (
        lambda: evaluation.mean_interval([1, 2], confidence=confidence),
        lambda: evaluation.proportion_interval(1, 2, confidence=confidence),
        lambda: evaluation.paired_difference([1, 2], [3, 5], confidence=confidence),
    ):
        with pytest.raises(ValueError, match="confidence is"):
            call()


# --- pairs --------------------------------------------------------------------------------------------------


@given(pairs)
def test_paired_difference_is_scipys_paired_t_test(values):
    a, b = map(np.array, zip(*values, strict=True))
    got = evaluation.paired_difference(a, b)
    assert got.mean == pytest.approx(np.mean(a) - np.mean(b), **close)
    if np.std(a - b) > 1e-3:
        test = stats.ttest_rel(a, b)
        assert got.p_value == pytest.approx(test.pvalue, rel=1e-6, abs=1e-12)
        interval = test.confidence_interval()
        assert (got.low, got.high) == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-6)
        assert got.variance_ratio == pytest.approx((a.var() + b.var()) / (a - b).var(), rel=1e-6)
    if np.std(a) > 1e-2 and np.std(b) > 1e-2:
        assert got.correlation == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-5)


@given(pairs)
def test_paired_difference_changes_sign_with_its_arguments(values):
    a, b = map(np.array, zip(*values, strict=True))
    got, swapped = evaluation.paired_difference(a, b), evaluation.paired_difference(b, a)
    assert (got.mean, got.low, got.high) == pytest.approx((-swapped.mean, -swapped.high, -swapped.low), **close)
    assert got.p_value == pytest.approx(swapped.p_value)


def test_pairs_that_differ_by_a_constant():
    got = evaluation.paired_difference([3.0, 4.0, 6.0], [1.0, 2.0, 4.0])
    assert (got.low, got.mean, got.high, got.p_value) == (2.0, 2.0, 2.0, 0.0)
    assert got.variance_ratio == math.inf
    assert got.correlation == pytest.approx(1.0)
    same = evaluation.paired_difference([1.0, 1.0], [1.0, 1.0])
    assert same.p_value == 1.0
    assert math.isnan(same.correlation)


@pytest.mark.parametrize("function", [evaluation.paired_difference, lambda a, b: evaluation.equivalent(a, b, 1.0)])
def test_pairs_that_are_none(function):
    with pytest.raises(ValueError, match="first has 3 runs and second 2"):
        function([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match=r"second\[0\] is nan"):
        function([1, 2], [float("nan"), 2])
    with pytest.raises(ValueError, match=r"first has shape \(1, 2\)"):
        function([[1, 2]], [[1, 2]])


# --- power --------------------------------------------------------------------------------------------------


def power_by_integration(n, difference, sd, alpha, paired):
    """P(|T| > bound), T = (Z + shift) / sqrt(chi² / degrees), as an integral over the estimated variance."""
    degrees, shift = (
        (n - 1, difference * math.sqrt(n) / sd) if paired else (2 * n - 2, difference * math.sqrt(n / 2) / sd)
    )
    bound = stats.t.isf(alpha / 2, degrees)

    def given_quantile(u):
        width = bound * math.sqrt(stats.chi2.ppf(u, degrees) / degrees)
        return stats.norm.sf(width - shift) + stats.norm.cdf(-width - shift)

    return integrate.quad(given_quantile, 0, 1, limit=200)[0]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 200), st.floats(0.01, 5), st.sampled_from([0.01, 0.05, 0.2]), st.booleans())
def test_power_is_that_of_the_t_test(n, effect, alpha, paired):
    got = evaluation.power(n, effect, 1.0, alpha=alpha, paired=paired)
    assert got == pytest.approx(power_by_integration(n, effect, 1.0, alpha, paired), abs=1e-5)
    assert got == evaluation.power(n, -2 * effect, 2.0, alpha=alpha, paired=paired)


@pytest.mark.parametrize("paired", [True, False])
def test_power_in_simulated_experiments(paired):
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, size=(10_000, 6)), rng.normal(0, 1, size=(10_000, 6))
    p = stats.ttest_rel(a, b, axis=1).pvalue if paired else stats.ttest_ind(a, b, axis=1).pvalue
    expected = evaluation.power(6, 1.0, math.sqrt(2) if paired else 1.0, paired=paired)
    assert np.mean(p < 0.05) == pytest.approx(expected, abs=0.02)  # 4 standard errors


def test_power_of_a_huge_difference_is_one():
    assert evaluation.power(3, 1e6, 1.0) == pytest.approx(1.0)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.05, 3), st.floats(0.1, 0.99), st.booleans())
def test_seeds_needed_is_the_smallest_number(effect, target, paired):
    got = evaluation.seeds_needed(effect, 1.0, power=target, paired=paired)
    assert got.power >= target
    assert got.power == evaluation.power(got.n, effect, 1.0, paired=paired)
    assert got.n == 2 or evaluation.power(got.n - 1, effect, 1.0, paired=paired) < target


def test_seeds_needed_is_close_to_the_normal_formula_for_small_differences():
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert evaluation.seeds_needed(0.05, 1.0).n == pytest.approx(z**2 / 0.05**2, rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, 1), {}, "difference is 0"),
        ((float("nan"), 1), {}, "difference is nan"),
        ((1, 0), {}, "sd is 0"),
        ((1, -1), {}, "sd is -1"),
        ((1, float("inf")), {}, "sd is inf"),
        ((1, 1), {"power": 1}, "power is 1"),
        ((1, 1), {"power": 0.01}, "power is 0.01; it must be above alpha"),
        ((1, 1), {"alpha": 0}, "alpha is 0"),
        ((1e-6, 1), {}, "more than 1,000,000 seeds"),
    ],
)
def test_seeds_needed_for_bad_plans(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        evaluation.seeds_needed(*arguments, **options)


@pytest.mark.parametrize("n", [1, 0, -3, 2.5])
def test_power_of_too_few_runs(n):
    with pytest.raises(ValueError, match="n is"):
        evaluation.power(n, 1, 1)


# --- equivalence --------------------------------------------------------------------------------------------


@given(pairs, st.floats(0.001, 1e3), st.floats(0.01, 0.4))
def test_equivalence_is_two_one_sided_t_tests(values, margin, alpha):
    a, b = map(np.array, zip(*values, strict=True))
    got = evaluation.equivalent(a, b, margin, alpha=alpha)
    if np.std(a - b) > 1e-3:
        above = stats.ttest_1samp(a - b, -margin, alternative="greater").pvalue
        below = stats.ttest_1samp(a - b, margin, alternative="less").pvalue
        assert got.p_value == pytest.approx(max(above, below), rel=1e-6, abs=1e-9)
    if abs(got.p_value - alpha) > 1e-9:
        assert got.equivalent == (got.p_value < alpha) == (-margin < got.low and got.high < margin)


def test_equal_runs_are_equivalent_within_any_margin():
    got = evaluation.equivalent([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], margin=1e-9)
    assert got.equivalent
    assert got.p_value == 0.0
    assert not evaluation.equivalent([2.0, 3.0], [1.0, 2.0], margin=1.0).equivalent  # at the margin, not inside it


def test_equivalence_at_the_margin_is_rarely_claimed():
    d = np.random.default_rng(0).normal(1.0, 1.0, size=(4000, 20))
    claimed = np.mean([evaluation.equivalent(row, np.zeros(20), margin=1.0).equivalent for row in d])
    assert claimed == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("margin", [0, -1, float("nan"), float("inf")])
def test_margin_out_of_range(margin):
    with pytest.raises(ValueError, match="margin is"):
        evaluation.equivalent([1, 2], [1, 3], margin)


def test_alpha_of_equivalence():
    with pytest.raises(ValueError, match="must be below"):
        evaluation.equivalent([1, 2], [1, 3], 1.0, alpha=0.5)


# --- results ------------------------------------------------------------------------------------------------

RESULTS = [
    evaluation.proportion_interval(98, 100),
    evaluation.mean_interval([79.1, 80.3, 80.0]),
    evaluation.paired_difference([80.1, 79.2, 80.9], [79.0, 78.3, 79.9]),
    evaluation.seeds_needed(1.0, 0.6),
    evaluation.seeds_needed(1.0, 0.6, paired=False),
    evaluation.equivalent([80.1, 79.2, 80.6], [79.9, 79.3, 80.5], margin=0.5),
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda r: type(r).__name__)
def test_results_are_frozen_and_display(result):
    assert "\n" not in str(result)
    assert repr(result) == str(result)
    assert result._repr_html_().startswith('<p class="nz-result">')
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(result, dataclasses.fields(result)[0].name, 0)
    for field in dataclasses.fields(result):
        assert type(getattr(result, field.name)) in (int, float, bool), f"{field.name} is not a plain number"


def test_results_in_words():
    assert "94" in str(evaluation.mean_interval([1, 2], confidence=0.94))
    assert str(evaluation.equivalent([1, 9], [9, 1], margin=1.0)).startswith("not shown to be equivalent within ±1")
    assert str(RESULTS[4]).startswith("2 × 7 runs")
