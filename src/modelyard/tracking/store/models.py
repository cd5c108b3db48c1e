"""Rows of logged models: themselves, their params and tags, and what was measured on them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.core.clock import Instant
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import upsert
from modelyard.tracking.domain import (
    ExperimentId,
    Lifecycle,
    LoggedModel,
    LoggedModelId,
    Metric,
    ModelMetric,
    ModelStatus,
    RunId,
)
from modelyard.tracking.store.runs import list_texts, put_texts
from modelyard.tracking.store.series import Owner
from modelyard.tracking.store.tables import LOGGED_MODEL_METRICS, LOGGED_MODEL_PARAMS, LOGGED_MODEL_TAGS, LOGGED_MODELS


def insert_model(tx: Transaction, model: LoggedModel) -> None:
    """Adds a logged model with its tags and params."""
    row = msgspec.structs.asdict(model)
    tags, params, _ = row.pop("tags"), row.pop("params"), row.pop("metrics")
    row["model_id"] = row.pop("id")
    tx.connection.execute(sa.insert(LOGGED_MODELS), row)
    owners = {model.id: Owner(model.team_id, model.experiment_id)}
    put_texts(tx, LOGGED_MODEL_TAGS, [(model.id, key, value) for key, value in tags.items()], owners)
    put_texts(tx, LOGGED_MODEL_PARAMS, [(model.id, key, value) for key, value in params.items()], owners)


def find_models(snapshot: Snapshot, ids: Sequence[LoggedModelId]) -> dict[LoggedModelId, LoggedModel]:
    """Those of the models that are there, whatever their lifecycle."""
    rows = snapshot.connection.execute(sa.select(LOGGED_MODELS).where(LOGGED_MODELS.c.model_id.in_(ids)))
    return {one.id: one for one in load_models(snapshot, [row._mapping for row in rows])}


def list_models(snapshot: Snapshot, experiment_id: ExperimentId, after: str, limit: int) -> list[LoggedModelId]:
    """The ids of an experiment's models behind `after`, by id, whatever their lifecycle."""
    table = LOGGED_MODELS.c
    query = sa.select(table.model_id).where(table.experiment_id == experiment_id, table.model_id > after).order_by(table.model_id)
    return [LoggedModelId(found) for found in snapshot.connection.execute(query.limit(limit)).scalars()]


def load_models(snapshot: Snapshot, rows: Sequence[sa.RowMapping]) -> list[LoggedModel]:
    """Rows of the table with what belongs to them, in the same order."""
    ids = [row["model_id"] for row in rows]
    if not ids:
        return []
    tags, params = list_texts(snapshot, LOGGED_MODEL_TAGS, ids), list_texts(snapshot, LOGGED_MODEL_PARAMS, ids)
    metrics = _metrics_of(snapshot, ids)
    return [
        LoggedModel(
            id=LoggedModelId(row["model_id"]),
            experiment_id=ExperimentId(row["experiment_id"]),
            team_id=TeamId(row["team_id"]),
            name=row["name"],
            artifact_uri=row["artifact_uri"],
            created_at=Instant(row["created_at"]),
            updated_at=Instant(row["updated_at"]),
            status=ModelStatus(row["status"]),
            model_type=row["model_type"],
            source_run_id=row["source_run_id"],
            lifecycle=Lifecycle(row["lifecycle"]),
            content_digest=row["content_digest"],
            tags=tags.get(row["model_id"], {}),
            params=params.get(row["model_id"], {}),
            metrics=tuple(metrics.get(row["model_id"], ())),
        )
        for row in rows
    ]


def update_model(tx: Transaction, model_id: LoggedModelId, values: Mapping[str, Any]) -> None:
    """Overwrites columns of a logged model."""
    tx.connection.execute(sa.update(LOGGED_MODELS).where(LOGGED_MODELS.c.model_id == model_id).values(dict(values)))


def find_teams(snapshot: Snapshot, ids: Sequence[LoggedModelId]) -> dict[LoggedModelId, TeamId]:
    """The team of each of the models that are there, whatever their lifecycle."""
    query = sa.select(LOGGED_MODELS.c.model_id, LOGGED_MODELS.c.team_id).where(LOGGED_MODELS.c.model_id.in_(ids))
    return {LoggedModelId(model): TeamId(team) for model, team in snapshot.connection.execute(query)}


def put_model_metrics(tx: Transaction, metrics: Sequence[tuple[RunId, Metric]], owners: Mapping[RunId, Owner]) -> None:
    """Notes what runs measured on logged models; a point of the same model, key, instant, step and run stays as it is."""
    rows = {
        (metric.model_id, metric.key, metric.at, metric.step, run_id): {
            "model_id": metric.model_id,
            "key": metric.key,
            "at": metric.at,
            "step": metric.step,
            "run_id": run_id,
            "team_id": owners[run_id].team_id,
            "experiment_id": owners[run_id].experiment_id,
            "value": 0.0 if metric.value != metric.value else metric.value,
            "is_nan": metric.value != metric.value,
            "dataset_name": metric.dataset_name,
            "dataset_digest": metric.dataset_digest,
        }
        for run_id, metric in metrics
    }
    upsert(tx, LOGGED_MODEL_METRICS, list(rows.values()), ["model_id", "key", "at", "step", "run_id"])


def put_imported_metrics(tx: Transaction, model_id: LoggedModelId, owner: Owner, metrics: Sequence[ModelMetric]) -> None:
    """Notes what was measured on one model, by runs that need not be here."""
    measured = [
        (
            one.run_id,
            Metric(
                key=one.key,
                value=math.nan if one.value is None else one.value,
                at=one.at,
                step=one.step,
                model_id=model_id,
                dataset_name=one.dataset_name,
                dataset_digest=one.dataset_digest,
            ),
        )
        for one in metrics
    ]
    put_model_metrics(tx, measured, {one.run_id: owner for one in metrics})


def _metrics_of(snapshot: Snapshot, ids: Sequence[LoggedModelId]) -> dict[LoggedModelId, list[ModelMetric]]:
    table = LOGGED_MODEL_METRICS
    query = sa.select(table).where(table.c.model_id.in_(ids)).order_by(table.c.model_id, table.c.key, table.c.at, table.c.step)
    found: dict[LoggedModelId, list[ModelMetric]] = {}
    for row in snapshot.connection.execute(query):
        metric = ModelMetric(
            key=row.key,
            value=None if row.is_nan else row.value,
            at=Instant(row.at),
            step=row.step,
            run_id=RunId(row.run_id),
            dataset_name=row.dataset_name,
            dataset_digest=row.dataset_digest,
        )
        found.setdefault(LoggedModelId(row.model_id), []).append(metric)
    return found
