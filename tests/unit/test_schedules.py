"""nnzen.mathematics.schedules against recurrences, closed values and the rules written out."""

import doctest
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose

from nnzen.mathematics import schedules as s

rates = st.floats(1e-4, 10)
lengths = st.integers(1, 200)


@given(rates, lengths, st.floats(0.05, 1))
def test_step_and_exponential_are_their_recurrences(rate, every, factor):
    t = np.arange(3 * every + 2)
    stairs, smooth = [rate], [rate]
    for k in t[1:]:
        stairs.append(stairs[-1] * factor if k % every == 0 else stairs[-1])
        smooth.append(smooth[-1] * factor ** (1 / every))
    assert_allclose(s.step(t, rate, every, factor), stairs, rtol=1e-9)
    assert_allclose(s.exponential(t, rate, every, factor), smooth, rtol=1e-9)


@given(rates, lengths, st.floats(0, 1))
def test_linear_and_cosine_fall_from_the_rate_to_the_end_and_stay(rate, total, share):
    t = np.arange(2 * total + 1)
    for schedule in (s.linear, s.cosine):
        values = schedule(t, rate, total, share * rate)
        assert values[0] == pytest.approx(rate)
        assert (np.diff(values) <= 1e-12).all()
        assert_allclose(values[total:], share * rate, atol=1e-12 * rate)
        # both are symmetric around the middle of the run
        assert_allclose(values[: total + 1] + values[total::-1], rate * (1 + share), rtol=1e-9)


def test_cosine_is_not_linear():
    assert s.cosine(25, 1.0, 100) == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert s.linear(25, 1.0, 100) == pytest.approx(0.75)


@given(rates, st.integers(2, 300), st.floats(0.05, 0.95))
def test_one_cycle_rises_to_the_rate_and_falls(rate, total, rise):
    t = np.linspace(0, total, 500)
    values = s.one_cycle(t, rate, total, rise)
    assert values[0] == pytest.approx(rate / 25)
    assert s.one_cycle(rise * total, rate, total, rise) == pytest.approx(rate)
    assert values[-1] == pytest.approx(rate * 1e-4)
    up, down = values[t < rise * total], values[t > rise * total]
    assert (np.diff(up) >= -1e-12).all()
    assert (np.diff(down) <= 1e-12).all()
    assert s.one_cycle(5 * total, rate, total, rise) == pytest.approx(rate * 1e-4)


@given(lengths)
def test_warm_up_is_a_line_that_ends_at_one(updates):
    values = s.warm_up(np.arange(2 * updates), updates)
    assert_allclose(values[:updates], np.arange(1, updates + 1) / updates)
    assert (values[updates:] == 1).all()


def test_shapes_are_kept():
    table = np.arange(6).reshape(2, 3)
    for values in (s.constant(table, 0.1), s.step(table, 0.1, 2), s.cosine(table, 0.1, 5), s.warm_up(table, 3)):
        assert values.shape == (2, 3)
        assert values.dtype == np.float64


# --- reduce on plateau


def test_plateau_cuts_after_patience_and_starts_again():
    plateau = s.ReduceOnPlateau(1.0, factor=0.5, patience=2, min_delta=0.0)
    losses = [5, 4, 4, 4, 4, 4, 3, 3, 3]
    assert [plateau.update(x) for x in losses] == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]


def test_plateau_wants_more_than_min_delta():
    plateau = s.ReduceOnPlateau(1.0, factor=0.1, patience=3, min_delta=0.1)
    assert [plateau.update(x) for x in (1.0, 0.95, 0.91, 0.905)] == pytest.approx([1, 1, 1, 0.1])


def test_plateau_waits_while_it_cools():
    plateau = s.ReduceOnPlateau(1.0, factor=0.5, patience=1, cooldown=2)
    assert [plateau.update(1.0) for _ in range(5)] == [1, 0.5, 0.5, 0.25, 0.25]


def test_plateau_has_a_floor_and_takes_nan_for_no_improvement():
    plateau = s.ReduceOnPlateau(1.0, factor=0.1, patience=1, min_rate=0.05)
    assert [plateau.update(x) for x in (1.0, math.nan, math.nan, math.nan)] == pytest.approx([1, 0.1, 0.05, 0.05])


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.integers(1, 5))
def test_plateau_never_raises_the_rate(losses, patience):
    plateau = s.ReduceOnPlateau(1.0, factor=0.5, patience=patience)
    found = [plateau.update(x) for x in losses]
    assert (np.diff([1.0, *found]) <= 0).all()
    assert len(set(found)) <= 1 + len(losses) // patience


@given(st.integers(2, 60))
def test_plateau_never_cuts_while_the_loss_falls(n):
    plateau = s.ReduceOnPlateau(1.0, patience=1)
    assert [plateau.update(n - k) for k in range(n)] == [1.0] * n


# --- errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: s.constant(-1, 0.1), "t is"),
        (lambda: s.constant([0, math.nan], 0.1), "t is"),
        (lambda: s.constant(0, 0.0), "rate is"),
        (lambda: s.step(0, 0.1, 0), "every is"),
        (lambda: s.exponential(0, 0.1, 10, 1.5), "factor is"),
        (lambda: s.linear(0, 0.1, 0), "total is"),
        (lambda: s.cosine(0, 0.1, 10, 0.2), "final rate is"),
        (lambda: s.one_cycle(0, 0.1, 10, rise=1.0), "rise is"),
        (lambda: s.one_cycle(0, 0.1, 10, start=0.0), "start is"),
        (lambda: s.warm_up(0, 0), "updates is"),
        (lambda: s.ReduceOnPlateau(-1.0), "rate is"),
        (lambda: s.ReduceOnPlateau(1.0, factor=1.0), "factor is"),
        (lambda: s.ReduceOnPlateau(1.0, patience=0), "patience is"),
        (lambda: s.ReduceOnPlateau(1.0, min_delta=-1.0), "min_delta is"),
        (lambda: s.ReduceOnPlateau(1.0, cooldown=-1), "cooldown is"),
        (lambda: s.ReduceOnPlateau(1.0, min_rate=2.0), "min_rate is"),
    ],
)
def test_errors_name_the_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_examples():
    assert doctest.testmod(s).failed == 0
