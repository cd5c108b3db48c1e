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
_SECONDS, _MINUTES = "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"
_FORMS = (f"{_SECONDS}%:z", _SECONDS, "%Y-%m-%d", _MINUTES, f"{_MINUTES}%:z", f"{_SECONDS}%:z")
"""The last one is for zones without minutes."""
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
            return value.map_batches(instants, return_dtype=TYPES["time"], is_elementwise=True)


def instants(column: pl.Series) -> pl.Series:
    """Texts in ISO 8601, with a blank in place of the T too, as instants; null where one is none.

    A time without a zone is UTC; parts of a microsecond are cut off.
    """
    text = column.str.replace(" ", "T", literal=True).str.replace(r"Z$", "+00:00")
    found = pl.Series(column.name, [None], dtype=TYPES["time"]).new_from_index(0, len(column))
    for place, form in enumerate(_FORMS):
        left = (text.is_not_null() & found.is_null()).arg_true()
        if not len(left):
            break
        # Only what no form before has read is tried again: a column is mostly written in one.
        rest = text.gather(left).str.replace(r"(T.*[+-]\d\d)$", "${1}:00") if place == len(_FORMS) - 1 else text.gather(left)
        read = rest.str.to_datetime(form, time_unit="us", strict=False)
        found = found.scatter(left, read if form.endswith("z") else read.dt.replace_time_zone("UTC"))
    return found


def inferred(rows: Sequence[pl.LazyFrame], names: Sequence[str]) -> dict[str, ColumnType]:
    """The narrowest type that every text of a column can be read as, over all rows; a text where there is none."""
    left: dict[str, list[ColumnType]] = {name: ["bool", "int64", "float64", "time"] for name in names}
    # A few rows rule most types out, so that all rows are mostly asked for one.
    for few in (1000, None):
        while True:
            asked = {name: kinds[0] for name, kinds in left.items() if kinds}
            wrong = _wrong(rows, asked, few)
            for name in wrong:
                left[name].pop(0)
            if not wrong:
                break
    return {name: kinds[0] if kinds else "string" for name, kinds in left.items()}


def _wrong(rows: Sequence[pl.LazyFrame], asked: Mapping[str, ColumnType], few: int | None) -> set[str]:
    """The columns with a text that is not of the asked type, in a few rows of each file or in all; of all, those without any text too."""
    if not asked:
        return set()
    rows = rows if few is None else [one.head(few) for one in rows]
    odd = [(~_is_written_as(name, dtype)).any().alias(name) for name, dtype in asked.items()]
    some = [pl.col(name).is_not_null().any().alias(name) for name in asked]
    odds = pl.concat([one.select(odd).collect(engine="streaming") for one in rows])
    somes = pl.concat([one.select(some).collect(engine="streaming") for one in rows])
    return {name for name in asked if odds[name].any() or (few is None and not somes[name].any())}


def _is_written_as(name: str, dtype: ColumnType) -> pl.Expr:
    value = pl.col(name)
    if dtype == "bool":
        return value.is_in(["true", "false", "True", "False", "TRUE", "FALSE"])
    is_value = parsed(name, dtype).is_not_null() | value.is_null()
    if dtype == "int64":
        return value.str.contains(_WHOLE) & is_value
    if dtype == "float64":
        # A whole number beyond int64 is no float: it would not be the same one.
        is_beyond = value.str.contains(_WHOLE) & parsed(name, "int64").is_null()
        return value.str.contains(_DECIMAL) & is_value & ~is_beyond
    return is_value
