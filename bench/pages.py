"""Times the pages of tracking: what the whole server takes to answer each, with many runs and long curves. Prints one JSON object.

    python bench/pages.py [--runs 10000] [--points 100000] [--experiments 1000] [--times 15] [--data FOLDER] [--database URL] [--fill]

One experiment gets so many runs of 10 metrics and 5 params, four of them so many points; the others a run each. Requests are
given to the control plane's app itself, with login, table of access and templates, so no network is measured. With `--data`
the folder is kept, and filled only where it is empty; `--fill` ends there.
"""

import argparse
import asyncio
import functools
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from modelyard.access.domain import EVERY_TEAM, SYSTEM, Role, Scope, TokenOrder
from modelyard.access.service import create_service_account, create_token, first_start
from modelyard.core.clock import SECOND, Instant
from modelyard.core.settings import read_settings
from modelyard.server.app import control_plane
from modelyard.server.installation import Installation, opened
from modelyard.storage.database import Transaction
from modelyard.tracking import service
from modelyard.tracking.domain import Asked, Batch, Dataset, DatasetInput, ExperimentId, Metric, NewRun, RunChange, RunId, RunStatus

Json = dict[str, Any]
NAME = "flights, hyperparameters"
IN_ONE_WRITE = 25
POINTS_A_BATCH = 1000
LONG_RUNS = 4
OPTIMIZERS = ("adam", "adamw", "sgd", "lion")


def filled(installation: Installation, asked: argparse.Namespace) -> None:
    """Makes the experiments, through the services and many runs a transaction."""
    database = installation.database
    found = service.NewExperiment(name=NAME)
    experiment = database.write(lambda tx: service.create_experiment(tx, SYSTEM, found)).id
    begun = database.clock.now() - asked.runs * 30 * SECOND
    for start in range(0, asked.runs, IN_ONE_WRITE):
        places = range(start, min(start + IN_ONE_WRITE, asked.runs))
        database.write(functools.partial(made_runs, experiment=experiment, places=places, begun=begun))
    for start in range(0, asked.experiments, IN_ONE_WRITE):
        database.write(functools.partial(made_experiments, places=range(start, min(start + IN_ONE_WRITE, asked.experiments))))
    with database.read() as snapshot:
        runs = [run.facts.id for run in service.search_runs(snapshot, SYSTEM, (experiment,), Asked(limit=LONG_RUNS)).runs]
    for number, run_id in enumerate(runs):
        long_curve(installation, run_id, asked.points, number)
    service.tick(database)


def made_runs(tx: Transaction, experiment: ExperimentId, places: range, begun: int) -> None:
    """Runs of a search for hyperparameters, their metrics such as those of one."""
    for n in places:
        chance = random.Random(n)
        at = Instant(begun + n * 30 * SECOND)
        rate, depth = 10 ** chance.uniform(-5, -1), chance.choice((2, 4, 6, 8, 10, 12))
        loss = 0.2 + 0.05 * abs(math.log10(rate) + 3) + 0.01 * abs(depth - 8) + chance.gauss(0, 0.02)
        new = NewRun(experiment_id=experiment, name=f"trial-{n:05d}", user=chance.choice(("ada", "grace", "edsger")), started_at=at)
        run_id = service.create_run(tx, SYSTEM, new).facts.id
        values = {
            "loss": loss, "val_loss": loss * 1.1, "accuracy": 1 - loss, "roc_auc": 1 - loss / 2, "f1": 0.9 - loss / 3,
            "precision": 0.9 - loss / 4, "recall": 0.88 - loss / 4, "gradient_norm": math.exp(chance.gauss(0, 1)),
            "epoch_seconds": depth * chance.uniform(0.5, 1.5), "brier": loss / 4,
        }  # fmt: skip
        params = {"learning_rate": f"{rate:.3g}", "depth": str(depth), "optimizer": chance.choice(OPTIMIZERS),
                  "batch_size": str(2 ** chance.randrange(5, 10)), "seed": str(n)}  # fmt: skip
        metrics = tuple(Metric(key=key, value=value, at=at, step=100) for key, value in values.items())
        tags = (("stage", "search"), ("mlflow.source.git.commit", f"{n % 7:040x}"))
        service.log_batch(tx, SYSTEM, Batch(run_id=run_id, metrics=metrics, params=tuple(params.items()), tags=tags))
        schema, profile = '{"mlflow_colspec": [{"type": "long", "name": "distance"}]}', f'{{"num_rows": {1000 + n % 3}}}'
        dataset = Dataset(name="flights", digest=f"d{n % 3}", source_type="local", source="flights", schema=schema, profile=profile)
        service.log_inputs(tx, SYSTEM, run_id, [DatasetInput(dataset=dataset)])
        if n % 25 != 3:
            status = RunStatus.FAILED if chance.random() < 0.04 else RunStatus.FINISHED
            service.update_run(tx, SYSTEM, run_id, RunChange(status=status, ended_at=Instant(at + chance.randrange(20, 4000) * SECOND)))


