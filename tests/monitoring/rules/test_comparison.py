"""The paired comparison against DeLong's covariances pair by pair, the bootstrap, and its own level under simulation."""

import importlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from modelyard.monitoring.domain import HIGHER_IS_BETTER, METRICS, Metric
from modelyard.monitoring.rules.comparison import always_valid, paired_difference
from modelyard.monitoring.rules.metrics import measured

Floats = NDArray[np.float64]
# Without stubs of its own.
sklearn_metrics: Any = importlib.import_module("sklearn.metrics")


def pair(random: np.random.Generator, size: int, gain: float = 0.0) -> tuple[Floats, Floats, Floats]:
    """Labels and the correlated scores of two models; b sees more of the truth by `gain`."""
    y = (random.uniform(0, 1, size) < 0.35).astype(float)
    shared = random.normal(0, 1, size)
    a, b = (1 / (1 + np.exp(-(y + shared + random.normal(0, 0.5, size) + extra * y - 1))) for extra in (0.0, gain))
    return y, a, b


def test_the_difference_of_areas_is_delongs_paired_test(random: np.random.Generator) -> None:
    y, a, b = pair(random, 120, 0.4)
    parts = []
    for s in (a, b):
        psi = (s[y == 1][:, None] > s[y == 0][None, :]).astype(float)
        parts.append((psi.mean(axis=1), psi.mean(axis=0)))
    positive, negative = (np.cov(np.vstack([parts[0][k], parts[1][k]])) for k in (0, 1))
    covariance = positive / parts[0][0].size + negative / parts[0][1].size
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    found = paired_difference("roc_auc", y, a, b)
    gain = sklearn_metrics.roc_auc_score(y, b) - sklearn_metrics.roc_auc_score(y, a)
    assert found.difference == pytest.approx(gain)
    assert found.standard_error == pytest.approx(error)
    assert found.p_worse == pytest.approx(stats.norm.sf(gain / error))
    assert (found.low, found.high) == pytest.approx(stats.norm.interval(0.95, gain, error))


@pytest.mark.parametrize("metric", METRICS)
def test_the_error_of_a_difference_is_the_paired_bootstraps(random: np.random.Generator, metric: Metric) -> None:
    y, a, b = pair(random, 400, 0.3)
    rows = random.integers(0, y.size, (800, y.size))
    again = [measured(metric, y[r], b[r]).value - measured(metric, y[r], a[r]).value for r in rows]
    assert paired_difference(metric, y, a, b).standard_error == pytest.approx(np.std(again), rel=0.1)


@pytest.mark.parametrize("metric", METRICS)
def test_a_better_model_has_a_small_p_and_a_worse_one_a_large(random: np.random.Generator, metric: Metric) -> None:
    y, a, b = pair(random, 3000, 1.0)
    better, worse = paired_difference(metric, y, a, b), paired_difference(metric, y, b, a)
    assert better.p_worse < 1e-4
    assert worse.p_worse == pytest.approx(1 - better.p_worse)
    assert (better.difference > 0) == (metric in HIGHER_IS_BETTER)


def test_a_model_against_itself_is_no_better() -> None:
    y, s = np.array([0.0, 1, 0, 1]), np.array([0.1, 0.9, 0.4, 0.3])
    found = paired_difference("roc_auc", y, s, s)
    assert (found.difference, found.standard_error, found.p_worse) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_equal_models_pass_at_the_level_of_the_test(random: np.random.Generator, metric: Metric) -> None:
    p = [paired_difference(metric, *pair(random, 300)).p_worse for _ in range(1500)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.02)


def test_rows_of_one_day_count_as_one_where_days_differ(random: np.random.Generator) -> None:
    rejected = {True: 0, False: 0}
    for _ in range(300):
        day = np.repeat(np.arange(40), 25)
        y, a, b = pair(random, day.size)
        a, b = (s + np.repeat(random.normal(0, 0.2, 40), 25) * (2 * y - 1) for s in (a, b))
        for by_day in rejected:
            rejected[by_day] += paired_difference("roc_auc", y, a, b, groups=day if by_day else None).p_worse < 0.05
    assert rejected[True] / 300 < 0.10
    assert rejected[False] / 300 > 0.15


def test_looking_after_every_batch_stays_at_the_level_only_when_always_valid(random: np.random.Generator) -> None:
    passed = {"fixed": 0, "always": 0}
    for _ in range(300):
        y, a, b = pair(random, 3000)
        found = [paired_difference("brier", y[:n], a[:n], b[:n]) for n in range(150, 3001, 150)]
        passed["fixed"] += any(one.p_worse < 0.05 for one in found)
        passed["always"] += any(always_valid(one, planned_error=found[-1].standard_error).p_worse < 0.05 for one in found)
    assert passed["fixed"] / 300 > 0.12
    assert passed["always"] / 300 <= 0.05


def test_an_always_valid_interval_is_wider_and_still_finds_a_gain(random: np.random.Generator) -> None:
    found = paired_difference("brier", *pair(random, 3000, 1.0))
    valid = always_valid(found, planned_error=found.standard_error)
    assert valid.low < found.low < found.high < valid.high
    assert valid.p_worse < 0.01
    assert always_valid(paired_difference("brier", [0, 1], [0.2, 0.8], [0.2, 0.8]), planned_error=0.1).p_worse == 1.0
