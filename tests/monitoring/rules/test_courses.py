"""A column from day to day: quantiles of its counts against those of the values, shares of categories, missing ones."""

import numpy as np
import polars as pl
import pytest

from modelyard.core.clock import Instant
from modelyard.core.digests import digest_of
from modelyard.monitoring.rules.courses import CoursePoint, course_point, measure_of
from modelyard.monitoring.rules.summaries import summarise
from modelyard.monitoring.service import reference_of

AT = Instant(0)


def point_of(trained: pl.Series, today: pl.Series) -> tuple[str, CoursePoint | None]:
    reference = reference_of(pl.DataFrame({"x": trained}), ["x"], ())
    (column,) = reference.columns
    counts = summarise(pl.DataFrame({"x": today}), reference, digest_of("x")).columns["x"]
    return measure_of(column), course_point(column, counts, AT)


def test_the_quantiles_of_a_day_are_those_of_its_values_within_a_bin() -> None:
    random = np.random.default_rng(5)
    today = random.gamma(3, 12, 4000)
    measure, point = point_of(pl.Series(random.gamma(3, 10, 9000)), pl.Series([*today.tolist(), *[None] * 1000]))
    assert point is not None
    assert (measure, point.missing) == ("median", 0.2)
    low, middle, high = np.quantile(today, (0.1, 0.5, 0.9))
    assert (point.low, point.middle, point.high) == pytest.approx((low, middle, high), rel=0.02)


def test_of_few_whole_numbers_each_quantile_is_one_of_them() -> None:
    _, point = point_of(pl.Series([0.0, 1.0, 2.0, 5.0] * 50), pl.Series([1.0] * 8 + [2.0] + [5.0]))
    assert point == CoursePoint(at=AT, low=1.0, middle=1.0, high=2.0)


def test_categories_are_told_by_the_share_of_the_most_frequent_one() -> None:
    measure, point = point_of(pl.Series(["a", "a", "b"] * 20), pl.Series(["a", "b", "b", "new", None]))
    assert (measure, point) == ("share of a", CoursePoint(at=AT, middle=0.25, missing=0.2))


def test_a_day_without_a_value_has_no_middle() -> None:
    _, point = point_of(pl.Series([1.0, 2.0, 3.5] * 20), pl.Series([None, None], dtype=pl.Float64))
    assert point == CoursePoint(at=AT, middle=None, missing=1.0)
