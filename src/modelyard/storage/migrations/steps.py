"""Alembic over the migrations beside this file. Owns its configuration."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config


def configuration() -> Config:
    """Alembic's configuration over the migrations beside this file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config


def migrate(connection: sa.Connection) -> None:
    """Takes every step that the schema lacks."""
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
