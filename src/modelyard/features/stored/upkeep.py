"""What becomes of stored histories while nobody joins: small appends are merged, and the tables of versions that nobody uses removed."""

from collections.abc import Collection, Sequence

import polars as pl

from modelyard.features.stored.histories import Histories, Source
from modelyard.features.stored.shape import BUCKET, as_normalised, laid_out
from modelyard.storage.table_files import TableFile

MOST_RUNS = 8
"""A bucket of more files is merged into one: each file costs every join a search of its own."""
MUCH_LARGER = 4
"""A file that is so many times as large as all smaller ones together waits for more of them: few rows would have many written anew."""
KEPT_HOURS = 24
"""Files that were replaced stay for joins that are under way, and for a look at what a training set has read."""
FOLDER = "features"


def tidied(histories: Histories, source: Source, *, most_runs: int = MOST_RUNS) -> bool:
    """Merges small files of each bucket that has more than `most_runs`, one bucket at a time and all in one commit; whether there was one.

    Answers stay the same, and so does the version before. Raises Conflict where the history is changed meanwhile.
    """
    standing = histories.standing(source)
    if standing is None:
        return False
    runs: dict[str, list[TableFile]] = {}
    contents = histories.tables.contents(standing.table, standing.version)
    for file in contents.files:
        runs.setdefault(str(file.partition[BUCKET]), []).append(file)
    crowded = {bucket: small_ones(files, most_runs) for bucket, files in runs.items() if len(files) > most_runs}
    if not crowded:
        return False
    writer, options = histories.tables.writer(standing.table), dict(contents.options) or None
    added = []
    for bucket, files in crowded.items():
        stored = pl.concat(pl.read_parquet(file.uri, hive_partitioning=False, storage_options=options) for file in files)
        added.append(writer.write_one(laid_out(as_normalised(stored, source.view).rechunk(), source.view), {BUCKET: bucket}, "lz4"))
    gone = [file for files in crowded.values() for file in files]
    histories.committed(source, standing.version, (added, gone), standing.laid)
    return True


def small_ones(files: Sequence[TableFile], most_runs: int) -> list[TableFile]:
    """Those of a bucket's files that are merged: so many that no more than `most_runs` are left, and none that is `MUCH_LARGER`."""
    ordered = sorted(files, key=lambda file: file.size_bytes)
    count, together_bytes = 0, 0
    for file in ordered:
        if count > len(files) - most_runs and file.size_bytes > MUCH_LARGER * together_bytes:
            break
        count, together_bytes = count + 1, together_bytes + file.size_bytes
    return ordered[:count]


def forgotten(histories: Histories, used: Collection[str], before_ms: int) -> list[str]:
    """Removes the tables of histories that are not among `used` and to which nothing was written since `before_ms`; their names."""
    tables = histories.tables
    unused = [
        name for name in tables.names(FOLDER) if name not in used and all(one.written_ms < before_ms for one in tables.contents(name).files)
    ]
    for name in unused:
        histories.tables.drop(name)
    return unused
