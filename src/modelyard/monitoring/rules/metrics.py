"""Metrics of labelled predictions with their standard errors. Owns the formulas and each row's contribution to the error."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelyard.core.names import nearest
from modelyard.monitoring.domain import BINARY_METRICS, METRICS, Measured, Metric, NoOutcomes, UnknownMetric

LEAST_PROBABILITY = 1e-15
THRESHOLD = 0.5
Floats = NDArray[np.float64]


class Contributions(NamedTuple):
    """A metric's value, and what each row adds to its error: the squares of `rows` sum up to the variance."""

    value: float
    rows: Floats


def measured(metric: Metric, labels: ArrayLike, scores: ArrayLike, *, groups: ArrayLike | None = None) -> Measured:
    """`metric` of `scores` against `labels`, shape (n,) each. Raises NoOutcomes, UnknownMetric.

    Labels are 0 or 1 and scores probabilities for `roc_auc` (where any order will do), `accuracy` (at 0.5), `log_loss`
    and `brier`; numbers for `mae` and `rmse`. The standard error of `roc_auc` is DeLong's. `groups` names what rows
    belong together (a day, a customer): the error is then that of independent groups, not of independent rows.
    """
    value, rows = contributions(metric, labels, scores)
    return Measured(metric=metric, value=value, standard_error=float(np.sqrt(variance(rows, groups))), rows=rows.size)


def contributions(metric: Metric, labels: ArrayLike, scores: ArrayLike) -> Contributions:
    """The metric's value and each row's part of its error, by the metric's influence function."""
    y, s = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if metric not in METRICS:
        raise UnknownMetric(f"{metric!r} is not measured", hint=nearest(str(metric), METRICS))
    if y.shape != s.shape or y.ndim != 1 or y.size < 2:
        raise NoOutcomes(f"{metric} of {y.size} labels and {s.size} scores", hint="give at least two labelled predictions")
    if not (np.isfinite(y).all() and np.isfinite(s).all()):
        raise NoOutcomes(f"{metric} of values that are not finite", hint="leave out rows without a label or a score")
    if metric in BINARY_METRICS and not np.isin(y, (0.0, 1.0)).all():
        raise NoOutcomes(f"{metric} needs labels of 0 and 1", hint="use mae or rmse for numbers")
    if metric == "roc_auc":
        return _roc_auc(y, s)
    losses = row_losses(metric, y, s)
    mean = float(losses.mean())
    parts = (losses - mean) / np.sqrt(y.size * (y.size - 1))
    if metric == "rmse":
        root = float(np.sqrt(mean))
        return Contributions(root, parts / (2 * root) if root > 0 else parts)
    return Contributions(mean, parts)


def row_losses(metric: Metric, y: Floats, s: Floats) -> Floats:
    """What each row adds to the metric's mean: to the mean square for `rmse`, to the share of right answers for `accuracy`."""
    match metric:
        case "accuracy":
            losses: Floats = ((s >= THRESHOLD) == (y == 1.0)).astype(np.float64)
        case "log_loss":
            p = np.clip(s, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
            losses = -(y * np.log(p) + (1 - y) * np.log1p(-p))
        case "mae":
            losses = np.abs(y - s)
        case _:
            losses = (y - s) ** 2
    return losses


def variance(rows: Floats, groups: ArrayLike | None = None) -> float:
    """The variance that contributions sum up to, by groups where they are given.

    With groups it is the sum of squares of the groups' sums, times g / (g - 1), as in cluster-robust errors and in
    Obuchowski's clustered ROC areas (Biometrics 53, 1997).
    """
    if groups is None:
        return float((rows**2).sum())
    _, place = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(place, weights=rows)
    if sums.size < 2:
        raise NoOutcomes("one group alone has no error", hint="give rows of at least two groups, or no groups")
    return float((sums**2).sum() * sums.size / (sums.size - 1))


def _roc_auc(y: Floats, s: Floats) -> Contributions:
    """The area with DeLong's components (Biometrics 44, 1988), from midranks (Sun and Xu, IEEE SPL 21, 2014)."""
    positive = y == 1.0
    m, n = int(positive.sum()), int((~positive).sum())
    if m < 2 or n < 2:
        raise NoOutcomes(f"roc_auc of {m} positive and {n} negative outcomes", hint="wait for at least two of each")
    overall = midranks(s)
    above = np.empty(y.size)
    above[positive] = (overall[positive] - midranks(s[positive])) / n
    above[~positive] = 1.0 - (overall[~positive] - midranks(s[~positive])) / m
    area = float(above[positive].mean())
    scale = np.where(positive, np.sqrt(m * (m - 1.0)), np.sqrt(n * (n - 1.0)))
    return Contributions(area, (above - area) / scale)


def midranks(values: Floats) -> Floats:
    """Ranks from 1, equal values sharing their mean rank.

    >>> midranks(np.array([3.0, 1.0, 3.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: Floats = (last - (count - 1) / 2)[place]
    return ranks
