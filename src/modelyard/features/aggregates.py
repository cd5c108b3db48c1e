"""Window aggregations at any instant, exactly. Pure; the online tiles of `tiles.py` give the same values, bit for bit.

At an instant t a window of length w holds the rows with availability <= t and event > t - w. So a row counts from its
availability on until its event lies w back, and never if it came later than that: a sum at t is the running sum over
beginnings up to t less that over ends up to t.
"""

import numpy as np
import polars as pl
from msgspec import Struct

from modelyard.features.domain import FeatureView, Output, Window
from modelyard.features.exact import Bands, Ints, addends, running, sums_between
from modelyard.features.join import Entities, coded, grouped, visible_until
from modelyard.features.rows import CREATED, EVENT


class Running(Struct, frozen=True):
    """Running counts and exact sums of one column's values, beginning with 0, in one order."""

    counts: Ints
    sums: Bands


class Span(Struct, frozen=True):
    """One column over one window: what has begun and what has ended, in the orders of beginnings and of events."""

    begun: Running
    ended: Running


class Tape(Struct, frozen=True):
    """A view's rows as beginnings (by entity and availability) and ends (by entity and event), with running sums."""

    entities: Entities
    begins: Ints
    events: Ints
    spans: dict[tuple[str, Window], Span]


def tape(rows: pl.DataFrame, view: FeatureView) -> Tape:
    """The tape of `rows`, which are in the one shape of `rows.normalised`, in any order."""
    entities, codes = coded(rows.select(key.name for key in view.entity.keys))
    event = rows[EVENT].to_numpy()
    late = np.maximum(rows[CREATED].to_numpy() - event, 0)
    by_event = grouped(codes, event)
    # Rows come little after their events, so in the order of these they are nearly sorted by their beginnings.
    begun = grouped(by_event.codes, (event + late)[by_event.order])
    orders = (by_event.order[begun.order], by_event.order)
    spans = {}
    for item in view.aggregate:
        numbers, there = addends(rows[item.column]), rows[item.column].is_not_null().to_numpy()
        shared: Span | None = None
        for window in view.windows:
            # A row that came after its event had left the window never counts: it must not end either.
            counts = late < window.length_us
            if counts.all():
                shared = shared or _span(numbers, there, None, orders)
                spans[item.column, window] = shared
            else:
                spans[item.column, window] = _span(numbers, there, counts, orders)
    return Tape(entities, begun.times, by_event.times, spans)


def _span(numbers: Bands, there: np.ndarray, keep: np.ndarray | None, orders: tuple[Ints, Ints]) -> Span:
    counted = there if keep is None else there & keep
    begun, ended = (
        Running(np.concatenate([[0], np.cumsum(counted[order], dtype=np.int64)]), running(numbers, order, keep)) for order in orders
    )
    return Span(begun, ended)


def aggregates_at(made: Tape, outputs: tuple[Output, ...], keys: pl.DataFrame, at: Ints) -> pl.DataFrame:
    """The outputs' values at each instant for each row of `keys`, in their order.

    Null for an entity of which nothing had been seen by then; otherwise a count of nothing is 0 and a mean of nothing null.
    """
    codes = made.entities.codes(keys)
    begun = visible_until(made.entities, made.begins, codes, at)
    seen = (codes >= 0) & (begun > np.where(codes >= 0, made.entities.offsets[codes], 0))
    ended = {window: visible_until(made.entities, made.events, codes, at - window.length_us) for window in {one.window for one in outputs}}
    columns = []
    for output in outputs:
        span = made.spans[output.column, output.window]
        until, since = np.where(seen, begun, 0), np.where(seen, ended[output.window], 0)
        counts = span.begun.counts[until] - span.ended.counts[since]
        if output.function == "count":
            columns.append(_masked(output.name, counts, seen))
        else:
            sums = sums_between(span.begun.sums, until, span.ended.sums, since)
            columns.append(_masked(output.name, sums / np.maximum(counts, 1), seen & (counts > 0)))
    return pl.DataFrame(columns)


def _masked(name: str, values: np.ndarray, keep: np.ndarray) -> pl.Series:
    frame = pl.DataFrame({"v": values, "k": keep}).select(pl.when("k").then("v").alias(name))
    return frame.to_series()
