"""Dispersion: how much the reference's own windows differ, and that tests ask for that much more."""

import numpy as np
import polars as pl
import pytest

from modelyard.core.clock import SECOND
from modelyard.monitoring.rules.profiles import profile

DAY = 86400 * SECOND
DAYS, ROWS = 90, 200


def instants() -> pl.Series:
    return pl.Series(np.repeat(np.arange(DAYS), ROWS) * DAY)


def test_independent_rows_have_hardly_any(random: np.random.Generator) -> None:
    frame = pl.DataFrame({f"x{i}": random.normal(0, 1, DAYS * ROWS) for i in range(10)})
    spread = [column.dispersion for column in profile(frame, at=instants()).columns]
    assert np.mean([one.day for one in spread]) < 1.15
    assert np.mean([one.window for one in spread]) < 1.35
    assert all(one.missing == 1.0 for one in spread)


def test_weather_that_comes_in_days_has_much(random: np.random.Generator) -> None:
    weather = np.repeat(random.normal(0, 1, DAYS), ROWS) + random.normal(0, 0.3, DAYS * ROWS)
    words = np.where(np.repeat(random.uniform(0, 1, DAYS) < 0.3, ROWS), "wet", "dry")
    spread = profile(pl.DataFrame({"x": weather, "k": words}), at=instants()).columns
    assert all(column.dispersion.day > 50 for column in spread)
    assert all(column.dispersion.window > 50 for column in spread)


def test_the_weekday_differs_by_day_and_not_by_week() -> None:
    frame = pl.DataFrame({"weekday": np.repeat(np.arange(91) % 7, ROWS)})
    at = pl.Series(np.repeat(np.arange(91), ROWS) * DAY)
    spread = profile(frame, at=at).columns[0].dispersion
    assert spread.day > 100
    assert spread.window == 1.0


def test_values_that_go_missing_by_the_day_are_told_from_those_that_go_missing_one_by_one(random: np.random.Generator) -> None:
    x = random.normal(0, 1, DAYS * ROWS)
    by_day = np.where(np.repeat(random.uniform(0, 1, DAYS) < 0.1, ROWS), np.nan, x)
    by_row = np.where(random.uniform(0, 1, x.size) < 0.1, np.nan, x)
    one, other = profile(pl.DataFrame({"by_day": by_day, "by_row": by_row}), at=instants()).columns
    assert one.dispersion.missing > 100
    assert other.dispersion.missing < 2


@pytest.mark.parametrize("days", [1, 4])
def test_too_few_days_tell_nothing(random: np.random.Generator, days: int) -> None:
    frame = pl.DataFrame({"x": random.normal(0, 1, days * ROWS)})
    made = profile(frame, at=pl.Series(np.repeat(np.arange(days), ROWS) * DAY))
    assert made.columns[0].dispersion.window == made.columns[0].dispersion.day == 1.0
    assert made.days == days
