"""What others say on a view's page. Monitoring lies above the features, so the composition root hands its function down.

Owns the shapes; no HTML travels in them.
"""

from collections.abc import Callable

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.clock import Instant
from modelyard.storage.database import Snapshot
from modelyard.web.parts import Link


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """Online reads of a view by one reader, held against its source: how many could be compared, differed, could not be told.

    `late` of the equal ones were read from a view that newer rows had not reached. Of `logged` reads a sample was drawn where
    fewer were looked at.
    """

    reader: str
    href: str
    compared: int
    different: int
    unverifiable: int
    until_at: Instant
    late: int = 0
    logged: int = 0


class ReadDay(msgspec.Struct, frozen=True, kw_only=True):
    """A day of a view's reads, of all readers; `lag_s` is how far at worst what had been brought online lay behind a read."""

    at: Instant
    compared: int
    different: int
    late: int
    unverifiable: int
    lag_s: float | None


class ReadExample(msgspec.Struct, frozen=True, kw_only=True):
    """A read that was not what it ought to have been, and how many of the last days were so for the same cause.

    `meaning` says what that cause is, and what to do about it.
    """

    cause: str
    count: int
    is_late: bool
    reader: str
    prediction: str
    keys: tuple[str, ...]
    at: Instant
    feature: str
    logged: str | None
    recomputed: str | None
    meaning: str = ""


class FeatureDay(msgspec.Struct, frozen=True, kw_only=True):
    """A feature on one day: its middle with a low and a high end, where it had values, and the share of those that were missing."""

    at: Instant
    middle: float | None
    low: float | None
    high: float | None
    missing: float


class FeatureCourse(msgspec.Struct, frozen=True, kw_only=True):
    """A feature from day to day as a reader's predictions saw it; `measure` says what the middle is."""

    feature: str
    reader: str
    measure: str
    days: tuple[FeatureDay, ...]


class Reads(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a view's reads: against its source, by day, why they differed, how its features went, which versions are live.

    `alerts` are the open ones about the view.
    """

    parities: tuple[Parity, ...] = ()
    days: tuple[ReadDay, ...] = ()
    examples: tuple[ReadExample, ...] = ()
    courses: tuple[FeatureCourse, ...] = ()
    live: dict[str, tuple[int, ...]] = {}
    alerts: tuple[Link, ...] = ()


class Parities(msgspec.Struct, frozen=True):
    """Who knows how a view's online reads compare with its source: by the view's name, for a viewer, with so many courses at most."""

    of: Callable[[Snapshot, Principal, str, int], Reads]
