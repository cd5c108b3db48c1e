"""Skew: what was read online and logged, held against the recomputation from source. Owns which rows can be verified."""

import msgspec
import polars as pl

from modelyard.access.domain import SYSTEM, Principal, Role
from modelyard.core.clock import Instant
from modelyard.features import service as features
from modelyard.features.domain import FeatureSet, FeatureView
from modelyard.monitoring import store
from modelyard.monitoring.domain import ModelNotMonitored, ViewSkew
from modelyard.monitoring.rules.skew import rows_differ
from modelyard.registry import service as registry
from modelyard.registry.domain import ModelName
from modelyard.serving import service as serving
from modelyard.serving.domain import PredictionQuery
from modelyard.storage.database import Database, Snapshot
from modelyard.storage.tables import Tables

MOST_ROWS = 100_000


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A model and the event times [since, until) in which it was asked."""

    model: ModelName
    since: Instant
    until: Instant


def measure_skew(database: Database, tables: Tables, span: Span) -> tuple[ViewSkew, ...]:
    """Every logged vector of `span` against its recomputation, view by view, counted and kept.

    A vector is what one prediction read of one view. It is verifiable where the view had been brought online up to the
    prediction's instant: then any difference is skew. Of a view that lagged, equal vectors count as compared, others as
    unverifiable. A second call over the same end replaces the first. Raises ModelNotMonitored and what features raise.
    """
    with database.read() as snapshot:
        watched = store.find_watched(snapshot, span.model)
        if watched is None:
            raise ModelNotMonitored(f"{span.model} is not watched", hint="declare monitors, then yard apply")
    rows = serving.read_predictions(tables, PredictionQuery(model=span.model, since=span.since, until=span.until)).head(MOST_ROWS)
    found: dict[str, ViewSkew] = {}
    for (version,), part in rows.partition_by("version", as_dict=True).items():
        with database.read() as snapshot:
            feature_set = _feature_set(snapshot, span.model, int(str(version)))
        if feature_set is not None:
            _add(found, _compared(database, feature_set, span, part))
    skews = tuple(found.values())
    database.write(lambda tx: store.put_skew(tx, watched.team_id, skews))
    return skews


def _feature_set(snapshot: Snapshot, model: ModelName, version: int) -> FeatureSet | None:
    digest = registry.get_version(snapshot, model, version).feature_set
    return next((one.set for one in features.list_sets(snapshot, SYSTEM) if one.digest == digest), None)


def _compared(database: Database, feature_set: FeatureSet, span: Span, rows: pl.DataFrame) -> list[ViewSkew]:
    keys = rows.select(key.name for key in feature_set.keys)
    recomputed = features.recompute(database, feature_set, keys, rows.get_column("at").to_numpy())
    return [_of_view(view, feature_set, span, rows, recomputed) for view in feature_set.views]


def _of_view(view: FeatureView, feature_set: FeatureSet, span: Span, rows: pl.DataFrame, recomputed: pl.DataFrame) -> ViewSkew:
    names = [name for name in feature_set.names if name in view.names]
    differs = rows_differ(rows, recomputed.select(names))
    upto = f"upto:{view.name}"
    lagged = (rows.get_column(upto).fill_null(-1) < rows.get_column("at")).to_numpy() if upto in rows.columns else differs | True
    unverifiable = int((differs & lagged).sum())
    return ViewSkew(
        model=span.model,
        view=view.name,
        since_at=span.since,
        until_at=span.until,
        compared=rows.height - unverifiable,
        different=int((differs & ~lagged).sum()),
        unverifiable=unverifiable,
    )


def _add(found: dict[str, ViewSkew], more: list[ViewSkew]) -> None:
    for one in more:
        before = found.get(one.view)
        found[one.view] = (
            one
            if before is None
            else msgspec.structs.replace(
                one,
                compared=before.compared + one.compared,
                different=before.different + one.different,
                unverifiable=before.unverifiable + one.unverifiable,
            )
        )


def list_skew(snapshot: Snapshot, principal: Principal, model: ModelName | None = None) -> list[ViewSkew]:
    """What all comparisons found together, by model and view, of the models that the caller may see."""
    seen = {one.model for one in store.list_watched(snapshot) if principal.may(Role.VIEWER, one.team_id)}
    return [one for one in store.sum_skew(snapshot, model) if one.model in seen]
