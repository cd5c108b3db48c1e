"""How a column's distribution goes from day to day, from its counts. Owns what of it is told; reads and draws nothing."""

from bisect import bisect_left
from itertools import accumulate

import msgspec

from modelyard.core.clock import Instant
from modelyard.monitoring.domain import CategoryColumn, CategoryCounts, Column, Counts, NumberColumn, NumberCounts

LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9


class CoursePoint(msgspec.Struct, frozen=True, kw_only=True):
    """A day of a column: its median with the tenth and the last tenth, or the share of one category; and the share of missing values.

    `middle` is `None` where the day has no value.
    """

    at: Instant
    middle: float | None
    low: float | None = None
    high: float | None = None
    missing: float = 0.0


def measure_of(column: Column) -> str:
    """What the middle of a column's days is, in words."""
    if isinstance(column, NumberColumn):
        return "median"
    return f"share of {column.categories[0]}" if column.categories else "share"


def course_point(column: Column, counts: Counts, at: Instant) -> CoursePoint | None:
    """A day's counts as a point, `None` where they are of another kind. Within a bin values count as spread evenly."""
    if isinstance(column, NumberColumn) and isinstance(counts, NumberCounts):
        values = sum(counts.counts) + counts.below + counts.above
        low, middle, high = _quantiles(column, counts) if values else (None, None, None)
        return CoursePoint(at=at, middle=middle, low=low, high=high, missing=_share(counts.missing, values + counts.invalid))
    if isinstance(column, CategoryColumn) and isinstance(counts, CategoryCounts):
        values = sum(counts.counts) + counts.rare + counts.unseen
        first = counts.counts[0] / values if values and counts.counts else None
        return CoursePoint(at=at, middle=first, missing=_share(counts.missing, values + counts.invalid))
    return None


def _share(missing: int, rest: int) -> float:
    return missing / max(missing + rest, 1)


def _quantiles(column: NumberColumn, counts: NumberCounts) -> tuple[float | None, float | None, float | None]:
    # Plain lists: a page asks for thousands of these, each of a few hundred numbers, where arrays cost more to make than to use.
    low = column.low if counts.low is None else min(counts.low, column.low)
    high = column.high if counts.high is None else max(counts.high, column.high)
    reached = list(accumulate((counts.below, *counts.counts, counts.above), initial=0))
    ends = (low, column.low, *column.edges, column.high, high)

    def quantile(share: float) -> float:
        place = share * reached[-1]
        end = max(bisect_left(reached, place), 1)
        if column.is_discrete:
            # A bin ends at the one value that it holds.
            return ends[end]
        return ends[end - 1] + (ends[end] - ends[end - 1]) * (place - reached[end - 1]) / (reached[end] - reached[end - 1])

    return quantile(LOW), quantile(MIDDLE), quantile(HIGH)
