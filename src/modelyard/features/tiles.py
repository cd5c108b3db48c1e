"""An entity's aggregation state in the online store: what its rows come to by tile of time, and the rows of each tile apart.

A window's value at an instant is what the tiles behind its edge hold, put together with the rows behind it of the tile that
it lies in: two small reads, whatever the window's length. Sums are exact, so the value is the offline one. A tile's part of
the state always follows from its rows, so whatever was cut short is made good by the next call. Owns the two records; the
keys that they stand under are `layout.py`'s.
"""

import itertools
from bisect import bisect_left, insort
from collections.abc import Sequence
from operator import sub
from typing import Any

import msgspec

from modelyard.core.clock import SECOND
from modelyard.features.domain import Aggregate, DType, percentile_of
from modelyard.features.exact import whole_and_exponent
from modelyard.features.records import Record, floats, lists, record, texts, whole, wide
from modelyard.features.sketches import MOST_VALUES, buckets_of, least_hashes

TILES_US = tuple(s * SECOND for s in (1, 5, 15, 60, 300, 900, 3600, 21_600, 86_400, 604_800, 2_592_000, 31_536_000))
MOST_TILES = 192
HEAD = 0
"""The section of both records that comes first: an entity's newest event and latest availability; a tile's latest availability."""
NUMBERS = 1
"""The section with the tiles' numbers."""

LISTS = frozenset({"ranked", "buckets", "distinct"})
LONG_AGO = -(2**63)
NOTHING: dict[DType, tuple[Any, Any, Any]] = {
    "int64": (2**63 - 1, -(2**63), 0),
    "float64": (float("inf"), float("-inf"), 0.0),
    "string": ("", "", ""),
}
"""What a tile without values has for its least and greatest, and for its first and last."""


def tile_us(longest_us: int) -> int:
    """The length of a view's tiles, its longest window being `longest_us`: no more than 192 of them fill it.

    >>> tile_us(7 * 86_400_000_000) // 1_000_000
    3600
    """
    return next((size for size in TILES_US if longest_us <= size * MOST_TILES), TILES_US[-1])


class Kept(msgspec.Struct, frozen=True):
    """What is kept of one aggregate, by what is asked of it: the sections of a tile's rows and of an entity's tiles, by name."""

    dtype: DType
    rows: dict[str, int]
    tiles: dict[str, int]

    def section(self, values: Sequence[Any]) -> bytes:
        """Values of the aggregate's column as a section."""
        if self.dtype == "string":
            return texts(values)
        return whole(values) if self.dtype == "int64" else floats(values)

    def read(self, content: Record, section: int, count: int) -> Any:
        """The values in a section, by place."""
        if self.dtype == "string":
            return content.texts(section, count)
        return content.whole(section) if self.dtype == "int64" else content.floats(section)


def kept_of(aggregates: Sequence[Aggregate]) -> tuple[Kept, ...]:
    """What is kept of each aggregate."""
    rows, tiles = itertools.count(HEAD + 1), itertools.count(NUMBERS + 1)
    made = []
    for item in aggregates:
        asked = set(item.functions)
        has_sums, is_ranked = bool(asked & {"sum", "mean", "std"}), any(percentile_of(one) is not None for one in asked)
        of_rows = {"events": True, "created": bool(asked & {"first", "last"}), "values": True, "sums": has_sums, "squares": "std" in asked}
        of_tiles = {"counts": True, "sums": has_sums, "squares": "std" in asked, "ranked": is_ranked, "buckets": is_ranked}
        of_tiles |= {name: name in asked for name in ("min", "max", "first", "last", "distinct")}
        made.append(
            Kept(
                item.dtype or "float64",
                {name: next(rows) for name, is_kept in of_rows.items() if is_kept},
                {name: next(tiles) for name, is_kept in of_tiles.items() if is_kept},
            )
        )
    return tuple(made)


Happened = tuple[int, int, Any]
"""A value with its event and creation time."""


class Rows(msgspec.Struct):
    """A tile's rows while they are advanced: the latest availability of them, and each aggregate's values in order.

    `wholes` are the values as whole numbers and their unit, where they are summed up and have been brought to that form.
    """

    latest_available_at: int
    values: list[list[Happened]]
    wholes: dict[int, tuple[list[int], int]] = {}


