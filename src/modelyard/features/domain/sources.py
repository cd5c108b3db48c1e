"""Sources as users declare them: files, Delta tables, queries, and events that are pushed. Owns their rules; reads none."""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import quote

import msgspec
from msgspec.structs import force_setattr, replace

from modelyard.core.errors import InvalidInput
from modelyard.core.names import checked_name
from modelyard.features.domain.entities import column_name, named, without_twins
from modelyard.features.domain.errors import InvalidDeclaration
from modelyard.features.domain.types import DType, DTypeLike, dtype_of

ColumnType = DType | Literal["time"]
SCHEMES = ("s3", "gs", "az")
_ADDRESS = re.compile(rf"({'|'.join(SCHEMES)})://[A-Za-z0-9][A-Za-z0-9._-]*/[^?#\\]+")
_SAID = 60
_TABLE_COLUMN = re.compile(r"[^ ,;{}()\n\t=]{1,120}")
_PUSH = 'Push("clicks", timestamp="at", columns={"user": str, "amount": float})'
PUSH_NUMBER = "push_number"
"""The column of the table of pushed events that says with which push each came. No column of a user's has this name."""


class Column(msgspec.Struct, frozen=True):
    """A column of a source that does not say its own types, and the type that its values have."""

    name: str
    dtype: ColumnType


Columns = Mapping[str, DTypeLike | Literal["time"]] | tuple[Column, ...]


class Parquet(msgspec.Struct, frozen=True, omit_defaults=True, tag="parquet"):
    """A source: Parquet files with a column of event times, where they have one, and of creation times.

    `path` is a file, a folder or a pattern such as `departures/*.parquet`, relative to the project, or the like in an
    object store: `s3://bucket/departures/`. A row counts from the later of its two times on. Times without a zone are
    UTC. Rows without times are good for plain training rows alone.
    """

    path: str
    timestamp: str = ""
    created: str | None = None
    kind: ClassVar[str] = "Parquet"

    if TYPE_CHECKING:

        def __init__(self, path: str, timestamp: str = "", created: str | None = None) -> None: ...

    def __post_init__(self) -> None:
        """Raises InvalidDeclaration for an empty path, an address that is not read or two equal columns."""
        _check_path(self.path, 'Parquet("data/weather.parquet", timestamp="time_hour")')
        _check_times(self)

    @property
    def times(self) -> tuple[str, ...]:
        """The columns that hold its times; none where its rows have none."""
        return _times(self)

    @property
    def place(self) -> str:
        """Where its rows lie, in words."""
        return self.path


class Csv(msgspec.Struct, frozen=True, omit_defaults=True, tag="csv"):
    """A source: CSV files in UTF-8 whose first line names the columns. `path` and times are as those of Parquet.

    A text does not say its type: `columns` does, for all that is read beside the times (`time` for a further instant).
    Types that are left out are inferred from all rows when the source is applied, and stay as they are from then on.
    An empty field is a null, an empty text in quotes is a text. Times are written as ISO 8601.

    >>> Csv("sales.csv", "at", columns={"shop": str, "amount": float}).columns
    (Column(name='shop', dtype='string'), Column(name='amount', dtype='float64'))
    """

    path: str
    timestamp: str = ""
    created: str | None = None
    separator: str = ","
    columns: tuple[Column, ...] = ()
    kind: ClassVar[str] = "CSV"

    if TYPE_CHECKING:

        def __init__(
            self, path: str, timestamp: str = "", created: str | None = None, *, separator: str = ",", columns: Columns = ()
        ) -> None: ...

    def __post_init__(self) -> None:
        """Raises InvalidDeclaration for what no CSV file can be."""
        _check_path(self.path, 'Csv("data/sales.csv", timestamp="sold_at")')
        _check_times(self)
        if not isinstance(self.separator, str) or len(self.separator.encode()) != 1 or self.separator in '"\r\n':
            raise InvalidDeclaration(f"{self.separator!r} cannot separate the columns of {self.path}", hint='separator=";"')
        force_setattr(self, "columns", _columns(self.columns, self.path))

    @property
    def times(self) -> tuple[str, ...]:
        """The columns that hold its times; none where its rows have none."""
        return _times(self)

    @property
    def place(self) -> str:
        """Where its rows lie, in words."""
        return self.path


