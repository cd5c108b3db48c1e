"""Window aggregations at any instant, exactly. Pure; the online tiles of `tiles.py` give the same values, bit for bit.

At an instant t a window of length w holds the rows with availability <= t and event > t - w. So a row counts from its
availability on until its event lies w back, and never if it came later than that: a sum at t is the running sum over
beginnings up to t less that over ends up to t.
"""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

from modelyard.features.domain import FeatureView, Output, Window
from modelyard.features.domain.aggregations import SUMMED
from modelyard.features.exact import Bands, Ints, Span, addends, running, running_sum, sums_between
from modelyard.features.join import Entities, Grouped, Questions, coded, grouped
from modelyard.features.moments import Moments, deviations, moments, running_moments
from modelyard.features.ordered import Edges, Lanes, lanes_of, ordered_at
from modelyard.features.rows import CREATED, EVENT


class Running(Struct, frozen=True):
    """Running counts and exact sums of one column's values, beginning with 0, in one order. Sums and moments where they are needed.

    There are no counts where every row has a value that counts.
    """

    counts: Ints | None
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

    def running(self, order: Ints | None, keep: npt.NDArray[np.bool_] | None) -> Running:
        """The running sums in `order`; rows that `keep` denies add nothing."""
        counts = None if keep is None and self.there.all() else running_sum(self.there.astype(np.int64), order, keep)
        return Running(counts, running(self.numbers, order, keep), self.moments and running_moments(self.moments, order, keep))


class Tape(Struct, frozen=True):
    """A view's rows as beginnings (by entity and availability) and ends (by entity and event), with running sums.

    The order of ends is one of beginnings. `late` is how long after its event each row became available, in the order of
    beginnings. `lanes` answer what sums do not.
    """

    entities: Entities
    begun: Grouped
    ended: Grouped
    late: Ints
    sums: dict[tuple[str, Window], Sums]
    lanes: Lanes | None


def tape(rows: pl.DataFrame, view: FeatureView, outputs: tuple[Output, ...] | None = None) -> Tape:
    """The tape of `rows`, which are in the one shape of `rows.normalised`, in any order; soonest in that of their availability.

    It answers `outputs`, of whose columns alone there need be values: all of the view's where none are named.
    """
    outputs = view.outputs if outputs is None else outputs
    entities, codes = coded(rows.select(key.name for key in view.entity.keys))
    available = np.maximum(rows[EVENT].to_numpy(), rows[CREATED].to_numpy())
    begun = grouped(codes, available, stable=False)
    if not begun.in_order:
        names = dict.fromkeys([EVENT, CREATED, *(output.column for output in outputs)])
        rows = rows.select(pl.col(list(names)).gather(pl.Series(begun.order)))
        available = available[begun.order]
    event = rows[EVENT].to_numpy()
    # Rows come little after their events, so in the order of their beginnings they are nearly sorted by these.
    ended = grouped(begun.codes, event)
    late = available - event
    sums = _all_sums(rows, [output for output in outputs if output.function in SUMMED], late, ended.order)
    others = [output for output in outputs if output.function not in SUMMED]
    return Tape(entities, begun, ended, late, sums, lanes_of(rows, others, ended, late) if others else None)


def _all_sums(rows: pl.DataFrame, outputs: Sequence[Output], late: Ints, ends: Ints) -> dict[tuple[str, Window], Sums]:
    """What the outputs are sums of: of rows in the order of their beginnings, those so `late`, which end in the order `ends`."""
    latest, sums = int(late.max(initial=0)), {}
    for name in dict.fromkeys(output.column for output in outputs):
        mine = [output for output in outputs if output.column == name]
        added = _addends(rows[name], {output.function for output in mine})
        shared: Sums | None = None
        for window in dict.fromkeys(output.window for output in mine):
            if latest < window.length_us:
                shared = shared or Sums(added.running(None, None), added.running(ends, None))
                sums[name, window] = shared
            else:
                # A row that came after its event had left the window never counts: it must not end either.
                counts = late < window.length_us
                sums[name, window] = Sums(added.running(None, counts), added.running(ends, counts))
    return sums


def _addends(values: pl.Series, functions: Collection[str]) -> Addends:
    numbers = addends(values) if {"sum", "mean"} & set(functions) else ()
    return Addends(values.is_not_null().to_numpy(), numbers, moments(values) if "std" in functions else None)


def aggregates_at(made: Tape, outputs: tuple[Output, ...], asked: Questions) -> pl.DataFrame:
    """The outputs' values for each question, in their order.

    Null for an entity of which nothing had been seen by then. Of a window without values counts and sums are 0, all else is null.
    """
    found, places = aggregates_by_entity(made, outputs, asked)
    return found.select(pl.all().gather(places))


