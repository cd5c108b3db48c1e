"""Times window aggregations for label rows at once: six windows of four functions. Prints one JSON object.

    python bench/windows.py [--size 10m] [--data FOLDER] [--duckdb PYTHON]

The data are those of `bench/features.py`: events of 100,000 entities over 90 days. Beside it stands the plain as-of join of the same
rows, from the raw files, from history as it is stored, and from rows in memory. The peer is DuckDB's range join, which knows no creation cut-off, run by
the interpreter `--duckdb` (this one, if it has DuckDB), each measurement in a process of its own.
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


def measured(name: str, folder: Path) -> dict[str, Any]:
    """One measurement: seconds, peak memory, rows and columns of the answer."""
    import polars as pl
    from features import JOINED, peak_gib

    from modelyard.features.aggregates import aggregates_at, tape
    from modelyard.features.domain import Aggregate, Entity, FeatureSet, FeatureView, Parquet
    from modelyard.features.join import Questions, timeline, values_at
    from modelyard.features.offline import instants_of, offline_values
    from modelyard.features.rows import CREATED, EVENT
    from modelyard.features.stored import Histories
    from modelyard.storage.tables import Tables

    def windows(functions: tuple[str, ...]) -> FeatureView:
        source = Parquet("features.parquet", "event_timestamp", "created")
        item = Aggregate("f1", functions, dtype="float64")
        return FeatureView("w", Entity("entity_id", dtype="int64"), source, aggregate=[item], windows=LENGTHS)

    labels = pl.read_parquet(folder / "labels.parquet")
    at = instants_of(labels, "event_timestamp")
    told: dict[str, Any] = {}
    work: Callable[[], pl.DataFrame]
    kind, _, chosen = name.partition(":")
    view = windows(tuple(chosen.split(",")) if chosen else FUNCTIONS)
    if kind == "files":
        work = lambda: offline_values(FeatureSet("s", [view]), labels, at, {"w": folder})[0]  # noqa: E731
    elif kind == "join_files":
        work = lambda: offline_values(FeatureSet("s", [JOINED]), labels, at, {"f": folder})[0]  # noqa: E731
    elif kind in ("stored", "join_stored"):
        chosen_view = view if kind == "stored" else JOINED
        histories = Histories(Tables.open(f"file://{folder / 'stored'}"))
        begun = time.perf_counter()
        histories.ready(chosen_view, folder)
        told["ingest_seconds"] = round(time.perf_counter() - begun, 2)
        asked = Questions.of(labels.select("entity_id"), at)
        work = lambda: histories.answered(chosen_view, list(chosen_view.names), asked, folder)[0]  # noqa: E731
    else:
        rows = pl.read_parquet(folder / "features.parquet")
        event, created = (pl.col(one).to_physical() for one in ("event_timestamp", "created"))
        rows = rows.select("entity_id", event.alias(EVENT), created.alias(CREATED), "f1").rechunk()
        begun = time.perf_counter()
        if kind == "memory":
            made = tape(rows, view)
            work = lambda: aggregates_at(made, view.outputs, Questions.of(labels, at))  # noqa: E731
        else:
            line = timeline(rows, JOINED, lambda places: rows.select("f1")[places])
            work = lambda: values_at(line, rows.select("f1"), Questions.of(labels, at), JOINED.ttl_us)  # noqa: E731
        told["layout_seconds"] = round(time.perf_counter() - begun, 2)
    begun = time.perf_counter()
    frame = work()
    return told | {"seconds": round(time.perf_counter() - begun, 2), "peak_gib": peak_gib(), "rows": frame.height, "columns": frame.width}


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
    from features import SIZES, make_join_data

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
