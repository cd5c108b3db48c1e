"""What the stages of a delivery work with, over a model that has three registered versions."""

from pathlib import Path

import pytest

from modelyard.delivery.stages.yard import Yard
from modelyard.features.stored import Histories
from modelyard.ledger.service import LogKey
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from modelyard.storage.tables import Tables
from tests.serving.control import registered
from tests.serving.world import World


@pytest.fixture
def yard(database: Database, tmp_path: Path) -> Yard:
    """The stores, with a model of three registered versions."""
    world = World(tmp_path / "world")
    registered(database, world)
    tables, online = Tables.open(f"file://{tmp_path}/tables"), LmdbStore.open(tmp_path / "online")
    return Yard(
        database=database,
        blobs=world.blobs,
        tables=tables,
        histories=Histories(tables),
        online=online,
        folder=tmp_path,
        log_key=LogKey.new("tests"),
        holder="worker",
        beat=lambda: None,
    )
