"""A Delta table as a source: its state is its version, and an older one can be read again."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from modelyard.core.digests import Digest, digest_of
from modelyard.features.domain import Delta, SourceUnreadable, is_address
from modelyard.features.sources.opened import ROW
from modelyard.features.sources.reach import object_options
from modelyard.storage.objects import first_line


class _Table(DeltaTable):
    """A table that names its files as they are on disk: the library encodes the folder, writers differ in the rest, Polars decodes none."""

    def file_uris(self, *arguments: Any, **named: Any) -> list[str]:
        """The paths of the files."""
        return [_on_disk(path, self.table_uri) for path in super().file_uris(*arguments, **named)]

    @property
    def table_uri(self) -> str:
        """The path of the table."""
        path = super().table_uri
        return path if is_address(path.removeprefix("file://")) else unquote(path.removeprefix("file://"))


def _on_disk(path: str, folder: str) -> str:
    if is_address(path):
        return path
    rest = path.removeprefix(f"{quote(folder)}")
    literal = folder + rest if len(rest) < len(path) else path
    return literal if Path(literal).exists() else unquote(path)


def open_delta(source: Delta, root: Path) -> "OpenTable":
    """The table of `source` in its version. Raises SourceUnreadable."""
    uri = source.path if is_address(source.path) else str((root / source.path).absolute())
    if not is_address(uri) and not (Path(uri) / "_delta_log").is_dir():
        raise SourceUnreadable(f"there is no Delta table at {uri}", hint="name the folder that holds _delta_log, from the project's folder")
    if "%" in uri:
        raise SourceUnreadable(f"the folder {uri} has a % in its path", hint="Delta tables need a path without it")
    try:
        table = _Table(uri, version=source.version, storage_options=object_options() if is_address(uri) else None)
        found = OpenTable(source.path, uri, str(table.metadata().id), int(table.version()), table)
        strays = [one for one in table.file_uris() if not _is_inside(one, uri)]
    except (DeltaError, OSError) as error:
        raise _unreadable(source.path, error) from error
    if strays:
        # Links: whoever writes the folder would have the server read any file of the machine.
        raise SourceUnreadable(f"the table at {uri} holds links out of its folder", hint="copy the rows into a table of their own")
    return found


def _is_inside(file: str, uri: str) -> bool:
    if is_address(uri):
        return file.startswith(uri.rstrip("/") + "/")
    return Path(file.removeprefix("file://")).resolve().is_relative_to(Path(uri).resolve())


@dataclass(frozen=True)
class OpenTable:
    """A Delta table in one version."""

    place: str
    uri: str
    table_id: str
    version: int
    table: DeltaTable

    @property
    def state(self) -> Hashable:
        """Which table in which version."""
        return self.uri, self.table_id, self.version

    def digest(self) -> Digest:
        """The digest of the table's id and version, which stand for its rows for good."""
        return digest_of({"delta_table": self.table_id, "version": self.version})

    def schema(self) -> Mapping[str, pl.DataType]:
        """Its columns and their types. Raises SourceUnreadable."""
        try:
            return self._scan().collect_schema()
        except (pl.exceptions.PolarsError, DeltaError, OSError) as error:
            raise _unreadable(self.place, error) from error

    def count(self) -> int:
        """How many rows the version has. Raises SourceUnreadable."""
        try:
            return int(self.table.count())
        except (DeltaError, OSError) as error:
            raise _unreadable(self.place, error) from error

    def scan(self) -> pl.LazyFrame:
        """Its rows in the order of its files, with `ROW`."""
        return self._scan().with_row_index(ROW)

    def _scan(self) -> pl.LazyFrame:
        options = object_options() if is_address(self.uri) else {}
        return pl.scan_delta(self.table, storage_options=options or None, credential_provider=None)


def _unreadable(place: str, error: Exception) -> SourceUnreadable:
    return SourceUnreadable(f"{place} cannot be read as a Delta table: {first_line(error)}", hint="check its folder and its version")
