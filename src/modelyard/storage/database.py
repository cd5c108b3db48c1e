"""Transactions over SQLite and PostgreSQL: consistent reads, and writes that share one durable commit.

Owns connections and the order of commits; owns no table. Writes are functions of a transaction: concurrent ones are
gathered into one commit, each behind a savepoint of its own, and their callers are answered after it is durable.
"""

import contextlib
import contextvars
import queue
import random
import sqlite3
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Literal, TypeVar, cast

import sqlalchemy as sa

from modelyard.core.clock import Clock, Instant, ReplayClock
from modelyard.core.errors import InvalidInput, Kind, ModelyardError, Overloaded

T = TypeVar("T")
Dialect = Literal["sqlite", "postgresql"]

MOST_IN_ONE_COMMIT = 256
COMMIT_AFTER_S = 0.005
WRITE_WAIT_S = 15.0
FORGET_WAIT_S = 2.0
RETRY_S = (0.0002, 0.001)
POSTGRESQL_WRITERS = 4
CONFLICT_STATES = frozenset({"40001", "40P01"})
TRIES_AFTER_CONFLICT = 8
STEPS_BETWEEN_LOOKS = 10_000


class DatabaseUnavailable(ModelyardError):
    """The database does not answer."""

    kind = Kind.UNREACHABLE


class TooManySteps(Exception):
    """A query took more steps than its caller gave it. For that caller, which has another way; users never see it."""


class StoredClock(ReplayClock):
    """A replay's clock that lies in the database: a transaction reads it on its own connection, as of its own state."""

    def __init__(self, read: Callable[[], Instant], read_in: Callable[[sa.Connection], Instant]) -> None:
        super().__init__(read, fresh_s=0.0)
        self.read_in = read_in


