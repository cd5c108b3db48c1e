"""The reference of a version, made once from the rows that it was trained on. Owns bins and dispersion, not the windows."""

from collections.abc import Sequence

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.core.clock import SECOND
from modelyard.monitoring.domain import CategoryColumn, Column, Dispersion, NumberColumn, Reference, UnusableReference

MOST_BINS = 256
MOST_CATEGORIES = 64
MOST_RARE = 4096
LEAST_BLOCK_ROWS = 20
LEAST_BLOCKS = 5
DAY_S = 86400.0
# The mean of the squared Kolmogorov variable, pi**2 / 12, and its standard deviation over its mean.
KOLMOGOROV_SQUARE, KOLMOGOROV_SPREAD = np.pi**2 / 12, 0.633
ONE_SIDED_90 = 1.2816

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def profile(
    frame: pl.DataFrame, *, columns: Sequence[str] | None = None, at: pl.Series | None = None, window_s: float = 7 * DAY_S
) -> Reference:
    """The reference for windows of `window_s`, over `columns` (all of a kind that is watched, unless named).

    `at` are the rows' instants in microseconds. With them, the reference's own windows say how much more windows differ
    than independent rows would (weather comes in days, customers in weeks), and later tests ask for that much more.
    Raises UnusableReference for no rows or a column that is not there.
    """
    names = list(columns) if columns is not None else frame.columns
    absent = [name for name in names if name not in frame.columns]
    if absent or frame.height == 0:
        raise UnusableReference(f"no rows for {', '.join(absent) or 'a reference'}", hint="give the rows that the version was trained on")
    blocks = None if at is None else (_blocks(at, window_s), _blocks(at, DAY_S))
    days = 0 if blocks is None else int(np.unique(blocks[1]).size)
    made = (_column(frame.get_column(name), blocks) for name in names)
    return Reference(rows=frame.height, columns=tuple(column for column in made if column is not None), days=days)


def _blocks(at: pl.Series, length_s: float) -> Integers:
    instants = at.cast(pl.Int64).to_numpy()
    blocks: Integers = (instants - instants.min()) // round(length_s * SECOND)
    return blocks


def _column(series: pl.Series, blocks: tuple[Integers, Integers] | None) -> Column | None:
    column: Column
    if series.dtype.is_numeric():
        values = series.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        column, places = _number_column(series.name, values)
    elif series.dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Enum):
        column, places = _category_column(series.name, series.cast(pl.String))
    else:
        return None
    if blocks is None:
        return column
    bins = len(column.counts) + (2 if isinstance(column, CategoryColumn) else 0)
    distance = _kolmogorov_ratios if isinstance(column, NumberColumn) else _pearson_ratios
    by_window, by_day = (_table(places, block, bins) for block in blocks)
    day = _dispersion(*distance(by_day))
    window = _dispersion(*distance(by_window)) or day
    missing = _dispersion(*_pearson_ratios(_table((places < 0).astype(np.int64), blocks[1], 2)))
    return msgspec.structs.replace(column, dispersion=Dispersion(window=window or 1.0, day=day or 1.0, missing=missing or 1.0))


def _number_column(name: str, values: Floats) -> tuple[NumberColumn, Integers]:
    """The column, and each row's bin; -1 where it has no finite value."""
    finite = np.isfinite(values)
    some = np.sort(values[finite])
    if some.size == 0:
        empty = NumberColumn(name=name, edges=(), counts=(0,), low=0.0, high=0.0, mean=0.0, std=0.0, missing=values.size)
        return empty, np.full(values.size, -1, dtype=np.int64)
    last_of_its_kind = np.append(some[1:] != some[:-1], True)
    is_discrete = int(last_of_its_kind.sum()) <= MOST_BINS
    if is_discrete:
        ends = some[last_of_its_kind]
    else:
        ends = np.unique(some[np.ceil(np.arange(1, MOST_BINS + 1) * some.size / MOST_BINS).astype(np.int64) - 1])
    edges = ends[:-1]
    places = np.where(finite, np.searchsorted(edges, values, side="left"), -1)
    column = NumberColumn(
        name=name,
        edges=tuple(edges.tolist()),
        counts=tuple(np.bincount(places[finite], minlength=edges.size + 1).tolist()),
        low=float(some[0]),
        high=float(some[-1]),
        mean=float(some.mean()),
        std=float(some.std()),
        missing=int(values.size - some.size),
        is_discrete=is_discrete,
    )
    return column, places


