"""Whether a version answers more slowly than others do, from the parts of requests that the prediction log has.

Owns the comparison; reads nothing. A part is what one version answered of one request. Parts of unlike size are not held
against each other: the few rows of a canary come back sooner than the many of a champion, however slow it is.
"""

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

FEWEST_ROWS, FEWEST_PARTS = 50, 5
PARTS_WITH_A_TAIL = 100
NEAREST = 5
Floats = NDArray[np.float64]


class Slowdown(msgspec.Struct, frozen=True, kw_only=True):
    """How many times as long a version takes as others for parts of like size, and the medians of both, in microseconds."""

    times: float
    median_us: float
    others_us: float


def slowdown(rows: ArrayLike, latency_us: ArrayLike, other_rows: ArrayLike, other_latency_us: ArrayLike) -> Slowdown | None:
    """How a version compares by the sizes of its parts in rows and their latencies, shape (n,) each, with others', shape (m,) each.

    Each part is held against the median of the others' parts that are nearest to it in size. The median of these ratios
    counts, and where there are many parts the 95th percentile, over the others' own: whichever is larger. `None` while
    there are too few parts or rows to judge by.

    >>> slowdown([10] * 5, [900] * 5, [10] * 9, [300] * 9)
    Slowdown(times=3.0, median_us=900.0, others_us=300.0)
    """
    n, m = np.asarray(rows, dtype=np.float64), np.asarray(other_rows, dtype=np.float64)
    mine, others = np.asarray(latency_us, dtype=np.float64), np.asarray(other_latency_us, dtype=np.float64)
    if min(n.size, m.size) < FEWEST_PARTS or min(n.sum(), m.sum()) < FEWEST_ROWS:
        return None
    order = np.argsort(m, kind="stable")
    sizes, latencies = m[order], np.maximum(others[order], 1.0)
    expected = _expected(n, sizes, latencies)
    ratios, own = mine / expected, latencies / _expected(sizes, sizes, latencies)
    shares = (0.5, 0.95) if min(n.size, m.size) >= PARTS_WITH_A_TAIL else (0.5,)
    times = max(float(np.quantile(ratios, share) / np.quantile(own, share)) for share in shares)
    return Slowdown(times=times, median_us=float(np.median(mine)), others_us=float(np.median(expected)))


def _expected(rows: Floats, sizes: Floats, latencies: Floats) -> Floats:
    """What parts of so many rows take, shape (n,): the median of the NEAREST in order of size; `sizes` are sorted, shape (m,)."""
    first = np.clip(np.searchsorted(sizes, rows) - NEAREST // 2, 0, sizes.size - NEAREST)
    near: Floats = np.median(latencies[first[:, None] + np.arange(NEAREST)], axis=1)
    return near
