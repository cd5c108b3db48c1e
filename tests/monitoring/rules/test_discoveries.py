"""The false-alarm budget: Benjamini and Hochberg within a look, spending over time."""

import numpy as np
import pytest
from scipy import stats

from modelyard.monitoring.rules.discoveries import BUDGET, PERIOD_S, benjamini_hochberg, spent

# Benjamini and Hochberg, JRSS B 57 (1995), section 4: fifteen hypotheses of a trial, four rejected at 0.05.
PAPER = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]


def test_the_papers_example_rejects_four() -> None:
    assert benjamini_hochberg(PAPER, 0.05).tolist() == [True] * 4 + [False] * 11


def test_it_agrees_with_scipy_on_any_order(random: np.random.Generator) -> None:
    p = random.uniform(0, 1, 200) ** 3
    assert benjamini_hochberg(p, 0.05).tolist() == (stats.false_discovery_control(p) <= 0.05).tolist()


def test_nothing_is_rejected_of_nothing_of_nan_or_without_a_budget() -> None:
    assert benjamini_hochberg([], 0.05).size == 0
    assert not benjamini_hochberg([np.nan, np.nan], 0.05).any()
    assert not benjamini_hochberg([0.0], 0.0).any()


@pytest.mark.parametrize("looks", [1, 30, 720])
def test_the_looks_of_a_period_spend_the_budget_whatever_their_number(looks: int) -> None:
    assert sum(spent(PERIOD_S / looks) for _ in range(looks)) == pytest.approx(BUDGET)


def test_a_long_pause_spends_no_more_than_a_period() -> None:
    assert spent(10 * PERIOD_S) == BUDGET
    assert spent(-1) == 0.0
