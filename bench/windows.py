"""Times window aggregations for label rows at once: six windows of four functions. Prints one JSON object.

    python bench/windows.py [--size 10m] [--data FOLDER] [--duckdb PYTHON]

The data are those of `bench/features.py`: events of 100,000 entities over 90 days. Beside it stands the plain as-of join of the
same rows, from the raw files, from history as it is stored, and from rows in memory. The peer is DuckDB's range join, which knows
no creation cut-off, run by the interpreter `--duckdb` (this one, if it has DuckDB), each measurement in a process of its own.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from features import JOINED, SIZES, make_join_data, peak_gib

from modelyard.features.aggregates import aggregates_at, tape
from modelyard.features.domain import Aggregate, Entity, FeatureSet, FeatureView, Parquet
from modelyard.features.join import Questions, timeline, values_at
from modelyard.features.offline import instants_of, offline_values
from modelyard.features.rows import CREATED, EVENT
from modelyard.features.stored import Histories
from modelyard.storage.tables import Tables

LENGTHS = ("1h", "6h", "1d", "3d", "7d", "30d")
FUNCTIONS = ("sum", "count", "mean", "max")
OTHERS = ("min", "std", "first", "last", "distinct", "p90")

PEER = """
import json, resource, sys, time
import duckdb
folder, lengths = sys.argv[1], sys.argv[2].split(",")
units = {"h": "HOUR", "d": "DAY"}
columns = []
for one in lengths:
    held = f"f.event_timestamp > l.event_timestamp - INTERVAL {one[:-1]} {units[one[-1]]}"
    columns += [f"{name}(f.f1) FILTER (WHERE {held})" for name in ("sum", "count", "avg", "max")]
query = f'''SELECT l.place, {", ".join(columns)}
    FROM (SELECT row_number() OVER () AS place, * FROM read_parquet('{folder}/labels.parquet')) l
    LEFT JOIN read_parquet('{folder}/features.parquet') f ON f.entity_id = l.entity_id
        AND f.event_timestamp <= l.event_timestamp AND f.event_timestamp > l.event_timestamp - INTERVAL 30 DAY
    GROUP BY l.place'''
begun = time.perf_counter()
connection = duckdb.connect()
connection.execute("SET enable_progress_bar = false")
rows = connection.execute(query).to_arrow_table().num_rows
peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
print(json.dumps({"seconds": round(time.perf_counter() - begun, 2), "peak_gib": peak, "rows": rows}))
"""


def windows(functions: tuple[str, ...]) -> FeatureView:
    """A view of some functions of one column over all windows."""
    source = Parquet("features.parquet", "event_timestamp", "created")
    item = Aggregate("f1", functions, dtype="float64")
    return FeatureView("w", Entity("entity_id", dtype="int64"), source, aggregate=[item], windows=LENGTHS)


def measured(name: str, folder: Path) -> dict[str, Any]:
    """One measurement: seconds, peak memory, rows and columns of the answer."""
    labels = pl.read_parquet(folder / "labels.parquet")
    at = instants_of(labels, "event_timestamp")
    kind, _, chosen = name.partition(":")
    view = JOINED if kind.startswith("join_") else windows(tuple(chosen.split(",")) if chosen else FUNCTIONS)
    begun = time.perf_counter()
    work = prepared(kind.removeprefix("join_"), view, labels, (folder, at))
    ready = time.perf_counter()
    frame = work()
    told = {"prepared_seconds": round(ready - begun, 2), "seconds": round(time.perf_counter() - ready, 2), "peak_gib": peak_gib()}
    return told | {"rows": frame.height, "columns": frame.width}


def prepared(kind: str, view: FeatureView, labels: pl.DataFrame, given: tuple[Path, Any]) -> Callable[[], pl.DataFrame]:
    """What is timed, once what comes before it is done: nothing, the ingest into the stored history, or the layout in memory."""
    folder, at = given
    asked = Questions.of(labels.select("entity_id"), at)
    if kind == "files":
        return lambda: offline_values(FeatureSet("s", [view]), labels, at, {view.name: folder})[0]
    if kind == "stored":
        histories = Histories(Tables.open(f"file://{folder / 'stored'}"))
        histories.ready(view, folder)
        return lambda: histories.answered(view, list(view.names), asked, folder)[0]
    rows = pl.read_parquet(folder / "features.parquet")
    event, created = (pl.col(one).to_physical() for one in ("event_timestamp", "created"))
    rows = rows.select("entity_id", event.alias(EVENT), created.alias(CREATED), *view.value_names).rechunk()
    if view.is_aggregation:
        made = tape(rows, view)
        return lambda: aggregates_at(made, view.outputs, asked)
    line = timeline(rows, view)
    return lambda: values_at(line, rows.select(view.value_names), asked, view.ttl_us)


def alone(command: list[str]) -> dict[str, Any]:
    """What a process of its own tells, or why it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"failed": done.stderr[-500:]}
    return found


def main() -> None:
    """Measures all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="10m")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--duckdb", default=sys.executable if importlib.util.find_spec("duckdb") else "")
    parser.add_argument("--each", action="store_true", help="each other function alone, too")
    parser.add_argument("--alone", help="one measurement in this process")
    given = parser.parse_args()
    if given.alone:
        print(json.dumps(measured(given.alone, given.data)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.data or Path(scratch)
        if not (folder / "labels.parquet").exists():
            make_join_data(folder, *SIZES[given.size])
        names = [
            "join_files",
            "files",
            "join_stored",
            "stored",
            "join_memory",
            "memory",
            *([f"memory:{one}" for one in OTHERS] if given.each else []),
        ]
        me = [sys.executable, __file__, "--data", str(folder), "--alone"]
        told = {"size": given.size} | {name: alone([*me, name]) for name in names}
        if given.duckdb:
            told["duckdb"] = alone([given.duckdb, "-c", PEER, str(folder), ",".join(LENGTHS)])
        print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
