"""On-demand features computed: the same function over whole columns and over single values, with the same bits.

Owns what a function is run with, and what is missing: a null float is NaN inside; any other null makes the result null before the
function is called; a result that is no finite number is null. What may be run at all was settled by `domain.columnwise`.
"""

import functools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.core.names import nearest
from modelyard.features.domain import BadLabels, DType, Feature, FeatureSet, OnDemand, OnlineRow, OnlineValues, Reason, Value
from modelyard.features.domain.columnwise import FUNCTIONS, parsed, runnable
from modelyard.features.domain.types import find_dtype
from modelyard.features.frames import POLARS_TYPE

FEW = 6
"""So many rows are computed one by one; for more, columns are faster."""

Column = NDArray[Any]
Columns = Mapping[str, Column]
_NUMPY: dict[DType, Any] = {"float64": np.float64, "int64": np.int64, "bool": np.bool_}
_BLANK: dict[DType, Any] = {"float64": np.nan, "int64": 0, "bool": False, "string": ""}
_KINDS: dict[DType, tuple[type, ...]] = {"float64": (float, int), "int64": (int,), "bool": (bool,), "string": (str,)}
_ENDS: dict[DType, tuple[float, float]] = {"int64": (-(2**63), 2**63 - 1), "float64": (-sys.float_info.max, sys.float_info.max)}
_SHARED: dict[str, Any] = {f"np_{name}": getattr(np, name) for name in FUNCTIONS - {"clip"}} | {
    "__builtins__": {},
    "np_float64": np.float64,
    "np_int64": np.int64,
    "np_bool": np.bool_,
    "np_inf": np.float64(np.inf),
    "np_nan": np.float64(np.nan),
    "np_clip": lambda values, low, high: np.minimum(np.maximum(values, low), high),
}
# What NumPy has no fast form of for single values, said for them: a choice, and texts.
_OF_VALUES = _SHARED | {"np_where": lambda flag, yes, no: yes if flag else no, "text_equal": lambda left, right: np.bool_(left == right)}
_OF_COLUMNS = _SHARED | {"text_equal": lambda left, right: np.asarray(left == right, dtype=np.bool_)}


class Computation:
    """A function that is ready to run, over columns and over single values. Shared by threads."""

    def __init__(self, function: OnDemand) -> None:
        self.function = function
        self.names = tuple(function.dtypes)
        code = compile(runnable(parsed(function.source), function.dtypes, function.dtype), f"<on-demand {function.name}>", "exec")
        self._of_values: Callable[..., Any] = _defined(code, _OF_VALUES)
        self._of_columns: Callable[..., Any] = _defined(code, _OF_COLUMNS)
        self._dtypes = tuple(function.dtypes.values())
        self._makers = tuple(_NUMPY.get(dtype, str) for dtype in self._dtypes)
        self._is_float = function.dtype == "float64"
        self._result = {"float64": float, "int64": int, "bool": bool}[function.dtype]

    def of_values(self, given: Iterable[Any]) -> Value:
        """What the function itself gives for one row's inputs, none of them missing."""
        found: Value = self._result(self._of_values(*[make(value) for make, value in zip(self._makers, given, strict=True)]))
        return found

    def of_columns(self, columns: Sequence[Column]) -> Column:
        """What the function itself gives for columns of its types, shape (rows,). Nothing is missing in them."""
        # NumPy computes contiguous columns by its wide instructions, and others by another way that rounds otherwise.
        found = self._of_columns(*(np.ascontiguousarray(column) for column in columns))
        return np.broadcast_to(np.asarray(found, dtype=_NUMPY[self.function.dtype]), columns[0].shape)

    def value(self, given: Sequence[Value]) -> Value:
        """The result for one row's inputs, in their order. Warnings of NumPy are the caller's to silence."""
        if None in given:
            if any(value is None and make is not np.float64 for value, make in zip(given, self._makers, strict=True)):
                return None
            given = [np.nan if value is None else value for value in given]
        found = self.of_values(given)
        return None if self._is_float and found - found != 0.0 else found  # type: ignore[operator]  # a float

    def values(self, given: Sequence[Sequence[Value]], rows: int) -> list[Value]:
        """The results for rows whose inputs came as lists, None where there is none. Warnings are the caller's to silence."""
        if rows <= FEW:
            return [self.value(row) for row in zip(*given, strict=True)]
        columns, known = [], np.ones(rows, dtype=np.bool_)
        for cells, dtype in zip(given, self._dtypes, strict=True):
            whole = cells
            if None in cells and dtype != "float64":
                known &= np.array([cell is not None for cell in cells], dtype=np.bool_)
                whole = [_BLANK[dtype] if cell is None else cell for cell in cells]
            columns.append(np.array(whole, dtype=_NUMPY.get(dtype, np.object_)))
        found, known = self._computed(columns, known)
        return [value if there else None for value, there in zip(found.tolist(), known.tolist(), strict=True)]

    def series(self, columns: Mapping[str, pl.Series], rows: int) -> pl.Series:
        """The results for whole columns, under the function's name. Raises BadLabels for a column of another type."""
        given, known = [], np.ones(rows, dtype=np.bool_)
        for name, dtype in self.function.dtypes.items():
            column = columns[name].cast(POLARS_TYPE[dtype])
            if column.null_count():
                known &= column.is_not_null().to_numpy() if dtype != "float64" else True
                column = column.fill_null(_BLANK[dtype])
            given.append(column.to_numpy())
        with np.errstate(all="ignore"):
            found, known = self._computed(given, known)
        made = pl.Series(self.function.name, found)
        return made if known.all() else pl.select(pl.when(pl.Series(known)).then(made).alias(made.name)).to_series()

    def _computed(self, columns: Sequence[Column], known: NDArray[np.bool_]) -> tuple[Column, NDArray[np.bool_]]:
        """The results and which of them count, shape (rows,) each."""
        found = self.of_columns(columns)
        return found, known & np.isfinite(found) if self._is_float else known


