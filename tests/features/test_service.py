from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, NotAllowed, Principal, PrincipalId, Role, TeamId
from modelyard.core.clock import FixedClock, Instant
from modelyard.core.errors import InvalidInput
from modelyard.features import service
from modelyard.features.domain import (
    Aggregate,
    BadLabels,
    Entity,
    FeatureSet,
    FeatureSetNotFound,
    FeatureView,
    InvalidDeclaration,
    OnlineValues,
    Parquet,
    SourceDrifted,
    SourceUnreadable,
    ViewNotFound,
)
from modelyard.ledger.service import list_entries, sequence_pending
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore, OnlineStore, open_online
from tests.features.conftest import AIRPORT, LATE, WEATHER, at, write_weather

Stand = Callable[[datetime], None]


def types(database: Database) -> list[str]:
    sequence_pending(database, "tests")
    with database.read() as snapshot:
        return [entry.type for entry in list_entries(snapshot).entries]


def test_applying_reads_the_types_and_gives_every_definition_its_number(database: Database, root: Path) -> None:
    applied = service.apply_features(database, SYSTEM, [LATE], root)
    assert [(one.view.name, one.number) for one in applied.views] == [("weather", 1), ("delays", 1)]
    assert [(one.name, one.dtype) for one in applied.sets[0].set.columns] == [
        ("wind_speed", "float64"), ("sky", "string"), ("delay_mean_1h", "float64"), ("delay_count_7d", "int64"),
    ]  # fmt: skip
    changed = FeatureView("weather", AIRPORT, WEATHER.source, features=["wind_speed"])
    assert service.apply_features(database, SYSTEM, [FeatureSet("wind", [changed])], root).views[0].number == 2
    assert service.apply_features(database, SYSTEM, [LATE], root).views[0].number == 1
    with database.read() as snapshot:
        assert service.get_view(snapshot, SYSTEM, "weather").number == 1
        assert [one.number for one in service.list_view_versions(snapshot, SYSTEM, "weather")] == [2, 1]
        assert service.get_set(snapshot, SYSTEM, "late") == applied.sets[0]
        assert service.get_set(snapshot, SYSTEM, "late", applied.sets[0].digest) == applied.sets[0]


def test_what_is_applied_twice_changes_nothing_and_is_recorded_once(database: Database, root: Path) -> None:
    first = service.apply_features(database, SYSTEM, [LATE], root)
    assert service.apply_features(database, SYSTEM, [LATE], root) == first
    assert types(database) == ["features.set_applied", "features.view_applied", "features.view_applied"]


def test_two_different_views_of_one_name_are_refused_together(database: Database, root: Path) -> None:
    other = FeatureView("weather", AIRPORT, WEATHER.source, features=["wind_speed"])
    with pytest.raises(InvalidDeclaration, match="two different views"):
        service.apply_features(database, SYSTEM, [LATE, FeatureSet("wind", [other])], root)
    assert types(database) == []


@pytest.mark.parametrize(
    ("view", "error", "words"),
    [
        (FeatureView("v", AIRPORT, Parquet("none.parquet", "time_hour"), features=["x"]), SourceUnreadable, "no file"),
        (FeatureView("v", AIRPORT, Parquet("weather.parquet", "time"), features=["sky"]), SourceDrifted, "no column 'time'"),
        (FeatureView("v", AIRPORT, Parquet("weather.parquet", "time_hour"), features=["wind"]), SourceDrifted, "no column 'wind'"),
        (FeatureView("v", AIRPORT, Parquet("weather.parquet", "sky"), features=["wind_speed"]), SourceDrifted, "not a time"),
        (FeatureView("v", AIRPORT, Parquet("weather.parquet", "time_hour"), features={"sky": "int64"}), SourceDrifted, "declared int64"),
        (FeatureView("v", Entity("origin", dtype="int64"), WEATHER.source, features=["sky"]), SourceDrifted, "declared int64"),
        (
            FeatureView("v", AIRPORT, WEATHER.source, aggregate={"sky": ["mean"]}, windows=["1h"]),
            InvalidDeclaration,
            "is a text",
        ),
        (
            FeatureView("v", AIRPORT, WEATHER.source, aggregate=[Aggregate("sky", "count", where="gust > 3")], windows=["1h"]),
            SourceDrifted,
            "no column 'gust'",
        ),
        (
            FeatureView("v", AIRPORT, WEATHER.source, aggregate=[Aggregate("sky", "count", where="sky > 3")], windows=["1h"]),
            SourceDrifted,
            "'sky', which is string, against 3",
        ),
        (
            FeatureView("v", AIRPORT, WEATHER.source, aggregate=[Aggregate("wind_speed", "max", dtype="int64")], windows=["1h"]),
            SourceDrifted,
            "was int64 when it was applied, the source has float64",
        ),
    ],
)
def test_a_view_that_its_source_does_not_bear_out_is_refused(view: FeatureView, error: type[Exception], words: str, root: Path) -> None:
    with pytest.raises(error, match=words):
        service.resolved_view(view, root)


