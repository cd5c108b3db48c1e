"""Rows of what was brought in from other servers: its id there, its id here, and the state in which it was brought."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import upsert
from modelyard.tracking.imports import ImportKind, Mark, SourceName
from modelyard.tracking.store.tables import IMPORTED

KEYS = ("source", "kind", "their_id")
ASKED_AT_ONCE = 500


def find_marks(snapshot: Snapshot, source: SourceName, kind: ImportKind, ids: Sequence[str]) -> dict[str, tuple[Mark, TeamId]]:
    """The marks of those things that were brought from the source, by their id there, each with the team that it is here."""
    found: dict[str, tuple[Mark, TeamId]] = {}
    for start in range(0, len(ids), ASKED_AT_ONCE):
        some = IMPORTED.c.their_id.in_(ids[start : start + ASKED_AT_ONCE])
        query = sa.select(IMPORTED).where(IMPORTED.c.source == source, IMPORTED.c.kind == kind, some)
        for row in snapshot.connection.execute(query):
            found[row.their_id] = Mark(their_id=row.their_id, our_id=row.our_id, fingerprint=row.fingerprint), TeamId(row.team_id)
    return found


def put_marks(tx: Transaction, source: SourceName, kind: ImportKind, marks: Sequence[tuple[Mark, TeamId]], by: PrincipalId) -> None:
    """Notes things as brought, over what was noted of them before."""
    rows = [
        {
            "source": source,
            "kind": kind,
            "their_id": mark.their_id,
            "our_id": mark.our_id,
            "team_id": team,
            "fingerprint": mark.fingerprint,
            "imported_at": tx.wall(),
            "imported_by": by,
        }
        for mark, team in marks
    ]
    upsert(tx, IMPORTED, rows, KEYS, ["fingerprint", "imported_at", "imported_by"])


def remove_marks(tx: Transaction, kind: ImportKind, our_id: str) -> list[tuple[SourceName, str]]:
    """Removes the marks of a thing that is no more; the sources that it was brought from, each with its id there."""
    ours = (IMPORTED.c.kind == kind) & (IMPORTED.c.our_id == our_id)
    found = tx.connection.execute(sa.select(IMPORTED.c.source, IMPORTED.c.their_id).where(ours)).all()
    tx.connection.execute(sa.delete(IMPORTED).where(ours))
    return [(SourceName(row.source), row.their_id) for row in found]


def rename_marks(tx: Transaction, kind: ImportKind, our_id: str, new_id: str) -> None:
    """Has the marks of a thing name it by its new id."""
    tx.connection.execute(sa.update(IMPORTED).where(IMPORTED.c.kind == kind, IMPORTED.c.our_id == our_id).values(our_id=new_id))


def put_fingerprints(tx: Transaction, source: SourceName, kind: ImportKind, fingerprints: Mapping[str, str]) -> None:
    """Changes the fingerprints of marks, by id there; where there is no mark, nothing changes."""
    query = sa.update(IMPORTED).where(IMPORTED.c.source == source, IMPORTED.c.kind == kind, IMPORTED.c.their_id == sa.bindparam("theirs"))
    rows = [{"theirs": their_id, "now": fingerprint} for their_id, fingerprint in fingerprints.items()]
    if rows:
        tx.connection.execute(query.values(fingerprint=sa.bindparam("now")), rows)
