"""How far a column's window lies from its reference, and which columns drifted. Owns the choice of tests and effects."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelyard.monitoring.domain import (
    CategoryColumn,
    CategoryCounts,
    Column,
    ColumnDrift,
    Counts,
    Day,
    NumberColumn,
    NumberCounts,
    Reference,
    WindowSummary,
)
from modelyard.monitoring.rules import distances
from modelyard.monitoring.rules.discoveries import benjamini_hochberg
from modelyard.monitoring.rules.summaries import EXCESS_UNIT, merged

GROUPS = 10
LEAST_DAYS = 5
RECOVERED_P = 0.05
Floats = NDArray[np.float64]


def column_drift(column: Column, counts: Counts, dispersion: float | None = None) -> ColumnDrift | None:
    """The distances of a window's `counts` from `column`, with a test; `None` where either holds no values.

    The effect is the Kolmogorov-Smirnov distance for numbers, the total variation for categories. PSI and the
    Jensen-Shannon distance of numbers are over ten groups of about equal share in the reference. Missing values are
    no part of it: they are a matter of quality. `dispersion` is that of the reference's windows unless given.
    """
    tested = _tested(column, counts, column.dispersion.window if dispersion is None else dispersion)
    return tested and _described(column, counts, tested)


class _Tested(NamedTuple):
    reference: Floats
    current: Floats
    test: distances.Test


def _tested(column: Column, counts: Counts, dispersion: float) -> _Tested | None:
    reference, current = _cells(column, counts)
    if reference.sum() == 0 or current.sum() == 0:
        return None
    test = distances.ks if isinstance(column, NumberColumn) else distances.chi_square
    return _Tested(reference, current, test(reference, current, dispersion=dispersion))


def _described(column: Column, counts: Counts, tested: _Tested) -> ColumnDrift:
    reference, current, test = tested
    if isinstance(column, NumberColumn) and isinstance(counts, NumberCounts):
        grouped = _groups(reference)
        coarse = [np.bincount(grouped, weights=cells, minlength=GROUPS).astype(np.float64) for cells in (reference, current)]
        effect, name, distance = test.statistic, "ks", _normalised_wasserstein(column, counts, reference, current)
    else:
        coarse, distance = [reference, current], None
        effect, name = distances.total_variation(reference, current), "chi_square"
    return ColumnDrift(
        column=column.name,
        effect=effect,
        p=test.p,
        psi=distances.psi(*coarse),
        jensen_shannon=distances.jensen_shannon(*coarse),
        distance=distance,
        test="ks" if name == "ks" else "chi_square",
        rows=int(current.sum()),
    )


def drifted(findings: Sequence[ColumnDrift], level: float, min_effect: float) -> tuple[ColumnDrift, ...]:
    """Those of `findings` that are both discoveries at false discovery rate `level` and at least `min_effect`, largest first."""
    found = benjamini_hochberg([finding.p for finding in findings], level)
    strong = [finding for finding, is_found in zip(findings, found, strict=True) if is_found and finding.effect >= min_effect]
    return tuple(sorted(strong, key=lambda finding: -finding.effect))


def has_recovered(finding: ColumnDrift, min_effect: float) -> bool:
    """Whether a column that drifted is back: its effect below `min_effect`, or no longer different from chance."""
    return finding.effect < min_effect or finding.p > RECOVERED_P


def scan(days: Sequence[Day], reference: Reference, columns: Sequence[str] | None = None) -> tuple[ColumnDrift, ...]:
    """Each column's drift over the window that `days`, newest first, make up, or over a shorter end of it that shows more.

    The ends are the last 1, 2, 4, ... days: a change is seen the day after it came, and a slight one once enough rows
    are in. The p-value is that of the end with the least, times the number of ends (Bonferroni), as in a window-limited
    scan for a change point (Lai, IEEE IT 44, 1998). Shorter ends are looked at only where the reference's own days are
    known, for a day is no random part of a week.
    """
    if not days:
        return ()
    lengths = [2**k for k in range(len(days).bit_length()) if 2**k < len(days)] if reference.days >= LEAST_DAYS else []
    ends = [*lengths, len(days)]
    windows = list(accumulate((day.summary for day in days), merged))
    found = []
    for column in reference.columns:
        if columns is not None and column.name not in columns:
            continue
        best = min(filter(None, (_at_end(column, windows[n - 1], n, n == len(days)) for n in ends)), key=_p, default=None)
        if best is not None:
            # What else is said of a column is worked out for that end alone.
            n, tested = best
            drift = _described(column, windows[n - 1].columns[column.name], tested)
            found.append(msgspec.structs.replace(drift, p=min(1.0, drift.p * len(ends)), since_at=days[n - 1].since_at))
    return tuple(found)


def _at_end(column: Column, window: WindowSummary, length: int, is_whole: bool) -> tuple[int, _Tested] | None:
    if (counts := window.columns.get(column.name)) is None:
        return None
    spread = column.dispersion
    tested = _tested(column, counts, spread.window if is_whole else max(spread.day, spread.window))
    return tested and (length, tested)


def _p(end: tuple[int, _Tested]) -> float:
    return end[1].test.p


def _cells(column: Column, counts: Counts) -> tuple[Floats, Floats]:
    """Reference and window over the same cells: below, the bins, above; or the categories, rare, unseen."""
    if isinstance(column, NumberColumn) and isinstance(counts, NumberCounts):
        return np.asarray((0, *column.counts, 0), dtype=np.float64), np.asarray(
            (counts.below, *counts.counts, counts.above), dtype=np.float64
        )
    assert isinstance(column, CategoryColumn)  # a summary has the kinds of its reference
    assert isinstance(counts, CategoryCounts)
    reference = np.asarray((*column.counts, column.rare_count, 0), dtype=np.float64)
    return reference, np.asarray((*counts.counts, counts.rare, counts.unseen), dtype=np.float64)


def _groups(reference: Floats) -> NDArray[np.intp]:
    """The group, of about equal share, that each bin belongs to."""
    middle = (np.cumsum(reference) - reference / 2) / reference.sum()
    groups: NDArray[np.intp] = np.clip((middle * GROUPS).astype(np.intp), 0, GROUPS - 1)
    return groups


def _normalised_wasserstein(column: NumberColumn, counts: NumberCounts, reference: Floats, current: Floats) -> float | None:
    """Wasserstein-1 in standard deviations of the reference: the area within its range, and what lies beyond it."""
    if column.std == 0:
        return None
    points = np.asarray((column.low, *column.edges, column.high))
    before, after = (np.cumsum(cells)[:-1] / cells.sum() for cells in (reference, current))
    inside = distances.wasserstein(points, before, after, is_discrete=column.is_discrete) / column.std
    return inside + counts.excess / EXCESS_UNIT / float(current.sum())
