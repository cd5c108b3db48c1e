"""An entity's aggregation state in the online store: running sums by tile of time, and the rows of each tile apart.

A window's value at an instant is what all tiles hold, less the tiles up to the one that the window's edge lies in, plus
that tile's rows behind the edge: two small reads, whatever the window's length. Sums are exact (`exact.py`), so the value
is the offline one. Owns the bytes; the keys that they stand under are `layout.py`'s.
"""

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import msgspec

from modelyard.core.clock import SECOND
from modelyard.features.exact import whole_and_exponent

TILES_US = tuple(s * SECOND for s in (1, 5, 15, 60, 300, 900, 3600, 21_600, 86_400, 604_800, 2_592_000, 31_536_000))
MOST_TILES = 192
WORD = (1 << 64) - 1
HEAD = 2
"""Words before an entity's tiles: its newest event, its latest availability."""
ROWS_HEAD = 1
"""Words before a tile's rows: their latest availability."""

Number = int | float | None


def tile_us(longest_us: int) -> int:
    """The length of a view's tiles, its longest window being `longest_us`: no more than 192 of them fill it.

    >>> tile_us(7 * 86_400_000_000) // 1_000_000
    3600
    """
    return next((size for size in TILES_US if longest_us <= size * MOST_TILES), TILES_US[-1])


class Block(msgspec.Struct):
    """Running counts and exact sums per column, up to and with each key: `sums[c][i]` times `2**exponents[c]`.

    Keys are event times or tile numbers, each once, rising.
    """

    keys: list[int]
    counts: list[list[int]]
    sums: list[list[int]]
    exponents: list[int]


def empty_block(columns: int) -> Block:
    """A block of nothing."""
    return Block([], [[] for _ in range(columns)], [[] for _ in range(columns)], [0] * columns)


def add(block: Block, key: int, values: Sequence[Number]) -> None:
    """Adds one row's values at `key`, nulls left out."""
    keys = block.keys
    place = bisect_left(keys, key)
    if place == len(keys) or keys[place] != key:
        keys.insert(place, key)
        for running in (*block.counts, *block.sums):
            running.insert(place, running[place - 1] if place else 0)
    for column, value in enumerate(values):
        if value is None:
            continue
        whole, exponent = whole_and_exponent(value)
        unit = block.exponents[column]
        sums, counts = block.sums[column], block.counts[column]
        if exponent < unit:
            sums[:] = [one << (unit - exponent) for one in sums]
            block.exponents[column] = exponent
        else:
            whole <<= exponent - unit
        for i in range(place, len(keys)):
            counts[i] += 1
            sums[i] += whole


def forget_before(block: Block, key: int) -> list[int]:
    """The keys before `key`, which leave the block; the last of them stays as its base, unless it was one already."""
    gone = bisect_left(block.keys, key)
    left = block.keys[:gone]
    if gone > 1:
        del block.keys[: gone - 1]
        for running in (*block.counts, *block.sums):
            del running[: gone - 1]
    return left


