"""Features over HTTP by the real gateway: requests a second and latencies, for one entity and a hundred, one connection and sixteen.

Run: python bench/online.py [--seconds S] [--feast PYTHON]. The gateway runs as a process of its own over 100,000 entities with ten
features in LMDB. wrk asks for entities at random where it is installed, else a client in Python asks for the same ones again and
again, both from the same cores; how much of them the client takes is told.
`--feast` names the interpreter of an environment with Feast: its server then answers the same questions in the same run.
"""

import argparse
import asyncio
import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import lightgbm
import msgspec
import numpy as np
import polars as pl
from serving import Asked, assigned, by_asyncio, cpu_s, free_port, wait_for

from modelyard.core.clock import Instant, SystemClock
from modelyard.core.digests import digest_of
from modelyard.features.domain import Entity, FeatureSet, FeatureView, Parquet
from modelyard.features.history import History
from modelyard.features.materialization import carry_out, planned
from modelyard.features.rows import CREATED, EVENT
from modelyard.registry.domain import Column, Signature
from modelyard.storage.online import LmdbStore

ENTITIES = 100_000
FEATURES = tuple(f"f{number}" for number in range(1, 11))
VIEW = FeatureView(
    "fv",
    Entity("entity_id", dtype="int64"),
    Parquet("on.parquet", "event_timestamp"),
    features=dict.fromkeys(FEATURES, "float64"),
    ttl="30d",
)
SIZES = ((1, 1), (1, 16), (100, 1), (100, 16))
SCRIPT = """
math.randomseed(7)
request = function()
  local e = {} for i = 1, %(count)s do e[i] = '%(before)s' .. math.random(0, 99999) .. '%(after)s' end
  return wrk.format("POST", nil, {["Content-Type"] = "application/json"}, '%(head)s' .. table.concat(e, ",") .. '%(tail)s')
end
"""
OURS = {"before": '{"entity_id":', "after": "}", "head": '{"rows":[', "tail": "]}"}
FEASTS = {
    "before": "", "after": "", "tail": "]}}",
    "head": '{"features":[' + ",".join(f'"fv:{name}"' for name in FEATURES) + '],"entities":{"entity_id":[',
}  # fmt: skip
REPOSITORY = f"""
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64
e = Entity(name="entity_id", join_keys=["entity_id"], value_type=ValueType.INT64)
src = FileSource(name="src", path="on.parquet", timestamp_field="event_timestamp")
fv = FeatureView(name="fv", entities=[e], ttl=timedelta(days=30), source=src, online=True,
                 schema=[Field(name=name, dtype=Float64) for name in {FEATURES!r}])
"""
SETTINGS = (
    "project: p\nprovider: local\nregistry: reg.db\nonline_store:\n  type: sqlite\n  path: on.db\nentity_key_serialization_version: 3\n"
)


def rows(at: Instant) -> pl.DataFrame:
    """The entities' values, of an hour before `at`."""
    random = np.random.default_rng(3)
    values = {name: random.standard_normal(ENTITIES) for name in FEATURES}
    return pl.DataFrame({"entity_id": np.arange(ENTITIES), EVENT: np.full(ENTITIES, at - 3_600_000_000)} | values)


def prepared(folder: Path) -> None:
    """Brings the entities online, and writes the assignment of a gateway whose model reads them."""
    at = SystemClock().now()
    store = LmdbStore.open(folder / "online")
    carry_out(store, [planned(History(VIEW, rows(at).with_columns(pl.col(EVENT).alias(CREATED)), digest_of("bench")), store, at)])
    store.close()
    random = np.random.default_rng(7)
    data = lightgbm.Dataset(random.normal(size=(500, 10)), random.integers(0, 2, 500))
    model = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 3)
    signature = Signature(inputs=tuple(Column(name=name, dtype="float64") for name in FEATURES))
    assigned(folder, model, signature, FeatureSet("bench", [VIEW]))


