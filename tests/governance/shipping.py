"""A project whose models were shipped for real, as far as their approval: what the tests of attestations and dossiers work on."""

from pathlib import Path

from modelyard.access.domain import DEFAULT_TEAM, EVERY_TEAM, Principal, PrincipalId, Role
from modelyard.cli.projects import declarations
from modelyard.core.settings import Settings
from modelyard.delivery.declaration import DeclaredModel
from modelyard.delivery.domain import ApprovalState, DeliveryId, NewDelivery, StageName
from modelyard.delivery.service import approve, declare_model, list_approvals, start_delivery
from modelyard.delivery.sources import source_archive
from modelyard.registry.domain import ModelName
from modelyard.server.installation import Installation
from modelyard.server.worker import work_once
from tests.delivery.reproducing import write_project as write_sources

LATE, CREWS, PLAIN = ModelName("late"), ModelName("crews"), ModelName("plain")
ADA = Principal(id=PrincipalId("usr_ada"), name="ada", kind="person", roles={DEFAULT_TEAM: Role.APPROVER})
BOB = Principal(id=PrincipalId("usr_bob"), name="bob", kind="person", roles={DEFAULT_TEAM: Role.APPROVER})
EVE = Principal(id=PrincipalId("usr_eve"), name="eve", kind="person", roles={EVERY_TEAM: Role.VIEWER})
MODELS = """
import numpy as np
import polars as pl
from lightgbm import LGBMClassifier
from modelyard import Entity, FeatureView, Parquet, drift, gate, model, numbers, on_demand, performance, rows

airport = Entity("origin")
weather = FeatureView("weather", airport, Parquet("weather.parquet", timestamp="at"), features=["wind"], ttl="3h")
shared = dict(owner="ops", features=[weather], as_of="2h before scheduled_at", request={"distance": pl.Int64}, label="late",
              rows=rows("flights.parquet", timestamp="scheduled_at", known="landed_at"), slices=["distance"],
              gates=[gate("metrics.roc_auc >= 0.55"), gate("data.rows > 100")], monitors=[drift(), performance("roc_auc", drop=0.05)])

def trees(rows):
    estimator = LGBMClassifier(n_estimators=20, verbose=-1, deterministic=True, force_row_wise=True, n_jobs=2, random_state=1)
    return estimator.fit(numbers(rows.drop("late")), rows["late"].to_numpy())

@on_demand
def headwind(wind: float, distance: int) -> float:
    return wind * np.sqrt(np.maximum(distance, 0))

@model(risk="limited", purpose="Warn of late flights.", **{**shared, "features": [weather, headwind]})
def late(rows):
    return trees(rows)

@model(risk="high", purpose="Plan crews.", **shared)
def crews(rows):
    return trees(rows)

@model(risk="limited", purpose="Warn by the request alone.", owner="ops", request={"distance": pl.Int64, "origin": pl.String}, label="late",
       rows=rows("flights.parquet"), monitors=[drift()])
def plain(rows):
    return trees(rows)
"""


def write_project(folder: Path) -> None:
    """The project with its data and its lock."""
    write_sources(folder, MODELS)


def settings_of(folder: Path) -> Settings:
    """The settings of the project's data folder."""
    return Settings(data=str(folder / ".yard"))


def declare(installation: Installation, folder: Path) -> None:
    """Declares the project's models."""
    archive = source_archive(folder)
    source = installation.blobs.put_bytes(archive)
    for declaration in declarations(folder, archive):
        declare_model(installation.database, ADA, DeclaredModel(declaration=declaration, source=source, root=str(folder)))


def ship(installation: Installation, model: ModelName, until: StageName = StageName.APPROVE) -> DeliveryId:
    """Has ada deliver a model as far as that stage, or until somebody is waited for."""
    body = NewDelivery(model=model, until=until)
    delivery = installation.database.write(lambda tx: start_delivery(tx, ADA, body))
    while work_once(installation, "shipper"):
        pass
    return delivery.id


def waiting_version(installation: Installation, model: ModelName) -> int:
    """The version of the model that waits for a person; one is shipped where none does."""
    for _ in range(2):
        with installation.database.read() as snapshot:
            waiting = [one.version for one in list_approvals(snapshot, BOB, ApprovalState.WAITING) if one.model == model]
        if waiting:
            return waiting[0]
        ship(installation, model)
    raise AssertionError(f"no version of {model} waits")


def decide(installation: Installation, model: ModelName) -> None:
    """Has bob approve what waits, if anything does."""
    with installation.database.read() as snapshot:
        waiting = [one for one in list_approvals(snapshot, BOB, ApprovalState.WAITING) if one.model == model]
    for one in waiting:
        installation.database.write(lambda tx, one=one: approve(tx, BOB, one.id, "looked at the slices"))  # type: ignore[misc]  # a bound default
    while work_once(installation, "shipper"):
        pass


__all__ = ["ADA", "BOB", "CREWS", "EVE", "LATE", "decide", "declare", "settings_of", "ship", "waiting_version", "write_project"]
