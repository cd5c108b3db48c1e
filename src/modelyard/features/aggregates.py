"""Window aggregations at any instant, exactly. Pure; the online tiles of `tiles.py` give the same values, bit for bit.

At an instant t a window of length w holds the rows with availability <= t and event > t - w. So a row counts from its
availability on until its event lies w back, and never if it came later than that: a sum at t is the running sum over
beginnings up to t less that over ends up to t.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

from modelyard.features.domain import FeatureView, Output, Window
from modelyard.features.domain.aggregations import SUMMED
from modelyard.features.exact import Bands, Ints, Span, addends, between, running, sums_between
from modelyard.features.join import Entities, Questions, coded, grouped, visible_until
from modelyard.features.moments import Moments, deviations, moments, running_moments
from modelyard.features.ordered import Lanes, lanes_of, ordered_at
from modelyard.features.rows import CREATED, EVENT


class Running(Struct, frozen=True):
    """Running counts and exact sums of one column's values, beginning with 0, in one order. Sums and moments where they are needed."""

    counts: Ints
    sums: Bands
    moments: Moments | None


class Sums(Struct, frozen=True):
    """One column over one window: what has begun and what has ended, in the orders of beginnings and of events."""

    begun: Running
    ended: Running


class Addends(Struct, frozen=True):
    """One column's values as they are added up: which there are, and them and their squares where they are needed."""

    there: npt.NDArray[np.bool_]
    numbers: Bands
    moments: Moments | None

    def running(self, order: Ints, keep: npt.NDArray[np.bool_] | None) -> Running:
        """The running sums in `order`; rows that `keep` denies add nothing."""
        counted = self.there if keep is None else self.there & keep
        counts = np.concatenate([[0], np.cumsum(counted[order], dtype=np.int64)])
        return Running(counts, running(self.numbers, order, keep), self.moments and running_moments(self.moments, order, keep))


class Tape(Struct, frozen=True):
    """A view's rows as beginnings (by entity and availability) and ends (by entity and event), with running sums.

    `late` is how long after its event each row became available, in the order of events. `lanes` answer what sums do not.
    """

    entities: Entities
    begins: Ints
    events: Ints
    late: Ints
    sums: dict[tuple[str, Window], Sums]
    lanes: Lanes | None


def tape(rows: pl.DataFrame, view: FeatureView) -> Tape:
    """The tape of `rows`, which are in the one shape of `rows.normalised`, in any order."""
    entities, codes = coded(rows.select(key.name for key in view.entity.keys))
    event = rows[EVENT].to_numpy()
    late = np.maximum(rows[CREATED].to_numpy() - event, 0)
    by_event = grouped(codes, event)
    # Rows come little after their events, so in the order of these they are nearly sorted by their beginnings.
    begun = grouped(by_event.codes, (event + late)[by_event.order])
    orders = (by_event.order[begun.order], by_event.order)
    sums = {}
    for item in view.aggregate:
        if not SUMMED & set(item.functions):
            continue
        added = _addends(rows[item.name], item.functions)
        shared: Sums | None = None
        for window in view.windows:
            # A row that came after its event had left the window never counts: it must not end either.
            counts = late < window.length_us
            if counts.all():
                shared = shared or Sums(*(added.running(order, None) for order in orders))
                sums[item.name, window] = shared
            else:
                sums[item.name, window] = Sums(*(added.running(order, counts) for order in orders))
    return Tape(entities, begun.times, by_event.times, late[by_event.order], sums, lanes_of(rows, view, entities, by_event))


def _addends(values: pl.Series, functions: Sequence[str]) -> Addends:
    numbers = addends(values) if {"sum", "mean"} & set(functions) else ()
    return Addends(values.is_not_null().to_numpy(), numbers, moments(values) if "std" in functions else None)


def aggregates_at(made: Tape, outputs: tuple[Output, ...], asked: Questions) -> pl.DataFrame:
    """The outputs' values for each question, in their order.

    Null for an entity of which nothing had been seen by then. Of a window without values counts and sums are 0, all else is null.
    """
    codes = made.entities.codes(asked.keys)
    # Neighbours ask about the same rows: what one has brought near, the next one finds there.
    order = np.argsort(codes, kind="stable")
    codes, asked = codes[order], asked.some(asked.keys, order)
    begun = visible_until(made.entities, made.begins, codes, asked.seen_at)
    seen = (codes >= 0) & (begun > np.where(codes >= 0, made.entities.offsets[codes], 0))
    edges = {
        window: visible_until(made.entities, made.events, codes, asked.at - window.length_us) for window in {one.window for one in outputs}
    }
    summed = [output for output in outputs if output.function in SUMMED]
    spans = {window: _span(made, (codes, begun, seen), asked, (window, edges[window])) for window in {one.window for one in summed}}
    columns = {output.name: _summed(made.sums[output.column, output.window], output.function, spans[output.window]) for output in summed}
    others = tuple(output for output in outputs if output.function not in SUMMED)
    if others:
        assert made.lanes is not None  # the view's outputs have made it
        columns |= ordered_at(made.lanes, others, asked, codes, edges)
    answers = pl.DataFrame([columns[output.name].alias(output.name).set(pl.Series(~seen), None) for output in outputs])
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return answers.select(pl.all().gather(pl.Series(back)))


def _summed(sums: Sums, function: str, span: Span) -> pl.Series:
    counts = between(sums.begun.counts, sums.ended.counts, span)
    if function == "count":
        return pl.Series(counts)
    if function == "std":
        assert sums.begun.moments is not None and sums.ended.moments is not None
        found = deviations(sums.begun.moments, sums.ended.moments, counts, span)
        return pl.Series(found).set(pl.Series(counts < 2), None)
    total = sums_between(sums.begun.sums, sums.ended.sums, span)
    if function == "sum":
        return pl.Series(total)
    return pl.Series(total / np.maximum(counts, 1)).set(pl.Series(counts == 0), None)


def _span(made: Tape, found: tuple[Ints, Ints, npt.NDArray[np.bool_]], asked: Questions, begins: tuple[Window, Ints]) -> Span:
    """What has begun by what was seen, less what has ended: the rows with an event up to the window's edge."""
    codes, begun, seen = found
    window, ended = begins
    reach = asked.seen_at - (asked.at - window.length_us)
    is_open = seen & (reach > 0)
    span = Span(np.where(is_open, begun, 0), np.where(is_open, ended, 0))
    # Who sees everything up to its instant is done. Where less was seen, a row may have ended that had not even begun.
    lag = is_open & (asked.seen_at < asked.at) & (reach < int(made.late.max(initial=0)))
    if not lag.any():
        return span
    questions = np.flatnonzero(lag)
    first = visible_until(made.entities, made.events, codes[questions], asked.seen_at[questions] - int(made.late.max()))
    sizes = np.maximum(ended[questions] - first, 0)
    pairs = np.repeat(questions, sizes)
    rows = np.repeat(first, sizes) + np.arange(len(pairs)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    unseen = made.events[rows] + made.late[rows] > asked.seen_at[pairs]
    return Span(span.until, span.since, (pairs[unseen], rows[unseen]))
