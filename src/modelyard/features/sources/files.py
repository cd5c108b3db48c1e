"""Sources that are Parquet files of this machine: what tells that they changed, the digest of their content, their rows."""

import contextlib
import glob
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import polars as pl

from modelyard.core.digests import Digest, digest_chunks, digest_file
from modelyard.features.domain import Parquet, SourceUnreadable

ROW = "\x1frow"
"""The number of a row, counted over all of a source. No column of a user's can have this name: theirs are printable."""


class SourceFile(msgspec.Struct, frozen=True):
    """A file of a source, with what tells that it changed."""

    path: str
    size_bytes: int
    changed_ns: int


def source_files(source: Parquet, root: Path) -> tuple[SourceFile, ...]:
    """The files of `source`, its path taken from `root`, in order of their names. Raises SourceUnreadable where there are none."""
    if "://" in source.path:
        raise SourceUnreadable(f"{source.path}: only files of this machine can be read", hint="give a path, relative to the project")
    path = os.path.join(root, source.path)  # noqa: PTH118 - asked for at every materialization, and five times as fast
    with contextlib.suppress(OSError):
        found = os.stat(path)  # noqa: PTH116
        if not stat.S_ISDIR(found.st_mode):
            return (SourceFile(path, found.st_size, found.st_mtime_ns),)
        path = os.path.join(path, "**", "*.parquet")  # noqa: PTH118
    paths = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - an absolute pattern
    if not paths:
        raise SourceUnreadable(
            f"there is no file at {root / source.path}", hint="check the source's path; it is taken from the project's folder"
        )
    stats = [(one, Path(one).stat()) for one in paths]
    return tuple(SourceFile(one, found.st_size, found.st_mtime_ns) for one, found in stats)


def files_digest(files: Sequence[SourceFile]) -> Digest:
    """The digest of the files' content, in order."""
    digests = [digest_file(Path(file.path)) for file in files]
    return digests[0] if len(digests) == 1 else digest_chunks(digest.encode() for digest in digests)


def source_schema(files: Sequence[SourceFile]) -> Mapping[str, pl.DataType]:
    """The columns and types of the files. Raises SourceUnreadable."""
    try:
        return pl.scan_parquet([file.path for file in files]).collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(files, error) from error


def row_count(files: Sequence[SourceFile]) -> int:
    """How many rows the files have by their own account. Raises SourceUnreadable."""
    try:
        return int(pl.scan_parquet([file.path for file in files]).select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(files, error) from error


def scanned_rows(files: Sequence[SourceFile]) -> pl.LazyFrame:
    """The rows of the files in order, with `ROW`."""
    return pl.scan_parquet([file.path for file in files], row_index_name=ROW)


def _unreadable(files: Sequence[SourceFile], error: Exception) -> SourceUnreadable:
    return SourceUnreadable(f"{files[0].path} cannot be read as Parquet: {error}", hint="write the source as Parquet")