class Delta(msgspec.Struct, frozen=True, omit_defaults=True, tag="delta"):
    """A source: a Delta table, in a folder or at an address such as `s3://bucket/sales`; its newest version, or always `version`.

    Times are as those of Parquet.
    """

    path: str
    timestamp: str = ""
    created: str | None = None
    version: int | None = None
    kind: ClassVar[str] = "Delta"

    if TYPE_CHECKING:

        def __init__(self, path: str, timestamp: str = "", created: str | None = None, *, version: int | None = None) -> None: ...

    def __post_init__(self) -> None:
        """Raises InvalidDeclaration for an empty path, a pattern or a version below zero."""
        _check_path(self.path, 'Delta("data/sales", timestamp="sold_at")')
        _check_times(self)
        if any(letter in self.path for letter in "*?["):
            raise InvalidDeclaration(f"{self.path[:80]} is a pattern, and a Delta table is one folder", hint="name the table's folder")
        if self.version is not None and (type(self.version) is not int or self.version < 0):
            raise InvalidDeclaration(f"{self.path}: no Delta table has a version {self.version!r}", hint="leave it out for the newest")

    @property
    def times(self) -> tuple[str, ...]:
        """The columns that hold its times; none where its rows have none."""
        return _times(self)

    @property
    def place(self) -> str:
        """Where its rows lie, in words."""
        return self.path


class Sql(msgspec.Struct, frozen=True, omit_defaults=True, tag="sql"):
    """A source: the rows of a `table` or of a `query` in a database.

    `connection` is the name under which the server's settings know the database (`features.connections`), so that no
    declaration holds a password or leads anywhere else. A database's types are not those of features: `columns` says them
    as for CSV, and what is left out is inferred from all rows when the source is applied.
    """

    connection: str
    table: str = ""
    query: str = ""
    timestamp: str = ""
    created: str | None = None
    columns: tuple[Column, ...] = ()
    kind: ClassVar[str] = "SQL"

    if TYPE_CHECKING:

        def __init__(  # noqa: PLR0913 - a declaration names each of its parts
            self,
            connection: str,
            *,
            table: str = "",
            query: str = "",
            timestamp: str = "",
            created: str | None = None,
            columns: Columns = (),
        ) -> None: ...

    def __post_init__(self) -> None:
        """Raises InvalidDeclaration for an address in place of a name, and unless there is either a table or a query."""
        if isinstance(self.connection, str) and "://" in self.connection:
            # Not repeated: an address may hold a password.
            raise InvalidDeclaration("a source names a connection, and does not hold its address", hint=_CONNECTION)
        try:
            checked_name(str(self.connection), "connection")
        except InvalidInput as error:
            raise InvalidDeclaration(error.message, hint=_CONNECTION) from error
        if bool(self.table) == bool(self.query):
            raise InvalidDeclaration(
                f"a source in {self.connection} needs either a table or a query", hint='Sql("warehouse", table="public.sales", ...)'
            )
        if ";" in self.query or "\0" in self.query + self.table:
            raise InvalidDeclaration(
                f"the query of {self.connection} holds more than one statement, or a semicolon",
                hint="write one SELECT without a semicolon; what needs more is a view in the database",
            )
        _check_times(self)
        force_setattr(self, "columns", _columns(self.columns, self.place))

    @property
    def times(self) -> tuple[str, ...]:
        """The columns that hold its times; none where its rows have none."""
        return _times(self)

    @property
    def place(self) -> str:
        """Where its rows lie, in words."""
        text = self.table or " ".join(self.query.split())
        return f"{self.connection}: {text if len(text) <= _SAID else text[:_SAID] + '…'}"


