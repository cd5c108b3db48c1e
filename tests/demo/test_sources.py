"""The year's data: how many rows there are, instants that fit together, and nothing that was known too late."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from demo import models
from demo.sources import ZONES, lost, prepared, prepared_weather, recovered, written
from modelyard.core.clock import SECOND, instant
from modelyard.features.offline import training_rows
from modelyard.features.service import resolved_set
from modelyard.sdk.declarations import ATTRIBUTE

HOUR = 3600 * SECOND
UTC_US = pl.Datetime("us", "UTC")
VIEWS = (("departures", "departed_at"), ("landings", "landed_at"), ("weather", "reported_at"))


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source files, made once."""
    folder = tmp_path_factory.mktemp("year")
    written(folder / "data")
    return folder


def flight(**other: object) -> dict[str, object]:
    """A flight from JFK to San Francisco, on time, as the package writes it."""
    row: dict[str, object] = {
        "year": 2013, "month": 6, "day": 1, "hour": 23, "minute": 30, "dep_delay": 0, "arr_delay": 0, "arr_time": 300, "carrier": "B6",
        "flight": 1, "tailnum": "N1", "origin": "JFK", "dest": "SFO", "distance": 2586,
    }  # fmt: skip
    return row | other


def instants(**other: object) -> dict[str, object]:
    """The prepared flight."""
    airports = pl.DataFrame({"faa": ["SFO"], "tzone": ["America/Los_Angeles"]})
    return prepared(pl.DataFrame([flight(**other)], infer_schema_length=None), airports)["flights"].row(0, named=True)


def test_the_year_has_all_its_flights_and_only_those_that_flew_have_outcomes(year: Path) -> None:
    flights = pl.read_parquet(year / "data" / "flights.parquet")
    assert flights.height == 336_776
    assert flights["late_departure"].null_count() == flights["departed_at"].null_count() == 8_255
    assert flights["late_arrival"].null_count() == 9_430
    rows = {name: pl.read_parquet(year / "data" / f"{name}.parquet").height for name in ("departures", "landings", "planes")}
    assert rows == {"departures": 328_521, "landings": 327_345, "planes": 3_322}


def test_planes_land_after_they_left_and_never_much_later(year: Path) -> None:
    flights = pl.read_parquet(year / "data" / "flights.parquet").drop_nulls("landed_at")
    minutes = (flights["landed_at"] - flights["departed_at"]).dt.total_minutes()
    assert minutes.is_between(20, 13 * 60).all()


def test_a_landing_behind_midnight_is_of_the_next_day() -> None:
    found = instants()
    assert found["departed_at"] == datetime(2013, 6, 2, 3, 30, tzinfo=UTC)
    assert found["landed_at"] == datetime(2013, 6, 2, 10, 0, tzinfo=UTC)


def test_summer_time_begins_and_ends_with_the_clocks_of_new_york() -> None:
    hours = [instants(month=month, day=day, hour=8)["scheduled_at"] for month, day in ((3, 9), (3, 10), (11, 2), (11, 3))]
    assert [at.hour for at in hours if isinstance(at, datetime)] == [13, 12, 12, 13]


def test_a_cancelled_flight_neither_leaves_nor_lands_nor_is_late() -> None:
    found = instants(dep_delay=None, arr_delay=None, arr_time=None)
    assert [found[name] for name in ("departed_at", "landed_at", "late_departure", "late_arrival")] == [None] * 4


def test_a_report_of_the_weather_is_known_when_its_hour_is_over() -> None:
    numbers = dict.fromkeys(("temp", "wind_speed", "precip", "visib", "pressure"), 1.0)
    rows = pl.DataFrame([{"origin": "JFK", "time_hour": "2013-03-10T07:00:00Z", **numbers}])
    found = prepared_weather(rows).row(0, named=True)
    assert found["reported_at"] == datetime(2013, 3, 10, 8, tzinfo=UTC)


def test_no_feature_of_a_row_was_known_later_than_its_instant(year: Path, tmp_path: Path) -> None:
    declared = getattr(models.late_arrival, ATTRIBUTE)
    chosen = resolved_set(declared.features, year)
    hour = datetime(2013, 7, 22, 18, tzinfo=UTC)
    rows = pl.read_parquet(year / "data" / "flights.parquet").filter(pl.col("scheduled_hour") == hour)
    asked = rows.select("origin", "tailnum", as_of=pl.lit(hour) - pl.duration(hours=2))
    (tmp_path / "data").mkdir()
    for name, known in VIEWS:
        frame = pl.read_parquet(year / "data" / f"{name}.parquet")
        frame.filter(pl.col(known) <= pl.lit(hour) - pl.duration(hours=2)).write_parquet(tmp_path / "data" / f"{name}.parquet")
    whole, known_then = (training_rows(chosen, asked, "as_of", {view.name: root for view in chosen.views}) for root in (year, tmp_path))
    assert whole.frame.height > 20
    assert whole.frame["dep_delay_count_2h"].null_count() == 0
    assert whole.digest == known_then.digest


def test_what_a_stopped_feed_missed_comes_back_late(tmp_path: Path) -> None:
    hours = [datetime(2013, 8, 19, hour, tzinfo=UTC) for hour in range(24)]
    whole = pl.DataFrame(
        {"departed_at": hours, "recorded_at": hours}, schema_overrides=dict.fromkeys(("departed_at", "recorded_at"), UTC_US)
    )
    path, stops, mended = tmp_path / "departures.parquet", hours[8], hours[20]
    whole.write_parquet(path)
    lost(path, instant(stops))
    assert pl.read_parquet(path)["departed_at"].to_list() == hours[:8]
    recovered(path, whole, instant(stops), instant(mended))
    found = pl.read_parquet(path)
    assert found["departed_at"].to_list() == hours
    assert found["recorded_at"].to_list() == [*hours[:8], *[mended] * 12, *hours[20:]]


def test_every_zone_that_the_package_leaves_out_is_known(year: Path) -> None:
    flights = pl.read_parquet(year / "data" / "flights.parquet")
    assert flights.filter(pl.col("dest").is_in(list(ZONES)))["landed_at"].null_count() < flights.height // 1000
