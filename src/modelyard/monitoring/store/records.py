"""The tables of monitoring and all SQL over them: watched models, references, days, outcomes, reports, alerts.

Owns rows. What they hold is JSON of the domain's types; what is counted in bulk is MessagePack.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.monitoring.domain import (
    Alert,
    AlertId,
    AlertKind,
    Day,
    Level,
    Measured,
    NewReference,
    OutcomeCell,
    Report,
    VersionReference,
    Watched,
    WindowSummary,
)
from modelyard.registry.domain import ModelName
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import METADATA, upsert

MODELS = sa.Table(
    "monitoring_models",
    METADATA,
    sa.Column("model", sa.String, primary_key=True),
    sa.Column("team_id", sa.String, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)
REFERENCES = sa.Table(
    "monitoring_references",
    METADATA,
    sa.Column("model", sa.String, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("team_id", sa.String, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("made_at", sa.BigInteger, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)
DAYS = sa.Table(
    "monitoring_days",
    METADATA,
    sa.Column("model", sa.String, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("since_at", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("team_id", sa.String, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)
OUTCOMES = sa.Table(
    "monitoring_outcomes",
    METADATA,
    sa.Column("model", sa.String, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("arm", sa.String, primary_key=True),
    sa.Column("since_at", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("until_at", sa.BigInteger, nullable=False),
    sa.Column("team_id", sa.String, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Index(None, "model", "since_at"),
)
REPORTS = sa.Table(
    "monitoring_reports",
    METADATA,
    sa.Column("model", sa.String, primary_key=True),
    sa.Column("team_id", sa.String, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)
ALERTS = sa.Table(
    "monitoring_alerts",
    METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("team_id", sa.String, nullable=False),
    sa.Column("model", sa.String, nullable=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("cause", sa.String, nullable=False),
    sa.Column("opened_at", sa.BigInteger, nullable=False),
    sa.Column("closed_at", sa.BigInteger, nullable=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
    # No cause has two open alerts, however many workers look.
    sa.Index(
        "ix_monitoring_alerts_open",
        "cause",
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    ),
    sa.Index(None, "model", "id"),
)
_summary = msgspec.msgpack.Decoder(WindowSummary)
_cell = msgspec.msgpack.Decoder(OutcomeCell)
_watched = msgspec.json.Decoder(Watched)
_alert = msgspec.json.Decoder(Alert)


def put_watched(tx: Transaction, watched: Watched) -> None:
    """Writes a model's monitors and how far they have looked."""
    row = {"model": watched.model, "team_id": watched.team_id, "content": msgspec.json.encode(watched)}
    upsert(tx, MODELS, [row], ["model"], ["team_id", "content"])


def find_watched(snapshot: Snapshot, model: ModelName) -> Watched | None:
    """The watched model of that name; within a write transaction its row stays locked."""
    content = snapshot.connection.execute(_locking(snapshot, sa.select(MODELS.c.content).where(MODELS.c.model == model))).scalar()
    return None if content is None else _watched.decode(content)


def list_watched(snapshot: Snapshot, teams: Sequence[TeamId] | None = None) -> list[Watched]:
    """The watched models, those of `teams` where given, by name; within a write transaction their rows stay locked."""
    query = sa.select(MODELS.c.content).order_by(MODELS.c.model)
    if teams is not None:
        query = query.where(MODELS.c.team_id.in_(teams))
    return [_watched.decode(content) for content in snapshot.connection.execute(_locking(snapshot, query)).scalars()]


def _locking(snapshot: Snapshot, query: sa.Select[Any]) -> sa.Select[Any]:
    return query.with_for_update() if isinstance(snapshot, Transaction) else query


def insert_reference(tx: Transaction, reference: VersionReference) -> None:
    """Writes a version's reference; the first one stays."""
    row = {
        "model": reference.model,
        "version": reference.version,
        "team_id": reference.team_id,
        "digest": reference.digest,
        "made_at": reference.made_at,
        "content": msgspec.json.encode(reference.content),
    }
    upsert(tx, REFERENCES, [row], ["model", "version"])


def find_reference(snapshot: Snapshot, model: ModelName, version: int) -> VersionReference | None:
    """What the version is held against."""
    query = sa.select(REFERENCES).where(REFERENCES.c.model == model, REFERENCES.c.version == version)
    row = snapshot.connection.execute(query).mappings().first()
    if row is None:
        return None
    return VersionReference(
        model=ModelName(row["model"]),
        version=row["version"],
        team_id=TeamId(row["team_id"]),
        digest=Digest(row["digest"]),
        content=_content(row["content"]),
        made_at=Instant(row["made_at"]),
    )


