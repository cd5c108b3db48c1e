"""The sequential test of a declared loss: its level, its delay, and that it knows seasons."""

from typing import Any

import msgspec
import numpy as np
import pytest

from modelyard.core.clock import SECOND, Instant
from modelyard.monitoring.domain import Level, Observation, performance
from modelyard.monitoring.rules.degradation import approved_level, between, degradation

DAY = 86400 * SECOND
DECLARED = performance("roc_auc", drop=0.03, window="14d")
LEVEL = Level(metric="roc_auc", value=0.72, standard_error=0.004, rows=18_000, between_days=0.0, days=30)


def days(values: Any, error: float = 0.02) -> list[Observation]:
    return [
        Observation(since_at=Instant(i * DAY), until_at=Instant((i + 1) * DAY), value=float(v), standard_error=error, rows=700)
        for i, v in enumerate(values)
    ]


def first_alarm(level: Level, declared: Any, values: Any, error: float = 0.02) -> int | None:
    """The first day, counted from 1, after which the declared degradation is said; `None` where it never is."""
    made = days(values, error)
    return next((n for n in range(1, len(made) + 1) if (found := degradation(level, declared, made[:n])) and found.is_declared), None)


def test_a_model_as_approved_raises_no_alarm_in_years(random: np.random.Generator) -> None:
    alarms = [first_alarm(LEVEL, DECLARED, random.normal(0.72, 0.02, 120)) for _ in range(40)]
    assert alarms == [None] * 40


def test_a_season_of_less_than_a_third_of_the_declared_drop_raises_none(random: np.random.Generator) -> None:
    season = 0.72 - 0.01 * (1 - np.cos(np.arange(365) * 2 * np.pi / 365)) / 2
    alarms = [first_alarm(LEVEL, DECLARED, random.normal(season, 0.02)) for _ in range(5)]
    assert alarms == [None] * 5


@pytest.mark.parametrize(("loss", "most_days"), [(0.045, 8), (0.06, 4), (0.10, 2)])
def test_a_larger_loss_is_found_sooner(random: np.random.Generator, loss: float, most_days: int) -> None:
    delays = []
    for _ in range(20):
        values = np.concatenate([random.normal(0.72, 0.02, 30), random.normal(0.72 - loss, 0.02, 40)])
        found = first_alarm(LEVEL, DECLARED, values)
        assert found is not None
        delays.append(found - 30)
    assert min(delays) > 0
    assert np.median(delays) <= most_days


def test_it_says_since_when_and_how_much(random: np.random.Generator) -> None:
    values = np.concatenate([random.normal(0.72, 0.01, 20), random.normal(0.65, 0.01, 8)])
    found = degradation(LEVEL, DECLARED, days(values, 0.01))
    assert found is not None
    assert found.is_declared
    assert found.since_at == 20 * DAY
    assert found.value == pytest.approx(0.65, abs=0.01)
    assert found.loss == pytest.approx(0.07, abs=0.01)
    assert (found.rows, found.declared) == (8 * 700, 0.03)


def test_a_certain_loss_below_the_declared_one_is_not_the_declared_degradation() -> None:
    sure = Level(metric="roc_auc", value=0.72, standard_error=0.0005, rows=18_000, between_days=0.0, days=30)
    found = degradation(sure, DECLARED, days([0.695] * 14, 0.001))
    assert found is not None
    assert found.evidence > found.threshold
    assert not found.is_declared


def test_days_that_differ_by_themselves_need_more_of_them(random: np.random.Generator) -> None:
    uneven = Level(metric="roc_auc", value=0.72, standard_error=0.004, rows=18_000, between_days=0.05, days=30)
    alarms = [first_alarm(uneven, DECLARED, random.normal(0.72, np.hypot(0.02, 0.05), 120)) for _ in range(30)]
    assert alarms == [None] * 30


def test_an_unknown_spread_between_days_is_taken_from_neighbouring_days(random: np.random.Generator) -> None:
    unknown = Level(metric="roc_auc", value=0.72, standard_error=0.004, rows=18_000)
    storms = random.normal(0.72, 0.05, 60)
    with_spread = degradation(unknown, DECLARED, days(storms, 0.005))
    without = degradation(LEVEL, DECLARED, days(storms, 0.005))
    assert with_spread is not None
    assert without is not None
    assert with_spread.evidence < without.evidence


