"""Models to test the registry with: one table of flights, and models of each format that were really trained on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelyard.registry.domain import Column, Format, Output, Signature
from modelyard.registry.encoding import Matrix, matrix
from modelyard.registry.formats import save

ORIGINS = ("EWR", "JFK", "LGA")
FLIGHTS = Signature(
    inputs=(
        Column(name="origin", dtype="string", categories=ORIGINS),
        Column(name="hour", dtype="int64"),
        Column(name="wind", dtype="float64"),
        Column(name="distance", dtype="float64"),
    ),
    output=Output(name="late", kind="probability", label="late"),
)
NUMBER = Signature(inputs=FLIGHTS.inputs, output=Output(name="minutes"))

Table = dict[str, list[Any]]


def flights(count: int, seed: int = 1, *, missing: float = 0.0) -> tuple[Table, np.ndarray[Any, Any]]:
    """Some flights by column, and whether each was late."""
    rng = np.random.default_rng(seed)
    origin = rng.choice(ORIGINS, count).tolist()
    hour, wind, distance = rng.integers(5, 23, count), rng.gamma(2.0, 5.0, count), rng.uniform(80, 2500, count)
    chance = 1 / (1 + np.exp(3.0 - 0.1 * hour - 0.06 * wind - np.array([0.6 if one == "EWR" else 0.0 for one in origin])))
    late = (rng.random(count) < chance).astype(int)
    gone = rng.random(count) < missing
    return {
        "origin": [None if lost else one for one, lost in zip(origin, gone, strict=True)],
        "hour": hour.tolist(),
        "wind": [None if lost else one for one, lost in zip(wind.tolist(), gone, strict=True)],
        "distance": distance.tolist(),
    }, late


def training(count: int = 800, *, missing: float = 0.0) -> tuple[Matrix, np.ndarray[Any, Any]]:
    """The matrix and labels of some flights."""
    table, late = flights(count, missing=missing)
    return matrix(table, FLIGHTS), late


def lightgbm_model(seed: int = 0, threads: int = 1, missing: float = 0.1) -> LGBMClassifier:
    """A LightGBM classifier with categories and missing values."""
    x, y = training(missing=missing)
    model = LGBMClassifier(
        n_estimators=20, num_leaves=15, random_state=seed, n_jobs=threads, deterministic=True, force_row_wise=True, verbose=-1
    )
    return model.fit(x, y, categorical_feature=[0])


def lightgbm_regressor() -> LGBMRegressor:
    """A LightGBM regressor."""
    x, y = training()
    return LGBMRegressor(n_estimators=10, n_jobs=1, verbose=-1, force_row_wise=True).fit(x, y)


def linear_model() -> Any:
    """A scaled logistic regression of scikit-learn."""
    x, y = training()
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Saves a model into a folder of its own."""
    count = 0

    def done(model: Any, signature: Signature = FLIGHTS, expected: Format | None = None) -> Path:
        nonlocal count
        count += 1
        folder = tmp_path / f"model{count}"
        kind = save(model, folder, signature)
        assert expected in (None, kind)
        return folder

    return done
