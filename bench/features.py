"""Times the feature store: point-in-time join, window aggregations, materialization, online reads, on-demand features.

Prints one JSON object.

    python bench/features.py [--sizes 1m,10m,50m] [--data FOLDER] [--only NAME,...] [--peers] [--feast PYTHON] [--limit-gib 3]

The data are those of the join's peers: 100,000 entities, 5 features, 90 days, ties, late creations, a ttl of 7 days.
`--peers` adds plain Polars and, where it is installed, DuckDB, on the same files and in the same run; `--feast` is an
interpreter that has Feast. `--limit-gib` has every bench of a join killed that takes more memory, where control groups allow it.
"""

import argparse
import importlib.util
import json
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from limits import limited

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import FixedClock, Instant, instant
from modelyard.core.digests import digest_of
from modelyard.features import service
from modelyard.features.domain import Entity, Feature, FeatureSet, FeatureView, OnDemand, Parquet
from modelyard.features.history import History
from modelyard.features.join import Questions, timeline, values_at
from modelyard.features.layout import ENTITY, mark_key, prefix
from modelyard.features.materialization import carry_out, planned
from modelyard.features.offline import instants_of, offline_values
from modelyard.features.on_demand import computation
from modelyard.features.online import OnlineReader
from modelyard.features.parity import proved
from modelyard.features.rows import CREATED, EVENT
from modelyard.features.stored import Histories
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from modelyard.storage.schema import METADATA
from modelyard.storage.tables import Tables

START = datetime(2025, 1, 1, tzinfo=UTC)
DAY = 86_400_000_000
SIZES = {"1m": (1_000_000, 100_000), "10m": (10_000_000, 1_000_000), "50m": (50_000_000, 5_000_000)}
NAMES = [f"f{index}" for index in range(1, 6)]
JOINED = FeatureView(
    "f", Entity("entity_id", dtype="int64"), Parquet("features.parquet", "event_timestamp", "created"),
    features=dict.fromkeys(NAMES, "float64"), ttl="7d",
)  # fmt: skip
WINDOWED = FeatureView(
    "w", Entity("entity_id", dtype="int64"), Parquet("features.parquet", "event_timestamp", "created"),
    aggregate={"f1": ["mean", "count"], "f2": ["mean", "count"]}, windows=["1h", "1d", "7d"],
)  # fmt: skip


