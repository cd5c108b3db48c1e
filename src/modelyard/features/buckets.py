"""Offline values bucket by bucket: rows and questions are split by a hash of the entity, so that memory is bounded.

Owns how many buckets there are and the order of the answers. What a bucket answers is a function given to it: a bucket
is complete in itself, and neither their number nor their order changes an answer.
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from modelyard.features.aggregates import aggregates_at, tape
from modelyard.features.domain import FeatureView
from modelyard.features.join import Questions, rows_at, timeline
from modelyard.features.rows import CREATED, EVENT, ROW

BUCKET_ROWS = 1_000_000
"""Rows that one bucket may hold: its arrays then stay small enough for memory to be used again and again."""
WORK_BYTES_A_VALUE = 24
"""Memory that a collected value takes, with the copy that the split into buckets makes."""
MEMORY_BYTES = 2**30

BUCKET, PLACE = "\x1fbucket", "\x1fplace"
Answer = Callable[[pl.DataFrame, Questions], pl.DataFrame]
"""A bucket's answers, in order, to its questions, from its rows."""


def answered(rows: pl.LazyFrame, questions: Questions, answer: Answer, *, memory_bytes: int = MEMORY_BYTES) -> pl.DataFrame:
    """The answers to all questions, in their order. `rows` hold the key columns under the same names and types."""
    keys = questions.keys
    count = rows.select(pl.len()).collect().item()
    buckets = max(1, -(-count // BUCKET_ROWS))
    scans = min(buckets, max(1, -(-count * len(rows.collect_schema()) * WORK_BYTES_A_VALUE // memory_bytes)))
    bucket = pl.struct(keys.columns).hash() % buckets
    asked = keys.with_columns(bucket.alias(BUCKET), pl.Series(PLACE, np.arange(keys.height)))
    by_bucket = asked.partition_by(BUCKET, as_dict=True, include_key=False)
    answers, places = [], []
    for scan in range(scans):
        mine = rows.with_columns(bucket.alias(BUCKET)).filter(pl.col(BUCKET) % scans == scan).collect(engine="streaming")
        split = mine.partition_by(BUCKET, as_dict=True, include_key=False)
        empty = mine.clear().drop(BUCKET)
        del mine
        for number in range(scan, buckets, scans):
            part = by_bucket.get((number,))
            if part is not None:
                mine_of = part[PLACE].to_numpy()
                answers.append(answer(split.pop((number,), empty), questions.some(part.drop(PLACE), mine_of)))
                places.append(mine_of)
    if not answers:
        return answer(rows.limit(0).collect(), questions)
    back = np.argsort(np.concatenate(places))
    return pl.concat(answers)[back]


def plain_values(
    rows: pl.LazyFrame,
    values: Callable[[pl.Series], pl.DataFrame],
    view: FeatureView,
    questions: Questions,
    memory_bytes: int,
) -> pl.DataFrame:
    """A plain view's values at each question's instant. `values` gives those of some `ROW`s; only what was found is asked for."""

    def found(bucket: pl.DataFrame, asked: Questions) -> pl.DataFrame:
        numbers = bucket[ROW]
        line = timeline(bucket, view, lambda places: values(numbers.gather(pl.Series(places))))
        winners = pl.Series(ROW, rows_at(line, asked, view.ttl_us)).replace(-1, None)
        return numbers.gather(winners).to_frame()

    narrow = rows.select(*questions.keys.columns, EVENT, CREATED, ROW)
    return values(answered(narrow, questions, found, memory_bytes=memory_bytes).to_series())


def aggregated_values(rows: pl.LazyFrame, view: FeatureView, questions: Questions, memory_bytes: int) -> pl.DataFrame:
    """An aggregating view's values at each question's instant."""
    return answered(
        rows.drop(ROW),
        questions,
        lambda bucket, asked: aggregates_at(tape(bucket, view), view.outputs, asked),
        memory_bytes=memory_bytes,
    )
