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
        if len(rows) == 1:  # psycopg opens a pipeline for a list, and waits once more
            tx.connection.exec_driver_sql(self.text(tx.dialect), dict(rows[0]))
        elif rows:
            tx.connection.exec_driver_sql(self.text(tx.dialect), list(rows))


class _Query:
    """A query as text for either driver, with the constants that it was built with. `build` gets the dialect's name."""

    def __init__(self, build: Callable[[Dialect], sa.Select[Any]]) -> None:
        self._build = build
        self._made: dict[Dialect, tuple[str, dict[str, Any]]] = {}

    def execute(self, snapshot: Snapshot, given: Mapping[str, Any]) -> sa.CursorResult[Any]:
        """What it finds with the parameters that are given."""
        made = self._made.get(snapshot.dialect)
        if made is None:
            compiled = self._build(snapshot.dialect).compile(dialect=_dialect(snapshot.dialect))
            constants = {name: value for name, value in compiled.params.items() if name not in given}
            made = self._made[snapshot.dialect] = str(compiled), constants
        return snapshot.connection.exec_driver_sql(made[0], {**made[1], **given})

    def tuples(self, snapshot: Snapshot, given: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
        """The rows as the driver hands them over: for long lists, where a row object costs more than the row."""
        result = self.execute(snapshot, given)
        assert result.cursor is not None
        found: Sequence[tuple[Any, ...]] = result.cursor.fetchall()
        result.close()
        return found


class PreparedSelect:
    """A query over lists of texts, such as `run_id IN (...)`: `build` gets the values of each list, by name, for its `in_`.

    A list is one parameter, an array or its JSON: the text stays the same however long the list is.
    """

    def __init__(self, build: Callable[..., sa.Select[Any]], *lists: str) -> None:
        self._query = _Query(lambda dialect: build(*(_listed(name, dialect) for name in lists)))
        self._lists = lists

    def rows(self, snapshot: Snapshot, *lists: Sequence[str]) -> Sequence[Any]:
        """The rows that the query finds; none where a list is empty. A value that comes twice counts once."""
        return self._query.execute(snapshot, self._given(snapshot, lists)).all() if all(lists) else ()

    def tuples(self, snapshot: Snapshot, *lists: Sequence[str]) -> Sequence[tuple[Any, ...]]:
        """The same as plain tuples."""
        return self._query.tuples(snapshot, self._given(snapshot, lists)) if all(lists) else ()

    def _given(self, snapshot: Snapshot, lists: tuple[Sequence[str], ...]) -> dict[str, Any]:
        given: dict[str, Any] = dict(zip(self._lists, lists, strict=True))
        if snapshot.dialect == "sqlite":
            given = {name: msgspec.json.encode(values).decode() for name, values in given.items()}
        return given


class PreparedPairs:
    """A query over pairs of a text and a number, such as a model and a version: `build` gets them as a table with those two columns.

    The pairs are one parameter: the text of the query stays the same however many there are.
    """

    def __init__(self, build: Callable[[sa.Subquery], sa.Select[Any]]) -> None:
        self._query = _Query(lambda dialect: build(_paired(dialect)))

    def tuples(self, snapshot: Snapshot, pairs: Sequence[tuple[str, int]]) -> Sequence[Any]:
        """The rows that the query finds, as plain tuples; none where there are no pairs. A pair that comes twice counts twice."""
        if not pairs:
            return ()
        # SQLite takes a text apart in three quarters of the time that it takes for JSON in JSON.
        given = [f"{number} {text}" for text, number in pairs] if snapshot.dialect == "sqlite" else pairs
        return self._query.tuples(snapshot, {"pairs": msgspec.json.encode(given).decode()})


def _paired(dialect: Dialect) -> sa.Subquery:
    """The pairs that are handed over as one parameter, as rows of `text` and `number`."""
    given: sa.ColumnElement[Any] = sa.bindparam("pairs")
    if dialect == "postgresql":
        pair = sa.func.jsonb_array_elements(sa.cast(given, postgresql.JSONB)).table_valued("value").c.value
        text, number = (pair.op("->>")(sa.literal_column(place)) for place in "01")
        return _named(text, number)
    value = sa.func.json_each(given).table_valued("value").c.value
    return _named(sa.func.substr(value, sa.func.instr(value, sa.literal_column("' '")) + sa.literal_column("1")), value)


def _named(text: sa.ColumnElement[Any], number: sa.ColumnElement[Any]) -> sa.Subquery:
    return sa.select(text.label("text"), sa.cast(number, sa.Integer).label("number")).subquery("pairs")


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
