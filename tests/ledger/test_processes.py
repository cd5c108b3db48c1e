"""Several processes share one order, and a sequencer killed at any moment leaves a log that another continues and that verifies."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from modelyard.core.clock import SystemClock
from modelyard.ledger.domain import EntryId
from modelyard.ledger.service import LogKey, include_now, list_events, log_facts, record, sequence_pending, verify_log
from modelyard.storage.database import Database
from tests.ledger.conftest import entry

# The child kills itself right before a statement of its transaction, or is killed by the test from outside.
CHILD = """
import os, signal, sys
import sqlalchemy as sa
from modelyard.core.clock import SystemClock
from modelyard.ledger.service import sequence_pending
from modelyard.storage.database import Database
url, statement, batch = sys.argv[1], sys.argv[2], int(sys.argv[3])
database = Database.open(url, SystemClock())
seen = []
def die(connection, cursor, text, parameters, context, many):
    seen.append(text.split("(")[0].strip())
    if statement and text.lstrip().startswith(statement):
        os.kill(os.getpid(), signal.SIGKILL)
def die_at_commit(connection):
    if statement == "COMMIT" and any(text.startswith("DELETE FROM ledger_outbox") for text in seen):
        os.kill(os.getpid(), signal.SIGKILL)
sa.event.listen(database.engine, "before_cursor_execute", die)
sa.event.listen(database.engine, "commit", die_at_commit)
print("ready", flush=True)
while True:
    sequence_pending(database, "child", batch=batch, lease_s=0.5)
"""


WRITER = """
import sys
from modelyard.core.clock import SystemClock
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record, sequence_pending
from modelyard.storage.database import Database
url, name = sys.argv[1:]
database = Database.open(url, SystemClock())
for number in range(40):
    new = NewEntry(type="tests.counted", subject=name, actor="prn_test", data={"number": number})
    database.write(lambda tx: record(tx, new))
    sequence_pending(database, name, batch=5)
"""


def child(url: str, statement: str, batch: int) -> "subprocess.Popen[str]":
    """Starts a sequencer that dies at `statement`."""
    return subprocess.Popen([sys.executable, "-c", CHILD, url, statement, str(batch)], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("statement", ["INSERT INTO ledger_entries", "INSERT INTO ledger_tiles", "DELETE FROM ledger_outbox", "COMMIT"])
def test_killed_within_its_transaction_it_leaves_all_or_nothing(database_url: str, key: LogKey, statement: str) -> None:
    database = Database.open(database_url, SystemClock())
    ids = database.write(lambda tx: [record(tx, entry(number)) for number in range(300)])
    with child(database_url, statement, 200) as process:
        assert process.wait(60) == -signal.SIGKILL
    with database.read() as snapshot:
        assert (log_facts(snapshot).size, log_facts(snapshot).pending) == (0, 300)
    proven = include_now(database, key, "another", ids[-1], timeout_s=30)
    with database.read() as snapshot:
        assert [event.id for event in list_events(snapshot, -1, limit=1000)] == ids
        assert verify_log(snapshot, key.verifier, known=[proven.checkpoint.note if proven.checkpoint else ""]).is_sound
    database.close()


def test_killed_at_random_moments_under_load_nothing_is_lost(database_url: str, key: LogKey, random: np.random.Generator) -> None:
    database, stopped = Database.open(database_url, SystemClock()), threading.Event()
    ids: list[EntryId] = []

    def write() -> None:
        while not stopped.is_set():
            ids.append(database.write(lambda tx: record(tx, entry(len(ids)))))

    writer = threading.Thread(target=write)
    writer.start()
    for delay in random.uniform(0.0, 0.08, size=4):
        with child(database_url, "", int(random.integers(1, 20))) as process:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            stopped.wait(delay)
            os.kill(process.pid, signal.SIGKILL)
    stopped.set()
    writer.join()
    proven = include_now(database, key, "another", ids[-1], timeout_s=30)
    with database.read() as snapshot:
        events = list_events(snapshot, -1, limit=100_000)
        assert verify_log(snapshot, key.verifier).is_sound
    assert [event.id for event in events] == ids
    assert proven.entry.index == len(ids) - 1
    assert sequence_pending(database, "another") == 0
    database.close()


def test_processes_that_all_write_and_sequence_keep_one_order(database_url: str, key: LogKey) -> None:
    names = ["a", "b", "c", "d"]
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, database_url, name]) for name in names]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0, 0]
    database = Database.open(database_url, SystemClock())
    sequence_pending(database, "last")
    with database.read() as snapshot:
        events = list_events(snapshot, -1, limit=1000)
        assert verify_log(snapshot, key.verifier).is_sound
    database.close()
    assert [event.index for event in events] == list(range(160))
    for name in names:
        assert [event.data["number"] for event in events if event.subject == name] == list(range(40))
