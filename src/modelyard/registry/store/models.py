"""The SQL on models."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.core.clock import Instant
from modelyard.registry.domain import (
    FormerName,
    Model,
    ModelName,
    RiskTier,
)
from modelyard.registry.store.tables import ALIAS, DEPRECATION, FORMER_NAME, HOLD, MODEL, MOVE, NOTE, SOURCE, STATE, TAG, VERSION
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import upsert

_ON_VERSIONS = (ALIAS, DEPRECATION, HOLD, NOTE, SOURCE, STATE)
_ON_MODELS = (MOVE, TAG)


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
    """Removes a model with its versions and all that stands beside them."""
    for table in (*_ON_VERSIONS, VERSION, *_ON_MODELS):
        tx.connection.execute(sa.delete(table).where(table.c.model == model))
    tx.connection.execute(sa.delete(MODEL).where(MODEL.c.name == model))


def rename_model(tx: Transaction, model: ModelName, name: ModelName) -> None:
    """Gives a model, its versions and all that stands beside them another name, which must be free."""
    # Rows that others refer to are copied first and removed last: no row refers to nothing in between.
    _copy(tx, MODEL, MODEL.c.name, model, name)
    _copy(tx, VERSION, VERSION.c.model, model, name)
    for table in (*_ON_VERSIONS, *_ON_MODELS):
        tx.connection.execute(sa.update(table).where(table.c.model == model).values(model=name))
    tx.connection.execute(sa.delete(VERSION).where(VERSION.c.model == model))
    tx.connection.execute(sa.delete(MODEL).where(MODEL.c.name == model))
    tx.connection.execute(sa.update(MODEL).where(MODEL.c.name == name).values(updated_at=tx.now()))


def _copy(tx: Transaction, table: sa.Table, key: sa.Column[Any], old: ModelName, new: ModelName) -> None:
    columns = [sa.literal(new).label(column.name) if column is key else column for column in table.c]
    names = [column.name for column in table.c]
    tx.connection.execute(sa.insert(table).from_select(names, sa.select(*columns).where(key == old)))


def put_former_name(tx: Transaction, former: FormerName) -> None:
    """Notes that a model was known by a name when it had versions."""
    row = {"name": former.name, "model_id": former.model, "last": former.last}
    upsert(tx, FORMER_NAME, [row], ["name"], ["model_id", "last"])


def find_former_name(snapshot: Snapshot, name: ModelName) -> FormerName | None:
    """Which model was known by that name, and how far its versions were counted."""
    row = snapshot.connection.execute(sa.select(FORMER_NAME).where(FORMER_NAME.c.name == name)).first()
    return None if row is None else FormerName(name=ModelName(row.name), model=row.model_id, last=row.last)


def is_held(snapshot: Snapshot, model: ModelName) -> bool:
    """Whether something holds a version of the model."""
    return bool(snapshot.connection.execute(sa.select(sa.exists().where(HOLD.c.model == model))).scalar())


def _model_row(model: Model) -> dict[str, Any]:
    return {
        "id": model.id,
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
        id=row.id or row.name,
        name=ModelName(row.name),
        team_id=TeamId(row.team_id),
        owner=row.owner,
        purpose=row.purpose,
        risk=RiskTier(row.risk),
        created_by=PrincipalId(row.created_by),
        created_at=Instant(row.created_at),
    )
