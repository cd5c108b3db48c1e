"""Aggregates that no running sum gives: least, greatest, first, last, percentiles, distinct values. Pure.

In the order of (entity, event) a window's rows lie side by side. Up to some lateness before an instant all of them are
available but for those that came later than that; these few, and the rows since, are looked at one by one.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

from modelyard.features.domain import Output, Window, percentile_of
from modelyard.features.exact import Ints
from modelyard.features.join import Grouped, Questions, settled
from modelyard.features.ranks import Extras, count_below, smallest
from modelyard.features.rows import CREATED, EVENT

PAIRS_AT_ONCE = 4_000_000
"""Rows that are looked at one by one, together: with the questions, what bounds the memory of a step."""
QUESTIONS_AT_ONCE = 250_000
SHARES = (0.5, 0.9, 0.99, 0.999)
SAMPLE = 2**16
"""How many rows' lateness is looked at: what is taken from it changes no answer."""

Bools = npt.NDArray[np.bool_]


class Lane(Struct, frozen=True):
    """One aggregate's values by (entity, event, creation, value), and which count in some window: no nulls, none that came after it."""

    values: pl.Series
    there: Bools


class Lanes(Struct, frozen=True):
    """Rows by (entity, event): which came late, and the values.

    Late is what came more than `bound` after its event, and soon enough to count; `late` are the places of those rows. `order` are the
    rows as they were given, where they had become available at `available`.
    """

    order: Ints
    available: Ints
    bound: int
    late: Ints
    lanes: dict[str, Lane]


def lanes_of(rows: pl.DataFrame, outputs: Sequence[Output], by_event: Grouped, late: Ints) -> Lanes:
    """The lanes that `outputs` are answered by. `by_event` are the rows by (entity, event), which came so `late`."""
    created = rows[CREATED].to_numpy()
    of_ends = {output.column for output in outputs if output.function in {"first", "last"}}
    # All orders have rows of one event by their creation where one has, and so the same availability in each place.
    in_turn = settled(by_event, created, lambda places: pl.DataFrame({"place": places})) if of_ends else by_event.order
    lanes = {}
    for name in dict.fromkeys(output.column for output in outputs):
        value, order = rows[name], in_turn
        if name in of_ends:
            order = settled(by_event, created, lambda places, value=value: value.gather(pl.Series(places)).to_frame())  # type: ignore[misc]
        found = value.gather(pl.Series(order))
        lanes[name] = Lane(found, found.is_not_null().to_numpy())
    longest = max(output.window.length_us for output in outputs)
    # What came after its event had left every window counts in none, and need not be looked at.
    counts = late < longest
    bound, counting = _bound(late[counts], longest), counts[in_turn]
    lanes = {name: Lane(lane.values, lane.there & counting) for name, lane in lanes.items()}
    places = np.flatnonzero(counting & (late > bound)[in_turn])
    return Lanes(in_turn, np.maximum(rows[EVENT].to_numpy(), created), bound, places, lanes)


