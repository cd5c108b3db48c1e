"""What a table's columns looked like: the reference that monitoring compares with. Owns the shape; `profile.py` computes it."""

import msgspec

QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
"""The shares at which `ColumnProfile.quantiles` are taken."""


class Bins(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of numbers between edges. Bin i holds edges[i] <= x < edges[i + 1]; the last one its upper edge too."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class CategoryCount(msgspec.Struct, frozen=True, kw_only=True):
    """A value and how often it stands."""

    value: str
    count: int


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True):
    """One column. `nulls` counts NaN too. Numbers have moments, quantiles and bins; texts and flags their commonest values.

    `top` holds every value where `distinct` is no more than it holds; `std` divides by the count.
    """

    name: str
    dtype: str
    count: int
    nulls: int
    distinct: int
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    quantiles: tuple[float, ...] = ()
    bins: Bins | None = None
    top: tuple[CategoryCount, ...] = ()

    @property
    def null_share(self) -> float:
        """The share of nulls, in [0, 1]; 0 for an empty column."""
        return self.nulls / self.count if self.count else 0.0


class TableProfile(msgspec.Struct, frozen=True, kw_only=True):
    """A table's columns, in its order."""

    rows: int
    columns: tuple[ColumnProfile, ...]
