"""Delta tables by name, in a directory or an object store: appended to, read by version, compacted.

Owns names, commits and versions; `table_files` writes the files. Knows not what a table means.
"""

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import obstore
import polars as pl
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from modelyard.core.errors import Conflict, Corrupted, InvalidInput, Kind, ModelyardError, NotFound
from modelyard.core.ids import uuid7
from modelyard.core.names import checked_name
from modelyard.storage.durable import DurableFolders, sync
from modelyard.storage.objects import first_line, local_folder, open_objects
from modelyard.storage.table_files import (
    TableChange,
    TableContents,
    TableFile,
    TableFiles,
    check_schema,
    delta_schema,
    listed_files,
    removed,
    small_files,
)
from modelyard.storage.table_handles import Handles

# A folder that is named so holds no other table, so that cleaning one up never touches another.
SUFFIX = ".delta"
COMPACTED_BYTES = 64 << 20
CHECKPOINT_EVERY = 50
RETENTION_HOURS = 168
TRIES = 5
KEY = "modelyard.key"
MAINTENANCE = "modelyard.maintenance"
NOTE = "modelyard.note"
COUNTED = "delta.dataSkippingStatsColumns"
# Old versions stay readable: only `vacuum`, which is told what is pinned, takes anything away.
CONFIGURATION: Mapping[str, str | None] = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
    "delta.deletedFileRetentionDuration": "interval 7 days",
}
_NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


class TableMissing(NotFound):
    """No table has that name, or it has no such version."""


class TablesUnavailable(ModelyardError):
    """The place of the tables does not answer, or refuses."""

    kind = Kind.UNREACHABLE


