"""Offline values: a feature set at any entities and instants, from the sources alone; training rows with their evidence.

Owns the way from label rows to features. The online store is never asked: what it says is compared with this.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from modelyard.core.digests import Digest
from modelyard.core.names import nearest
from modelyard.features.aggregates import aggregates_at
from modelyard.features.buckets import MEMORY_BYTES, aggregated_values, plain_values
from modelyard.features.domain import BadLabels, FeatureSet, FeatureView, Key, SourceUse, TableProfile
from modelyard.features.domain.types import find_dtype
from modelyard.features.erased import view_files
from modelyard.features.history import load_history
from modelyard.features.join import Ints, Questions, values_at
from modelyard.features.profile import profiled
from modelyard.features.rows import (
    files_digest,
    instant_expression,
    key_expressions,
    not_as_declared,
    row_count,
    source_rows,
    source_values,
)
from modelyard.storage.rows import digest_frame

HISTORY_BYTES = 2**28
"""A larger source is joined bucket by bucket each time; a smaller one is kept in memory."""

Roots = Mapping[str, Path]
"""The folder that each view's source path is taken from, by the view's name."""
Upto = Mapping[str, Ints]
"""By a view's name, up to which instant each row saw its source."""


class TrainingRows(msgspec.Struct, frozen=True, kw_only=True):
    """Label rows with their features, the table's digest and profile, and what was read for them."""

    frame: pl.DataFrame
    digest: Digest
    profile: TableProfile
    feature_set: Digest
    sources: tuple[SourceUse, ...]


def training_rows(feature_set: FeatureSet, labels: pl.DataFrame, as_of: str, roots: Roots) -> TrainingRows:
    """`labels` with the features that were visible at each row's instant in the column `as_of`.

    One row for each label row, in their order, whatever is found. Raises BadLabels, SourceUnreadable, SourceDrifted.
    """
    clash = [name for name in feature_set.names if name in labels.columns]
    if clash:
        raise BadLabels(f"the label rows have a column {clash[0]!r} already, which is a feature of the set", hint="rename or drop it")
    features, sources = offline_values(feature_set, labels, instants_of(labels, as_of), roots)
    frame = pl.concat([labels, features], how="horizontal")
    return TrainingRows(frame=frame, digest=digest_frame(frame), profile=profiled(frame), feature_set=feature_set.digest, sources=sources)


def offline_values(
    feature_set: FeatureSet, keys: pl.DataFrame, at: Ints, roots: Roots, upto: Upto | None = None
) -> tuple[pl.DataFrame, tuple[SourceUse, ...]]:
    """The set's features for each row of `keys` at each instant, and what was read. Every type is that of the definition.

    With `upto`, only what had become available by then is seen of a view, though the instant stays what it is.
    """
    checked = checked_keys(keys, feature_set.keys)
    columns: dict[str, pl.Series] = {}
    uses = {}
    for view in feature_set.views:
        mine = checked.select(key.name for key in view.entity.keys)
        asked = Questions.of(mine, at, None if upto is None else upto.get(view.name))
        values, uses[view.name] = _view_values(view, asked, roots[view.name])
        columns |= {column.name: column for column in values.get_columns() if column.name in feature_set.names}
    return pl.DataFrame([columns[name] for name in feature_set.names]), tuple(uses.values())


def instants_of(frame: pl.DataFrame, column: str) -> Ints:
    """A column of times as microseconds since 1970; those without a zone are UTC. Raises BadLabels."""
    if column not in frame.columns:
        raise BadLabels(f"the label rows have no column {column!r}", hint=nearest(column, frame.columns))
    dtype = frame.schema[column]
    if not isinstance(dtype, pl.Datetime | pl.Date):
        raise BadLabels(
            f"{column!r} is {dtype}, not a time", hint="turn it into a timestamp; numbers and texts do not say their unit or zone"
        )
    missing = frame[column].null_count()
    if missing:
        raise BadLabels(
            f"{missing} label rows have no instant in {column!r}", hint="a feature has a value only at an instant: drop these rows"
        )
    return frame.select(instant_expression(column, frame.schema)).to_series().to_numpy().astype(np.int64)


def checked_keys(frame: pl.DataFrame, keys: tuple[Key, ...]) -> pl.DataFrame:
    """The key columns of `frame` in their declared types. Raises BadLabels for one that is missing or of another type."""
    for key in keys:
        if key.name not in frame.columns:
            raise BadLabels(f"the rows have no key {key.name!r}", hint=nearest(key.name, frame.columns))
        found = find_dtype(frame.schema[key.name])
        if found != key.dtype and frame.schema[key.name] != pl.Null:
            raise BadLabels(f"the key {key.name!r} is {frame.schema[key.name]}, not {key.dtype}", hint=f"cast it to {key.dtype}")
    return frame.select(key_expressions(keys, frame.schema))


def _view_values(view: FeatureView, asked: Questions, root: Path) -> tuple[pl.DataFrame, SourceUse]:
    files = view_files(view, root)
    count = row_count(files)
    width = len(view.entity.keys) + len(view.value_names) + 2
    if count * width * 8 <= min(HISTORY_BYTES, MEMORY_BYTES):
        history = load_history(view, root)
        use = SourceUse(view=view.name, view_digest=view.digest, source=history.source, rows=count)
        if view.is_aggregation:
            return aggregates_at(history.tape, view.outputs, asked), use
        return values_at(history.timeline, history.rows.select(view.names), asked, view.ttl_us), use
    use = SourceUse(view=view.name, view_digest=view.digest, source=files_digest(files), rows=count)
    rows = source_rows(view, files)
    try:
        if view.is_aggregation:
            return aggregated_values(rows, view, asked, MEMORY_BYTES), use
        return plain_values(rows, lambda numbers: source_values(view, files, numbers), view, asked, MEMORY_BYTES), use
    except pl.exceptions.PolarsError as error:
        raise not_as_declared(view, error) from error
