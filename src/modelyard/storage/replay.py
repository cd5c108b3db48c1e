"""The replay clock's row. A data folder made for replay has one; it drives every role that opens the folder."""

import sqlalchemy as sa

from modelyard.core.clock import Clock, Instant, SystemClock, iso
from modelyard.core.errors import Conflict
from modelyard.storage.database import Database, Snapshot, StoredClock, Transaction
from modelyard.storage.schema import REPLAY_CLOCK

# Asked by every transaction of a replay, so it goes to the driver as it stands.
_NOW = str(sa.select(REPLAY_CLOCK.c.now_at))


def find_replay_instant(snapshot: Snapshot) -> Instant | None:
    """Where the replay stands, or None in a folder that serves real time."""
    return _found(snapshot.connection)


def _found(connection: sa.Connection) -> Instant | None:
    found = connection.exec_driver_sql(_NOW).scalar()
    return None if found is None else Instant(found)


def begin_replay(tx: Transaction, at: Instant) -> None:
    """Makes this an installation of replay that stands at `at`. Raises Conflict where it already is one."""
    if find_replay_instant(tx) is not None:
        raise Conflict("this data folder already replays", hint="move its clock on, or make a new data folder")
    tx.connection.execute(sa.insert(REPLAY_CLOCK).values(id=1, now_at=at))


def advance_replay(tx: Transaction, at: Instant) -> None:
    """Moves the replay on to `at`. Raises Conflict where it is no replay or `at` lies behind."""
    stands = find_replay_instant(tx)
    if stands is None:
        raise Conflict("this data folder serves real time", hint="a replay clock exists only in a folder that was made for replay")
    if at < stands:
        raise Conflict(f"the replay stands at {iso(stands)} and does not go back to {iso(at)}", hint="time only moves on")
    tx.connection.execute(sa.update(REPLAY_CLOCK).values(now_at=at))


def clock_of(database: Database) -> Clock:
    """The clock that the data folder asks for: its replay's, else the machine's."""
    with database.read() as snapshot:
        if find_replay_instant(snapshot) is None:
            return SystemClock()
    return StoredClock(lambda: _read(database), _read_in)


def _read(database: Database) -> Instant:
    with database.read() as snapshot:
        return _read_in(snapshot.connection)


def _read_in(connection: sa.Connection) -> Instant:
    found = _found(connection)
    assert found is not None
    return found
