"""SQL of the prediction log's segments."""

from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from modelyard.core.clock import Instant
from modelyard.serving.domain import Contents, LoggedSegment, SealedSegment
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import METADATA, upsert

# A segment holds predictions of many models, so no team owns it; what is read out of it is checked by model.
SEGMENT = sa.Table(
    "serving_segment",
    METADATA,
    sa.Column("id", sa.String(60), primary_key=True),
    sa.Column("gateway", sa.String(120), nullable=False),
    sa.Column("digest", sa.String(71), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("predictions", sa.BigInteger, nullable=False),
    sa.Column("labels", sa.BigInteger, nullable=False),
    sa.Column("first_id", sa.String(36), nullable=False),
    sa.Column("last_id", sa.String(36), nullable=False, index=True),
    sa.Column("first_at", sa.BigInteger, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
    sa.Column("registered_at", sa.BigInteger, nullable=False),
    sa.Column("compacted_at", sa.BigInteger, nullable=True, index=True),
    sa.Column("predictions_version", sa.BigInteger, nullable=True),
    sa.Column("labels_version", sa.BigInteger, nullable=True),
)


def put_segments(tx: Transaction, segments: Iterable[SealedSegment]) -> None:
    """Registers segments; one that is known stays as it is."""
    rows = [
        {
            "id": segment.id,
            "gateway": segment.gateway,
            "digest": segment.digest,
            "size_bytes": segment.size_bytes,
            "registered_at": tx.wall(),
            **msgspec.structs.asdict(segment.contents),
        }
        for segment in segments
    ]
    upsert(tx, SEGMENT, rows, ["id"])


# Every worker asks again and again, so it is said once: building it anew took as long as running it.
_WAITING = sa.select(SEGMENT).where(SEGMENT.c.compacted_at.is_(None)).order_by(SEGMENT.c.id).limit(sa.bindparam("most", type_=sa.Integer))


def list_waiting(snapshot: Snapshot, limit: int) -> list[LoggedSegment]:
    """Segments that are not compacted, oldest first."""
    return [_segment(row) for row in snapshot.connection.execute(_WAITING, {"most": limit}).mappings()]


def list_segments(snapshot: Snapshot, before: str | None, limit: int) -> list[LoggedSegment]:
    """Segments, newest first, those before the id `before`."""
    query = sa.select(SEGMENT).order_by(SEGMENT.c.id.desc()).limit(limit)
    query = query if before is None else query.where(SEGMENT.c.id < before)
    return [_segment(row) for row in snapshot.connection.execute(query).mappings()]


def find_holding(snapshot: Snapshot, prediction: str, limit: int) -> list[LoggedSegment]:
    """The segments whose range of ids includes `prediction`."""
    # Shadows are logged after the answer and may stand in the next segment, whose range they widen: a few can match.
    query = sa.select(SEGMENT).where(SEGMENT.c.first_id <= prediction, SEGMENT.c.last_id >= prediction, SEGMENT.c.predictions > 0)
    return [_segment(row) for row in snapshot.connection.execute(query.order_by(SEGMENT.c.last_id).limit(limit)).mappings()]


def mark_compacted(tx: Transaction, segment: str, predictions_version: int | None, labels_version: int | None) -> bool:
    """Notes that a segment is in the tables; false where somebody noted it before."""
    where = (SEGMENT.c.id == segment) & SEGMENT.c.compacted_at.is_(None)
    values = {"compacted_at": tx.wall(), "predictions_version": predictions_version, "labels_version": labels_version}
    return tx.connection.execute(sa.update(SEGMENT).where(where).values(values)).rowcount > 0


def _segment(row: sa.RowMapping) -> LoggedSegment:
    contents = Contents(**{name: row[name] for name in Contents.__struct_fields__})
    sealed = SealedSegment(id=row["id"], gateway=row["gateway"], digest=row["digest"], size_bytes=row["size_bytes"], contents=contents)
    return LoggedSegment(
        segment=sealed,
        registered_at=Instant(row["registered_at"]),
        compacted_at=row["compacted_at"],
        predictions_version=row["predictions_version"],
        labels_version=row["labels_version"],
    )
