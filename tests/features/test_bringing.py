"""Views come online by themselves, one process at a time, and never in a replay unless somebody says so."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from modelyard.access.domain import SYSTEM
from modelyard.core.errors import Overloaded
from modelyard.features import service
from modelyard.features.domain import FeatureView
from modelyard.features.rules import cadence_us
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from modelyard.storage.replay import begin_replay, clock_of
from tests.features.conftest import AIRPORT, DELAYS, LATE, WEATHER, at

MINUTE = 60_000_000
Stand = Callable[[datetime], None]


@pytest.mark.parametrize(
    ("view", "minutes"),
    [
        (WEATHER, 12),
        (DELAYS, 6),
        (FeatureView("v", AIRPORT, WEATHER.source, features=["sky"], ttl="3h"), 18),
        (FeatureView("v", AIRPORT, WEATHER.source, features=["sky"], freshness="2m"), 1),
        (FeatureView("v", AIRPORT, WEATHER.source, features=["sky"], ttl="30d"), 60),
        (FeatureView("v", AIRPORT, WEATHER.source, features=["sky"]), 10),
    ],
)
def test_a_view_comes_online_ten_times_within_what_it_promises(view: FeatureView, minutes: int) -> None:
    assert cadence_us(view) == minutes * MINUTE


def test_each_view_is_brought_when_its_turn_has_come(database: Database, online: LmdbStore, root: Path, stand_at: Stand) -> None:
    stand_at(at(1))
    service.apply_features(database, SYSTEM, [LATE], root)

    def brought() -> list[str]:
        return [one.view for one in service.materialize_due(database, online)]

    assert brought() == ["delays", "weather"]
    assert brought() == []
    stand_at(at(1.1))
    assert brought() == ["delays"]
    stand_at(at(1.2))
    assert brought() == ["delays", "weather"]


def test_a_view_that_cannot_be_brought_keeps_no_other_one_back(
    database: Database, online: LmdbStore, root: Path, stand_at: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    stand_at(at(1))
    service.apply_features(database, SYSTEM, [LATE], root)
    (root / "flights.parquet").unlink()
    assert [one.view for one in service.materialize_due(database, online)] == ["weather"]
    assert "delays was not brought online" in caplog.text


def test_while_one_brings_values_online_the_schedule_leaves_it_and_callers_wait(
    database: Database, online: LmdbStore, root: Path, stand_at: Stand
) -> None:
    stand_at(at(1))
    service.apply_features(database, SYSTEM, [LATE], root)
    with online.alone(0.0):
        assert service.materialize_due(database, online) == []
        with pytest.raises(Overloaded, match="more than 0 s"), online.alone(0.0):
            pass
    assert len(service.materialize(database, online, SYSTEM)) == 2


def test_in_a_replay_only_explicit_calls_bring_values_online(database: Database, online: LmdbStore, root: Path, stand_at: Stand) -> None:
    stand_at(at(1))
    service.apply_features(database, SYSTEM, [LATE], root)
    database.write(lambda tx: begin_replay(tx, tx.now()))
    replayed = database.with_clock(clock_of(database))
    assert service.materialize_due(replayed, online) == []
    assert len(service.materialize(replayed, online, SYSTEM)) == 2
    replayed.close()
