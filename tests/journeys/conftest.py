"""A project for the journeys, on a server that runs as long as they do."""

from collections.abc import Iterator

import pytest

from tests.journeys.project import MODELS, Mine, write_project


@pytest.fixture(scope="session")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mine]:
    """A project whose lock is made, and `yard up` beside it until the journeys end. Each journey has a model of its own."""
    folder = tmp_path_factory.mktemp("mine")
    write_project(folder, MODELS.replace("GATE", "1.1"))
    mine = Mine(folder)
    mine.start()
    yield mine
    mine.stop()
