"""The schema's history and the way to its end. Owns which changes come in which order; the tables are the components' own.

Alembic, which takes 0.15 s and 8 MB, is loaded where the schema is to change, and not by every role at every start.
"""

from pathlib import Path

import sqlalchemy as sa

from modelyard.core.errors import Conflict
from modelyard.storage.database import Database, Transaction

VERSION_TABLE = "modelyard_schema"
_LOCK = 7_700_7701


def upgrade(database: Database) -> str:
    """Brings the schema to the newest version, which it returns. Several processes may try at once: one does it.

    Raises Conflict where the data was written by a newer Modelyard.
    """
    known = revisions()
    head = known[-1]

    def work(tx: Transaction) -> None:
        if tx.dialect == "postgresql":
            tx.connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        current = current_version(tx.connection)
        if current is not None and current not in known:
            raise Conflict(
                f"the data's schema is {current}, which this Modelyard does not know", hint="install the newer Modelyard that wrote it"
            )
        if current != head:
            _migrate(tx.connection)

    database.write(work)
    return head


def revisions() -> tuple[str, ...]:
    """The schema's versions, oldest first: each file's name begins with its own."""
    return tuple(sorted(path.name.partition("_")[0] for path in Path(__file__).parent.glob("versions/[0-9]*.py")))


def current_version(connection: sa.Connection) -> str | None:
    """The schema's version, or None in an empty database."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(sa.select(sa.column("version_num")).select_from(sa.table(VERSION_TABLE))).scalar_one_or_none()


def _migrate(connection: sa.Connection) -> None:
    from modelyard.storage.migrations.steps import migrate

    migrate(connection)
