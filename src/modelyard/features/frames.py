"""The types of features as Polars names them, and which times these hold. A gateway and a client need nothing of how sources are read."""

import polars as pl

from modelyard.features.domain import DType
from modelyard.features.domain.types import FIRST_DAY, LAST_DAY

POLARS_TYPE: dict[DType, pl.DataType] = {"string": pl.String(), "int64": pl.Int64(), "float64": pl.Float64(), "bool": pl.Boolean()}
_A_DAY: dict[str, int] = {"ns": 86_400 * 10**9, "us": 86_400 * 10**6, "ms": 86_400 * 10**3}


def outside_of_years(name: str, dtype: pl.DataType) -> tuple[pl.Expr, pl.Expr, str]:
    """Where a column of times lies outside of the years 1 to 9999, its times as whole numbers, which have no other form, and their unit."""
    unit, day = (dtype.time_unit, _A_DAY[dtype.time_unit]) if isinstance(dtype, pl.Datetime) else ("days", 1)
    value = pl.col(name).to_physical().cast(pl.Int64)
    return ~value.is_between(max(FIRST_DAY * day, -(2**63)), min((LAST_DAY + 1) * day - 1, 2**63 - 1)), value, unit
