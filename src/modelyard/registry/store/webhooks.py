"""The SQL on webhooks and on what is on its way to them."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.core.clock import Instant
from modelyard.registry.store.tables import DISPATCH, WEBHOOK
from modelyard.registry.webhooks import Dispatch, HookStatus, Webhook
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import upsert
from modelyard.tracking.sql import SortKey, paged


def put_webhook(tx: Transaction, hook: Webhook) -> None:
    """Adds a webhook, or overwrites what may change about it."""
    row = {**msgspec.structs.asdict(hook), "status": hook.status.value, "events": msgspec.json.encode(hook.events).decode()}
    upsert(tx, WEBHOOK, [row], ["id"], ["name", "url", "events", "description", "status", "secret", "updated_at"])


def delete_webhook(tx: Transaction, webhook: str) -> None:
    """Removes a webhook with what is on its way to it."""
    tx.connection.execute(sa.delete(DISPATCH).where(DISPATCH.c.webhook_id == webhook))
    tx.connection.execute(sa.delete(WEBHOOK).where(WEBHOOK.c.id == webhook))


def find_webhook(snapshot: Snapshot, webhook: str) -> Webhook | None:
    """The webhook of that id."""
    row = snapshot.connection.execute(sa.select(WEBHOOK).where(WEBHOOK.c.id == webhook)).first()
    return None if row is None else _webhook(row)


def list_webhooks(snapshot: Snapshot, teams: Sequence[TeamId] | None, after: Sequence[Any] | None, limit: int) -> list[Webhook]:
    """The webhooks of those teams, newest first, behind the row with those values of instant and id."""
    query = sa.select(WEBHOOK) if teams is None else sa.select(WEBHOOK).where(WEBHOOK.c.team_id.in_(teams))
    keys = [SortKey(WEBHOOK.c.created_at, is_ascending=False), SortKey(WEBHOOK.c.id, is_ascending=False)]
    return [_webhook(row) for row in snapshot.connection.execute(paged(query, keys, after, limit))]


def count_webhooks(snapshot: Snapshot, team: TeamId) -> int:
    """How many webhooks a team has."""
    return snapshot.connection.execute(sa.select(sa.func.count()).where(WEBHOOK.c.team_id == team)).scalar_one()


def list_active(snapshot: Snapshot, team: TeamId) -> list[Webhook]:
    """The webhooks of a team that are told of what happens."""
    query = sa.select(WEBHOOK).where(WEBHOOK.c.team_id == team, WEBHOOK.c.status == HookStatus.ACTIVE.value)
    return [_webhook(row) for row in snapshot.connection.execute(query)]


def _webhook(row: Any) -> Webhook:
    return Webhook(
        id=row.id,
        team_id=TeamId(row.team_id),
        name=row.name,
        url=row.url,
        events=msgspec.json.decode(row.events, type=tuple[str, ...]),
        description=row.description,
        status=HookStatus(row.status),
        secret=row.secret,
        created_by=PrincipalId(row.created_by),
        created_at=Instant(row.created_at),
        updated_at=Instant(row.updated_at),
    )


def insert_dispatch(tx: Transaction, dispatch: Dispatch) -> None:
    """Puts an event on its way."""
    row = msgspec.structs.asdict(dispatch)
    row["webhook_id"] = row.pop("webhook")
    tx.connection.execute(sa.insert(DISPATCH).values(**row))


def is_due(snapshot: Snapshot, at: Instant) -> bool:
    """Whether something is due to be sent."""
    return bool(snapshot.connection.execute(sa.select(sa.exists().where(DISPATCH.c.due_at <= at))).scalar())


def claim_due(tx: Transaction, at: Instant, until: Instant, limit: int) -> list[Dispatch]:
    """Some of what is due, taken away from others until then; the other transactions of the moment take other rows."""
    query = sa.select(DISPATCH).where(DISPATCH.c.due_at <= at).order_by(DISPATCH.c.due_at).limit(limit).with_for_update(skip_locked=True)
    rows = tx.connection.execute(query).all()
    tx.connection.execute(sa.update(DISPATCH).where(DISPATCH.c.id.in_([row.id for row in rows])).values(due_at=until))
    return [Dispatch(id=row.id, webhook=row.webhook_id, body=row.body, due_at=until, attempts=row.attempts) for row in rows]


def postpone(tx: Transaction, dispatch: str, due_at: Instant, attempts: int) -> None:
    """Has something be sent again then."""
    tx.connection.execute(sa.update(DISPATCH).where(DISPATCH.c.id == dispatch).values(due_at=due_at, attempts=attempts))


def delete_dispatch(tx: Transaction, dispatch: str) -> None:
    """Forgets what was sent, or will not be."""
    tx.connection.execute(sa.delete(DISPATCH).where(DISPATCH.c.id == dispatch))
