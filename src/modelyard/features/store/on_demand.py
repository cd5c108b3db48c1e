"""The versions of on-demand features that may be run. Owns these rows, and all SQL over them."""

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.features.domain import AppliedOnDemand, OnDemand
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import METADATA

# A row is the decision that a version may be run, and never changes.
ON_DEMAND = sa.Table(
    "feature_on_demand",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("digest", sa.String, primary_key=True),
    sa.Column("team_id", sa.String, nullable=False, index=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("definition", sa.LargeBinary, nullable=False),
    sa.Column("proof_rows", sa.Integer, nullable=False),
    sa.Column("proof_numpy", sa.String, nullable=False),
    sa.Column("applied_at", sa.BigInteger, nullable=False),
    sa.Column("applied_by", sa.String, nullable=False),
    sa.UniqueConstraint("name", "number"),
)


def put_on_demand(tx: Transaction, applied: AppliedOnDemand) -> None:
    """Keeps a version that may be run."""
    row = {
        "name": applied.function.name,
        "digest": applied.digest,
        "team_id": applied.team_id,
        "number": applied.number,
        "definition": msgspec.json.encode(applied.function),
        "proof_rows": applied.rows,
        "proof_numpy": applied.numpy,
        "applied_at": applied.applied_at,
        "applied_by": applied.applied_by,
    }
    tx.connection.execute(sa.insert(ON_DEMAND).values(row))


def list_on_demand(snapshot: Snapshot, name: str | None = None) -> list[AppliedOnDemand]:
    """All versions, of one on-demand feature or of all, by name and the newest first."""
    query = sa.select(ON_DEMAND).order_by(ON_DEMAND.c.name, ON_DEMAND.c.number.desc())
    found = snapshot.connection.execute(query if name is None else query.where(ON_DEMAND.c.name == name))
    return [
        AppliedOnDemand(
            function=msgspec.json.decode(row.definition, type=OnDemand),
            digest=Digest(row.digest),
            number=row.number,
            team_id=TeamId(row.team_id),
            rows=row.proof_rows,
            numpy=row.proof_numpy,
            applied_at=Instant(row.applied_at),
            applied_by=PrincipalId(row.applied_by),
        )
        for row in found
    ]
