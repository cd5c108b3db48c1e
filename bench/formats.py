"""How fast the formats answer one row and a batch, and how fast they load. `python bench/formats.py` prints JSON."""

import importlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from lightgbm import LGBMClassifier

from modelyard.registry.domain import Column, Output, Signature
from modelyard.registry.formats import load, save

COLUMNS = 8
ROUNDS = 7
SIGNATURE = Signature(
    inputs=tuple(Column(name=f"x{place}", dtype="float64") for place in range(COLUMNS)), output=Output(kind="probability", label="1")
)


def best_us(work: Callable[[], object], calls: int) -> float:
    """The microseconds of a call, in the best of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(calls):
            work()
        rounds.append((time.perf_counter() - start) / calls * 1e6)
    return round(min(rounds), 1)


def models(rows: np.ndarray[Any, Any]) -> dict[str, Any]:
    """A model of each format, trained on the same rows."""
    labels = (rows[:, 0] + rows[:, 1] ** 2 > 1).astype(int)
    line = importlib.import_module("sklearn.linear_model").LogisticRegression().fit(rows, labels)
    to_onnx = importlib.import_module("skl2onnx").to_onnx
    return {
        "lightgbm, 200 trees": LGBMClassifier(n_estimators=200, n_jobs=1, verbose=-1).fit(rows, labels),
        "skops, logistic regression": line,
        "onnx, logistic regression": to_onnx(line, rows[:1].astype(np.float32), options={"zipmap": False}),
    }


def measured(model: Any, rows: np.ndarray[Any, Any]) -> dict[str, float]:
    """The times of one model: one row, a thousand rows, and a load from its folder."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        save(model, folder, SIGNATURE)
        predictor = load(folder)
        one, many = rows[:1].copy(), rows[:1000].copy()
        return {
            "one_row_us": best_us(lambda: predictor.predict(one), 500),
            "thousand_rows_us": best_us(lambda: predictor.predict(many), 20),
            "load_us": best_us(lambda: load(folder), 3),
        }


if __name__ == "__main__":
    matrix = np.random.default_rng(0).normal(size=(3000, COLUMNS))
    print(json.dumps({name: measured(model, matrix) for name, model in models(matrix).items()}, indent=2))
