"""Outcomes as sums and histograms: the same metrics as from the rows, and they merge."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from modelyard.core.clock import Instant
from modelyard.monitoring.domain import BINARY_METRICS, METRICS, Metric, NoOutcomes
from modelyard.monitoring.rules.metrics import measured
from modelyard.monitoring.rules.outcomes import Outcome, metric_of, observations, rank_keys, summarised, together

Floats = NDArray[np.float64]
Batch = list[tuple[float, float]]


BATCH = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([i / 64 for i in range(65)])), max_size=20)


def sample(random: np.random.Generator, size: int) -> tuple[Floats, Floats]:
    y = (random.uniform(0, 1, size) < 0.25).astype(float)
    return y, np.clip(random.beta(2, 6, size) + 0.15 * y, 0, 1)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("size", [60, 5000])
def test_a_metric_of_outcomes_is_that_of_the_rows(random: np.random.Generator, metric: Metric, size: int) -> None:
    y, s = sample(random, size)
    found, exact = metric_of(metric, summarised(y, s, is_binary=metric in BINARY_METRICS)), measured(metric, y, s)
    assert found.value == pytest.approx(exact.value, abs=2e-5 if metric == "roc_auc" else 1e-12)
    assert found.standard_error == pytest.approx(exact.standard_error, rel=1e-3)
    assert found.rows == size


@given(a=BATCH, b=BATCH, c=BATCH)
def test_outcomes_merge_to_those_of_all_rows(a: Batch, b: Batch, c: Batch) -> None:
    parts = [summarised([y for y, _ in part], [s for _, s in part], is_binary=True) for part in (a, b, c)]
    whole = summarised([y for y, _ in a + b + c], [s for _, s in a + b + c], is_binary=True)
    one, other = together([together(parts[:2]), parts[2]]), together([parts[0], together(parts[1:])])
    for merged in (one, other):
        assert (merged.rows, merged.positive, merged.negative) == (whole.rows, whole.positive, whole.negative)
        for name, moments in whole.moments.items():
            assert merged.moments[name].total == pytest.approx(moments.total)
            assert merged.moments[name].squares == pytest.approx(moments.squares)


@given(st.lists(st.floats(allow_nan=False), min_size=2, max_size=30))
def test_rank_keys_keep_the_order_of_scores(scores: list[float]) -> None:
    ordered = np.sort(np.array(scores))
    assert (np.diff(rank_keys(ordered)) >= 0).all()


def test_rank_keys_tell_a_thousandth_apart_and_zeros_are_one() -> None:
    keys = rank_keys(np.array([0.2, 0.2004, 0.4999, 0.5, -0.5, 0.0, -0.0]))
    assert keys[0] < keys[1] < keys[2] < keys[3]
    assert keys[4] < keys[5] == keys[6]


def test_rows_without_a_usable_label_or_score_are_left_out() -> None:
    assert summarised([1, 0, np.nan, 1, 2], [0.5, 0.2, 0.1, np.inf, 0.4], is_binary=True).rows == 2


def test_a_metric_of_the_other_kind_or_of_one_class_is_refused() -> None:
    with pytest.raises(NoOutcomes):
        metric_of("rmse", summarised([0, 1], [0.1, 0.2], is_binary=True))
    with pytest.raises(NoOutcomes):
        metric_of("roc_auc", summarised([0, 0, 1], [0.1, 0.2, 0.3], is_binary=True))


def test_days_with_too_few_outcomes_are_measured_with_the_next(random: np.random.Generator) -> None:
    def cell(day: int, size: int) -> Outcome:
        return Outcome(since_at=Instant(day), until_at=Instant(day + 1), outcomes=summarised(*sample(random, size), is_binary=True))

    found = observations("roc_auc", [cell(0, 500), cell(1, 5), cell(2, 0), cell(3, 500), cell(4, 3)])
    assert [(one.since_at, one.until_at, one.rows) for one in found] == [(0, 1, 500), (1, 4, 505)]
