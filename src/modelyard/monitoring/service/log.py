"""The prediction log as monitoring reads it: only segments that are new, and the labels that have become known since.

Owns which rows are new. Every prediction is counted once, and judged by its first label, whichever of the two came first.
"""

from collections.abc import Sequence

import msgspec
import polars as pl

from modelyard.core.clock import SECOND, Instant
from modelyard.core.ids import id_instant
from modelyard.registry.domain import ModelName
from modelyard.serving.tabular import LABELS, PREDICTIONS, labelled
from modelyard.storage.tables import Tables

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
    predictions = _of_segments(tables, PREDICTIONS, segments, models)
    labels = _of_segments(tables, LABELS, segments, models)
    found = {}
    for model in models:
        mine = None if predictions is None else predictions.filter(pl.col("model") == model)
        known = None if labels is None else labels.filter(pl.col("model") == model)
        if (mine is None or mine.is_empty()) and (known is None or known.is_empty()):
            continue
        outcomes = _outcomes(tables, model, segments, mine, known)
        found[model] = NewRows(predictions=pl.DataFrame() if mine is None else mine, outcomes=outcomes)
    return found


def _of_segments(tables: Tables, name: str, segments: Sequence[str], models: Sequence[ModelName]) -> pl.DataFrame | None:
    if tables.version(name) is None:
        return None
    return tables.scan(name).filter(pl.col("model").is_in(list(models)), pl.col("segment").is_in(list(segments))).collect()


def _outcomes(
    tables: Tables, model: ModelName, segments: Sequence[str], predictions: pl.DataFrame | None, labels: pl.DataFrame | None
) -> pl.DataFrame:
    parts = []
    if predictions is not None and not predictions.is_empty():
        parts.append(_of_new_predictions(tables, model, predictions))
    if labels is not None and not labels.is_empty():
        parts.append(_of_new_labels(tables, model, segments, labels))
    return pl.concat(parts, how="diagonal") if parts else pl.DataFrame()


def _of_new_predictions(tables: Tables, model: ModelName, predictions: pl.DataFrame) -> pl.DataFrame:
    """New predictions whose label is known already, be it new or old."""
    if tables.version(LABELS) is None:
        return pl.DataFrame()
    first = predictions.get_column("at").min()
    labels = tables.scan(LABELS).filter(pl.col("model") == model, pl.col("at") >= first)
    return labelled(predictions.lazy().select(_LEAN), labels).collect()


def _of_new_labels(tables: Tables, model: ModelName, segments: Sequence[str], labels: pl.DataFrame) -> pl.DataFrame:
    """Older predictions whose first label is new."""
    if tables.version(PREDICTIONS) is None:
        return pl.DataFrame()
    older = tables.scan(PREDICTIONS).filter(pl.col("model") == model, ~pl.col("segment").is_in(list(segments)), _asked_for(labels))
    new = labelled(older.select(_LEAN), labels.lazy()).collect()
    if new.is_empty():
        return new
    # What an earlier label has decided stays so.
    known = tables.scan(LABELS).filter(
        pl.col("model") == model, ~pl.col("segment").is_in(list(segments)), pl.col("at") >= new.get_column("at").min()
    )
    decided = labelled(new.lazy().select(_LEAN), known).select("id", "version", "arm").collect()
    return new.join(decided, on=["id", "version", "arm"], how="anti")


def _asked_for(labels: pl.DataFrame) -> pl.Expr:
    """Which predictions the labels may name: those made when the ids were, or those that the keys could mean."""
    wanted = pl.lit(value=False)
    ids = labels.get_column("id").drop_nulls()
    if len(ids):
        made = [id_instant(ids.min()), id_instant(ids.max())]  # type: ignore[arg-type] # a column of texts has texts as its ends
        wanted = pl.col("wall").is_between(made[0] - _ID_SLACK, made[1] + _ID_SLACK) & pl.col("id").is_in(ids.to_list())
    keyed = labels.filter(pl.col("keys").is_not_null()).get_column("at")
    if len(keyed):
        span = pl.col("at").is_between(Instant(int(keyed.min()) - LABEL_HORIZON), int(keyed.max()))  # type: ignore[arg-type] # integers
        wanted = wanted | span
    return wanted
