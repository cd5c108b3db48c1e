"""Models to test the registry with: one table of flights, and a model that was really trained on it."""

from typing import Any

import numpy as np
from lightgbm import LGBMClassifier

from modelyard.registry.domain import Column, Output, Signature
from modelyard.registry.encoding import Matrix, matrix

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
