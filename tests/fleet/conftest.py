"""A fleet for its tests."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modelyard.core.clock import FixedClock
from modelyard.monitoring.domain import drift, performance, quality
from modelyard.storage.database import Database
from tests.fleet.world import Fleet
from tests.monitoring.world import World
from tests.serving.world import World as Served

ALL = (drift(), quality(), performance("roc_auc", drop=0.05, window="14d"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Three trained versions of a model."""
    return Served(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def registered(database: Database, tmp_path: Path, clock: FixedClock, random: np.random.Generator, trained: Served) -> Iterator[Fleet]:
    """A model with three versions that is neither watched nor served."""
    made = World(database, tmp_path, clock, random)
    made.register(trained)
    yield Fleet(made, tmp_path)
    made.online.close()


@pytest.fixture
def fleet(registered: Fleet) -> Fleet:
    """The same, its first version delivered, watched and answering."""
    registered.deliver(1)
    registered.world.watch(*ALL)
    registered.world.train(1, *ALL)
    registered.world.release(1)
    return registered
