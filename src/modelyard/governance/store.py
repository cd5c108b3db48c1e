"""SQL of governance: which attestations a version has. Owns the rows; the attestations themselves are blobs."""

import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.governance.domain import Attestation, AttestedMeanwhile
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
