"""The digest of rows: equal for equal rows in equal columns, however they are cut into chunks, files or row groups.

Owns the byte format that is hashed, below; reads and writes no file. Needs Polars and NumPy alone.

The digest is SHA-256 over: `modelyard rows 1`, a line feed, the canonical JSON of the columns as a list of
`[name, type]`, a line feed, the SHA-256 of every block in order (32 bytes each), and the number of rows (8 bytes).
Numbers are little-endian. A block holds 65,536 rows, the last one the rest; no rows make no block. Its bytes are the
number of its rows (4 bytes), then each column in declared order:

- presence: one byte 0 where no value is null; else one byte 1 and a bitmap, first row in the lowest bit, 1 = present
- whole numbers, floats, and what is counted in whole numbers (days, microseconds): the values in their own width;
  a null is 0, every NaN is the quiet positive one, and -0.0 differs from 0.0, since one divided by them does
- booleans: a bitmap like that of presence; a null is 0
- strings (UTF-8) and bytes: the lengths (8 bytes each, 0 for a null), then the contents one after the other
- decimals and 128-bit numbers: their decimal text with all places of their scale, as strings
- lists and arrays: the lengths (8 bytes each, 0 for a null), then their elements as one column
- structs: each field as a column of as many rows, null where the struct is null
- columns of nothing but nulls, without a type: presence only

Categories and enumerations count as the strings that they stand for. Types are written `int64`, `float32`, `bool`,
`string`, `binary`, `date`, `time`, `timestamp[us,UTC]`, `duration[us]`, `decimal[18,2]`, `list[int64]`,
`array[float32,4]`, `struct[["x","int64"],["y","string"]]`, `null`.
"""

import hashlib
import itertools
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from modelyard.core.digests import Digest, canonical_json
from modelyard.core.errors import InvalidInput

BLOCK_ROWS = 65_536
_HEAD = b"modelyard rows 1\n"
_NAMES: dict[type[pl.DataType], str] = {
    pl.Int8: "int8",
    pl.Int16: "int16",
    pl.Int32: "int32",
    pl.Int64: "int64",
    pl.Int128: "int128",
    pl.UInt8: "uint8",
    pl.UInt16: "uint16",
    pl.UInt32: "uint32",
    pl.UInt64: "uint64",
    pl.Float32: "float32",
    pl.Float64: "float64",
    pl.Boolean: "bool",
    pl.String: "string",
    pl.Categorical: "string",
    pl.Enum: "string",
    pl.Binary: "binary",
    pl.Date: "date",
    pl.Time: "time",
    pl.Null: "null",
}


def digest_frame(frame: pl.DataFrame) -> Digest:
    """The digest of a frame's rows in its columns' order. Raises InvalidInput for a type that has no place in the format."""
    return digest_frames((frame,))


def digest_frames(frames: Iterable[pl.DataFrame]) -> Digest:
    """The digest of the frames' rows, one frame after the other, holding two blocks at a time.

    The frames have the same columns and types, and there is at least one, which may be empty. Raises InvalidInput.
    """
    running = RowDigest()
    for frame in frames:
        running.update(frame)
    return running.digest()


class RowDigest:
    """A digest of rows that come in pieces; how they are cut makes no difference."""

    def __init__(self) -> None:
        self._columns: list[list[str]] | None = None
        self._blocks: list[bytes] = []
        self._pending: list[pl.DataFrame] = []
        self._pending_rows = 0
        self._rows = 0

    def update(self, frame: pl.DataFrame) -> None:
        """Takes the frame's rows in. Raises InvalidInput where its columns differ from those before."""
        columns = [[name, type_name(dtype)] for name, dtype in frame.schema.items()]
        if self._columns is None:
            self._columns = columns
        elif columns != self._columns:
            raise InvalidInput(f"rows of {columns} cannot follow rows of {self._columns}", hint="give every piece the same columns")
        self._rows += frame.height
        start = 0
        if self._pending_rows:
            start = min(BLOCK_ROWS - self._pending_rows, frame.height)
            self._hold(frame[:start])
        while frame.height - start >= BLOCK_ROWS:
            self._blocks.append(_block_digest(frame[start : start + BLOCK_ROWS]))
            start += BLOCK_ROWS
        if start < frame.height:
            self._hold(frame[start:])

    def digest(self) -> Digest:
        """The digest of all rows so far; more may follow. Raises InvalidInput where no frame came."""
        if self._columns is None:
            raise InvalidInput("rows without columns have no digest", hint="give at least one frame, which may be empty")
        last = [_block_digest(pl.concat(map(_plain, self._pending)))] if self._pending_rows else []
        content = itertools.chain((_HEAD, canonical_json(self._columns), b"\n"), self._blocks, last, (struct.pack("<Q", self._rows),))
        return Digest("sha256:" + hashlib.sha256(b"".join(content)).hexdigest())

    def _hold(self, frame: pl.DataFrame) -> None:
        self._pending.append(frame)
        self._pending_rows += frame.height
        if self._pending_rows == BLOCK_ROWS:
            self._blocks.append(_block_digest(pl.concat(map(_plain, self._pending))))
            self._pending, self._pending_rows = [], 0


