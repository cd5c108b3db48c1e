"""Texts as the values that they stand for: of sources that are written as text. Owns how numbers, flags and times are written."""

from collections.abc import Mapping, Sequence

import polars as pl

from modelyard.features.domain import ColumnType

TYPES: dict[ColumnType, pl.DataType] = {
    "string": pl.String(),
    "int64": pl.Int64(),
    "float64": pl.Float64(),
    "bool": pl.Boolean(),
    "time": pl.Datetime("us", "UTC"),
}
_WHOLE = r"^-?(0|[1-9][0-9]*)$"
"""How a number is written: a zero in front is part of a code, such as 007."""
_DECIMAL = r"^[+-]?(\.[0-9]|[1-9]|0$|0[.eE]|inf|NaN)"
_FLAGS = {"true": True, "True": True, "TRUE": True, "1": True, "false": False, "False": False, "FALSE": False, "0": False}


def parsed(name: str, dtype: ColumnType) -> pl.Expr:
    """The column of texts as values of a type, null where a text stands for none.

    >>> frame = pl.DataFrame({"at": ["2026-01-01T02:00:00+02:00", "2026-01-01 00:00:00.5", "2026-01-01", "soon"]})
    >>> [None if one is None else one.isoformat() for one in frame.select(parsed("at", "time"))["at"]]
    ['2026-01-01T00:00:00+00:00', '2026-01-01T00:00:00.500000+00:00', '2026-01-01T00:00:00+00:00', None]
    """
    value = pl.col(name)
    match dtype:
        case "string":
            return value
        case "int64" | "float64":
            return value.cast(TYPES[dtype], strict=False)
        case "bool":
            return value.replace_strict(_FLAGS, default=None, return_dtype=pl.Boolean)
        case "time":
            return _instant(value)


def _instant(value: pl.Expr) -> pl.Expr:
    """ISO 8601, with a blank in place of the T too. A time without a zone is UTC; parts of a microsecond are cut off."""
    text = value.str.replace(r"^(\d{4}-\d\d-\d\d) ", "${1}T").str.replace(r"Z$", "+00:00").str.replace(r"(T.*[+-]\d\d)$", "${1}:00")
    zoned = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="us", strict=False)
    plain = [text.str.to_datetime(form, time_unit="us", strict=False) for form in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")]
    day = text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
    return pl.coalesce(zoned, *(one.dt.replace_time_zone("UTC") for one in (*plain, day)))


def inferred(rows: Sequence[pl.LazyFrame], names: Sequence[str]) -> dict[str, ColumnType]:
    """The narrowest type that every text of a column can be read as, over all rows; a text where there is none."""
    counts = pl.DataFrame()
    for one in rows:
        found = one.select(*(expression for name in names for expression in _counted(name))).collect(engine="streaming")
        counts = pl.concat([counts, found]).sum() if counts.width else found
    known: Mapping[str, int] = counts.row(0, named=True) if counts.width else {}
    candidates: tuple[ColumnType, ...] = ("bool", "int64", "float64", "time")
    return {name: next((dtype for dtype in candidates if known[f"{dtype} {name}"] == known[f"all {name}"] > 0), "string") for name in names}


def _counted(name: str) -> list[pl.Expr]:
    value = pl.col(name)
    sound: dict[ColumnType, pl.Expr] = {
        "bool": value.is_in(["true", "false", "True", "False", "TRUE", "FALSE"]),
        "int64": value.str.contains(_WHOLE) & parsed(name, "int64").is_not_null(),
        # A whole number beyond int64 is no float: it would not be the same one.
        "float64": value.str.contains(_DECIMAL)
        & parsed(name, "float64").is_not_null()
        & (~value.str.contains(_WHOLE) | parsed(name, "int64").is_not_null()),
        "time": parsed(name, "time").is_not_null(),
    }
    return [value.count().alias(f"all {name}"), *(one.sum().cast(pl.Int64).alias(f"{dtype} {name}") for dtype, one in sound.items())]
