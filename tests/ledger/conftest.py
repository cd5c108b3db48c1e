"""A log to test with: entries that are recorded, sequenced and signed."""

from collections.abc import Callable

import pytest

from modelyard.ledger.domain import Checkpoint, EntryId, NewEntry
from modelyard.ledger.service import LogKey, record, sequence_pending, sign_checkpoint
from modelyard.storage.database import Database

HOLDER = "tests"


def entry(number: int = 0, **fields: object) -> NewEntry:
    """A new entry that differs by `number`; `fields` override."""
    given: dict[str, object] = {"type": "tests.counted", "subject": f"thing:{number % 7}", "actor": "prn_test", "data": {"number": number}}
    return NewEntry(**(given | fields))  # type: ignore[arg-type] # the fields are checked by the struct


@pytest.fixture
def key() -> LogKey:
    """A key of its own."""
    return LogKey.new("modelyard.local/tests")


@pytest.fixture
def append(database: Database) -> Callable[[int], list[EntryId]]:
    """Records that many entries and sequences them."""
    total = 0

    def appended(count: int) -> list[EntryId]:
        nonlocal total
        start = total
        total += count
        ids = database.write(lambda tx: [record(tx, entry(start + place)) for place in range(count)])
        assert sequence_pending(database, HOLDER) == count
        return ids

    return appended


@pytest.fixture
def checkpoint(database: Database, key: LogKey) -> Callable[[], Checkpoint]:
    """Signs a checkpoint over what is there."""
    return lambda: database.write(lambda tx: sign_checkpoint(tx, key))
