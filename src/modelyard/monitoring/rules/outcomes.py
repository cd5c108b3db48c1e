"""Labelled predictions as sums and histograms that merge. Owns how every metric, with its error, comes out of them."""

from collections.abc import Sequence
from math import sqrt

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelyard.core.clock import Instant
from modelyard.monitoring.domain import (
    BINARY_METRICS,
    NUMBER_METRICS,
    Histogram,
    Measured,
    Metric,
    Moments,
    NoOutcomes,
    Observation,
    Outcomes,
)
from modelyard.monitoring.rules.metrics import row_losses

BINARY_LOSSES: tuple[Metric, ...] = ("accuracy", "log_loss", "brier")
NUMBER_LOSSES: tuple[Metric, ...] = ("mae", "rmse")
LEAST_OF_A_CLASS = 10
LEAST_ROWS = 20
KEY_SHIFT = 52 - 10
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the labels say that came between `since_at` and `until_at`; `measured` where that is known already."""

    since_at: Instant
    until_at: Instant
    outcomes: Outcomes
    measured: tuple[Measured, ...] = ()


def summarised(labels: ArrayLike, scores: ArrayLike, *, is_binary: bool) -> Outcomes:
    """The outcomes of labelled predictions, shape (n,) each. Rows whose label or score is not finite are left out."""
    y, s = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    usable = np.isfinite(y) & np.isfinite(s) & (np.isin(y, (0.0, 1.0)) | (not is_binary))
    y, s = y[usable], s[usable]
    losses = BINARY_LOSSES if is_binary else NUMBER_LOSSES
    moments: dict[str, Moments] = {metric: _moments(row_losses(metric, y, s)) for metric in losses}
    if not is_binary:
        return Outcomes(rows=y.size, moments=moments)
    return Outcomes(rows=y.size, positive=_histogram(s[y == 1.0]), negative=_histogram(s[y == 0.0]), moments=moments)


def _moments(losses: Floats) -> Moments:
    return Moments(total=float(losses.sum()), squares=float((losses**2).sum()))


def rank_keys(scores: Floats) -> Integers:
    """Whole numbers in the order of `scores` that keep sign, exponent and ten bits of the fraction: a thousandth of the score.

    Halves and other short binary fractions are borders of their cells, so a threshold of 0.5 splits no cell.
    """
    bits = np.ascontiguousarray(scores + 0.0, dtype=np.float64).view(np.int64)
    ordered = np.where(bits >= 0, bits, bits ^ np.int64(0x7FFF_FFFF_FFFF_FFFF))
    keys: Integers = ordered >> KEY_SHIFT
    return keys


def _histogram(scores: Floats) -> Histogram:
    keys, counts = np.unique(rank_keys(scores), return_counts=True)
    return Histogram(keys=tuple(keys.tolist()), counts=tuple(counts.tolist()))


def together(parts: Sequence[Outcomes]) -> Outcomes:
    """All parts as one."""
    names = dict.fromkeys(name for part in parts for name in part.moments)
    moments = {
        name: Moments(
            total=sum(part.moments[name].total for part in parts if name in part.moments),
            squares=sum(part.moments[name].squares for part in parts if name in part.moments),
        )
        for name in names
    }
    return Outcomes(
        rows=sum(part.rows for part in parts),
        positive=_histograms([part.positive for part in parts]),
        negative=_histograms([part.negative for part in parts]),
        moments=moments,
    )


def _histograms(parts: Sequence[Histogram]) -> Histogram:
    if len(parts) == 1:
        return parts[0]
    all_keys = np.array([key for part in parts for key in part.keys], dtype=np.int64)
    all_counts = np.array([count for part in parts for count in part.counts], dtype=np.float64)
    keys, places = np.unique(all_keys, return_inverse=True)
    counts = np.bincount(places, weights=all_counts, minlength=keys.size).astype(np.int64)
    return Histogram(keys=tuple(keys.tolist()), counts=tuple(counts.tolist()))


def metric_of(metric: Metric, outcomes: Outcomes) -> Measured:
    """`metric` of `outcomes`. Raises NoOutcomes where they are too few, of one class, or of the other kind."""
    if metric == "roc_auc":
        return _roc_auc(outcomes)
    moments, n = outcomes.moments.get(metric), outcomes.rows
    if moments is None or n < 2:
        raise NoOutcomes(f"{metric} of {n} outcomes", hint="wait for labels, or declare a metric of the model's kind")
    mean = moments.total / n
    error = sqrt(max(moments.squares / n - mean * mean, 0.0) / (n - 1))
    if metric == "rmse":
        root = sqrt(mean)
        return Measured(metric=metric, value=root, standard_error=error / (2 * root) if root > 0 else error, rows=n)
    return Measured(metric=metric, value=mean, standard_error=error, rows=n)


def _roc_auc(outcomes: Outcomes) -> Measured:
    """The area with DeLong's error, cell by cell; scores of one cell count as equal."""
    m, n = sum(outcomes.positive.counts), sum(outcomes.negative.counts)
    if m < 2 or n < 2:
        raise NoOutcomes(f"roc_auc of {m} positive and {n} negative outcomes", hint="wait for at least two of each")
    cells = np.union1d(np.asarray(outcomes.positive.keys), np.asarray(outcomes.negative.keys))
    positive, negative = (_over(cells, part) for part in (outcomes.positive, outcomes.negative))
    above_negative = (np.cumsum(negative) - negative / 2) / n
    below_positive = 1.0 - (np.cumsum(positive) - positive / 2) / m
    area = float((positive * above_negative).sum() / m)
    spread = float((positive * (above_negative - area) ** 2).sum()) / (m * (m - 1.0))
    spread += float((negative * (below_positive - area) ** 2).sum()) / (n * (n - 1.0))
    return Measured(metric="roc_auc", value=area, standard_error=sqrt(spread), rows=m + n)


def _over(cells: Integers, part: Histogram) -> Floats:
    counts = np.zeros(cells.size)
    counts[np.searchsorted(cells, np.asarray(part.keys))] = part.counts
    return counts


def observations(metric: Metric, cells: Sequence[Outcome]) -> tuple[Observation, ...]:
    """`metric` day by day (or hour by hour), oldest first. A cell with too few outcomes is measured with those that follow.

    Too few are fewer than LEAST_ROWS, or than LEAST_OF_A_CLASS of either class for `roc_auc`: its error would mean nothing.
    """
    found, waiting = [], list[Outcome]()
    for cell in cells:
        waiting.append(cell)
        known = next((one for one in cell.measured if one.metric == metric), None) if len(waiting) == 1 else None
        whole = cell.outcomes if len(waiting) == 1 else together([one.outcomes for one in waiting])
        if not _is_enough(metric, whole):
            continue
        one = known or metric_of(metric, whole)
        found.append(
            Observation(
                since_at=waiting[0].since_at, until_at=cell.until_at, value=one.value, standard_error=one.standard_error, rows=one.rows
            )
        )
        waiting = []
    return tuple(found)


def every_metric(outcomes: Outcomes) -> tuple[Measured, ...]:
    """Every metric that `outcomes` have enough for."""
    names = BINARY_METRICS if outcomes.positive.keys or outcomes.negative.keys else NUMBER_METRICS
    return tuple(metric_of(name, outcomes) for name in names if _is_enough(name, outcomes))


def _is_enough(metric: Metric, outcomes: Outcomes) -> bool:
    if outcomes.rows < LEAST_ROWS:
        return False
    return metric != "roc_auc" or min(sum(outcomes.positive.counts), sum(outcomes.negative.counts)) >= LEAST_OF_A_CLASS
