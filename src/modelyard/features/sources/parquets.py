"""Parquet as a source: the files are read where they lie."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from modelyard.core.digests import Digest
from modelyard.features.domain import Parquet, SourceUnreadable, is_address
from modelyard.features.sources.files import ENDINGS, Files, files_at, files_digest
from modelyard.features.sources.opened import ROW
from modelyard.features.sources.reach import object_options


def open_parquet(source: Parquet, root: Path) -> "ParquetFiles":
    """The files of `source`. Raises SourceUnreadable."""
    return ParquetFiles(source.path, files_at(source.path, root, ENDINGS[Parquet]))


@dataclass(frozen=True)
class ParquetFiles:
    """Parquet files, in order."""

    place: str
    files: Files

    @property
    def state(self) -> Hashable:
        """Names, sizes and times of the files."""
        return self.files

    def digest(self) -> Digest:
        """The digest of the files' bytes."""
        return files_digest(self.files)

    def schema(self) -> Mapping[str, pl.DataType]:
        """The columns and types of the files. Raises SourceUnreadable."""
        try:
            return self._scan().collect_schema()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._unreadable(error) from error

    def count(self) -> int:
        """How many rows the files have by their own account. Raises SourceUnreadable."""
        try:
            return int(self._scan().select(pl.len()).collect().item())
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._unreadable(error) from error

    def scan(self) -> pl.LazyFrame:
        """The rows of the files in order, with `ROW`."""
        return self._scan(ROW)

    def _scan(self, row: str | None = None) -> pl.LazyFrame:
        paths = [file.path for file in self.files]
        options = object_options() if is_address(paths[0]) else {}
        return pl.scan_parquet(paths, row_index_name=row, glob=False, storage_options=options or None, credential_provider=None)

    def _unreadable(self, error: Exception) -> SourceUnreadable:
        return SourceUnreadable(f"{self.files[0].path} cannot be read as Parquet: {error}", hint="write the source as Parquet")
