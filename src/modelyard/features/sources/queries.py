"""A table or query of a database as a source: read in one read-only transaction, in bulk, into typed rows.

A database has nothing for free that tells whether rows have changed. So what was read is the state: its digest is that of the rows,
which the database puts in order by all their columns.
"""

import re
import sqlite3
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import polars as pl
import sqlalchemy as sa

from modelyard.core.digests import Digest
from modelyard.features.domain import ColumnType, SourceUnreadable, Sql
from modelyard.features.domain.entities import is_column_name
from modelyard.features.sources.cells import Cells
from modelyard.features.sources.reach import connection_url
from modelyard.features.sources.spools import Spool, forget_spools, kept_spool
from modelyard.storage.objects import first_line
from modelyard.storage.rows import RowDigest

ROWS_AT_ONCE = 50_000
FRESH_S = 60.0
"""How long joins may go on with what was read: their parts then see the same rows. Materialization reads anew."""
CONNECT_S = 10
# What a read of SQLite may do; ATTACH, which would lead to any file of the machine, is none of it.
_READS = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE, sqlite3.SQLITE_TRANSACTION}
)


def open_sql(source: Sql) -> "Rows":
    """The rows of `source`: read now, or less than `FRESH_S` ago. Raises SourceUnreadable and SourceDrifted."""
    url = connection_url(source.connection)
    return Rows(source.place, kept_spool((source, url), lambda: _read(source, url), most_age_s=FRESH_S))


def renew_queries(sources: Iterable[object]) -> None:
    """Has the databases among `sources` be read anew when they are opened next."""
    meant = {one for one in sources if isinstance(one, Sql)}
    if meant:
        forget_spools(lambda key: isinstance(key, tuple) and key[0] in meant)


@dataclass(frozen=True)
class Rows:
    """The rows of a query as they were read."""

    place: str
    spool: Spool

    @property
    def state(self) -> Hashable:
        """The digest of the rows."""
        return self.spool.digest

    def digest(self) -> Digest:
        """The digest of the rows in their order."""
        return self.spool.digest

    def schema(self) -> Mapping[str, pl.DataType]:
        """The columns and their types."""
        return self.spool.schema

    def count(self) -> int:
        """How many rows there are."""
        return self.spool.count()

    def scan(self) -> pl.LazyFrame:
        """The rows with `ROW`."""
        return self.spool.scan()


def statement_of(source: Sql, present: Sequence[str]) -> sa.Select[*tuple[Any, ...]]:
    """The one SELECT that reads `source`: of declared columns those alone that are `present`, and in their order."""
    wanted = dict.fromkeys([*source.times, *(one.name for one in source.columns)]) if source.columns else filter(is_column_name, present)
    columns: list[Any] = [sa.column(name) for name in wanted if name in present]
    return sa.select(*columns).select_from(_origin(source)).order_by(*(columns if source.columns else []))


def _origin(source: Sql) -> sa.FromClause | sa.TextClause:
    if source.table:
        schema, _, table = source.table.rpartition(".")
        return sa.table(table, schema=schema or None)
    # Inside of the brackets nothing but a query can stand; the line break ends a comment at its end.
    return sa.text(f"(\n{_literal(source.query)}\n) AS source")


def _literal(query: str) -> str:
    return re.sub(r":", r"\\:", query)


def _read(source: Sql, url: str) -> Spool:
    spool, running = Spool(), RowDigest()
    declared: dict[str, ColumnType] = {one.name: one.dtype for one in source.columns} | dict.fromkeys(source.times, "time")
    try:
        engine = _engine(url)
        with engine.connect() as connection:
            options = {"postgresql_readonly": True} if engine.dialect.name == "postgresql" else {}
            reading = connection.execution_options(**options)
            present = list(reading.execute(sa.select(sa.text("*")).select_from(_origin(source)).limit(0)).keys())
            streaming = reading.execution_options(stream_results=True, yield_per=ROWS_AT_ONCE)
            found = streaming.execute(statement_of(source, _checked(source, present)))
            cells = Cells(source.place, list(found.keys()), declared)
            for rows in found.partitions(ROWS_AT_ONCE):
                cells.frame(rows).write_parquet(spool.new_part())
    except (sa.exc.SQLAlchemyError, sqlite3.Error, ImportError, ValueError) as error:
        raise _unreadable(source, error) from error
    types = cells.types()
    spool.schema = types
    for part in spool.parts:
        frame = pl.read_parquet(part)
        if frame.schema != types:
            frame = frame.cast(pl.Schema(types))
            frame.write_parquet(part)
        running.update(frame)
    running.update(pl.DataFrame(schema=types))
    spool.digest, spool.made = running.digest(), time.monotonic()
    return spool


def _checked(source: Sql, names: Sequence[str]) -> Sequence[str]:
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise SourceUnreadable(f"{source.place} has two columns {twins[0]!r}", hint="name each column once: SELECT a.id AS a_id, ...")
    return names


def _unreadable(source: Sql, error: Exception) -> SourceUnreadable:
    # The driver's own words: SQLAlchemy's come with the statement, and a link to its manual.
    said = first_line(error.orig if isinstance(error, sa.exc.DBAPIError) and isinstance(error.orig, Exception) else error)
    return SourceUnreadable(
        f"{source.place} cannot be read: {said}", hint=f"check the connection {source.connection}, its tables and its rights"
    )


def _engine(url: str) -> sa.Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        path = parsed.database or ""
        return sa.create_engine("sqlite://", creator=lambda: _sqlite(path), poolclass=sa.NullPool)
    if parsed.get_backend_name() == "postgresql":
        named = parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed
        return sa.create_engine(named, poolclass=sa.NullPool, connect_args={"connect_timeout": CONNECT_S})
    return sa.create_engine(parsed, poolclass=sa.NullPool)


def _sqlite(path: str) -> sqlite3.Connection:
    made = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, check_same_thread=False)
    made.set_authorizer(_authorized)
    return made


def _authorized(action: int, _: str | None, value: str | None, *__: str | None) -> int:
    is_read = action in _READS or (action == sqlite3.SQLITE_PRAGMA and value is None)
    return sqlite3.SQLITE_OK if is_read else sqlite3.SQLITE_DENY
