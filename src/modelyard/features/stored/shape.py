"""The shape of a stored history: its columns, and the order of rows that lets a join read a bucket without sorting it.

Owns names, order and the pointers to winners. The names are our own: a Delta table cannot hold every column's name of a user.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from modelyard.features.domain import FeatureView
from modelyard.features.join import coded, grouped, settled
from modelyard.features.rows import CREATED, EVENT, POLARS_TYPE

STORED_EVENT, STORED_CREATED, BACK, BUCKET = "event", "created", "back", "bucket"
FORMAT = 1


def key_columns(view: FeatureView) -> list[str]:
    """The columns of a stored history that hold the keys."""
    return [f"k{index}" for index in range(len(view.entity.keys))]


def value_columns(view: FeatureView) -> dict[str, str]:
    """The columns of a stored history that hold the values, by the source's names."""
    return {name: f"v{index}" for index, name in enumerate(view.value_names)}


def stored_names(view: FeatureView) -> dict[str, str]:
    """What the columns of `rows.normalised`, but for `ROW`, are called in a stored history."""
    keys = (key.name for key in view.entity.keys)
    return {**dict(zip(keys, key_columns(view), strict=True)), EVENT: STORED_EVENT, CREATED: STORED_CREATED, **value_columns(view)}


def width(view: FeatureView) -> int:
    """How many values a row of the view's history has, keys and times among them."""
    return len(view.entity.keys) + 2 + len(view.value_names)


def stored_schema(view: FeatureView, schema: pl.Schema) -> pl.Schema:
    """The columns of a history whose rows have `schema` in the one shape of `rows.normalised`; `BUCKET`, the partition, is the last."""
    back = {} if view.is_aggregation else {BACK: pl.Int32()}
    return pl.Schema({**{stored: schema[name] for name, stored in stored_names(view).items()}, **back, BUCKET: pl.Int32()})


def answer_types(view: FeatureView, names: Sequence[str], schema: pl.Schema) -> dict[str, pl.DataType]:
    """The types of the features `names`, of a history whose rows have `schema`."""
    if not view.is_aggregation:
        return {name: schema[name] for name in names}
    known = {column.name: column.dtype for column in view.columns}
    return {name: POLARS_TYPE[dtype] for name in names if (dtype := known[name]) is not None}


def laid_out(rows: pl.DataFrame, view: FeatureView) -> pl.DataFrame:
    """`rows`, which are in the one shape of `rows.normalised` without `ROW`, as a bucket stores them.

    They come by entity, availability, and within one availability by event, creation and values. A plain view's rows say in
    `BACK` how many rows further up the one stands that is the entity's latest value once they are available themselves.
    """
    keys = [key.name for key in view.entity.keys]
    _, codes = coded(rows.select(keys))
    created = rows[CREATED].to_numpy()
    by_event = grouped(codes, rows[EVENT].to_numpy(), stable=False)
    order = settled(by_event, created, lambda places: rows.select(view.value_names)[places])
    shown = grouped(by_event.codes, np.maximum(by_event.times, created[order]))
    names = stored_names(view)
    stored = rows.select(pl.col(list(names)).gather(pl.Series(order[shown.order]))).rename(names)
    if view.is_aggregation:
        return stored
    # Places in `order` rise with (entity, event, creation, values), so their running maximum is the latest value so far.
    latest = np.maximum.accumulate(shown.order)
    standing = np.empty(len(latest), np.int64)
    standing[shown.order] = np.arange(len(latest))
    return stored.with_columns(pl.Series(BACK, (np.arange(len(latest)) - standing[latest]).astype(np.int32)))


def as_normalised(stored: pl.DataFrame, view: FeatureView) -> pl.DataFrame:
    """Stored rows in the one shape of `rows.normalised`, without `ROW`."""
    return stored.select(pl.col(column).alias(name) for name, column in stored_names(view).items())
