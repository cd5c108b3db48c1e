"""Whether values are the same as their recomputation, bit for bit, and if not, why. Owns that comparison; knows no log and no source."""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.monitoring.domain import SkewCause, ViewSkew

Booleans = NDArray[np.bool_]
Ints = NDArray[np.int64]
Verdicts = NDArray[np.int8]

SAME, UNVERIFIABLE = 0, -1
CODES: dict[SkewCause, int] = {cause: code for code, cause in enumerate(SkewCause, start=1)}
"""What stands for each cause among verdicts, beside `SAME` and `UNVERIFIABLE`."""

NEVER = -(2**62)
"""Up to when a view had been brought online that never was."""
FLOAT_ERROR = 1e-9


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Values of one view, row by row: as logged, as recomputed of what had been `brought` online by then, and of all that `was` there.

    `upto` is how far the view had been brought online at each read, `None` where the log does not say; then `brought` is `was`.
    """

    logged: pl.DataFrame
    brought: pl.DataFrame
    was: pl.DataFrame
    at: Ints
    upto: Ints | None


def verdicts(rows: Compared, errors: Mapping[str, float], promised_us: int | None) -> Verdicts:
    """For each row `SAME`, `UNVERIFIABLE` or the code of a cause; what no cause is found for is unknown. Shape (n,).

    `errors` is as for `rows_differ`; `promised_us` is how far back the view may lie.
    """
    differs = rows_differ(rows.logged, rows.brought, errors)
    found = np.where(differs, np.int8(CODES[SkewCause.UNKNOWN]), np.int8(SAME))
    if rows.upto is None:
        return np.where(differs, np.int8(UNVERIFIABLE), found)
    if differs.any():
        near = {name: max(errors.get(name, 0.0), FLOAT_ERROR) for name, dtype in rows.brought.schema.items() if dtype.is_float()}
        found[differs & ~rows_differ(rows.logged, rows.brought, near)] = CODES[SkewCause.FLOAT]
    # The online store keeps no past: a request that is dated before what it holds may find less than there was.
    found[differs & (rows.upto > rows.at)] = UNVERIFIABLE
    is_late = ~differs & (rows.upto < rows.at) & rows_differ(rows.logged, rows.was, errors)
    is_stale = rows.upto == NEVER if promised_us is None else rows.at - rows.upto > promised_us
    found[is_late] = np.where(is_stale[is_late], CODES[SkewCause.STALE], CODES[SkewCause.LATE_DATA])
    return found


def added_causes(days: Iterable[ViewSkew]) -> dict[SkewCause, int]:
    """How many vectors there are of each cause on all those days together."""
    total: Counter[SkewCause] = Counter()
    for day in days:
        total.update(day.causes)
    return {cause: total[cause] for cause in SkewCause if total[cause]}


def rows_differ(logged: pl.DataFrame, recomputed: pl.DataFrame, errors: Mapping[str, float] | None = None) -> Booleans:
    """Which rows differ in any column of `recomputed`, shape (n,). Null equals null; numbers are equal where their bits are.

    `errors` says of a column how far apart its numbers may lie and pass for equal, as a share of the larger.
    """
    differs = np.zeros(recomputed.height, dtype=np.bool_)
    for column in recomputed.get_columns():
        differs |= cells_differ(logged.get_column(column.name), column, (errors or {}).get(column.name, 0.0))
    return differs


def cells_differ(logged: pl.Series, recomputed: pl.Series, error: float = 0.0) -> Booleans:
    """As `rows_differ`, of one column."""
    found = _differs(logged, recomputed)
    return found & ~_is_near(logged, recomputed, error) if error and found.any() else found


def _is_near(one: pl.Series, other: pl.Series, error: float) -> Booleans:
    first, second = (series.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy() for series in (one, other))
    near: Booleans = np.abs(first - second) <= error * np.maximum(np.abs(first), np.abs(second))
    return near


def _differs(one: pl.Series, other: pl.Series) -> Booleans:
    if one.dtype != other.dtype and other.dtype.is_float():
        one = one.cast(other.dtype, strict=False)
    both = one.is_not_null().to_numpy() & other.is_not_null().to_numpy()
    if other.dtype.is_float():
        first, second = (series.cast(pl.Float64).fill_null(0.0).to_numpy().view(np.int64) for series in (one, other))
        unequal = first != second
    else:
        # Text says the same of every other type, whether the log kept a whole number or a truth value.
        unequal = (one.cast(pl.String) != other.cast(pl.String)).fill_null(value=False).to_numpy()
    differs: Booleans = (one.is_null().to_numpy() != other.is_null().to_numpy()) | (both & unequal)
    return differs