@contextlib.contextmanager
def gateway(folder: Path) -> Iterator[tuple[int, int]]:
    """Our gateway: its process and its port."""
    prepared(folder)
    command = [sys.executable, str(Path(__file__).with_name("serving.py")), "--serve", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        port = int((process.stdout or sys.exit("no output")).readline())
        time.sleep(2)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def feast_server(folder: Path, python: str) -> Iterator[tuple[int, int]]:
    """Feast's feature server over its SQLite store, with one worker that it does not restart: its process and its port."""
    at = SystemClock().now()
    rows(at).with_columns(pl.from_epoch(EVENT, "us").dt.replace_time_zone("UTC").alias("event_timestamp")).drop(EVENT).write_parquet(
        folder / "on.parquet"
    )
    (folder / "feature_store.yaml").write_text(SETTINGS)
    (folder / "defs.py").write_text(REPOSITORY)
    feast, port = Path(python).with_name("feast"), free_port()
    until = datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="seconds")
    for words in (["apply"], ["materialize-incremental", until]):
        subprocess.run([feast, *words], cwd=folder, check=True, capture_output=True)
    served = [feast, "serve", "-h", "127.0.0.1", "-p", str(port), "--no-access-log", "--max-requests", "0"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(served, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(port, 120)
        yield process.pid, port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def asked(url: str, words: dict[str, str], connections: int, seconds: int, folder: Path) -> dict[str, Any]:
    """What the client measures, and the share of all cores that it takes itself meanwhile."""
    used = _client_s()
    by = _by_wrk if shutil.which("wrk") else _by_asyncio
    found = by(url, words, connections, seconds, folder)
    share = (_client_s() - used) / seconds / (os.cpu_count() or 1)
    return {name: round(value, 2) for name, value in found.items()} | {"client_share_of_cores": round(share, 2)}


def _client_s() -> float:
    times = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in times)


def _by_wrk(url: str, words: dict[str, str], connections: int, seconds: int, folder: Path) -> dict[str, float]:
    script = folder / "post.lua"
    script.write_text(SCRIPT % words)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out:
        raise SystemExit(f"requests were refused:\n{out}")
    units = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    found = {name: re.search(rf"{name}%\s+([\d.]+)(us|ms|s)", out) for name in ("50", "99")}
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    latencies = {f"p{name}_ms": float(match[1]) * units[match[2]] for name, match in found.items() if match}
    return {"requests_per_s": float(rate[1]) if rate else 0.0, **latencies}


def _by_asyncio(url: str, words: dict[str, str], connections: int, seconds: int, folder: Path) -> dict[str, float]:
    """The same entities in each request; the client takes much of a core."""
    parts = urlsplit(url)
    chosen = np.random.default_rng(7).integers(0, ENTITIES, int(words["count"])).tolist()
    content = words["head"] + ",".join(f"{words['before']}{entity}{words['after']}" for entity in chosen) + words["tail"]
    return asyncio.run(by_asyncio(Asked(int(parts.port or 80), parts.path, content.encode()), connections, seconds))


def asked_all(pid: int, url: str, words: dict[str, str], seconds: int, folder: Path) -> dict[str, Any]:
    """One entity and a hundred, over one connection and sixteen, after a second of warming."""
    found = {}
    for count, connections in SIZES:
        given = words | {"count": str(count)}
        asked(url, given, connections, 1, folder)
        before = cpu_s(pid)
        one = asked(url, given, connections, seconds, folder)
        one["server_cpu_us_per_request"] = round((cpu_s(pid) - before) * 1e6 / max(1, one["requests_per_s"] * seconds))
        found[f"entities_{count}_connections_{connections}"] = one
        print(url, count, connections, one, file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--feast", help="the interpreter of an environment that has Feast")
    given = parser.parse_args()
    results: dict[str, Any] = {"client": "wrk" if shutil.which("wrk") else "asyncio"}
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as name:
        folder = Path(name)
        with gateway(folder) as (pid, port):
            results["modelyard"] = asked_all(pid, f"http://127.0.0.1:{port}/features/bench", OURS, given.seconds, folder)
    if given.feast:
        with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as name, feast_server(Path(name), given.feast) as (pid, port):
            results["feast"] = asked_all(pid, f"http://127.0.0.1:{port}/get-online-features", FEASTS, given.seconds, Path(name))
        results["ratios"] = {
            size: round(one["requests_per_s"] / results["feast"][size]["requests_per_s"], 1) for size, one in results["modelyard"].items()
        }
    print(msgspec.json.format(msgspec.json.encode(results)).decode())


if __name__ == "__main__":
    main()
