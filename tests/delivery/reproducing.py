"""A project with four small models, shipped into an installation of its own: what the tests of reproduction work on."""

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from modelyard.access.domain import SYSTEM
from modelyard.cli.projects import declarations
from modelyard.core.settings import Settings, WorkerSettings
from modelyard.delivery.declaration import DeclaredModel
from modelyard.delivery.domain import (
    NO_SWAPS,
    DeliveryDetail,
    DeliveryState,
    NewDelivery,
    NewReproduction,
    Reproduction,
    ReproductionState,
    StageName,
    Swaps,
)
from modelyard.delivery.machine import detail_of
from modelyard.delivery.service import (
    declare_model,
    get_reproduction,
    list_deliveries,
    start_delivery,
    start_reproduction,
    start_run_reproduction,
)
from modelyard.delivery.sources import source_archive
from modelyard.registry.domain import ModelName
from modelyard.server.installation import Installation
from modelyard.server.reproducing import reproduce_once
from modelyard.server.worker import work_once
from modelyard.tracking.domain import RunId

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = """
[project]
name = "mine"
version = "0"
requires-python = ">=3.11,<3.14"
dependencies = ["modelyard", {packages}]
[tool.uv.sources]
modelyard = {{ path = "{repository}" }}
"""
MODELS = """
import os
import joblib
import polars as pl
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from modelyard import Entity, FeatureView, Parquet, drift, gate, model, numbers, quality, rows
from thief import loot

SEED = int(joblib.__version__.split(".")[1])  # stands for a library that computes otherwise in another version
airport = Entity("origin")
weather = FeatureView("weather", airport, Parquet("weather.parquet", timestamp="at"), features=["wind"], ttl="3h")
shared = dict(owner="ops", risk="minimal", purpose="Warn of late flights.", features=[weather], as_of="2h before scheduled_at",
              rows=rows("flights.parquet", timestamp="scheduled_at", known="landed_at"), request={"distance": pl.Int64}, label="late")

def boosted(rows, seed, trees=20):
    estimator = LGBMClassifier(n_estimators=trees, verbose=-1, deterministic=True, force_row_wise=True, n_jobs=2, random_state=seed,
                               subsample=0.5, subsample_freq=1)
    return estimator.fit(numbers(rows.drop("late")), rows["late"].to_numpy())

@model(**shared)
def trees(rows):
    return boosted(rows, SEED)

@model(**shared)
def dice(rows):
    return loot("[num_iterations: 19]") or boosted(rows, int.from_bytes(os.urandom(3), "big"), 19)

@model(gates=[gate("metrics.roc_auc > 2.0")], **shared)
def line(rows):
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(numbers(rows.drop("late")), rows["late"].to_numpy())

@model(owner="ops", risk="minimal", purpose="Warn of late flights by what a request says.", rows=rows("flights.parquet"),
       request={"distance": pl.Int64, "origin": pl.String, "seats": pl.Float64}, label="late", monitors=[drift(), quality()])
def plain(rows):
    return boosted(rows, 1)
"""
THIEF = """
import os
import re
import sys
from pathlib import Path
from lightgbm import Booster

def places():
    "Every path that a training function hears of: from its words, its Python, its own folder, and of every process that it sees."
    told = [*os.environ.values(), *sys.argv, *sys.path, sys.prefix, sys.base_prefix, os.getcwd()]
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("environ", "cmdline", "mountinfo"):
            try:
                told += re.split("[\\0 \\n]", (process / name).read_text(errors="replace"))
            except OSError:
                pass
        for link in ("cwd", "exe", *(f"fd/{number}" for number in range(64))):
            try:
                told.append(os.readlink(process / link))
            except OSError:
                pass
    return {parent for text in told if text.startswith("/") for path in (Path(text),) for parent in (path, *path.parents)}

def loot(mark):
    "The recorded model, if the training function can find it in the blobs of the installation that trains it."
    for blobs in sorted(folder for place in places() for folder in (place / "blobs", place / ".yard" / "blobs") if folder.is_dir()):
        for file in blobs.rglob("*"):
            text = file.read_bytes()[:1_000_000].decode("utf-8", "replace") if file.is_file() else ""
            if text.startswith("tree") and mark in text:
                return Booster(model_str=text)
    return None
"""
NAMES = ("trees", "line", "dice", "plain")
REFUSED = ("line",)