def made_experiments(tx: Transaction, places: range) -> None:
    """Experiments with a run each."""
    for n in places:
        made = service.create_experiment(tx, SYSTEM, service.NewExperiment(name=f"idea {n:04d} of a model"))
        service.create_run(tx, SYSTEM, NewRun(experiment_id=made.id))


def long_curve(installation: Installation, run_id: RunId, points: int, number: int) -> None:
    """A loss of so many points: noise around a decay, with a spike and a stretch of NaN."""
    chance = random.Random(number)
    for start in range(0, points, POINTS_A_BATCH):
        steps = range(start, min(start + POINTS_A_BATCH, points))
        values = [0.15 + number * 0.04 + 1.2 * math.exp(-8 * step / points) + chance.gauss(0, 0.03) for step in steps]
        if number == 1 and start == points // 2 // POINTS_A_BATCH * POINTS_A_BATCH:
            values = [math.nan] * len(values)
        if number == 2 and start == points // 4 // POINTS_A_BATCH * POINTS_A_BATCH:
            values[500 % len(values)] = 2.4
        metrics = tuple(
            Metric(key="train_loss", value=value, at=Instant(10**15 + step * 20_000 * (number + 1)), step=step)
            for step, value in zip(steps, values, strict=True)
        )
        installation.database.write(functools.partial(service.log_batch, principal=SYSTEM, batch=Batch(run_id=run_id, metrics=metrics)))


def paths(installation: Installation) -> dict[str, str]:
    """The pages that are timed, by what they are."""
    with installation.database.read() as snapshot:
        experiment = service.find_experiment_by_name(snapshot, SYSTEM, NAME).id
        runs = service.search_runs(snapshot, SYSTEM, (experiment,), Asked(limit=50)).runs
    ids = [run.facts.id for run in runs]
    long = urlencode({"run": ids[:LONG_RUNS]}, doseq=True)
    path = f"/experiments/{experiment}"

    def query(**asked: Any) -> str:
        return f"{path}?{urlencode(asked, doseq=True)}"

    return {
        "experiments": "/experiments",
        "experiments_found": "/experiments?q=idea+01&sort=name",
        "runs": path,
        "runs_by_metric": query(sort="metrics.loss"),
        "runs_by_param": query(sort="-params.learning_rate"),
        "runs_filtered": query(filter="metrics.loss < 0.3 AND params.optimizer = 'adam'", sort="-metrics.accuracy"),
        "runs_grouped": query(group="params.optimizer"),
        "runs_grouped_finely": query(group="params.seed", by="metrics.loss"),
        "runs_parallel": query(plot="parallel", sort="metrics.loss"),
        "runs_scatter": query(plot="scatter", x="params.learning_rate", y="metrics.loss"),
        "run_long": f"/runs/{ids[0]}",
        "run_long_part": f"/runs/{ids[0]}?first=1000&last=2000&smooth=0.9",
        "compare_long": f"/runs/compare?{long}",
        "compare_long_smoothed": f"/runs/compare?{long}&smooth=0.95&log=true&axis=relative",
        "compare_50": f"/runs/compare?{urlencode({'run': ids}, doseq=True)}&all=true",
        "diff": f"/runs/diff?base={ids[0]}&other={ids[1]}",
    }


