"""A view's source as rows of one shape: keys, event and creation times in microseconds, values in the declared types.

Owns reading and checking sources. Owns no join and keeps nothing.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from modelyard.core.names import nearest
from modelyard.features.domain import DType, FeatureView, Key, SourceDrifted
from modelyard.features.domain.types import find_dtype
from modelyard.features.sources.files import ROW as ROW
from modelyard.features.sources.files import SourceFile as SourceFile
from modelyard.features.sources.files import files_digest as files_digest
from modelyard.features.sources.files import row_count as row_count
from modelyard.features.sources.files import scanned_rows
from modelyard.features.sources.files import source_files as source_files
from modelyard.features.sources.files import source_schema as source_schema

# No column of a user's can have these names: theirs are printable.
EVENT = "\x1fevent"
CREATED = "\x1fcreated"

POLARS_TYPE: dict[DType, pl.DataType] = {"string": pl.String(), "int64": pl.Int64(), "float64": pl.Float64(), "bool": pl.Boolean()}


def not_as_declared(view: FeatureView, error: Exception) -> SourceDrifted:
    """The error for a source whose values break its declared types only when they are read."""
    return SourceDrifted(f"view {view.name}: {view.source.path} does not hold what was declared: {error}", hint="mend the source")


def declared_types(view: FeatureView, schema: Mapping[str, pl.DataType]) -> dict[str, DType]:
    """The types that the source gives the view's columns. Raises SourceDrifted for columns that are missing or of no use."""
    wanted = [*(key.name for key in view.entity.keys), *view.source.times, *view.source_columns]
    missing = [name for name in wanted if name not in schema]
    if missing:
        raise SourceDrifted(
            f"view {view.name}: {view.source.path} has no column {missing[0]!r}" + (f" (nor {missing[1:]})" if missing[1:] else ""),
            hint=nearest(missing[0], schema),
        )
    for name in view.source.times:
        if not isinstance(schema[name], pl.Datetime | pl.Date):
            raise SourceDrifted(
                f"view {view.name}: {name!r} is {schema[name]}, not a time", hint="write it as a timestamp; numbers do not say their unit"
            )
    found = {name: find_dtype(schema[name]) for name in wanted if name not in view.source.times}
    useless = {name: schema[name] for name, dtype in found.items() if dtype is None}
    if useless:
        name, got = next(iter(useless.items()))
        raise SourceDrifted(
            f"view {view.name}: {name!r} is {got}, which features do not have", hint="turn it into a number, a text or a flag"
        )
    return {name: dtype for name, dtype in found.items() if dtype is not None}


def check_types(view: FeatureView, schema: Mapping[str, pl.DataType]) -> None:
    """Raises SourceDrifted where the source's columns no longer fit the view, spelling out the difference."""
    found = declared_types(view, schema)
    wanted: list[tuple[str, DType | None]] = [(key.name, key.dtype) for key in view.entity.keys]
    wanted += [(column.name, column.dtype) for column in view.features]
    for name, dtype in wanted:
        if dtype is not None and not _fits(found[name], dtype):
            raise SourceDrifted(
                f"view {view.name}: {name!r} is declared {dtype}, the source has {found[name]}",
                hint="mend the source, or declare the new type",
            )
    for item in view.aggregate:
        if found[item.column] == "string":
            raise SourceDrifted(f"view {view.name}: {item.column!r} is a text and has no mean", hint="aggregate numbers or flags")


def _fits(found: DType, declared: DType) -> bool:
    return found == declared or (found, declared) in {("int64", "float64"), ("bool", "int64"), ("bool", "float64")}


def source_rows(view: FeatureView, files: Sequence[SourceFile]) -> pl.LazyFrame:
    """The source's rows: keys, `EVENT`, `CREATED` (the event time where there is none), values, `ROW` (counted over the files).

    Types are checked first. Rows without a key or an event time stand for nothing and are left out.
    """
    schema = source_schema(files)
    check_types(view, schema)
    return normalised(scanned_rows(files), schema, view)


def normalised(rows: pl.LazyFrame, schema: Mapping[str, pl.DataType], view: FeatureView) -> pl.LazyFrame:
    """`rows`, which hold `ROW`, in the one shape; `schema` is theirs."""
    event = instant_expression(view.source.timestamp, schema)
    created = event if view.source.created is None else pl.coalesce(instant_expression(view.source.created, schema), event)
    keys = key_expressions(view.entity.keys, schema)
    shaped = rows.select(*keys, event.alias(EVENT), created.alias(CREATED), *value_expressions(view, schema), ROW)
    return shaped.drop_nulls([*(key.name for key in view.entity.keys), EVENT])


def source_values(view: FeatureView, files: Sequence[SourceFile], rows: pl.Series) -> pl.DataFrame:
    """The values in the given rows of the files, counted over all; null for a null. One column is read at a time."""
    schema, scan = source_schema(files), scanned_rows(files)
    columns = [scan.select(value).collect().to_series().gather(rows) for value in value_expressions(view, schema)]
    return pl.DataFrame(columns)


def value_expressions(view: FeatureView, schema: Mapping[str, pl.DataType]) -> list[pl.Expr]:
    """The view's values in the types that it works with."""
    if view.is_aggregation:
        return [_number(item.column, schema[item.column]) for item in view.aggregate]
    found = declared_types(view, schema)
    return [_value(column.name, column.dtype or found[column.name]) for column in view.features]


def instant_expression(column: str, schema: Mapping[str, pl.DataType]) -> pl.Expr:
    """The column as microseconds since 1970 in UTC. A time without a zone is UTC; parts of a microsecond are cut off."""
    dtype, value = schema[column], pl.col(column)
    if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns":
        return value.to_physical() // 1000
    return value.cast(pl.Datetime("us")).to_physical() if isinstance(dtype, pl.Date) else value.dt.cast_time_unit("us").to_physical()


def key_expressions(keys: Sequence[Key], schema: Mapping[str, pl.DataType]) -> list[pl.Expr]:
    """The key columns in their declared types, null where they hold another kind of value."""
    return [pl.col(key.name).cast(POLARS_TYPE[key.dtype], strict=False).alias(key.name) for key in keys if key.name in schema]


def _value(name: str, dtype: DType) -> pl.Expr:
    value = pl.col(name).cast(POLARS_TYPE[dtype])
    # Minus zero is zero, so that equal values have equal bits. Adding zero would not do: Polars leaves a column alone to which it is added.
    return pl.when(value == 0.0).then(0.0).otherwise(value).alias(name) if dtype == "float64" else value


def _number(name: str, dtype: pl.DataType) -> pl.Expr:
    """Values to aggregate: int64 or float64; what is not finite is no observation."""
    if dtype.is_float():
        value = pl.col(name).cast(pl.Float64)
        return pl.when(value.is_finite()).then(value).alias(name)
    return pl.col(name).cast(pl.Int64)
