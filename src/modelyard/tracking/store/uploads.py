"""Rows of files that are on their way in parts."""

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import upsert
from modelyard.tracking.domain import Upload, UploadPart
from modelyard.tracking.store.tables import RUN_UPLOAD_PARTS, RUN_UPLOADS


def insert_upload(tx: Transaction, upload: Upload) -> None:
    """Adds an upload without parts."""
    row = msgspec.structs.asdict(upload)
    row["upload_id"] = row.pop("id")
    tx.connection.execute(sa.insert(RUN_UPLOADS), row)


def find_upload(snapshot: Snapshot, upload_id: str) -> Upload | None:
    """An upload, expired or not."""
    query = sa.select(RUN_UPLOADS).where(RUN_UPLOADS.c.upload_id == upload_id)
    return next((_upload(row) for row in snapshot.connection.execute(query)), None)


def list_expired(snapshot: Snapshot, at: Instant, limit: int) -> list[Upload]:
    """Uploads that had expired by then, the oldest first."""
    query = sa.select(RUN_UPLOADS).where(RUN_UPLOADS.c.expires_at <= at).order_by(RUN_UPLOADS.c.expires_at).limit(limit)
    return [_upload(row) for row in snapshot.connection.execute(query)]


def put_part(tx: Transaction, upload: Upload, part: UploadPart) -> None:
    """Notes a part, over the one of its number."""
    row = {"upload_id": upload.id, "team_id": upload.team_id, **msgspec.structs.asdict(part)}
    upsert(tx, RUN_UPLOAD_PARTS, [row], ["upload_id", "number"], ["digest", "size_bytes"])


def list_parts(snapshot: Snapshot, upload_id: str) -> list[UploadPart]:
    """The parts that have arrived, by number."""
    table = RUN_UPLOAD_PARTS
    query = sa.select(table.c.number, table.c.digest, table.c.size_bytes).where(table.c.upload_id == upload_id).order_by(table.c.number)
    return [UploadPart(number=row[0], digest=Digest(row[1]), size_bytes=row[2]) for row in snapshot.connection.execute(query)]


def remove_upload(tx: Transaction, upload_id: str) -> bool:
    """Removes an upload and its parts; whether it was there."""
    tx.connection.execute(sa.delete(RUN_UPLOAD_PARTS).where(RUN_UPLOAD_PARTS.c.upload_id == upload_id))
    return tx.connection.execute(sa.delete(RUN_UPLOADS).where(RUN_UPLOADS.c.upload_id == upload_id)).rowcount > 0


def _upload(row: sa.Row[tuple[object, ...]]) -> Upload:
    found = row._mapping
    return Upload(
        id=found["upload_id"],
        owner_id=found["owner_id"],
        team_id=TeamId(found["team_id"]),
        path=found["path"],
        created_by=found["created_by"],
        parts=found["parts"],
        expires_at=Instant(found["expires_at"]),
    )
