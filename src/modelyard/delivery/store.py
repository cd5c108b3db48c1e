"""All of delivery's SQL: deliveries, stages with their leases, approvals, declarations; rows to domain types and back."""

from collections.abc import Collection
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.delivery.domain import (
    Approval,
    Claim,
    Delivery,
    DeliveryDetail,
    DeliveryId,
    DeliveryState,
    Reproduction,
    ReproductionState,
    Stage,
    StageName,
    StageState,
)
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import METADATA, upsert

MOST_REPRODUCTIONS = 200
DELIVERIES = sa.Table(
    "deliveries",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("team_id", sa.String(64), nullable=False),
    sa.Column("model", sa.String(120), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("key", sa.String(200), nullable=False, unique=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Index("ix_deliveries_model_state", "model", "state"),
)
STAGES = sa.Table(
    "delivery_stages",
    METADATA,
    sa.Column("delivery_id", sa.String(64), sa.ForeignKey("deliveries.id"), primary_key=True),
    sa.Column("name", sa.String(16), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("lease_until", sa.BigInteger, nullable=False),
    sa.Column("wake_at", sa.BigInteger),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Index("ix_delivery_stages_state", "state"),
)
APPROVALS = sa.Table(
    "approvals",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("team_id", sa.String(64), nullable=False),
    sa.Column("delivery_id", sa.String(64), sa.ForeignKey("deliveries.id"), nullable=False, unique=True),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("document", sa.LargeBinary, nullable=False),
)
DECLARATIONS = sa.Table(
    "model_declarations",
    METADATA,
    sa.Column("digest", sa.String(80), primary_key=True),
    sa.Column("team_id", sa.String(64), nullable=False),
    sa.Column("model", sa.String(120), nullable=False),
    sa.Column("applied_at", sa.BigInteger, nullable=False),
    sa.Column("is_current", sa.Boolean, nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Index("ix_model_declarations_model", "model", "is_current"),
)
TRIGGERS = sa.Table(
    "delivery_triggers",
    METADATA,
    sa.Column("model", sa.String(120), primary_key=True),
    sa.Column("team_id", sa.String(64), nullable=False),
    sa.Column("fired_at", sa.BigInteger, nullable=False),
    sa.Column("due_at", sa.BigInteger, nullable=False),
)
REPRODUCTIONS = sa.Table(
    "reproductions",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("team_id", sa.String(64), nullable=False),
    sa.Column("model", sa.String(120), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("run", sa.String(64), index=True),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("key", sa.String(200), nullable=False, unique=True),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("lease_until", sa.BigInteger, nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Index("ix_reproductions_version", "model", "version"),
)


def put_delivery(tx: Transaction, delivery: Delivery, key: str) -> None:
    """Inserts a new delivery."""
    row: dict[str, Any] = {"id": delivery.id, "team_id": delivery.team_id, "model": delivery.model, "state": delivery.state, "key": key}
    tx.connection.execute(
        sa.insert(DELIVERIES).values(row | {"created_at": delivery.created_at, "document": msgspec.json.encode(delivery)})
    )


def update_delivery(tx: Transaction, delivery: Delivery) -> None:
    """Writes what changed in a delivery."""
    statement = sa.update(DELIVERIES).where(DELIVERIES.c.id == delivery.id)
    tx.connection.execute(statement.values(state=delivery.state, document=msgspec.json.encode(delivery)))


def find_by_key(snapshot: Snapshot, key: str) -> Delivery | None:
    """The delivery that was started under an idempotency key."""
    found = snapshot.connection.execute(sa.select(DELIVERIES.c.document).where(DELIVERIES.c.key == key)).scalar()
    return None if found is None else msgspec.json.decode(found, type=Delivery)


def find_delivery(snapshot: Snapshot, delivery: DeliveryId) -> Delivery | None:
    """The delivery of that id."""
    found = snapshot.connection.execute(sa.select(DELIVERIES.c.document).where(DELIVERIES.c.id == delivery)).scalar()
    return None if found is None else msgspec.json.decode(found, type=Delivery)


def list_deliveries(  # noqa: PLR0913 - one filter each
    snapshot: Snapshot,
    model: str | None,
    state: DeliveryState | None,
    before: str | None,
    limit: int,
    *,
    teams: Collection[TeamId] | None = None,
) -> list[Delivery]:
    """Deliveries, newest first, behind the id `before`; of those teams, or of all."""
    query = sa.select(DELIVERIES.c.document).order_by(DELIVERIES.c.id.desc()).limit(limit)
    query = query if teams is None else query.where(DELIVERIES.c.team_id.in_(teams))
    query = query if model is None else query.where(DELIVERIES.c.model == model)
    query = query if state is None else query.where(DELIVERIES.c.state == state)
    query = query if before is None else query.where(DELIVERIES.c.id < before)
    return [msgspec.json.decode(found, type=Delivery) for found in snapshot.connection.execute(query).scalars()]


def list_latest_deliveries(snapshot: Snapshot) -> list[Delivery]:
    """The latest delivery of every model, by model."""
    latest = sa.select(sa.func.max(DELIVERIES.c.id)).group_by(DELIVERIES.c.model)
    query = sa.select(DELIVERIES.c.document).where(DELIVERIES.c.id.in_(latest)).order_by(DELIVERIES.c.model)
    return [msgspec.json.decode(found, type=Delivery) for found in snapshot.connection.execute(query).scalars()]


def list_deliveries_since(snapshot: Snapshot, since: Instant, limit: int) -> list[Delivery]:
    """Deliveries that began at `since` or later, newest first."""
    query = sa.select(DELIVERIES.c.document).where(DELIVERIES.c.created_at >= since).order_by(DELIVERIES.c.id.desc()).limit(limit)
    return [msgspec.json.decode(found, type=Delivery) for found in snapshot.connection.execute(query).scalars()]


def put_stages(tx: Transaction, stages: tuple[Stage, ...]) -> None:
    """Inserts or overwrites stages as they are, leases apart."""
    order = list(StageName)
    rows: list[dict[str, Any]] = [
        {
            "delivery_id": stage.delivery,
            "name": stage.name,
            "position": order.index(stage.name),
            "state": stage.state,
            "fence": stage.fence,
            "lease_until": 0,
            "wake_at": stage.wake_at,
            "document": msgspec.json.encode(stage),
        }
        for stage in stages
    ]
    upsert(tx, STAGES, rows, ["delivery_id", "name"], ["state", "fence", "lease_until", "wake_at", "document"])


def list_stages(snapshot: Snapshot, delivery: DeliveryId) -> tuple[Stage, ...]:
    """The stages of a delivery in their order."""
    query = sa.select(STAGES.c.document).where(STAGES.c.delivery_id == delivery).order_by(STAGES.c.position)
    return tuple(msgspec.json.decode(found, type=Stage) for found in snapshot.connection.execute(query).scalars())


def find_detail(snapshot: Snapshot, delivery: DeliveryId) -> DeliveryDetail | None:
    """A delivery with its stages."""
    found = find_delivery(snapshot, delivery)
    return None if found is None else DeliveryDetail(delivery=found, stages=list_stages(snapshot, delivery))


def find_claimable(snapshot: Snapshot, now: Instant, lease_now: Instant) -> Stage | None:
    """A stage that waits to be taken up: ready, due, or abandoned by a worker whose lease ran out."""
    due = sa.or_(
        STAGES.c.state == StageState.READY,
        sa.and_(STAGES.c.state == StageState.WAITING, STAGES.c.wake_at <= now),
        sa.and_(STAGES.c.state == StageState.RUNNING, STAGES.c.lease_until < lease_now),
    )
    query = sa.select(STAGES.c.document).where(due).order_by(STAGES.c.delivery_id, STAGES.c.position).limit(1)
    found = snapshot.connection.execute(query).scalar()
    return None if found is None else msgspec.json.decode(found, type=Stage)


def next_wake(snapshot: Snapshot) -> Instant | None:
    """The earliest instant for which a waiting stage asked."""
    query = sa.select(sa.func.min(STAGES.c.wake_at)).where(STAGES.c.state == StageState.WAITING)
    found = snapshot.connection.execute(query).scalar()
    return None if found is None else Instant(found)


def claim(tx: Transaction, stage: Stage, lease_until: Instant) -> bool:
    """Takes the stage up under its own fence; False where another was faster. `stage` already bears the new fence."""
    statement = (
        sa.update(STAGES)
        .where(STAGES.c.delivery_id == stage.delivery, STAGES.c.name == stage.name, STAGES.c.fence == stage.fence - 1)
        .values(state=stage.state, fence=stage.fence, lease_until=lease_until, wake_at=None, document=msgspec.json.encode(stage))
    )
    return tx.connection.execute(statement).rowcount == 1


def extend_lease(tx: Transaction, held: Claim, lease_until: Instant) -> bool:
    """Whether the claim still held, and so was extended."""
    return tx.connection.execute(_held(sa.update(STAGES), held).values(lease_until=lease_until)).rowcount == 1


def is_held(tx: Transaction, held: Claim) -> bool:
    """Whether no other worker has taken the stage up since; locks the row against one that would."""
    return tx.connection.execute(_held(sa.update(STAGES), held).values(fence=held.fence)).rowcount == 1


def _held(statement: sa.Update, held: Claim) -> sa.Update:
    return statement.where(
        STAGES.c.delivery_id == held.delivery,
        STAGES.c.name == held.stage,
        STAGES.c.fence == held.fence,
        STAGES.c.state == StageState.RUNNING,
    )


def put_approval(tx: Transaction, approval: Approval) -> None:
    """Inserts or overwrites an approval."""
    row: dict[str, Any] = {"id": approval.id, "team_id": approval.team_id, "delivery_id": approval.delivery, "state": approval.state}
    upsert(tx, APPROVALS, [row | {"document": msgspec.json.encode(approval)}], ["delivery_id"], ["state", "document"])


def find_approval(snapshot: Snapshot, approval: str) -> Approval | None:
    """The approval of that id, or of the delivery of that id."""
    query = sa.select(APPROVALS.c.document).where(sa.or_(APPROVALS.c.id == approval, APPROVALS.c.delivery_id == approval))
    found = snapshot.connection.execute(query).scalar()
    return None if found is None else msgspec.json.decode(found, type=Approval)


def list_approvals(snapshot: Snapshot, state: str | None, limit: int, *, teams: Collection[TeamId] | None = None) -> list[Approval]:
    """Approvals, newest first; of those teams, or of all."""
    query = sa.select(APPROVALS.c.document).order_by(APPROVALS.c.id.desc()).limit(limit)
    query = query if teams is None else query.where(APPROVALS.c.team_id.in_(teams))
    query = query if state is None else query.where(APPROVALS.c.state == state)
    return [msgspec.json.decode(found, type=Approval) for found in snapshot.connection.execute(query).scalars()]


def put_declaration(tx: Transaction, team_id: str, model: str, digest: Digest, document: bytes) -> None:
    """Makes the declaration the current one of its model; its document says by whom."""
    same_model = DECLARATIONS.c.model == model
    tx.connection.execute(sa.update(DECLARATIONS).where(same_model, DECLARATIONS.c.digest != digest).values(is_current=False))
    row: dict[str, Any] = {
        "digest": digest,
        "team_id": team_id,
        "model": model,
        "applied_at": tx.now(),
        "is_current": True,
        "document": document,
    }
    upsert(tx, DECLARATIONS, [row], ["digest"], ["is_current", "applied_at", "document"])


def find_declaration(snapshot: Snapshot, model: str, digest: Digest | None) -> tuple[Digest, bytes] | None:
    """The declaration of that digest, or the model's current one, as its digest and document."""
    query = sa.select(DECLARATIONS.c.digest, DECLARATIONS.c.document).where(DECLARATIONS.c.model == model)
    query = query.where(DECLARATIONS.c.is_current) if digest is None else query.where(DECLARATIONS.c.digest == digest)
    found = snapshot.connection.execute(query).first()
    return None if found is None else (Digest(found.digest), found.document)


class Authors(msgspec.Struct, frozen=True, kw_only=True):
    """Who declared something first, and who made it the current declaration last; None where that is older than the note of it."""

    declared_by: PrincipalId | None = None
    made_current_by: PrincipalId | None = None


def find_authors(snapshot: Snapshot, digest: Digest) -> Authors | None:
    """The authors of what has that digest; None where it was never declared."""
    found = snapshot.connection.scalar(sa.select(DECLARATIONS.c.document).where(DECLARATIONS.c.digest == digest))
    if found is None:
        return None
    authors = msgspec.json.decode(found, type=Authors)
    return msgspec.structs.replace(authors, made_current_by=authors.made_current_by or authors.declared_by)


def list_declarations(snapshot: Snapshot) -> list[tuple[Digest, bytes]]:
    """The current declarations, by model."""
    query = sa.select(DECLARATIONS.c.digest, DECLARATIONS.c.document).where(DECLARATIONS.c.is_current).order_by(DECLARATIONS.c.model)
    return [(Digest(row.digest), row.document) for row in snapshot.connection.execute(query)]


def find_trigger(snapshot: Snapshot, model: str) -> tuple[Instant, Instant] | None:
    """When the model's triggers fired last, and when its schedule is due."""
    found = snapshot.connection.execute(sa.select(TRIGGERS.c.fired_at, TRIGGERS.c.due_at).where(TRIGGERS.c.model == model)).first()
    return None if found is None else (Instant(found.fired_at), Instant(found.due_at))


def put_trigger(tx: Transaction, team_id: str, model: str, fired_at: Instant, due_at: Instant) -> None:
    """Notes when the model's triggers fired last, and when its schedule is due next."""
    row: dict[str, Any] = {"model": model, "team_id": team_id, "fired_at": fired_at, "due_at": due_at}
    upsert(tx, TRIGGERS, [row], ["model"], ["fired_at", "due_at"])


def put_reproduction(tx: Transaction, reproduction: Reproduction, key: str) -> None:
    """Inserts a new reproduction. One of a run without a version stands under version 0, which no version has."""
    row: dict[str, Any] = {name: getattr(reproduction, name) for name in ("id", "team_id", "run", "state", "fence")}
    row |= {"model": reproduction.model or "", "version": reproduction.version or 0}
    row |= {"key": key, "lease_until": 0, "document": msgspec.json.encode(reproduction)}
    tx.connection.execute(sa.insert(REPRODUCTIONS).values(row))


def find_reproduction(snapshot: Snapshot, reproduction: str) -> Reproduction | None:
    """The reproduction of that id, or the one that was started under that key."""
    either = sa.or_(REPRODUCTIONS.c.id == reproduction, REPRODUCTIONS.c.key == reproduction)
    found = snapshot.connection.execute(sa.select(REPRODUCTIONS.c.document).where(either)).scalar()
    return None if found is None else msgspec.json.decode(found, type=Reproduction)


def list_reproductions(
    snapshot: Snapshot,
    teams: Collection[str] | None,
    *,
    model: str | None = None,
    version: int | None = None,
    run: str | None = None,
) -> list[Reproduction]:
    """Reproductions of these teams, or of all, and of the model, version and run that are named; newest first, at most 200."""
    query = sa.select(REPRODUCTIONS.c.document).order_by(REPRODUCTIONS.c.id.desc()).limit(MOST_REPRODUCTIONS)
    query = query if teams is None else query.where(REPRODUCTIONS.c.team_id.in_(teams))
    for column, value in ((REPRODUCTIONS.c.model, model), (REPRODUCTIONS.c.version, version), (REPRODUCTIONS.c.run, run)):
        query = query if value is None else query.where(column == value)
    return [msgspec.json.decode(found, type=Reproduction) for found in snapshot.connection.execute(query).scalars()]


def find_claimable_reproduction(snapshot: Snapshot, lease_now: Instant) -> Reproduction | None:
    """The oldest reproduction that nobody has taken up, or whose worker's lease ran out."""
    abandoned = sa.and_(REPRODUCTIONS.c.state == ReproductionState.RUNNING, REPRODUCTIONS.c.lease_until < lease_now)
    due = sa.or_(REPRODUCTIONS.c.state == ReproductionState.WAITING, abandoned)
    query = sa.select(REPRODUCTIONS.c.document).where(due).order_by(REPRODUCTIONS.c.id).limit(1)
    found = snapshot.connection.execute(query).scalar()
    return None if found is None else msgspec.json.decode(found, type=Reproduction)


def update_reproduction(tx: Transaction, reproduction: Reproduction, fence: int, lease_until: Instant | None = None) -> bool:
    """Whether the reproduction was still held under `fence` and not ended, and so was overwritten; without an instant its lease stays."""
    values: dict[str, Any] = {
        "state": reproduction.state,
        "fence": reproduction.fence,
        "document": msgspec.json.encode(reproduction),
    } | ({} if lease_until is None else {"lease_until": lease_until})
    return tx.connection.execute(_held_reproduction(reproduction.id, fence).values(values)).rowcount == 1


def extend_reproduction(tx: Transaction, reproduction: Reproduction, lease_until: Instant) -> bool:
    """Whether the reproduction was still held under its own fence, and so its lease was extended."""
    return tx.connection.execute(_held_reproduction(reproduction.id, reproduction.fence).values(lease_until=lease_until)).rowcount == 1


def _held_reproduction(reproduction: str, fence: int) -> sa.Update:
    own = (REPRODUCTIONS.c.id == reproduction, REPRODUCTIONS.c.fence == fence, REPRODUCTIONS.c.state != ReproductionState.ENDED)
    return sa.update(REPRODUCTIONS).where(*own)
