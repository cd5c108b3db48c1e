"""A project of its own for each journey."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.project import MODELS, Mine, write_project


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Mine]:
    """A project whose lock is made, and `yard up` beside it until the test ends."""
    write_project(tmp_path, MODELS.replace("GATE", "1.1"))
    mine = Mine(tmp_path)
    mine.start()
    yield mine
    mine.stop()
