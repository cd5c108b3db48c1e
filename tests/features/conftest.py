"""Two small sources, a set over both, an online store, and a clock that can be put somewhere."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import SECOND, FixedClock, instant
from modelyard.core.settings import FeaturesSettings
from modelyard.features import service
from modelyard.features.domain import Entity, FeatureSet, FeatureView, Parquet
from modelyard.features.sources.reach import Place, open_reach
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from modelyard.storage.tables import Tables
from tests.features.hours import NOON as NOON
from tests.features.hours import at as at
from tests.features.shop import ITEMS, SET, Shop

AIRPORT = Entity("origin")
WEATHER = FeatureView("weather", AIRPORT, Parquet("weather.parquet", "time_hour"), features=["wind_speed", "sky"], ttl="3h", freshness="2h")
DELAYS = FeatureView(
    "delays", AIRPORT, Parquet("flights.parquet", "departed", "landed"), aggregate={"delay": ["mean", "count"]}, windows=["1h", "7d"]
)
LATE = FeatureSet("late", [WEATHER, DELAYS["delay_mean_1h", "delay_count_7d"]])


def write_weather(folder: Path, hours: int, *, wind: float = 0.5) -> None:
    """An hourly row of weather from noon on; the wind is the hour and `wind`."""
    rows = [("JFK", at(hour), hour + wind, "clear") for hour in range(hours)]
    pl.DataFrame(rows, schema=["origin", "time_hour", "wind_speed", "sky"], orient="row").write_parquet(folder / "weather.parquet")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project's folder with its sources."""
    write_weather(tmp_path, 6)
    flights = pl.DataFrame({"origin": ["JFK", "JFK", "LGA"], "departed": [at(0), at(0.5), at(1)], "landed": [at(0.5), at(3), at(2)]})
    flights.with_columns(pl.Series("delay", [10, 30, None], dtype=pl.Int16)).write_parquet(tmp_path / "flights.parquet")
    return tmp_path


@pytest.fixture
def online(tmp_path: Path) -> Iterator[LmdbStore]:
    """An empty online store."""
    store = LmdbStore.open(tmp_path / "online", durable=False, map_bytes=1 << 26)
    yield store
    store.close()


@pytest.fixture
def stand_at(clock: FixedClock) -> Callable[[datetime], None]:
    """Puts the clock at a moment."""
    return lambda moment: clock.advance((instant(moment) - clock.now()) / SECOND)


@pytest.fixture
def shop(database: Database, online: LmdbStore, tmp_path: Path, stand_at: Callable[[datetime], None]) -> Iterator[Shop]:
    """An installation to which clicks are pushed, at noon of the first day."""
    tables = Tables.open(f"file://{tmp_path / 'tables'}")
    open_reach(FeaturesSettings(), Place(database, tables))
    stand_at(at(0))
    service.apply_features(database, SYSTEM, [SET, FeatureSet("items", [ITEMS])], tmp_path)
    yield Shop(database, online, tables)
    open_reach(FeaturesSettings())