@functools.lru_cache(maxsize=64)
def _content(content: bytes) -> NewReference:
    # A reference never changes and is asked for at every tick.
    return msgspec.json.decode(content, type=NewReference)


class Approved(msgspec.Struct, frozen=True):
    """The small part of a reference: the levels at approval, and which view each column comes from."""

    levels: tuple[Level, ...] = ()
    views: dict[str, str] = {}


class Brief(msgspec.Struct, frozen=True):
    """The small part of a report: whose it is, and the metrics of the last look."""

    version: int
    measured: tuple[Measured, ...] = ()


class DailyMetric(msgspec.Struct, frozen=True):
    """The small part of a cell of outcomes: its metrics."""

    version: int
    arm: str
    since_at: Instant
    measured: tuple[Measured, ...] = ()


_approved = msgspec.json.Decoder(Approved)
_brief = msgspec.json.Decoder(Brief)
_daily = msgspec.msgpack.Decoder(DailyMetric)


def list_approved(snapshot: Snapshot, live: Sequence[tuple[ModelName, int]]) -> dict[ModelName, Approved]:
    """The small part of the references of those versions."""
    columns = sa.select(REFERENCES.c.model, REFERENCES.c.content)
    rows = snapshot.connection.execute(columns.where(sa.tuple_(REFERENCES.c.model, REFERENCES.c.version).in_(live))) if live else ()
    return {ModelName(model): _approved.decode(content) for model, content in rows}


def list_briefs(snapshot: Snapshot) -> dict[ModelName, Brief]:
    """The small part of every report."""
    rows = snapshot.connection.execute(sa.select(REPORTS.c.model, REPORTS.c.content))
    return {ModelName(model): _brief.decode(content) for model, content in rows}


def list_daily(snapshot: Snapshot, since: Instant) -> dict[ModelName, list[DailyMetric]]:
    """The metrics of every model's cells of outcomes that began at `since` or later, oldest first."""
    query = sa.select(OUTCOMES.c.model, OUTCOMES.c.content).where(OUTCOMES.c.since_at >= since)
    found: dict[ModelName, list[DailyMetric]] = {}
    for model, content in snapshot.connection.execute(query.order_by(OUTCOMES.c.model, OUTCOMES.c.since_at)):
        found.setdefault(model, []).append(_daily.decode(content))
    return found


def count_days(snapshot: Snapshot, since: Instant) -> dict[tuple[ModelName, Instant], int]:
    """How many requests each model answered on each day since then, by the day's beginning."""
    query = sa.select(DAYS.c.model, DAYS.c.since_at, sa.func.sum(DAYS.c.rows)).where(DAYS.c.since_at >= since)
    rows = snapshot.connection.execute(query.group_by(DAYS.c.model, DAYS.c.since_at))
    return {(ModelName(model), Instant(day)): int(count) for model, day, count in rows}


def put_days(tx: Transaction, watched: Watched, version: int, days: Iterable[Day]) -> None:
    """Writes the summaries of days, over what stood there."""
    rows = [
        {
            "model": watched.model,
            "version": version,
            "since_at": day.since_at,
            "team_id": watched.team_id,
            "rows": day.summary.rows,
            "content": msgspec.msgpack.encode(day.summary),
        }
        for day in days
    ]
    upsert(tx, DAYS, rows, ["model", "version", "since_at"], ["rows", "content"])


def list_days(snapshot: Snapshot, model: ModelName, version: int, since: Instant, until: Instant) -> list[Day]:
    """The summaries of days that began in [since, until), newest first."""
    query = (
        sa.select(DAYS.c.since_at, DAYS.c.content)
        .where(DAYS.c.model == model, DAYS.c.version == version, DAYS.c.since_at >= since, DAYS.c.since_at < until)
        .order_by(DAYS.c.since_at.desc())
    )
    return [Day(since_at=Instant(at), summary=_summary.decode(content)) for at, content in snapshot.connection.execute(query)]


def put_outcomes(tx: Transaction, watched: Watched, cells: Iterable[OutcomeCell]) -> None:
    """Writes cells of outcomes, over what stood there."""
    rows = [
        {
            "model": watched.model,
            "version": cell.version,
            "arm": cell.arm,
            "since_at": cell.since_at,
            "until_at": cell.until_at,
            "team_id": watched.team_id,
            "content": msgspec.msgpack.encode(cell),
        }
        for cell in cells
    ]
    upsert(tx, OUTCOMES, rows, ["model", "version", "arm", "since_at"], ["until_at", "content"])


