"""The prediction log as monitoring reads it: only segments that are new, and the labels that have become known since.

Owns which rows are new. Every prediction is counted once, and judged by its first label, whichever of the two came first.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import polars as pl

from modelyard.core.clock import SECOND
from modelyard.core.ids import id_instant
from modelyard.registry.domain import ModelName
from modelyard.serving.tabular import LABEL_SCHEMA, LABELS, PREDICTION_SCHEMA, PREDICTIONS, labelled
from modelyard.storage.tables import TableMissing, Tables

LABEL_HORIZON = 30 * 86_400 * SECOND
"""How far before it a label looks for predictions where it names their entity keys; one that names an id is not bound by it."""

_ID_SLACK = 60 * SECOND
_LEAN = ("id", "version", "arm", "at", "wall", "value", "keys", "segment")


class NewRows(msgspec.Struct, frozen=True, kw_only=True):
    """What new segments hold of one model: its predictions, and predictions of any time whose first label is known now."""

    predictions: pl.DataFrame
    outcomes: pl.DataFrame


def read_new(tables: Tables, segments: Sequence[str], models: Sequence[ModelName]) -> dict[ModelName, NewRows]:
    """What `segments`, which are compacted, hold of each of `models`; models without new rows are left out."""
    log = _Log(_scan(tables, PREDICTIONS, PREDICTION_SCHEMA), _scan(tables, LABELS, LABEL_SCHEMA), list(segments))
    mine = pl.col("model").is_in(list(models)) & log.is_new
    predictions, labels = (frame.filter(mine).collect() for frame in (log.predictions, log.labels))
    found = {}
    for model in models:
        is_its = pl.col("model") == model
        asked, told = predictions.filter(is_its), labels.filter(is_its)
        if not (asked.is_empty() and told.is_empty()):
            one = _Log(log.predictions.filter(is_its), log.labels.filter(is_its), log.segments)
            found[model] = NewRows(predictions=asked, outcomes=_outcomes(one, asked, told))
    return found


class _Log(NamedTuple):
    predictions: pl.LazyFrame
    labels: pl.LazyFrame
    segments: list[str]

    @property
    def is_new(self) -> pl.Expr:
        return pl.col("segment").is_in(self.segments)


def _scan(tables: Tables, name: str, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    try:
        return tables.scan(name)
    except TableMissing:
        return pl.LazyFrame(schema=dict(schema))


def _outcomes(log: _Log, predictions: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    parts = []
    if not predictions.is_empty():
        # New predictions whose label is known, be it new or old.
        known = log.labels.filter(pl.col("at") >= predictions.get_column("at").min())
        parts.append(labelled(predictions.lazy().select(_LEAN), known).collect())
    asked = _older_asked_for(labels, predictions)
    if asked is not None:
        parts.append(_of_older(log, asked, labels))
    return pl.concat(parts, how="diagonal") if parts else pl.DataFrame()


def _of_older(log: _Log, asked: pl.Expr, labels: pl.DataFrame) -> pl.DataFrame:
    """Older predictions whose first label is new."""
    new = labelled(log.predictions.filter(~log.is_new, asked).select(_LEAN), labels.lazy()).collect()
    if new.is_empty():
        return new
    # What an earlier label has decided stays so.
    known = log.labels.filter(~log.is_new, pl.col("at") >= new.get_column("at").min())
    decided = labelled(new.lazy().select(_LEAN), known).select("id", "version", "arm").collect()
    return new.join(decided, on=["id", "version", "arm"], how="anti")


def _older_asked_for(labels: pl.DataFrame, predictions: pl.DataFrame) -> pl.Expr | None:
    """Which older predictions the labels may name: those made when the ids were, or those that the keys could mean."""
    ids = labels.select(pl.col("id").drop_nulls()).join(predictions.select("id"), on="id", how="anti").to_series()
    keyed = labels.filter(pl.col("keys").is_not_null()).get_column("at").to_list()
    wanted = []
    if len(ids):
        made = sorted(id_instant(name) for name in ids)
        wanted.append(pl.col("wall").is_between(made[0] - _ID_SLACK, made[-1] + _ID_SLACK) & pl.col("id").is_in(ids.to_list()))
    if keyed:
        wanted.append(pl.col("at").is_between(min(keyed) - LABEL_HORIZON, max(keyed)))
    return pl.any_horizontal(wanted) if wanted else None
