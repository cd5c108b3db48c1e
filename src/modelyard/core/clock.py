"""Instants and where they come from. Every instant in the product comes from a `Clock`; nothing else asks the machine."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NewType, Protocol

from modelyard.core.errors import InvalidInput

Instant = NewType("Instant", int)
"""Microseconds since 1970-01-01T00:00:00Z."""

SECOND = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
_LAST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


class Clock(Protocol):
    """The time of the world that is served (`now`), which a replay may set, and the machine's own (`wall`)."""

    def now(self) -> Instant:
        """The event time: schedules, windows, time to live, bake times."""
        ...

    def wall(self) -> Instant:
        """The machine's time: leases, tokens, the ledger."""
        ...


def wall_now() -> Instant:
    """The machine's time. Only clocks and process supervision call it."""
    return Instant(time.time_ns() // 1000)


class SystemClock:
    """Serves real time: both times are the machine's."""

    def now(self) -> Instant:
        """The machine's time."""
        return wall_now()

    def wall(self) -> Instant:
        """The machine's time."""
        return wall_now()


class ReplayClock:
    """Event time from a record that the replay moves on; read anew at most every `fresh_s` seconds of the machine."""

    def __init__(self, read: Callable[[], Instant], *, fresh_s: float = 0.05) -> None:
        self._read = read
        self._fresh = int(fresh_s * SECOND)
        self._value = Instant(0)
        self._read_at = -self._fresh - 1

    def now(self) -> Instant:
        """The replay's instant, at most `fresh_s` old."""
        wall = wall_now()
        if not 0 <= wall - self._read_at <= self._fresh:
            self._value, self._read_at = self._read(), wall
        return self._value

    def wall(self) -> Instant:
        """The machine's time."""
        return wall_now()


class FixedClock:
    """A clock that stands until it is moved: for tests and for pure replays. The machine's time lies `wall_ahead_s` ahead of it.

    >>> clock = FixedClock(Instant(5))
    >>> clock.advance(1.5)
    >>> clock.now()
    1500005
    """

    def __init__(self, at: Instant = Instant(0), *, wall_ahead_s: float = 0.0) -> None:
        self._at = at
        self._wall_ahead = round(wall_ahead_s * SECOND)

    def now(self) -> Instant:
        """Where it stands."""
        return self._at

    def wall(self) -> Instant:
        """The machine's time, which moves as it does."""
        return Instant(self._at + self._wall_ahead)

    def advance(self, seconds: float) -> None:
        """Moves it on by `seconds`."""
        self._at = Instant(self._at + round(seconds * SECOND))


def instant(moment: datetime) -> Instant:
    """`moment` as an instant. Raises InvalidInput where it has no time zone.

    >>> instant(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    if moment.tzinfo is None:
        raise InvalidInput(f"{moment.isoformat()} has no time zone", hint="say which: datetime(..., tzinfo=UTC)")
    return Instant((moment - EPOCH) // timedelta(microseconds=1))


def moment(at: Instant) -> datetime:
    """`at` as a datetime in UTC. Beyond the years 1 to 9999, where a client's own times may lie, it is the nearest there is.

    >>> moment(Instant(2**62)).year
    9999
    """
    return EPOCH + timedelta(microseconds=min(max(at, _FIRST), _LAST))


def checked_instant(at: int, what: str) -> Instant:
    """`at` where it lies in the years 1 to 9999. Raises InvalidInput, in which `what` names it.

    >>> checked_instant(1_000_000, "upto_at")
    1000000
    """
    if not _FIRST <= at <= _LAST:
        raise InvalidInput(
            f"{what} is {str(at)[:40]} us since 1970, outside of the years 1 to 9999", hint="give microseconds since 1970 in UTC"
        )
    return Instant(at)


def iso(at: Instant) -> str:
    """`at` in ISO 8601 with microseconds only where there are any.

    >>> iso(Instant(1_000_000))
    '1970-01-01T00:00:01Z'
    """
    return moment(at).isoformat().replace("+00:00", "Z")


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def duration_s(text: str) -> float:
    """Seconds in a duration such as `90s`, `10m`, `3h`, `14d` or `1d12h`. Raises InvalidInput.

    >>> duration_s("1h30m")
    5400.0
    """
    total, number = 0.0, ""
    rest = text.strip()
    while rest:
        size = next((i for i, c in enumerate(rest) if not (c.isdecimal() or c == ".")), len(rest))
        number, rest = rest[:size], rest[size:]
        unit = next((u for u in sorted(_UNITS, key=len, reverse=True) if rest.startswith(u)), "")
        if number.count(".") > 1 or not number.strip(".") or not unit:
            raise InvalidInput(f"{text!r} is no duration", hint="write it like 90s, 10m, 3h, 14d or 1d12h")
        total += float(number) * _UNITS[unit]
        rest = rest[len(unit) :]
    if not number:
        raise InvalidInput("an empty text is no duration", hint="write it like 90s, 10m, 3h, 14d or 1d12h")
    return total
