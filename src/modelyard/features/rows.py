"""A view's source as rows of one shape: keys, event and creation times in microseconds, values in the declared types.

Owns reading and checking sources. Owns no join and keeps nothing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from modelyard.core.digests import Digest
from modelyard.core.names import nearest
from modelyard.features.conditions import aggregated, check_aggregates
from modelyard.features.domain import DType, FeatureView, Key, Source, SourceDrifted
from modelyard.features.domain.types import find_dtype
from modelyard.features.frames import POLARS_TYPE as POLARS_TYPE
from modelyard.features.soundness import check_values
from modelyard.features.sources import ROW as ROW
from modelyard.features.sources import OpenSource as OpenSource
from modelyard.features.sources import open_source

# No column of a user's can have these names: theirs are printable.
EVENT = "\x1fevent"
CREATED = "\x1fcreated"


def source_files(source: Source, root: Path) -> OpenSource:
    """The source as it stands now, its path taken from `root`. Raises SourceUnreadable, and SourceDrifted for values of another type."""
    return open_source(source, root)


def files_digest(files: OpenSource) -> Digest:
    """What stands for the source's content in evidence."""
    return files.digest()


def source_schema(files: OpenSource) -> Mapping[str, pl.DataType]:
    """The source's columns and types. Raises SourceUnreadable."""
    return files.schema()


def row_count(files: OpenSource) -> int:
    """How many rows the source has. Raises SourceUnreadable."""
    return files.count()


def not_as_declared(view: FeatureView, error: Exception) -> SourceDrifted:
    """The error for a source whose values break its declared types only when they are read."""
    return SourceDrifted(f"view {view.name}: {view.source.place} does not hold what was declared: {error}", hint="mend the source")


def declared_types(view: FeatureView, schema: Mapping[str, pl.DataType]) -> dict[str, DType]:
    """The types that the source gives the view's columns. Raises SourceDrifted for all that are missing or of no use."""
    wrong = _useless(view, schema)
    if wrong:
        raise _drifted(view, schema, wrong)
    names = [*(key.name for key in view.entity.keys), *view.source_columns]
    found = {name: find_dtype(schema[name]) for name in names if name not in view.source.times}
    return {name: dtype for name, dtype in found.items() if dtype is not None}


def check_types(view: FeatureView, schema: Mapping[str, pl.DataType]) -> None:
    """Raises SourceDrifted where the source's columns no longer fit the view, spelling out every difference."""
    wrong = _useless(view, schema)
    wanted: list[tuple[str, DType | None]] = [(key.name, key.dtype) for key in view.entity.keys]
    wanted += [(column.name, column.dtype) for column in view.features]
    for name, dtype in wanted:
        got = find_dtype(schema[name]) if name in schema else None
        if dtype is not None and got is not None and not _fits(got, dtype):
            wrong.append(f"{name!r} is declared {dtype} and is {got} now")
    if wrong:
        raise _drifted(view, schema, wrong)
    check_aggregates(view, declared_types(view, schema))


def _fits(found: DType, declared: DType) -> bool:
    return found == declared or (found, declared) in {("int64", "float64"), ("bool", "int64"), ("bool", "float64")}


def _useless(view: FeatureView, schema: Mapping[str, pl.DataType]) -> list[str]:
    """What is wrong with the view's columns whatever was declared: missing, no time, of a type that features do not have."""
    keys = [key.name for key in view.entity.keys]
    wrong = [
        f"there is no column {name!r}" for name in dict.fromkeys([*keys, *view.source.times, *view.source_columns]) if name not in schema
    ]
    wrong += [
        f"{name!r} is {schema[name]}, not a time (write it as a timestamp: numbers do not say their unit)"
        for name in view.source.times
        if name in schema and not isinstance(schema[name], pl.Datetime | pl.Date)
    ]
    return wrong + [
        f"{name!r} is {schema[name]}, which features do not have"
        for name in dict.fromkeys([*keys, *view.source_columns])
        if name in schema and name not in view.source.times and find_dtype(schema[name]) is None
    ]


def _drifted(view: FeatureView, schema: Mapping[str, pl.DataType], wrong: Sequence[str]) -> SourceDrifted:
    wanted = [*(key.name for key in view.entity.keys), *view.source.times, *view.source_columns]
    missing = [name for name in wanted if name not in schema]
    hint = nearest(missing[0], schema) if missing else "mend the source, or declare the new types"
    return SourceDrifted(f"view {view.name}: {view.source.place} is not as declared: {'; '.join(wrong)}", hint=hint)


def source_rows(view: FeatureView, files: OpenSource) -> pl.LazyFrame:
    """The source's rows: keys, `EVENT`, `CREATED` (the event time where there is none), values, `ROW` (counted over the files).

    Types are checked first, and values that could be no row's. Rows without a key or an event time stand for nothing and are left out.
    """
    schema = files.schema()
    check_types(view, schema)
    check_values(view, files)
    return normalised(files.scan(), schema, view)


def normalised(rows: pl.LazyFrame, schema: Mapping[str, pl.DataType], view: FeatureView) -> pl.LazyFrame:
    """`rows`, which hold `ROW`, in the one shape; `schema` is theirs."""
    event = instant_expression(view.source.timestamp, schema)
    created = event if view.source.created is None else pl.coalesce(instant_expression(view.source.created, schema), event)
    keys = key_expressions(view.entity.keys, schema)
    shaped = rows.select(*keys, event.alias(EVENT), created.alias(CREATED), *value_expressions(view, schema), ROW)
    return shaped.drop_nulls([*(key.name for key in view.entity.keys), EVENT])


def value_expressions(view: FeatureView, schema: Mapping[str, pl.DataType]) -> list[pl.Expr]:
    """The view's values in the types that it works with."""
    if view.is_aggregation:
        return [aggregated(item, schema) for item in view.aggregate]
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
