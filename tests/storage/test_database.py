"""Transactions over both databases: durable before answered, alone in their failures, fair between processes."""

import contextlib
import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from modelyard.core.clock import FixedClock, Instant, SystemClock
from modelyard.core.errors import InvalidInput
from modelyard.storage.database import Database, DatabaseUnavailable, Transaction
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


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match="mysql"):
        Database.open("mysql://x", SystemClock())


def _write_many(path: Path, first: int, waits: "multiprocessing.Queue[float]") -> None:
    database = Database.open(f"sqlite:///{path}", SystemClock())
    longest = 0.0
    for number in range(first, first + 150):
        began = time.monotonic()
        database.write(lambda tx, number=number: tx.connection.execute(put(number)))  # type: ignore[misc]
        longest = max(longest, time.monotonic() - began)
    database.close()
    waits.put(longest)


def test_three_processes_share_one_sqlite_file_and_none_starves(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    database = Database.open(f"sqlite:///{path}", SystemClock())
    database.write(lambda tx: NUMBERS.create(tx.connection))
    context = multiprocessing.get_context("spawn")
    waits: multiprocessing.Queue[float] = context.Queue()
    writers = [context.Process(target=_write_many, args=(path, first, waits)) for first in (0, 1000, 2000)]
    for writer in writers:
        writer.start()
    longest = [waits.get(timeout=60) for _ in writers]
    for writer in writers:
        writer.join()
    assert len(held(database)) == 450
    database.close()
    # No timing is asserted beyond the one that tells sharing from starving: SQLite's own handler kept writers waiting for seconds.
    assert max(longest) < 10
