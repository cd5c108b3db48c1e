"""A database's rows as frames of typed columns: declared types are held to, the others follow from the values."""

import contextlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import polars as pl

from modelyard.features.domain import ColumnType, SourceDrifted, SourceUnreadable
from modelyard.features.sources.texts import TYPES, instants

_TAKEN: dict[ColumnType, frozenset[type]] = {
    "string": frozenset({str, UUID}),
    "int64": frozenset({int, bool, Decimal}),
    "float64": frozenset({int, float, bool, Decimal}),
    "bool": frozenset({int, bool}),
    "time": frozenset({datetime, date, str}),
}
# From narrow to wide: a column that holds values of several is of the last of them.
_NATURAL: tuple[tuple[ColumnType, frozenset[type]], ...] = (
    ("bool", frozenset({bool})),
    ("int64", frozenset({bool, int})),
    ("float64", frozenset({bool, int, float})),
    ("string", frozenset({str})),
    ("time", frozenset({datetime, date})),
)


_PYTHON: dict[ColumnType, type] = {"string": str, "int64": int, "float64": float, "bool": bool}


class Cells:
    """Turns one part of the rows after the other into a frame, and knows in the end what each column holds."""

    def __init__(self, place: str, names: Sequence[str], declared: Mapping[str, ColumnType]) -> None:
        self._place, self._names, self._declared = place, names, declared
        self._seen: dict[str, set[type]] = {name: set() for name in names}
        self._rows = 0

    def frame(self, rows: Sequence[Sequence[Any]]) -> pl.DataFrame:
        """The rows as columns. Raises SourceDrifted for a value that is not of its declared type, SourceUnreadable for one of no type."""
        columns = zip(*rows, strict=True)
        made = [self._column(name, list(values)) for name, values in zip(self._names, columns, strict=True)]
        self._rows += len(rows)
        return pl.DataFrame(made)

    def types(self) -> dict[str, pl.DataType]:
        """The type of each column after all rows."""
        return {name: TYPES[self._type(name)] if self._seen[name] or name in self._declared else pl.String() for name in self._names}

    def _type(self, name: str) -> ColumnType:
        if name in self._declared:
            return self._declared[name]
        for dtype, kinds in _NATURAL:
            if self._seen[name] <= kinds:
                return dtype
        kinds_said = " and ".join(sorted(kind.__name__ for kind in self._seen[name]))
        raise SourceUnreadable(
            f"{self._place}: {name!r} holds {kinds_said}, which features do not have together",
            hint=f"declare the type, columns={{{name!r}: ...}}, cast it in a query, or leave it out",
        )

    def _column(self, name: str, values: list[Any]) -> pl.Series:
        kinds = set(map(type, values)) - {type(None)}
        self._seen[name] |= kinds
        if not self._seen[name] and name not in self._declared:
            return pl.Series(name, values, dtype=pl.String)
        dtype = self._type(name)
        made = _instants(name, values) if dtype == "time" else _typed(name, values, dtype, kinds)
        if made.null_count() > values.count(None):
            place = next(place for place, value in enumerate(values) if value is not None and made[place] is None)
            raise SourceDrifted(
                f"{self._place}, row {self._rows + place + 1}: {name!r} is {repr(values[place])[:60]}, not {dtype}",
                hint="mend the row, or declare the type that the column has",
            )
        return made


def _typed(name: str, values: list[Any], dtype: ColumnType, kinds: set[type]) -> pl.Series:
    """The values as a column, null where one cannot be of that type without becoming another."""
    if kinds == {_PYTHON[dtype]}:
        with contextlib.suppress(OverflowError, TypeError):
            return pl.Series(name, values, dtype=TYPES[dtype])
    return pl.Series(name, [_PYTHON[dtype](value) if _fits(value, dtype) else None for value in values], dtype=TYPES[dtype])


def _fits(value: Any, dtype: ColumnType) -> bool:
    if type(value) not in _TAKEN[dtype]:
        return False
    if dtype == "int64":
        return -(2**63) <= value < 2**63 and bool(value == int(value))
    return dtype != "bool" or value in (0, 1)


def _instants(name: str, values: list[Any]) -> pl.Series:
    """The values as instants, null where one is none. What has no zone is UTC."""
    texts = [value if isinstance(value, str) else value.isoformat() if isinstance(value, date) else None for value in values]
    return instants(pl.Series(name, texts, dtype=pl.String))
