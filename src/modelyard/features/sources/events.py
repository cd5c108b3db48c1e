"""Pushed events as they come, checked one by one against their source's declaration, and as the rows that they are kept as.

Owns what may be pushed and the form in which it is kept. Reads no clock and no store.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import polars as pl

from modelyard.core.clock import EPOCH, SECOND, Instant
from modelyard.core.names import nearest
from modelyard.features.domain import BadEvents, ColumnType, Push, TooManyEvents, Value
from modelyard.features.domain.sources import PUSH_NUMBER
from modelyard.features.domain.types import FIRST_DAY, LAST_DAY, LONGEST_KEY_BYTES
from modelyard.features.sources.texts import TYPES

Event = Mapping[str, Value]
MOST_EVENTS = 1_000
MOST_BYTES = 1 << 18
"""What a push may hold as it is kept: more would hold the database's one writer for longer than other writes can wait."""
LONGEST_TIME = 60
_FIRST_AT, _END_AT = FIRST_DAY * 86_400 * SECOND, (LAST_DAY + 1) * 86_400 * SECOND
_FIRST_WHOLE, _LAST_WHOLE = -(2**63), 2**63 - 1
_SAID = 60


def columns_of(source: Push, keys: Iterable[str], events: Sequence[Event]) -> list[list[Value]]:
    """The events' values by column, in the order of `source.types` but without the creation time; instants as microseconds.

    What an event does not say is null; its event time and the `keys` it must say. Raises BadEvents, which names the first
    event that is wrong, counted from 1, and TooManyEvents.
    """
    if not events:
        raise BadEvents(f"no event is pushed to {source.name}", hint="send at least one")
    if len(events) > MOST_EVENTS:
        raise TooManyEvents(f"{len(events)} events are pushed at once, at most {MOST_EVENTS} may be", hint="push them in parts")
    types = {name: dtype for name, dtype in source.types.items() if name != source.created}
    needed = {*keys, source.timestamp}
    found: list[list[Value]] = [[] for _ in types]
    for place, event in enumerate(events, start=1):
        if not event.keys() <= types.keys():
            raise _unknown(source, types, f"event {place} of {len(events)}", event)
        for values, (name, dtype) in zip(found, types.items(), strict=True):
            try:
                values.append(_value(event.get(name), dtype, is_needed=name in needed))
            except ValueError as error:
                raise BadEvents(
                    f"event {place} of {len(events)}: {name!r} {error}", hint=f"{source.name} declares {name} as {dtype}; nothing was taken"
                ) from None
    return found


def packed(columns: Sequence[Sequence[Value]]) -> bytes:
    """The columns as they are kept. Raises TooManyEvents where that is too much for one push."""
    content = msgspec.msgpack.encode(columns)
    if len(content) > MOST_BYTES:
        raise TooManyEvents(f"the events take {len(content)} bytes, at most {MOST_BYTES} may be pushed at once", hint="push them in parts")
    return content


def kept_schema(source: Push) -> dict[str, pl.DataType]:
    """The columns of kept events, in order, and the number of each one's push."""
    return {name: TYPES[dtype] for name, dtype in source.types.items()} | {PUSH_NUMBER: pl.Int64()}


def frame_of(source: Push, pushes: Iterable[tuple[int, Instant, bytes]]) -> pl.DataFrame:
    """The events of some pushes, each with its number, its creation time and its content, in their order."""
    schema = kept_schema(source)
    columns: dict[str, list[Any]] = {name: [] for name in schema}
    said = [name for name in source.types if name != source.created]
    for number, pushed_at, content in pushes:
        values = msgspec.msgpack.decode(content)
        for name, part in zip(said, values, strict=True):
            columns[name] += part
        columns[source.created] += [pushed_at] * len(values[0])
        columns[PUSH_NUMBER] += [number] * len(values[0])
    return pl.DataFrame([_series(name, columns[name], dtype) for name, dtype in schema.items()])


def _series(name: str, values: list[Any], dtype: pl.DataType) -> pl.Series:
    is_time = isinstance(dtype, pl.Datetime)
    return pl.Series(name, values, dtype=pl.Int64() if is_time else dtype).cast(dtype)


def _unknown(source: Push, known: Mapping[str, ColumnType], which: str, event: Event) -> BadEvents:
    name = next(one for one in event if one not in known)
    if name == source.created:
        return BadEvents(f"{which} says when it was created, in {name!r}; the server's clock does", hint="leave it out; nothing was taken")
    return BadEvents(f"{which}: {source.name} has no column {name[:_SAID]!r}", hint=f"{nearest(name, known)}; nothing was taken")


def _value(value: Value, dtype: ColumnType, *, is_needed: bool) -> Value:
    """`value` as it is kept. Raises ValueError, which says what it is instead."""
    if value is None:
        if is_needed:
            raise ValueError("is missing, and no event is without it")
        return None
    match dtype:
        case "time":
            return _instant_us(value)
        case "string" if isinstance(value, str):
            size = len(value.encode(errors="surrogatepass")) if is_needed else 0
            if size > LONGEST_KEY_BYTES:
                raise ValueError(f"is a key of {size} bytes, and at most {LONGEST_KEY_BYTES} may be")
            return _text(value)
        case "bool" if isinstance(value, bool):
            return value
        case "int64" if isinstance(value, int) and not isinstance(value, bool):
            if not _FIRST_WHOLE <= value <= _LAST_WHOLE:
                raise ValueError(f"is {_shown(value)}, and int64 ends at {_LAST_WHOLE}")
            return value
        case "float64" if isinstance(value, int | float) and not isinstance(value, bool):
            return _number(value)
    raise ValueError(f"is {_shown(value)}, not {dtype}")


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a character, which no text can") from None
    return value


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"is {_shown(value)}, beyond the largest float64") from None


def _instant_us(value: Value) -> int:
    if not isinstance(value, str):
        raise ValueError(f"is {_shown(value)}, not a time: numbers do not say their unit; write it as 2026-01-01T12:00:00Z")
    try:
        moment = datetime.fromisoformat(value) if len(value) <= LONGEST_TIME else None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(f"is {_shown(value)}, not a time; write it as 2026-01-01T12:00:00Z")
    # As two numbers: a zone may shift the first and the last day out of what a datetime can be.
    offset = moment.utcoffset()
    since = moment.replace(tzinfo=UTC) - EPOCH
    at = (since.days * 86_400 + since.seconds) * SECOND + since.microseconds
    if offset is not None:
        at -= (offset.days * 86_400 + offset.seconds) * SECOND + offset.microseconds
    if not _FIRST_AT <= at < _END_AT:
        raise ValueError(f"is {_shown(value)}, outside of the years 1 to 9999")
    return at


def _shown(value: Value) -> str:
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        return "a number of very many digits"
    return text if len(text) <= _SAID else text[:_SAID] + "…"
