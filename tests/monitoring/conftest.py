"""A world for the tests of monitoring."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modelyard.core.clock import FixedClock
from modelyard.storage.database import Database
from tests.monitoring.world import World
from tests.serving.world import World as Served


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Three trained versions of a model."""
    return Served(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def world(database: Database, tmp_path: Path, clock: FixedClock, random: np.random.Generator, trained: Served) -> Iterator[World]:
    """A registered model with three versions that is not yet watched, and not served."""
    made = World(database, tmp_path, clock, random)
    made.register(trained)
    yield made
    made.online.close()
