"""Events: entries as other components follow them, each consumer under a cursor of its own."""

from collections.abc import Collection, Sequence

from modelyard.ledger import store
from modelyard.ledger.domain import CursorMoved, Event
from modelyard.ledger.rules.leaf import entry_of
from modelyard.storage.database import Snapshot, Transaction

BEFORE_THE_FIRST = -1
SUBJECTS_AT_ONCE = 500


def list_events(snapshot: Snapshot, after: int, types: Sequence[str] | None = None, limit: int = 100) -> list[Event]:
    """The first events with an index above `after`, of any type or of `types`, in the order of the log; -1 is the start."""
    return [entry_of(found.leaf) for found in store.list_after(snapshot, after, limit, types=types)]


def first_positions(snapshot: Snapshot, kind: str, subjects: Collection[str]) -> dict[str, int]:
    """The index of each subject's first event of a type; a subject that has none is left out."""
    asked, found = sorted(set(subjects)), dict[str, int]()
    for start in range(0, len(asked), SUBJECTS_AT_ONCE):
        found |= store.list_first(snapshot, kind, asked[start : start + SUBJECTS_AT_ONCE])
    return found


def cursor(snapshot: Snapshot, consumer: str) -> int:
    """The index of the last event that the consumer is done with; -1 before its first."""
    found = store.find_cursor(snapshot, consumer)
    return BEFORE_THE_FIRST if found is None else found


def advance(tx: Transaction, consumer: str, position: int, *, after: int | None = None) -> None:
    """Notes, in the transaction of what the consumer did, that it is done with all events up to `position`.

    A cursor never moves back. With `after`, the cursor that the events were read under, each event takes effect once
    even if the consumer runs twice at the same time: the later one gets CursorMoved, which undoes its transaction.
    """
    stands = cursor(tx, consumer)
    if after is not None and stands != after:
        raise CursorMoved(f"{consumer} stands at {stands}, expected {after}", hint="another run was first; read the events anew")
    if position > stands:
        store.put_cursor(tx, consumer, position)
