"""Which of many tests count: the false-alarm budget over columns and over time. Owns no test of its own.

Two steps. Over time: of a budget of BUDGET for every PERIOD_S, a look spends the part that the time since the last look
is of the period (the linear spending function of Lan and DeMets, Biometrika 70, 1983; a look that comes twice as often
spends half as much). Within a look: Benjamini and Hochberg (JRSS B 57, 1995) at the level that the look may spend.

So in any PERIOD_S in which nothing changed, the chance of any false alarm over all columns and all looks is at most
BUDGET, and where some columns did change, so is the expected share of false ones among those reported: the looks' levels
add up to BUDGET whatever the dependence between looks, which share rows where windows overlap. Within a look the columns
must be independent or positively dependent (Benjamini and Yekutieli, Annals of Statistics 29, 2001).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

BUDGET = 0.01
PERIOD_S = 30 * 86400.0


def spent(elapsed_s: float, budget: float = BUDGET) -> float:
    """The level of a look that comes `elapsed_s` after the last one; a pause longer than a period spends one period's.

    >>> round(spent(86400) * 30, 12)
    0.01
    """
    return budget * min(max(elapsed_s / PERIOD_S, 0.0), 1.0)


def benjamini_hochberg(p_values: ArrayLike, level: float) -> NDArray[np.bool_]:
    """Which hypotheses are rejected at false discovery rate `level`, shape (n,). NaN is never rejected.

    >>> benjamini_hochberg([0.001, 0.2, 0.02], 0.05).tolist()
    [True, False, True]
    """
    p = np.nan_to_num(np.asarray(p_values, dtype=np.float64), nan=1.0)
    order = np.argsort(p, kind="stable")
    below = np.flatnonzero(p[order] <= level * np.arange(1, p.size + 1) / max(p.size, 1))
    rejected = np.zeros(p.size, dtype=np.bool_)
    if level > 0 and below.size:
        rejected[order[: below[-1] + 1]] = True
    return rejected
