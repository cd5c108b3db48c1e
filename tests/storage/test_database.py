"""Transactions over both databases: durable before answered, alone in their failures, fair between processes."""

import contextlib
import itertools
import multiprocessing
import queue
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from modelyard.core.clock import FixedClock, Instant, SystemClock
from modelyard.core.errors import InvalidInput
from modelyard.storage.database import POSTGRESQL_WRITERS, Database, DatabaseUnavailable, Transaction
from modelyard.storage.schema import upsert

NUMBERS = sa.Table(
    "numbers", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True, autoincrement=False), sa.Column("value", sa.BigInteger)
)


@pytest.fixture
def numbers(database: Database) -> Database:
    database.write(lambda tx: NUMBERS.create(tx.connection))
    return database


def put(number: int, value: int = 0) -> "sa.Insert":
    return sa.insert(NUMBERS).values(id=number, value=value)


def held(database: Database) -> list[int]:
    with database.read() as snapshot:
        return list(snapshot.connection.execute(sa.select(NUMBERS.c.id).order_by(NUMBERS.c.id)).scalars())


def test_what_concurrent_writers_were_answered_is_there_once(numbers: Database) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: numbers.write(lambda tx: tx.connection.execute(put(number))), range(800)))
    assert held(numbers) == list(range(800))


def test_one_failed_write_takes_no_other_with_it(numbers: Database) -> None:
    def work(tx: Transaction, number: int) -> None:
        tx.connection.execute(put(number))
        if number % 3 == 0:
            raise InvalidInput(f"{number}")

    futures = [numbers.submit(lambda tx, number=number: work(tx, number)) for number in range(60)]  # type: ignore[misc]  # a bound default
    failed = [number for number, future in enumerate(futures) if isinstance(future.exception(), InvalidInput)]
    assert failed == list(range(0, 60, 3))
    assert held(numbers) == [number for number in range(60) if number % 3]


def test_a_broken_constraint_fails_its_own_caller_only(numbers: Database) -> None:
    futures = [numbers.submit(lambda tx, number=number: tx.connection.execute(put(number % 5))) for number in range(20)]  # type: ignore[misc]
    assert sum(isinstance(future.exception(), sa.exc.IntegrityError) for future in futures) == 15
    assert held(numbers) == [0, 1, 2, 3, 4]


def test_a_snapshot_sees_one_state_whatever_is_written_meanwhile(numbers: Database) -> None:
    numbers.write(lambda tx: tx.connection.execute(put(1)))
    count = sa.select(sa.func.count()).select_from(NUMBERS)
    with numbers.read() as snapshot:
        before = snapshot.connection.execute(count).scalar_one()
        numbers.write(lambda tx: tx.connection.execute(put(2)))
        assert snapshot.connection.execute(count).scalar_one() == before == 1
    assert held(numbers) == [1, 2]


def test_hooks_run_after_the_commit_and_not_after_a_failure(numbers: Database) -> None:
    seen: list[list[int]] = []

    def failing(tx: Transaction) -> None:
        tx.after_commit(lambda: seen.append([]))
        raise InvalidInput("no")

    def working(tx: Transaction) -> None:
        tx.connection.execute(put(1))
        tx.after_commit(lambda: seen.append(held(numbers)))

    with pytest.raises(InvalidInput):
        numbers.write(failing)
    numbers.write(working)
    assert seen == [[1]]


def test_a_write_inside_a_write_is_refused_instead_of_waiting_for_ever(numbers: Database) -> None:
    with pytest.raises(RuntimeError, match="pass the transaction on"):
        numbers.write(lambda tx: numbers.write(lambda inner: None))


def test_lost_updates_do_not_happen(numbers: Database) -> None:
    numbers.write(lambda tx: tx.connection.execute(put(1)))

    def add(tx: Transaction) -> None:
        tx.connection.execute(sa.update(NUMBERS).values(value=NUMBERS.c.value + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: numbers.write(add), range(200)))
    with numbers.read() as snapshot:
        assert snapshot.connection.execute(sa.select(NUMBERS.c.value)).scalar_one() == 200


def test_deadlocked_writers_both_come_through(numbers: Database) -> None:
    numbers.write(lambda tx: tx.connection.execute(sa.insert(NUMBERS), [{"id": 1, "value": 0}, {"id": 2, "value": 0}]))
    met = threading.Barrier(2)

    def work(tx: Transaction, first: int, second: int) -> None:
        tx.connection.execute(sa.update(NUMBERS).where(NUMBERS.c.id == first).values(value=NUMBERS.c.value + 1))
        if not met.broken:
            with contextlib.suppress(threading.BrokenBarrierError):
                met.wait(0.2)
        tx.connection.execute(sa.update(NUMBERS).where(NUMBERS.c.id == second).values(value=NUMBERS.c.value + 1))

    one, two = numbers.submit(lambda tx: work(tx, 1, 2)), numbers.submit(lambda tx: work(tx, 2, 1))
    one.result()
    two.result()
    with numbers.read() as snapshot:
        assert list(snapshot.connection.execute(sa.select(NUMBERS.c.value)).scalars()) == [2, 2]


def test_upsert_updates_what_is_named_and_leaves_the_rest(numbers: Database) -> None:
    numbers.write(lambda tx: upsert(tx, NUMBERS, [{"id": 1, "value": 1}], ["id"]))
    numbers.write(lambda tx: upsert(tx, NUMBERS, [{"id": 1, "value": 2}, {"id": 2, "value": 2}], ["id"]))
    numbers.write(lambda tx: upsert(tx, NUMBERS, [{"id": 2, "value": 3}], ["id"], ["value"]))
    with numbers.read() as snapshot:
        assert {row.id: row.value for row in snapshot.connection.execute(sa.select(NUMBERS))} == {1: 1, 2: 3}


