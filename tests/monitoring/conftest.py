"""A world for the tests of monitoring."""

from pathlib import Path

import numpy as np
import pytest

from modelyard.core.clock import FixedClock
from modelyard.storage.database import Database
from modelyard.storage.tables import Tables
from tests.monitoring.world import World


@pytest.fixture
def world(database: Database, tmp_path: Path, clock: FixedClock, random: np.random.Generator) -> World:
    """A model that is not yet watched, trained or served."""
    return World(database, Tables.open(f"file://{tmp_path}/tables"), clock, random)
