"""The rules of docs/features.md as plain loops over all rows: slow, and independent of the code under test."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import msgspec
from hypothesis import strategies as st

US = 1_000_000


class SourceRow(msgspec.Struct, frozen=True):
    """A row of a source: entity, event time, creation time (or none) and values."""

    entity: Any
    event: int
    created: int | None
    values: tuple[Any, ...]

    @property
    def available(self) -> int:
        """The later of its times."""
        return self.event if self.created is None else max(self.event, self.created)


def _rank(value: Any) -> tuple[Any, ...]:
    if value is None:
        return (0,)
    if isinstance(value, float) and math.isnan(value):
        return (2,)
    return (1, value)


def latest(rows: Sequence[SourceRow], entity: Any, at: int, ttl: int | None) -> tuple[Any, ...] | None:
    """The values that a plain view shows, or `None`."""
    seen = [row for row in rows if row.entity == entity and row.available <= at]
    if not seen:
        return None
    best = seen[0]
    for row in seen[1:]:
        created = row.event if row.created is None else row.created
        best_created = best.event if best.created is None else best.created
        if (row.event, created, [*map(_rank, row.values)]) > (best.event, best_created, [*map(_rank, best.values)]):
            best = row
    if ttl is not None and at - best.event > ttl:
        return None
    return best.values


def windowed(rows: Sequence[SourceRow], entity: Any, at: int, window: int, column: int, function: str) -> Any:
    """What a function gives of one column over a window; `None` for an entity not seen yet."""
    seen = [row for row in rows if row.entity == entity and row.available <= at]
    if not seen:
        return None
    inside = [row for row in seen if at - window < row.event <= at and _is_value(row.values[column])]
    values = [row.values[column] for row in inside]
    if function in ("count", "distinct"):
        return len(values if function == "count" else set(values))
    if function == "sum":
        return float(math.fsum(values))
    if not values:
        return None
    if function in ("first", "last"):
        order = [(row.event, row.event if row.created is None else row.created, row.values[column]) for row in inside]
        return (min if function == "first" else max)(order)[2]
    if function in ("min", "max"):
        return min(values) if function == "min" else max(values)
    if function == "mean":
        return math.fsum(values) / len(values)
    return _std(values) if function == "std" else _percentile(values, float(function[1:]) / 100)


def _is_value(value: Any) -> bool:
    return value is not None and (isinstance(value, str) or math.isfinite(value))


def _std(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    exact = [Fraction(value) for value in values]
    mean = sum(exact, Fraction(0)) / len(exact)
    variance = sum(((value - mean) ** 2 for value in exact), Fraction(0)) / (len(exact) - 1)
    return math.sqrt(variance) if variance < 1e300 else math.sqrt(variance / 10**300) * 1e150


def _percentile(values: Sequence[float], share: float) -> float:
    ranked = sorted(values)
    place = (len(ranked) - 1) * share
    low, high = float(ranked[int(place)]), float(ranked[min(int(place) + 1, len(ranked) - 1)])
    half = (place - int(place)) * (high / 2 - low / 2)
    return low + half + half


def same(left: Any, right: Any) -> bool:
    """Whether two values are the same, bit for bit where they are floats."""
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    return type(left) is type(right) and left == right


def alike(left: Any, right: Any, function: str) -> bool:
    """`same`, but for deviations, which are rounded more than once: they agree to some units in the last place."""
    if function == "std" and isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-15, abs_tol=5e-324)
    return same(left, right)


def times(most: int = 40) -> st.SearchStrategy[int]:
    """Instants that often coincide: few whole steps, sometimes a microsecond beside one."""
    return st.builds(lambda step, beside: step * 10 * US + beside, st.integers(0, most), st.sampled_from([0, 0, 0, 1, -1]))


def source_rows(
    values: st.SearchStrategy[tuple[Any, ...]], entities: st.SearchStrategy[Any], *, most: int = 25
) -> st.SearchStrategy[list[SourceRow]]:
    """Some rows of a source, late ones and exact ties among them."""
    created = st.none() | times()
    return st.lists(st.builds(SourceRow, entities, times(), created, values), max_size=most)
