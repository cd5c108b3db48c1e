"""The types of features as Polars names them. Owns nothing else, so that a gateway needs nothing of how sources are read."""

import polars as pl

from modelyard.features.domain import DType

POLARS_TYPE: dict[DType, pl.DataType] = {"string": pl.String(), "int64": pl.Int64(), "float64": pl.Float64(), "bool": pl.Boolean()}
