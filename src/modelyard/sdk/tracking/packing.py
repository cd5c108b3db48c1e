"""What was logged one by one, packed into batches: points by metric, everything else as it came and in its place. Pure."""

import struct
from collections.abc import Iterable, Iterator

import msgspec

from modelyard.core.clock import Instant
from modelyard.core.errors import InvalidInput
from modelyard.tracking.spooled import MOST_POINTS, Points, Record

LEAST, MOST = -(2**63), 2**63 - 1


Logged = tuple[int, int, tuple[tuple[str, float], ...]]
"""Values that were logged at once: instant, step, and a value for each metric. A plain tuple: it is made on the training's time."""


class Noted(msgspec.Struct, frozen=True):
    """Anything else that was logged; `content` names the file in the spool that holds an artifact's bytes."""

    at: Instant
    record: Record
    content: str = ""


Item = Logged | Noted


def packed_items(items: Iterable[Item]) -> Iterator[Noted]:
    """The batches that hold the items, in their order; none has more points than a server takes at once."""
    pack = _Pack()
    for item in items:
        if isinstance(item, Noted):
            yield from pack.taken()
            yield item
            continue
        at, step, values = item
        if pack.room < len(values):
            yield from pack.taken()
        for start in range(0, len(values), MOST_POINTS):
            pack.add(at, step, values[start : start + MOST_POINTS])
            if start + MOST_POINTS < len(values):
                yield from pack.taken()
    yield from pack.taken()


class _Pack:
    """Points that go into one batch, column by column."""

    def __init__(self) -> None:
        self.room = MOST_POINTS
        self._at = 0
        self._columns: dict[str, tuple[list[int], list[int], list[float]]] = {}

    def add(self, at: int, step: int, values: tuple[tuple[str, float], ...]) -> None:
        self._at = at
        self.room -= len(values)
        for key, value in values:
            column = self._columns.get(key)
            if column is None:
                column = self._columns[key] = ([], [], [])
            column[0].append(at)
            column[1].append(step)
            column[2].append(value)

    def taken(self) -> Iterator[Noted]:
        """The batch, if it holds anything; the pack is empty then."""
        if self._columns:
            yield Noted(Instant(self._at), Points(series=tuple((key, _packed(*column)) for key, column in self._columns.items())))
            self._columns, self.room = {}, MOST_POINTS


def _packed(at: list[int], steps: list[int], values: list[float]) -> bytes:
    return struct.pack(f"<{2 * len(at)}q{len(at)}d", *at, *steps, *values)


def number(key: str, value: object) -> float:
    """A metric's value as a float, also of NumPy's and of tensors with one element. Raises InvalidInput.

    >>> number("loss", 1)
    1.0
    """
    if not isinstance(value, str | bytes | bytearray):
        try:
            return float(value)  # type: ignore[arg-type]  # whatever has a float
        except (TypeError, ValueError, OverflowError, RuntimeError):
            pass
    raise InvalidInput(f"the metric {key[:60]!r} is to be a number, got {type(value).__name__}", hint="log texts by log_param or tag")


def whole(step: object) -> int:
    """A step as an integer of 64 bits. Raises InvalidInput."""
    try:
        found = int(step)  # type: ignore[call-overload]  # whatever has an integer
    except (TypeError, ValueError, OverflowError):
        found = MOST + 1
    if not LEAST <= found <= MOST:
        raise InvalidInput(f"step={step!r} is no integer of 64 bits", hint="steps count batches or epochs")
    return int(found)
