"""Columns to the matrix that a model computes on: the same function when training, scoring offline and serving.

Owns the encoding; knows no format. String columns become the places of their values among the recorded categories;
a value that was not recorded, like None, becomes NaN, which tree models treat as missing.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np

from modelyard.core.names import nearest
from modelyard.registry.domain import Column, DType, Output, Signature, SignatureMismatch

Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Vector = np.ndarray[tuple[int], np.dtype[np.float64]]


class Series(Protocol):
    """A column of a data frame, such as a Polars series."""

    def to_list(self) -> list[Any]:
        """Its values, None where there is none."""
        ...

    def __len__(self) -> int: ...


Values = Sequence[Any] | Series | np.ndarray[Any, Any]
Columns = Mapping[str, Values]

_NUMERIC_KINDS = "fiub"
_NUMBERS = (int, float, np.number, np.bool_)


class Encoder:
    """A signature made ready: each call costs one array a numeric column and one look-up a string.

    `numeric` and `strings` hold the columns by their place in the matrix; `codes` the places of the categories.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.names = signature.names
        self._numeric = [(place, column.name) for place, column in enumerate(signature.inputs) if column.categories is None]
        self._strings = [
            (place, column.name, {category: float(code) for code, category in enumerate(column.categories)})
            for place, column in enumerate(signature.inputs)
            if column.categories is not None
        ]

    @property
    def categorical(self) -> tuple[int, ...]:
        """The places in the matrix of the string columns: what a trainer is told are categories."""
        return tuple(place for place, _, _ in self._strings)

    def matrix(self, columns: Columns) -> Matrix:
        """The matrix of `columns`, shape (rows, inputs), float64, C order. Columns that the signature lacks are left out.

        Raises SignatureMismatch where a column is missing, holds values of another type, or has another length.
        """
        try:
            rows = len(columns[self.names[0]])
            result = np.empty((rows, len(self.names)), dtype=np.float64)
            for place, name in self._numeric:
                values = _numbers(columns[name], name)
                if values.shape != (rows,):
                    raise _uneven(name, values.shape, rows)
                result[:, place] = values
            for place, name, codes in self._strings:
                found = _codes(columns[name], codes, name)
                if len(found) != rows:
                    raise _uneven(name, (len(found),), rows)
                result[:, place] = found
        except KeyError:
            raise self._missing(columns) from None
        return result

    def _missing(self, columns: Columns) -> SignatureMismatch:
        name = next(name for name in self.names if name not in columns)
        return SignatureMismatch(f"the column {name!r} is missing; the model takes {', '.join(self.names)}", hint=nearest(name, columns))


@functools.lru_cache(maxsize=256)
def encoder(signature: Signature) -> Encoder:
    """The encoder of `signature`, made once."""
    return Encoder(signature)


def matrix(columns: Columns, signature: Signature) -> Matrix:
    """The matrix of `columns` under `signature`: see `Encoder.matrix`.

    >>> airports = Signature(inputs=(Column(name="origin", dtype="string", categories=("EWR", "JFK")), Column(name="hour", dtype="int64")))
    >>> matrix({"origin": ["JFK", "LGA", None], "hour": [9, None, 3]}, airports).tolist()
    [[1.0, 9.0], [nan, nan], [nan, 3.0]]
    """
    return encoder(signature).matrix(columns)


def _uneven(name: str, shape: tuple[int, ...], rows: int) -> SignatureMismatch:
    return SignatureMismatch(
        f"column {name!r} has the shape {shape}, the first column {rows} rows", hint="give every column one value a row"
    )


def _numbers(values: Values, name: str) -> np.ndarray[Any, Any]:
    try:
        array = values if isinstance(values, np.ndarray) else np.asarray(values if isinstance(values, list | tuple) else _listed(values))
    except ValueError as error:
        raise SignatureMismatch(f"column {name!r} holds lists of several lengths", hint="give one number a row") from error
    if array.dtype.kind in _NUMERIC_KINDS:
        return array
    wrong = next((value for value in _listed(values) if not (value is None or isinstance(value, _NUMBERS))), None)
    if wrong is not None:
        raise SignatureMismatch(f"column {name!r} holds {wrong!r}, which is no number", hint="give numbers, or null where there is none")
    return array.astype(np.float64)


def _codes(values: Values, codes: dict[str, float], name: str) -> list[float]:
    listed = values if isinstance(values, list | tuple) else _listed(values)
    try:
        found = list(map(codes.get, listed))
    except TypeError:
        found = [None]
    if None not in found:
        return cast("list[float]", found)
    wrong = next((value for value in listed if not (value is None or isinstance(value, str))), None)
    if wrong is not None:
        raise SignatureMismatch(f"column {name!r} holds {wrong!r}, which is no text", hint="give texts, or null where there is none")
    return [math.nan if code is None else code for code in found]


def _listed(values: Values) -> list[Any]:
    if isinstance(values, np.ndarray):
        return list(values.tolist())
    return values.to_list() if hasattr(values, "to_list") else list(values)


def signature_of(columns: Columns, dtypes: Mapping[str, DType], output: Output | None = None) -> Signature:
    """The signature of a training table: its columns in the order of `dtypes`, with the categories that occur, sorted.

    Sorting makes the encoding a function of the values alone: another order of the same rows gives the same signature.
    """
    inputs = tuple(
        Column(name=name, dtype=dtype, categories=_categories(columns[name]) if dtype == "string" else None)
        for name, dtype in dtypes.items()
    )
    return Signature(inputs=inputs, output=output or Output())


def _categories(values: Values) -> tuple[str, ...]:
    return tuple(sorted({value for value in _listed(values) if value is not None}))
