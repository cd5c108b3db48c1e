"""The schema's history and the way to its end. Owns which changes come in which order; the tables are the components' own."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from modelyard.core.errors import Conflict
from modelyard.storage.database import Database, Transaction

VERSION_TABLE = "modelyard_schema"
_LOCK = 7_700_7701


def configuration() -> Config:
    """Alembic's configuration over the migrations beside this file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config


def upgrade(database: Database) -> str:
    """Brings the schema to the newest version, which it returns. Several processes may try at once: one does it.

    Raises Conflict where the data was written by a newer Modelyard.
    """
    config = configuration()
    head = ScriptDirectory.from_config(config).get_current_head() or ""
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}

    def work(tx: Transaction) -> None:
        if tx.dialect == "postgresql":
            tx.connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        current = current_version(tx.connection)
        if current is not None and current not in known:
            raise Conflict(
                f"the data's schema is {current}, which this Modelyard does not know", hint="install the newer Modelyard that wrote it"
            )
        if current != head:
            config.attributes["connection"] = tx.connection
            command.upgrade(config, "head")

    database.write(work)
    return head


def current_version(connection: sa.Connection) -> str | None:
    """The schema's version, or None in an empty database."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