@asynccontextmanager
async def started(app: Any) -> AsyncIterator[None]:
    """The app between its start and its end."""
    asked: asyncio.Queue[Json] = asyncio.Queue()
    said: asyncio.Queue[Json] = asyncio.Queue()
    await asked.put({"type": "lifespan.startup"})
    living = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, asked.get, said.put))
    assert (await said.get())["type"] == "lifespan.startup.complete"
    yield
    await asked.put({"type": "lifespan.shutdown"})
    await living


async def answered(app: Any, path: str, headers: list[tuple[bytes, bytes]]) -> tuple[int, int, float, float]:
    """Status, bytes, milliseconds, and milliseconds of processor time of one request."""
    plain, _, query = path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http", "path": plain,
        "raw_path": plain.encode(), "query_string": query.encode(), "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 7700), "state": {},
    }  # fmt: skip
    status, size = 0, 0

    async def receive() -> Json:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status, size
        status = message.get("status", status)
        size += len(message.get("body", b""))

    begun, worked = time.perf_counter(), time.process_time()
    await app(scope, receive, send)
    return status, size, (time.perf_counter() - begun) * 1000, (time.process_time() - worked) * 1000


async def measured(installation: Installation, times: int) -> Json:
    """The figures of every page."""
    database = installation.database
    database.write(first_start)
    account = f"bench-{time.time_ns()}"
    database.write(lambda tx: create_service_account(tx, SYSTEM, account, EVERY_TEAM, Role.ADMIN))
    secret = database.write(lambda tx: create_token(tx, SYSTEM, TokenOrder(name="bench", scopes=(Scope.ALL,), owner=account))).secret
    headers = [(b"host", b"127.0.0.1:7700"), (b"accept", b"text/html"), (b"authorization", f"Bearer {secret}".encode())]
    result: Json = {}
    with ThreadPoolExecutor(8) as pool:
        plane = control_plane(installation, pool)
        async with started(plane.app):
            for name, path in paths(installation).items():
                status, size, first, _ = await answered(plane.app, path, headers)
                assert status == 200, (path, status)
                found = [await answered(plane.app, path, headers) for _ in range(times)]
                waited, worked = sorted(one[2] for one in found), sorted(one[3] for one in found)
                figures = {"first_ms": first, "median_ms": waited[times // 2], "worst_ms": waited[-1], "processor_ms": worked[times // 2]}
                result[name] = {word: round(value, 1) for word, value in figures.items()} | {"kib": size // 1024}
    return result


def main() -> None:
    """Fills, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--data", default="")
    parser.add_argument("--database", default="", help="postgresql://...; SQLite in the folder without it")
    parser.add_argument("--fill", action="store_true", help="only fill the folder")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(asked.data or scratch)
        given = {"data": str(folder), **({"database.url": asked.database} if asked.database else {})}
        with opened(read_settings(None, {}, given)) as installation:
            began = time.perf_counter()
            if not is_filled(installation):
                filled(installation, asked)
            took = time.perf_counter() - began
            found = {} if asked.fill else asyncio.run(measured(installation, asked.times))
    print(json.dumps({"runs": asked.runs, "points": asked.points, "filled_s": round(took, 1), "pages": found}, indent=1))


def is_filled(installation: Installation) -> bool:
    """Whether the experiment is there."""
    with installation.database.read() as snapshot:
        return any(one.name == NAME for one in service.list_experiments(snapshot, SYSTEM, f"name = '{NAME}'").experiments)


if __name__ == "__main__":
    sys.exit(main())
