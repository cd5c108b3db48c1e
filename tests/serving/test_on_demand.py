"""On-demand features in the gateway: computed for one row and for many, handed to the model and to the log, equal to offline."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.core.clock import Instant, moment
from modelyard.core.digests import digest_bytes
from modelyard.features.domain import Feature, FeatureSet, OnDemand
from modelyard.features.history import load_history
from modelyard.features.materialization import carry_out, planned
from modelyard.features.offline import offline_values
from modelyard.registry.domain import Column, Format, ModelName, Signature
from modelyard.serving.domain import ServedVersion
from modelyard.serving.gateway.model import LoadedVersion
from modelyard.serving.gateway.rows import Asked
from modelyard.storage.online import LmdbStore
from tests.conftest import START
from tests.serving.world import WEATHER

FELT = OnDemand(
    "felt",
    (Feature("wind", "float64"), Feature("distance", "float64"), Feature("origin", "string")),
    "float64",
    "def felt(wind, distance, origin): return np.where(origin == 'JFK', np.log1p(wind), wind) / distance",
)
SET = FeatureSet("late_features", [WEATHER["wind"], FELT])
INPUTS = (Column(name="distance", dtype="float64"), Column(name="wind", dtype="float64"), Column(name="felt", dtype="float64"))
NOW = Instant(START + 60_000_000)
AIRPORTS = ("JFK", "LGA", "nowhere")


class Felt:
    """A model that answers what was felt, and -1 where nothing was."""

    def predict(self, matrix: Any, /) -> np.ndarray[Any, Any]:
        """The third column, null as -1."""
        felt: np.ndarray[Any, Any] = matrix[:, 2]
        return np.where(np.isnan(felt), -1.0, felt)


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[LoadedVersion]:
    """A version that reads the set, over a store that holds what its source says."""
    weather = pl.DataFrame({"origin": ["JFK", "LGA"], "at": [moment(Instant(START))] * 2, "wind": [0.3, 0.7], "rain": [0.0, 0.0]})
    weather.write_parquet(tmp_path / "w.parquet")
    store = LmdbStore.open(tmp_path / "online", durable=False, map_bytes=1 << 24)
    carry_out(store, [planned(load_history(WEATHER, tmp_path), store, NOW)])
    signature = Signature(inputs=INPUTS)
    version = ServedVersion(number=1, format=Format.LIGHTGBM, artifact=digest_bytes(b""), signature=signature, feature_set=SET)
    yield LoadedVersion(ModelName("late"), version, Felt(), store)
    store.close()


def asked(*rows: tuple[str, float | None]) -> Asked:
    """A request about flights of these lengths from these airports."""
    return Asked({"origin": [origin for origin, _ in rows], "distance": [distance for _, distance in rows]}, len(rows))


def test_a_request_of_many_rows_and_of_one_gets_what_the_training_rows_have(loaded: LoadedVersion, tmp_path: Path) -> None:
    rows = [(AIRPORTS[n % 3], [500.5, 0.0, None, 1.0][n % 4]) for n in range(24)]
    labels = pl.DataFrame(rows, schema=["origin", "distance"], orient="row")
    offline = offline_values(SET, labels, np.full(len(rows), NOW), {"weather": tmp_path})[0]["felt"].to_list()
    many = loaded.answered(asked(*rows), NOW)
    assert many.read.features["felt"] == offline
    assert [loaded.answered(asked(row), NOW).read.features["felt"][0] for row in rows] == offline
    assert many.values == [-1.0 if value is None else value for value in offline]
    assert offline[0] == float(np.log1p(0.3) / 500.5)
    assert (offline.count(None), len(set(offline))) == (16, 5)


def test_what_was_computed_is_logged_as_a_feature_beside_what_it_was_computed_from(loaded: LoadedVersion) -> None:
    request = asked(("LGA", 2.0))
    fields = [(field.name, field.role) for field in loaded.layout.layout.fields]
    cells = dict(zip(fields, loaded.logged_columns(request, loaded.read(request, NOW)), strict=True))
    assert (cells["felt", "feature"], cells["wind", "feature"], cells["distance", "request"]) == ([0.35], [0.7], [2.0])
