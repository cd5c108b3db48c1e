"""Training rows as the numbers that a model computes on. Users call it; the server encodes requests by the same rule."""

import numpy as np
import numpy.typing as npt
import polars as pl

from modelyard.registry.domain import Signature


def numbers(rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    """The columns of `rows` as a matrix of shape (rows, columns), float64, C order; null becomes NaN.

    A text column is its value's place among the recorded categories: training rows carry text as `pl.Enum`, whose
    categories the model's signature records. The gateway encodes requests in the same way.

    >>> rows = pl.DataFrame({"origin": ["JFK", None], "hour": [9, 3]}, schema={"origin": pl.Enum(["EWR", "JFK"]), "hour": pl.Int64})
    >>> numbers(rows).tolist()
    [[1.0, 9.0], [nan, 3.0]]
    """
    columns = [
        (column.to_physical() if isinstance(column.dtype, pl.Enum) else column).cast(pl.Float64).fill_null(float("nan")).to_numpy()
        for column in rows.iter_columns()
    ]
    return np.ascontiguousarray(np.column_stack(columns)) if columns else np.empty((rows.height, 0))


def typed_rows(rows: pl.DataFrame, signature: Signature) -> pl.DataFrame:
    """`rows` with each text input as `pl.Enum` over the categories that the signature records."""
    kinds = {column.name: pl.Enum(list(column.categories)) for column in signature.inputs if column.categories is not None}
    return rows.with_columns(pl.col(name).cast(kind) for name, kind in kinds.items())
