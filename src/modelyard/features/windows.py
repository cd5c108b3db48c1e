"""Reads an aggregating view online: an entity's tiles, and the rows at its windows' edges. Decodes what `tiles.py` wrote."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from modelyard.features.domain import FeatureSelection, Output, Reason, Value, percentile_of
from modelyard.features.exact import mean, rounded
from modelyard.features.layout import ENTITY, TILE, prefix, tile_bytes
from modelyard.features.moments import deviation
from modelyard.features.parts import Found
from modelyard.features.records import Record
from modelyard.features.sketches import distinct, hash_of, percentile
from modelyard.features.tiles import HEAD, NUMBERS, Kept, kept_of, tile_us


class Behind(msgspec.Struct):
    """What lies behind a window's edge of one aggregate: the tiles from `tile` on, and the edge's rows from `row` on, `more` of them."""

    tiles: Record
    kept: Kept
    length: int
    tile: int
    count: int
    rows: Record | None
    row: int
    more: int

    @property
    def total(self) -> int:
        """How many values there are."""
        return self.count + self.more

    def sums(self, name: str) -> tuple[int, int]:
        """The sum of values or of their squares, in units of a power of two (or of its square)."""
        running = self.tiles.wide(self.kept.tiles[name])
        whole, exponent = _since(running, self.tile, self.length), running.exponent
        if self.rows is None or not self.more:
            return whole, exponent
        edge = self.rows.wide(self.kept.rows[name])
        more, unit = _since(edge, self.row, self.row + self.more), edge.exponent
        low, steps = min(exponent, unit), 2 if name == "squares" else 1
        return (whole << steps * (exponent - low)) + (more << steps * (unit - low)), low

    def values(self, name: str) -> Any:
        """The tiles' values of that name."""
        return self.kept.read(self.tiles, self.kept.tiles[name], self.length)

    def value(self, name: str, place: int) -> Value:
        """A tile's value of that name."""
        found: Value = self.values(name)[place]
        return found

    def singles(self) -> list[Any]:
        """The values of the edge's rows."""
        if self.rows is None or not self.more:
            return []
        found = self.kept.read(self.rows, self.kept.rows["values"], self.row + self.more)
        return [found[place] for place in range(self.row, self.row + self.more)]


def _since(running: Any, place: int, count: int) -> int:
    """Running sums' total less what lies before a place."""
    return int((running[count - 1] if count else 0) - (running[place - 1] if place else 0))


def _sum(behind: Behind) -> float:
    return rounded(*behind.sums("sums"))


def _mean(behind: Behind) -> float | None:
    return mean(*behind.sums("sums"), behind.total)


def _std(behind: Behind) -> float | None:
    first, unit = behind.sums("sums")
    second, exponent = behind.sums("squares")
    low = min(unit, exponent)
    return deviation(first << (unit - low), second << 2 * (exponent - low), low, behind.total)


def _extreme(name: str, choose: Callable[..., Any]) -> Callable[[Behind], Value]:
    def found(behind: Behind) -> Value:
        chosen: Value = choose([*behind.values(name)[behind.tile :], *behind.singles()]) if behind.total else None
        return chosen

    return found


def _first(behind: Behind) -> Value:
    if behind.more:
        first: Value = behind.singles()[0]
        return first
    if not behind.count:
        return None
    counts = behind.tiles.whole(behind.kept.tiles["counts"])
    return behind.value("first", bisect_right(counts, counts[behind.tile - 1] if behind.tile else 0))


def _last(behind: Behind) -> Value:
    if not behind.count:
        last: Value = behind.singles()[-1] if behind.more else None
        return last
    counts = behind.tiles.whole(behind.kept.tiles["counts"])
    return behind.value("last", bisect_left(counts, counts[-1]))


def _distinct(behind: Behind) -> int:
    hashes = behind.tiles.lists(behind.kept.tiles["distinct"], behind.length)
    return distinct([hashes[place] for place in range(behind.tile, behind.length)], map(hash_of, behind.singles()))


