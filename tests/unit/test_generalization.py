"""nnzen.generalization against pairs of runs, closed forms and SciPy's least squares."""

import doctest
import itertools
import math

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose
from scipy.optimize import least_squares

from nnzen import generalization as gen

SIZES = np.array([100, 200, 400, 800, 1600, 3200])
outputs = hnp.arrays(
    np.float64,
    st.tuples(st.integers(2, 5), st.integers(1, 4), st.integers(1, 3)),
    elements=st.floats(-10, 10),
)
scales, exponents, floors = st.floats(0.1, 100), st.floats(0.1, 1.5), st.floats(0, 0.5)


@given(outputs, st.integers(0, 99))
def test_bias_and_variance_are_those_of_pairs_of_runs(f, seed):
    t = np.random.default_rng(seed).normal(size=f.shape[1:])
    found, pairs = gen.bias_variance(f, t), list(itertools.combinations(range(len(f)), 2))
    products = [np.sum((f[i] - t) * (f[j] - t)) / len(t) for i, j in pairs]
    distances = [np.sum((f[i] - f[j]) ** 2) / len(t) / 2 for i, j in pairs]
    assert_allclose([found.bias, found.variance], [np.mean(products), np.mean(distances)], rtol=1e-9, atol=1e-9)
    assert found.runs == len(f)


@given(outputs)
def test_both_parts_add_up_to_the_error(f):
    t = np.ones(f.shape[1:])
    found = gen.bias_variance(f, t)
    assert_allclose(found.error, np.mean(np.sum((f - t) ** 2, axis=2)), rtol=1e-9, atol=1e-9)
    assert_allclose(found.of_average(1), found.error, rtol=1e-12, atol=1e-12)
    plugged_in = np.sum((f.mean(axis=0) - t) ** 2) / len(t)
    assert_allclose(found.of_average(len(f)), plugged_in, rtol=1e-9, atol=1e-9)


@given(outputs)
def test_one_output_needs_no_last_axis(f):
    one = f[:, :, 0]
    assert gen.bias_variance(one, one[0]) == gen.bias_variance(one[:, :, None], one[0][:, None])


def test_the_correction_is_unbiased():
    rng = np.random.default_rng(0)
    found = [gen.bias_variance(rng.normal(1, 2, size=(2, 50)), np.zeros(50)) for _ in range(2000)]
    assert abs(np.mean([p.bias for p in found]) - 1) < 0.06  # standard error 0.014
    assert abs(np.mean([p.variance for p in found]) - 4) < 0.1


@pytest.mark.parametrize(
    ("f", "t", "message"),
    [
        (np.zeros((1, 3)), np.zeros(3), "1 run"),
        (np.zeros((2, 3)), np.zeros(2), r"\(2, 3\)"),
        (np.zeros(3), np.zeros(3), r"\(3,\)"),
        (np.zeros((2, 0)), np.zeros(0), r"\(2, 0\)"),
        (np.full((2, 3), np.nan), np.zeros(3), "NaN"),
        (np.zeros((2, 3)), np.full(3, np.inf), "infinity"),
    ],
)
def test_bias_variance_refuses(f, t, message):
    with pytest.raises(ValueError, match=message):
        gen.bias_variance(f, t)


def test_average_of_no_runs_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        gen.BiasVariance(1.0, 1.0, 2).of_average(0)


@given(scales, exponents, floors)
def test_an_exact_power_law_is_found(a, b, c):
    law = gen.fit_power_law(SIZES, a * SIZES**-b + c)
    assert_allclose(law(SIZES), a * SIZES**-b + c, rtol=1e-2)


