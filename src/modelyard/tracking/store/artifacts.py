"""Rows of artifacts: which path of which run or logged model holds which content."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.prepared import PreparedSelect
from modelyard.storage.schema import upsert
from modelyard.tracking.domain import Artifact, FileEntry
from modelyard.tracking.store.tables import RUN_ARTIFACTS

_COLUMNS = (RUN_ARTIFACTS.c.path, RUN_ARTIFACTS.c.digest, RUN_ARTIFACTS.c.size_bytes, RUN_ARTIFACTS.c.put_at)


def put_artifact(tx: Transaction, owner_id: str, team_id: TeamId, artifact: Artifact) -> None:
    """Stores what a path holds, over what it held."""
    row = {
        "owner_id": owner_id,
        "team_id": team_id,
        "path": artifact.path,
        "digest": artifact.digest,
        "size_bytes": artifact.size_bytes,
        "put_at": artifact.put_at,
    }
    upsert(tx, RUN_ARTIFACTS, [row], ["owner_id", "path"], ["digest", "size_bytes", "put_at"])


def find_artifact(snapshot: Snapshot, owner_id: str, path: str) -> Artifact | None:
    """What a path holds."""
    query = sa.select(*_COLUMNS).where(RUN_ARTIFACTS.c.owner_id == owner_id, RUN_ARTIFACTS.c.path == path)
    return next((_artifact(row) for row in snapshot.connection.execute(query)), None)


_FIND = PreparedSelect(
    lambda owners, paths: sa.select(RUN_ARTIFACTS.c.owner_id, *_COLUMNS).where(
        RUN_ARTIFACTS.c.owner_id.in_(owners), RUN_ARTIFACTS.c.path.in_(paths)
    ),
    "owner",
    "path",
)


def find_artifacts(snapshot: Snapshot, owner_ids: Sequence[str], paths: Sequence[str]) -> dict[tuple[str, str], Artifact]:
    """What some paths hold, by owner and path, in one query."""
    return {(row[0], row[1]): _artifact(row[1:]) for row in _FIND.tuples(snapshot, owner_ids, paths)}


def list_artifacts(snapshot: Snapshot, owner_id: str, folder: str = "") -> list[Artifact]:
    """Every artifact below a folder, at any depth, by path."""
    query = sa.select(*_COLUMNS).where(RUN_ARTIFACTS.c.owner_id == owner_id).order_by(RUN_ARTIFACTS.c.path)
    if folder:
        query = query.where(_is_below(folder))
    return [_artifact(row) for row in snapshot.connection.execute(query)]


def remove_artifacts(tx: Transaction, owner_id: str, path: str) -> list[str]:
    """Removes the artifact at `path` and all below it, everything where it is empty; the paths that went."""
    where = RUN_ARTIFACTS.c.owner_id == owner_id
    if path:
        where &= (RUN_ARTIFACTS.c.path == path) | _is_below(path)
    gone: Sequence[str] = tx.connection.execute(sa.select(RUN_ARTIFACTS.c.path).where(where)).scalars().all()
    tx.connection.execute(sa.delete(RUN_ARTIFACTS).where(where))
    return sorted(gone)


def _is_below(folder: str) -> sa.ColumnElement[bool]:
    # "0" follows "/" in ASCII: a range on the primary key, where LIKE would depend on the database's case rules.
    return (RUN_ARTIFACTS.c.path >= f"{folder}/") & (RUN_ARTIFACTS.c.path < f"{folder}0")


def file_entry(artifact: Artifact) -> FileEntry:
    """The artifact as a listing shows it."""
    return FileEntry(path=artifact.path, is_folder=False, size_bytes=artifact.size_bytes, digest=artifact.digest)


def _artifact(row: Sequence[Any]) -> Artifact:
    return Artifact(path=row[0], digest=Digest(row[1]), size_bytes=row[2], put_at=Instant(row[3]))
