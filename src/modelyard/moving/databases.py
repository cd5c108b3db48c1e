"""A database that is only read: SQLite or PostgreSQL, by its address, without a library on top. Knows no table."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from modelyard.core.errors import InvalidInput
from modelyard.moving.domain import SourceOdd, SourceUnreachable

AT_ONCE = 20_000
Rows = Iterator[Sequence[Any]]


class ReadDatabase:
    """A database that is open for reading."""

    def __init__(self, connection: Any, errors: tuple[type[Exception], ...], columns_query: str) -> None:
        self._connection = connection
        self._errors = errors
        self._columns_query = columns_query
        self._is_sqlite = isinstance(connection, sqlite3.Connection)
        self._count = 0

    def close(self) -> None:
        """Closes it."""
        self._connection.close()

    def batches(self, statement: str, values: Sequence[Any] = ()) -> Iterator[list[Sequence[Any]]]:
        """The rows of a query, some at a time; `?` stands for a value, `??` for a whole list of them, the last of `values`."""
        if "??" in statement:
            *single, several = values
            statement, values = statement.replace("??", ", ".join("?" * len(several))), [*single, *several]
        try:
            cursor = self._cursor()
            cursor.execute(statement if self._is_sqlite else statement.replace("?", "%s"), values)
            while rows := cursor.fetchmany(AT_ONCE):
                yield rows
            cursor.close()
        except self._errors as error:
            raise SourceOdd(f"the database cannot be read: {str(error)[:200]}", hint="is it MLflow's?") from error

    def rows(self, statement: str, values: Sequence[Any] = ()) -> Rows:
        """The rows of a query."""
        for batch in self.batches(statement, values):
            yield from batch

    def columns(self, table: str) -> set[str]:
        """The names of a table's columns; none where there is no such table."""
        return {str(row[0]) for row in self.rows(self._columns_query, (table,))}

    def _cursor(self) -> Any:
        if self._is_sqlite:
            return self._connection.cursor()
        # One with a name stays on the server and comes in parts.
        self._count += 1
        return self._connection.cursor(name=f"modelyard_{self._count}")


def opened(url: str) -> ReadDatabase:
    """The database at `sqlite:///path` or `postgresql://...`. Raises InvalidInput and SourceUnreachable."""
    scheme = urlsplit(url).scheme.partition("+")[0]
    openers: dict[str, Callable[[str], ReadDatabase]] = {"sqlite": _sqlite, "postgresql": _postgresql, "postgres": _postgresql}
    if scheme not in openers:
        raise InvalidInput(f"{scheme[:40]!r} is no address that is known", hint="http(s)://..., sqlite:///FILE or postgresql://...")
    return openers[scheme](url)


def sqlite_path(url: str) -> Path:
    """The file of a SQLite address: behind `sqlite:///` a relative path, behind `sqlite:////` an absolute one."""
    return Path(unquote(url.partition("://")[2].partition("?")[0].removeprefix("/")))


def _sqlite(url: str) -> ReadDatabase:
    path = sqlite_path(url)
    if not path.is_file():
        raise SourceUnreachable(f"there is no file {path}", hint="sqlite:///FILE is relative to this folder, sqlite:////FILE is absolute")
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    errors: tuple[type[Exception], ...] = (sqlite3.Error, UnicodeDecodeError)
    return ReadDatabase(connection, errors, "SELECT name FROM pragma_table_info(?)")


def _postgresql(url: str) -> ReadDatabase:
    try:
        psycopg = import_module("psycopg")
    except ImportError as error:
        raise InvalidInput("PostgreSQL is read by psycopg, which is not installed", hint="pip install 'modelyard[postgres]'") from error
    parts = urlsplit(url)
    try:
        connection = psycopg.connect(parts._replace(scheme="postgresql").geturl(), connect_timeout=20)
    except psycopg.Error as error:
        raise SourceUnreachable(f"{parts.hostname} does not answer: {str(error)[:200]}", hint="is the address right?") from error
    connection.read_only = True
    # One state of everything, however long reading it takes.
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    query = "SELECT column_name FROM information_schema.columns WHERE table_name = ? AND table_schema = ANY(current_schemas(false))"
    return ReadDatabase(connection, (psycopg.Error, UnicodeDecodeError), query)