def _percentile(share: float) -> Callable[[Behind], float | None]:
    def found(behind: Behind) -> float | None:
        kept = behind.kept.tiles
        ranked = behind.tiles.float_lists(kept["ranked"], behind.length)
        buckets = behind.tiles.lists(kept["buckets"], behind.length)
        if not behind.length:
            return percentile(map(float, behind.singles()), (), share)
        return percentile([*ranked.since(behind.tile), *map(float, behind.singles())], buckets.since(behind.tile), share)

    return found


_FUNCTIONS: dict[str, Callable[[Behind], Value]] = {
    "count": lambda behind: behind.total,
    "sum": _sum,
    "mean": _mean,
    "std": _std,
    "min": _extreme("min", min),
    "max": _extreme("max", max),
    "first": _first,
    "last": _last,
    "distinct": _distinct,
}


def _function_of(output: Output) -> Callable[[Behind], Value]:
    share = percentile_of(output.function)
    return _FUNCTIONS[output.function] if share is None else _percentile(share)


class WindowPart:
    """Reads an aggregating view: its tiles, and the rows of the tile that each window's edge lies in."""

    def __init__(self, selection: FeatureSelection) -> None:
        view = selection.view
        self._prefix = prefix(view.digest)
        self._kept = kept_of(view.aggregate)
        chosen = [next(output for output in view.outputs if output.name == name) for name in selection.names]
        columns = [item.name for item in view.aggregate]
        self._windows = tuple(dict.fromkeys(output.window.length_us for output in chosen))
        pairs = [(columns.index(one.column), self._windows.index(one.window.length_us)) for one in chosen]
        self._pairs = tuple(dict.fromkeys(pairs))
        self._outputs = tuple((self._pairs.index(pair), _function_of(one)) for pair, one in zip(pairs, chosen, strict=True))
        self._tile = tile_us(max(window.length_us for window in view.windows))
        self._nothing = (None,) * len(chosen)

    def keys(self, entity: bytes, at: int) -> list[bytes]:
        """The entity's tiles, and for each window the rows of the tile at its edge."""
        start = self._prefix + TILE + entity
        return [self._prefix + ENTITY + entity, *[start + tile_bytes((at - length) // self._tile) for length in self._windows]]

    def found(self, contents: Sequence[bytes | None], at: int) -> Found:
        """The windows' values at `at`; of a window without values counts and sums are 0, all else is null."""
        main = contents[0]
        if main is None:
            return Found(self._nothing, None, Reason.UNKNOWN_ENTITY)
        tiles = Record(main)
        newest, latest = tiles.whole(HEAD)
        if latest > at:
            return Found(self._nothing, None, Reason.AHEAD)
        numbers = tiles.whole(NUMBERS)
        edges = [self._edge(tiles, numbers, content, at - length) for length, content in zip(self._windows, contents[1:], strict=True)]
        parts = [self._behind(tiles, self._kept[column], len(numbers), edges[window]) for column, window in self._pairs]
        values = tuple([function(parts[index]) for index, function in self._outputs])
        return Found(values, newest, Reason.EMPTY if None in values else None)

    def _edge(self, tiles: Record, numbers: memoryview, content: bytes | None, edge: int) -> tuple[int, int, Record | None]:
        """The first tile behind an edge, the edge, and the rows of the tile that it lies in where that is known."""
        number = edge // self._tile
        place = bisect_right(numbers, number)
        is_known = content is not None and place and numbers[place - 1] == number
        return place, edge, Record(content) if is_known and content is not None else None

    @staticmethod
    def _behind(tiles: Record, kept: Kept, length: int, edge: tuple[int, int, Record | None]) -> Behind:
        place, instant, rows = edge
        count = _since(tiles.whole(kept.tiles["counts"]), place, length)
        if rows is None:
            return Behind(tiles, kept, length, place, count, None, 0, 0)
        events = rows.whole(kept.rows["events"])
        row = bisect_right(events, instant)
        return Behind(tiles, kept, length, place, count, rows, row, len(events) - row)
