"""The rows that a model learns from, out of whatever kind of source. Owns which of their columns are read, and their types."""

from pathlib import Path

from msgspec.structs import replace

from modelyard.core.errors import InvalidInput
from modelyard.core.names import listed, nearest
from modelyard.delivery.declaration import ModelDeclaration
from modelyard.features.domain import Column, ColumnType, Csv, DType, Sql, pinned
from modelyard.features.domain.types import find_dtype
from modelyard.features.rows import OpenSource, source_files


def read_columns(declaration: ModelDeclaration) -> tuple[str, ...]:
    """The keys, the request's fields and the label, each once."""
    names = [*(key.name for key in declaration.keys), *(field.name for field in declaration.request), declaration.label]
    return tuple(dict.fromkeys(names))


def time_columns(declaration: ModelDeclaration) -> tuple[str, ...]:
    """When a label became known, and what an answer is as of; none for rows without times."""
    return () if declaration.as_of is None else (declaration.observations.known, declaration.as_of.column)


def open_observations(declaration: ModelDeclaration, root: Path) -> OpenSource:
    """The rows as they stand, the path taken from `root`. Raises InvalidInput where the source lacks columns, SourceUnreadable."""
    found = source_files(declaration.observations.source, root)
    present = list(found.schema())
    missing = [name for name in (*read_columns(declaration), *time_columns(declaration)) if name not in present]
    if missing:
        near = nearest(missing[0], present)
        raise InvalidInput(f"{found.place} has no column {listed([repr(name) for name in dict.fromkeys(missing)])}", hint=near)
    return found


def with_typed_rows(declaration: ModelDeclaration, root: Path) -> ModelDeclaration:
    """`declaration` with the types of its rows' columns read once, where their source does not say them itself."""
    source = declaration.observations.source
    if not isinstance(source, Csv | Sql) or source.columns:
        return declaration
    schema = open_observations(declaration, root).schema()
    declared: dict[str, DType] = {key.name: key.dtype for key in declaration.keys}
    declared |= {field.name: field.dtype for field in declaration.request}
    types: dict[str, ColumnType] = {name: declared.get(name) or find_dtype(schema[name]) or "time" for name in read_columns(declaration)}
    types |= dict.fromkeys(time_columns(declaration), "time")
    return _over(declaration, tuple(Column(name, dtype) for name, dtype in types.items()))


def typed_like_rows(declaration: ModelDeclaration, standing: ModelDeclaration) -> ModelDeclaration:
    """`declaration` with the types of its rows' columns as they are in `standing`; no source is read."""
    source = standing.observations.source
    return _over(declaration, source.columns) if isinstance(source, Csv | Sql) else declaration


def _over(declaration: ModelDeclaration, columns: tuple[Column, ...]) -> ModelDeclaration:
    observations = declaration.observations
    return replace(declaration, observations=replace(observations, source=pinned(observations.source, columns)))
