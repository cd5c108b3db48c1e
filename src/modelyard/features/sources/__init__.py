"""Where a view's rows come from: a reader for each kind of source. Owns reading them as they stand; gives no row a meaning."""

from pathlib import Path

from modelyard.features.domain import Csv, Delta, Parquet, Push, Source, Sql
from modelyard.features.sources.csvs import open_csv
from modelyard.features.sources.deltas import open_delta
from modelyard.features.sources.opened import ROW, OpenSource
from modelyard.features.sources.parquets import open_parquet
from modelyard.features.sources.pushed import open_pushed
from modelyard.features.sources.queries import open_sql

__all__ = ["ROW", "OpenSource", "open_source"]


def open_source(source: Source, root: Path) -> OpenSource:
    """`source` as it stands now, its path taken from `root`. Raises SourceUnreadable, and SourceDrifted for values of another type."""
    match source:
        case Parquet():
            return open_parquet(source, root)
        case Csv():
            return open_csv(source, root)
        case Delta():
            return open_delta(source, root)
        case Sql():
            return open_sql(source)
        case Push():
            return open_pushed(source)
