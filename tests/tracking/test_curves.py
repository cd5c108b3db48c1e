"""Curves: thinned out without losing a spike or a gap, smoothed without a bias, over steps and over time."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.tracking.rules.curves import Line, placed, smoothed, thinned, within
from modelyard.tracking.rules.series import LARGEST, Points

VALUES = st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.nan)), min_size=1, max_size=400)


def line(values: list[float]) -> Line:
    """A line over steps."""
    return Line(np.arange(len(values), dtype=np.float64), np.array(values))


@given(VALUES, st.integers(8, 120))
def test_what_is_kept_are_points_of_the_line_its_ends_and_its_extremes(values: list[float], most: int) -> None:
    whole = line(values)
    kept = thinned(whole, most)
    known = {(x, repr(y)) for x, y in zip(whole.x.tolist(), whole.y.tolist(), strict=True)}
    assert {(x, repr(y)) for x, y in zip(kept.x.tolist(), kept.y.tolist(), strict=True)} <= known
    assert (kept.x[0], kept.x[-1]) == (whole.x[0], whole.x[-1])
    if not np.isnan(whole.y).all():
        assert (np.nanmin(kept.y), np.nanmax(kept.y)) == (np.nanmin(whole.y), np.nanmax(whole.y))
    assert np.isnan(kept.y).any() == np.isnan(whole.y).any()


def test_a_hundred_thousand_points_become_few_and_keep_the_spike_and_the_gap() -> None:
    values = np.sin(np.arange(100_000) / 9000)
    values[50_001], values[70_000:70_400] = 40.0, math.nan
    kept = thinned(Line(np.arange(100_000.0), values), 1000)
    assert len(kept.x) <= 1010
    assert 40.0 in kept.y
    inside = (kept.x >= 70_000) & (kept.x < 70_400)
    assert inside.any()
    assert np.isnan(kept.y[inside]).all()


def test_a_line_of_many_gaps_becomes_as_few() -> None:
    values = np.where(np.arange(100_000) % 2 == 0, math.nan, 1.0)
    kept = thinned(Line(np.arange(100_000.0), values), 1000)
    assert (len(kept.x) <= 1250, np.isnan(kept.y).sum() >= 250) == (True, True)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=300), st.floats(0.01, 0.999))
def test_an_average_is_that_of_its_definition(values: list[float], weight: float) -> None:
    average, debias, expected = 0.0, 0.0, []
    for value in values:
        average, debias = weight * average + (1 - weight) * value, weight * debias + (1 - weight)
        expected.append(average / debias)
    assert smoothed(np.array(values), weight) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_a_gap_stays_one_and_does_not_count() -> None:
    found = smoothed(np.array([1.0, math.nan, 3.0]), 0.5)
    assert found[0] == 1.0
    assert math.isnan(found[1])
    assert found[2] == pytest.approx(7 / 3)


def test_an_infinity_is_a_gap_and_time_begins_with_the_first_point() -> None:
    points = Points(np.array([5_000_000, 7_500_000]), np.array([1, 0]), np.array([LARGEST, 2.0]))
    assert placed(points, "step").x.tolist() == [0, 1]
    assert np.isnan(placed(points, "step").y).tolist() == [False, True]
    assert placed(points, "relative").x.tolist() == [0, 2.5]
    assert placed(points, "wall").x.tolist() == [5000, 7500]


def test_a_part_runs_to_the_edges_of_what_is_looked_at() -> None:
    assert within(line([0, 1, 2, 3, 4, 5]), 1.5, 3.5).x.tolist() == [1, 2, 3, 4]
    assert within(line([0, 1, 2]), None, None).x.tolist() == [0, 1, 2]
    assert within(line([0, 1, 2]), 9.0, None).x.tolist() == [2]
