"""Metrics and their errors against scikit-learn, DeLong's definition pair by pair, and the bootstrap."""

import importlib
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from modelyard.monitoring.domain import METRICS, Metric, NoOutcomes, UnknownMetric
from modelyard.monitoring.rules.metrics import measured, midranks

Floats = NDArray[np.float64]
# Without stubs of its own.
sklearn_metrics: Any = importlib.import_module("sklearn.metrics")


BY_SKLEARN = {
    "roc_auc": sklearn_metrics.roc_auc_score,
    "accuracy": lambda y, s: sklearn_metrics.accuracy_score(y, s >= 0.5),
    "log_loss": sklearn_metrics.log_loss,
    "brier": sklearn_metrics.brier_score_loss,
    "mae": sklearn_metrics.mean_absolute_error,
    "rmse": sklearn_metrics.root_mean_squared_error,
}


def sample(random: np.random.Generator, size: int = 400) -> tuple[Floats, Floats]:
    y = (random.uniform(0, 1, size) < 0.3).astype(float)
    return y, np.clip(random.normal(0.35 + 0.2 * y, 0.15).round(2), 0.01, 0.99)


def delong(y: Floats, s: Floats) -> float:
    """The variance of the area by DeLong, DeLong and Clarke-Pearson (1988), every pair written out."""
    x, z = s[y == 1], s[y == 0]
    psi = (x[:, None] > z[None, :]) + 0.5 * (x[:, None] == z[None, :])
    return float(psi.mean(axis=1).var(ddof=1) / x.size + psi.mean(axis=0).var(ddof=1) / z.size)


@pytest.mark.parametrize("metric", METRICS)
def test_each_metric_is_scikit_learns(random: np.random.Generator, metric: Metric) -> None:
    y, s = sample(random)
    assert measured(metric, y, s).value == pytest.approx(BY_SKLEARN[metric](y, s))


@pytest.mark.parametrize("metric", METRICS)
def test_each_standard_error_is_the_bootstraps(random: np.random.Generator, metric: Metric) -> None:
    y, s = sample(random)
    again = [BY_SKLEARN[metric](y[rows], s[rows]) for rows in random.integers(0, y.size, (600, y.size))]
    assert measured(metric, y, s).standard_error == pytest.approx(np.std(again), rel=0.12)


def test_the_error_of_the_area_is_delongs(random: np.random.Generator) -> None:
    y, s = sample(random, 150)
    assert measured("roc_auc", y, s).standard_error ** 2 == pytest.approx(delong(y, s))


@pytest.mark.parametrize("metric", METRICS)
def test_groups_of_one_row_are_independent_rows(random: np.random.Generator, metric: Metric) -> None:
    y, s = sample(random)
    alone = measured(metric, y, s).standard_error
    assert measured(metric, y, s, groups=np.arange(y.size)).standard_error == pytest.approx(alone, rel=0.01)


@pytest.mark.parametrize("metric", ["roc_auc", "brier"])
def test_rows_that_belong_together_are_worth_less(random: np.random.Generator, metric: Metric) -> None:
    y, s = sample(random, 100)
    copies = [np.repeat(x, 9) for x in (y, s, np.arange(100))]
    once, grouped = measured(metric, y, s), measured(metric, copies[0], copies[1], groups=copies[2])
    assert grouped.value == pytest.approx(once.value)
    assert grouped.standard_error == pytest.approx(once.standard_error, rel=0.02)
    assert measured(metric, copies[0], copies[1]).standard_error < 0.5 * grouped.standard_error


def test_midranks_are_scipys(random: np.random.Generator) -> None:
    values = random.integers(0, 9, 50).astype(float)
    assert midranks(values).tolist() == stats.rankdata(values).tolist()


@pytest.mark.parametrize(
    ("metric", "labels", "scores"),
    [
        ("roc_auc", [0, 0, 1], [0.1, 0.2, 0.3]),
        ("accuracy", [0, 1, 2], [0.1, 0.2, 0.3]),
        ("mae", [1.0], [1.0]),
        ("mae", [1.0, 2.0], [1.0]),
        ("brier", [0, 1, 1], [0.1, np.nan, 0.3]),
    ],
)
def test_what_cannot_be_measured_is_refused(metric: Metric, labels: list[float], scores: list[float]) -> None:
    with pytest.raises(NoOutcomes):
        measured(metric, labels, scores)


def test_an_unknown_metric_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownMetric) as refused:
        measured(cast("Metric", "roc_acu"), [0, 1], [0.1, 0.2])
    assert "roc_auc" in refused.value.hint
