"""The SQL on artifacts and versions."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.registry.domain import (
    Format,
    ModelName,
    ModelVersion,
    Signature,
    StoredArtifact,
)
from modelyard.registry.store.tables import ARTIFACT, OF_DIGESTS, VERSION
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import upsert


def put_artifact(tx: Transaction, artifact: StoredArtifact) -> None:
    """Notes what is known of an artifact in the blob store; what is noted stays."""
    row = {
        "digest": artifact.digest,
        "format": artifact.format.value,
        "size_bytes": artifact.size_bytes,
        "content": artifact.content,
        "signature": None if artifact.signature is None else _text(artifact.signature),
    }
    upsert(tx, ARTIFACT, [row], ["digest"])


def list_artifact_teams(snapshot: Snapshot, digest: Digest) -> set[TeamId]:
    """The teams that have a version of the artifact of that digest."""
    query = sa.select(VERSION.c.team_id).where(VERSION.c.artifact == digest).distinct()
    return {TeamId(team) for team in snapshot.connection.scalars(query)}


def find_artifact(snapshot: Snapshot, digest: Digest) -> StoredArtifact | None:
    """What is known of the artifact of that digest."""
    row = snapshot.connection.execute(sa.select(ARTIFACT).where(ARTIFACT.c.digest == digest)).first()
    if row is None:
        return None
    return StoredArtifact(
        digest=Digest(row.digest),
        format=Format(row.format),
        size_bytes=row.size_bytes,
        content=row.content,
        signature=_signature(row.signature),
    )


def insert_version(tx: Transaction, version: ModelVersion, key: str) -> None:
    """Adds a version."""
    row = msgspec.structs.asdict(version)
    row |= {"metrics": _text(version.metrics), "parameters": _text(version.parameters), "idempotency_key": key or None}
    row |= {"format": version.format.value, "run_id": row.pop("run")}
    row["signature"] = None if version.signature is None else _text(version.signature)
    tx.connection.execute(sa.insert(VERSION).values(**row))


def latest_number(snapshot: Snapshot, model: ModelName) -> int:
    """The highest number of the model's versions, 0 before the first."""
    return snapshot.connection.execute(sa.select(sa.func.max(VERSION.c.number)).where(VERSION.c.model == model)).scalar() or 0


def find_version(snapshot: Snapshot, model: ModelName, number: int) -> ModelVersion | None:
    """The version of that number."""
    return next(iter(list_versions(snapshot, (VERSION.c.model == model) & (VERSION.c.number == number), 1)), None)


def list_created(snapshot: Snapshot, model: ModelName) -> list[tuple[int, Instant]]:
    """The number of every version of the model, with when it was made."""
    rows = snapshot.connection.execute(sa.select(VERSION.c.number, VERSION.c.created_at).where(VERSION.c.model == model))
    return [(row.number, Instant(row.created_at)) for row in rows]


def find_version_by_key(snapshot: Snapshot, model: ModelName, key: str) -> ModelVersion | None:
    """The version that was registered under that key."""
    return next(iter(list_versions(snapshot, (VERSION.c.model == model) & (VERSION.c.idempotency_key == key), 1)), None)


def find_key(snapshot: Snapshot, model: ModelName, number: int) -> str | None:
    """The key under which the version was registered."""
    query = sa.select(VERSION.c.idempotency_key).where(VERSION.c.model == model, VERSION.c.number == number)
    return snapshot.connection.execute(query).scalar()


def list_versions(snapshot: Snapshot, condition: sa.ColumnElement[bool], limit: int) -> list[ModelVersion]:
    """The versions that meet a condition on `VERSION`, newest first."""
    query = sa.select(VERSION).where(condition).order_by(VERSION.c.created_at.desc(), VERSION.c.model, VERSION.c.number.desc()).limit(limit)
    return [_version(row) for row in snapshot.connection.execute(query)]


def list_versions_before(snapshot: Snapshot, model: ModelName, before: int, limit: int) -> list[ModelVersion]:
    """The versions of a model below a number, of all for 0, newest first: read from the end, however many it has."""
    query = sa.select(VERSION).where(VERSION.c.model == model).order_by(VERSION.c.number.desc()).limit(limit)
    query = query.where(VERSION.c.number < before) if before else query
    return [_version(row) for row in snapshot.connection.execute(query)]


def list_by_digest(snapshot: Snapshot, digest: Digest, limit: int) -> list[ModelVersion]:
    """The versions that are, hold or came from something of that digest, newest first."""
    # One look a column, each in the order of its index: an environment can be that of every version.
    found: dict[tuple[str, int], ModelVersion] = {}
    for column in OF_DIGESTS:
        query = sa.select(VERSION).where(column == digest).order_by(VERSION.c.created_at.desc()).limit(limit)
        found |= {(row.model, row.number): _version(row) for row in snapshot.connection.execute(query)}
    return sorted(found.values(), key=lambda one: (-one.created_at, one.model, -one.number))[:limit]


def count_versions(snapshot: Snapshot, models: Sequence[ModelName]) -> dict[ModelName, tuple[int, int]]:
    """For each model that has versions the highest number and how many there are."""
    query = (
        sa.select(VERSION.c.model, sa.func.max(VERSION.c.number), sa.func.count())
        .where(VERSION.c.model.in_(models))
        .group_by(VERSION.c.model)
    )
    return {ModelName(model): (latest, count) for model, latest, count in snapshot.connection.execute(query)}


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _signature(text: str | None) -> Signature | None:
    return None if text is None else msgspec.json.decode(text, type=Signature)


def _version(row: Any) -> ModelVersion:
    return ModelVersion(
        model=ModelName(row.model),
        number=row.number,
        team_id=TeamId(row.team_id),
        format=Format(row.format),
        artifact=Digest(row.artifact),
        size_bytes=row.size_bytes,
        content=row.content,
        signature=_signature(row.signature),
        run=row.run_id,
        snapshot=row.snapshot,
        feature_set=row.feature_set,
        source=row.source,
        environment=row.environment,
        metrics=msgspec.json.decode(row.metrics, type=dict[str, float]),
        parameters=msgspec.json.decode(row.parameters, type=dict[str, str | int | float | bool | None]),
        description=row.description,
        author=PrincipalId(row.author),
        created_at=Instant(row.created_at),
    )