def test_a_file_that_is_no_parquet_is_named(root: Path) -> None:
    (root / "weather.parquet").write_bytes(b"not at all")
    with pytest.raises(SourceUnreadable, match=r"weather\.parquet"):
        service.resolved_view(WEATHER, root)


ROWS: list[dict[str, str | int | float | bool | None]] = [{"origin": "JFK"}, {"origin": "LGA"}, {"origin": "nowhere"}]


def read(database: Database, online: OnlineStore) -> OnlineValues:
    with database.read() as snapshot:
        return service.read_features(snapshot, online, SYSTEM, "late", ROWS)


def same_hour_by_hour(database: Database, root: Path, online: OnlineStore, clock: FixedClock, stand_at: Stand) -> None:
    applied = service.apply_features(database, SYSTEM, [LATE], root).sets[0].set
    keys = pl.DataFrame(ROWS)
    for half_hour in range(30):
        stand_at(at(half_hour / 2))
        service.materialize(database, online, SYSTEM)
        offline = service.recompute(database, applied, keys, np.full(3, clock.now()))
        assert read(database, online).columns == offline.to_dict(as_series=False)


def test_online_equals_offline_hour_by_hour(database: Database, root: Path, online: LmdbStore, clock: FixedClock, stand_at: Stand) -> None:
    same_hour_by_hour(database, root, online, clock, stand_at)


@pytest.mark.server
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_online_equals_offline_on_redis_too(database: Database, root: Path, redis_url: str, clock: FixedClock, stand_at: Stand) -> None:
    online = open_online(redis_url)
    same_hour_by_hour(database, root, online, clock, stand_at)
    online.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_was_read_of_a_view_that_lagged_is_recomputed_as_it_was_read(
    database: Database, root: Path, online: LmdbStore, clock: FixedClock, stand_at: Stand
) -> None:
    applied = service.apply_features(database, SYSTEM, [LATE], root).sets[0].set
    stand_at(at(2))
    service.materialize(database, online, SYSTEM)
    stand_at(at(3.25))
    values, now = read(database, online), np.full(3, clock.now())
    upto = {name: np.full(3, brought) for name, brought in values.upto_at.items()}
    assert service.recompute(database, applied, pl.DataFrame(ROWS), now, upto).to_dict(as_series=False) == values.columns
    assert service.recompute(database, applied, pl.DataFrame(ROWS), now).to_dict(as_series=False) != values.columns


def test_a_materialization_records_where_it_came_from_and_repeats_nothing(
    database: Database, root: Path, online: LmdbStore, clock: FixedClock, stand_at: Stand
) -> None:
    service.apply_features(database, SYSTEM, [LATE], root)
    stand_at(at(2))
    first = service.materialize(database, online, SYSTEM)
    assert [(one.view, one.rows, one.entities) for one in first] == [("delays", 2, 2), ("weather", 3, 1)]
    assert service.materialize(database, online, SYSTEM) == first
    assert types(database).count("features.materialized") == 1
    with pytest.raises(InvalidInput, match="ahead of now"):
        service.materialize(database, online, SYSTEM, ["weather"], Instant(clock.now() + 1))
    with pytest.raises(ViewNotFound) as caught:
        service.materialize(database, online, SYSTEM, ["wether"])
    assert caught.value.hint == "did you mean weather?"


