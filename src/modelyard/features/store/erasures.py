"""Erasures of entities' values, and the marks by which their rows are known. Owns these rows, and all SQL over them."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.core.clock import Instant
from modelyard.features.domain import Erasure, Tombstone
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import METADATA, upsert

# Whose rows are not read any more. The key itself is nowhere: `mark` is a digest of it under the secret that `secret` names.
ERASURES = sa.Table(
    "feature_erasures",
    METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("entity", sa.String, nullable=False),
    sa.Column("mark", sa.String, primary_key=True),
    sa.Column("secret", sa.String, nullable=False),
    sa.Column("team_id", sa.String, nullable=False),
    sa.Column("erased_at", sa.BigInteger, nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Column("removed_at", sa.BigInteger),
    sa.Column("others", sa.String),
)

_TOLD_BY = (ERASURES.c.entity, ERASURES.c.mark, ERASURES.c.secret, ERASURES.c.others)
_LAST = sa.func.max(ERASURES.c.erased_at).label("erased_at")
# In one order: digests of what is left out are made of it.
_TOMBSTONES = sa.select(*_TOLD_BY, _LAST).group_by(*_TOLD_BY).order_by(*_TOLD_BY)


def put_erasure(tx: Transaction, erasure: Erasure, team: TeamId, tombstones: Sequence[Tombstone]) -> None:
    """Keeps an erasure, and the marks by which its rows are known: one for each form that the key has had."""
    common = {"id": erasure.id, "team_id": team, "document": msgspec.json.encode(erasure)}
    said = [{"others": msgspec.json.encode(one.others).decode() if one.others else None} for one in tombstones]
    rows = [msgspec.structs.asdict(one) | others | common for one, others in zip(tombstones, said, strict=True)]
    upsert(tx, ERASURES, rows, ["id", "mark"])


def list_tombstones(snapshot: Snapshot) -> list[Tombstone]:
    """What is not read any more: each mark once for whom it means, with its last erasure."""
    rows = snapshot.connection.execute(_TOMBSTONES)
    return [Tombstone(row.entity, row.mark, row.secret, Instant(row.erased_at), _others(row.others)) for row in rows]


def _others(said: str | None) -> tuple[tuple[str, ...], ...]:
    return msgspec.json.decode(said, type=tuple[tuple[str, ...], ...]) if said else ()


def list_erasures(snapshot: Snapshot, *, is_pending: bool = False) -> list[tuple[Erasure, TeamId]]:
    """All erasures and whose they are, newest first; with `is_pending`, those of which something may lie on a disk still."""
    query = sa.select(ERASURES.c.document, ERASURES.c.team_id, ERASURES.c.removed_at)
    query = query.where(ERASURES.c.removed_at.is_(None)) if is_pending else query
    # One row for each mark.
    found = {}
    for row in snapshot.connection.execute(query.order_by(ERASURES.c.erased_at.desc(), ERASURES.c.id.desc())):
        removed_at = None if row.removed_at is None else Instant(row.removed_at)
        found[row.document] = (msgspec.json.decode(row.document, type=Erasure), TeamId(row.team_id), removed_at)
    return [(msgspec.structs.replace(one, removed_at=removed_at), team) for one, team, removed_at in found.values()]


def note_removed(tx: Transaction, erasure: str, at: Instant) -> bool:
    """Notes when an erasure's last bytes were gone; whether nobody had done so before."""
    pending = (ERASURES.c.id == erasure) & ERASURES.c.removed_at.is_(None)
    return tx.connection.execute(sa.update(ERASURES).where(pending).values(removed_at=at)).rowcount > 0