def _category_column(name: str, series: pl.Series) -> tuple[CategoryColumn, Integers]:
    """The column, and each row's category, one beyond them for the rare ones; -1 where it has none."""
    counted = series.drop_nulls().value_counts(sort=True, name="n").sort(["n", series.name], descending=[True, False])
    known, counts = counted.get_column(series.name).to_list(), counted.get_column("n").to_list()
    top, rare = known[:MOST_CATEGORIES], known[MOST_CATEGORIES:]
    index = {category: place for place, category in enumerate(top)}
    places = series.replace_strict(index, default=len(top), return_dtype=pl.Int64) if top else series.cast(pl.Int64)
    column = CategoryColumn(
        name=name,
        categories=tuple(top),
        counts=tuple(counts[: len(top)]),
        rare=tuple(sorted(rare)) if len(rare) <= MOST_RARE else None,
        rare_count=sum(counts[len(top) :]),
        missing=series.null_count(),
    )
    return column, np.where(series.is_null().to_numpy(), -1, places.fill_null(-1).to_numpy())


def _table(places: Integers, blocks: Integers, bins: int) -> Floats:
    """Counts by block and bin, shape (n_blocks, bins), of the blocks with enough values."""
    known = (places >= 0) & (places < bins)
    _, dense = np.unique(blocks[known], return_inverse=True)
    rows = int(dense.max(initial=-1)) + 1
    table = np.bincount(dense * bins + places[known], minlength=rows * bins).reshape(rows, bins).astype(np.float64)
    large: Floats = table[table.sum(axis=1) >= LEAST_BLOCK_ROWS]
    return large


def _kolmogorov_ratios(table: Floats) -> tuple[Floats, float]:
    """Each block's squared distance from the whole, over what independent rows would give, and the spread of such a ratio."""
    sizes, whole = table.sum(axis=1), table.sum(axis=0)
    gaps = np.abs(np.cumsum(table, axis=1) / sizes[:, None] - np.cumsum(whole) / max(whole.sum(), 1.0)).max(axis=1, initial=0.0)
    return gaps**2 * _independent(sizes) / KOLMOGOROV_SQUARE, KOLMOGOROV_SPREAD


def _pearson_ratios(table: Floats) -> tuple[Floats, float]:
    """Each block's chi-square from the whole, over its degrees of freedom, and the spread of such a ratio."""
    whole = table.sum(axis=0)
    table = table[:, whole > 0]
    sizes, whole = table.sum(axis=1), table.sum(axis=0)
    freedom = max(table.shape[1] - 1, 1)
    expected = np.outer(sizes, whole) / max(whole.sum(), 1.0)
    squares = ((table - expected) ** 2 / np.maximum(expected, 1e-12)).sum(axis=1)
    return squares * _independent(sizes) / np.maximum(sizes, 1.0) / freedom, float(np.sqrt(2.0 / freedom))


def _independent(sizes: Floats) -> Floats:
    """Effective sizes of blocks that are part of the whole that they are held against."""
    effective: Floats = sizes / np.maximum(1.0 - sizes / max(sizes.sum(), 1.0), 1e-9)
    return effective


def _dispersion(ratios: Floats, spread: float) -> float | None:
    """The upper 90% limit of the mean ratio, at least 1; `None` where there are too few blocks to tell."""
    if ratios.size < LEAST_BLOCKS:
        return None
    return max(1.0, float(ratios.mean() * (1.0 + ONE_SIDED_90 * spread / np.sqrt(ratios.size))))
