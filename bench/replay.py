"""An hour of a replay over HTTP, as a demonstration of a year drives it: clock, materialization, two requests, labels. Prints JSON.

    python bench/replay.py [--days N] [--data FOLDER] [--profile]

Real processes serve: control plane, gateway and worker under `yard up`, in a folder made for replay. The driver is a
plain client beside them. At every midnight the log is sealed and awaited, then monitoring looks: its time is a day's.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import lightgbm
import msgspec
import numpy as np
import polars as pl

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import Instant, SystemClock, instant
from modelyard.features import service as features
from modelyard.features.domain import Entity, FeatureSet, FeatureView, Parquet
from modelyard.monitoring import service as monitoring
from modelyard.monitoring.domain import NewReference, NewWatch, drift, performance, quality
from modelyard.registry import service as registry
from modelyard.registry.domain import Column, Format, ModelName, NewModel, NewVersion, Signature
from modelyard.registry.formats import save
from modelyard.server.data_folder import CLI
from modelyard.server.local import put_local_tokens
from modelyard.server.supervisor import role_command
from modelyard.serving import service as serving
from modelyard.serving.domain import Fallback, Proposal
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.storage.migrations import upgrade
from modelyard.storage.replay import advance_replay, begin_replay, clock_of
from modelyard.storage.tables import Tables

START = instant(datetime(2025, 1, 1, tzinfo=UTC))
HOUR = 3_600_000_000
AIRPORTS, CARRIERS = ("EWR", "JFK", "LGA"), ("AA", "B6", "DL", "EV", "UA", "WN")
MODEL = ModelName("late")
ROWS, REQUESTS = 50, 2
AIRPORT, CARRIER = Entity("origin"), Entity("carrier")
FLIGHTS = Parquet("flights.parquet", "at")
VIEWS = (
    FeatureView("weather", AIRPORT, Parquet("weather.parquet", "at"), features={"wind": "float64", "rain": "float64"}, ttl="3h"),
    FeatureView("airports", AIRPORT, FLIGHTS, aggregate={"delay": ["mean", "count"]}, windows=["1h", "7d"]),
    FeatureView("carriers", CARRIER, FLIGHTS, aggregate={"delay": ["mean", "count"]}, windows=["1d", "3d"]),
)
SET = FeatureSet("late_features", list(VIEWS))
SIGNATURE = Signature(
    inputs=(
        *(Column(name=name, dtype=dtype) for name, dtype in ((c.name, c.dtype or "float64") for c in SET.columns) if dtype != "string"),
        Column(name="origin", dtype="string", categories=AIRPORTS),
        Column(name="hour", dtype="int64"),
        Column(name="distance", dtype="float64"),
    )
)


def write_data(folder: Path, days: int) -> None:
    """A year's flights and weather, at the rate of New York in 2013."""
    random, moment = np.random.default_rng(5), pl.Datetime("us", "UTC")
    count, hours = days * 920, days * 24
    at = np.sort(random.integers(START, START + days * 24 * HOUR, count))
    flights = {"origin": random.choice(AIRPORTS, count), "carrier": random.choice(CARRIERS, count)}
    pl.DataFrame(flights | {"at": pl.Series(at).cast(moment), "delay": random.integers(-20, 200, count)}).write_parquet(
        folder / "flights.parquet"
    )
    hour = pl.Series(np.repeat(START + np.arange(hours) * HOUR, 3)).cast(moment)
    values = {"wind": random.gamma(2, 5, 3 * hours), "rain": random.random(3 * hours)}
    pl.DataFrame({"origin": list(AIRPORTS) * hours, "at": hour} | values).write_parquet(folder / "weather.parquet")


def prepared(folder: Path, days: int) -> None:
    """A data folder made for replay, with one model that is to be served and watched."""
    write_data(folder, days + 20)
    (folder / "keys").mkdir()
    own = Database.open(f"sqlite:///{folder}/modelyard.db", SystemClock())
    upgrade(own)
    put_local_tokens(own, folder)
    own.write(lambda tx: begin_replay(tx, Instant(START + 10 * 24 * HOUR)))
    database = own.with_clock(clock_of(own))
    features.apply_features(database, SYSTEM, [SET], folder)
    database.write(lambda tx: registry.ensure_model(tx, SYSTEM, NewModel(name=MODEL)))
    kept = registry.keep_artifact(database, Blobs.open(f"file://{folder}/blobs"), _trained(folder / "trained"))
    new = NewVersion(format=Format.LIGHTGBM, artifact=kept.digest, signature=SIGNATURE, feature_set=SET.digest)
    database.write(lambda tx: registry.register_version(tx, SYSTEM, MODEL, new))
    fallback = Fallback(value=0.25, views=("weather",))
    database.write(lambda tx: serving.propose_revision(tx, SYSTEM, MODEL, Proposal(champion=1, fallback=fallback)))
    monitors = (drift(), quality(), performance("roc_auc", drop=0.03, window="14d"))
    database.write(lambda tx: monitoring.set_monitors(tx, SYSTEM, MODEL, NewWatch(monitors=monitors)))
    database.write(lambda tx: monitoring.put_reference(tx, SYSTEM, MODEL, 1, _reference()))
    database.close()
    own.close()


def _trained(path: Path) -> Path:
    random = np.random.default_rng(7)
    rows = random.normal(size=(5000, len(SIGNATURE.inputs)))
    rows[:, -3] = random.integers(0, 3, 5000)
    data = lightgbm.Dataset(rows, (rows[:, :3].sum(axis=1) > 0).astype(float), params={"verbose": -1})
    save(lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 100), path, SIGNATURE)
    return path