class Tiles(msgspec.Struct):
    """An entity's tiles while they are advanced. Columns by name hold a value a tile; sums are whole numbers of `2**exponents[i]`."""

    newest_event_at: int
    latest_available_at: int
    numbers: list[int]
    columns: list[dict[str, list[Any]]]
    exponents: list[int]


def no_tiles(kept: Sequence[Kept], before: int) -> Tiles:
    """The tiles of an entity that nothing is known of yet; `before` lies before every instant."""
    return Tiles(before, before, [], [{name: [] for name in one.tiles} for one in kept], [0] * len(kept))


def packed_rows(rows: Rows, kept: Sequence[Kept]) -> bytes:
    """A tile's rows as a record."""
    sections = [whole((rows.latest_available_at,))]
    for index, (one, happened) in enumerate(zip(kept, rows.values, strict=True)):
        events, created, values = zip(*happened, strict=True) if happened else ((), (), ())
        sections.append(whole(events))
        if "created" in one.rows:
            sections.append(whole(created))
        sections.append(one.section(values))
        if "sums" in one.rows:
            wholes, exponent = rows.wholes.get(index) or _wholes(values)
            sections.append(wide(list(itertools.accumulate(wholes)), exponent))
            if "squares" in one.rows:
                sections.append(wide(list(itertools.accumulate(number * number for number in wholes)), exponent))
    return record(sections)


def _wholes(values: Sequence[int | float]) -> tuple[list[int], int]:
    pairs = [whole_and_exponent(value) for value in values]
    exponent = min((one for _, one in pairs), default=0)
    return [number << (one - exponent) for number, one in pairs], exponent


def unpacked_rows(content: bytes, kept: Sequence[Kept]) -> Rows:
    """The rows in a record."""
    found = Record(content)
    values = []
    for one in kept:
        events = found.whole(one.rows["events"]).tolist()
        created = found.whole(one.rows["created"]) if "created" in one.rows else itertools.repeat(0, len(events))
        values.append(list(zip(events, created, one.read(found, one.rows["values"], len(events)).tolist(), strict=True)))
    return Rows(int(found.whole(HEAD)[0]), values)


def packed_tiles(tiles: Tiles, kept: Sequence[Kept]) -> bytes:
    """An entity's tiles as a record, their counts and sums running."""
    sections = [whole((tiles.newest_event_at, tiles.latest_available_at)), whole(tiles.numbers)]
    for one, column, exponent in zip(kept, tiles.columns, tiles.exponents, strict=True):
        for name in one.tiles:
            values = column[name]
            if name == "counts":
                sections.append(whole(itertools.accumulate(values)))
            elif name in ("sums", "squares"):
                sections.append(wide(list(itertools.accumulate(values)), exponent))
            elif name in LISTS:
                sections.append(lists(values))
            else:
                sections.append(one.section(values))
    return record(sections)


def unpacked_tiles(content: bytes, kept: Sequence[Kept]) -> Tiles:
    """The tiles in a record."""
    found = Record(content)
    newest, latest = found.whole(HEAD)
    numbers = found.whole(NUMBERS).tolist()
    columns: list[dict[str, list[Any]]] = []
    exponents = []
    for one in kept:
        column: dict[str, list[Any]] = {}
        exponent = 0
        for name, section in one.tiles.items():
            if name == "counts":
                column[name] = _steps(found.whole(section).tolist())
            elif name in ("sums", "squares"):
                running = found.wide(section)
                column[name], exponent = _steps(running.tolist()), running.exponent
            elif name in LISTS:
                column[name] = found.parts(section, len(numbers))
            else:
                column[name] = one.read(found, section, len(numbers)).tolist()
        columns.append(column)
        exponents.append(exponent)
    return Tiles(newest, latest, numbers, columns, exponents)


def _steps(running: list[int]) -> list[int]:
    return [*running[:1], *map(sub, running[1:], running)]


class NewRow(msgspec.Struct, frozen=True):
    """A row that has become available, with its values in the order of the aggregates."""

    event_at: int
    created_at: int
    available_at: int
    values: tuple[Any, ...]


