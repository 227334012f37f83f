"""A claim holds only when the measurement is in the band and the control is not."""

import json
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from nnzen import evidence
from nnzen.evidence import Claim, ClaimError, judge

GOOD = dict(measured=1.0, control=3.0, against="no correction", band=(0.9, 1.1))
finite = st.floats(-1e12, 1e12)


def make(id="06/adam-step", says="The first step has length one", **changes):
    return judge(id, says, **{**GOOD, **changes})


def test_a_measurement_outside_the_band_raises_and_says_everything():
    with pytest.raises(ClaimError, match="left the band") as error:
        make(measured=2.0, unit="η", source="theory")
    for part in ("06/adam-step", "2", "0.9 to 1.1 η", "no correction", "theory"):
        assert part in str(error.value)


def test_a_control_inside_the_band_raises():
    with pytest.raises(ClaimError, match="control lies inside the band"):
        make(control=1.05)


@pytest.mark.parametrize("control", [math.nan, math.inf, -math.inf])
def test_a_control_that_is_not_finite_lies_outside(control):
    assert not make(control=control).within(control)


@pytest.mark.parametrize("measured", [math.nan, math.inf, [1.0, math.nan]])
def test_a_measurement_that_is_not_finite_raises(measured):
    with pytest.raises(ClaimError, match="not finite"):
        make(measured=measured)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(id="adam"), "two digits"),
        (dict(id="06/Adam Step"), "two digits"),
        (dict(says=" "), "one line of words"),
        (dict(against=""), "one line of words"),
        (dict(says="two\nlines"), "one line of words"),
        (dict(band=None), "exactly one of"),
        (dict(at_least=0.5), "exactly one of"),
        (dict(band=(1.1, 0.9)), "empty"),
        (dict(band=(0.9, math.inf)), "finite"),
        (dict(measured=[]), "shape"),
        (dict(measured=[[1.0]]), "shape"),
        (dict(measured="many"), "must be a number"),
        (dict(measured=None), "must be a number|not finite"),
        (dict(published="Z-09"), "together"),
        (dict(verdict="refuted"), "together"),
        (dict(published="Z9", verdict="refuted"), "Z-09"),
        (dict(published="Z-09", verdict="wrong"), "must be one of"),
        (dict(tolerance=-1.0), "tolerance"),
    ],
)
def test_an_incomplete_declaration_says_what_is_wrong(changes, message):
    with pytest.raises(ClaimError, match=message):
        make(**changes)


def test_bounds_belong_to_the_band():
    assert make(measured=0.9).mean == 0.9
    assert make(measured=1.1).mean == 1.1


def test_one_sided_bands():
    assert make(band=None, at_least=0.5, control=0.4).band == "≥ 0.5"
    assert make(band=None, at_most=1.5).band == "≤ 1.5"
    with pytest.raises(ClaimError, match="left the band"):
        make(band=None, at_most=0.5)


def test_a_computed_bound_keeps_no_more_digits_than_the_measurement():
    count = 12345678  # rounded to six digits on both sides, it must still meet itself
    claim = make(measured=count, control=0, band=(count, count))
    assert claim.low == claim.high == claim.mean == 12345700
    assert make(measured=1.0, band=(0.9, 1.1 + 1e-15)) == make(measured=1.0, band=(0.9, 1.1))


def test_several_seeds_are_judged_by_their_mean_and_show_student_t_interval():
    runs = [0.8, 1.0, 1.3]  # two of them outside the band
    claim = make(measured=runs)
    low, high = stats.t.interval(0.95, 2, loc=claim.mean, scale=stats.sem(runs))
    text = evidence.render_text(claim)
    assert "mean of 3" in text
    assert f"‹{low:.4g}› to ‹{high:.4g}›" in text


