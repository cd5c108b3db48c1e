"""The join from a stored history: label rows are split by bucket once, each bucket is answered by itself, the answers put back in place.

Owns the split and the order. Neither the number of buckets nor where they are answered changes an answer.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import polars as pl
from msgspec import Struct

from modelyard.features.domain import FeatureView
from modelyard.features.join import Ints, Questions
from modelyard.features.stored.answers import PLACE, BucketTask, bucket_answers
from modelyard.features.stored.hashing import bucket_of, entity_hashes
from modelyard.features.stored.shape import BUCKET
from modelyard.storage.table_files import TableFile

Runner = Callable[[Iterable[BucketTask]], Iterator[pl.DataFrame]]
"""Gives each task's answer, in the order of the tasks."""


class Layout(Struct, frozen=True):
    """A version's buckets and files, and the words by which an object store opens them."""

    buckets: int
    files: Sequence[TableFile]
    options: Mapping[str, str]

    @property
    def runs(self) -> dict[int, tuple[str, ...]]:
        """The files of each bucket that has any."""
        found: dict[int, list[str]] = {}
        for file in self.files:
            found.setdefault(int(file.partition[BUCKET] or 0), []).append(file.uri)
        return {bucket: tuple(sorted(uris)) for bucket, uris in found.items()}


def joined(view: FeatureView, wanted: Mapping[str, pl.DataType], asked: Questions, layout: Layout, run: Runner) -> pl.DataFrame:
    """The view's features in `wanted` for each question, in their order."""
    numbers = bucket_of(entity_hashes(asked.keys), layout.buckets)
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers, minlength=layout.buckets))
    columns: dict[str, list[pl.Series]] = {name: [] for name in wanted}
    standing: list[pl.Series] = []
    for answer in run(_tasks(view, wanted, _in_order(asked, order), layout, ends)):
        begin = sum(map(len, standing))
        places = answer[PLACE] if PLACE in answer.columns else pl.Series(np.arange(answer.height))
        standing.append(places + begin)
        for name, parts in columns.items():
            parts.append(answer[name])
    if not len(order):
        empty = bucket_answers(BucketTask(view, wanted, (), asked.keys, asked.at, asked.seen_at, layout.options))
        return empty.select(list(wanted))
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    # Of the type and in the one piece that Polars looks places up in.
    places = pl.concat(standing, rechunk=True).cast(pl.get_index_type()).gather(pl.Series(back))
    # One column after the other: their parts need not all be there twice.
    return pl.DataFrame([pl.concat(columns.pop(name), rechunk=True).gather(places) for name in wanted])


def _in_order(asked: Questions, order: Ints) -> Questions:
    at = asked.at[order]
    seen_at = at if asked.seen_at is asked.at else asked.seen_at[order]
    return Questions(asked.keys.select(pl.all().gather(pl.Series(order))), at, seen_at)


def _tasks(view: FeatureView, wanted: Mapping[str, pl.DataType], asked: Questions, layout: Layout, ends: Ints) -> Iterator[BucketTask]:
    """A task for each bucket with questions; those are in the order of buckets, which end at `ends`."""
    runs = layout.runs
    for bucket in np.flatnonzero(np.diff(ends, prepend=0)).tolist():
        part = slice(int(ends[bucket - 1]) if bucket else 0, int(ends[bucket]))
        at = asked.at[part]
        seen_at = at if asked.seen_at is asked.at else asked.seen_at[part]
        yield BucketTask(view, wanted, runs.get(bucket, ()), asked.keys[part], at, seen_at, layout.options)
