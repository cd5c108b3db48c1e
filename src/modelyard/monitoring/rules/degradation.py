"""Whether a metric has lost what was declared, looked at as often as one likes. Owns the level at approval and the test.

The test is a window-limited CUSUM (Page, Biometrika 41, 1954; Lai, IEEE IT 44, 1998) over daily values with their errors. It
weighs "within a third of the declared drop" against an even mixture of losses of one, two and four times the drop, so
that a large loss is found in a day or two and a slight one as soon as can be. Three properties make it fit a model in service:

- False alarms are bounded over all looks. Started anew each day, the ratios add up to the Shiryaev-Roberts statistic,
  whose mean is at most the number of days while the level is tolerated: the chance to pass n / b within n days is at
  most b (Pollak, Annals of Statistics 13, 1985; Shin, Ramdas and Rinaldo, NEJSDS 2, 2024).
- It knows seasons. The bound holds for any level within a third of the declared drop, however long it stays there.
- Days differ by more than the chance of their rows (a storm delays every flight). That spread, measured at approval or
  on the days themselves, is part of each day's error.
"""

from collections.abc import Sequence
from math import log, sqrt

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelyard.core.clock import SECOND, Instant
from modelyard.monitoring.domain import BINARY_METRICS, HIGHER_IS_BETTER, Degradation, Level, Metric, Observation, Performance
from modelyard.monitoring.rules.discoveries import BUDGET, PERIOD_S
from modelyard.monitoring.rules.metrics import measured
from modelyard.monitoring.rules.outcomes import Outcome, observations, summarised

DAY_US = 86_400 * SECOND
MEMORY_US = 90 * DAY_US
"""How far back a loss may have begun, at least. Days differ so much that a loss of months shows in no two weeks of them."""
LEAST_DAYS = 8
ONE_SIDED_95 = 1.645
TOLERATED = 1 / 3
LOSSES = np.array([1.0, 2.0, 4.0])
LEAST_VARIANCE = 1e-18
Floats = NDArray[np.float64]


def approved_level(metric: Metric, labels: ArrayLike, scores: ArrayLike, at: ArrayLike | None = None) -> Level:
    """The level of `metric` on the rows that a version was approved on, shape (n,) each.

    `at` are their instants in microseconds; with LEAST_DAYS of them or more, the level knows how much days differ.
    """
    whole = measured(metric, labels, scores)
    level = Level(metric=metric, value=whole.value, standard_error=whole.standard_error, rows=whole.rows)
    days = () if at is None else _by_day(metric, labels, scores, at)
    if len(days) < LEAST_DAYS:
        return level
    spread = between(days)
    weight = 1.0 / (np.array([max(day.standard_error**2, LEAST_VARIANCE) for day in days]) + spread**2)
    mean = float((weight * np.array([day.value for day in days])).sum() / weight.sum())
    return msgspec.structs.replace(level, by_day=mean, by_day_error=float(1.0 / np.sqrt(weight.sum())), between_days=spread, days=len(days))


def _by_day(metric: Metric, labels: ArrayLike, scores: ArrayLike, at: ArrayLike) -> tuple[Observation, ...]:
    y, s = np.asarray(labels), np.asarray(scores)
    days = np.asarray(at, dtype=np.int64) // DAY_US
    cells = [
        Outcome(
            since_at=Instant(int(day) * DAY_US),
            until_at=Instant((int(day) + 1) * DAY_US),
            outcomes=summarised(y[days == day], s[days == day], is_binary=metric in BINARY_METRICS),
        )
        for day in np.unique(days)
    ]
    return observations(metric, cells)


def between(days: Sequence[Observation]) -> float:
    """The standard deviation of the true daily values, beyond the days' own errors (DerSimonian and Laird, CCT 7, 1986)."""
    value = np.array([day.value for day in days])
    weight = 1.0 / np.maximum(np.array([day.standard_error for day in days]) ** 2, LEAST_VARIANCE)
    centre = (weight * value).sum() / weight.sum()
    excess = (weight * (value - centre) ** 2).sum() - (len(days) - 1)
    return sqrt(max(0.0, excess / (weight.sum() - (weight**2).sum() / weight.sum())))


def _between_neighbours(days: Sequence[Observation]) -> float:
    """The same from each day and the next (von Neumann, AMS 12, 1941), so that a lasting change of the level does not count."""
    if len(days) < LEAST_DAYS:
        return 0.0
    value = np.array([day.value for day in days])
    noise = np.array([day.standard_error**2 for day in days])
    return sqrt(max(0.0, float(((np.diff(value) ** 2 - noise[1:] - noise[:-1]) / 2).mean())))


def degradation(level: Level, declared: Performance, days: Sequence[Observation], *, budget: float = BUDGET) -> Degradation | None:
    """What `days` (oldest first, since the level was approved) say of the declared loss; `None` without any.

    Look after each day that is complete. For each PERIOD_S with a tolerated level, the chance of an alarm at any look is at
    most `budget`; an alarm also needs the loss over the declared window (since its likely onset, where that is later) to
    be as large as declared.
    """
    recent = [day for day in days if day.until_at > days[-1].until_at - max(declared.window_us, MEMORY_US)]
    if not recent:
        return None
    sign = 1.0 if level.metric in HIGHER_IS_BETTER else -1.0
    drop = declared.drop * abs(level.daily) if declared.relative else declared.drop
    spread = level.between_days if level.between_days is not None else _between_neighbours(days)
    losses = sign * (level.daily - np.array([day.value for day in recent]))
    noise = np.array([max(day.standard_error**2, level.standard_error**2 * level.rows / day.rows) for day in recent]) + spread**2
    noise = np.maximum(noise, LEAST_VARIANCE)
    evidence = _evidence(losses, noise, drop, _vagueness(level, spread, drop))
    onset = int(evidence.argmax())
    is_in_window = np.array([day.until_at > recent[-1].until_at - declared.window_us for day in recent])
    since = max(onset, int(is_in_window.argmax()))
    weight = 1.0 / noise[since:]
    loss = float((weight * losses[since:]).sum() / weight.sum())
    return Degradation(
        metric=level.metric,
        approved=level.daily,
        value=level.daily - sign * loss,
        standard_error=sqrt(1.0 / weight.sum()),
        loss=loss,
        declared=drop,
        evidence=float(evidence[onset]),
        threshold=log(PERIOD_S * SECOND / DAY_US / budget),
        since_at=recent[onset].since_at,
        until_at=recent[-1].until_at,
        rows=sum(day.rows for day in recent[onset:]),
    )


def _vagueness(level: Level, spread: float, drop: float) -> float:
    """By how much the approved level may be too high beyond what is tolerated anyway."""
    error = sqrt(level.standard_error**2 + spread**2 / LEAST_DAYS) if level.by_day_error is None else level.by_day_error
    return max(0.0, ONE_SIDED_95 * error - TOLERATED * drop)


def _evidence(losses: Floats, noise: Floats, drop: float, vagueness: float) -> Floats:
    """The log likelihood ratio of the mixture of losses against the tolerated one, from each day on to the last."""
    tolerated, declared = TOLERATED * drop + vagueness, LOSSES * drop + vagueness
    ratios = (declared - tolerated)[:, None] / noise * (losses - ((declared + tolerated) / 2)[:, None])
    suffixes = np.cumsum(ratios[:, ::-1], axis=1)[:, ::-1]
    mixed: Floats = np.logaddexp.reduce(suffixes, axis=0) - log(LOSSES.size)
    return mixed
