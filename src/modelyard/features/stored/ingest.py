"""A source's rows into the files of a stored history: split by bucket in one pass over the source, then sorted bucket by bucket.

Bounded in memory: the first pass holds a few batches and leaves pieces on the disk, the second one bucket per worker.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from deltalake.transaction import AddAction

from modelyard.features.domain import FeatureView
from modelyard.features.stored.hashing import bucket_of, entity_hashes
from modelyard.features.stored.running import answered_by
from modelyard.features.stored.shape import BUCKET, laid_out
from modelyard.storage.table_files import TableFiles

BATCH_BYTES = 2**24
"""Of a batch of the source, its values counted with 8 bytes each: small enough for a processor's cache."""


class Pieces:
    """Rows of buckets in files of a folder: added piece by piece by several threads, taken bucket by bucket."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ends: dict[int, list[int]] = {}
        self._lock = threading.Lock()

    def add(self, bucket: int, rows: pl.DataFrame) -> None:
        """Puts rows of a bucket by."""
        with self._lock, (self._folder / str(bucket)).open("ab") as file:
            rows.write_ipc_stream(file)
            self._ends.setdefault(bucket, []).append(file.tell())

    def buckets(self) -> list[int]:
        """The buckets that have rows."""
        return sorted(self._ends)

    def take(self, bucket: int) -> pl.DataFrame:
        """The rows of a bucket, in no order; their file is removed."""
        path = self._folder / str(bucket)
        with path.open("rb") as file:
            found = [pl.read_ipc_stream(file.read(end - begin)) for begin, end in pairwise([0, *self._ends[bucket]])]
        path.unlink()
        return pl.concat(found).rechunk()


def split(rows: pl.LazyFrame, view: FeatureView, buckets: int, pieces: Pieces) -> int:
    """Puts all rows by in `pieces`, each with its entity's bucket; how many there were."""
    keys = [key.name for key in view.entity.keys]
    width = len(rows.collect_schema())
    batches = rows.collect_batches(chunk_size=max(BATCH_BYTES // (8 * width), 1), maintain_order=False, engine="streaming")
    return sum(answered_by(partial(_put_by, keys, buckets, pieces), batches, "threads", 2))


def _put_by(keys: list[str], buckets: int, pieces: Pieces, batch: pl.DataFrame) -> int:
    numbers = bucket_of(entity_hashes(batch.select(keys)), buckets)
    ends = np.cumsum(np.bincount(numbers, minlength=buckets))
    # A stable sort of 16 bits is a radix sort.
    ordered = batch.rechunk().select(pl.all().gather(pl.Series(np.argsort(numbers, kind="stable"))))
    for bucket in np.flatnonzero(np.diff(ends, prepend=0)).tolist():
        begin = 0 if bucket == 0 else int(ends[bucket - 1])
        pieces.add(bucket, ordered.slice(begin, int(ends[bucket]) - begin))
    return batch.height


def written(pieces: Pieces, view: FeatureView, files: TableFiles, workers: int) -> list[AddAction]:
    """Lays out each bucket's rows and writes them to a file of their own; what a commit says of these files."""

    def work(bucket: int) -> AddAction:
        return files.write_one(laid_out(pieces.take(bucket), view), {BUCKET: str(bucket)}, "lz4")

    with ThreadPoolExecutor(workers, thread_name_prefix="layout") as pool:
        return list(pool.map(work, pieces.buckets()))
