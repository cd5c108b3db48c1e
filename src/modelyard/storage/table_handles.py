"""Open Delta tables: each thread's own handles, brought up to date rather than opened anew. Owns handles; reads and writes no rows."""

import contextlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError


class _Table(DeltaTable):
    """A Delta table that names its files as they are on disk: Polars takes the library's percent-encoded paths literally."""

    def file_uris(self, *arguments: Any, **named: Any) -> list[str]:
        """The paths of the files."""
        return [_plain(path) for path in super().file_uris(*arguments, **named)]

    @property
    def table_uri(self) -> str:
        """The path of the table."""
        return _plain(super().table_uri)


class _Kept(threading.local):
    """A thread's open tables, each with what identifies its first commit. Brought up to date they cost a tenth of opening anew."""

    def __init__(self) -> None:
        self.tables: dict[str, tuple[_Table, object]] = {}


def _plain(path: str) -> str:
    return path if "://" in path.removeprefix("file://") else unquote(path)


class Handles:
    """Handles of tables by where they lie. Threads share none: a handle moves on in place."""

    def __init__(self, options: Mapping[str, str], *, is_local: bool) -> None:
        self._options = dict(options)
        self._is_local = is_local
        self._kept = _Kept()

    def find(self, uri: str, version: int | None) -> DeltaTable | None:
        """The table at `uri` in its newest version or in `version`; None where there is none. Raises DeltaError for no such version."""
        # Without this the library would make the folder of a table that is only asked for.
        if self._is_local and not (Path(uri) / "_delta_log").is_dir():
            return None
        try:
            if version is not None:
                return _Table(uri, version=version, storage_options=self._options)
            return self._newest(uri)
        except TableNotFoundError:
            return None

    def _newest(self, uri: str) -> DeltaTable:
        """This thread's own handle of a table, brought up to the newest version."""
        table, known = self._kept.tables.pop(uri, (None, None))
        first = self._first_commit(uri)
        if table is not None and known == first:
            with contextlib.suppress(DeltaError):
                table.update_incremental()
                self._kept.tables[uri] = table, first
                return table
        table = _Table(uri, storage_options=self._options)
        self._kept.tables[uri] = table, first
        return table

    def _first_commit(self, uri: str) -> tuple[int, int] | None:
        """What tells a table from another one that was put in its place; None where nobody but this program has a hand in it."""
        if not self._is_local:
            return None
        try:
            found = (Path(uri) / "_delta_log" / f"{0:020}.json").stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns
