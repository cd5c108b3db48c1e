"""A small project with its own data and its installation: what the journeys go through. Owns no expectation."""

import contextlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import polars as pl

from tests.servers import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
YARD = [sys.executable, "-m", "modelyard.cli.main"]
MODELS = """
import numpy as np
import polars as pl
from lightgbm import LGBMClassifier
from modelyard import Entity, FeatureView, Parquet, Window, canary, constant, drift, gate, model, numbers, performance, quality, rows
from modelyard import on_demand

airport = Entity("origin")
weather = FeatureView("weather", airport, Parquet("weather.parquet", timestamp="at"), features=["wind"], ttl="3h")
delays = FeatureView("delays", airport, Parquet("departures.parquet", timestamp="at"),
                     aggregate={"delay": ["mean", "count"]}, windows=[Window("1h"), Window("7d")])

@on_demand
def delay_a_mile(delay_mean_7d: float, distance: int, origin: str) -> float:
    return np.where(origin == "JFK", 2.0, 1.0) * delay_mean_7d / distance

@model(owner="ops", risk="limited", purpose="Warn of late flights.",
       features=[weather, delays["delay_mean_1h", "delay_mean_7d"], delay_a_mile],
       rows=rows("flights.parquet", timestamp="scheduled_at", known="landed_at"), request={"distance": pl.Int64, "hour": pl.Int64},
       as_of="2h before scheduled_at", label="late", gates=[gate("metrics.roc_auc >= 0.55"), gate("metrics.roc_auc < GATE")],
       rollout=canary(50, bake="1s"), monitors=[drift(), quality(), performance("roc_auc", drop=0.05)], fallback=constant(0.25))
def late(rows, *, trees: int = 20):
    estimator = LGBMClassifier(n_estimators=trees, verbose=-1, deterministic=True, force_row_wise=True, n_jobs=2, random_state=1)
    return estimator.fit(numbers(rows.drop("late")), rows["late"].to_numpy())
"""
PROJECT = f'''
[project]
name = "mine"
version = "0"
requires-python = ">=3.11,<3.14"
dependencies = ["modelyard", "lightgbm", "scikit-learn", "skops"]
[tool.uv.sources]
modelyard = {{ path = "{REPOSITORY}" }}
'''


def write_data(folder: Path) -> None:
    """Forty days of invented flights whose lateness follows the wind two hours before."""
    random, count, hours = np.random.default_rng(1), 4000, 39 * 24
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=40)
    airports, minutes = random.integers(0, 3, count), np.sort(random.integers(180, hours * 60, count))
    wind = random.gamma(2, 5, (3, hours))
    felt = wind[airports, minutes // 60 - 2]
    late = (random.random(count) < 1 / (1 + np.exp(-(felt - 12) / 3))).astype(int)
    names = np.array(["EWR", "JFK", "LGA"])
    scheduled = [start + timedelta(minutes=int(minute)) for minute in minutes]
    flights = {"origin": names[airports], "scheduled_at": scheduled, "landed_at": [at + timedelta(hours=3) for at in scheduled]}
    numbers = {"distance": random.integers(100, 3000, count), "hour": [at.hour for at in scheduled], "late": late}
    pl.DataFrame(flights | numbers).write_parquet(folder / "flights.parquet")
    pl.DataFrame({"origin": names[airports], "at": scheduled, "delay": late * 30.0}).write_parquet(folder / "departures.parquet")
    weather = {"origin": np.repeat(names, hours), "at": [start + timedelta(hours=hour) for hour in range(hours)] * 3, "wind": wind.ravel()}
    pl.DataFrame(weather).write_parquet(folder / "weather.parquet")


class Mine:
    """A project, and its installation while it runs."""

    def __init__(self, folder: Path) -> None:
        port, gateway_port = free_port(), free_port()
        self.folder, self.url, self.gateway = folder, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{gateway_port}"
        self._words = ["up", "--data", ".yard", "--port", str(port), "--gateway-port", str(gateway_port)]
        self.up: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Runs `yard up` until it says that it is ready; what it logs is kept beside the data, not in the project's source."""
        data = self.folder / ".yard"
        data.mkdir(mode=0o700, exist_ok=True)
        with (data / "up.log").open("a") as log:
            self.up = subprocess.Popen([*YARD, *self._words], cwd=self.folder, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.up.stdout is not None
        assert self.up.stdout.readline() == f"ready {self.url}\n", self.log

    def stop(self) -> None:
        """Has `yard up` end as a service manager would; it ends cleanly."""
        assert self.up is not None
        assert self.up.stdout is not None
        self.up.terminate()
        self.up.stdout.close()
        assert self.up.wait(60) == 0, self.log

    def answers(self) -> bool:
        """Whether server and gateway answer."""
        with contextlib.suppress(httpx.HTTPError), httpx.Client(trust_env=False) as client:
            return all(client.get(url).is_success for url in (f"{self.url}/readyz", f"{self.gateway}/readyz"))
        return False

    @property
    def log(self) -> str:
        """What the roles have logged."""
        return (self.folder / ".yard" / "up.log").read_text()

    def yard(self, *words: str, code: int = 0) -> dict[str, object]:
        """The JSON answer of a command, run in the project's folder."""
        found = subprocess.run([*YARD, *words, "--json"], cwd=self.folder, capture_output=True, text=True, check=False)
        assert found.returncode == code, f"{found.stdout}\n{found.stderr}"
        answer: dict[str, object] = json.loads(found.stdout)
        return answer

    def client(self, url: str) -> httpx.Client:
        """A client with the local token."""
        token = (self.folder / ".yard" / "keys" / "cli.token").read_text()
        return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=30)


def write_project(folder: Path, models: str, settings: str = "") -> None:
    """A project of those models in an empty folder, with its data and its lock."""
    write_data(folder)
    (folder / "modelyard.toml").write_text(f'[project]\nmodels = ["models"]\n{settings}')
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "models.py").write_text(models)
    subprocess.run([sys.executable, "-m", "uv", "lock", "--quiet"], cwd=folder, check=True, env={**os.environ, "VIRTUAL_ENV": ""})