class State(msgspec.Struct):
    """An entity's aggregation state while it is advanced: its tiles, and the rows of those tiles that are touched."""

    tiles: Tiles
    rows: dict[int, Rows]


def advance(state: State, new: Sequence[NewRow], kept: Sequence[Kept], tile: int, longest_us: int) -> list[int]:
    """Takes `new`, all that has become available since the last time, into the state.

    Answers the tiles that no window reaches any more; their rows are to be deleted. A tile's rows pass over what they hold
    already, and the tiles follow from them, so that a call that was cut short between two writes is made good by the next.
    `state.rows` holds the rows of all touched tiles that exist.
    """
    tiles = state.tiles
    tiles.latest_available_at = max(tiles.latest_available_at, *(row.available_at for row in new))
    tiles.newest_event_at = max(tiles.newest_event_at, *(row.event_at for row in new))
    first = (tiles.latest_available_at - longest_us) // tile
    for number, group in itertools.groupby(sorted(new, key=lambda row: row.event_at), lambda row: row.event_at // tile):
        if number >= first:
            rows = state.rows.setdefault(number, Rows(LONG_AGO, [[] for _ in kept]))
            _take(rows, list(group), kept)
            _put(tiles, number, rows, kept)
    gone = tiles.numbers[: bisect_left(tiles.numbers, first)]
    if gone:
        del tiles.numbers[: len(gone)]
        for column in tiles.columns:
            for values in column.values():
                del values[: len(gone)]
    return gone


def _take(rows: Rows, new: Sequence[NewRow], kept: Sequence[Kept]) -> None:
    held = rows.latest_available_at
    for row in new:
        if row.available_at > held:
            rows.latest_available_at = max(rows.latest_available_at, row.available_at)
            for one, happened, value in zip(kept, rows.values, row.values, strict=True):
                if value is not None:
                    insort(happened, (row.event_at, row.created_at if "created" in one.rows else 0, value))


def _put(tiles: Tiles, number: int, rows: Rows, kept: Sequence[Kept]) -> None:
    """Puts what a tile's rows come to into its place."""
    place = bisect_left(tiles.numbers, number)
    is_new = place == len(tiles.numbers) or tiles.numbers[place] != number
    if is_new:
        tiles.numbers.insert(place, number)
    for index, (one, column, happened) in enumerate(zip(kept, tiles.columns, rows.values, strict=True)):
        values = [value for _, _, value in happened]
        found = _part(values, one)
        if "sums" in one.tiles:
            wholes, exponent = rows.wholes[index] = _wholes(values)
            found |= {"sums": sum(wholes), "squares": sum(number * number for number in wholes)}
            _level(tiles, index, found, exponent)
        for name, items in column.items():
            if is_new:
                items.insert(place, found[name])
            else:
                items[place] = found[name]


def _part(values: Sequence[Any], kept: Kept) -> dict[str, Any]:
    """What values in order come to, but for their sums."""
    least, greatest, blank = NOTHING[kept.dtype]
    found: dict[str, Any] = {"counts": len(values)}
    if "min" in kept.tiles:
        found["min"] = min(values, default=least)
    if "max" in kept.tiles:
        found["max"] = max(values, default=greatest)
    if "first" in kept.tiles:
        found["first"] = values[0] if values else blank
    if "last" in kept.tiles:
        found["last"] = values[-1] if values else blank
    if "ranked" in kept.tiles:
        is_few = len(values) <= MOST_VALUES
        found["ranked"] = floats(sorted(values)) if is_few else b""
        found["buckets"] = b"" if is_few else whole(buckets_of(values))
    if "distinct" in kept.tiles:
        found["distinct"] = whole(least_hashes(values))
    return found


def _level(tiles: Tiles, index: int, found: dict[str, Any], exponent: int) -> None:
    """Brings an aggregate's sums and those of a new part to one unit, the smaller."""
    more = exponent - tiles.exponents[index]
    if more >= 0:
        found["sums"], found["squares"] = found["sums"] << more, found["squares"] << 2 * more
        return
    tiles.exponents[index] = exponent
    column = tiles.columns[index]
    column["sums"] = [number << -more for number in column["sums"]]
    if "squares" in column:
        column["squares"] = [number << -2 * more for number in column["squares"]]