def make_join_data(folder: Path, features: int, labels: int, *, entities: int = 100_000, days: int = 90) -> None:
    """Writes `features.parquet` in the order of an append log, 2% of its rows ties, and `labels.parquet`."""
    random = np.random.default_rng(7)
    at = np.sort(random.integers(0, days * DAY, features)) // 1000 * 1000 + instant(START)
    who = random.integers(0, entities, features)
    created = at + random.integers(1, 600_000_000, features)
    twin = np.flatnonzero(random.random(features) < 0.02)
    twin = twin[twin > 0]
    at[twin], who[twin] = at[twin - 1], who[twin - 1]
    moment = pl.Datetime("us", "UTC")
    columns = {"entity_id": who, "event_timestamp": pl.Series(at).cast(moment), "created": pl.Series(created).cast(moment)}
    pl.DataFrame(columns | {name: random.standard_normal(features) for name in NAMES}).write_parquet(folder / "features.parquet")
    asked = pl.Series(random.integers(0, days * DAY, labels) + instant(START)).cast(moment)
    names = random.integers(0, entities + entities // 100, labels)
    pl.DataFrame({"entity_id": names, "event_timestamp": asked}).write_parquet(folder / "labels.parquet")


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that `work` took, and what it answered."""
    begun = time.perf_counter()
    answer = work()
    return time.perf_counter() - begun, answer


def peak_gib() -> float:
    """The most memory that this process has held."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


def ingest_history(folder: Path) -> dict[str, Any]:
    """The raw files laid out as a stored history, which the joins from history read."""
    shutil.rmtree(folder / "tables", ignore_errors=True)
    seconds, found = timed(lambda: _histories(folder).ready(JOINED, folder))
    size = sum(path.stat().st_size for path in (folder / "tables").rglob("*.parquet"))
    return {"seconds": round(seconds, 2), "peak_gib": peak_gib(), "rows": found.laid.rows, "gib": round(size / 2**30, 2)}


def join_from_history(folder: Path) -> dict[str, Any]:
    """The join from the stored history, as every join but the first is done."""
    labels = pl.read_parquet(folder / "labels.parquet")
    wanted, at = FeatureSet("s", [JOINED]), instants_of(labels, "event_timestamp")
    seconds, (frame, uses) = timed(lambda: offline_values(wanted, labels, at, {"f": folder}, histories=_histories(folder)))
    return {"seconds": round(seconds, 2), "peak_gib": peak_gib(), "rows": frame.height, "history": uses[0].history}


def _histories(folder: Path) -> Histories:
    return Histories(Tables.open(f"file://{folder.absolute()}/tables"))


def join_from_files(folder: Path) -> dict[str, Any]:
    """The first join in total: from the raw files, laid out on the way, within the memory that is given by default."""
    labels = pl.read_parquet(folder / "labels.parquet")
    seconds, (frame, _) = timed(
        lambda: offline_values(FeatureSet("s", [JOINED]), labels, instants_of(labels, "event_timestamp"), {"f": folder})
    )
    return {"seconds": round(seconds, 2), "peak_gib": peak_gib(), "rows": frame.height}


def join_from_timeline(folder: Path) -> dict[str, Any]:
    """The join from the rows laid out by entity and availability, and how long that layout takes."""
    labels, rows = pl.read_parquet(folder / "labels.parquet"), _normalised(folder)
    laid_out, line = timed(lambda: timeline(rows, JOINED))
    at = instants_of(labels, "event_timestamp")
    seconds, frame = timed(lambda: values_at(line, rows.select(NAMES), Questions.of(labels, at), JOINED.ttl_us))
    return {"layout_seconds": round(laid_out, 2), "seconds": round(seconds, 2), "peak_gib": peak_gib(), "rows": frame.height}


def windows_from_files(folder: Path) -> dict[str, Any]:
    """Twelve windowed aggregations for the same label rows, from the raw files."""
    labels = pl.read_parquet(folder / "labels.parquet")
    seconds, (frame, _) = timed(
        lambda: offline_values(FeatureSet("s", [WINDOWED]), labels, instants_of(labels, "event_timestamp"), {"w": folder})
    )
    return {"seconds": round(seconds, 2), "peak_gib": peak_gib(), "rows": frame.height, "columns": frame.width}


def join_by_polars(folder: Path) -> dict[str, Any]:
    """A peer: Polars' as-of join on event time, ties by creation, the cut-off on creation ignored."""
    features, labels = pl.scan_parquet(folder / "features.parquet"), pl.scan_parquet(folder / "labels.parquet")
    right = features.sort("event_timestamp", "created").drop("created")
    query = labels.sort("event_timestamp").join_asof(
        right, on="event_timestamp", by="entity_id", strategy="backward", tolerance="7d", check_sortedness=False
    )
    seconds, frame = timed(query.collect)
    return {"seconds": round(seconds, 2), "peak_gib": peak_gib(), "rows": frame.height, "ignores": "creation cut-off"}


def join_by_duckdb(folder: Path) -> dict[str, Any]:
    """A peer: DuckDB's as-of join on event time after ties were removed by creation; the cut-off on creation ignored."""
    duckdb = importlib.import_module("duckdb")
    picked = ", ".join(f"CASE WHEN l.event_timestamp - f.event_timestamp <= INTERVAL 7 DAY THEN f.{name} END AS {name}" for name in NAMES)
    query = f"""SELECT l.*, {picked} FROM read_parquet('{folder}/labels.parquet') l ASOF LEFT JOIN
        (SELECT * FROM read_parquet('{folder}/features.parquet')
         QUALIFY row_number() OVER (PARTITION BY entity_id, event_timestamp ORDER BY created DESC) = 1) f
        ON l.entity_id = f.entity_id AND l.event_timestamp >= f.event_timestamp"""
    connection = duckdb.connect()
    seconds, frame = timed(lambda: connection.execute(query).to_arrow_table())
    return {"seconds": round(seconds, 2), "peak_gib": peak_gib(), "rows": frame.num_rows, "ignores": "creation cut-off"}


def _normalised(folder: Path) -> pl.DataFrame:
    rows = pl.read_parquet(folder / "features.parquet")
    event, created = (pl.col(name).to_physical() for name in ("event_timestamp", "created"))
    return rows.select("entity_id", event.alias(EVENT), created.alias(CREATED), *NAMES).rechunk()


def percentiles(work: Callable[[Any], Any], items: Iterable[Any]) -> dict[str, float]:
    """The median and the 99th percentile of `work` on each of the items in microseconds, the first two hundred for warming.

    An item may be made just before its turn, as a request's rows are.
    """
    taken = []
    for item in items:
        begun = time.perf_counter_ns()
        work(item)
        taken.append((time.perf_counter_ns() - begun) / 1000)
    found = np.percentile(taken[200:], [50, 99])
    return {"p50_us": round(float(found[0]), 1), "p99_us": round(float(found[1]), 1)}


def online_reads(folder: Path) -> dict[str, Any]:
    """Materializes 100,000 entities with 10 features and 3 busy ones with windows, then reads them."""
    random = np.random.default_rng(3)
    names = [f"g{index}" for index in range(10)]
    source = Parquet("rows.parquet", "at")
    plain = FeatureView("plain", Entity("entity_id", dtype="int64"), source, features=dict.fromkeys(names, "float64"), ttl="7d")
    busy = FeatureView("busy", Entity("origin"), source, aggregate={"delay": ["mean", "count"]}, windows=["1h", "7d"])
    now = Instant(instant(START) + 30 * DAY)
    rows = pl.DataFrame({"entity_id": np.arange(100_000), EVENT: np.full(100_000, now - 1000), CREATED: np.full(100_000, now - 1000)})
    rows = rows.with_columns(pl.Series(name, random.standard_normal(100_000)) for name in names)
    events = np.sort(random.integers(now - 30 * DAY, now, 30_000))
    flown = {
        "origin": random.choice(["EWR", "JFK", "LGA"], 30_000),
        EVENT: events,
        CREATED: events,
        "delay": random.integers(-20, 200, 30_000),
    }
    histories = {view.name: History(view, frame, digest_of(view.name)) for view, frame in ((plain, rows), (busy, pl.DataFrame(flown)))}
    store = LmdbStore.open(folder / "online", durable=False)
    seconds = {}
    for name, history in histories.items():
        seconds[name], _ = timed(partial(_bring, history, store, now))
    answer = {"materialize_100k_x_10_s": round(seconds["plain"], 2)} | _reads(store, plain, busy, now)
    store.close()
    return answer


def _reads(store: LmdbStore, plain: FeatureView, busy: FeatureView, now: Instant) -> dict[str, Any]:
    random = np.random.default_rng(4)
    one, whole = OnlineReader(FeatureSet("one", [plain])), OnlineReader(FeatureSet("both", [plain, busy]))
    windows = OnlineReader(FeatureSet("windows", [busy]))
    mark, start = mark_key(plain.digest), prefix(plain.digest) + ENTITY
    keys = random.integers(0, 100_000, (10_000, 100)).tolist()
    origins = ("EWR", "JFK", "LGA")
    return {
        "one_entity_10_features": percentiles(lambda row: one.read_row(store, row, now), ({"entity_id": some[0]} for some in keys)),
        "the_store_alone": percentiles(store.get_many, ([mark, start + struct.pack(">q", some[0])] for some in keys)),
        "100_entities_10_features": percentiles(
            lambda rows: one.read(store, rows, now), ([{"entity_id": key} for key in some] for some in keys[:2_200])
        ),
        "one_entity_4_window_features": percentiles(
            lambda n: windows.read_row(store, {"origin": origins[n % 3]}, Instant(now + n)), range(20_000)
        ),
        "50_rows_both_views": percentiles(
            lambda rows: whole.read(store, rows, now),
            ([{"entity_id": key, "origin": origins[key % 3]} for key in some[:50]] for some in keys[:2_200]),
        ),
    }


def on_demand(folder: Path) -> dict[str, Any]:
    """A ratio of two features, held away from zero: one row and fifty as the gateway computes them, and a million as training does."""
    ratio = OnDemand(
        "ratio",
        (Feature("short", "float64"), Feature("long", "float64")),
        "float64",
        "def ratio(short, long): return short / np.maximum(long, 1.0)",
    )
    ready, random = computation(ratio), np.random.default_rng(9)
    cells = random.standard_normal((2, 10_000)).tolist()
    pairs = list(zip(*cells, strict=True))
    parts = [[column[first : first + 50] for column in cells] for first in range(0, 10_000, 50)]
    million = {name: pl.Series(random.standard_normal(1_000_000)) for name in ratio.dtypes}
    seconds = sorted(timed(lambda: ready.series(million, 1_000_000))[0] for _ in range(7))
    return {
        "one_row": percentiles(ready.value, pairs),
        "50_rows": percentiles(lambda columns: ready.values(columns, 50), parts * 20),
        "1m_rows_ms": round(seconds[3] * 1000, 1),
        "proof_ms": round(timed(lambda: proved(ratio))[0] * 1000, 1),
        "plain_python_one_row": percentiles(lambda pair: pair[0] / max(pair[1], 1.0), pairs),
    }


def _bring(history: History, store: LmdbStore, upto_at: Instant) -> None:
    carry_out(store, [planned(history, store, upto_at)])


def replay(folder: Path) -> dict[str, Any]:
    """Materializes three views hour by hour, as a replay does, through the service: database, ledger entry and all."""
    random, moment = np.random.default_rng(5), pl.Datetime("us", "UTC")
    begun = instant(START)
    events = np.sort(random.integers(begun, begun + 365 * DAY, 330_000))
    flights = {"origin": random.choice(["EWR", "JFK", "LGA"], 330_000), "tailnum": random.integers(0, 4000, 330_000).astype(str)}
    frame = pl.DataFrame(flights | {"at": pl.Series(events).cast(moment), "delay": random.integers(-20, 200, 330_000)})
    frame.write_parquet(folder / "flights.parquet")
    hours = pl.Series(np.repeat(begun + np.arange(8760) * 3_600_000_000, 3)).cast(moment)
    weather = pl.DataFrame({"origin": ["EWR", "JFK", "LGA"] * 8760, "at": hours, "wind": random.random(26_280)})
    weather.write_parquet(folder / "weather.parquet")
    source, airport = Parquet("flights.parquet", "at"), Entity("origin")
    views = [
        FeatureView("weather", airport, Parquet("weather.parquet", "at"), features=["wind"], ttl="3h"),
        FeatureView("airports", airport, source, aggregate={"delay": ["mean", "count"]}, windows=["1h", "7d"]),
        FeatureView("planes", Entity("tailnum"), source, aggregate={"delay": ["mean", "count"]}, windows=["1d", "30d"]),
    ]
    clock = FixedClock(begun)
    database, store = _database(folder, clock), LmdbStore.open(folder / "replay", durable=False)
    service.apply_features(database, SYSTEM, [FeatureSet("s", views)], folder)
    service.materialize(database, store, SYSTEM)
    taken = []
    for _ in range(24 * 30):
        clock.advance(3600)
        taken.append(timed(lambda: service.materialize(database, store, SYSTEM))[0] * 1000)
    store.close()
    database.close()
    return {"hours": len(taken), "p50_ms": round(float(np.median(taken)), 2), "p99_ms": round(float(np.percentile(taken, 99)), 2)}


def _database(folder: Path, clock: FixedClock) -> Database:
    database = Database.open(f"sqlite:///{folder}/bench.db", clock)
    METADATA.create_all(database.engine)
    return database


JOINS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "ingest_history": ingest_history,
    "join_from_history": join_from_history,
    "join_from_files": join_from_files,
    "join_from_timeline": join_from_timeline,
    "windows_from_files": windows_from_files,
}
OTHERS: dict[str, Callable[[Path], dict[str, Any]]] = {"online_reads": online_reads, "on_demand": on_demand, "replay": replay}
PEERS: dict[str, Callable[[Path], dict[str, Any]]] = {"polars_asof": join_by_polars, "duckdb_asof": join_by_duckdb}