def _reference() -> NewReference:
    random = np.random.default_rng(3)
    names = [column.name for column in SIGNATURE.inputs if column.dtype != "string"]
    rows = pl.DataFrame({name: random.normal(size=20_000) for name in names} | {"origin": random.choice(AIRPORTS, 20_000)})
    labels = (random.random(20_000) < 0.3).astype(float)
    scored = monitoring.Scored(scores=pl.Series(random.random(20_000)), labels=pl.Series(labels))
    made = monitoring.reference_of(rows, rows.columns, (drift(),), scored=scored)
    views = {name: part.view.name for part in SET.features for name in part.names}
    return NewReference(reference=made, levels=monitoring.levels_of(scored, is_binary=True), views=views)


@contextmanager
def running(folder: Path) -> Iterator[tuple[str, str]]:
    """`yard up` over the folder; the addresses of control plane and gateway."""
    words = ["--data", str(folder), "--port", "7790", "--gateway-port", "7791"]
    with (folder / "up.log").open("w") as log:
        process = subprocess.Popen(role_command("up", words), stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout is not None
            if not process.stdout.readline().startswith("ready"):
                raise SystemExit((folder / "up.log").read_text()[-3000:])
            yield "http://127.0.0.1:7790", "http://127.0.0.1:7791"
        finally:
            process.terminate()
            process.wait(30)


class Driver:
    """The client of a replay, with the milliseconds that each kind of step took."""

    def __init__(self, folder: Path, base: str, gateway: str) -> None:
        headers = {"authorization": f"Bearer {(folder / CLI).read_text().strip()}"}
        self.control = httpx.Client(base_url=base, headers=headers, timeout=60, trust_env=False)
        self.gateway = httpx.Client(base_url=gateway, headers=headers, timeout=60, trust_env=False)
        self.own = Database.open(f"sqlite:///{folder}/modelyard.db", SystemClock())
        self.database = self.own.with_clock(clock_of(self.own))
        self.tables = Tables.open(f"file://{folder}/tables")
        self.now = Instant(START + 10 * 24 * HOUR)
        self.random = np.random.default_rng(11)
        self.taken: dict[str, list[float]] = {}
        self.asked: list[str] = []

    def timed(self, name: str, work: Callable[[], Any]) -> Any:
        """What `work` answers; its milliseconds are noted."""
        begun = time.perf_counter()
        answer = work()
        self.taken.setdefault(name, []).append((time.perf_counter() - begun) * 1000)
        return answer

    def hour(self) -> None:
        """One hour of the replay."""
        self.now = Instant(self.now + HOUR)
        self.timed("clock", lambda: self.own.write(lambda tx: advance_replay(tx, self.now)))
        self.timed("materialize", lambda: self._post(self.control, "/api/v1/feature-materializations", {}))
        ids: list[str] = []
        for _ in range(REQUESTS):
            body = {"rows": [self._row() for _ in range(ROWS)]}
            answer = self.timed("predict", partial(self._post, self.gateway, f"/predict/{MODEL}", body))
            ids += [one["id"] for one in answer["predictions"]]
        told, self.asked = self.asked, ids
        if told:
            labels = [{"id": name, "value": float(value)} for name, value in zip(told, self.random.random(len(told)) < 0.3, strict=True)]
            self.timed("labels", lambda: self._post(self.gateway, f"/labels/{MODEL}", {"labels": labels}))

    def midnight(self) -> None:
        """The end of a day: the log sealed and in the tables, then monitoring's look."""
        before = self._post(self.control, "/api/v1/prediction-log/seal", {})["before_at"]
        begun = time.perf_counter()
        while self.control.get("/api/v1/prediction-log/position").json()["complete_through_at"] < before:
            time.sleep(0.01)
        self.taken.setdefault("seal", []).append((time.perf_counter() - begun) * 1000)
        self.timed("tick", lambda: monitoring.tick(self.database, self.tables))

    def _row(self) -> dict[str, Any]:
        random = self.random
        return {
            "origin": AIRPORTS[random.integers(3)], "carrier": CARRIERS[random.integers(6)], "hour": int(random.integers(24)),
            "distance": float(random.integers(100, 3000)),
        }  # fmt: skip

    def _post(self, client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
        headers = {"modelyard-at": str(self.now)} if client is self.gateway else {}
        answer = client.post(path, content=msgspec.json.encode(body), headers=headers)
        if answer.status_code != 200:
            raise SystemExit(f"{path}: {answer.status_code} {answer.text[:500]}")
        return msgspec.json.decode(answer.content)


def main() -> None:
    """Replays some days and prints what each step took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelyard-replay-") as scratch:
        folder = Path(scratch)
        prepared(folder, given.days)
        with running(folder) as (base, gateway):
            driver = Driver(folder, base, gateway)
            driver._post(driver.control, "/api/v1/feature-materializations", {})
            begun = time.perf_counter()
            for _day in range(given.days):
                for _ in range(24):
                    driver.hour()
                driver.midnight()
            wall = time.perf_counter() - begun
        figures = {
            name: {"count": len(taken), "mean_ms": round(float(np.mean(taken)), 2)}
            | {f"p{q}_ms": round(float(np.percentile(taken, q)), 2) for q in (50, 90, 99)}
            for name, taken in driver.taken.items()
        }
        print(json.dumps({"seconds": round(wall, 2), "ms_an_hour": round(wall * 1000 / (24 * given.days), 2), **figures}, indent=1))


if __name__ == "__main__":
    main()
