"""nnzen.mathematics.gradient_noise against all subsets, and against NumPy's covariance."""

import doctest
import itertools
import math

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose

from nnzen.mathematics import gradient_noise as gn

tables = hnp.arrays(np.float64, st.tuples(st.integers(2, 6), st.integers(1, 4)), elements=st.floats(-10, 10))


def population_variance(g):
    return float(np.mean(np.sum((g - g.mean(axis=0)) ** 2, axis=1)))


@given(tables, st.data())
def test_variance_without_replacement_is_that_of_all_subsets(g, data):
    B = data.draw(st.integers(1, len(g)))
    means = np.array([g[list(rows)].mean(axis=0) for rows in itertools.combinations(range(len(g)), B)])
    expected = np.mean(np.sum((means - g.mean(axis=0)) ** 2, axis=1))
    assert_allclose(gn.batch_variance(population_variance(g), B, len(g)), expected, rtol=1e-9, atol=1e-9)


@given(tables, st.integers(1, 2))
def test_variance_with_replacement_is_that_of_all_sequences(g, B):
    means = np.array([g[list(rows)].mean(axis=0) for rows in itertools.product(range(len(g)), repeat=B)])
    expected = np.mean(np.sum((means - g.mean(axis=0)) ** 2, axis=1))
    assert_allclose(gn.batch_variance(population_variance(g), B), expected, rtol=1e-9, atol=1e-9)


@given(tables)
def test_noise_scale_is_trace_of_the_covariance(g):
    found = gn.noise_scale(g)
    covariance = np.atleast_2d(np.cov(g, rowvar=False))
    assert_allclose(found.variance, np.trace(covariance), rtol=1e-9, atol=1e-9)
    pairs = [g[i] @ g[j] for i, j in itertools.permutations(range(len(g)), 2)]
    assert_allclose(found.gradient, np.mean(pairs), rtol=1e-9, atol=1e-9)  # the unbiased estimate of |G|²


@given(tables)
def test_two_sizes_one_and_all_give_the_same(g):
    mean = g.mean(axis=0)
    found = gn.noise_scale_from_norms(np.sum(g**2, axis=1), [mean @ mean], 1, len(g))
    expected = gn.noise_scale(g)
    assert_allclose([found.gradient, found.variance], [expected.gradient, expected.variance], rtol=1e-9, atol=1e-8)


@given(st.floats(0.1, 10), st.floats(0, 100), st.integers(1, 50), st.integers(1, 50))
def test_from_norms_solves_both_equations(gradient, variance, b, more):
    B = b + more
    found = gn.noise_scale_from_norms([gradient + variance / b], [gradient + variance / B], b, B)
    assert_allclose([found.gradient, found.variance], [gradient, variance], rtol=1e-6, atol=1e-8)


def test_noise_scale_of_a_drowned_gradient_is_nan():
    assert math.isnan(gn.noise_scale([[1.0], [-1.0]]).value)
    assert gn.NoiseScale(2.0, 6.0).value == 3.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gn.batch_variance(-1.0, 2), "variance is"),
        (lambda: gn.batch_variance(1.0, 0), "batch is"),
        (lambda: gn.batch_variance(1.0, 5, population=4), "population"),
        (lambda: gn.noise_scale([1.0, 2.0]), "shape"),
        (lambda: gn.noise_scale([[1.0]]), "shape"),
        (lambda: gn.noise_scale([[1.0], [math.nan]]), "NaN"),
        (lambda: gn.noise_scale_from_norms([1.0], [1.0], 4, 4), "batches of"),
        (lambda: gn.noise_scale_from_norms([], [1.0], 1, 4), "small is"),
        (lambda: gn.noise_scale_from_norms([1.0], [-1.0], 1, 4), "large is"),
    ],
)
def test_errors_name_the_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_examples():
    assert doctest.testmod(gn).failed == 0