def test_for_an_error_a_rise_is_the_loss_and_relative_drops_are_shares() -> None:
    level = Level(metric="log_loss", value=0.50, standard_error=0.001, rows=100_000, between_days=0.0, days=30)
    declared = performance("log_loss", drop=0.10, window="7d", relative=True)
    found = degradation(level, declared, days([0.58] * 7, 0.005))
    assert found is not None
    assert found.is_declared
    assert found.declared == pytest.approx(0.05)
    assert found.loss == pytest.approx(0.08)
    assert first_alarm(level, declared, [0.42] * 10, 0.005) is None


def test_a_loss_that_is_over_is_none_though_its_evidence_stands_for_ninety_days() -> None:
    assert degradation(LEVEL, DECLARED, []) is None
    found = degradation(LEVEL, DECLARED, days([0.60] * 5 + [0.72] * 14, 0.01))
    assert found is not None
    assert found.evidence > found.threshold
    assert found.loss == pytest.approx(0.0, abs=1e-9)
    assert not found.is_declared
    later = degradation(LEVEL, DECLARED, days([0.60] * 5 + [0.72] * 90, 0.01))
    assert later is not None
    assert later.evidence < 0


def test_a_loss_that_no_window_can_tell_from_its_noisy_days_is_found_over_months(random: np.random.Generator) -> None:
    noisy = msgspec.structs.replace(LEVEL, between_days=0.06, by_day=0.72, by_day_error=0.01)
    values = np.concatenate([random.normal(0.72, 0.06, 60), random.normal(0.66, 0.06, 90)])
    found = first_alarm(noisy, DECLARED, values)
    assert found is not None
    assert 60 + 14 < found <= 150


def test_a_level_measured_on_few_rows_widens_the_middle() -> None:
    vague = Level(metric="roc_auc", value=0.72, standard_error=0.03, rows=300, between_days=0.0, days=30)
    sure, unsure = (degradation(level, DECLARED, days([0.68] * 14, 0.01)) for level in (LEVEL, vague))
    assert sure is not None
    assert unsure is not None
    assert sure.is_declared
    assert not unsure.is_declared


# The BCG vaccine trials (Colditz et al., JAMA 271, 1994): vaccinated with and without tuberculosis, the same of controls.
# DerSimonian and Laird's tau**2 of their log risk ratios is 0.3088 (metafor, rma(method="DL")).
BCG = [
    (4, 119, 11, 128), (6, 300, 29, 274), (3, 228, 11, 209), (62, 13536, 248, 12619), (33, 5036, 47, 5761), (180, 1361, 372, 1079),
    (8, 2537, 10, 619), (505, 87886, 499, 87892), (29, 7470, 45, 7232), (17, 1699, 65, 1600), (186, 50448, 141, 27197),
    (5, 2493, 3, 2338), (27, 16886, 29, 17825),
]  # fmt: skip


def test_the_spread_between_days_is_dersimonian_and_lairds() -> None:
    trials = [
        Observation(
            since_at=Instant(i),
            until_at=Instant(i + 1),
            value=float(np.log((a / (a + b)) / (c / (c + d)))),
            standard_error=float(np.sqrt(1 / a - 1 / (a + b) + 1 / c - 1 / (c + d))),
            rows=a + b + c + d,
        )
        for i, (a, b, c, d) in enumerate(BCG)
    ]
    assert between(trials) ** 2 == pytest.approx(0.3088, abs=1e-4)


def test_the_approved_level_knows_how_much_days_differ(random: np.random.Generator) -> None:
    day = np.repeat(np.arange(30), 400)
    y = (random.uniform(0, 1, day.size) < 0.3).astype(float)
    at = day * DAY + 5
    same = approved_level("roc_auc", y, y + random.normal(0, 1.2, day.size), at)
    swing = np.repeat(random.normal(1, 0.5, 30), 400)
    uneven = approved_level("roc_auc", y, swing * y + random.normal(0, 1.2, day.size), at)
    assert same.days == uneven.days == 30
    assert same.between_days is not None
    assert uneven.between_days is not None
    assert same.between_days < 0.02 < 0.05 < uneven.between_days
    assert approved_level("roc_auc", y, y + random.normal(0, 1, day.size)).between_days is None
