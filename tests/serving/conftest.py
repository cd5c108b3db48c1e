"""A world and a running gateway for the tests of serving."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.storage.online import LmdbStore
from tests.serving.world import Gateway, World, running


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A data folder with three versions of a model, served under revision 1 by version 1."""
    made = World(tmp_path)
    made.serve()
    LmdbStore.open(tmp_path / "online").close()
    return made


@pytest.fixture
def gateway(world: World) -> Iterator[Gateway]:
    """A gateway that serves the world."""
    with running(world) as started:
        yield started


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world for tests that only ask."""
    made = World(tmp_path_factory.mktemp("world"))
    made.serve()
    LmdbStore.open(made.folder / "online").close()
    return made


@pytest.fixture(scope="module")
def shared(shared_world: World) -> Iterator[Gateway]:
    """A gateway for tests that only ask."""
    with running(shared_world) as started:
        yield started
