"""Open Delta tables: each thread's own handles, brought up to date rather than opened anew. Owns handles; reads and writes no rows."""

import contextlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
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


LOG = "_delta_log"
_File = tuple[int, int]
"""What tells a file from another one that was put in its place."""


class _Beginning(NamedTuple):
    """A log's first commit and its note of the last checkpoint, where there are any."""

    first: _File | None
    checkpoint: _File | None


class _Kept(threading.local):
    """A thread's open tables, each with what identifies its log's beginning. Brought up to date they cost a tenth of opening anew."""

    def __init__(self) -> None:
        self.tables: dict[str, tuple[_Table, _Beginning]] = {}


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
        if self._is_local and not (Path(uri) / LOG).is_dir():
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
        begins = self._beginning(uri)
        if table is not None and known is not None and known.first == begins.first:
            with contextlib.suppress(DeltaError):
                if known != begins or not self._is_newest(uri, table.version()):
                    table.update_incremental()
                self._kept.tables[uri] = table, begins
                return table
        table = _Table(uri, storage_options=self._options)
        self._kept.tables[uri] = table, begins
        return table

    def _beginning(self, uri: str) -> _Beginning:
        """What tells a table from another one that was put in its place, and whether its log let go of commits."""
        if not self._is_local:
            return _Beginning(None, None)  # nobody but this program has a hand in it
        log = Path(uri) / LOG
        return _Beginning(_file(log / f"{0:020}.json"), _file(log / "_last_checkpoint"))

    def _is_newest(self, uri: str, version: int) -> bool:
        """Whether no commit follows, as far as a look at the folder tells: a tenth of what asking the library takes.

        Commits are numbered without gaps, and a log lets go of some only behind a new checkpoint.
        """
        return self._is_local and not (Path(uri) / LOG / f"{version + 1:020}.json").exists()


def _file(path: Path) -> _File | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
