"""Bundles over a ledger, and models that were shipped for real; a whole session's tests share them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.core.clock import FixedClock
from modelyard.governance.service import RoleKeys
from modelyard.ledger.service import sequence_pending
from modelyard.server.installation import Installation, opened
from modelyard.storage.database import Database
from tests.conftest import START, WALL_AHEAD_S
from tests.governance.bundles import Bundles
from tests.governance.shipping import CREWS, LATE, declare, settings_of, ship, write_project


@pytest.fixture(scope="session")
def bundles(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundles]:
    """Makes bundles."""
    root = tmp_path_factory.mktemp("bundles")
    shutil.copyfile(sqlite_template, root / "modelyard.db")
    database = Database.open(f"sqlite:///{root / 'modelyard.db'}", FixedClock(START, wall_ahead_s=WALL_AHEAD_S))
    yield Bundles(database, root)
    database.close()


@pytest.fixture(scope="session")
def sound(bundles: Bundles) -> Path:
    """The folder of a bundle with nothing wrong; tests copy it."""
    return bundles.write()


@pytest.fixture(scope="session")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation in which `late` was let through by policy and `crews` waits for a person."""
    folder = tmp_path_factory.mktemp("mine")
    write_project(folder)
    with opened(settings_of(folder)) as installation:
        declare(installation, folder)
        ship(installation, LATE)
        ship(installation, CREWS)
        sequence_pending(installation.database, "tests")
        yield installation


@pytest.fixture(scope="session")
def keys(yard: Installation) -> RoleKeys:
    """The installation's keys by role."""
    return yard.role_keys