@given(
    measured=st.lists(finite, min_size=1, max_size=5),
    control=st.lists(st.floats(), min_size=1, max_size=5),
    bounds=st.tuples(finite, finite),
)
def test_judging_agrees_with_the_definition_and_survives_json(measured, control, bounds):
    declared = sorted(bounds)
    rounded = [float(f"{x:.6g}") for x in measured]
    low, high = (float(f"{x:.6g}") for x in declared)
    try:
        claim = make(measured=measured, control=control, band=declared)
    except ClaimError:
        outside = not low <= math.fsum(rounded) / len(rounded) <= high
        assert outside or all(map(math.isfinite, control))
        return
    assert low <= claim.mean <= high
    assert not low <= claim.control_mean <= high
    copy = Claim.from_record(json.loads(json.dumps(claim.to_record(), allow_nan=False)))
    assert evidence.render_text(copy) == evidence.render_text(claim)
    assert evidence.render_html(copy) == evidence.render_html(claim)
    assert evidence.same(copy, claim) == []


@pytest.mark.parametrize(
    "change",
    [
        dict(says="Another statement"),
        dict(against="something else"),
        dict(band=(0.9, 1.2)),
        dict(unit="η"),
        dict(source="folklore"),
        dict(measured=1.01),
        dict(measured=[1.0, 1.0]),
        dict(control=3.5),
        dict(control=math.nan),
        dict(published="Z-12", verdict="refuted"),
        dict(tolerance=0.5),
    ],
)
def test_same_notices_every_difference(change):
    assert evidence.same(make(), make(**change))


@given(st.floats(0.91, 1.09))
def test_same_allows_the_tolerance_and_no_more(measured):
    assume(abs(abs(measured - 1) - 0.05) > 1e-4)
    differences = evidence.same(make(tolerance=0.05), make(tolerance=0.05, measured=measured))
    assert bool(differences) == (abs(measured - 1) > 0.05)


@pytest.mark.parametrize(
    "broken", [{}, {"id": "06/x"}, {**make().to_record(), "seeds": 7}, {**make().to_record(), "x": 1}]
)
def test_a_broken_record_is_refused(broken):
    with pytest.raises(ValueError, match="not a claim record"):
        Claim.from_record(broken)


@pytest.mark.parametrize(
    ("value", "digits"),
    [(0.0, "0"), (-3.0, "−3"), (1e-12, "1e−12"), (0.00012345, "0.0001234"), (12345.6, "12346"), (2.5e9, "2.5e9"),
     (88.7228, "88.72"), (math.inf, "∞"), (math.nan, "NaN"), (60000.0, "60000")],
)  # fmt: skip
def test_numbers_have_four_significant_digits(value, digits):
    assert evidence._number(value) == digits


def test_measured_digits_are_marked_and_declared_ones_are_not():
    claim = make(measured=1.0625, control=3.5)
    text, markup = evidence.render_text(claim), evidence.render_html(claim)
    assert "‹1.062›" in text
    assert "‹3.5›" in text
    assert '<b class="nz-num">1.062</b>' in markup
    assert "‹0.9›" not in text


def test_html_is_escaped():
    markup = evidence.render_html(make(says="a < b & c", against="<script>"))
    assert "<script>" not in markup
    assert "a &lt; b &amp; c" in markup


def test_records_are_read_from_the_outputs_of_a_notebook():
    record = make().to_record()
    notebook = {
        "cells": [
            {"cell_type": "markdown", "source": ""},
            {"cell_type": "code", "outputs": [{"output_type": "stream"}, {"metadata": {"nnzen": record}}]},
        ]
    }
    assert list(evidence.records_in(notebook)) == [record]
    assert list(evidence.records_in(notebook, "nnzen_test")) == []


def test_the_table_needs_a_claim(monkeypatch, capsys):
    monkeypatch.setattr(evidence, "_session", {})
    with pytest.raises(ClaimError, match="no claim"):
        evidence.claims_table()
    evidence.claim("06/adam-step", "The first step has length one", **GOOD)
    evidence.claims_table()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == printed[1]
