"""Whether two tables of values are the same, bit for bit. Owns that comparison; knows no log and no source."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

Booleans = NDArray[np.bool_]


def rows_differ(logged: pl.DataFrame, recomputed: pl.DataFrame, errors: Mapping[str, float] | None = None) -> Booleans:
    """Which rows differ in any column of `recomputed`, shape (n,). Null equals null; numbers are equal where their bits are.

    `errors` says of a column how far apart its numbers may lie and pass for equal, as a share of the larger.
    """
    differs = np.zeros(recomputed.height, dtype=np.bool_)
    for column in recomputed.get_columns():
        found = _differs(logged.get_column(column.name), column)
        error = (errors or {}).get(column.name, 0.0)
        differs |= found & ~_is_near(logged.get_column(column.name), column, error) if error and found.any() else found
    return differs


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
