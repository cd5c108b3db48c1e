"""Views come online by themselves, one process at a time, and never in a replay unless somebody says so."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from msgspec.structs import replace

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM
from modelyard.core.clock import instant
from modelyard.core.errors import Overloaded
from modelyard.features import service
from modelyard.features.domain import FeatureSet, FeatureView, SourceDrifted, ViewReader
from modelyard.features.online import OnlineReader
from modelyard.features.rules import cadence_us
from modelyard.features.service.bringing import alone
from modelyard.features.stored import Histories
from modelyard.features.stored.histories import StoredHistory
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from modelyard.storage.replay import begin_replay, clock_of
from tests.features.conftest import AIRPORT, DELAYS, LATE, WEATHER, at, write_weather

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


def test_a_thread_waits_for_another_one_no_longer_than_it_says(online: LmdbStore) -> None:
    with alone(online, 0.0), ThreadPoolExecutor(1) as other, pytest.raises(Overloaded, match="more than 0 s"):
        other.submit(lambda: alone(online, 0.0).__enter__()).result(10)


def test_a_large_view_whose_history_is_laid_out_anew_meanwhile_is_read_anew(
    database: Database, online: LmdbStore, root: Path, stand_at: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelyard.features.offline.HISTORY_BYTES", 1)
    stand_at(at(1))
    service.apply_features(database, SYSTEM, [FeatureSet("late", [WEATHER])], root)
    ready = Histories.ready
    calls: list[int] = []

    def replaced(self: Histories, view: FeatureView, root: Path) -> StoredHistory:
        found = ready(self, view, root)
        if not calls:  # as whoever removes what was erased does, and waits for no reader
            write_weather(root, 6, wind=0.75)
            self.tables.vacuum(ready(self, view, root).table, retention_hours=0, include_unfinished=False)
        calls.append(found.version)
        return found

    monkeypatch.setattr(Histories, "ready", replaced)
    assert [one.entities for one in service.materialize(database, online, SYSTEM)] == [1]
    assert len(calls) == 2
    with database.read() as snapshot:
        (view,) = [one.applied.view for one in service.list_views(snapshot, SYSTEM)]
    assert wind(database, online, view)[0] == 1.75


def test_in_a_replay_only_explicit_calls_bring_values_online(database: Database, online: LmdbStore, root: Path, stand_at: Stand) -> None:
    stand_at(at(1))
    service.apply_features(database, SYSTEM, [LATE], root)
    database.write(lambda tx: begin_replay(tx, tx.now()))
    replayed = database.with_clock(clock_of(database))
    assert service.materialize_due(replayed, online) == []
    assert len(service.materialize(replayed, online, SYSTEM)) == 2
    replayed.close()


def read_by(database: Database, reader: str, view: FeatureView, *, is_answering: bool = True) -> None:
    """Has that version of a model read that version of the view."""
    one = ViewReader(reader=reader, view=view.name, digest=view.digest, is_answering=is_answering)
    database.write(lambda tx: service.put_readers(tx, f"endpoint:{reader}", DEFAULT_TEAM, [one]))


def wind(database: Database, online: LmdbStore, view: FeatureView) -> tuple[object, object]:
    """The wind at JFK online by that version of the view, and up to when it was brought."""
    with database.read() as snapshot:
        found = OnlineReader(FeatureSet("s", [view["wind_speed"]])).read(online, [{"origin": "JFK"}], snapshot.now())
    return found.columns["wind_speed"][0], found.upto_at["weather"]


def test_a_version_that_is_read_goes_on_as_it_was_when_another_one_is_applied(
    database: Database, online: LmdbStore, root: Path, stand_at: Stand
) -> None:
    stand_at(at(1))
    first = service.apply_features(database, SYSTEM, [LATE], root).sets[0].set.views[0]
    read_by(database, "late v1", first)
    other = replace(WEATHER, features=("wind_speed",), ttl="1h")
    applied = service.apply_features(database, SYSTEM, [FeatureSet("late", [other])], root).views[0]
    assert applied.number == 2
    stand_at(at(4))
    brought = {(one.view, one.digest) for one in service.materialize_due(database, online)}
    assert {("weather", first.digest), ("weather", applied.digest)} < brought
    assert wind(database, online, first) == wind(database, online, applied.view) == (4.5, instant(at(4)))
    database.write(lambda tx: service.put_readers(tx, "endpoint:late v1", DEFAULT_TEAM, []))
    stand_at(at(5))
    service.materialize(database, online, SYSTEM)
    assert wind(database, online, first) == (4.5, instant(at(4)))
    assert wind(database, online, applied.view) == (5.5, instant(at(5)))


def test_an_older_version_that_cannot_be_read_any_more_is_named_and_keeps_nothing_back(
    database: Database, online: LmdbStore, root: Path, stand_at: Stand
) -> None:
    stand_at(at(1))
    first = service.apply_features(database, SYSTEM, [LATE], root).sets[0].set.views[0]
    read_by(database, "late v1", first)
    pl.read_parquet(root / "weather.parquet").drop("sky").write_parquet(root / "weather.parquet")
    other = replace(WEATHER, features=("wind_speed",))
    applied = service.apply_features(database, SYSTEM, [FeatureSet("late", [other])], root).views[0]
    with pytest.raises(SourceDrifted, match="sky"):
        service.materialize(database, online, SYSTEM)
    assert wind(database, online, applied.view) == (1.5, instant(at(1)))


def test_a_view_is_as_fresh_as_the_version_that_answers(database: Database, online: LmdbStore, root: Path, stand_at: Stand) -> None:
    stand_at(at(1))
    first = service.apply_features(database, SYSTEM, [LATE], root).sets[0].set.views[0]
    service.materialize(database, online, SYSTEM)
    service.apply_features(database, SYSTEM, [FeatureSet("late", [replace(WEATHER, ttl="1h")])], root)

    def is_stale() -> bool:
        with database.read() as snapshot:
            return next(one.is_stale for one in service.list_freshness(snapshot, snapshot.now()) if one.view == "weather")

    assert is_stale()  # nothing of the version that stands is there
    read_by(database, "late v1", first, is_answering=False)
    assert is_stale()
    read_by(database, "late v1", first)
    assert not is_stale()
    stand_at(at(4))
    assert is_stale()
