"""Statements compiled once and handed to the driver as text: for the paths that every logged value takes.

SQLAlchemy spends more time on the parameters of a small statement than SQLite on the statement. Owns the shortcut; what is
executed is still the Core statement that the table's columns say.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import psycopg

from modelyard.storage.database import Dialect, Snapshot, Transaction


class Prepared:
    """A statement with named parameters, as text for either driver. `build` gets the dialect's name."""

    def __init__(self, build: Callable[[Dialect], sa.Executable]) -> None:
        self._build = build
        self._texts: dict[Dialect, str] = {}

    def text(self, dialect: Dialect) -> str:
        """The statement as the driver takes it."""
        found = self._texts.get(dialect)
        if found is None:
            found = self._texts[dialect] = _compiled(self._build(dialect), dialect)
        return found

    def run(self, tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
        """Executes the statement for each row of parameters."""
        if rows:
            tx.connection.exec_driver_sql(self.text(tx.dialect), list(rows))


class PreparedSelect:
    """A query over lists of texts, such as `run_id IN (...)`: `build` gets the values of each list, by name, for its `in_`.

    A list is one parameter, an array or its JSON: the text stays the same however long the list is.
    """

    def __init__(self, build: Callable[..., sa.Select[Any]], *lists: str) -> None:
        self._build = build
        self._lists = lists
        self._texts: dict[Dialect, str] = {}

    def rows(self, snapshot: Snapshot, *lists: Sequence[str]) -> Sequence[Any]:
        """The rows that the query finds; none where a list is empty. A value that comes twice counts once."""
        if not all(lists):
            return ()
        text = self._texts.get(snapshot.dialect)
        if text is None:
            values = [_listed(name, snapshot.dialect) for name in self._lists]
            text = self._texts[snapshot.dialect] = _compiled(self._build(*values), snapshot.dialect)
        given: dict[str, Any] = dict(zip(self._lists, lists, strict=True))
        if snapshot.dialect == "sqlite":
            given = {name: msgspec.json.encode(values).decode() for name, values in given.items()}
        return snapshot.connection.exec_driver_sql(text, given).all()


def _listed(name: str, dialect: Dialect) -> sa.Select[Any]:
    """The texts of a list that is handed over as one parameter, as rows."""
    if dialect == "postgresql":
        return sa.select(sa.func.unnest(sa.bindparam(name, type_=postgresql.ARRAY(sa.Text))))
    return sa.select(sa.func.json_each(sa.bindparam(name)).table_valued("value").c.value)


def insert_of(table: sa.Table, names: Sequence[str], dialect: Dialect) -> Any:
    """An insert of those columns, each under a parameter of its name, to which a conflict's clause can be added."""
    insert = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)
    return insert.values({name: sa.bindparam(name, type_=table.c[name].type) for name in names})


def _compiled(statement: sa.Executable, dialect: Dialect) -> str:
    assert isinstance(statement, sa.ClauseElement)
    return str(statement.compile(dialect=_dialect(dialect)))


@functools.cache
def _dialect(dialect: Dialect) -> sa.Dialect:
    if dialect == "postgresql":
        return psycopg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    return sqlite.dialect(paramstyle="named")
