"""The SQL on what stands beside versions: tags, notes, and where their files were logged."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.core.clock import Instant
from modelyard.registry.domain import LoggedSource, ModelName, Notes
from modelyard.registry.store.tables import NOTE, SOURCE, TAG
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.prepared import PreparedPairs
from modelyard.storage.schema import upsert

Key = tuple[ModelName, int]


def _of(table: sa.Table) -> Callable[[sa.Subquery], sa.Select[Any]]:
    """The rows of a table that stand beside some versions."""
    return lambda pairs: sa.select(table).join(pairs, (table.c.model == pairs.c.text) & (table.c.number == pairs.c.number))


_TAGS = PreparedPairs(lambda pairs: _of(TAG)(pairs).order_by(TAG.c.key))
_NOTES = PreparedPairs(_of(NOTE))
_SOURCES = PreparedPairs(_of(SOURCE))


def put_tag(tx: Transaction, model: ModelName, number: int, tag: tuple[str, str]) -> None:
    """Sets a tag of a version, or of the model for 0, over its old value."""
    upsert(tx, TAG, [{"model": model, "number": number, "key": tag[0], "value": tag[1]}], ["model", "number", "key"], ["value"])


def delete_tag(tx: Transaction, model: ModelName, number: int, key: str) -> None:
    """Removes a tag."""
    tx.connection.execute(sa.delete(TAG).where(TAG.c.model == model, TAG.c.number == number, TAG.c.key == key))


def list_tags(snapshot: Snapshot, keys: Sequence[Key]) -> dict[Key, dict[str, str]]:
    """The tags of those versions, and of models for the number 0."""
    found: dict[Key, dict[str, str]] = {}
    for model, number, key, value in _TAGS.tuples(snapshot, keys):
        found.setdefault((model, number), {})[key] = value
    return found


def put_notes(tx: Transaction, model: ModelName, number: int, notes: Notes) -> None:
    """Keeps what is written about a version."""
    row = {"model": model, "number": number, **msgspec.structs.asdict(notes)}
    upsert(tx, NOTE, [row], ["model", "number"], ["description", "stage", "updated_at"])


def list_notes(snapshot: Snapshot, keys: Sequence[Key]) -> dict[Key, Notes]:
    """What is written about those versions."""
    return {
        (model, number): Notes(description=description, stage=stage, updated_at=Instant(updated_at))
        for model, number, description, stage, updated_at in _NOTES.tuples(snapshot, keys)
    }


def insert_source(tx: Transaction, model: ModelName, number: int, source: LoggedSource) -> None:
    """Notes where a version's files were logged."""
    tx.connection.execute(sa.insert(SOURCE).values(model=model, number=number, **msgspec.structs.asdict(source)))


def list_sources(snapshot: Snapshot, keys: Sequence[Key]) -> dict[Key, LoggedSource]:
    """Where those versions were logged, as far as they were."""
    return {
        (model, number): LoggedSource(
            uri=uri, owner=owner, folder=folder, run_link=run_link, logged_model=logged_model, location=location or ""
        )
        for model, number, uri, owner, folder, run_link, logged_model, location in _SOURCES.tuples(snapshot, keys)
    }
