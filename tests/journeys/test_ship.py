"""From a folder with data and one file of declarations to an answer from the gateway, by the installed command alone."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import pytest

from tests.servers import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
YARD = [sys.executable, "-m", "modelyard.cli.main"]
MODELS = """
import polars as pl
from lightgbm import LGBMClassifier
from modelyard import Entity, FeatureView, Parquet, Window, canary, constant, drift, gate, model, numbers, performance, quality, rows

airport = Entity("origin")
weather = FeatureView("weather", airport, Parquet("weather.parquet", timestamp="at"), features=["wind"], ttl="3h")
delays = FeatureView("delays", airport, Parquet("departures.parquet", timestamp="at"),
                     aggregate={"delay": ["mean", "count"]}, windows=[Window("1h"), Window("7d")])

@model(owner="ops", risk="limited", purpose="Warn of late flights.", features=[weather, delays["delay_mean_1h", "delay_mean_7d"]],
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
dependencies = ["modelyard", "lightgbm", "scikit-learn"]
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
    """A project with its installation running."""

    def __init__(self, folder: Path, port: int, gateway_port: int) -> None:
        self.folder, self.url, self.gateway = folder, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{gateway_port}"

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


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Mine]:
    """A project whose lock is made, and `yard up` beside it until the test ends."""
    write_data(tmp_path)
    (tmp_path / "modelyard.toml").write_text('[project]\nmodels = ["models"]\n')
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "models.py").write_text(MODELS.replace("GATE", "1.1"))
    subprocess.run([sys.executable, "-m", "uv", "lock", "--quiet"], cwd=tmp_path, check=True, env={**os.environ, "VIRTUAL_ENV": ""})
    port, gateway_port = free_port(), free_port()
    words = ["up", "--data", ".yard", "--port", str(port), "--gateway-port", str(gateway_port)]
    with (tmp_path / "up.log").open("w") as log:
        up = subprocess.Popen([*YARD, *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=log, text=True)
        assert up.stdout is not None
        assert up.stdout.readline() == f"ready http://127.0.0.1:{port}\n", (tmp_path / "up.log").read_text()
        yield Mine(tmp_path, port, gateway_port)
        up.terminate()
        up.stdout.close()
        assert up.wait(60) == 0, (tmp_path / "up.log").read_text()


def states(shipped: dict[str, object]) -> dict[str, str]:
    """Each stage's state."""
    stages = shipped["stages"]
    assert isinstance(stages, list)
    return {stage["name"]: stage["state"] for stage in stages}


PAGES = ("/models/late", "/models/late/versions/1", "/serving/late", "/monitoring/late", "/features/weather", "/deliveries", "/approvals")


def check_pages(mine: Mine) -> None:
    """Every page about the model is there, and MLflow's clients find it in the registry."""
    with mine.client(mine.url) as control:
        found = {path: control.get(path, headers={"Accept": "text/html"}).status_code for path in PAGES}
        assert found == dict.fromkeys(PAGES, 200)
        assert control.get("/api/2.0/mlflow/registered-models/get", params={"name": "late"}).status_code == 200


def check_commands(mine: Mine) -> None:
    """What commands say of a live model; they find the servers by the project's data folder."""
    status = mine.yard("status", "late")
    endpoints = status["endpoints"]
    assert isinstance(endpoints, list)
    assert endpoints[0]["live"]["revision"]["traffic"]["champion"] == 1
    assert (status["alerts"], status["approvals"]) == ([], [])
    read = mine.yard("features", "get", "late", "JFK")
    columns = read["columns"]
    assert isinstance(columns, dict)
    assert columns["delay_mean_7d"][0] is not None, read
    joined = mine.yard("features", "join", "late", "flights.parquet", "--as-of", "scheduled_at", "--out", "joined.parquet")
    assert joined["rows"] == 4000
    assert mine.yard("log", "labels", "late", "flights.parquet")["accepted"] == 4000
    error = mine.yard("rollback", "late", code=1)["error"]
    assert isinstance(error, dict)
    assert error["code"] == "nothing_to_roll_back_to"
    findings = subprocess.run([*YARD, "doctor", "--json"], cwd=mine.folder, capture_output=True, text=True, check=True).stdout
    assert {one["state"] for one in json.loads(findings)} == {"good"}, findings


def test_one_command_takes_a_model_from_raw_data_to_an_answer(mine: Mine) -> None:
    shipped = mine.yard("ship", "late", "--until", "roll_out")
    found = states(shipped)
    assert [found.pop("watch"), *dict.fromkeys(found.values())] == ["skipped", "done"], shipped
    rows = [{"origin": "JFK", "distance": 500, "hour": 14}, {"origin": "LGA", "distance": 900, "hour": 20}]
    with mine.client(mine.url) as control, mine.client(mine.gateway) as gateway:
        brought = control.post("/api/v1/feature-materializations", json={}).json()
        assert {one["view"] for one in brought} == {"weather", "delays"}
        answer = gateway.post("/predict/late", json={"rows": rows}).json()
        assert (answer["model"], answer["version"]) == ("late", 1)
        assert all(0.0 <= one["value"] <= 1.0 for one in answer["predictions"])
        verified = control.post("/api/v1/ledger/verification", json={"known": []}).json()
    assert verified["findings"] == [], verified
    check_pages(mine)
    check_commands(mine)
    # A second version whose gate fails is refused, says which gate, and leaves the first one live.
    (mine.folder / "models.py").write_text(MODELS.replace("GATE", "0.5"))
    refused = mine.yard("ship", "late", code=3)
    assert states(refused)["challenge"] == "refused", refused
    with mine.client(mine.gateway) as gateway:
        assert gateway.post("/predict/late", json={"rows": rows}).json()["version"] == 1