def list_outcomes(snapshot: Snapshot, model: ModelName, since: Instant, version: int | None = None) -> list[OutcomeCell]:
    """The cells of outcomes that began at `since` or later, of one version or of all, oldest first."""
    query = sa.select(OUTCOMES.c.content).where(OUTCOMES.c.model == model, OUTCOMES.c.since_at >= since)
    if version is not None:
        query = query.where(OUTCOMES.c.version == version)
    ordered = query.order_by(OUTCOMES.c.since_at, OUTCOMES.c.version, OUTCOMES.c.arm)
    return [_cell.decode(content) for content in snapshot.connection.execute(ordered).scalars()]


def put_report(tx: Transaction, watched: Watched, report: Report) -> None:
    """Writes what the last looks found."""
    row = {"model": watched.model, "team_id": watched.team_id, "content": msgspec.json.encode(report)}
    upsert(tx, REPORTS, [row], ["model"], ["content"])


def find_report(snapshot: Snapshot, model: ModelName) -> Report | None:
    """What the last looks found."""
    content = snapshot.connection.execute(sa.select(REPORTS.c.content).where(REPORTS.c.model == model)).scalar()
    return None if content is None else msgspec.json.decode(content, type=Report)


def insert_alert(tx: Transaction, alert: Alert) -> bool:
    """Writes a new alert; whether it was written, for another worker may have opened one for its cause."""
    columns = {
        "id": alert.id, "team_id": alert.team_id, "model": alert.model, "kind": alert.kind.value, "cause": alert.cause,
        "opened_at": alert.opened_at, "closed_at": alert.closed_at, "content": msgspec.json.encode(alert),
    }  # fmt: skip
    is_open = sa.select(ALERTS.c.id).where(ALERTS.c.cause == alert.cause, ALERTS.c.closed_at.is_(None))
    if tx.connection.execute(is_open).first() is not None:
        return False
    tx.connection.execute(sa.insert(ALERTS).values(columns))
    return True


def update_alert(tx: Transaction, alert: Alert) -> None:
    """Writes an alert over what stood there."""
    values: dict[str, Any] = {"closed_at": alert.closed_at, "content": msgspec.json.encode(alert)}
    tx.connection.execute(sa.update(ALERTS).where(ALERTS.c.id == alert.id).values(values))


def find_alert(snapshot: Snapshot, alert: AlertId) -> Alert | None:
    """The alert of that id; within a write transaction its row stays locked."""
    content = snapshot.connection.execute(_locking(snapshot, sa.select(ALERTS.c.content).where(ALERTS.c.id == alert))).scalar()
    return None if content is None else _alert.decode(content)


def list_open(snapshot: Snapshot, teams: Sequence[TeamId] | None = None) -> list[Alert]:
    """The open alerts, those of `teams` where given, newest first."""
    query = sa.select(ALERTS.c.content).where(ALERTS.c.closed_at.is_(None)).order_by(ALERTS.c.id.desc())
    if teams is not None:
        query = query.where(ALERTS.c.team_id.in_(teams))
    return [_alert.decode(content) for content in snapshot.connection.execute(query).scalars()]


def list_alerts(snapshot: Snapshot, model: ModelName | None, before: AlertId | None, limit: int) -> list[Alert]:
    """Alerts, open and closed, newest first, those with ids below `before`; of a model, its own and those of its views."""
    query = sa.select(ALERTS.c.content).order_by(ALERTS.c.id.desc())
    if before is not None:
        query = query.where(ALERTS.c.id < before)
    if model is None:
        return [_alert.decode(content) for content in snapshot.connection.execute(query.limit(limit)).scalars()]
    query = query.where((ALERTS.c.model == model) | ALERTS.c.model.is_(None))
    found = []
    for content in snapshot.connection.execute(query).scalars():
        alert = _alert.decode(content)
        if model in alert.models:
            found.append(alert)
        if len(found) == limit:
            break
    return found


def list_alerts_of(snapshot: Snapshot, kind: AlertKind, limit: int) -> list[Alert]:
    """Alerts of a kind, open and closed, newest first."""
    query = sa.select(ALERTS.c.content).where(ALERTS.c.kind == kind.value).order_by(ALERTS.c.id.desc()).limit(limit)
    return [_alert.decode(content) for content in snapshot.connection.execute(query).scalars()]


def last_closed_at(snapshot: Snapshot, cause: str) -> Instant | None:
    """When the last alert of a cause was closed."""
    closed = snapshot.connection.execute(sa.select(sa.func.max(ALERTS.c.closed_at)).where(ALERTS.c.cause == cause)).scalar()
    return None if closed is None else Instant(closed)
