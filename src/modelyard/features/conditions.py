"""An aggregate's values as Polars reads them from a source: typed, and null where its condition does not hold.

So a condition is applied once, where rows are read, and whatever computes windows sees a column like any other.
"""

import functools
from collections.abc import Mapping

import polars as pl

from modelyard.features.domain import Aggregate, DType, FeatureView, SourceDrifted
from modelyard.features.domain.conditions import Among, Compared, Condition, Flag, Joined, Literal_, Missing, Not, columns_of
from modelyard.features.domain.types import find_dtype


def aggregated(item: Aggregate, schema: Mapping[str, pl.DataType]) -> pl.Expr:
    """The values that `item` aggregates, under its name: finite numbers without a minus zero, or texts; else null."""
    value = _value(item.column, schema[item.column])
    condition = item.condition
    return (value if condition is None else pl.when(expression(condition, schema)).then(value)).alias(item.name)


def _value(name: str, dtype: pl.DataType) -> pl.Expr:
    value = pl.col(name)
    if dtype.is_float():
        value = value.cast(pl.Float64)
        return pl.when(value == 0.0).then(0.0).when(value.is_finite()).then(value)
    return value.cast(pl.String if find_dtype(dtype) == "string" else pl.Int64)


def expression(condition: Condition, schema: Mapping[str, pl.DataType]) -> pl.Expr:
    """Whether `condition` holds in a row: null where nulls leave it open. A NaN is a null here, too."""
    match condition:
        case Compared(column, operator, value):
            return _compared(_read(column, schema), operator, value)
        case Among(column, values):
            return functools.reduce(lambda left, right: left | right, [_read(column, schema) == value for value in values])
        case Missing(column):
            return _read(column, schema).is_null()
        case Flag(column):
            return pl.col(column)
        case Not(part):
            return ~expression(part, schema)
        case Joined(word, parts):
            made = [expression(part, schema) for part in parts]
            return functools.reduce(lambda left, right: left & right if word == "AND" else left | right, made)


def _read(column: str, schema: Mapping[str, pl.DataType]) -> pl.Expr:
    value = pl.col(column)
    if schema[column].is_float():
        return value.cast(pl.Float64).fill_nan(None)
    return value.cast(pl.String) if find_dtype(schema[column]) == "string" else value


def _compared(column: pl.Expr, operator: str, value: Literal_) -> pl.Expr:
    match operator:
        case "=":
            return column == value
        case "!=":
            return column != value
        case "<":
            return column < value
        case "<=":
            return column <= value
        case ">":
            return column > value
        case _:
            return column >= value


def check_aggregates(view: FeatureView, found: Mapping[str, DType]) -> None:
    """Raises InvalidDeclaration or SourceDrifted where aggregates do not fit the types that the source has."""
    for item in view.aggregate:
        got = found[item.column]
        item.check(got)
        if item.dtype is not None and item.dtype != ("int64" if got == "bool" else got):
            raise SourceDrifted(
                f"view {view.name}: {item.column!r} was {item.dtype} when it was applied, the source has {got}",
                hint="mend the source, or apply the view anew",
            )
        condition = item.condition
        for column, values in columns_of(condition).items() if condition else ():
            for value in values:
                if not _is_like(value, found[column]):
                    raise SourceDrifted(
                        f"view {view.name}: the condition of {item.name} holds {column!r}, which is {found[column]}, against {value!r}",
                        hint=f"compare it with a {found[column]}, or another column",
                    )


def _is_like(value: Literal_, dtype: DType) -> bool:
    if isinstance(value, bool):
        return dtype == "bool"
    return dtype == "string" if isinstance(value, str) else dtype in ("int64", "float64")
