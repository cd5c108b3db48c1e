"""One order for all entries: nothing lost, nothing twice, one sequencer at a time, and one root for each size."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from modelyard.core.clock import FixedClock, SystemClock
from modelyard.ledger import store
from modelyard.ledger.domain import (
    Checkpoint,
    EntryId,
    EntryNotIncluded,
    LogCorrupt,
    LogForked,
    NoSuchEntry,
    SequencerFenced,
    SequencerLease,
    WrongLogKey,
)
from modelyard.ledger.service import (
    LogKey,
    entry_position,
    include_now,
    lease_sequencer,
    list_events,
    log_facts,
    record,
    sequence_batch,
    sequence_pending,
    sign_checkpoint,
    tick,
    verify_inclusion,
    verify_log,
    wait_included,
)
from modelyard.storage.database import Database, Transaction
from tests.ledger.conftest import HOLDER, entry

Append = Callable[[int], list[EntryId]]


def lease(database: Database, holder: str, lease_s: float = 10.0) -> SequencerLease | None:
    """Asks for the lease."""
    return database.write(lambda tx: lease_sequencer(tx, holder, lease_s=lease_s))


def held(database: Database, holder: str, lease_s: float = 10.0) -> SequencerLease:
    """The lease, which must be free."""
    found = lease(database, holder, lease_s)
    assert found is not None
    return found


def test_writers_sequencers_and_signers_at_once_lose_nothing_and_keep_each_writers_order(database: Database, key: LogKey) -> None:
    done = threading.Event()

    def write(writer: int) -> list[EntryId]:
        return [database.write(lambda tx, n=n: record(tx, entry(n, subject=f"writer:{writer}"))) for n in range(25)]  # type: ignore[misc] # bound

    def sequence(name: str) -> int:
        count = 0
        while not done.is_set():
            count += sequence_pending(database, name, batch=9)
        return count

    def sign() -> None:
        while not done.is_set():
            database.write(lambda tx: sign_checkpoint(tx, key))

    with ThreadPoolExecutor(13) as pool:
        signers = [pool.submit(sign) for _ in range(2)]
        sequencers = [pool.submit(sequence, f"sequencer-{number}") for number in range(3)]
        ids = [one for written in pool.map(write, range(8)) for one in written]
        done.set()
        assert sum(one.result() for one in sequencers) + sequence_pending(database, HOLDER) == 200
        assert [one.result() for one in signers] == [None, None]
    with database.read() as snapshot:
        events = list_events(snapshot, -1, limit=1000)
        assert verify_log(snapshot, key.verifier).is_sound
    assert sorted(event.id for event in events) == sorted(ids)
    for writer in range(8):
        assert [event.data["number"] for event in events if event.subject == f"writer:{writer}"] == list(range(25))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_transaction_that_commits_late_is_not_skipped(database: Database) -> None:
    with database.engine.connect() as connection, connection.begin():
        late = record(Transaction(connection, database.clock, database.dialect), entry(1))
        early = database.write(lambda tx: record(tx, entry(2)))
        assert sequence_pending(database, HOLDER) == 1
    assert sequence_pending(database, HOLDER) == 1
    with database.read() as snapshot:
        assert [event.id for event in list_events(snapshot, -1)] == [early, late]


def test_indexes_follow_causality_across_batches(database: Database) -> None:
    first = database.write(lambda tx: record(tx, entry(1)))
    second = database.write(lambda tx: record(tx, entry(2)))
    sequence_pending(database, HOLDER, batch=1)
    third = database.write(lambda tx: record(tx, entry(3)))
    sequence_pending(database, HOLDER)
    with database.read() as snapshot:
        assert [entry_position(snapshot, one) for one in (first, second, third)] == [0, 1, 2]


def test_a_lease_is_held_by_one_until_it_ends(database: Database) -> None:
    assert held(database, "a").fence == 1
    assert lease(database, "b") is None
    assert held(database, "a").fence == 1


def test_a_sequencer_that_slept_past_its_lease_is_refused_and_changes_nothing(database: Database, append: Append) -> None:
    append(3)
    database.write(lambda tx: record(tx, entry(9)))
    old = held(database, "a", lease_s=-1.0)
    new = held(database, "b")
    assert new.fence == old.fence + 1
    with pytest.raises(SequencerFenced, match=f"a holds fence {old.fence}, the sequencer stands at {new.fence}"):
        database.write(lambda tx: sequence_batch(tx, old))
    with database.read() as snapshot:
        assert (log_facts(snapshot).size, log_facts(snapshot).pending) == (3, 1)
    assert database.write(lambda tx: sequence_batch(tx, new)) == 1
    with pytest.raises(SequencerFenced):
        database.write(lambda tx: sequence_batch(tx, old))


def test_while_another_holds_the_lease_nothing_is_sequenced(database: Database) -> None:
    held(database, "another")
    database.write(lambda tx: record(tx, entry()))
    assert sequence_pending(database, HOLDER) == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_on_sqlite_a_lease_ends_by_the_wall_clock(database: Database, clock: FixedClock) -> None:
    held(database, "a", lease_s=10)
    clock.advance(9.9)
    assert lease(database, "b") is None
    clock.advance(0.1)
    assert held(database, "b").fence == 2


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_on_postgresql_a_lease_goes_by_the_databases_time(database: Database, clock: FixedClock) -> None:
    held(database, "a", lease_s=60)
    clock.advance(3600)
    assert lease(database, "b") is None


def test_an_idle_log_writes_nothing(database: Database, key: LogKey) -> None:
    tick(database, key, HOLDER, checkpoint_s=1)
    with database.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(store.SEQUENCER)).scalar_one() == 0
        assert connection.execute(sa.select(sa.func.count()).select_from(store.CHECKPOINTS)).scalar_one() == 0


def test_a_tick_signs_when_the_log_grew_and_the_time_came(database: Database, key: LogKey, clock: FixedClock) -> None:
    sizes = []
    for wait in (0.0, 10.0, 49.0, 1.0, 120.0):
        clock.advance(wait)
        if wait < 100:
            database.write(lambda tx: record(tx, entry()))
        tick(database, key, HOLDER, checkpoint_s=60)
        with database.read() as snapshot:
            latest = log_facts(snapshot).checkpoint
        sizes.append(latest.size if latest else 0)
    assert sizes == [1, 1, 1, 4, 4]


def test_one_size_has_one_checkpoint(database: Database, append: Append, checkpoint: Callable[[], Checkpoint], clock: FixedClock) -> None:
    append(5)
    first = checkpoint()
    clock.advance(5)
    assert checkpoint() == first
    append(1)
    assert checkpoint().size == 6
    with database.read() as snapshot:
        assert [one.size for one in store.list_checkpoints(snapshot, -1, 10)] == [5, 6]


def test_signers_at_once_agree(database: Database, key: LogKey, append: Append) -> None:
    append(300)
    with ThreadPoolExecutor(8) as pool:
        notes = {found.note for found in pool.map(lambda _: database.write(lambda tx: sign_checkpoint(tx, key)), range(24))}
    assert len(notes) == 1


def test_an_empty_log_can_be_signed(database: Database, key: LogKey, checkpoint: Callable[[], Checkpoint], append: Append) -> None:
    assert checkpoint().size == 0
    append(2)
    checkpoint()
    with database.read() as snapshot:
        assert verify_log(snapshot, key.verifier).is_sound


def test_a_second_root_is_never_signed(database: Database, append: Append, checkpoint: Callable[[], Checkpoint]) -> None:
    append(4)
    checkpoint()

    def forge(tx: Transaction) -> None:
        tx.connection.execute(sa.update(store.TILES).values(hashes=bytes(128)))

    database.write(forge)
    with pytest.raises(LogForked):
        checkpoint()
    append(1)
    with pytest.raises(LogForked):
        checkpoint()


def test_another_key_never_continues_a_log(database: Database, append: Append, checkpoint: Callable[[], Checkpoint]) -> None:
    append(1)
    checkpoint()
    append(1)
    with pytest.raises(WrongLogKey):
        database.write(lambda tx: sign_checkpoint(tx, LogKey.new("modelyard.local/tests")))


def test_an_index_that_was_signed_for_is_never_given_again(
    database: Database, append: Append, checkpoint: Callable[[], Checkpoint]
) -> None:
    append(4)
    checkpoint()
    database.write(lambda tx: tx.connection.execute(sa.delete(store.ENTRIES).where(store.ENTRIES.c.entry_index == 3)))
    database.write(lambda tx: record(tx, entry()))
    with pytest.raises(LogCorrupt, match="has 3 entries, a checkpoint was signed over 4"):
        sequence_pending(database, HOLDER)
    with pytest.raises(LogCorrupt):
        checkpoint()


def test_a_gate_gets_its_entry_proven_at_once(database: Database, key: LogKey, append: Append) -> None:
    append(10)
    entry_id = database.write(lambda tx: record(tx, entry(10)))
    proven = include_now(database, key, HOLDER, entry_id)
    assert proven.checkpoint is not None and proven.proof is not None
    assert (proven.entry.id, proven.entry.index, proven.checkpoint.size) == (entry_id, 10, 11)
    verify_inclusion(proven.leaf_hash, 10, 11, proven.proof.path, proven.checkpoint.root)
    assert include_now(database, key, HOLDER, entry_id).checkpoint == proven.checkpoint


def test_a_gate_waits_for_the_sequencer_that_holds_the_lease(database: Database, key: LogKey) -> None:
    other = held(database, "another")
    entry_id = database.write(lambda tx: record(tx, entry()))
    with pytest.raises(EntryNotIncluded, match="under no checkpoint after"):
        include_now(database, key, HOLDER, entry_id, timeout_s=0.05)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(include_now, database, key, HOLDER, entry_id, timeout_s=30)
        database.write(lambda tx: sequence_batch(tx, other))
        assert waiting.result().entry.index == 0


def test_waiting_without_a_key_ends_once_others_have_signed(database: Database, key: LogKey) -> None:
    entry_id = database.write(lambda tx: record(tx, entry()))
    with pytest.raises(EntryNotIncluded):
        wait_included(database, entry_id, timeout_s=0.05)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait_included, database, entry_id, timeout_s=30)
        tick(database, key, HOLDER, checkpoint_s=60)
        assert waiting.result().entry.id == entry_id


def test_an_entry_that_never_committed_is_not_waited_for(database: Database, key: LogKey) -> None:
    with pytest.raises(NoSuchEntry):
        include_now(database, key, HOLDER, EntryId("ent_none"))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_two_processes_views_of_one_file_share_the_order(database: Database, database_url: str, key: LogKey) -> None:
    other = Database.open(database_url, SystemClock())
    ids = [one.write(lambda tx, n=n: record(tx, entry(n))) for n in range(20) for one in (database, other)]  # type: ignore[misc] # bound
    assert sequence_pending(other, "other", batch=3) == 40
    other.close()
    with database.read() as snapshot:
        assert [event.id for event in list_events(snapshot, -1)] == ids
        assert verify_log(snapshot, key.verifier).is_sound
