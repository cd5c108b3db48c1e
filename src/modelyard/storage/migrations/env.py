"""Runs the migrations on the connection that `upgrade` passes in; Alembic loads this file by its name."""

from alembic import context

from modelyard.storage.migrations import VERSION_TABLE
from modelyard.storage.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    transactional_ddl=False,
    compare_type=True,
    include_object=context.config.attributes.get("include_object"),
)
context.run_migrations()
