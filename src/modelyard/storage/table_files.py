"""The files of a Delta table: which types it holds, how a frame becomes Parquet files, and what the log says of them.

Owns no log and no name: `tables` commits what this module has written.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import msgspec
import obstore
import polars as pl
from deltalake import DeltaTable
from deltalake import Schema as DeltaSchema
from deltalake.transaction import AddAction, RemoveAction
from obstore.store import ObjectStore

from modelyard.core.errors import InvalidInput, Kind, ModelyardError
from modelyard.core.ids import uuid7
from modelyard.storage.durable import DurableFolders, sync

# Delta readers find columns by these names in the files: none of ` ,;{}()\n\t=`.
COLUMN = re.compile(r"[^ ,;{}()\n\t=]{1,200}")
PARTITION_VALUE = re.compile(r"[A-Za-z0-9_.-]{1,100}")
# Longer texts say little about a file, and its entry in the log would grow with them.
MOST_TEXT_IN_STATISTICS = 64
UTC_MICROSECONDS = pl.Datetime("us", "UTC")

_SIMPLE: Mapping[pl.DataType, str] = {
    pl.Boolean(): "boolean",
    pl.Int8(): "byte",
    pl.Int16(): "short",
    pl.Int32(): "integer",
    pl.Int64(): "long",
    pl.Float32(): "float",
    pl.Float64(): "double",
    pl.String(): "string",
    pl.Binary(): "binary",
    pl.Date(): "date",
    UTC_MICROSECONDS: "timestamp",
}


class SchemaMismatch(ModelyardError):
    """A frame has other columns than the table it is meant for."""

    kind = Kind.INVALID


class TableFile(msgspec.Struct, frozen=True):
    """A file of a table: its path there and where it lies, its partition's values, and when it was written (milliseconds since 1970)."""

    path: str
    uri: str
    partition: Mapping[str, str | None]
    size_bytes: int
    rows: int
    written_ms: int


class TableContents(msgspec.Struct, frozen=True):
    """A version of a table: the files that hold its rows, in no order, what the last exchange up to it said, and how its store is opened.

    There is no `note` where there was none.
    """

    version: int
    files: tuple[TableFile, ...]
    note: str | None
    options: Mapping[str, str]


class TableChange(msgspec.Struct, frozen=True, kw_only=True):
    """What `Tables.exchange` commits to version `base`: files that were written, those that they replace, and a note beside them."""

    base: int
    added: Sequence[AddAction] = ()
    gone: Sequence[TableFile] = ()
    note: str


def listed_files(table: DeltaTable, uri: str) -> tuple[TableFile, ...]:
    """The files of a table that lies at `uri`."""
    found = pl.DataFrame(table.get_add_actions())
    if found.is_empty():
        return ()
    return tuple(
        TableFile(
            row["path"],
            f"{uri}/{row['path']}",
            _texts_of(row.get("partition")),
            row["size_bytes"],
            row["num_records"],
            row["modification_time"],
        )
        for row in found.iter_rows(named=True)
    )


def listed_actions(added: Sequence[AddAction], uri: str) -> tuple[TableFile, ...]:
    """Files that were written for a table at `uri`, whether or not they are committed."""
    return tuple(
        TableFile(
            one.path,
            f"{uri}/{one.path}",
            dict(one.partition_values),
            one.size,
            json.loads(one.stats)["numRecords"],
            one.modification_time,
        )
        for one in added
    )


def _texts_of(values: Mapping[str, object] | None) -> dict[str, str | None]:
    return {column: None if value is None else str(value) for column, value in (values or {}).items()}