def _bound(lateness: Ints, longest: int) -> int:
    """How late a row may be and be counted on: what has the fewest rows looked at one by one, the longest window being `longest`."""
    if not len(lateness):
        return 0
    some = lateness[:: len(lateness) // SAMPLE + 1]
    found = [*(int(one) for one in np.quantile(some, SHARES, method="higher")), int(lateness.max())]
    return min(zip(found, [*SHARES, 1.0], strict=True), key=lambda pair: pair[0] + (1 - pair[1]) * longest)[0]


class Reach(Struct, frozen=True):
    """For each question the rows of a window: all in `[begin, end)` that came in time, and single ones as (question, place)."""

    begin: Ints
    end: Ints
    questions: Ints
    places: Ints


class Found(Struct, frozen=True):
    """A window's values for each question: those of a column `[begin, end)`, and single ones as (question, place).

    The column has the values at `places` of a lane, or all of them in their places.
    """

    places: Ints | None
    begin: Ints
    end: Ints
    questions: Ints
    singles: Ints

    @property
    def counts(self) -> Ints:
        """How many values each question has."""
        counts = self.end - self.begin
        return counts + np.bincount(self.questions, minlength=len(counts)) if len(self.questions) else counts

    def column(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The column of a lane's values."""
        return values if self.places is None else values[self.places]


class Edges(Struct, frozen=True):
    """For each question where windows begin, up to where rows in time are all available, and up to where any may be."""

    begins: dict[Window, Ints]
    end: Ints
    until: Ints

    @classmethod
    def of(cls, rows: Grouped, bound: int, windows: Iterable[Window], asked: Questions, codes: Ints) -> "Edges":
        """The edges of questions in the rows by (entity, event), in time being those that came no more than `bound` later."""
        until = rows.until(rows.sought(codes, asked.seen_at))
        begins, edge = {}, until if asked.seen_at is asked.at else rows.until(rows.sought(codes, asked.at))
        for window in sorted(set(windows), key=lambda window: window.length_us):
            edge = rows.until_at_most(rows.sought(codes, asked.at - window.length_us), edge)
            begins[window] = edge
        return cls(begins, rows.until_at_most(rows.sought(codes, asked.seen_at - bound), until), until)

    def some(self, part: slice) -> "Edges":
        """Those of some questions."""
        return Edges({window: begin[part] for window, begin in self.begins.items()}, self.end[part], self.until[part])

    @property
    def widest(self) -> tuple[Ints, Ints, Ints]:
        """Where the longest window begins, and the others, none of which lies before it."""
        begin = self.begins[max(self.begins, key=lambda window: window.length_us)]
        until = np.maximum(self.until, begin)
        return begin, np.clip(self.end, begin, until), until


def ordered_at(made: Lanes, outputs: tuple[Output, ...], seen_at: Ints, edges: Edges) -> dict[str, pl.Series]:
    """The outputs' values for each question by their names, null where a window holds no value (0 distinct ones).

    Questions see what was available up to `seen_at`, and their windows have the edges `edges`.
    """
    parts: dict[str, list[pl.Series]] = {output.name: [] for output in outputs}
    together: dict[tuple[str, str], list[Output]] = {}
    for output in outputs:
        together.setdefault((output.column, output.function), []).append(output)
    windows = {output.window for output in outputs}
    edges = Edges({window: begin for window, begin in edges.begins.items() if window in windows}, edges.end, edges.until)
    for some in _slices(made, edges):
        reaches = dict(_reaches(made, edges.some(some), seen_at[some]))
        for (name, function), mine in together.items():
            lane = made.lanes[name]
            # All windows at once: what is done for every row is done once.
            values = _values(function, lane, _found(lane, made.late, [reaches[one.window] for one in mine]))
            size = some.stop - some.start
            for index, output in enumerate(mine):
                parts[output.name].append(values[index * size : (index + 1) * size])
    return {name: pl.concat(series) for name, series in parts.items()}


def _found(lane: Lane, late: Ints, reaches: Sequence[Reach]) -> Found:
    """The values that there are in the windows' rows, the questions of one window behind those of another."""
    begin, end = np.concatenate([one.begin for one in reaches]), np.concatenate([one.end for one in reaches])
    places = None
    if len(late) or not lane.there.all():
        in_time = lane.there.copy()
        in_time[late] = False
        kept = np.concatenate([[0], np.cumsum(in_time)])
        places, begin, end = np.flatnonzero(in_time), kept[begin], kept[end]
    singles = [lane.there[one.places] for one in reaches]
    questions = [one.questions[single] + index * len(one.begin) for index, (one, single) in enumerate(zip(reaches, singles, strict=True))]
    more = [one.places[single] for one, single in zip(reaches, singles, strict=True)]
    return Found(places, begin, end, np.concatenate(questions), np.concatenate(more))


def _slices(made: Lanes, edges: Edges) -> Iterator[slice]:
    """The questions in parts, none with many more single rows than are looked at together."""
    begin, end, until = edges.widest
    single = np.searchsorted(made.late, end) - np.searchsorted(made.late, begin) + until - end
    sizes = np.concatenate([[0], np.cumsum(single)])
    first, count = 0, len(begin)
    while first < count:
        last = max(first + 1, int(np.searchsorted(sizes, sizes[first] + PAIRS_AT_ONCE, side="right")) - 1)
        last = min(last, first + QUESTIONS_AT_ONCE)
        yield slice(first, last)
        first = last
    if not count:
        yield slice(0, 0)


def _reaches(made: Lanes, edges: Edges, seen_at: Ints) -> Iterator[tuple[Window, Reach]]:
    begin, end, until = edges.widest
    late_questions, late_places = _expanded(np.searchsorted(made.late, begin), np.searchsorted(made.late, end))
    questions, places = _expanded(end, until)
    questions, places = np.append(late_questions, questions), np.append(made.late[late_places], places)
    is_there = made.available[made.order[places]] <= seen_at[questions]
    questions, places = questions[is_there], places[is_there]
    for window, edge in edges.begins.items():
        is_inside = places >= edge[questions]
        yield window, Reach(np.minimum(edge, end), end, questions[is_inside], places[is_inside])


def _expanded(begin: Ints, end: Ints) -> tuple[Ints, Ints]:
    """All (question, place) with a place in the question's `[begin, end)`."""
    sizes = end - begin
    questions = np.repeat(np.arange(len(sizes)), sizes)
    return questions, np.arange(len(questions)) + np.repeat(begin - (np.cumsum(sizes) - sizes), sizes)


def _values(function: str, lane: Lane, found: Found) -> pl.Series:
    counts = found.counts
    match function:
        case "distinct":
            return pl.Series(_distinct(lane, found))
        case "first" | "last":
            places = _outermost(found, is_last=function == "last")
            return lane.values.gather(pl.Series(np.where(counts > 0, places, 0)).set(pl.Series(counts == 0), None))
        case "min" | "max":
            values = _extreme(lane, found, is_max=function == "max")
        case _:
            share = percentile_of(function)
            assert share is not None  # all others have running sums
            values = _percentiles(lane, found, counts, share)
    return pl.Series(values).set(pl.Series(counts == 0), None)


def _outermost(found: Found, *, is_last: bool) -> Ints:
    """The place of each question's last or first value; any where there is none."""
    is_range = found.end > found.begin
    edge = found.end - 1 if is_last else found.begin
    reduce, nothing = (np.maximum, -1) if is_last else (np.minimum, 2**62)
    places = np.full(len(edge), nothing)
    places[is_range] = edge[is_range] if found.places is None else found.places[edge[is_range]]
    reduce.at(places, found.questions, found.singles)
    return places


def _extreme(lane: Lane, found: Found, *, is_max: bool) -> Ints | npt.NDArray[np.float64]:
    """The least or greatest value of each question, by ranges of powers of two; any where there is none."""
    column = lane.values.fill_null(0).to_numpy()
    reduce = np.maximum if is_max else np.minimum
    is_float = column.dtype == np.float64
    nothing = (-np.inf if is_max else np.inf) if is_float else (-(2**63) if is_max else 2**63 - 1)
    result = np.full(len(found.begin), nothing, column.dtype)
    sizes = found.end - found.begin
    powers = np.frexp(sizes.astype(np.float64))[1].astype(np.int8)  # one more than the power, 0 of nothing
    by_power = np.argsort(powers, kind="stable")
    ends = np.cumsum(np.bincount(powers))
    level = found.column(column)
    for power in range(len(ends) - 1):
        if power:
            half = 1 << (power - 1)
            level = reduce(level[:-half], level[half:])
        mine = by_power[ends[power] : ends[power + 1]]
        result[mine] = reduce(level[found.begin[mine]], level[found.end[mine] - (1 << power)])
    reduce.at(result, found.questions, column[found.singles])
    return result


def _percentiles(lane: Lane, found: Found, counts: Ints, share: float) -> npt.NDArray[np.float64]:
    """Each question's percentile, between the two values nearest to it; any where there is none."""
    column = lane.values.fill_null(0).to_numpy()
    known, ranks = np.unique(column, return_inverse=True)
    extras = None
    if len(found.questions):
        by_question = np.lexsort((ranks[found.singles], found.questions))
        ends = np.cumsum(np.bincount(found.questions, minlength=len(counts)))
        extras = Extras(ranks[found.singles][by_question], np.append(0, ends[:-1]), ends)
    place = np.maximum(counts - 1, 0) * share
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(counts - 1, 0))
    if not len(known):
        return np.zeros(len(counts))
    # Both neighbours in one descent, and the upper one only where the percentile lies between them.
    split = np.flatnonzero(place > below)
    picked = np.append(np.arange(len(place)), split)
    if extras:
        extras = Extras(extras.ranks, extras.begin[picked], extras.end[picked])
    wanted = np.append(below, above[split])
    ranked = smallest(found.column(ranks), found.begin[picked], found.end[picked], wanted, extras)
    values = known[np.minimum(ranked, len(known) - 1)].astype(np.float64)
    low = values[: len(place)]
    high = low.copy()
    high[split] = values[len(place) :]
    return between(low, high, place - below)


def between(low: npt.NDArray[np.float64], high: npt.NDArray[np.float64], part: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The numbers that lie so large a part of the way from `low` to `high`. Halves are taken, whose difference always is a number."""
    half = part * (high / 2 - low / 2)
    return low + half + half


def _distinct(lane: Lane, found: Found) -> Ints:
    """How many values each question has, equal ones counted once."""
    codes = lane.values.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
    column = found.column(codes)
    count = len(column)
    by_code = np.argsort(column, kind="stable")
    before = np.zeros(count, np.int64)  # one more than the place of the equal value before; 0 where there is none
    if count:
        is_same = column[by_code[1:]] == column[by_code[:-1]]
        before[by_code[1:]] = np.where(is_same, by_code[:-1] + 1, 0)
    # A value counts where the equal one before it lies outside the range.
    counts = count_below(before, found.begin, found.end, found.begin + 1)
    if not len(found.questions):
        return counts
    singles = np.unique(np.stack([found.questions, codes[found.singles]]), axis=1)
    keys = column[by_code] * (count + 1) + by_code
    wanted = singles[1] * (count + 1)
    last = np.searchsorted(keys, wanted + found.end[singles[0]]) - 1
    is_known = (last >= 0) & (keys[np.maximum(last, 0)] >= wanted + found.begin[singles[0]]) if count else np.zeros(len(wanted), bool)
    return counts + np.bincount(singles[0][~is_known], minlength=len(counts))
