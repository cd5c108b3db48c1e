"""Windows in the terms of a reference: read once, counted, merged. Owns how rows become counts and how counts add up."""

from operator import add

import msgspec
import numpy as np
import polars as pl

from modelyard.core.digests import Digest
from modelyard.monitoring.domain import (
    CategoryColumn,
    CategoryCounts,
    Counts,
    DifferentReference,
    NumberColumn,
    NumberCounts,
    Reference,
    WindowSummary,
)

MOST_EXAMPLES = 5
# Whole numbers, so that sums are exact in any order.
EXCESS_UNIT, MOST_EXCESS = 1e6, 1e10


def summarise(frame: pl.DataFrame, reference: Reference, digest: Digest) -> WindowSummary:
    """The rows of `frame` as counts over the bins of `reference`, which has the digest `digest`.

    A column of the reference that `frame` does not have is left out: that is a finding of its own. A value that cannot
    be read as the reference's kind is invalid; NaN is missing; infinities lie above or below everything.
    """
    columns = {
        column.name: _number_counts(frame.get_column(column.name), column)
        if isinstance(column, NumberColumn)
        else _category_counts(frame.get_column(column.name), column)
        for column in reference.columns
        if column.name in frame.columns
    }
    return WindowSummary(reference=digest, rows=frame.height, columns=columns)


def _number_counts(series: pl.Series, column: NumberColumn) -> NumberCounts:
    values = series.cast(pl.Float64, strict=False)
    invalid = int(values.null_count() - series.null_count())
    array = values.to_numpy()  # a null becomes NaN
    known = array[~np.isnan(array)]
    below, above = int((known < column.low).sum()), int((known > column.high).sum())
    inside = known[(known >= column.low) & (known <= column.high)]
    places = np.searchsorted(np.asarray(column.edges), inside, side="left")
    finite = known[np.isfinite(known)]
    beyond = np.maximum(finite - column.high, 0.0) + np.maximum(column.low - finite, 0.0)
    return NumberCounts(
        counts=tuple(np.bincount(places, minlength=len(column.counts)).tolist()),
        below=below,
        above=above,
        missing=int(array.size - known.size - invalid),
        invalid=invalid,
        excess=int(np.minimum(np.rint(beyond * (EXCESS_UNIT / column.std)), MOST_EXCESS).sum()) if column.std else 0,
        low=float(finite.min()) if finite.size else None,
        high=float(finite.max()) if finite.size else None,
    )


def _category_counts(series: pl.Series, column: CategoryColumn) -> CategoryCounts:
    text = series.cast(pl.String, strict=False)
    invalid = int(text.null_count() - series.null_count())
    found = dict(text.drop_nulls().value_counts().iter_rows())
    counts = tuple(found.pop(category, 0) for category in column.categories)
    if column.rare is None:
        strange: dict[str, int] = {}
    else:
        rare = frozenset(column.rare)
        strange = {category: count for category, count in found.items() if category not in rare}
    return CategoryCounts(
        counts=counts,
        rare=sum(found.values()) - sum(strange.values()),
        unseen=sum(strange.values()),
        missing=series.null_count(),
        invalid=invalid,
        examples=tuple(sorted(strange)[:MOST_EXAMPLES]),
    )


def merged(one: WindowSummary, other: WindowSummary) -> WindowSummary:
    """Both windows as one. Merging is associative and commutative. Raises DifferentReference.

    A column that one of the two did not have counts as missing in all of that one's rows.
    """
    if one.reference != other.reference:
        raise DifferentReference(
            f"summaries against {one.reference[:19]} and {other.reference[:19]} do not merge", hint="summarise both against one reference"
        )
    names = [*one.columns, *(name for name in other.columns if name not in one.columns)]
    columns = {name: _together(one.columns.get(name), one.rows, other.columns.get(name), other.rows) for name in names}
    return WindowSummary(reference=one.reference, rows=one.rows + other.rows, columns=columns)


def _together(one: Counts | None, one_rows: int, other: Counts | None, other_rows: int) -> Counts:
    if one is None or other is None:
        known, absent = (other, one_rows) if one is None else (one, other_rows)
        assert known is not None  # the name came from one of the two
        return msgspec.structs.replace(known, missing=known.missing + absent)
    counts = tuple(map(add, one.counts, other.counts))
    if isinstance(one, NumberCounts) and isinstance(other, NumberCounts):
        return NumberCounts(
            counts=counts,
            below=one.below + other.below,
            above=one.above + other.above,
            missing=one.missing + other.missing,
            invalid=one.invalid + other.invalid,
            excess=one.excess + other.excess,
            low=min((low for low in (one.low, other.low) if low is not None), default=None),
            high=max((high for high in (one.high, other.high) if high is not None), default=None),
        )
    assert isinstance(one, CategoryCounts)  # one reference, hence one kind
    assert isinstance(other, CategoryCounts)
    return CategoryCounts(
        counts=counts,
        rare=one.rare + other.rare,
        unseen=one.unseen + other.unseen,
        missing=one.missing + other.missing,
        invalid=one.invalid + other.invalid,
        examples=tuple(sorted({*one.examples, *other.examples})[:MOST_EXAMPLES]),
    )
