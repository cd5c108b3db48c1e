"""Writes a migration for whatever the tables have and the migrations do not: `python tools/migration.py SLUG [COMPONENT ...]`.

With components named, only their tables are compared; `--check` says whether anything is missing.
"""

import importlib
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import modelyard
from modelyard.core.clock import SystemClock
from modelyard.storage.database import Database, Transaction
from modelyard.storage.migrations import VERSION_TABLE, upgrade
from modelyard.storage.migrations.steps import configuration
from modelyard.storage.schema import METADATA


def imported_stores() -> dict[str, set[str]]:
    """Imports every store; the names of each component's tables."""
    owned: dict[str, set[str]] = {"storage": {"replay_clock", "idempotency_answer"}}
    for folder in Path(modelyard.__path__[0]).iterdir():
        for path in [folder / "store.py", *(folder / "store").glob("*.py")]:
            if path.exists():
                name = ".".join(path.relative_to(folder.parents[1]).with_suffix("").parts).removesuffix(".__init__")
                tables = [value.name for value in vars(importlib.import_module(name)).values() if isinstance(value, sa.Table)]
                owned.setdefault(folder.name, set()).update(tables)
    return owned


def differences(tx: Transaction) -> list[Any]:
    """What the tables have and the database does not, and the other way round."""
    context = MigrationContext.configure(tx.connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
    return list(compare_metadata(context, METADATA))


def written(slug: str, tables: Iterable[str]) -> None:
    """Writes one migration for `tables`."""
    config = configuration()
    last = len(list(ScriptDirectory.from_config(config).walk_revisions()))
    wanted = set(tables)

    def included(item: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
        return (name if kind == "table" else item.table.name) in wanted

    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(f"sqlite:///{Path(folder, 'schema.db')}", SystemClock())
        upgrade(database)

        def work(tx: Transaction) -> None:
            config.attributes |= {"connection": tx.connection, "include_object": included}
            command.revision(config, slug, autogenerate=True, rev_id=f"{last + 1:04d}")

        database.write(work)
        database.close()


def main() -> int:
    """Writes or checks."""
    owned = imported_stores()
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    if "--check" in sys.argv:
        with tempfile.TemporaryDirectory() as folder:
            database = Database.open(f"sqlite:///{Path(folder, 'schema.db')}", SystemClock())
            upgrade(database)
            found = database.write(differences)
            database.close()
        names = sorted({str(getattr(item[1], "name", item[1])) for item in found if isinstance(item, tuple)})
        print("migrations: complete" if not found else f"migrations: {len(found)} differences: {names}")
        return 1 if found else 0
    components = words[1:] or sorted(owned)
    written(words[0], [table for component in components for table in owned[component]])
    return 0


if __name__ == "__main__":
    sys.exit(main())
