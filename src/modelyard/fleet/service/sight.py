"""What one caller sees in one snapshot: the entries that vouch for a thing, and names of who acted. Reads by services alone."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from modelyard.access.domain import Principal, PrincipalId
from modelyard.access.service import principal_names
from modelyard.core.errors import Kind, ModelyardError
from modelyard.fleet.domain import LedgerRef
from modelyard.ledger.domain import Entry
from modelyard.ledger.service import list_entries
from modelyard.storage.database import Snapshot

Found = TypeVar("Found")
MOST_ENTRIES = 200


class Sight(msgspec.Struct, frozen=True):
    """A caller and the snapshot in which everything is read."""

    snapshot: Snapshot
    principal: Principal


def found_or_none(read: Callable[[], Found]) -> Found | None:
    """What `read` gives; None where there is nothing that the caller may see, or the id is none that could be there."""
    try:
        return read()
    except ModelyardError as error:
        if error.kind not in (Kind.MISSING, Kind.INVALID):
            raise
        return None


def entries_about(sight: Sight, subject: str, *, types: Iterable[str] = (), delivery: str = "") -> list[Entry]:
    """The newest entries about a subject, oldest first: of those types, and of that delivery, where these are given."""
    wanted = frozenset(types)
    found = list_entries(sight.snapshot, subject=subject, limit=MOST_ENTRIES).entries
    return [one for one in reversed(found) if (not wanted or one.type in wanted) and (not delivery or one.data.get("delivery") == delivery)]


def refs(sight: Sight, entries: Iterable[Entry]) -> tuple[LedgerRef, ...]:
    """Those entries as what a chain shows of them."""
    listed = list(entries)
    names = names_of(sight, (one.actor for one in listed))
    return tuple(LedgerRef(index=one.index, type=one.type, actor=names[one.actor], recorded_at=one.recorded_at) for one in listed)


def names_of(sight: Sight, actors: Iterable[str]) -> dict[str, str]:
    """What people call those principals."""
    return {str(one): name for one, name in principal_names(sight.snapshot, {PrincipalId(actor) for actor in actors}).items()}