def test_what_a_killed_call_left_unrecorded_the_next_one_records(
    database: Database, root: Path, online: LmdbStore, clock: FixedClock, stand_at: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.apply_features(database, SYSTEM, [LATE], root)
    stand_at(at(2))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(database, "write", lambda work: (_ for _ in ()).throw(KeyboardInterrupt))
        service.materialize(database, online, SYSTEM)
    assert [one.rows for one in service.materialize(database, online, SYSTEM)] == [2, 3]
    assert types(database).count("features.materialized") == 1


def test_a_source_that_goes_stale_is_seen_and_one_that_is_mended_is_brought_anew(
    database: Database, root: Path, online: LmdbStore, clock: FixedClock, stand_at: Stand
) -> None:
    service.apply_features(database, SYSTEM, [LATE], root)
    with database.read() as snapshot:
        assert service.view_freshness(snapshot, SYSTEM, "weather").is_stale
    stand_at(at(4))
    write_weather(root, 2)
    service.materialize(database, online, SYSTEM)
    with database.read() as snapshot:
        stale = service.view_freshness(snapshot, SYSTEM, "weather")
        assert (stale.is_stale, stale.lag_s, stale.promised_s) == (True, 3 * 3600, 2 * 3600)
        assert service.read_features(snapshot, online, SYSTEM, "late", [{"origin": "JFK"}]).columns["wind_speed"] == [1.5]
    write_weather(root, 6, wind=0.25)
    service.materialize(database, online, SYSTEM)
    with database.read() as snapshot:
        assert not service.view_freshness(snapshot, SYSTEM, "weather").is_stale
        assert [one.is_stale for one in service.list_freshness(snapshot, clock.now())] == [False, False]
        assert service.read_features(snapshot, online, SYSTEM, "late", [{"origin": "JFK"}]).columns["wind_speed"] == [4.25]


def test_who_reads_a_view_is_known_until_it_reads_something_else(database: Database, root: Path) -> None:
    applied = service.apply_features(database, SYSTEM, [LATE, FeatureSet("wind", [WEATHER["wind_speed"]])], root)
    late, wind = (one.set for one in applied.sets)
    database.write(lambda tx: service.put_consumer(tx, "model:late", "/models/late", late, DEFAULT_TEAM))
    with database.read() as snapshot:
        assert [one.name for one in service.list_consumers(snapshot, SYSTEM, "delays")] == ["model:late"]
    database.write(lambda tx: service.put_consumer(tx, "model:late", "/models/late", wind, DEFAULT_TEAM))
    with database.read() as snapshot:
        assert service.list_consumers(snapshot, SYSTEM, "delays") == []
        assert [one.consumers for one in service.list_views(snapshot, SYSTEM)] == [0, 1]


def test_a_team_sees_and_changes_its_own_views_only(database: Database, root: Path, online: LmdbStore) -> None:
    other = TeamId("other")
    stranger = Principal(id=PrincipalId("usr_x"), name="x", kind="person", roles={other: Role.ADMIN})
    viewer = Principal(id=PrincipalId("usr_v"), name="v", kind="person", roles={DEFAULT_TEAM: Role.VIEWER})
    service.apply_features(database, SYSTEM, [LATE], root)
    with database.read() as snapshot:
        assert service.list_views(snapshot, stranger) == []
        assert [one.applied.view.name for one in service.list_views(snapshot, viewer)] == ["delays", "weather"]
        with pytest.raises(ViewNotFound):
            service.get_view(snapshot, stranger, "weather")
        with pytest.raises(FeatureSetNotFound):
            service.read_features(snapshot, online, stranger, "late", [])
    for principal in (stranger, viewer):
        with pytest.raises(NotAllowed):
            service.apply_features(database, principal, [LATE], root, DEFAULT_TEAM)
    # A name that is another team's is not to be had by saying that it shall be one's own.
    mine = FeatureView("weather", AIRPORT, WEATHER.source, features=["wind_speed"])
    with pytest.raises(NotAllowed):
        service.apply_features(database, stranger, [FeatureSet("wind", [mine])], root, other)
    with pytest.raises(NotAllowed):
        service.materialize(database, online, viewer, ["weather"])
    assert service.materialize(database, online, viewer) == []


def test_a_key_beyond_all_bounds_is_refused_when_it_is_asked_for(database: Database, online: LmdbStore, root: Path) -> None:
    service.apply_features(database, SYSTEM, [LATE], root)
    with database.read() as snapshot, pytest.raises(BadLabels, match="10000000 bytes, and at most 4096"):
        service.read_features(snapshot, online, SYSTEM, "late", [{"origin": "JFK"}, {"origin": "é" * 5_000_000}])
