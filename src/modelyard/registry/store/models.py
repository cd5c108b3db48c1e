"""The SQL on models."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.core.clock import Instant
from modelyard.registry.domain import (
    Model,
    ModelName,
    RiskTier,
)
from modelyard.registry.store.tables import MODEL
from modelyard.storage.database import Snapshot, Transaction


def insert_model(tx: Transaction, model: Model) -> None:
    """Adds a model. Its name must not be taken."""
    tx.connection.execute(sa.insert(MODEL).values(**_model_row(model), created_at=model.created_at, updated_at=tx.now()))


def update_model(tx: Transaction, model: Model) -> None:
    """Overwrites what may change about a model: owner, purpose and risk."""
    row = _model_row(model)
    tx.connection.execute(
        sa.update(MODEL)
        .where(MODEL.c.name == model.name)
        .values(owner=row["owner"], purpose=row["purpose"], risk=row["risk"], updated_at=tx.now())
    )


def set_times(tx: Transaction, model: ModelName, created_at: Instant, updated_at: Instant) -> None:
    """Has a model that was brought from elsewhere tell its times there."""
    tx.connection.execute(sa.update(MODEL).where(MODEL.c.name == model).values(created_at=created_at, updated_at=updated_at))


def touch_model(tx: Transaction, model: ModelName) -> None:
    """Notes that something of the model changed, and has other transactions that change its versions wait for this one."""
    tx.connection.execute(sa.update(MODEL).where(MODEL.c.name == model).values(updated_at=tx.now()))


def delete_model(tx: Transaction, model: ModelName) -> None:
    """Removes a model that has no versions."""
    tx.connection.execute(sa.delete(MODEL).where(MODEL.c.name == model))


def _model_row(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "team_id": model.team_id,
        "owner": model.owner,
        "purpose": model.purpose,
        "risk": model.risk.value,
        "created_by": model.created_by,
    }


def find_model(snapshot: Snapshot, model: ModelName) -> Model | None:
    """The model of that name."""
    row = snapshot.connection.execute(sa.select(MODEL).where(MODEL.c.name == model)).first()
    return None if row is None else _model(row)


def list_models(snapshot: Snapshot, condition: sa.ColumnElement[bool], limit: int) -> list[Model]:
    """The models that meet a condition on `MODEL`, by name."""
    return [_model(row) for row in snapshot.connection.execute(sa.select(MODEL).where(condition).order_by(MODEL.c.name).limit(limit))]


def updated_at(snapshot: Snapshot, models: Sequence[ModelName]) -> dict[ModelName, Instant]:
    """When something of each model changed last."""
    rows = snapshot.connection.execute(sa.select(MODEL.c.name, MODEL.c.updated_at).where(MODEL.c.name.in_(models)))
    return {ModelName(row.name): Instant(row.updated_at) for row in rows}


def in_teams(teams: Sequence[TeamId] | None) -> sa.ColumnElement[bool]:
    """The condition for models of those teams; of every team for None."""
    return sa.true() if teams is None else MODEL.c.team_id.in_(teams)


def _model(row: Any) -> Model:
    return Model(
        name=ModelName(row.name),
        team_id=TeamId(row.team_id),
        owner=row.owner,
        purpose=row.purpose,
        risk=RiskTier(row.risk),
        created_by=PrincipalId(row.created_by),
        created_at=Instant(row.created_at),
    )