def type_name(dtype: pl.DataType) -> str:
    """How the format writes a type. Raises InvalidInput for one that has no place in it.

    >>> type_name(pl.List(pl.Datetime("us", "UTC")))
    'list[timestamp[us,UTC]]'
    """
    match dtype:
        case pl.Datetime():
            return f"timestamp[{dtype.time_unit}{',' + dtype.time_zone if dtype.time_zone else ''}]"
        case pl.Duration():
            return f"duration[{dtype.time_unit}]"
        case pl.Decimal():
            return f"decimal[{dtype.precision},{dtype.scale}]"
        case pl.List():
            return f"list[{type_name(_instance(dtype.inner))}]"
        case pl.Array():
            return f"array[{type_name(_instance(dtype.inner))},{dtype.size}]"
        case pl.Struct():
            fields = [[field.name, type_name(_instance(field.dtype))] for field in dtype.fields]
            return f"struct{canonical_json(fields).decode()}"
        case _ if type(dtype) in _NAMES:
            return _NAMES[type(dtype)]
        case _:
            raise InvalidInput(f"rows of {dtype} have no digest", hint="cast the column, or leave it out")


def _instance(dtype: Any) -> pl.DataType:
    made: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return made


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with categories as strings: those of two frames may differ where their strings do not."""
    return frame.cast({column: pl.String for column, dtype in frame.schema.items() if isinstance(dtype, pl.Categorical | pl.Enum)})


def _block_digest(frame: pl.DataFrame) -> bytes:
    running = hashlib.sha256(struct.pack("<I", frame.height))
    for column in frame.iter_columns():
        for part in _column_bytes(column):
            running.update(part)
    return running.digest()


def _column_bytes(column: pl.Series) -> Iterator[Any]:
    """The bytes of a column, in parts that can be hashed one after the other."""
    yield from _presence(column)
    dtype = column.dtype
    if isinstance(dtype, pl.Categorical | pl.Enum | pl.Decimal | pl.Int128):
        column, dtype = column.cast(pl.String), pl.String()
    match dtype:
        case pl.Null():
            return
        case pl.Boolean():
            yield _bitmap(column.fill_null(value=False))
        case pl.String():
            yield _lengths(column.str.len_bytes())
            yield (column.str.join("").item() or "").encode()
        case pl.Binary():
            yield _lengths(column.bin.size())
            yield b"".join(column.drop_nulls().to_list())
        case pl.Struct():
            for field in dtype.fields:
                # Polars hands a field out with the struct's nulls in it.
                yield from _column_bytes(column.struct.field(field.name))
        case pl.List() | pl.Array():
            yield from _list_bytes(column.arr.to_list() if isinstance(dtype, pl.Array) else column)
        case _:
            yield _numbers(column)


def _presence(column: pl.Series) -> Iterator[Any]:
    if column.null_count() == 0:
        yield b"\0"
    else:
        yield b"\1"
        yield _bitmap(column.is_not_null())


def _bitmap(truth: pl.Series) -> npt.NDArray[np.uint8]:
    return np.packbits(truth.to_numpy(), bitorder="little")


def _lengths(lengths: pl.Series) -> npt.NDArray[Any]:
    return lengths.fill_null(0).to_numpy().astype("<u8")


def _list_bytes(column: pl.Series) -> Iterator[Any]:
    lengths = column.list.len().fill_null(0)
    yield _lengths(lengths)
    yield from _column_bytes(column.filter(lengths > 0).explode())


def _numbers(column: pl.Series) -> npt.NDArray[Any]:
    values = column.to_physical().fill_null(0).to_numpy()
    if values.dtype.kind == "f" and (wild := np.isnan(values)).any():
        values = np.where(wild, np.array(np.nan, values.dtype), values)
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
