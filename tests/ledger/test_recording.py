"""Recording within a change's own transaction, and personal data that can be erased while the log still verifies."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from modelyard.core.clock import FixedClock
from modelyard.core.errors import InvalidInput
from modelyard.ledger.domain import Checkpoint, EntryId, NewEntry, NoSuchEntry
from modelyard.ledger.rules.leaf import commitment
from modelyard.ledger.service import (
    LogKey,
    entry_position,
    erase_personal,
    find_personal,
    get_entry,
    list_events,
    log_facts,
    record,
    sequence_pending,
    verify_log,
)
from modelyard.storage.database import Database, Transaction
from tests.ledger.conftest import HOLDER, entry

ADA = {"name": "Ada Lovelace", "email": "ada@example.com"}


def personal(tx: Transaction) -> EntryId:
    """Records something about a person."""
    return record(tx, NewEntry(type="access.user_added", subject="user:u1", actor="prn_1", data={"role": "viewer"}, personal=ADA))


def test_an_entry_is_recorded_only_if_the_change_commits(database: Database) -> None:
    def failing(tx: Transaction) -> None:
        record(tx, entry(1))
        raise InvalidInput("the change fails")

    with pytest.raises(InvalidInput):
        database.write(failing)
    with database.read() as snapshot:
        assert log_facts(snapshot).pending == 0


def test_an_entry_keeps_what_was_said_and_both_times(database: Database, clock: FixedClock) -> None:
    data = {"name": "x/\u20ac", "share": 0.1, "none": None}
    entry_id = database.write(lambda tx: record(tx, entry(data=data, subject="model:a/3", team_id="ops")))
    clock.advance(60)
    sequence_pending(database, HOLDER)
    with database.read() as snapshot:
        found = get_entry(snapshot, 0).entry
    assert (found.id, found.subject, found.team_id, found.data) == (entry_id, "model:a/3", "ops", data)
    assert (found.occurred_at, found.recorded_at) == (clock.now() - 60_000_000, clock.wall() - 60_000_000)
    assert found.occurred_at != found.recorded_at


def test_entries_of_one_transaction_keep_their_order(database: Database) -> None:
    database.write(lambda tx: [record(tx, entry(number)) for number in range(40)])
    sequence_pending(database, HOLDER, batch=7)
    with database.read() as snapshot:
        assert [event.data["number"] for event in list_events(snapshot, -1)] == list(range(40))


def test_bad_data_fails_the_change_that_records_it(database: Database) -> None:
    with pytest.raises(InvalidInput):
        database.write(lambda tx: record(tx, entry(data={"x": float("inf")})))


def test_personal_data_is_beside_the_log_and_opens_its_commitment(database: Database) -> None:
    entry_id = database.write(personal)
    sequence_pending(database, HOLDER)
    with database.read() as snapshot:
        proven, found = get_entry(snapshot, 0), find_personal(snapshot, entry_id)
    assert b"Ada" not in proven.leaf
    assert found is not None and found.data == ADA and found.salt is not None
    assert proven.entry.commitment == commitment(found.salt, b'{"email":"ada@example.com","name":"Ada Lovelace"}')


def test_equal_personal_data_has_unequal_commitments(database: Database) -> None:
    database.write(lambda tx: (personal(tx), personal(tx)))
    sequence_pending(database, HOLDER)
    with database.read() as snapshot:
        first, second = list_events(snapshot, -1)
    assert first.commitment != second.commitment


def test_erased_data_is_gone_for_good_and_the_log_still_verifies(
    database: Database, key: LogKey, checkpoint: Callable[[], Checkpoint], clock: FixedClock
) -> None:
    entry_id = database.write(personal)
    sequence_pending(database, HOLDER)
    before = checkpoint()
    about = database.write(lambda tx: erase_personal(tx, entry_id, actor="prn_2", reason="asked by the person"))
    sequence_pending(database, HOLDER)
    checkpoint()
    with database.read() as snapshot:
        found, result = find_personal(snapshot, entry_id), verify_log(snapshot, key.verifier, known=[before.note])
        assert about is not None and entry_position(snapshot, about) == 1
        erasure = get_entry(snapshot, 1).entry
    assert found is not None and (found.data, found.salt, found.erased_at) == (None, None, clock.wall())
    assert (erasure.type, erasure.subject, erasure.data) == (
        "ledger.personal_erased",
        f"entry:{entry_id}",
        {"reason": "asked by the person"},
    )
    assert (result.is_sound, result.notices) == (True, [])


def test_erasing_twice_records_once_and_erasing_nothing_is_refused(database: Database) -> None:
    entry_id = database.write(personal)
    plain_id = database.write(lambda tx: record(tx, entry()))
    assert database.write(lambda tx: erase_personal(tx, entry_id, actor="prn_2", reason="asked")) is not None
    assert database.write(lambda tx: erase_personal(tx, entry_id, actor="prn_2", reason="asked")) is None
    with pytest.raises(NoSuchEntry):
        database.write(lambda tx: erase_personal(tx, plain_id, actor="prn_2", reason="asked"))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_erased_bytes_are_not_left_in_the_file(database: Database, tmp_path: Path) -> None:
    entry_id = database.write(personal)
    path = tmp_path / "modelyard.db"

    def content() -> bytes:
        with database.engine.connect() as connection:
            connection.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))
        return path.read_bytes()

    assert b"ada@example.com" in content()
    database.write(lambda tx: erase_personal(tx, entry_id, actor="prn_2", reason="asked"))
    assert b"ada@example.com" not in content()
