"""The SQL on what happens to versions: their states, aliases and the moves of these, holds."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from modelyard.access.domain import PrincipalId
from modelyard.core.clock import Instant
from modelyard.core.ids import new_id
from modelyard.registry.domain import (
    Alias,
    AliasMove,
    AliasName,
    Deprecation,
    Hold,
    ModelName,
    StateChange,
    VersionState,
)
from modelyard.registry.store.tables import ALIAS, DEPRECATION, HOLD, MOVE, STATE
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import upsert


def insert_state(tx: Transaction, model: ModelName, number: int, change: StateChange) -> None:
    """Adds a row to the version's life."""
    tx.connection.execute(
        sa.insert(STATE).values(
            model=model, number=number, state=change.state.value, entered_at=change.at, actor=change.actor, why=change.why
        )
    )


def list_states(snapshot: Snapshot, model: ModelName, numbers: Sequence[int]) -> dict[int, tuple[StateChange, ...]]:
    """The lives of those versions, each in order."""
    query = sa.select(STATE).where(STATE.c.model == model, STATE.c.number.in_(numbers))
    found: dict[int, list[StateChange]] = {}
    for row in snapshot.connection.execute(query):
        change = StateChange(state=VersionState(row.state), at=Instant(row.entered_at), actor=PrincipalId(row.actor), why=row.why)
        found.setdefault(row.number, []).append(change)
    order = list(VersionState)
    return {number: tuple(sorted(changes, key=lambda one: order.index(one.state))) for number, changes in found.items()}


def is_retired(model: sa.ColumnElement[Any], number: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """The condition for versions that were retired."""
    retired = VersionState.RETIRED.value
    return sa.exists().where(STATE.c.model == model, STATE.c.number == number, STATE.c.state == retired)


def put_alias(tx: Transaction, alias: Alias) -> None:
    """Has an alias point to a version."""
    row = {"model": alias.model, "name": alias.name, "number": alias.version, "moved_at": alias.moved_at, "moved_by": alias.moved_by}
    upsert(tx, ALIAS, [row], ["model", "name"], ["number", "moved_at", "moved_by"])


def delete_alias(tx: Transaction, model: ModelName, name: AliasName) -> None:
    """Removes an alias."""
    tx.connection.execute(sa.delete(ALIAS).where(ALIAS.c.model == model, ALIAS.c.name == name))


def find_alias(snapshot: Snapshot, model: ModelName, name: AliasName) -> Alias | None:
    """Where the alias points, if anywhere."""
    row = snapshot.connection.execute(sa.select(ALIAS).where(ALIAS.c.model == model, ALIAS.c.name == name)).first()
    return None if row is None else _alias(row)


def list_aliases(snapshot: Snapshot, models: Sequence[ModelName]) -> dict[ModelName, tuple[Alias, ...]]:
    """The aliases of those models, by name."""
    found: dict[ModelName, list[Alias]] = {}
    for row in snapshot.connection.execute(sa.select(ALIAS).where(ALIAS.c.model.in_(models)).order_by(ALIAS.c.name)):
        found.setdefault(ModelName(row.model), []).append(_alias(row))
    return {model: tuple(aliases) for model, aliases in found.items()}


def _alias(row: Any) -> Alias:
    return Alias(
        model=ModelName(row.model),
        name=AliasName(row.name),
        version=row.number,
        moved_at=Instant(row.moved_at),
        moved_by=PrincipalId(row.moved_by),
    )


def insert_move(tx: Transaction, move: AliasMove) -> None:
    """Adds a move of an alias to its history."""
    tx.connection.execute(
        sa.insert(MOVE).values(
            id=new_id("mov"),
            model=move.model,
            name=move.name,
            number_before=move.before,
            number_after=move.after,
            moved_at=move.moved_at,
            moved_by=move.moved_by,
        )
    )


def list_moves(snapshot: Snapshot, model: ModelName, limit: int) -> list[AliasMove]:
    """The moves of the model's aliases, newest first."""
    query = sa.select(MOVE).where(MOVE.c.model == model).order_by(MOVE.c.id.desc()).limit(limit)
    return [
        AliasMove(
            model=ModelName(row.model),
            name=AliasName(row.name),
            before=row.number_before,
            after=row.number_after,
            moved_at=Instant(row.moved_at),
            moved_by=PrincipalId(row.moved_by),
        )
        for row in snapshot.connection.execute(query)
    ]


def put_hold(tx: Transaction, hold: Hold) -> None:
    """Keeps a version from being retired; a hold of the same holder stays as it was."""
    row = {"model": hold.model, "number": hold.version, "holder": hold.holder, "why": hold.why, "since_at": hold.since_at}
    upsert(tx, HOLD, [row], ["model", "number", "holder"], ["why"])


def delete_hold(tx: Transaction, model: ModelName, number: int, holder: str) -> None:
    """Lets go of a version."""
    tx.connection.execute(sa.delete(HOLD).where(HOLD.c.model == model, HOLD.c.number == number, HOLD.c.holder == holder))


def list_holds(snapshot: Snapshot, model: ModelName, numbers: Sequence[int]) -> dict[int, tuple[Hold, ...]]:
    """The holds on those versions, longest first."""
    query = sa.select(HOLD).where(HOLD.c.model == model, HOLD.c.number.in_(numbers)).order_by(HOLD.c.since_at, HOLD.c.holder)
    found: dict[int, list[Hold]] = {}
    for row in snapshot.connection.execute(query):
        hold = Hold(model=ModelName(row.model), version=row.number, holder=row.holder, why=row.why, since_at=Instant(row.since_at))
        found.setdefault(row.number, []).append(hold)
    return {number: tuple(holds) for number, holds in found.items()}


def put_deprecation(tx: Transaction, model: ModelName, number: int, said: Deprecation) -> None:
    """Keeps that a version is deprecated, over what was said before."""
    row = {"model": model, "number": number, "why": said.why, "successor": said.successor, "since_at": said.since_at, "actor": said.actor}
    upsert(tx, DEPRECATION, [row], ["model", "number"], ["why", "successor", "since_at", "actor"])


def delete_deprecation(tx: Transaction, model: ModelName, number: int) -> None:
    """Takes back that a version is deprecated."""
    tx.connection.execute(sa.delete(DEPRECATION).where(DEPRECATION.c.model == model, DEPRECATION.c.number == number))


def list_deprecations(snapshot: Snapshot, model: ModelName, numbers: Sequence[int]) -> dict[int, Deprecation]:
    """Which of those versions are deprecated."""
    query = sa.select(DEPRECATION).where(DEPRECATION.c.model == model, DEPRECATION.c.number.in_(numbers))
    return {
        row.number: Deprecation(why=row.why, successor=row.successor, since_at=Instant(row.since_at), actor=PrincipalId(row.actor))
        for row in snapshot.connection.execute(query)
    }
