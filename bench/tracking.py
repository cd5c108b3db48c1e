"""Times tracking over HTTP: logging, runs, search, history, models, start, memory. Prints one JSON object.

    python bench/tracking.py [--seconds 4] [--runs 10000] [--points 100000] [--models 1000] [--postgresql] [--peers] [--url URL]

The same load goes to `yard up` with all its roles and, with `--peers` and where it is installed, to `mlflow server` with its
defaults, one after the other on the same machine; `ratios` compares them. `--postgresql` has `yard up` on a PostgreSQL that
syncs each commit, too. The client acknowledges each packet at once, so that no server is charged for a delayed
acknowledgement. `--url` measures a server that runs already, and nothing else.
"""

import argparse
import asyncio
import functools
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from load import Client, Connection, Json, filled, loaded, repeated
from servers import Server, durable_postgresql, idle_memory, mlflow_binary, mlflow_server, yard_up

API = "/api/2.0/mlflow"
CONNECTIONS = (1, 16)
FILLERS = 8
VERSIONS = 3
STARTS = 3
Start = Callable[[Path], AbstractContextManager[Server]]


def now() -> int:
    """Milliseconds, as clients send them."""
    return time.time_ns() // 1_000_000


async def measured(url: str, asked: argparse.Namespace) -> Json:
    """All figures of one server."""
    client = Client(url, API)
    experiment = await new_experiment(client, "load")
    runs = [await new_run(client, experiment) for _ in range(16)]
    return {
        **await logged(client, experiment, runs, asked.seconds),
        "search_runs": await searched(client, asked.runs),
        "history": await remembered(client, runs[0], asked.points),
        "search_models": await catalogued(client, runs[0], asked.models),
    }


