"""Processes that are killed while they push, flush, bring online, lay out and merge: nothing is lost, nothing is there twice."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modelyard.core.clock import SystemClock
from modelyard.core.settings import FeaturesSettings
from modelyard.features.sources.reach import Place, open_reach
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from tests.features.dying import MAP_BYTES, Swept
from tests.features.kills import Killer, planned_kills
from tests.features.shop import Shop
from tests.features.survivors import Left, check_all, check_nothing_is_lost_or_doubled

KILLS = {"sqlite": 18, "postgresql": 6}


@pytest.fixture
def left(database_url: str, tmp_path: Path) -> Iterator[Left]:
    """An installation under the machine's clock."""
    database = Database.open(database_url, SystemClock())
    online = LmdbStore.open(tmp_path / "online", durable=False, map_bytes=MAP_BYTES)
    shop = Shop(database, online, Swept.open(f"file://{tmp_path / 'tables'}"))
    open_reach(FeaturesSettings(), Place(database, shop.tables))
    made = Left(shop, tmp_path, database.clock.now())
    made.begin()
    yield made
    open_reach(FeaturesSettings())
    online.close()
    database.close()


def test_kills_at_random_moments_lose_and_double_nothing(left: Left, database_url: str, random: np.random.Generator) -> None:
    with Killer(database_url, left.folder, left.base) as killer:
        killer.measure()
        for kill in planned_kills(random, KILLS[database_url.partition(":")[0].partition("+")[0]]):
            killer.carry_out(kill)
            check_nothing_is_lost_or_doubled(left)
    check_all(left)
