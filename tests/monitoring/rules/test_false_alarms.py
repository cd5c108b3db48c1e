"""A quiet month raises no alarm and a changed column is found: seeded, and small enough for every run of the tests.

`bench/monitoring.py` measures the same over more columns, more rows and more months.
"""

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from modelyard.core.clock import SECOND, Instant
from modelyard.core.digests import Digest
from modelyard.monitoring.domain import Day, Reference
from modelyard.monitoring.rules.discoveries import spent
from modelyard.monitoring.rules.drift import drifted, scan
from modelyard.monitoring.rules.profiles import profile
from modelyard.monitoring.rules.quality import column_quality, raised
from modelyard.monitoring.rules.summaries import summarise

DIGEST = Digest("sha256:" + "0" * 64)
DAY = 86_400 * SECOND
WINDOW, NUMBERS, WORDS, REFERENCE_DAYS = 7, 14, 6, 60
DAILY = spent(86_400)


def rows(random: np.random.Generator, size: int, *, shift: float = 0.0) -> pl.DataFrame:
    """Twenty columns of several shapes, some with gaps; the first of either kind is off by `shift`."""
    columns: dict[str, pl.Series] = {}
    for n in range(NUMBERS):
        shapes = (random.normal(0, 1, size), random.lognormal(3, 0.8, size), random.integers(0, 24, size) * 1.0, random.standard_t(4, size))
        values = shapes[n % 4] + (shift if n == 0 else 0.0)
        columns[f"n{n}"] = pl.Series(np.where(random.uniform(0, 1, size) < 0.02 * (n % 3), np.nan, values))
    for n in range(WORDS):
        share = 1 / np.arange(1, 4 + 6 * n)
        share[0] += shift if n == 0 else 0.0
        columns[f"k{n}"] = pl.Series(random.choice([f"v{i}" for i in range(share.size)], size, p=share / share.sum()))
    return pl.DataFrame(columns)


def days(random: np.random.Generator, against: Reference, size: int, shifts: list[float]) -> Iterator[list[Day]]:
    """After each day, the days of the window, newest first."""
    window: list[Day] = []
    for n, shift in enumerate(shifts):
        summary = summarise(rows(random, size, shift=shift), against, DIGEST)
        window = [Day(since_at=Instant(n * DAY), summary=summary), *window][:WINDOW]
        yield window


def reference(random: np.random.Generator, size: int) -> Reference:
    """What the days are held against: sixty such days."""
    at = pl.Series(np.repeat(np.arange(REFERENCE_DAYS), size) * DAY)
    return profile(rows(random, REFERENCE_DAYS * size), at=at)


@pytest.mark.parametrize("size", [200, 1000])
def test_a_month_without_change_raises_no_alarm(random: np.random.Generator, size: int) -> None:
    against = reference(random, size)
    for window in days(random, against, size, [0.0] * 30):
        assert drifted(scan(window, against), DAILY, 0.03) == ()
        assert raised(column_quality(window[0].summary, against), DAILY, 0.03) == ()


def test_a_changed_column_is_found_within_the_week_and_no_other(random: np.random.Generator) -> None:
    against = reference(random, 300)
    found: set[str] = set()
    for window in days(random, against, 300, [0.0] * 7 + [0.4] * 5):
        found |= {one.column for one in drifted(scan(window, against), DAILY, 0.03)}
    assert found == {"n0", "k0"}


def test_p_values_of_a_quiet_window_are_hardly_smaller_than_chance(random: np.random.Generator) -> None:
    against = reference(random, 200)
    p = [one.p for window in days(random, against, 200, [0.0] * 40) for one in scan(window, against)]
    for level in (0.05, 0.01, 0.001):
        assert np.mean(np.array(p) <= level) <= 1.5 * level


def test_days_that_come_as_weather_does_raise_no_alarm_where_the_reference_knows_them(random: np.random.Generator) -> None:
    def weather(count: int) -> pl.DataFrame:
        return pl.DataFrame({"wind": np.repeat(random.normal(10, 2, count), 100) + random.normal(0, 1, count * 100)})

    at = pl.Series(np.repeat(np.arange(120), 100) * DAY)
    wise, naive = profile(weather(120), at=at), profile(weather(120))
    alarms = {True: 0, False: 0}
    for is_wise, against in ((True, wise), (False, naive)):
        made = [Day(since_at=Instant(n * DAY), summary=summarise(weather(1), against, DIGEST)) for n in range(60)]
        for end in range(WINDOW, 60):
            alarms[is_wise] += len(drifted(scan(made[end - WINDOW : end][::-1], against), DAILY, 0.03))
    assert alarms[True] == 0
    assert alarms[False] > 20