def aggregates_by_entity(made: Tape, outputs: tuple[Output, ...], asked: Questions) -> tuple[pl.DataFrame, pl.Series]:
    """The outputs' values in an order of their own, and for each question where its answer stands: null where there is none."""
    codes = made.entities.codes(asked.keys)
    # Neighbours ask about the same rows: what one has brought near, the next one finds there.
    order = grouped(codes + 1, asked.at, stable=False).order
    codes, asked = codes[order], asked.some(asked.keys, order)
    bound = made.lanes.bound if made.lanes else 0
    edges = Edges.of(made.ended, bound, [output.window for output in outputs], asked, codes)
    # No row begins before its event.
    begun = made.begun.until_at_most(made.begun.sought(codes, asked.seen_at), edges.until)
    seen = (codes >= 0) & (begun > np.where(codes >= 0, made.entities.offsets[codes], 0))
    columns: dict[str, pl.Series] = {}
    spans = _spans(made, Begun(codes, begun, seen), asked, edges)
    for (name, window), sums in made.sums.items():
        mine = [output for output in outputs if (output.column, output.window) == (name, window)]
        found = _summed(sums, {output.function for output in mine}, spans[window]) if mine else {}
        columns |= {output.name: found[output.function] for output in mine if output.function in SUMMED}
    others = tuple(output for output in outputs if output.function not in SUMMED)
    if others:
        assert made.lanes is not None  # the view's outputs have made it
        columns |= ordered_at(made.lanes, others, asked.seen_at, edges)
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    is_nothing = np.empty(len(order), bool)
    is_nothing[order] = ~seen
    return pl.DataFrame({output.name: columns[output.name] for output in outputs}), pl.Series(places).set(pl.Series(is_nothing), None)


def _summed(sums: Sums, functions: Collection[str], span: Span) -> dict[str, pl.Series]:
    """What the functions that are sums come to over one window, by their names."""
    begun, ended = sums.begun.counts, sums.ended.counts
    counts = span.rows() if begun is None or ended is None else span.between(begun, ended)
    found = {"count": pl.Series(counts)}
    if {"sum", "mean"} & set(functions):
        total = sums_between(sums.begun.sums, sums.ended.sums, span)
        found["sum"] = pl.Series(total)
        if "mean" in functions:
            found["mean"] = pl.Series(total / np.maximum(counts, 1)).set(pl.Series(counts == 0), None)
    if "std" in functions:
        assert sums.begun.moments is not None  # the view's outputs have made them
        assert sums.ended.moments is not None
        spread = deviations(sums.begun.moments, sums.ended.moments, counts, span)
        found["std"] = pl.Series(spread).set(pl.Series(counts < 2), None)
    return found


class Begun(Struct, frozen=True):
    """Of each question the entity, the end of its rows that were available, and whether there was any."""

    codes: Ints
    until: Ints
    seen: npt.NDArray[np.bool_]


def _spans(made: Tape, begun: Begun, asked: Questions, edges: Edges) -> dict[Window, Span]:
    """What has begun by what was seen, less what has ended: the rows with an event up to a window's edge."""
    if asked.seen_at is asked.at:
        # Who sees everything up to its instant is done.
        known: dict[int, Ints] = {}
        return {window: Span(begun.until, since, known=known) for window, since in edges.begins.items()}
    return {window: _seen_span(made, begun, asked, (window, since)) for window, since in edges.begins.items()}


def _seen_span(made: Tape, begun: Begun, asked: Questions, begins: tuple[Window, Ints]) -> Span:
    window, ended = begins
    reach = asked.seen_at - (asked.at - window.length_us)
    is_open = begun.seen & (reach > 0)
    span = Span(np.where(is_open, begun.until, 0), np.where(is_open, ended, 0))
    # Where less was seen, a row may have ended that had not even begun.
    latest = int(made.late.max(initial=0))
    lag = is_open & (asked.seen_at < asked.at) & (reach < latest)
    if not lag.any():
        return span
    questions = np.flatnonzero(lag)
    first = made.ended.until(made.ended.sought(begun.codes[questions], asked.seen_at[questions] - latest))
    sizes = np.maximum(ended[questions] - first, 0)
    pairs = np.repeat(questions, sizes)
    rows = np.repeat(first, sizes) + np.arange(len(pairs)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    unseen = made.begun.times[made.ended.order[rows]] > asked.seen_at[pairs]
    return Span(span.until, span.since, (pairs[unseen], rows[unseen]))
