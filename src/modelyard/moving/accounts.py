"""What an import or export counts and finds wrong while it goes on, and how whoever watches hears of it. Decides nothing."""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from modelyard.core.errors import Kind, ModelyardError
from modelyard.moving.domain import KINDS, ImportReport, Mismatch, Tally
from modelyard.sdk.transport import RemoteError, Unreachable
from modelyard.tracking.imports import SourceName

T = TypeVar("T")
TRIES = 6
PAUSE_S = 0.2
PASSING = (Kind.OVERLOADED, Kind.THROTTLED, Kind.UNREACHABLE)


class Watch(Protocol):
    """Who watches: a progress bar, or nobody."""

    def begins(self, what: str) -> None:
        """Says what is being done now."""
        ...

    def counts(self, kind: str, count: int) -> None:
        """Says that so many of a kind are done."""
        ...


class Unwatched:
    """Nobody watches."""

    def begins(self, what: str) -> None:
        """Says it to nobody."""

    def counts(self, kind: str, count: int) -> None:
        """Says it to nobody."""


class Account:
    """The counts of an import so far, and what did not match."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.mismatches: list[Mismatch] = []
        self.notes: list[str] = []
        self.unreadable: set[str] = set()
        self._counts = {kind: [0, 0, 0] for kind in KINDS}
        self._began_s = time.monotonic()

    def there(self, kind: str, count: int = 1) -> None:
        """So many more are there."""
        self._counts[kind][0] += count

    def brought(self, kind: str, count: int = 1) -> None:
        """So many more were brought."""
        self._counts[kind][1] += count
        self.watch.counts(kind, count)

    def unchanged(self, kind: str, count: int = 1) -> None:
        """So many more were brought before and are unchanged there."""
        self._counts[kind][2] += count
        self.watch.counts(kind, count)

    def differs(self, what: str, name: str, there: object, here: object) -> None:
        """Something is not here as it is there."""
        self.mismatches.append(Mismatch(what=what, name=name, there=str(there)[:500], here=str(here)[:500]))

    def refused(self, what: str, name: str, error: ModelyardError) -> None:
        """Something was not brought at all."""
        self.differs(what, name, "there", f"not brought: {error.message}")

    def brought_by_kind(self) -> dict[str, int]:
        """What was brought, by kind."""
        return {kind: counts[1] for kind, counts in self._counts.items() if counts[1]}

    def report(self, source: SourceName, *, is_dry: bool) -> ImportReport:
        """The report of what happened so far."""
        tallies = {
            kind: Tally(there=there, brought=brought, unchanged=unchanged) for kind, (there, brought, unchanged) in self._counts.items()
        }
        return ImportReport(
            source=source,
            is_dry=is_dry,
            tallies=tallies,
            mismatches=tuple(self.mismatches),
            notes=tuple(dict.fromkeys(self.notes)),
            took_s=round(time.monotonic() - self._began_s, 3),
        )


def patiently(call: Callable[[], T]) -> T:
    """What `call` answers, tried again while our server is busy or starts anew: every call of an import may be sent twice."""
    for attempt in range(TRIES - 1):
        try:
            return call()
        except (RemoteError, Unreachable) as error:
            if error.kind not in PASSING:
                raise
            time.sleep(PAUSE_S * 2**attempt)
    return call()