class Snapshot:
    """A read transaction: one consistent state, and the clock."""

    def __init__(self, connection: sa.Connection, clock: Clock, dialect: Dialect) -> None:
        self.connection = connection
        self.clock = clock
        self.dialect: Dialect = dialect

    def now(self) -> Instant:
        """The event time."""
        return self.clock.read_in(self.connection) if isinstance(self.clock, StoredClock) else self.clock.now()

    def wall(self) -> Instant:
        """The machine's time."""
        return self.clock.wall()

    @contextlib.contextmanager
    def bounded(self, steps: int) -> Iterator[None]:
        """Ends a query of the block after so many steps of SQLite's virtual machine. Raises TooManySteps; never on PostgreSQL."""
        if self.dialect == "postgresql":
            yield
            return
        driver = self.connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        left = iter(range(steps // STEPS_BETWEEN_LOOKS))
        driver.set_progress_handler(lambda: next(left, None) is None, STEPS_BETWEEN_LOOKS)
        try:
            yield
        except sa.exc.OperationalError as error:
            if getattr(error.orig, "sqlite_errorcode", 0) != sqlite3.SQLITE_INTERRUPT:
                raise
            raise TooManySteps(f"a query took more than {steps} steps") from error
        finally:
            driver.set_progress_handler(None, 0)

    def lease_time(self) -> Instant:
        """The time that leases go by: the database's own on PostgreSQL, so that no machine's clock matters."""
        if self.dialect == "sqlite":
            return self.wall()
        seconds = self.connection.exec_driver_sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").scalar_one()
        return Instant(int(seconds))


class Transaction(Snapshot):
    """A write transaction. What it changes is visible and durable once its caller is answered."""

    def __init__(self, connection: sa.Connection, clock: Clock, dialect: Dialect) -> None:
        super().__init__(connection, clock, dialect)
        self._hooks: list[Callable[[], None]] = []

    def after_commit(self, hook: Callable[[], None]) -> None:
        """Has `hook` run once after the durable commit, before the caller is answered. It must be quick."""
        self._hooks.append(hook)

    def run_hooks(self) -> None:
        """Runs the hooks; for `Database` only."""
        for hook in self._hooks:
            hook()


class _Write:
    __slots__ = ("context", "future", "result", "transaction", "work")

    def __init__(self, work: Callable[[Transaction], Any]) -> None:
        self.work = work
        # What the caller's log lines and traces carry, the writer's carry too.
        self.context = contextvars.copy_context()
        self.future: Future[Any] = Future()
        self.result: Any = None
        self.transaction: Transaction | None = None


class Database:
    """A database that is open: reads on many connections, writes through its writer threads.

    SQLite has one writer a process, PostgreSQL a few. Processes that write to one SQLite file take turns by short
    jittered retries, which share fairly where SQLite's own busy handler starves all but one.
    """

    def __init__(self, engine: sa.Engine, clock: Clock) -> None:
        self.clock = clock
        self.engine = engine
        self.dialect: Dialect = "postgresql" if engine.dialect.name == "postgresql" else "sqlite"
        self._writes: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._closed = False
        count = POSTGRESQL_WRITERS if self.dialect == "postgresql" else 1
        self._threads = [threading.Thread(target=self._write_until_closed, name=f"database-writer-{n}", daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    @classmethod
    def open(cls, url: str, clock: Clock) -> "Database":
        """The database at `sqlite:///path` or `postgresql://...`. Raises InvalidInput for any other address."""
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite":
            engine = sa.create_engine(parsed, poolclass=sa.QueuePool, pool_size=8, max_overflow=-1)
            sa.event.listen(engine, "connect", _prepare_sqlite)
            sa.event.listen(engine, "begin", _begin_sqlite)
        elif parsed.get_backend_name() == "postgresql":
            engine = sa.create_engine(parsed.set(drivername="postgresql+psycopg"), pool_size=8, max_overflow=24, pool_pre_ping=True)
        else:
            raise InvalidInput(
                f"{parsed.drivername!r} is no database that is known", hint="write sqlite:///path/to/file or postgresql://..."
            )
        return cls(engine, clock)

    def with_clock(self, clock: Clock) -> "Database":
        """The same database under another clock, with writers of its own; close both."""
        return Database(self.engine, clock)

    @contextlib.contextmanager
    def read(self) -> Iterator[Snapshot]:
        """A read transaction, ended with the block."""
        with self._connection() as connection:
            if self.dialect == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield Snapshot(connection, self.clock, self.dialect)

    def check(self) -> None:
        """Reads from it once. Raises DatabaseUnavailable where that fails."""
        if self._closed:
            raise _closed()
        try:
            with self.read() as snapshot:
                snapshot.connection.exec_driver_sql(_READS[self.dialect]).close()
        except sa.exc.SQLAlchemyError as error:
            raise DatabaseUnavailable(f"the database cannot be read: {error}", hint="check the address in modelyard.toml") from error

    def forget_freed(self) -> bool:
        """Has nothing of what was deleted before stay in SQLite's write-ahead log; false where readers or writers stood in the way.

        PostgreSQL looks after what it has freed by itself, and is left alone.
        """
        if self.dialect == "postgresql":
            return True
        until = time.monotonic() + FORGET_WAIT_S
        while self._is_log_kept():
            if time.monotonic() > until:
                return False
            time.sleep(random.uniform(*RETRY_S))
        return True

    def _is_log_kept(self) -> bool:
        """Whether SQLite's log could not be emptied, because a reader needs it or somebody writes."""
        with self._connection() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            try:
                busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError:  # locked
                return True
            return bool(busy)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """What `work` returns, once its changes are durable; what it raises, with nothing changed.

        `work` may run again after a conflict, so it touches nothing but its transaction, and lasts at most a few ms.
        """
        if threading.current_thread() in self._threads:
            raise RuntimeError("a write inside a write would wait for itself: pass the transaction on")
        return self.submit(work).result()

    def submit(self, work: Callable[[Transaction], T]) -> "Future[T]":
        """The future of `write`, for callers that do not wait."""
        if self._closed:
            raise _closed()
        item = _Write(work)
        self._writes.put(item)
        return cast("Future[T]", item.future)

    def close(self) -> None:
        """Finishes what was submitted and closes every connection."""
        self._closed = True
        for _ in self._threads:
            self._writes.put(None)
        for thread in self._threads:
            thread.join()
        self.engine.dispose()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        try:
            connection = self.engine.connect()
        except sa.exc.OperationalError as error:
            raise DatabaseUnavailable(f"the database does not answer: {error.orig}", hint="check the address in modelyard.toml") from error
        with connection:
            yield connection

    def _write_until_closed(self) -> None:
        while (first := self._writes.get()) is not None:
            batch = [first]
            with contextlib.suppress(queue.Empty):
                while len(batch) < MOST_IN_ONE_COMMIT:
                    item = self._writes.get_nowait()
                    if item is None:
                        self._writes.put(None)
                        break
                    batch.append(item)
            while batch := [item for item in batch if not item.future.done()]:
                self._commit_some(batch)

    def _commit_some(self, batch: list[_Write]) -> None:
        """Commits some writes off the front of `batch` and answers them. It never raises: each future gets its end."""
        for attempt in range(TRIES_AFTER_CONFLICT):
            some = batch if attempt == 0 else [item for item in batch if not item.future.done()][:1]
            try:
                done = self._commit_once(some)
            except BaseException as error:  # noqa: BLE001 - the request boundary of the writer thread
                if _is_conflict(error) and attempt + 1 < TRIES_AFTER_CONFLICT:
                    time.sleep(random.uniform(*RETRY_S) * 2**attempt)
                    continue
                done, answer = len(some), _translated(error)
                for item in some:
                    if not item.future.done():
                        item.future.set_exception(answer)
            for item in some[:done]:
                if not item.future.done():
                    item.future.set_result(item.result)
            return

    def _commit_once(self, batch: list[_Write]) -> int:
        done = 0
        with self._connection() as connection:
            connection.info["writes"] = True
            try:
                with connection.begin():
                    until = time.monotonic() + COMMIT_AFTER_S
                    for item in batch:
                        self._run(connection, item, alone=len(batch) == 1)
                        done += 1
                        if time.monotonic() > until:
                            break
            finally:
                connection.info["writes"] = False
        for item in batch[:done]:
            if item.transaction is not None and not item.future.done():
                item.transaction.run_hooks()
        return done

    def _run(self, connection: sa.Connection, item: _Write, *, alone: bool) -> None:
        item.transaction = Transaction(connection, self.clock, self.dialect)
        if alone:
            item.result = item.context.run(item.work, item.transaction)
            return
        connection.exec_driver_sql("SAVEPOINT one_write")
        try:
            item.result = item.context.run(item.work, item.transaction)
        except BaseException as error:
            if _is_conflict(error):
                raise
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT one_write")
            item.future.set_exception(_translated(error))
        else:
            connection.exec_driver_sql("RELEASE SAVEPOINT one_write")


# On SQLite a constant would be answered without a look at the file.
_READS: dict[Dialect, str] = {"sqlite": "SELECT count(*) FROM sqlite_master", "postgresql": "SELECT 1"}


def _closed() -> DatabaseUnavailable:
    return DatabaseUnavailable("the database is closed", hint="the process is stopping; try again in a moment")


class _Doubles:
    """The aggregate `doubles(x)`: a column of numbers as one blob of eight bytes each, to the last bit, in the order of the scan.

    Handing over ten thousand rows takes several times as long as the scan; one row costs nothing to hand over.
    """

    def __init__(self) -> None:
        self._numbers = array("d")
        self.step = self._numbers.append

    def finalize(self) -> bytes:
        return self._numbers.tobytes()


def _prepare_sqlite(dbapi: sqlite3.Connection, record: sa.pool.ConnectionPoolEntry) -> None:
    # The driver must not begin transactions by itself: `_begin_sqlite` says which kind.
    dbapi.isolation_level = None
    for pragma in ("busy_timeout=5000", "journal_mode=WAL", "busy_timeout=0", "synchronous=FULL", "foreign_keys=ON", "cache_size=-32000"):
        dbapi.execute(f"PRAGMA {pragma}").close()
    # What is deleted is written over with zeros, for the sake of erasures; whether that is so by itself depends on how SQLite was built.
    dbapi.execute("PRAGMA secure_delete=ON").close()
    dbapi.create_aggregate("doubles", 1, _Doubles)  # type: ignore[arg-type]  # the stub knows aggregates that are whole numbers alone


def _begin_sqlite(connection: sa.Connection) -> None:
    statement = "BEGIN IMMEDIATE" if connection.info.get("writes") else "BEGIN"
    until = time.monotonic() + WRITE_WAIT_S
    while True:
        try:
            connection.exec_driver_sql(statement)
        except sa.exc.OperationalError as error:
            if not _is_busy(error):
                raise
            if time.monotonic() > until:
                raise Overloaded("other processes held the database for too long", hint="try again in a moment") from error
            time.sleep(random.uniform(*RETRY_S))
        else:
            return


def _is_busy(error: sa.exc.DBAPIError) -> bool:
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_conflict(error: BaseException) -> bool:
    return isinstance(error, sa.exc.DBAPIError) and (getattr(error.orig, "sqlstate", None) in CONFLICT_STATES or _is_busy(error))


def _translated(error: BaseException) -> BaseException:
    if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
        unavailable = DatabaseUnavailable(f"the database went away: {error.orig}", hint="try again in a moment")
        unavailable.__cause__ = error
        return unavailable
    return error
