"""The replay clock is one row of the database, and drives whoever opens it."""

import pytest

from modelyard.core.clock import Instant, ReplayClock, SystemClock
from modelyard.core.errors import Conflict
from modelyard.storage.database import Database, Transaction
from modelyard.storage.replay import advance_replay, begin_replay, clock_of, find_replay_instant


def test_without_a_row_time_is_real(database: Database) -> None:
    assert isinstance(clock_of(database), SystemClock)
    with pytest.raises(Conflict, match="real time"):
        database.write(lambda tx: advance_replay(tx, Instant(1)))


def test_every_opening_of_the_database_follows_the_row(database: Database) -> None:
    database.write(lambda tx: begin_replay(tx, Instant(1_000)))
    clock = clock_of(database)
    assert isinstance(clock, ReplayClock)
    other = database.with_clock(clock)
    database.write(lambda tx: advance_replay(tx, Instant(2_000)))
    assert (clock.now(), other.write(lambda tx: tx.now())) == (2_000, 2_000)
    assert other.write(lambda tx: tx.wall()) > 1_600_000_000_000_000
    other.close()


def test_a_replay_never_goes_back_or_begins_twice(database: Database) -> None:
    database.write(lambda tx: begin_replay(tx, Instant(1_000)))
    with pytest.raises(Conflict, match="does not go back"):
        database.write(lambda tx: advance_replay(tx, Instant(999)))
    with pytest.raises(Conflict, match="already replays"):
        database.write(lambda tx: begin_replay(tx, Instant(5)))
    with database.read() as snapshot:
        assert find_replay_instant(snapshot) == 1_000


def test_a_transaction_sees_the_clock_as_of_its_own_state(database: Database) -> None:
    database.write(lambda tx: begin_replay(tx, Instant(1_000)))
    other = database.with_clock(clock_of(database))

    def moved(tx: Transaction) -> tuple[Instant, Instant]:
        before = tx.now()
        advance_replay(tx, Instant(2_000))
        return before, tx.now()

    assert other.write(moved) == (1_000, 2_000)
    other.close()
