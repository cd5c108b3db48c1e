"""Drift of columns: laws that every kind of column keeps, and the figures against SciPy on the rows themselves."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from modelyard.core.clock import SECOND, Instant
from modelyard.core.digests import Digest
from modelyard.monitoring.domain import Day, Reference
from modelyard.monitoring.rules.drift import column_drift, drifted, has_recovered, scan
from modelyard.monitoring.rules.profiles import profile
from modelyard.monitoring.rules.summaries import summarise

DIGEST = Digest("sha256:" + "0" * 64)
DAY = 86400 * SECOND
KINDS = ["normal", "whole", "words"]


def values(random: np.random.Generator, kind: str, size: int, shift: float = 0.0) -> Any:
    match kind:
        case "normal":
            return random.normal(shift, 1, size)
        case "whole":
            return random.poisson(4 + 2 * shift, size)
        case _:
            share = np.array([0.5 - shift / 3, 0.3, 0.15, 0.05 + shift / 3])
            return random.choice(list("abcd"), size, p=share)


def drift_of(before: Any, after: Any) -> Any:
    against = profile(pl.DataFrame({"x": before}))
    return column_drift(against.columns[0], summarise(pl.DataFrame({"x": after}), against, DIGEST).columns["x"])


def day(number: int, frame: pl.DataFrame, against: Reference) -> Day:
    return Day(since_at=Instant(number * DAY), summary=summarise(frame, against, DIGEST))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_rows_have_not_drifted(random: np.random.Generator, kind: str) -> None:
    rows = values(random, kind, 5000)
    found = drift_of(rows, rows)
    assert found.effect == pytest.approx(0)
    assert found.p == pytest.approx(1)
    assert found.psi == pytest.approx(0)
    assert found.jensen_shannon == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_a_larger_shift_has_a_larger_effect_and_a_smaller_p(random: np.random.Generator, kind: str) -> None:
    before = values(random, kind, 20_000)
    small, large = (drift_of(before, values(random, kind, 2000, shift)) for shift in (0.1, 0.5))
    assert small.effect < large.effect
    assert small.p > large.p
    assert small.psi < large.psi


@pytest.mark.parametrize("kind", KINDS)
def test_missing_values_are_no_drift(random: np.random.Generator, kind: str) -> None:
    before, after = values(random, kind, 5000), values(random, kind, 500)
    with_gaps = pl.concat([pl.Series("x", after), pl.Series("x", [None] * 200, dtype=pl.Series(after).dtype)])
    assert drift_of(before, with_gaps) == drift_of(before, after)


def test_the_figures_of_a_numeric_column_are_scipys_on_the_rows(random: np.random.Generator) -> None:
    before, after = random.gamma(2, 10, 50_000), random.gamma(2.2, 10, 5000)
    found, exact = drift_of(before, after), stats.ks_2samp(before, after, method="asymp")
    assert found.effect == pytest.approx(exact.statistic, abs=1 / 256)
    assert np.log10(found.p) == pytest.approx(np.log10(exact.pvalue), rel=0.1)
    assert found.distance == pytest.approx(stats.wasserstein_distance(before, after) / before.std(), rel=0.05)


def test_psi_of_a_numeric_column_is_over_deciles_of_the_reference(random: np.random.Generator) -> None:
    before, after = random.normal(0, 1, 100_000), random.normal(0.3, 1, 20_000)
    edges = np.quantile(before, np.arange(1, 10) / 10)
    r, c = (np.bincount(np.searchsorted(edges, x), minlength=10) / x.size for x in (before, after))
    assert drift_of(before, after).psi == pytest.approx(((c - r) * np.log(c / r)).sum(), rel=0.05)


def test_values_beyond_the_reference_count_in_full() -> None:
    found = drift_of(np.linspace(0, 1, 1000), np.linspace(5, 6, 100))
    assert found.effect == pytest.approx(1.0)
    assert found.distance == pytest.approx(5 / np.linspace(0, 1, 1000).std(), rel=0.02)


def test_a_window_without_values_says_nothing() -> None:
    assert drift_of([1.0, 2.0], pl.Series([None, None], dtype=pl.Float64)) is None


def test_significance_alone_is_not_enough(random: np.random.Generator) -> None:
    found = drift_of(random.normal(0, 1, 500_000), random.normal(0.02, 1, 500_000))
    assert found.p < 1e-6
    assert drifted([found], 0.01, 0.03) == ()
    assert drifted([found], 0.01, 0.005) == (found,)
    assert has_recovered(found, 0.03)


def test_a_sudden_change_is_found_in_its_first_day_and_says_since_when(random: np.random.Generator) -> None:
    at = pl.Series(np.repeat(np.arange(60), 500) * DAY)
    against = profile(pl.DataFrame({"x": random.normal(0, 1, 30_000), "calm": random.normal(0, 1, 30_000)}), at=at)
    frames = [pl.DataFrame({"x": random.normal(1.0 * (d == 6), 1, 500), "calm": random.normal(0, 1, 500)}) for d in range(7)]
    x, calm = scan([day(d, frames[d], against) for d in range(6, -1, -1)], against)
    assert x.p < 1e-20
    assert (x.since_at, x.rows) == (6 * DAY, 500)
    assert calm.p > 1e-3


def test_shorter_ends_are_not_looked_at_where_days_of_the_reference_are_unknown(random: np.random.Generator) -> None:
    against = profile(pl.DataFrame({"weekday": np.arange(700) % 7}))
    days = [day(d, pl.DataFrame({"weekday": [d] * 100}), against) for d in range(6, -1, -1)]
    (found,) = scan(days, against)
    assert found.rows == 700
    assert found.p > 0.9


def test_a_column_that_the_log_lacks_has_no_drift_of_its_own() -> None:
    against = profile(pl.DataFrame({"x": [1.0, 2.0], "y": [1.0, 2.0]}))
    assert [found.column for found in scan([day(0, pl.DataFrame({"x": [1.0]}), against)], against)] == ["x"]
    assert scan([], against) == ()