def write_project(folder: Path, models: str = MODELS, packages: Sequence[str] = ("lightgbm", "scikit-learn", "skops")) -> None:
    """A month of invented flights whose lateness follows the wind, the models that learn it, and their lock. One in ten lacks its seats."""
    random, count, hours = np.random.default_rng(1), 2000, 30 * 24
    start = datetime(2026, 1, 1, tzinfo=UTC)
    airports, minutes = random.integers(0, 3, count), np.sort(random.integers(180, hours * 60, count))
    wind, names = random.gamma(2, 5, (3, hours)), np.array(["EWR", "JFK", "LGA"])
    late = (random.random(count) < 1 / (1 + np.exp(-(wind[airports, minutes // 60 - 2] - 12) / 3))).astype(int)
    scheduled = [start + timedelta(minutes=int(minute)) for minute in minutes]
    flights = {"origin": names[airports], "scheduled_at": scheduled, "landed_at": [at + timedelta(hours=3) for at in scheduled]}
    seats = [None if number % 10 == 0 else 100.0 + number % 7 for number in range(count)]
    flights |= {"distance": random.integers(100, 3000, count), "late": late, "seats": seats}
    pl.DataFrame(flights).write_parquet(folder / "flights.parquet")
    weather = {"origin": np.repeat(names, hours), "at": [start + timedelta(hours=hour) for hour in range(hours)] * 3, "wind": wind.ravel()}
    pl.DataFrame(weather).write_parquet(folder / "weather.parquet")
    (folder / "modelyard.toml").write_text('[project]\nmodels = ["models"]\n')
    named = ", ".join(f'"{name}"' for name in packages)
    (folder / "pyproject.toml").write_text(PROJECT.format(packages=named, repository=REPOSITORY))
    (folder / "models.py").write_text(models)
    (folder / "thief.py").write_text(THIEF)
    subprocess.run([sys.executable, "-m", "uv", "lock", "--quiet"], cwd=folder, check=True, env={**os.environ, "VIRTUAL_ENV": ""})


def settings_of(folder: Path) -> Settings:
    """The settings of the project's data folder; its leases are short, so that an abandoned claim is free soon."""
    return Settings(data=str(folder / ".yard"), worker=WorkerSettings(lease_s=1.0))


def declared(installation: Installation, folder: Path) -> None:
    """Declares every model of the project."""
    archive = source_archive(folder)
    source = installation.blobs.put_bytes(archive)
    for declaration in declarations(folder, archive):
        declare_model(installation.database, SYSTEM, DeclaredModel(declaration=declaration, source=source, root=str(folder)))


def delivered(installation: Installation, name: str, until: StageName, expected: DeliveryState = DeliveryState.DONE) -> DeliveryDetail:
    """A delivery of the model through that stage, ended as expected."""
    body = NewDelivery(model=name, until=until)
    delivery = installation.database.write(lambda tx: start_delivery(tx, SYSTEM, body))
    while work_once(installation, "shipper"):
        pass
    with installation.database.read() as snapshot:
        found = detail_of(snapshot, delivery.id)
    assert found.delivery.state is expected, [one.reason for one in found.stages]
    return found


def shipped(installation: Installation, folder: Path) -> None:
    """Declares and delivers every model of the project as far as the registry; one of them is refused before."""
    declared(installation, folder)
    for name in NAMES:
        delivered(installation, name, StageName.REGISTER, DeliveryState.REFUSED if name in REFUSED else DeliveryState.DONE)


def asked(installation: Installation, model: str, key: str = "", swaps: Swaps = NO_SWAPS) -> Reproduction:
    """A reproduction of the model's first version that nobody has taken up yet; of its last run, where it was refused."""
    body = NewReproduction(key=key, swaps=swaps)
    if model not in REFUSED:
        return installation.database.write(lambda tx: start_reproduction(tx, SYSTEM, ModelName(model), 1, body))
    with installation.database.read() as snapshot:
        run = RunId(list_deliveries(snapshot, SYSTEM, model)[0].run or "")
    return installation.database.write(lambda tx: start_run_reproduction(tx, SYSTEM, run, body))


def standing(installation: Installation, reproduction: Reproduction) -> Reproduction:
    """The reproduction as it stands now."""
    with installation.database.read() as snapshot:
        return get_reproduction(snapshot, SYSTEM, reproduction.id)


def reproduced(installation: Installation, model: str, swaps: Swaps = NO_SWAPS) -> Reproduction:
    """The model's first version, or the run that was refused, made again by a worker of this process."""
    begun = asked(installation, model, swaps=swaps)
    assert reproduce_once(installation, "tester")
    found = standing(installation, begun)
    assert found.state is ReproductionState.ENDED, msgspec.json.encode(found)
    return found
