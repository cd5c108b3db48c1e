"""Distances and tests on binned samples, against SciPy on the samples themselves."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from modelyard.monitoring.domain import EmptySample
from modelyard.monitoring.rules import distances

Distance = Callable[[list[int], list[int]], float]


COUNTS = st.lists(st.integers(0, 1000), min_size=2, max_size=12).filter(any)
DISTANCES = [distances.psi, distances.jensen_shannon, distances.total_variation, lambda r, c: distances.ks(r, c).statistic]


@pytest.mark.parametrize("distance", DISTANCES)
@given(counts=COUNTS, times=st.integers(1, 5))
def test_a_distance_of_equal_shares_is_zero(distance: Distance, counts: list[int], times: int) -> None:
    assert distance(counts, [count * times for count in counts]) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("distance", DISTANCES)
@given(pair=st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 1000)), min_size=2, max_size=12))
def test_a_distance_is_symmetric_and_not_negative(distance: Distance, pair: list[tuple[int, int]]) -> None:
    one, other = [a + 1 for a, _ in pair], [b for _, b in pair]
    assert distance(one, other) == pytest.approx(distance(other, one))
    assert distance(one, other) >= 0


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_distance_from_nothing_is_refused(distance: Distance) -> None:
    with pytest.raises(EmptySample):
        distance([1, 2], [0, 0])


def test_psi_is_the_worked_example_of_two_bins() -> None:
    expected = (0.4 - 0.5) * np.log(0.4 / 0.5) + (0.6 - 0.5) * np.log(0.6 / 0.5)
    assert distances.psi([50, 50], [40, 60]) == pytest.approx(expected)


def test_jensen_shannon_is_scipys(random: np.random.Generator) -> None:
    one, other = random.integers(0, 50, 20), random.integers(0, 50, 20)
    assert distances.jensen_shannon(one, other) == pytest.approx(jensenshannon(one, other, base=2))


def test_ks_on_distinct_values_is_scipys(random: np.random.Generator) -> None:
    one, other = random.integers(0, 40, 3000), random.integers(0, 42, 500)
    r, c = np.bincount(one, minlength=42), np.bincount(other, minlength=42)
    exact = stats.ks_2samp(one, other, method="asymp")
    found = distances.ks(r, c)
    assert found.statistic == pytest.approx(exact.statistic)
    assert found.p == pytest.approx(exact.pvalue, rel=0.1)


@pytest.mark.parametrize(("size", "statistic"), [(100, 0.15), (500, 0.08), (5000, 0.03)])
def test_the_p_value_of_ks_is_near_that_of_the_exact_distribution(size: int, statistic: float) -> None:
    assert distances.kolmogorov_p(statistic, size) == pytest.approx(stats.kstwo.sf(statistic, size), rel=0.03)


def test_dispersion_widens_ks_as_a_smaller_sample_would() -> None:
    one, other = np.array([500, 500]), np.array([60, 40])
    assert distances.ks(one, other, dispersion=2.0).p == pytest.approx(distances.ks(one / 2, other / 2).p)


def test_chi_square_is_scipys_where_no_cell_is_pooled(random: np.random.Generator) -> None:
    one, other = random.integers(200, 900, 8), random.integers(20, 90, 8)
    exact = stats.chi2_contingency(np.vstack([one, other]), correction=False)
    ratio = stats.chi2_contingency(np.vstack([one, other]), correction=False, lambda_="log-likelihood")
    found = distances.chi_square(one, other)
    assert found.statistic == pytest.approx(exact.statistic)
    assert found.p == pytest.approx(max(exact.pvalue, ratio.pvalue))


def test_cells_that_expect_too_few_are_pooled() -> None:
    table = distances.pooled(np.array([[900.0, 80.0, 10.0, 10.0, 0.0], [90.0, 9.0, 0.0, 0.0, 1.0]]))
    assert table.shape[1] == 2
    assert table.sum(axis=1).tolist() == [1000.0, 100.0]


def test_one_category_alone_cannot_differ() -> None:
    assert distances.chi_square([10, 0], [3, 0]).p == 1.0


@pytest.mark.parametrize("is_discrete", [True, False])
def test_wasserstein_is_scipys(random: np.random.Generator, is_discrete: bool) -> None:
    one, other = random.normal(0, 1, 4000), random.normal(0.3, 1.2, 1000)
    if is_discrete:
        one, other = one.round(1), other.round(1)
    points = np.unique(np.concatenate([one, other])) if is_discrete else np.linspace(-6, 6, 400)
    before, after = (np.searchsorted(np.sort(x), points, side="right") / x.size for x in (one, other))
    found = distances.wasserstein(points, before, after, is_discrete=is_discrete)
    assert found == pytest.approx(stats.wasserstein_distance(one, other), rel=1e-9 if is_discrete else 0.01)


@given(st.lists(st.integers(0, 20), min_size=3, max_size=6).filter(any), st.lists(st.integers(0, 20), min_size=3, max_size=6).filter(any))
def test_the_area_between_straight_lines_is_exact_where_they_cross(one: list[int], other: list[int]) -> None:
    size = min(len(one), len(other))
    points = np.arange(size, dtype=float)
    before, after = (np.cumsum(np.array(x[:size]) + 1.0) / (sum(x[:size]) + size) for x in (one, other))
    fine = np.linspace(0, size - 1, 20001)
    area = np.trapezoid(np.abs(np.interp(fine, points, before) - np.interp(fine, points, after)), fine)
    assert distances.wasserstein(points, before, after) == pytest.approx(area, abs=1e-3)
