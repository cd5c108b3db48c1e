"""Bad values in a window against those in the reference, with error bars. Owns which values are bad and the test of shares."""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from modelyard.monitoring.domain import (
    CategoryColumn,
    CategoryCounts,
    Column,
    ColumnQuality,
    Counts,
    NumberCounts,
    QualityKind,
    Reference,
    WindowSummary,
)
from modelyard.monitoring.rules.discoveries import benjamini_hochberg
from modelyard.monitoring.rules.special import special

Z95 = NormalDist().inv_cdf(0.975)


def column_quality(summary: WindowSummary, reference: Reference, columns: Sequence[str] | None = None) -> tuple[ColumnQuality, ...]:
    """What each column's bad values come to, one finding for each kind that the column can have.

    A column that the window does not have is `absent`, with p = 0: nothing about that is chance.
    """
    if summary.rows == 0:
        return ()
    watched = [column for column in reference.columns if columns is None or column.name in columns]
    return tuple(
        finding for column in watched for finding in _findings(column, summary.columns.get(column.name), summary.rows, reference.rows)
    )


def raised(findings: Sequence[ColumnQuality], level: float, min_change: float) -> tuple[ColumnQuality, ...]:
    """Those whose share rose by at least `min_change`, and not by chance at false discovery rate `level`; largest rise first."""
    found = benjamini_hochberg([finding.p for finding in findings], level)
    bad = [f for f, is_found in zip(findings, found, strict=True) if is_found and f.share - f.reference_share >= min_change]
    return tuple(sorted(bad, key=lambda finding: finding.reference_share - finding.share))


def _findings(column: Column, counts: Counts | None, rows: int, reference_rows: int) -> list[ColumnQuality]:
    if counts is None:
        return [
            ColumnQuality(column=column.name, kind=QualityKind.ABSENT, share=1.0, low=1.0, high=1.0, reference_share=0.0, p=0.0, rows=rows)
        ]
    known = max(reference_rows - column.missing, 0)
    values = rows - counts.missing - counts.invalid
    found = [
        _finding(column, QualityKind.MISSING, (counts.missing, rows), (column.missing, reference_rows)),
        _finding(column, QualityKind.INVALID, (counts.invalid, rows), (0, reference_rows)),
    ]
    if isinstance(counts, NumberCounts):
        found.append(_finding(column, QualityKind.OUT_OF_RANGE, (counts.below + counts.above, values), (0, known)))
    elif isinstance(column, CategoryColumn) and column.rare is not None and isinstance(counts, CategoryCounts):
        unseen = _finding(column, QualityKind.UNSEEN, (counts.unseen, values), (0, known), counts.examples)
        found.append(unseen)
    return found


def _finding(
    column: Column, kind: QualityKind, window: tuple[int, int], reference: tuple[int, int], examples: tuple[str, ...] = ()
) -> ColumnQuality:
    dispersion = _dispersion(column, kind)
    low, high = wilson(*window, dispersion=dispersion)
    return ColumnQuality(
        column=column.name,
        kind=kind,
        share=window[0] / window[1] if window[1] else 0.0,
        low=low,
        high=high,
        reference_share=reference[0] / reference[1] if reference[1] else 0.0,
        p=share_rose_p(window, reference, dispersion=dispersion),
        rows=window[1],
        examples=examples,
    )


def _dispersion(column: Column, kind: QualityKind) -> float:
    if kind is QualityKind.MISSING:
        return column.dispersion.missing
    return 1.0 if kind is QualityKind.INVALID else column.dispersion.day


def wilson(bad: int, rows: int, *, dispersion: float = 1.0) -> tuple[float, float]:
    """The 95% interval of a share (Wilson, JASA 22, 1927); `dispersion` divides the number of rows.

    >>> [round(limit, 4) for limit in wilson(10, 100)]
    [0.0552, 0.1744]
    """
    if rows == 0:
        return 0.0, 1.0
    share, size = bad / rows, rows / dispersion
    middle = (share + Z95**2 / (2 * size)) / (1 + Z95**2 / size)
    half = Z95 / (1 + Z95**2 / size) * np.sqrt(share * (1 - share) / size + Z95**2 / (4 * size**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def share_rose_p(window: tuple[int, int], reference: tuple[int, int], *, dispersion: float = 1.0) -> float:
    """One-sided p-value that a share is larger in the window than in the reference, each given as (bad, rows).

    The conditional test of two rates (Przyborowski and Wilenski, Biometrika 31, 1940): of all bad values, the window
    would hold a binomial number by its part of the rows. Exact for rare events, conservative for common ones; the noise
    of the reference counts. `dispersion` divides the counts, by the incomplete beta function.
    """
    bad, rows = window
    if bad == 0 or rows == 0:
        return 1.0
    part = rows / (rows + reference[1])
    return float(special().betainc(bad / dispersion, reference[0] / dispersion + 1.0, part))