class Push(msgspec.Struct, frozen=True, omit_defaults=True, tag="push"):
    """A source: events that are pushed over HTTP, `POST /api/v1/feature-sources/{name}/events`.

    `timestamp` is the column of event times. `columns` are all others that an event may have, with their types. The server
    gives every event its creation time, in `created`: nobody sees an event before it was pushed.

    >>> Push("clicks", "at", columns={"user": str, "amount": float}).times
    ('at', 'pushed_at')
    """

    name: str
    timestamp: str
    created: str = "pushed_at"
    columns: tuple[Column, ...] = ()
    kind: ClassVar[str] = "Push"

    if TYPE_CHECKING:

        def __init__(self, name: str, timestamp: str, created: str = "pushed_at", *, columns: Columns) -> None: ...

    def __post_init__(self) -> None:
        """Raises InvalidDeclaration for a name or a column that no table can have, without columns, and for a time among them."""
        if named(self.name, "pushed source").lower().endswith(".delta"):
            raise InvalidDeclaration(f"no pushed source is named {self.name[:80]!r}: its table would be", hint="leave out .delta")
        _check_times(self)
        columns = _columns(self.columns, self.name)
        if not columns or not self.timestamp:
            raise InvalidDeclaration(f"the events of {self.name} need columns with their types, and a column of event times", hint=_PUSH)
        without_twins([one.lower() for one in (*self.times, *(column.name for column in columns))], f"{self.name}, small and capital alike")
        for name in (*self.times, *(column.name for column in columns)):
            if not _TABLE_COLUMN.fullmatch(name) or name.lower() == PUSH_NUMBER:
                raise InvalidDeclaration(f"{self.name}: {name!r} cannot name a column of pushed events", hint="without blanks and ,;{}()=")
        force_setattr(self, "columns", columns)

    @property
    def times(self) -> tuple[str, ...]:
        """The columns that hold its times."""
        return _times(self)

    @property
    def types(self) -> dict[str, ColumnType]:
        """All its columns with their types, in the order in which they are kept."""
        times: dict[str, ColumnType] = {self.timestamp: "time", self.created: "time"}
        return times | {one.name: one.dtype for one in self.columns}

    @property
    def place(self) -> str:
        """Where its rows lie, in words."""
        return self.name


Source = Parquet | Csv | Delta | Sql | Push
"""Where a view's rows come from."""

_CONNECTION = 'name it in the settings of the server, features.connections.warehouse = "postgresql://...", and here: Sql("warehouse", ...)'


def is_address(path: str) -> bool:
    """Whether a path leads into an object store."""
    return "://" in path


def uri_of(source: Source) -> str:
    """Where a source lies, as a URI: a path relative to the project, an address, or the name of a connection with the table.

    >>> uri_of(Parquet("w.parquet", "at")), uri_of(Sql("warehouse", table="sales", timestamp="at"))
    ('file:w.parquet', 'connection:warehouse#sales')
    """
    if isinstance(source, Sql):
        return f"connection:{source.connection}#{quote(source.table or source.query)}"
    if isinstance(source, Push):
        return f"push:{source.name}"
    return source.path if is_address(source.path) else f"file:{source.path}"


def pinned(source: Source, columns: Iterable[Column]) -> Source:
    """`source` with these types, where it does not say its own and none are declared."""
    if isinstance(source, Csv | Sql) and not source.columns:
        return replace(source, columns=tuple(one for one in columns if one.name not in source.times))
    return source


def _times(source: Source) -> tuple[str, ...]:
    return tuple(name for name in (source.timestamp, source.created) if name)


def _check_path(path: Any, example: str) -> None:
    if not isinstance(path, str) or not path or not path.isprintable():
        raise InvalidDeclaration("a source needs the path of its files", hint=example)
    if "://" not in path:
        return
    authority = path.partition("://")[2].partition("/")[0]
    if "@" in authority:
        raise InvalidDeclaration(
            "the address of a source holds a user or a password",  # not repeated, for that very reason
            hint="leave them out: the server's environment or features.options hold what opens the store",
        )
    if not _ADDRESS.fullmatch(path) or ".." in path.split("/"):
        raise InvalidDeclaration(
            f"{path[:80]} is no address that sources are read from", hint=f"{' or '.join(f'{one}://bucket/path' for one in SCHEMES)}"
        )


def _check_times(source: Source) -> None:
    if source.timestamp != "" or source.created is not None:
        column_name(source.timestamp, "the column of event times")
    if source.created is not None and column_name(source.created, "the column of creation times") == source.timestamp:
        raise InvalidDeclaration(
            f"{source.place}: {source.created!r} is the event time and the creation time",
            hint="leave out created: it is the event time then",
        )


def _columns(given: Any, place: str) -> tuple[Column, ...]:
    pairs = given.items() if isinstance(given, Mapping) else [(one.name, one.dtype) for one in given]
    made = tuple(
        Column(column_name(name, "a column"), "time" if dtype == "time" else dtype_of(dtype, f"the column {name!r} of {place}"))
        for name, dtype in pairs
    )
    without_twins([one.name for one in made], place)
    return made
