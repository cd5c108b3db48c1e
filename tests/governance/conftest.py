"""Bundles over a ledger that a whole session's tests share."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.core.clock import FixedClock
from modelyard.storage.database import Database
from tests.conftest import START
from tests.governance.bundles import Bundles


@pytest.fixture(scope="session")
def bundles(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundles]:
    """Makes bundles."""
    root = tmp_path_factory.mktemp("bundles")
    shutil.copyfile(sqlite_template, root / "modelyard.db")
    database = Database.open(f"sqlite:///{root / 'modelyard.db'}", FixedClock(START))
    yield Bundles(database, root)
    database.close()


@pytest.fixture(scope="session")
def sound(bundles: Bundles) -> Path:
    """The folder of a bundle with nothing wrong; tests copy it."""
    return bundles.write()
