"""The prediction log as monitoring reads it: only segments that are new, and the labels that have become known since.

Owns which rows are new. Every prediction is counted once, and judged by its first label, whichever of the two came first.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
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
_LEAN = ("model", "id", "version", "arm", "at", "wall", "value", "keys", "segment")


class NewRows(msgspec.Struct, frozen=True, kw_only=True):
    """What new segments hold of one model: its predictions, and predictions of any time whose first label is known now."""

    predictions: pl.DataFrame
    outcomes: pl.DataFrame


def read_new(
    tables: Tables, segments: Sequence[str], models: Sequence[ModelName], earlier: Callable[[Collection[str]], Collection[str]]
) -> dict[ModelName, NewRows]:
    """What `segments`, which are compacted, hold of each of `models`; models without new rows are left out.

    `earlier` says which of some other segments were taken in before. The tables may already hold rows of more: those have
    their turn when they are taken in, so that whichever of a prediction and its label comes later counts the two once.
    All models are read at once: what opening the log's files costs is paid once a tick, not once a model.
    """
    is_wanted = pl.col("model").is_in(list(models))
    asked, told = _scan(tables, PREDICTIONS, PREDICTION_SCHEMA), _scan(tables, LABELS, LABEL_SCHEMA)
    log = _Log(asked.filter(is_wanted), told.filter(is_wanted), list(segments), earlier)
    predictions, labels = pl.collect_all([frame.filter(log.is_new) for frame in (log.predictions, log.labels)])
    outcomes = _outcomes(log, predictions, labels)
    found = {}
    for model in models:
        parts = [frame.filter(pl.col("model") == model) for frame in (predictions, labels, outcomes)]
        if not (parts[0].is_empty() and parts[1].is_empty()):
            found[model] = NewRows(predictions=parts[0], outcomes=parts[2])
    return found


class _Log(NamedTuple):
    predictions: pl.LazyFrame
    labels: pl.LazyFrame
    segments: list[str]
    earlier: Callable[[Collection[str]], Collection[str]]

    @property
    def is_new(self) -> pl.Expr:
        return pl.col("segment").is_in(self.segments)

    def taken(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Those rows whose segments are new or were taken in before."""
        read = rows.collect()
        others = set(read.get_column("segment").unique()) - set(self.segments)
        return read.lazy().filter(pl.col("segment").is_in([*self.segments, *self.earlier(others)]))


def _scan(tables: Tables, name: str, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    try:
        return tables.scan(name)
    except TableMissing:
        return pl.LazyFrame(schema=dict(schema))


def _outcomes(log: _Log, predictions: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    parts = []
    if not predictions.is_empty():
        # New predictions whose label is known, be it new or old.
        known = log.taken(log.labels.filter(pl.col("at") >= predictions.get_column("at").min()))
        parts.append(labelled(predictions.lazy().select(_LEAN), known).collect())
    asked = _older_asked_for(labels, predictions)
    if asked is not None:
        parts.append(_of_older(log, asked, labels))
    return pl.concat(parts, how="diagonal") if parts else pl.DataFrame(schema={"model": pl.String()})


def _of_older(log: _Log, asked: pl.Expr, labels: pl.DataFrame) -> pl.DataFrame:
    """Older predictions whose first label is new."""
    older = log.taken(log.predictions.filter(~log.is_new, asked).select(_LEAN))
    new = labelled(older, labels.lazy()).collect()
    if new.is_empty():
        return new
    # What an earlier label has decided stays so.
    known = log.taken(log.labels.filter(~log.is_new, pl.col("at") >= new.get_column("at").min()))
    decided = labelled(new.lazy().select(_LEAN), known).select("id", "version", "arm").collect()
    return new.join(decided, on=["id", "version", "arm"], how="anti")


def _older_asked_for(labels: pl.DataFrame, predictions: pl.DataFrame) -> pl.Expr | None:
    """Which older predictions the labels may name: those made when the ids were, or those that the keys could mean."""
    ids = labels.select(pl.col("id").drop_nulls()).join(predictions.select("id"), on="id", how="anti").to_series()
    keyed = labels.filter(pl.col("keys").is_not_null()).select("model", "at")
    wanted = []
    if len(ids):
        made = sorted(id_instant(name) for name in ids)
        wanted.append(pl.col("wall").is_between(made[0] - _ID_SLACK, made[-1] + _ID_SLACK) & pl.col("id").is_in(ids.to_list()))
    for model, first, last in keyed.group_by("model").agg(first=pl.col("at").min(), last=pl.col("at").max()).rows():
        wanted.append((pl.col("model") == model) & pl.col("at").is_between(first - LABEL_HORIZON, last))
    return pl.any_horizontal(wanted) if wanted else None
