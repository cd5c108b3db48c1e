"""Shares of bad values: their intervals and tests against SciPy, and what counts as bad."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from modelyard.core.digests import Digest
from modelyard.monitoring.domain import QualityKind
from modelyard.monitoring.rules.profiles import profile
from modelyard.monitoring.rules.quality import column_quality, raised, share_rose_p, wilson
from modelyard.monitoring.rules.summaries import summarise

DIGEST = Digest("sha256:" + "0" * 64)


@pytest.mark.parametrize(("bad", "rows"), [(0, 50), (3, 40), (40, 40), (500, 9000)])
def test_the_interval_of_a_share_is_scipys(bad: int, rows: int) -> None:
    exact = stats.binomtest(bad, rows).proportion_ci(method="wilson")
    assert wilson(bad, rows) == pytest.approx((exact.low, exact.high))


@pytest.mark.parametrize(("window", "reference"), [((5, 100), (10, 5000)), ((1, 900), (0, 50_000)), ((30, 300), (500, 5000))])
def test_the_test_of_a_rise_is_the_conditional_binomial_test(window: Any, reference: Any) -> None:
    part = window[1] / (window[1] + reference[1])
    exact = stats.binomtest(window[0], window[0] + reference[0], part, alternative="greater")
    assert share_rose_p(window, reference) == pytest.approx(exact.pvalue)


@pytest.mark.parametrize("share", [0.001, 0.05, 0.5])
def test_the_test_of_a_rise_keeps_its_level(random: np.random.Generator, share: float) -> None:
    p = [share_rose_p((int(random.binomial(900, share)), 900), (int(random.binomial(20_000, share)), 20_000)) for _ in range(4000)]
    for level in (0.05, 0.01):
        assert np.mean(np.array(p) <= level) <= level * 1.2


def test_clustered_values_need_more_evidence() -> None:
    assert share_rose_p((30, 300), (500, 10_000), dispersion=5) > share_rose_p((30, 300), (500, 10_000))
    assert wilson(30, 300, dispersion=5)[1] > wilson(30, 300)[1]


def test_each_kind_of_bad_value_is_found_and_named() -> None:
    against = profile(pl.DataFrame({"x": np.linspace(0, 1, 5000), "k": ["a", "b"] * 2500, "gone": [1.0] * 5000, "text": [1.0] * 5000}))
    window = pl.DataFrame({"x": [0.5] * 80 + [7.0] * 20 + [None] * 50, "k": ["a"] * 100 + ["new"] * 50, "text": ["1"] * 100 + ["n/a"] * 50})
    found = {(one.column, one.kind): one for one in raised(column_quality(summarise(window, against, DIGEST), against), 1e-4, 0.03)}
    assert set(found) == {
        ("x", QualityKind.MISSING),
        ("x", QualityKind.OUT_OF_RANGE),
        ("k", QualityKind.UNSEEN),
        ("gone", QualityKind.ABSENT),
        ("text", QualityKind.INVALID),
    }
    assert found["x", QualityKind.OUT_OF_RANGE].share == pytest.approx(0.2)
    assert found["x", QualityKind.MISSING].rows == 150
    assert found["k", QualityKind.UNSEEN].examples == ("new",)


def test_a_rise_below_the_least_change_or_within_chance_is_not_reported(random: np.random.Generator) -> None:
    against = profile(pl.DataFrame({"x": np.where(random.uniform(0, 1, 50_000) < 0.10, np.nan, 1.0)}))
    slight = summarise(pl.DataFrame({"x": [None] * 1200 + [1.0] * 8800}), against, DIGEST)
    by_chance = summarise(pl.DataFrame({"x": [None] * 8 + [1.0] * 42}), against, DIGEST)
    assert raised(column_quality(slight, against), 0.01, 0.03) == ()
    assert raised(column_quality(by_chance, against), 0.01, 0.03) == ()


def test_only_the_named_columns_are_watched_and_an_empty_window_says_nothing() -> None:
    against = profile(pl.DataFrame({"x": [1.0, 2.0], "y": [1.0, 2.0]}))
    window = summarise(pl.DataFrame({"x": [None], "y": [None]}, schema={"x": pl.Float64, "y": pl.Float64}), against, DIGEST)
    assert {one.column for one in column_quality(window, against, ["y"])} == {"y"}
    assert column_quality(summarise(pl.DataFrame({"x": [], "y": []}), against, DIGEST), against) == ()


def test_nothing_is_unseen_where_the_reference_could_not_remember_all_categories() -> None:
    against = profile(pl.DataFrame({"id": [f"id{i}" for i in range(6000)]}))
    kinds = {one.kind for one in column_quality(summarise(pl.DataFrame({"id": ["other"]}), against, DIGEST), against)}
    assert QualityKind.UNSEEN not in kinds
