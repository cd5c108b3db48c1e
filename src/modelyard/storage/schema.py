"""The one metadata that every component's tables stand on, and the upsert that both databases share."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from modelyard.storage.database import Dialect, Transaction

METADATA = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

REPLAY_CLOCK = sa.Table(
    "replay_clock",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("now_at", sa.BigInteger, nullable=False),
)

IDEMPOTENCY_ANSWER = sa.Table(
    "idempotency_answer",
    METADATA,
    sa.Column("caller", sa.String(120), primary_key=True),
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("request", sa.String(80), nullable=False),
    sa.Column("answer", sa.LargeBinary, nullable=True),
    sa.Column("made_at", sa.BigInteger, nullable=False, index=True),
)

# Named when the prediction log alone had one.
TABLE_LEASE = sa.Table(
    "serving_table_lease",
    METADATA,
    sa.Column("table_name", sa.String(120), primary_key=True),
    sa.Column("holder", sa.String(120), nullable=False),
    sa.Column("until_at", sa.BigInteger, nullable=False),
)


def upsert(
    tx: Transaction,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    update: Sequence[str] = (),
) -> None:
    """Inserts `rows`; where a row with the same `keys` stands, its `update` columns are overwritten, or it is left alone.

    `keys` are the columns of a unique constraint or of the primary key. No two of `rows` may share their keys.
    """
    if rows:
        tx.connection.execute(_upserting(tx.dialect, table, tuple(keys), tuple(update)), [dict(row) for row in rows])


def insert_if_absent(tx: Transaction, table: sa.Table, row: Mapping[str, Any], keys: Sequence[str]) -> bool:
    """Inserts `row` and gives True, unless one with the same `keys` stands. Another transaction that inserts one is waited for."""
    insert = _upserting(tx.dialect, table, tuple(keys), ()).returning(table.c[keys[0]])
    return tx.connection.execute(insert, dict(row)).first() is not None


@functools.lru_cache(maxsize=256)
def _upserting(dialect: Dialect, table: sa.Table, keys: tuple[str, ...], update: tuple[str, ...]) -> sa.Insert:
    # Kept: building it anew takes as long as running it.
    insert = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)
    if update:
        return insert.on_conflict_do_update(index_elements=list(keys), set_={name: insert.excluded[name] for name in update})
    return insert.on_conflict_do_nothing(index_elements=list(keys))
