"""The maintenance lease of a Delta table, a row of the database: one process at a time compacts it. Owns the lease alone."""

import sqlalchemy as sa

from modelyard.core.clock import SECOND
from modelyard.storage.database import Transaction
from modelyard.storage.schema import METADATA, upsert

# Named when the prediction log alone had one.
LEASE = sa.Table(
    "serving_table_lease",
    METADATA,
    sa.Column("table_name", sa.String(120), primary_key=True),
    sa.Column("holder", sa.String(120), nullable=False),
    sa.Column("until_at", sa.BigInteger, nullable=False),
)


def take_lease(tx: Transaction, table: str, holder: str, for_s: float) -> bool:
    """Takes or prolongs the maintenance lease of a table; false where another holds it."""
    now = tx.lease_time()
    until = now + round(for_s * SECOND)
    upsert(tx, LEASE, [{"table_name": table, "holder": holder, "until_at": 0}], ["table_name"])
    where = (LEASE.c.table_name == table) & ((LEASE.c.holder == holder) | (LEASE.c.until_at <= now))
    return tx.connection.execute(sa.update(LEASE).where(where).values(holder=holder, until_at=until)).rowcount > 0


def release_lease(tx: Transaction, table: str, holder: str) -> None:
    """Gives the maintenance lease of a table back, unless another has taken it meanwhile."""
    where = (LEASE.c.table_name == table) & (LEASE.c.holder == holder)
    tx.connection.execute(sa.update(LEASE).where(where).values(until_at=0))
