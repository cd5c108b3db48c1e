"""Profiles of tables: counts, nulls, moments, quantiles, bins and commonest values of each column. Pure."""

import math

import numpy as np
import numpy.typing as npt
import polars as pl

from modelyard.features.domain.profiles import QUANTILES, Bins, CategoryCount, ColumnProfile, TableProfile

BINS = 20
TOP = 50


def profiled(frame: pl.DataFrame) -> TableProfile:
    """The profile of a table's columns. The order of rows changes nothing, to the last bit."""
    return TableProfile(rows=frame.height, columns=tuple(_column(column) for column in frame.get_columns()))


def _column(column: pl.Series) -> ColumnProfile:
    dtype = column.dtype
    if isinstance(dtype, pl.Datetime | pl.Date):
        return _counted(column, str(dtype), ())
    if dtype.is_numeric():
        return _numbers(column)
    values = column.cast(pl.String).drop_nulls()
    counts = values.value_counts().sort(pl.col("count"), pl.col(values.name), descending=[True, False]).head(TOP)
    return _counted(column, str(dtype), tuple(CategoryCount(value=value, count=count) for value, count in counts.rows()))


def _counted(column: pl.Series, dtype: str, top: tuple[CategoryCount, ...]) -> ColumnProfile:
    there = column.drop_nulls()
    return ColumnProfile(name=column.name, dtype=dtype, count=len(column), nulls=column.null_count(), distinct=there.n_unique(), top=top)


def _numbers(column: pl.Series) -> ColumnProfile:
    given = column.cast(pl.Float64).drop_nulls().to_numpy()
    values = np.sort(given[np.isfinite(given)])
    if not len(values):
        return ColumnProfile(name=column.name, dtype=str(column.dtype), count=len(column), nulls=len(column), distinct=0)
    mean = math.fsum(values.tolist()) / len(values)
    deviations = (values - mean) ** 2
    return ColumnProfile(
        name=column.name,
        dtype=str(column.dtype),
        count=len(column),
        nulls=len(column) - len(values),
        distinct=int(np.count_nonzero(np.diff(values))) + 1,
        min=float(values[0]),
        max=float(values[-1]),
        mean=mean,
        std=math.sqrt(math.fsum(deviations.tolist()) / len(values)),
        quantiles=tuple(float(one) for one in np.quantile(values, QUANTILES)),
        bins=binned(values),
    )


def binned(values: npt.NDArray[np.float64]) -> Bins:
    """Some twenty bins of sorted numbers, as equally filled as repeated numbers allow. Raises IndexError for none.

    >>> binned(np.array([1.0, 1.0, 2.0])).edges
    (1.0, 2.0)
    """
    places = np.linspace(0, len(values) - 1, BINS + 1).round().astype(np.int64)
    edges = np.unique(values[places])
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    starts = np.append(np.searchsorted(values, edges[:-1], side="left"), len(values))
    return Bins(edges=tuple(edges.tolist()), counts=tuple(np.diff(starts).tolist()))