def test_a_closed_database_says_so(numbers: Database) -> None:
    spare = numbers.with_clock(FixedClock(Instant(3)))
    assert spare.write(lambda tx: tx.now()) == 3
    spare.close()
    with pytest.raises(DatabaseUnavailable):
        spare.write(lambda tx: None)


def held_up(database: Database, free: threading.Event) -> int:
    """Occupies every writer thread until `free` is set; how many there are."""
    writers = POSTGRESQL_WRITERS if database.dialect == "postgresql" else 1

    def work(entered: threading.Event) -> None:
        entered.set()
        assert free.wait(30)

    for _ in range(writers):
        entered = threading.Event()
        database.submit(lambda tx, entered=entered: work(entered))  # type: ignore[misc]  # a bound default
        assert entered.wait(30)
    return writers


def test_writes_that_wait_share_a_commit_and_are_durable_before_their_callers_hear(
    numbers: Database, database_url: str, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelyard.storage.database.COMMIT_AFTER_S", 60.0)  # a slow machine must not split the group
    other = Database.open(database_url, clock)
    free, seen = threading.Event(), queue.Queue[bool]()
    commits: list[sa.Connection] = []
    sa.event.listen(numbers.engine, "commit", lambda connection: commits.append(connection))
    writers = held_up(numbers, free)
    for number in range(50):
        future = numbers.submit(lambda tx, number=number: tx.connection.execute(put(number)))  # type: ignore[misc]
        future.add_done_callback(lambda _, number=number: seen.put(number in held(other)))  # type: ignore[misc]
    free.set()
    assert [seen.get(timeout=30) for _ in range(50)] == [True] * 50
    assert len(commits) <= 2 * writers
    other.close()


@pytest.fixture
def one_file(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(f"sqlite:///{tmp_path / 'one.db'}", SystemClock())
    database.write(lambda tx: NUMBERS.create(tx.connection))
    yield database
    database.close()


def test_each_connection_to_sqlite_syncs_keeps_foreign_keys_and_does_not_wait_by_itself(one_file: Database) -> None:
    wanted = {"busy_timeout": 0, "synchronous": 2, "journal_mode": "wal", "foreign_keys": 1}
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(one_file.read()).connection for _ in range(3)]
        for connection in connections:
            assert {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in wanted} == wanted


def test_what_was_deleted_is_nowhere_once_no_reader_needs_it(one_file: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelyard.storage.database.FORGET_WAIT_S", 0.0)
    one_file.write(lambda tx: tx.connection.exec_driver_sql("CREATE TABLE said (words BLOB)"))
    one_file.write(lambda tx: tx.connection.exec_driver_sql("INSERT INTO said VALUES (?)", (b"distinctive" * 1000,)))
    with one_file.read() as snapshot:
        snapshot.connection.exec_driver_sql("SELECT count(*) FROM said").close()
        one_file.write(lambda tx: tx.connection.exec_driver_sql("DELETE FROM said"))
        assert not one_file.forget_freed()
    assert any(b"distinctive" in path.read_bytes() for path in tmp_path.iterdir())
    assert one_file.forget_freed()
    assert not any(b"distinctive" in path.read_bytes() for path in tmp_path.iterdir())


def test_a_write_to_sqlite_takes_the_lock_before_its_function_runs(one_file: Database, tmp_path: Path) -> None:
    waited, entered = threading.Event(), threading.Event()
    tries: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        tries.append(statement)
        if len(tries) > 1:
            waited.set()

    with contextlib.closing(sqlite3.connect(tmp_path / "one.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        sa.event.listen(one_file.engine, "before_cursor_execute", note)
        future = one_file.submit(lambda tx: entered.set())
        assert waited.wait(30)
        assert (entered.is_set(), set(tries)) == (False, {"BEGIN IMMEDIATE"})
        holder.execute("ROLLBACK")
        future.result(30)
    assert entered.is_set()


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match="mysql"):
        Database.open("mysql://x", SystemClock())


ROWS_A_WRITER, LONGEST_RUN = 150, 60
TURNS = sa.Table("turns", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True, autoincrement=True), sa.Column("writer", sa.Integer))


def _take_turns(path: Path, writer: int, ready: threading.Barrier) -> None:
    database = Database.open(f"sqlite:///{path}", SystemClock())
    with database.read() as snapshot:
        snapshot.connection.execute(sa.select(TURNS)).all()
    ready.wait(60)
    for _ in range(ROWS_A_WRITER):
        database.write(lambda tx: tx.connection.execute(sa.insert(TURNS).values(writer=writer)))
    database.close()


def test_three_processes_share_one_sqlite_file_and_none_starves(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    database = Database.open(f"sqlite:///{path}", SystemClock())
    database.write(lambda tx: TURNS.create(tx.connection))
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(3)
    writers = [context.Process(target=_take_turns, args=(path, writer, ready)) for writer in range(3)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    with database.read() as snapshot:
        took = list(snapshot.connection.execute(sa.select(TURNS.c.writer).order_by(TURNS.c.id)).scalars())
    database.close()
    assert [took.count(writer) for writer in range(3)] == [ROWS_A_WRITER] * 3
    # Once a writer has all its rows, the others share among fewer: only until then are runs compared.
    shared = took[: min(max(place for place, one in enumerate(took) if one == writer) for writer in range(3))]
    assert max(len(list(run)) for _, run in itertools.groupby(shared)) <= LONGEST_RUN, took