async def logged(client: Client, experiment: str, runs: list[str], seconds: float) -> Json:
    """Metrics one by one, in batches of 100, and new runs: on one connection and on sixteen."""
    values = random.Random(7)

    def metric(n: int) -> bytes:
        body = {"run_id": runs[n % 16], "key": "loss", "value": values.random(), "timestamp": now(), "step": n}
        return client.request("POST", "/runs/log-metric", body)

    def batch(n: int) -> bytes:
        at = now()
        metrics = [{"key": f"b{k % 10}", "value": values.random(), "timestamp": at, "step": n * 10 + k // 10} for k in range(100)]
        return client.request("POST", "/runs/log-batch", {"run_id": runs[n % 16], "metrics": metrics})

    def create(n: int) -> bytes:
        body = {"experiment_id": experiment, "run_name": f"r{n}", "start_time": now(), "tags": [{"key": "mlflow.user", "value": "u"}]}
        return client.request("POST", "/runs/create", body)

    result: Json = {}
    for word, make, items in (("log_metric", metric, 1), ("log_batch_100", batch, 100), ("create_run", create, 1)):
        for connections in CONNECTIONS:
            figures = await loaded(client, connections, make, seconds)
            result[f"{word}_{connections}"] = figures | ({"metrics_per_s": round(figures["per_s"] * items)} if items > 1 else {})
    return result


async def new_experiment(client: Client, word: str) -> str:
    """The id of a new experiment."""
    return str((await client.call("POST", "/experiments/create", {"name": f"{word}-{random.randrange(10**12)}"}))["experiment_id"])


async def new_run(client: Client, experiment: str, over: Connection | None = None) -> str:
    """The id of a new run."""
    made = await client.call("POST", "/runs/create", {"experiment_id": experiment, "start_time": now()}, over=over)
    return str(made["run"]["info"]["run_id"])


async def searched(client: Client, count: int) -> Json:
    """A search with a filter and an order over so many runs of 10 metrics and 5 params, 100 answers a page."""
    experiment = await new_experiment(client, "search")

    async def made(over: Connection, n: int) -> None:
        run = await new_run(client, experiment, over)
        params = [{"key": f"p{k}", "value": "xyzw"[(n + k) % 4] if k == 1 else str(n * k)} for k in range(5)]
        values = random.Random(n)
        metrics = [{"key": f"m{k}", "value": values.random(), "timestamp": now(), "step": 0} for k in range(10)]
        await client.call("POST", "/runs/log-batch", {"run_id": run, "metrics": metrics, "params": params}, over=over)

    seconds = await filled(client, FILLERS, count, made)
    body = {
        "experiment_ids": [experiment],
        "filter": "metrics.m3 > 0.9 and params.p1 = 'x'",
        "order_by": ["metrics.m3 DESC"],
        "max_results": 100,
    }
    found = len((await client.call("POST", "/runs/search", body)).get("runs", []))
    figures = await repeated(client, client.request("POST", "/runs/search", body), 30)
    return {"runs": count, "found": found, "filled_s": seconds, **figures}


async def remembered(client: Client, run: str, count: int) -> Json:
    """The whole history of a metric with so many points, logged by thousands."""
    values = random.Random(5)
    for start in range(0, count, 1000):
        metrics = [{"key": "h", "value": values.random(), "timestamp": start + k, "step": start + k} for k in range(1000)]
        await client.call("POST", "/runs/log-batch", {"run_id": run, "metrics": metrics})
    path = f"/metrics/get-history?run_id={run}&metric_key=h"
    found = len((await client.call("GET", path))["metrics"])
    return {"points": found, **await repeated(client, client.request("GET", path), 5)}


async def catalogued(client: Client, run: str, count: int) -> Json:
    """A page of so many registered models, with three versions each."""
    word = f"m-{random.randrange(10**9)}"

    async def made(over: Connection, n: int) -> None:
        name = f"{word}-{n:04d}"
        await client.call("POST", "/registered-models/create", {"name": name, "tags": [{"key": "t", "value": "v"}]}, over=over)
        for _ in range(VERSIONS):
            version = {"name": name, "source": "s3://bucket/model", "run_id": run}
            await client.call("POST", "/model-versions/create", version, over=over)

    seconds = await filled(client, FILLERS, count, made)
    path = f"/registered-models/search?max_results={count}"
    found = len((await client.call("GET", path)).get("registered_models", []))
    return {"models": found, "filled_s": seconds, **await repeated(client, client.request("GET", path), 10)}


def measured_server(start: Start, asked: argparse.Namespace) -> Json:
    """All figures of a server that is started for it, three times on a new folder; the last of them is loaded."""
    seconds = []
    for n in range(STARTS):
        with tempfile.TemporaryDirectory() as folder, start(Path(folder)) as server:
            seconds.append(server.start_s)
            if n == STARTS - 1:
                memory, figures = idle_memory(server), asyncio.run(measured(server.url, asked))
    return {"start_s": statistics.median(seconds), "starts_s": seconds, "memory": memory, **figures}


def ratios(ours: Json, theirs: Json) -> Json:
    """How many times better ours is: rates as ours by theirs, times as theirs by ours."""
    result: Json = {}
    for name, figures in ours.items():
        if isinstance(figures, dict) and "per_s" in figures and theirs[name]["per_s"]:
            result[name] = round(figures["per_s"] / theirs[name]["per_s"], 1)
        elif isinstance(figures, dict) and "p50_ms" in figures:
            result[name] = round(theirs[name]["p50_ms"] / figures["p50_ms"], 1)
    return result | {
        "start": round(theirs["start_s"] / ours["start_s"], 1),
        "memory": round(theirs["memory"]["pss_mib"] / ours["memory"]["pss_mib"], 1),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--models", type=int, default=1_000)
    parser.add_argument("--postgresql", action="store_true", help="yard up on PostgreSQL, too")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--url", default="", help="measure this server instead of starting one")
    asked = parser.parse_args()
    if asked.url:
        print(json.dumps(asyncio.run(measured(asked.url, asked)), indent=1))
        return
    result: Json = {}
    result["modelyard"] = measured_server(yard_up, asked)
    if asked.postgresql:
        with durable_postgresql() as server:
            result["modelyard_postgresql"] = measured_server(lambda folder: yard_up(folder, server.create(folder.name)), asked)
    if asked.peers and mlflow_binary():
        result["mlflow"] = measured_server(mlflow_server, asked)
        compared = functools.partial(ratios, theirs=result["mlflow"])
        result["ratios"] = {name: compared(figures) for name, figures in result.items() if name != "mlflow"}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
