"""Whether two tables of values are the same, bit for bit. Owns that comparison; knows no log and no source."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

Booleans = NDArray[np.bool_]


def rows_differ(logged: pl.DataFrame, recomputed: pl.DataFrame) -> Booleans:
    """Which rows differ in any column of `recomputed`, shape (n,). Null equals null; numbers are equal where their bits are."""
    differs = np.zeros(recomputed.height, dtype=np.bool_)
    for column in recomputed.get_columns():
        differs |= _differs(logged.get_column(column.name), column)
    return differs


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