def _defined(code: Any, names: Mapping[str, Any]) -> Callable[..., Any]:
    # The code holds nothing but names of this module and numbers: `columnwise` built it node by node.
    space = dict(names)
    exec(code, space)  # noqa: S102 - see above
    made: Callable[..., Any] = space["computed"]
    return made


@functools.lru_cache(maxsize=512)
def computation(function: OnDemand) -> Computation:
    """The function made ready, once for each version."""
    return Computation(function)


def on_demand_columns(feature_set: FeatureSet, read: pl.DataFrame, rows: pl.DataFrame) -> list[pl.Series]:
    """What the set's functions give for `read`, the features of its views, and `rows`, which have keys and the request's fields.

    Raises BadLabels for a field that the rows do not have or have as another type.
    """
    columns = {key.name: rows[key.name] for key in feature_set.keys if key.name in rows.columns}
    columns |= {field.name: _request_column(field, rows) for field in feature_set.request}
    columns |= {column.name: column for column in read.iter_columns()}
    made: list[pl.Series] = []
    for function in feature_set.on_demand:
        made.append(computation(function).series(columns, rows.height))
        columns[function.name] = made[-1]
    return made


def _request_column(field: Feature, rows: pl.DataFrame) -> pl.Series:
    if field.name not in rows.columns:
        raise BadLabels(f"the rows have no {field.name!r}, which on-demand features read", hint=nearest(field.name, rows.columns))
    found = rows[field.name]
    if find_dtype(found.dtype) not in (field.dtype, *(("int64",) if field.dtype == "float64" else ())) and found.dtype != pl.Null:
        raise BadLabels(f"{field.name!r} is {found.dtype}, and on-demand features read {field.dtype}", hint=f"cast it to {field.dtype}")
    return found


class OnlineFunctions:
    """The functions of a set over what was read online. Prepared once and shared by threads."""

    def __init__(self, feature_set: FeatureSet) -> None:
        self._computations = [computation(function) for function in feature_set.on_demand]
        read = {need for one in self._computations for need in one.names} - set(feature_set.names)
        self._asked = tuple(sorted(read))

    def added(self, read: OnlineRow, row: Mapping[str, Any]) -> OnlineRow:
        """`add` for one row."""
        values = read.as_values()
        self.add(values, {name: [row.get(name)] for name in self._asked}, 1)
        missing = {name: reasons[0] for name, reasons in values.missing.items()}
        return msgspec.structs.replace(read, values={name: column[0] for name, column in values.columns.items()}, missing=missing)

    def add(self, values: OnlineValues, given: Mapping[str, Sequence[Any]], rows: int) -> None:
        """Puts what the functions give into `values`, read for rows that came as the columns `given`.

        One that is missing has its first missing input's reason.
        """
        columns = {name: given[name] for name in self._asked} | values.columns
        with np.errstate(all="ignore"):
            for one in self._computations:
                made = one.values([columns[need] for need in one.names], rows)
                columns[one.function.name] = values.columns[one.function.name] = made
                if None in made:
                    _note_missing(one, made, values)


def _note_missing(computation: Computation, made: Sequence[Value], values: OnlineValues) -> None:
    known = [values.missing[need] for need in computation.names if need in values.missing]
    values.missing[computation.function.name] = {
        row: next((reasons[row] for reasons in known if row in reasons), Reason.NULL) for row, value in enumerate(made) if value is None
    }


def check_request(request: Sequence[Feature], rows: Sequence[Mapping[str, Value]]) -> None:
    """Raises BadLabels where a row's field is of another type than the set's functions read."""
    for field in request:
        kinds = _KINDS[field.dtype or "float64"]
        wrong = next((row[field.name] for row in rows if row.get(field.name) is not None and type(row[field.name]) not in kinds), None)
        if wrong is not None:
            raise BadLabels(f"{field.name!r} is {field.dtype}, not {str(wrong)[:40]!r}", hint=f"send {field.name} as {field.dtype}")
        ends = _ENDS.get(field.dtype or "float64")
        if ends and any(not ends[0] <= (row.get(field.name) or 0) <= ends[1] for row in rows):  # type: ignore[operator]  # a number
            raise BadLabels(f"{field.name!r} lies beyond {field.dtype}", hint=f"send {field.name} as {field.dtype}")