def run_alone(command: Sequence[str], limit_gib: float | None = None) -> dict[str, Any]:
    """One bench in a process of its own, so that its peak of memory is its own."""
    with limited(limit_gib) as before:
        done = subprocess.run([*before, *command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {"failed": done.stderr[-400:] or f"ended with {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def joins(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The benches of joins of one size, peers included where they are asked for."""
    peers = [name for name in PEERS if given.peers and (name != "duckdb_asof" or importlib.util.find_spec("duckdb"))]
    commands = {name: [sys.executable, __file__, "--one", name, "--data", str(folder)] for name in (*JOINS, *peers)}
    if given.feast:
        commands["feast_duckdb"] = [given.feast, str(Path(__file__).with_name("feast_join.py")), str(folder)]
    chosen = given.only.split(",") if given.only else list(commands)
    return {name: run_alone(command, given.limit_gib) for name, command in commands.items() if name in chosen}


def main() -> None:
    """Runs all benches, or some."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1m,10m")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--feast")
    parser.add_argument("--limit-gib", type=float)
    parser.add_argument("--one")
    given = parser.parse_args()
    if given.one:
        print(json.dumps((JOINS | OTHERS | PEERS)[given.one](given.data)))
        return
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for size in given.sizes.split(","):
            folder = (given.data or Path(scratch)) / size
            if not (folder / "labels.parquet").exists():
                folder.mkdir(parents=True, exist_ok=True)
                make_join_data(folder, *SIZES[size])
            found |= {f"{name}_{size}": answer for name, answer in joins(given, folder).items()}
        for name in OTHERS if given.only is None else set(OTHERS) & set(given.only.split(",")):
            folder = Path(scratch) / name
            folder.mkdir()
            found[name] = run_alone([sys.executable, __file__, "--one", name, "--data", str(folder)])
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
