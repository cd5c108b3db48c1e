"""The rules of docs/features.md as plain loops over all rows: slow, and independent of the code under test."""

import math
from collections.abc import Sequence
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


def aggregate(rows: Sequence[SourceRow], entity: Any, at: int, window: int, column: int) -> tuple[int | None, float | None]:
    """The count and the mean of one column over a window; both `None` for an entity not seen yet."""
    seen = [row for row in rows if row.entity == entity and row.available <= at]
    if not seen:
        return None, None
    values = [row.values[column] for row in seen if at - window < row.event <= at]
    kept = [float(value) for value in values if value is not None and math.isfinite(value)]
    return len(kept), math.fsum(kept) / len(kept) if kept else None


def same(left: Any, right: Any) -> bool:
    """Whether two values are the same, bit for bit where they are floats."""
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    return type(left) is type(right) and left == right


def times(most: int = 40) -> st.SearchStrategy[int]:
    """Instants that often coincide: few whole steps, sometimes a microsecond beside one."""
    return st.builds(lambda step, beside: step * 10 * US + beside, st.integers(0, most), st.sampled_from([0, 0, 0, 1, -1]))


def source_rows(
    values: st.SearchStrategy[tuple[Any, ...]], entities: st.SearchStrategy[Any], *, most: int = 25
) -> st.SearchStrategy[list[SourceRow]]:
    """Some rows of a source, late ones and exact ties among them."""
    created = st.none() | times()
    return st.lists(st.builds(SourceRow, entities, times(), created, values), max_size=most)