def packed(block: Block, head: Sequence[int] = ()) -> bytes:
    """The block's bytes behind the words of `head`: little-endian words of 64 bits, sums in as many as they need."""
    count = len(block.keys)
    widths = [max(max(sums).bit_length(), min(sums).bit_length()) // 64 + 1 if sums else 1 for sums in block.sums]
    units = [word for pair in zip(block.exponents, widths, strict=True) for word in pair]
    words = [*head, count, len(widths), *units, *block.keys]
    for counts, sums, width in zip(block.counts, block.sums, widths, strict=True):
        words += counts
        words += sums if width == 1 else [word for one in sums for word in _split(one, width)]
    return struct.pack(f"<{len(words)}q", *words)


def _split(number: int, width: int) -> tuple[int, ...]:
    return struct.unpack(f"<{width}q", number.to_bytes(8 * width, "little", signed=True))


def unpacked(content: bytes, head: int = 0) -> Block:
    """The block in `content`, behind `head` words."""
    words = Words(content, head)
    running = [words.running(column) for column in range(words.columns)]
    exponents = [words.exponent(column) for column in range(words.columns)]
    return Block(words.keys.tolist(), [counts for counts, _ in running], [sums for _, sums in running], exponents)


class Words:
    """A packed block, read in place: nothing is decoded but what is asked for."""

    __slots__ = ("_content", "_count", "_starts", "_words", "columns", "head", "keys")

    def __init__(self, content: bytes, head: int = 0) -> None:
        words = memoryview(content).cast("q")
        self._content, self._words, self.head = content, words, words[:head]
        count, columns = words[head], words[head + 1]
        self._count, self.columns = count, columns
        start = head + 2 + 2 * columns
        self.keys = words[start : start + count]
        start += count
        self._starts = []
        for column in range(columns):
            width = words[head + 3 + 2 * column]
            self._starts.append((start, width, words[head + 2 + 2 * column]))
            start += count * (1 + width)

    def exponent(self, column: int) -> int:
        """The power of two that the column's sums are whole numbers of."""
        return self._starts[column][2]

    def upto(self, column: int, place: int) -> tuple[int, int]:
        """The running count and sum up to and with the key at `place`; zeros at -1."""
        if place < 0:
            return 0, 0
        start, width, _ = self._starts[column]
        where = start + self._count + place * width
        if width == 1:
            return self._words[start + place], self._words[where]
        if width == 2:
            return self._words[start + place], (self._words[where + 1] << 64) | (self._words[where] & WORD)
        return self._words[start + place], int.from_bytes(self._content[8 * where : 8 * (where + width)], "little", signed=True)

    def running(self, column: int) -> tuple[list[int], list[int]]:
        """The running counts and sums at all keys."""
        start, width, _ = self._starts[column]
        counts = self._words[start : start + self._count].tolist()
        if width == 1:
            return counts, self._words[start + self._count : start + 2 * self._count].tolist()
        return counts, [self.upto(column, place)[1] for place in range(self._count)]

    def behind(self, column: int, key: int) -> tuple[int, int]:
        """The count and sum of what stands at keys above `key`."""
        count, whole = self.upto(column, self._count - 1)
        less_count, less = self.upto(column, bisect_right(self.keys, key) - 1)
        return count - less_count, whole - less

    def holds(self, key: int) -> bool:
        """Whether it has that key."""
        place = bisect_left(self.keys, key)
        return place < self._count and self.keys[place] == key


class Part(msgspec.Struct):
    """A block while it is advanced, with the latest availability of the rows in it."""

    latest_available_at: int
    block: Block


class State(msgspec.Struct):
    """An entity's aggregation state while it is advanced: its tiles, and the rows of those tiles that are touched."""

    newest_event_at: int
    tiles: Part
    rows: dict[int, Part]


class NewRow(msgspec.Struct, frozen=True):
    """A row that has become available, with its values in the order of the aggregated columns."""

    event_at: int
    available_at: int
    values: tuple[Number, ...]


def advance(state: State, rows: Sequence[NewRow], tile: int, longest_us: int) -> list[int]:
    """Takes `rows`, all that have become available since the last time, into the state.

    Answers the tiles that no window reaches any more; their rows are to be deleted. Each block passes over what it
    holds already, so that a call that was cut short between two writes is made good by the next. `state.rows` holds
    the blocks of all the rows' tiles that exist.
    """
    latest = max(state.tiles.latest_available_at, *(row.available_at for row in rows))
    first = (latest - longest_us) // tile
    columns = len(state.tiles.block.counts)
    before = {number: part.latest_available_at for number, part in state.rows.items()}
    for row in rows:
        state.newest_event_at = max(state.newest_event_at, row.event_at)
        number = row.event_at // tile
        if number < first:
            continue
        if row.available_at > state.tiles.latest_available_at:
            add(state.tiles.block, number, row.values)
        if row.available_at > before.get(number, row.available_at - 1):
            part = state.rows.setdefault(number, Part(row.available_at, empty_block(columns)))
            part.latest_available_at = max(part.latest_available_at, row.available_at)
            add(part.block, row.event_at, row.values)
    state.tiles.latest_available_at = latest
    return forget_before(state.tiles.block, first)
