"""SQL of governance: which attestations and dossiers a version has. Owns the rows; the files themselves are blobs."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.governance.domain import Attestation, AttestedMeanwhile, Dossier, DossierId
from modelyard.ledger.domain import EntryId
from modelyard.registry.domain import ModelName
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import METADATA, upsert

ATTESTATION = sa.Table(
    "governance_attestations",
    METADATA,
    sa.Column("model", sa.String, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("path", sa.String, primary_key=True),
    sa.Column("team_id", sa.String, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("entry_id", sa.String, nullable=False),
    sa.Column("made_at", sa.BigInteger, nullable=False),
)
DOSSIER = sa.Table(
    "governance_dossiers",
    METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("team_id", sa.String, nullable=False),
    sa.Column("model", sa.String, nullable=False, index=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("made_at", sa.BigInteger, nullable=False),
    sa.Column("made_by", sa.String, nullable=False),
    sa.Column("duration_s", sa.Float, nullable=False),
    sa.Column("met", sa.Integer, nullable=False),
    sa.Column("waiting", sa.Integer, nullable=False),
    sa.Column("missing", sa.Integer, nullable=False),
    sa.Column("not_applicable", sa.Integer, nullable=False),
)


def insert_attestation(tx: Transaction, team: TeamId, found: Attestation) -> None:
    """Notes an attestation. Raises AttestedMeanwhile where the version has another of that path."""
    row = {
        "model": found.model,
        "version": found.version,
        "path": found.path,
        "team_id": team,
        "digest": found.digest,
        "entry_id": found.entry,
        "made_at": found.made_at,
    }
    upsert(tx, ATTESTATION, [row], ["model", "version", "path"])
    if found not in list_attestations(tx, found.model, found.version):
        raise AttestedMeanwhile(f"{found.path} of {found.model}/{found.version} was made meanwhile", hint="that one holds")


def list_attestations(snapshot: Snapshot, model: ModelName, version: int) -> list[Attestation]:
    """The attestations of a version, by path."""
    query = sa.select(ATTESTATION).where(ATTESTATION.c.model == model, ATTESTATION.c.version == version).order_by(ATTESTATION.c.path)
    return [
        Attestation(
            model=ModelName(row["model"]),
            version=row["version"],
            path=row["path"],
            digest=Digest(row["digest"]),
            entry=EntryId(row["entry_id"]),
            made_at=Instant(row["made_at"]),
        )
        for row in snapshot.connection.execute(query).mappings()
    ]


def insert_dossier(tx: Transaction, found: Dossier) -> None:
    """Notes a dossier."""
    tx.connection.execute(sa.insert(DOSSIER).values(msgspec.structs.asdict(found)))


def find_dossier(snapshot: Snapshot, dossier: DossierId) -> Dossier | None:
    """The dossier of that id."""
    row = snapshot.connection.execute(sa.select(DOSSIER).where(DOSSIER.c.id == dossier)).mappings().first()
    return None if row is None else Dossier(**row)


def list_dossiers(snapshot: Snapshot, teams: Sequence[TeamId] | None, model: str | None, version: int | None, limit: int) -> list[Dossier]:
    """Dossiers, newest first: of those teams, of one model and of one of its versions where these are given."""
    query = sa.select(DOSSIER).order_by(DOSSIER.c.id.desc()).limit(limit)
    if teams is not None:
        query = query.where(DOSSIER.c.team_id.in_(teams))
    if model is not None:
        query = query.where(DOSSIER.c.model == model)
    if version is not None:
        query = query.where(DOSSIER.c.version == version)
    return [Dossier(**row) for row in snapshot.connection.execute(query).mappings()]


def latest_dossiers(snapshot: Snapshot, teams: Sequence[TeamId] | None) -> list[tuple[Dossier, int]]:
    """The newest dossier of each version that has any, of those teams where they are given, with how many it has."""
    newest = sa.select(sa.func.max(DOSSIER.c.id).label("id"), sa.func.count().label("many")).group_by(DOSSIER.c.model, DOSSIER.c.version)
    if teams is not None:
        newest = newest.where(DOSSIER.c.team_id.in_(teams))
    chosen = newest.subquery()
    query = sa.select(DOSSIER, chosen.c.many).join(chosen, DOSSIER.c.id == chosen.c.id)
    rows = [dict(row) for row in snapshot.connection.execute(query).mappings()]
    return [(Dossier(**row), many) for row in rows for many in (row.pop("many"),)]
