"""Events: in the order of the log, at least once, each consumer under its own cursor."""

from collections.abc import Callable

import pytest

from modelyard.ledger.domain import CursorMoved, EntryId
from modelyard.ledger.service import advance, cursor, list_events, record, sequence_pending
from modelyard.storage.database import Database, Transaction
from tests.ledger.conftest import HOLDER, entry


def test_events_come_in_the_order_of_the_log_page_by_page(database: Database, append: Callable[[int], list[EntryId]]) -> None:
    append(25)
    at, seen = -1, []
    with database.read() as snapshot:
        while events := list_events(snapshot, at, limit=10):
            seen += [event.data["number"] for event in events]
            at = events[-1].index
    assert (seen, at) == (list(range(25)), 24)


def test_a_consumer_sees_only_the_types_it_asks_for(database: Database) -> None:
    database.write(lambda tx: [record(tx, entry(n, type=f"tests.type{n % 3}")) for n in range(9)])
    sequence_pending(database, HOLDER)
    with database.read() as snapshot:
        found = list_events(snapshot, 1, types=("tests.type1", "tests.other"))
    assert [event.index for event in found] == [4, 7]


def test_what_is_not_sequenced_is_no_event_yet(database: Database) -> None:
    database.write(lambda tx: record(tx, entry()))
    with database.read() as snapshot:
        assert list_events(snapshot, -1) == []


def test_cursors_are_apart_and_never_move_back(database: Database) -> None:
    with database.read() as snapshot:
        assert cursor(snapshot, "monitoring") == -1
    for position in (3, 7, 5):
        database.write(lambda tx, position=position: advance(tx, "monitoring", position))  # type: ignore[misc] # bound per turn
    with database.read() as snapshot:
        assert (cursor(snapshot, "monitoring"), cursor(snapshot, "fleet")) == (7, -1)


def test_a_cursor_moves_only_with_the_consumers_own_transaction(database: Database) -> None:
    def failing(tx: Transaction) -> None:
        advance(tx, "fleet", 4)
        raise CursorMoved("the consumer fails afterwards")

    with pytest.raises(CursorMoved):
        database.write(failing)
    with database.read() as snapshot:
        assert cursor(snapshot, "fleet") == -1


def test_of_two_runs_of_one_consumer_the_later_is_undone(database: Database) -> None:
    def consume(tx: Transaction) -> None:
        record(tx, entry(type="tests.consumed"))
        advance(tx, "fleet", 9, after=-1)

    database.write(consume)
    with pytest.raises(CursorMoved, match="fleet stands at 9, expected -1"):
        database.write(consume)
    assert sequence_pending(database, HOLDER) == 1
