"""Two models on the same rows: is the second better, and by how much? Owns the paired test and its always-valid form."""

from math import erfc, log, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from modelyard.monitoring.domain import HIGHER_IS_BETTER, Metric, PairedDifference
from modelyard.monitoring.rules.metrics import contributions, variance

CONFIDENCE = 0.95


def paired_difference(
    metric: Metric,
    labels: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    *,
    groups: ArrayLike | None = None,
) -> PairedDifference:
    """`metric` of b minus that of a on the same rows, shape (n,), with an interval and the chance that b only seems better.

    For `roc_auc` this is DeLong's paired test (Biometrics 44, 1988); for the others the paired test on each row's loss,
    for `rmse` by the delta method. `groups` names rows that belong together, such as those of one day: what counts is
    then the number of groups. No randomness is in it. Raises NoOutcomes, UnknownMetric.
    """
    a, b = contributions(metric, labels, scores_a), contributions(metric, labels, scores_b)
    difference = b.value - a.value
    error = sqrt(variance(b.rows - a.rows, groups))
    half = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * error
    return PairedDifference(
        metric=metric,
        a=a.value,
        b=b.value,
        difference=difference,
        standard_error=error,
        low=difference - half,
        high=difference + half,
        confidence=CONFIDENCE,
        p_worse=_p_no_better(difference if metric in HIGHER_IS_BETTER else -difference, error),
        rows=a.rows.size,
        groups=None if groups is None else int(np.unique(np.asarray(groups)).size),
    )


def _p_no_better(gain: float, error: float) -> float:
    """The one-sided p-value of "no better"; a difference without any error is one only where it is a gain."""
    if error == 0:
        return 0.0 if gain > 0 else 1.0
    return erfc(gain / error / sqrt(2)) / 2


def always_valid(found: PairedDifference, *, planned_error: float) -> PairedDifference:
    """`found` with limits and `p_worse` that hold however often one looks, and whenever one stops.

    The asymptotic confidence sequence of a normal mixture (Robbins, Annals of Mathematical Statistics 41, 1970; Howard,
    Ramdas, McAuliffe and Sekhon, Annals of Statistics 49, 2021; Waudby-Smith et al., Annals of Statistics 52, 2024). It
    is tightest about where the standard error is `planned_error`: that of the look at which a decision is expected.
    """
    error = found.standard_error
    if error == 0:
        return found
    ratio = (planned_error / error) ** 2
    # The mixture's variance in units of the planned information; 1/ratio is the share of the plan that is in.
    weight = _mixture(1 - found.confidence)
    information = ratio * weight
    alpha = 1 - found.confidence
    half = error * sqrt((1 + 1 / information) * (log(1 + information) + 2 * log(1 / alpha)))
    gain = found.difference if found.metric in HIGHER_IS_BETTER else -found.difference
    return PairedDifference(
        metric=found.metric, a=found.a, b=found.b, difference=found.difference, standard_error=error,
        low=found.difference - half, high=found.difference + half, confidence=found.confidence,
        p_worse=_always_valid_p(gain / error, information), rows=found.rows, groups=found.groups,
    )  # fmt: skip


def _mixture(alpha: float) -> float:
    """The mixture's weight at which the sequence is tightest at the planned information (Howard et al., section 3.4)."""
    return -2 * log(alpha) + log(-2 * log(alpha) + 1)


def _always_valid_p(z: float, information: float) -> float:
    """One over the mixture likelihood ratio, for gains alone; at most 1."""
    if z <= 0:
        return 1.0
    exponent = z * z * information / (2 * (1 + information)) - log(1 + information) / 2
    return min(1.0, float(np.exp(-exponent)))
