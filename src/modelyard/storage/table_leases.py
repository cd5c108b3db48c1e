"""The maintenance lease of a Delta table, a row of the database: one process at a time compacts it. Owns the lease alone."""

import sqlalchemy as sa

from modelyard.core.clock import SECOND
from modelyard.storage.database import Transaction
from modelyard.storage.schema import TABLE_LEASE, upsert


def take_lease(tx: Transaction, table: str, holder: str, for_s: float) -> bool:
    """Takes or prolongs the maintenance lease of a table; false where another holds it."""
    now = tx.lease_time()
    until = now + round(for_s * SECOND)
    upsert(tx, TABLE_LEASE, [{"table_name": table, "holder": holder, "until_at": 0}], ["table_name"])
    where = (TABLE_LEASE.c.table_name == table) & ((TABLE_LEASE.c.holder == holder) | (TABLE_LEASE.c.until_at <= now))
    return tx.connection.execute(sa.update(TABLE_LEASE).where(where).values(holder=holder, until_at=until)).rowcount > 0


def release_lease(tx: Transaction, table: str, holder: str) -> None:
    """Gives the maintenance lease of a table back, unless another has taken it meanwhile."""
    where = (TABLE_LEASE.c.table_name == table) & (TABLE_LEASE.c.holder == holder)
    tx.connection.execute(sa.update(TABLE_LEASE).where(where).values(until_at=0))
