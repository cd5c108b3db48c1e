"""A small declaration over real files, for tests of what happens to declarations."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from modelyard.core.digests import digest_bytes
from modelyard.delivery.declaration import AsOf, DeclaredModel, ModelDeclaration, Observations, RequestField
from modelyard.features.domain import Entity, FeatureSet, FeatureView, Parquet
from modelyard.registry.domain import RiskTier

AT = [datetime(2025, 12, day, tzinfo=UTC) for day in (1, 2, 3)]
WEATHER, FLIGHTS = "weather.parquet", "flights.parquet"


def write_sources(folder: Path) -> None:
    """Three rows of weather and of flights."""
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"origin": ["JFK"] * 3, "at": AT, "wind": [1.0, 2.0, 3.0]}).write_parquet(folder / WEATHER)
    flights = {"origin": ["JFK"] * 3, "scheduled_at": AT, "landed_at": AT, "distance": [1, 2, 3], "late": [0, 1, 0]}
    pl.DataFrame(flights).write_parquet(folder / FLIGHTS)


def declared(root: Path, weather: str = WEATHER, flights: str = FLIGHTS, **changes: Any) -> DeclaredModel:
    """A model that reads both sources, from `root`; `changes` are fields of its declaration."""
    view = FeatureView("weather", Entity("origin"), Parquet(weather, timestamp="at"), features=["wind"], ttl="3h")
    declaration = ModelDeclaration(
        name="late",
        function="models:late",
        owner="ops",
        risk=RiskTier.LIMITED,
        purpose="Warn of late flights.",
        features=FeatureSet("late", [view]),
        observations=Observations(source=Parquet(flights, timestamp="scheduled_at"), known="landed_at"),
        request=(RequestField("distance", "int64"),),
        as_of=AsOf("scheduled_at"),
        label="late",
        **changes,
    )
    return DeclaredModel(declaration=declaration, source=digest_bytes(b"source"), root=str(root))