class Tables:
    """Tables under names such as `monitoring/predictions`. May be shared by threads; processes may append at the same time.

    The rows of one append without partitions keep their order. Between appends there is none: sort where it matters.
    """

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        self._url = url.rstrip("/")
        self._options = dict(options)
        self._root = local_folder(url)
        self._handles = Handles(self._options, is_local=self._root is not None)

    @classmethod
    def open(cls, url: str, options: Mapping[str, str] | None = None) -> "Tables":
        """The tables at `file:///folder`, made if missing, or at `s3://bucket/prefix`, `gs://...` or `az://...`.

        `options` are the object store's words, as for blobs. Raises InvalidInput.
        """
        tables = cls(url, options or {})
        if tables._root is not None:
            if "%" in str(tables._root):
                raise InvalidInput(f"the tables' folder {tables._root} has a % in its path", hint="Delta tables need a path without it")
            with _translated(f"the folder {tables._root}"):
                tables._root.mkdir(parents=True, exist_ok=True)
        open_objects(url, tables._options)
        return tables

    def uri(self, name: str) -> str:
        """Where a table lies, for any other program that reads Delta Lake. Raises InvalidInput for what is no name."""
        for part in name.split("/"):
            checked_name(part, "table")
            if part.endswith(SUFFIX):
                raise InvalidInput(f"{name!r} is no name for a table: no part of it may end with {SUFFIX}", hint="leave the ending out")
        return f"{self._root.absolute() if self._root else self._url}/{name}{SUFFIX}"

    def append(
        self,
        name: str,
        frame: pl.DataFrame,
        *,
        key: str | None = None,
        partition_by: Sequence[str] = (),
        counted: Sequence[str] | None = None,
    ) -> int:
        """Appends the rows, durably when this returns; the version that holds them. The first append makes the table.

        With `key`, rows are appended once however often this is called, also after a crash in between: later calls
        give the version of the first. `partition_by` and `counted` count for the first append, later ones may leave them out:
        of the columns `counted` alone, of all without it, the log keeps the least and the greatest value of each file, for good.
        Raises SchemaMismatch, which names each differing column, and InvalidInput for types that Delta does not keep.
        """
        schema = delta_schema(frame.schema)
        with _translated(name):
            table = self._find(name, None)
            if table is None:
                table = self._create(name, schema, partition_by, counted)
            check_schema(name, table, frame.schema, partition_by)
            if key is not None and (earliest := table.transaction_version(key)) is not None:
                return self._version_of(name, key, earliest, table.version())
            if frame.is_empty() and key is None:
                return int(table.version())
            partitions = table.metadata().partition_columns
            chosen = frame.select(_schema(table).names())
            actions = self.writer(name).write(chosen, partitions, counted=_counted(table)) if frame.height else []
            return self._commit(name, table, actions, key)

    def scan(self, name: str, version: int | None = None) -> pl.LazyFrame:
        """The rows of the newest version, or of `version`, read when collected; filters pass over files. Raises TableMissing.

        Without `version`, rows that the same thread has appended or seen before it collects may be among them.
        """
        with _translated(name):
            return pl.scan_delta(self._get(name, version), storage_options=self._options or None, credential_provider=None)

    def version(self, name: str) -> int | None:
        """The newest version, or None where there is no such table."""
        with _translated(name):
            table = self._find(name, None)
            return None if table is None else table.version()

    def schema(self, name: str, version: int | None = None) -> pl.Schema:
        """The columns and their types. Raises TableMissing."""
        with _translated(name):
            return _schema(self._get(name, version))

    def row_count(self, name: str, version: int | None = None) -> int:
        """How many rows there are, without reading any. Raises TableMissing."""
        with _translated(name):
            return int(self._get(name, version).count())

    def compact(self, name: str, *, target_bytes: int = COMPACTED_BYTES) -> int:
        """Merges small files into such of about `target_bytes`, and has the log begin with a checkpoint; the newest version.

        Rows stay the same and older versions readable. Appends may go on meanwhile; a second compaction at the same
        time raises Conflict. Reads one file's worth of rows at a time.
        """
        with _translated(name):
            table = self._get(name, None)
            actions: list[AddAction | RemoveAction] = []
            for group in small_files(listed_files(table, self.uri(name)), target_bytes):
                added = self._merge(name, table, group)
                actions += added
                actions += [removed(one, at_ms=added[0].modification_time) for one in group]
            if actions:
                mutex = Transaction(MAINTENANCE, (table.transaction_version(MAINTENANCE) or 0) + 1)
                try:
                    self._write_log(table, actions, str(uuid7()), [mutex])
                except CommitFailedError as error:
                    raise Conflict(f"another process compacts {name}", hint="one lease a table lets one process do so") from error
                table.update_incremental()
            self._checkpoint(name, table)
            return int(table.version())

    def contents(self, name: str, version: int | None = None) -> TableContents:
        """The files that hold the rows of the newest version, or of `version`, and what the last exchange said. Raises TableMissing."""
        with _translated(name):
            table = self._get(name, version)
            # A vacuum leaves commits of its own, which change no rows.
            notes = (self._said(name, number, NOTE) for number in range(table.version(), -1, -1))
            note = next((one for one in notes if one is not None), None)
            return TableContents(table.version(), listed_files(table, self.uri(name)), note, self._options)

    def writer(self, name: str) -> TableFiles:
        """Writes files for `exchange` to commit. Until then they are nobody's, and `vacuum` takes them away after a while."""
        return TableFiles(Path(self.uri(name)), None) if self._root else TableFiles(None, self._objects(name))

    def make(self, name: str, schema: pl.Schema, partition_by: Sequence[str] = ()) -> int:
        """Makes the table unless there is one; its newest version. Raises InvalidInput for types that Delta does not keep."""
        with _translated(name):
            table = self._find(name, None) or self._create(name, delta_schema(schema), partition_by)
            return int(table.version())

    def exchange(self, name: str, change: TableChange) -> int:
        """Commits files that were written, and takes away others, all or none; the version that this makes. Raises TableMissing.

        The change must be one of the newest version: whoever comes second gets Conflict, and nothing of theirs counts.
        """
        with _translated(name):
            table = self._get(name, None)
            if table.version() != change.base:
                raise Conflict(f"{name} is no longer what the change was made of", hint="look at it again, and repeat what is still to do")
            at_ms = max(
                (action.modification_time for action in change.added), default=max((one.written_ms for one in change.gone), default=0)
            )
            gone = [removed(one, at_ms=at_ms) for one in change.gone]
            mark = str(uuid7())
            mutex = Transaction(MAINTENANCE, (table.transaction_version(MAINTENANCE) or 0) + 1)
            try:
                self._write_log(table, [*change.added, *gone], mark, [mutex], change.note)
            except CommitFailedError as error:
                raise Conflict(f"another process changes {name}", hint="look at it again, and repeat what is still to do") from error
            table.update_incremental()
            version = self._version_of(name, mark, change.base + 1, table.version())
            self._sync_log(name, version)
            return version

    def names(self, folder: str) -> list[str]:
        """The names of the tables in one folder, in order."""
        with _translated(folder):
            if self._root is not None:
                found = [path.name for path in (self._root / folder).glob(f"*{SUFFIX}")]
            else:
                listed = obstore.list_with_delimiter(open_objects(self._url, self._options), f"{folder}/")
                found = [path.rsplit("/", 1)[-1] for path in listed["common_prefixes"]]
        return sorted(f"{folder}/{one.removesuffix(SUFFIX)}" for one in found if one.endswith(SUFFIX))

    def drop(self, name: str) -> None:
        """Removes a table with all its versions. Nobody may be writing to it; whoever reads it meets missing files."""
        with _translated(name):
            if self._root is not None:
                shutil.rmtree(self.uri(name), ignore_errors=True)
                return
            store = self._objects(name)
            for page in obstore.list(store):
                obstore.delete(store, [one["path"] for one in page])

    def vacuum(
        self, name: str, *, pinned: Iterable[int] = (), retention_hours: int = RETENTION_HOURS, include_unfinished: bool = True
    ) -> int:
        """Removes the files that neither the newest version nor a `pinned` one needs; how many those were.

        Younger files than `retention_hours` stay: readers and unfinished appends may use them. Every version that
        somebody may want to read again must be in `pinned`. Without `include_unfinished` only files that were replaced go,
        of which no unfinished append is one.
        """
        with _translated(name):
            table = self._get(name, None)
            kept = sorted(set(pinned)) or None
            gone = table.vacuum(
                retention_hours, dry_run=False, enforce_retention_duration=False, full=include_unfinished, keep_versions=kept
            )
            self._sync_log(name)
            return len(gone)

    def _find(self, name: str, version: int | None) -> DeltaTable | None:
        try:
            return self._handles.find(self.uri(name), version)
        except DeltaError as error:
            if version is not None and self._find(name, None) is not None:
                raise TableMissing(f"the table {name} has no version {version}", hint=f"the newest is {self.version(name)}") from error
            raise

    def _get(self, name: str, version: int | None) -> DeltaTable:
        table = self._find(name, version)
        if table is None:
            raise TableMissing(f"no table {name}", hint="the first append makes it")
        return table

    def _create(self, name: str, schema: object, partition_by: Sequence[str], counted: Sequence[str] | None = None) -> DeltaTable:
        uri = self.uri(name)
        if self._root is not None:
            DurableFolders(self._root).make(Path(uri) / "_delta_log")
        with contextlib.suppress(CommitFailedError):
            # Whoever comes second finds the table made; tried again, the creation would come on top of it.
            DeltaTable.create(
                uri,
                schema,  # type: ignore[arg-type] # a Delta schema
                mode="ignore",
                partition_by=list(partition_by),
                configuration={**CONFIGURATION, **({} if counted is None else {COUNTED: ",".join(counted)})},
                storage_options=self._options,
                commit_properties=CommitProperties(max_commit_retries=0),
                post_commithook_properties=_NO_HOOKS,
            )
        self._sync_log(name, 0)
        return self._get(name, None)

    def _objects(self, name: str) -> ObjectStore:
        return open_objects(f"file://{self.uri(name)}" if self._root else self.uri(name), self._options)

    def _commit(self, name: str, table: DeltaTable, actions: Sequence[AddAction], key: str | None) -> int:
        mark = key or str(uuid7())
        for _ in range(TRIES):
            earliest = table.version() + 1
            with contextlib.suppress(CommitFailedError):
                self._write_log(table, actions, mark, [Transaction(mark, earliest)] if key is not None else [])
                table.update_incremental()
                break
            table.update_incremental()
            if key is not None and (found := table.transaction_version(key)) is not None:
                earliest = found
                break
        else:
            raise Conflict(f"too many processes write to {name}", hint="try again in a moment")
        version = self._version_of(name, mark, earliest, table.version())
        self._sync_log(name, version)
        if version % CHECKPOINT_EVERY == 0:
            self._checkpoint(name, table)
        return version

    def _version_of(self, name: str, mark: str, earliest: int, newest: int) -> int:
        """The version whose commit bears `mark`: `earliest`, or a little later where others came in between."""
        for version in range(earliest, newest + 1):
            if self._said(name, version, KEY) == mark:
                return version
        raise Corrupted(f"the log of the table {name} lacks the commit {mark}", hint="restore the table's folder from a backup")

    def _said(self, name: str, version: int, word: str) -> str | None:
        """What the commit that made `version` says under a word of ours."""
        lines = obstore.get(self._objects(name), f"_delta_log/{version:020}.json").bytes().to_bytes().splitlines()
        found = (entry.get("commitInfo", {}).get(word) for entry in map(msgspec.json.decode, lines))
        return next((str(one) for one in found if one is not None), None)

    def _write_log(
        self, table: DeltaTable, actions: Sequence[AddAction | RemoveAction], mark: str, marks: list[Transaction], note: str | None = None
    ) -> None:
        table.create_write_transaction(
            list(actions),
            "append",
            table.schema(),
            table.metadata().partition_columns,
            commit_properties=CommitProperties(
                custom_metadata={KEY: mark} | ({} if note is None else {NOTE: note}), app_transactions=marks
            ),
            post_commithook_properties=_NO_HOOKS,
        )

    def _merge(self, name: str, table: DeltaTable, group: Sequence[TableFile]) -> list[AddAction]:
        schema, partitions = _schema(table), table.metadata().partition_columns
        paths = [one.uri for one in group]
        frame = pl.scan_parquet(paths, storage_options=self._options or None, credential_provider=None, hive_partitioning=False).collect()
        values = group[0].partition
        frame = frame.with_columns(pl.lit(values[column]).cast(schema[column]).alias(column) for column in partitions)
        return self.writer(name).write(frame.select(schema.names()), partitions, is_new_data=False, counted=_counted(table))

    def _checkpoint(self, name: str, table: DeltaTable) -> None:
        table.create_checkpoint()
        self._sync_log(name, None)

    def _sync_log(self, name: str, version: int | None = None) -> None:
        """Has a version's entry last; without one, the whole folder of the log."""
        if self._root is None:
            return
        log = Path(self.uri(name)) / "_delta_log"
        for path in [log / f"{version:020}.json"] if version is not None else [path for path in log.iterdir() if path.is_file()]:
            sync(path)
        sync(log)


def _schema(table: DeltaTable) -> pl.Schema:
    return pl.Schema(table.schema())


def _counted(table: DeltaTable) -> list[str] | None:
    said = table.metadata().configuration.get(COUNTED)
    return None if said is None else said.split(",")


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turns the errors of disks, object stores and the Delta library into ours."""
    try:
        yield
    except (DeltaError, BaseError, OSError) as error:
        raise TablesUnavailable(
            f"the table store failed for {what}: {first_line(error)}", hint="check storage.tables and its rights"
        ) from error