@given(st.integers(0, 999), st.booleans())
def test_no_other_law_fits_better(seed, floor):
    rng = np.random.default_rng(seed)
    e = (3 * SIZES**-0.5 + 0.1) * np.exp(0.05 * rng.normal(size=6))
    law = gen.fit_power_law(SIZES, e, floor=floor)
    assert law.a > 0
    assert law.c >= 0 if floor else law.c == 0

    def deviations(p):
        return (np.exp(p[0]) * SIZES ** -p[1] + (p[2] if floor else 0)) / e - 1

    start = [math.log(law.a), law.b, law.c]
    low, high = np.array([-20, 0.01, 0]), np.array([30, 3, 1])
    best = least_squares(deviations, np.clip(start, low + 1e-9, high - 1e-9), bounds=(low, high))
    assert np.sum((law(SIZES) / e - 1) ** 2) <= 2 * best.cost * 1.01 + 1e-4  # the grid of exponents


@given(st.integers(0, 999), st.floats(0.01, 100))
def test_the_unit_of_the_error_does_not_matter(seed, unit):
    rng = np.random.default_rng(seed)
    e = (3 * SIZES**-0.5 + 0.1) * np.exp(0.05 * rng.normal(size=6))
    assert_allclose(gen.fit_power_law(SIZES, unit * e)(9999), unit * gen.fit_power_law(SIZES, e)(9999), rtol=1e-6)


def test_interval_contains_the_value_of_equal_runs_and_widens_with_scatter():
    law = 3 * SIZES**-0.5 + 0.1
    equal = gen.extrapolate(SIZES, np.stack([law, law], axis=1), 32_000, np.random.default_rng(0))
    assert equal.low == pytest.approx(equal.value) == pytest.approx(equal.high)
    assert equal.value == pytest.approx(3 * 32_000**-0.5 + 0.1, rel=2e-3)
    widths = []
    for scatter in (0.005, 0.05):
        noise = np.exp(scatter * np.random.default_rng(1).normal(size=(6, 10)))
        found = gen.extrapolate(SIZES, law[:, None] * noise, 32_000, np.random.default_rng(2))
        assert found.low <= found.value <= found.high
        assert found.n == 32_000
        widths.append(found.high - found.low)
    assert widths[0] < widths[1]


def test_extrapolation_is_the_fit_of_the_means_and_repeats():
    e = (3 * SIZES**-0.5)[:, None] * np.exp(0.05 * np.random.default_rng(3).normal(size=(6, 5)))
    one, two = (gen.extrapolate(SIZES, e, 9999, np.random.default_rng(4), floor=False) for _ in range(2))
    assert one == two
    assert one.law == gen.fit_power_law(SIZES, e.mean(axis=1), floor=False)
    assert one.value == pytest.approx(float(one.law(9999)))


@pytest.mark.parametrize(
    ("sizes", "errors", "message"),
    [
        ([1, 2, 3], [3, 2, 1], "4 or more"),
        ([1, 2, 2, 4], [3, 2, 1, 1], "all different"),
        ([1, 2, 3, 4], [3, 2, 1], "one row"),
        ([1, 2, 3, 4], [3, 2, 1, 0], "errors must be finite and positive"),
        ([0, 2, 3, 4], [3, 2, 1, 1], "sizes must be finite and positive"),
        ([1, 2, 3, 4], [3, 2, 1, np.nan], "errors must be finite"),
    ],
)
def test_fit_refuses(sizes, errors, message):
    with pytest.raises(ValueError, match=message):
        gen.fit_power_law(sizes, errors)


def test_extrapolate_and_law_refuse():
    rng, e = np.random.default_rng(0), np.ones((6, 2))
    for bad in ({"n": 0}, {"resamples": 0}, {"confidence": 1.0}):
        with pytest.raises(ValueError, match="confidence"):
            gen.extrapolate(SIZES, e, **{"n": 10, "rng": rng, **bad})
    with pytest.raises(ValueError, match="1 run"):
        gen.extrapolate(SIZES, e[:, :1], 10, rng)
    with pytest.raises(ValueError, match="positive"):
        gen.PowerLaw(1.0, 1.0, 0.0)([1, 0])


def test_docstrings():
    assert doctest.testmod(gen).failed == 0
