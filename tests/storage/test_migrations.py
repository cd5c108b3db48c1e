"""The migrations lead to the very tables that the stores declare, and a newer schema is not touched."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from modelyard.core.clock import SystemClock
from modelyard.core.errors import Conflict
from modelyard.storage.database import Database, Transaction
from modelyard.storage.migrations import VERSION_TABLE, current_version, revisions, upgrade
from modelyard.storage.migrations.steps import configuration
from modelyard.storage.schema import METADATA


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: object) -> Database:
    url = f"sqlite:///{tmp_path}/empty.db" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    database = Database.open(url, SystemClock())
    request.addfinalizer(database.close)
    return database


def test_the_migrated_schema_is_the_declared_one(empty: Database, every_table: None) -> None:
    upgrade(empty)

    def differences(tx: Transaction) -> list[str]:
        context = MigrationContext.configure(tx.connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        return [str(one) for one in compare_metadata(context, METADATA)]

    assert empty.write(differences) == []


def test_migrating_twice_changes_nothing(empty: Database) -> None:
    assert upgrade(empty) == upgrade(empty)


def test_the_version_stands_in_a_table_of_our_own_name(empty: Database) -> None:
    """Under that name, and not under Alembic's usual one: other libraries bring that to the same database."""
    upgrade(empty)
    with empty.read() as snapshot:
        assert snapshot.connection.execute(sa.text("SELECT count(*) FROM modelyard_schema")).scalar_one() == 1
        assert "alembic_version" not in sa.inspect(snapshot.connection).get_table_names()


def test_a_schema_from_the_future_is_left_alone(empty: Database) -> None:
    upgrade(empty)
    empty.write(lambda tx: tx.connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")))
    with pytest.raises(Conflict, match="9999"):
        upgrade(empty)
    with empty.read() as snapshot:
        assert current_version(snapshot.connection) == "9999"


def test_the_files_names_tell_the_order_of_the_versions() -> None:
    walked = ScriptDirectory.from_config(configuration()).walk_revisions()
    assert revisions() == tuple(reversed([script.revision for script in walked]))
