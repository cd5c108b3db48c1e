"""Distances between two binned samples, and the two tests on them. Owns formulas on counts; knows no column and no window.

All take counts over the same bins, shape (n_bins,), and raise EmptySample where one of the two holds nothing.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelyard.monitoring.domain.errors import EmptySample
from modelyard.monitoring.rules.special import special

EMPTY_BIN_SHARE = 1e-4
LEAST_EXPECTED = 5.0
Floats = NDArray[np.float64]


class Test(NamedTuple):
    """A statistic and its p-value."""

    statistic: float
    p: float


def shares(counts: ArrayLike) -> Floats:
    """The share of each bin."""
    array = np.asarray(counts, dtype=np.float64)
    total = array.sum()
    if not total > 0:
        raise EmptySample("a sample holds no values", hint="compare windows that hold at least one value")
    parts: Floats = array / total
    return parts


def psi(reference: ArrayLike, current: ArrayLike) -> float:
    """Population stability index, in nats: the sum over bins of (c - r) * ln(c / r) of their shares; 0 where they are equal.

    After Siddiqi, Credit Risk Scorecards (Wiley 2006). A share below EMPTY_BIN_SHARE is raised to it, so that an empty
    bin weighs in without making the sum infinite.

    >>> round(psi([50, 50], [40, 60]), 4)
    0.0405
    """
    r, c = (np.maximum(shares(counts), EMPTY_BIN_SHARE) for counts in (reference, current))
    return float(((c - r) * np.log(c / r)).sum())


def jensen_shannon(reference: ArrayLike, current: ArrayLike) -> float:
    """Jensen-Shannon distance with base 2: the root of the divergence, in [0, 1] (Endres and Schindelin, IEEE IT 49, 2003).

    >>> jensen_shannon([1, 0], [0, 1])
    1.0
    """
    r, c = shares(reference), shares(current)
    middle = (r + c) / 2
    divergence = (_relative_entropy(r, middle) + _relative_entropy(c, middle)) / 2
    return float(np.sqrt(min(max(divergence, 0.0), 1.0)))


def _relative_entropy(p: Floats, q: Floats) -> float:
    some = p > 0
    return float((p[some] * np.log2(p[some] / q[some])).sum())


def total_variation(reference: ArrayLike, current: ArrayLike) -> float:
    """Half the sum of the differences of the shares: the mass that would have to move, in [0, 1].

    >>> round(total_variation([50, 50], [40, 60]), 6)
    0.1
    """
    return float(np.abs(shares(reference) - shares(current)).sum() / 2)


def ks(reference: ArrayLike, current: ArrayLike, *, dispersion: float = 1.0) -> Test:
    """Two-sample Kolmogorov-Smirnov test on ordered bins.

    The statistic is the largest difference of the cumulative shares at the bins' borders: a lower bound of the unbinned
    one, within the largest bin's share of it. The p-value is asymptotic with Stephens' correction (JRSS B 32, 1970),
    hence conservative for ties. `dispersion` divides the effective size where rows are not independent.
    """
    r, c = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    distance = float(np.abs(np.cumsum(shares(r)) - np.cumsum(shares(c))).max())
    size = r.sum() * c.sum() / (r.sum() + c.sum()) / dispersion
    return Test(distance, kolmogorov_p(distance, size))


def kolmogorov_p(distance: float, size: float) -> float:
    """The chance of at least `distance` between a sample of effective size `size` and what it was drawn from."""
    root = np.sqrt(size)
    return float(special().kolmogorov((root + 0.12 + 0.11 / max(root, 1.0)) * distance))


def wasserstein(points: ArrayLike, reference: ArrayLike, current: ArrayLike, *, is_discrete: bool = False) -> float:
    """The area between two cumulative distributions over `points`: Wasserstein-1, in the unit of the points.

    `points` are n ascending places, the arrays the n cumulative shares there. Between two points both run straight;
    where `is_discrete`, both jump at each point.
    """
    width = np.diff(np.asarray(points, dtype=np.float64))
    gap = np.asarray(reference, dtype=np.float64) - np.asarray(current, dtype=np.float64)
    left, right = gap[:-1], gap[1:]
    if is_discrete:
        return float((np.abs(left) * width).sum())
    crosses = left * right < 0
    size = np.abs(left) + np.abs(right)
    height = np.where(crosses, (left**2 + right**2) / np.where(size > 0, 2 * size, 1.0), size / 2)
    return float((height * width).sum())


def chi_square(reference: ArrayLike, current: ArrayLike, *, dispersion: float = 1.0) -> Test:
    """Two-sample chi-square test of homogeneity; the noise of both samples counts.

    Cells that expect fewer than LEAST_EXPECTED in either sample are pooled. The statistic is Pearson's; the p-value is
    the larger of Pearson's and the likelihood ratio's, for Pearson's overstates rare cells far out in the tail.
    `dispersion` divides the statistics (quasi-likelihood: McCullagh and Nelder, Generalized Linear Models, 1989, 4.5).
    """
    table = pooled(np.vstack([np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)]))
    if table.shape[1] < 2:
        return Test(0.0, 1.0)
    expected = _expected(table)
    pearson = float(((table - expected) ** 2 / expected).sum())
    some = table > 0
    ratio = 2 * float((table[some] * np.log(table[some] / expected[some])).sum())
    freedom = table.shape[1] - 1
    p = max(float(special().chdtrc(freedom, max(value, 0.0) / dispersion)) for value in (pearson, ratio))
    return Test(pearson, p)


def pooled(table: Floats) -> Floats:
    """`table`, shape (2, k), with the cells that expect too few pooled into one, and that one into the next if need be."""
    for row in table:
        shares(row)
    table = table[:, table.sum(axis=0) > 0]
    order = np.argsort(table.sum(axis=0), kind="stable")
    table = table[:, order]
    least = _expected(table).min(axis=0)
    cumulative = np.cumsum(least)
    # Columns ascend by size, so those to pool come first; they take in further ones until together they expect enough.
    few = int((least < LEAST_EXPECTED).sum())
    if few == 0:
        return table
    enough = int(np.searchsorted(cumulative, LEAST_EXPECTED)) + 1
    take = min(max(few, enough), table.shape[1])
    return np.hstack([table[:, :take].sum(axis=1, keepdims=True), table[:, take:]])


def _expected(table: Floats) -> Floats:
    expected: Floats = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return expected