def small_files(files: Sequence[TableFile], target_bytes: int) -> Iterator[list[TableFile]]:
    """Groups of at least two files of one partition that together make about `target_bytes`, oldest first."""
    parts: dict[tuple[tuple[str, str | None], ...], list[TableFile]] = {}
    for one in sorted(files, key=lambda one: (one.written_ms, one.path)):
        if one.size_bytes < target_bytes // 2:
            parts.setdefault(tuple(one.partition.items()), []).append(one)
    for part in parts.values():
        groups: dict[int, list[TableFile]] = {}
        filled = 0
        for one in part:
            filled += one.size_bytes
            groups.setdefault(filled // target_bytes, []).append(one)
        yield from (group for group in groups.values() if len(group) > 1)


def removed(file: TableFile, *, at_ms: int) -> RemoveAction:
    """What a commit says of a file that no longer counts, in milliseconds since 1970."""
    return RemoveAction(file.path, data_change=False, deletion_timestamp=at_ms, size=file.size_bytes, partition_values=dict(file.partition))


def delta_schema(schema: pl.Schema) -> DeltaSchema:
    """The Delta schema that holds `schema` without loss. Raises InvalidInput, naming every column that Delta cannot hold."""
    if not schema:
        raise InvalidInput("a table has at least one column, the frame has none", hint="select the columns to be stored")
    problems = [f"column {name[:60]!r}: no name for a column of a table" for name in schema if not COLUMN.fullmatch(name)]
    fields = []
    for name, dtype in schema.items():
        kind = _delta_type(dtype)
        if kind is None:
            problems.append(f"column {name!r}: {dtype} {_way_out(dtype)}")
        fields.append({"name": name, "type": kind, "nullable": True, "metadata": {}})
    if problems:
        raise InvalidInput("the table cannot hold the frame: " + "; ".join(problems), hint="rename or cast these columns first")
    return DeltaSchema.from_json(json.dumps({"type": "struct", "fields": fields}))


def check_schema(name: str, table: DeltaTable, given: pl.Schema, partition_by: Sequence[str]) -> None:
    """Raises SchemaMismatch where `given` rows or partitions are not those of the table `name`, with every difference."""
    wanted = pl.Schema(table.schema())
    problems = [f"{column!r} is missing ({dtype})" for column, dtype in wanted.items() if column not in given]
    problems += [f"{column!r} is not in the table ({dtype})" for column, dtype in given.items() if column not in wanted]
    problems += [
        f"{column!r} is {given[column]}, the table has {dtype}"
        for column, dtype in wanted.items()
        if column in given and given[column] != dtype
    ]
    partitions = table.metadata().partition_columns
    if partition_by and list(partition_by) != partitions:
        problems.append(f"partitioned by {list(partition_by)}, the table by {partitions}")
    if problems:
        raise SchemaMismatch(f"the frame does not fit the table {name}: " + "; ".join(problems), hint="a changed schema is a new table")


def _delta_type(dtype: pl.DataType) -> str | dict[str, Any] | None:
    match dtype:
        case pl.Decimal():
            return f"decimal({dtype.precision},{dtype.scale})"
        case pl.List():
            inner = _delta_type(_instance(dtype.inner))
            return {"type": "array", "elementType": inner, "containsNull": True} if inner else None
        case pl.Struct():
            kinds = {field.name: _delta_type(_instance(field.dtype)) for field in dtype.fields}
            fields = [{"name": name, "type": kind, "nullable": True, "metadata": {}} for name, kind in kinds.items()]
            return {"type": "struct", "fields": fields} if kinds and all(kinds.values()) else None
        case _:
            return _SIMPLE.get(dtype)


def _instance(dtype: Any) -> pl.DataType:
    made: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return made


def _way_out(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime):
        return "is not kept exactly; cast it to Datetime('us', 'UTC')"
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return "is not kept; cast it to String"
    if dtype.is_unsigned_integer():
        return "is not kept; cast it to a signed integer"
    return "is not kept"


class TableFiles:
    """Writes the files of one table, durably, under names that nobody uses yet. They count once a commit names them."""

    def __init__(self, folder: Path | None, store: ObjectStore | None) -> None:
        """In a folder, or in an object store where there is no folder."""
        self._folder = folder
        self._store = store
        self._folders = DurableFolders(folder) if folder else None

    def write(
        self, frame: pl.DataFrame, partition_by: Sequence[str], *, is_new_data: bool = True, counted: Collection[str] | None = None
    ) -> list[AddAction]:
        """Writes one file, or one for each combination of `partition_by`; what a commit says of them: bounds of the columns `counted`.

        Rows keep their order within a file. Raises InvalidInput for a partition value that cannot be part of a path.
        """
        actions = []
        for values, part in _partitions(frame, partition_by):
            name = "/".join([*(f"{column}={value}" for column, value in values.items()), f"{uuid7()}.parquet"])
            size, modified = self._put(name, part)
            # Unescaped: the library reads an escaped pair of surrogates as another character, and files would be passed over by it.
            said = json.dumps(statistics(part, counted), ensure_ascii=False)
            actions.append(AddAction(name, size, values, modified // 1000, is_new_data, said))
        self._sync(actions)
        return actions

    def write_one(self, frame: pl.DataFrame, partition: Mapping[str, str], compression: Literal["lz4", "zstd"] = "zstd") -> AddAction:
        """Writes one file of one partition, whose columns `frame` lacks; the log says of its rows only how many they are.

        For files that are read whole: statistics would cost time to make and save none.
        """
        name = "/".join([*(f"{column}={value}" for column, value in partition.items()), f"{uuid7()}.parquet"])
        size, modified = self._put(name, frame, compression, statistics=False)
        action = AddAction(name, size, dict(partition), modified // 1000, True, json.dumps({"numRecords": frame.height}))
        self._sync([action])
        return action

    def paths(self) -> set[str]:
        """The paths of all files that are there, of the newest version, of older ones and of writes that are not finished."""
        if self._folder is not None:
            found = [path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*.parquet")]
        else:
            assert self._store is not None
            found = [one["path"] for page in obstore.list(self._store) for one in page]
        return {path for path in found if path.endswith(".parquet") and not path.startswith("_delta_log/")}

    def _put(
        self, name: str, frame: pl.DataFrame, compression: Literal["lz4", "zstd"] = "zstd", *, statistics: bool = True
    ) -> tuple[int, int]:
        """Writes one file; its size and when that was, in microseconds."""
        if self._folder is None or self._folders is None:
            assert self._store is not None
            buffer = BytesIO()
            frame.write_parquet(buffer, compression=compression, statistics=statistics)
            obstore.put(self._store, name, buffer.getbuffer())
            return len(buffer.getbuffer()), round(obstore.head(self._store, name)["last_modified"].timestamp() * 1e6)
        path = self._folder / name
        self._folders.make(path.parent)
        frame.write_parquet(path, compression=compression, statistics=statistics)
        sync(path)
        found = path.stat()
        return found.st_size, found.st_mtime_ns // 1000

    def _sync(self, actions: Sequence[AddAction]) -> None:
        if self._folder is not None:
            for folder in {(self._folder / action.path).parent for action in actions}:
                sync(folder)


def _partitions(frame: pl.DataFrame, partition_by: Sequence[str]) -> Iterator[tuple[dict[str, str | None], pl.DataFrame]]:
    if not partition_by:
        yield {}, frame
        return
    for values, part in frame.group_by(partition_by, maintain_order=True):
        texts: dict[str, str | None] = {}
        for column, value in zip(partition_by, values, strict=True):
            if isinstance(value, bool | float | bytes) or not PARTITION_VALUE.fullmatch(str(value)) or value is None:
                raise InvalidInput(
                    f"{value!r} in column {column!r} cannot name a partition",
                    hint="partition by whole numbers, or by short words of letters, digits, '_', '.' and '-'",
                )
            texts[column] = str(value)
        yield texts, part.drop(partition_by)


def statistics(frame: pl.DataFrame, counted: Collection[str] | None = None) -> dict[str, Any]:
    """What the log says of a file's rows, so that readers may pass it over: their number, and per column least, greatest, nulls.

    Of the columns `counted` alone, where they are given.
    """
    least, greatest = {}, {}
    columns = [column for column in frame.iter_columns() if counted is None or column.name in counted]
    for column in columns:
        bounds = _bounds(column)
        if bounds:
            least[column.name], greatest[column.name] = bounds
    nulls = {column.name: column.null_count() for column in columns if not column.dtype.is_nested()}
    return {"numRecords": frame.height, "minValues": least, "maxValues": greatest, "nullCount": nulls}


def _bounds(column: pl.Series) -> tuple[Any, Any] | None:
    """The least and the greatest value as the log writes them; None where a reader would be misled, or helped little."""
    dtype = column.dtype
    if column.null_count() == len(column):
        return None
    if dtype.is_float():
        # A reader that compares NaN as the greatest value would pass over rows that it looks for.
        return (column.min(), column.max()) if column.is_finite().all() else None
    if dtype.is_integer():
        return column.min(), column.max()
    if dtype == pl.String:
        low, high = column.min(), column.max()
        return (low, high) if len(str(low)) <= MOST_TEXT_IN_STATISTICS >= len(str(high)) else None
    if dtype == pl.Date:
        return _texts(column, lambda day: day.isoformat())
    if dtype == UTC_MICROSECONDS:
        return _texts(column, _milliseconds)
    return None


def _texts(column: pl.Series, text: "Any") -> tuple[str, str] | None:
    try:
        low, high = column.min(), column.max()
    except (OverflowError, ValueError):
        # Before year 1 or after 9999.
        return None
    assert isinstance(low, date)
    assert isinstance(high, date)
    return text(low), text(high)


def _milliseconds(at: datetime) -> str:
    """The protocol cuts instants to milliseconds, and readers allow for that."""
    return at.astimezone(UTC).replace(microsecond=at.microsecond // 1000 * 1000, tzinfo=None).isoformat(timespec="milliseconds") + "Z"
