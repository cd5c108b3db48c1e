"""The SQL on what stands beside versions: tags, notes, and where their files were logged."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from modelyard.core.clock import Instant
from modelyard.registry.domain import LoggedSource, ModelName, Notes
from modelyard.registry.store.tables import NOTE, SOURCE, TAG
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import upsert

Key = tuple[ModelName, int]


def put_tag(tx: Transaction, model: ModelName, number: int, tag: tuple[str, str]) -> None:
    """Sets a tag of a version, or of the model for 0, over its old value."""
    upsert(tx, TAG, [{"model": model, "number": number, "key": tag[0], "value": tag[1]}], ["model", "number", "key"], ["value"])


def delete_tag(tx: Transaction, model: ModelName, number: int, key: str) -> None:
    """Removes a tag."""
    tx.connection.execute(sa.delete(TAG).where(TAG.c.model == model, TAG.c.number == number, TAG.c.key == key))


def list_tags(snapshot: Snapshot, models: Sequence[ModelName]) -> dict[Key, dict[str, str]]:
    """The tags of those models and of their versions."""
    found: dict[Key, dict[str, str]] = {}
    for row in snapshot.connection.execute(sa.select(TAG).where(TAG.c.model.in_(models)).order_by(TAG.c.key)):
        found.setdefault((ModelName(row.model), row.number), {})[row.key] = row.value
    return found


def put_notes(tx: Transaction, model: ModelName, number: int, notes: Notes) -> None:
    """Keeps what is written about a version."""
    row = {"model": model, "number": number, **msgspec.structs.asdict(notes)}
    upsert(tx, NOTE, [row], ["model", "number"], ["description", "stage", "updated_at"])


def list_notes(snapshot: Snapshot, models: Sequence[ModelName]) -> dict[Key, Notes]:
    """What is written about the versions of those models."""
    return {
        (ModelName(row.model), row.number): Notes(description=row.description, stage=row.stage, updated_at=Instant(row.updated_at))
        for row in snapshot.connection.execute(sa.select(NOTE).where(NOTE.c.model.in_(models)))
    }


def insert_source(tx: Transaction, model: ModelName, number: int, source: LoggedSource) -> None:
    """Notes where a version's files were logged."""
    tx.connection.execute(sa.insert(SOURCE).values(model=model, number=number, **msgspec.structs.asdict(source)))


def list_sources(snapshot: Snapshot, models: Sequence[ModelName]) -> dict[Key, LoggedSource]:
    """Where the versions of those models were logged, as far as they were."""
    return {
        (ModelName(row.model), row.number): LoggedSource(
            uri=row.uri,
            owner=row.owner,
            folder=row.folder,
            run_link=row.run_link,
            logged_model=row.logged_model,
            location=row.location or "",
        )
        for row in snapshot.connection.execute(sa.select(SOURCE).where(SOURCE.c.model.in_(models)))
    }
