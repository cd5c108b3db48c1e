"""Offline values: a feature set at any entities and instants, from the sources alone; training rows with their evidence.

Owns the way from label rows to features. The online store is never asked: what it says is compared with this.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from modelyard.core.digests import Digest
from modelyard.core.names import nearest
from modelyard.features.aggregates import aggregates_at
from modelyard.features.domain import BadLabels, FeatureSet, FeatureView, Key, SourceUse, TableProfile
from modelyard.features.domain.types import find_dtype
from modelyard.features.erased import view_files
from modelyard.features.frames import outside_of_years
from modelyard.features.history import load_history
from modelyard.features.join import Ints, Questions, values_at
from modelyard.features.on_demand import on_demand_columns
from modelyard.features.profile import profiled
from modelyard.features.rows import instant_expression, key_expressions, row_count
from modelyard.features.stored import Histories, width
from modelyard.storage.rows import digest_frame
from modelyard.storage.tables import Tables

HISTORY_BYTES = 2**28
"""What values of 8 bytes a source may have to be kept in memory; the rows of a larger one are laid out once and joined from there."""

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


def training_rows(
    feature_set: FeatureSet, labels: pl.DataFrame, as_of: str, roots: Roots, histories: Histories | None = None
) -> TrainingRows:
    """`labels` with the features that were visible at each row's instant in the column `as_of`.

    One row for each label row, in their order, whatever is found. Raises BadLabels, SourceUnreadable, SourceDrifted.
    """
    clash = [name for name in feature_set.names if name in labels.columns]
    if clash:
        raise BadLabels(f"the label rows have a column {clash[0]!r} already, which is a feature of the set", hint="rename or drop it")
    features, sources = offline_values(feature_set, labels, instants_of(labels, as_of), roots, histories=histories)
    frame = pl.concat([labels, features], how="horizontal")
    return TrainingRows(frame=frame, digest=digest_frame(frame), profile=profiled(frame), feature_set=feature_set.digest, sources=sources)


def offline_values(  # noqa: PLR0913 - the last says where large sources are laid out
    feature_set: FeatureSet,
    keys: pl.DataFrame,
    at: Ints,
    roots: Roots,
    upto: Upto | None = None,
    *,
    histories: Histories | None = None,
) -> tuple[pl.DataFrame, tuple[SourceUse, ...]]:
    """The set's features for each row of `keys` at each instant, and what was read. Every type is that of the definition.

    `keys` has the fields of the request beside them that the set's on-demand features read. With `upto`, only what had
    become available by then is seen of a view, though the instant stays what it is. Sources too large for memory are laid
    out in `histories`, and stay there; without, in a temporary folder.
    """
    checked = checked_keys(keys, feature_set.keys)
    columns: dict[str, pl.Series] = {}
    uses = {}
    for view in feature_set.views:
        mine = checked.select(key.name for key in view.entity.keys)
        asked = Questions.of(mine, at, None if upto is None else upto.get(view.name))
        wanted = [name for name in view.names if name in feature_set.names]
        values, uses[view.name] = _view_values(view, wanted, asked, roots[view.name], histories)
        columns |= {name: values[name] for name in wanted}
    read = pl.DataFrame([columns[name] for name in feature_set.read.names])
    computed = on_demand_columns(feature_set, read, keys) if feature_set.on_demand else []
    return read.with_columns(computed), tuple(uses.values())


def instants_of(frame: pl.DataFrame, column: str) -> Ints:
    """A column of times as microseconds since 1970; those without a zone are UTC. Raises BadLabels."""
    if column not in frame.columns:
        raise BadLabels(f"the label rows have no column {column[:80]!r}", hint=nearest(column, frame.columns))
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
    is_outside, value, unit = outside_of_years(column, dtype)
    outside = frame.lazy().select(value.filter(is_outside)).collect().to_series()
    if outside.len():
        raise BadLabels(
            f"{outside.len()} label rows lie outside of the years 1 to 9999 by {column!r}, such as at {outside[0]} {unit} since 1970",
            hint="mend these rows, or drop them",
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


def is_large(view: FeatureView, root: Path) -> bool:
    """Whether the view's rows are laid out rather than kept in memory. Raises SourceUnreadable."""
    return row_count(view_files(view, root)) * width(view) * 8 > HISTORY_BYTES


def _view_values(
    view: FeatureView, names: list[str], asked: Questions, root: Path, histories: Histories | None
) -> tuple[pl.DataFrame, SourceUse]:
    if is_large(view, root):
        if histories is not None:
            return histories.answered(view, names, asked, root)
        with tempfile.TemporaryDirectory(prefix="histories-") as folder:
            return Histories(Tables.open(f"file://{folder}")).answered(view, names, asked, root)
    history = load_history(view, root)
    use = SourceUse(view=view.name, view_digest=view.digest, source=history.source, rows=row_count(view_files(view, root)))
    if view.is_aggregation:
        return aggregates_at(history.tape, view.outputs, asked), use
    return values_at(history.timeline, history.rows.select(view.names), asked, view.ttl_us), use
