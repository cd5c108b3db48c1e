"""The digest of rows: against a slow reading of its documented format, and what it must not depend on."""

import hashlib
import itertools
import json
import math
import struct
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.core.digests import Digest
from modelyard.core.errors import InvalidInput
from modelyard.storage.rows import BLOCK_ROWS, RowDigest, digest_frame, digest_frames
from modelyard.storage.tables import Tables

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CODES = {
    "int8": "b",
    "int16": "<h",
    "int32": "<i",
    "int64": "<q",
    "uint8": "B",
    "uint32": "<I",
    "float32": "<f",
    "float64": "<d",
    "date": "<i",
}


def bits(truths: list[bool]) -> bytes:
    """A bitmap, first value in the lowest bit."""
    return bytes(sum(truth << place for place, truth in enumerate(truths[start : start + 8])) for start in range(0, len(truths), 8))


def lengths(values: list[Any]) -> bytes:
    """Eight bytes a value, 0 for a null."""
    return b"".join(struct.pack("<Q", 0 if value is None else len(value)) for value in values)


def column_bytes(values: list[Any], kind: Any) -> bytes:
    """A column as the format is documented, read value by value. `kind` is a type's name, `[inner]` or `{field: inner}`."""
    out = b"\0" if None not in values else b"\1" + bits([value is not None for value in values])
    if isinstance(kind, list):
        return out + lengths(values) + column_bytes([inner for value in values for inner in value or []], kind[0])
    if isinstance(kind, dict):
        return out + b"".join(column_bytes([value and value[name] for value in values], inner) for name, inner in kind.items())
    if kind == "bool":
        return out + bits([bool(value) for value in values])
    if kind in ("string", "binary"):
        encoded = [value.encode() if isinstance(value, str) else value for value in values]
        return out + lengths(encoded) + b"".join(value or b"" for value in encoded)
    if kind.startswith("float"):
        quiet = b"\x00\x00\xc0\x7f" if kind == "float32" else b"\x00\x00\x00\x00\x00\x00\xf8\x7f"
        floats = [0.0 if value is None else value for value in values]
        return out + b"".join(quiet if math.isnan(value) else struct.pack(CODES[kind], value) for value in floats)
    if kind == "date":
        values = [value and value.toordinal() - date(1970, 1, 1).toordinal() for value in values]
    if kind.startswith("timestamp"):
        values, kind = [value and (value - EPOCH) // timedelta(microseconds=1) for value in values], "int64"
    return out + b"".join(struct.pack(CODES[kind], value or 0) for value in values)


def slow_digest(frame: pl.DataFrame, kinds: dict[str, Any], header: list[list[str]]) -> Digest:
    """The digest by the documentation, one value after the other."""
    blocks = b""
    for start in range(0, frame.height, BLOCK_ROWS):
        block = frame[start : start + BLOCK_ROWS]
        parts = [column_bytes(block[name].to_list(), kind) for name, kind in kinds.items()]
        blocks += hashlib.sha256(struct.pack("<I", block.height) + b"".join(parts)).digest()
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    content = b"modelyard rows 1\n" + text + b"\n" + blocks + struct.pack("<Q", frame.height)
    return Digest("sha256:" + hashlib.sha256(content).hexdigest())


SPECIAL = st.sampled_from([0.0, -0.0, math.nan, -math.nan, math.inf])
COLUMNS: dict[str, tuple[Any, Any, str, st.SearchStrategy[Any]]] = {
    "i8": (pl.Int8(), "int8", "int8", st.integers(-128, 127)),
    "i64": (pl.Int64(), "int64", "int64", st.integers(-(2**63), 2**63 - 1)),
    "u32": (pl.UInt32(), "uint32", "uint32", st.integers(0, 2**32 - 1)),
    "f32": (pl.Float32(), "float32", "float32", st.floats(width=32) | SPECIAL),
    "f64": (pl.Float64(), "float64", "float64", st.floats() | SPECIAL),
    "truth": (pl.Boolean(), "bool", "bool", st.booleans()),
    "text": (pl.String(), "string", "string", st.text(max_size=4)),
    "bytes": (pl.Binary(), "binary", "binary", st.binary(max_size=4)),
    "day": (pl.Date(), "date", "date", st.dates()),
    "at": (
        pl.Datetime("us", "UTC"),
        "timestamp",
        "timestamp[us,UTC]",
        st.integers(-(10**15), 10**15).map(lambda at: EPOCH + timedelta(microseconds=at)),
    ),
    "list": (pl.List(pl.String()), ["string"], "list[string]", st.lists(st.one_of(st.none(), st.text(max_size=2)), max_size=3)),
    "pair": (
        pl.Struct({"x": pl.Int32(), "y": pl.List(pl.Float64())}),
        {"x": "int32", "y": ["float64"]},
        'struct[["x","int32"],["y","list[float64]"]]',
        st.fixed_dictionaries({"x": st.one_of(st.none(), st.integers(0, 9)), "y": st.one_of(st.none(), st.lists(st.floats(), max_size=2))}),
    ),
}


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    """Frames of some of the columns above, with nulls."""
    names = draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=4, unique=True))
    rows = draw(st.integers(0, 20))
    values = {name: draw(st.lists(st.one_of(st.none(), COLUMNS[name][3]), min_size=rows, max_size=rows)) for name in names}
    return pl.DataFrame({name: pl.Series(values[name], dtype=COLUMNS[name][0]) for name in names})


@given(frame=frames())
@settings(max_examples=150)
def test_the_digest_is_what_the_documented_format_says(frame: pl.DataFrame) -> None:
    """Read independently, value by value."""
    kinds = {name: COLUMNS[name][1] for name in frame.columns}
    assert digest_frame(frame) == slow_digest(frame, kinds, [[name, COLUMNS[name][2]] for name in frame.columns])


def test_the_digest_of_one_small_frame_never_changes() -> None:
    """Recorded once: other versions of Modelyard, Polars and NumPy must find it too."""
    frame = pl.DataFrame({"n": [1, None, 3], "text": ["a", "", None], "truth": [True, False, None], "x": [0.5, -0.0, float("nan")]})
    assert digest_frame(frame) == "sha256:62905e5475354ffa4be3b6c2885f46cd9cd60e116a7ebe8e849b76be482b1326"


@given(frame=frames(), cuts=st.lists(st.integers(0, 20), max_size=4))
@settings(max_examples=60)
def test_how_rows_are_cut_makes_no_difference(frame: pl.DataFrame, cuts: list[int]) -> None:
    """As pieces, as chunks of one frame, and sliced out of a larger one."""
    edges = sorted({0, frame.height, *(cut for cut in cuts if cut < frame.height)})
    pieces = [frame[start:end] for start, end in itertools.pairwise(edges)] or [frame]
    assert digest_frames(pieces) == digest_frame(frame)
    assert digest_frame(pl.concat(pieces, rechunk=False)) == digest_frame(frame)
    assert digest_frame(pl.concat([frame, frame, frame])[frame.height : 2 * frame.height]) == digest_frame(frame)


@pytest.mark.parametrize("rows", [BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 3 * BLOCK_ROWS, 200_000])
def test_blocks_are_the_same_however_rows_arrive(rows: int, random: np.random.Generator) -> None:
    """In one piece, in pieces below, at and above a block, and by the slow reading."""
    frame = pl.DataFrame({"n": random.integers(-9, 9, rows), "text": random.choice(["JFK", "", "ünï"], rows)})
    frame = frame.with_columns(pl.when(pl.col("n") != 0).then("n").alias("gaps"))
    kinds = {"n": "int64", "text": "string", "gaps": "int64"}
    expected = slow_digest(frame, kinds, [list(column) for column in kinds.items()])
    assert digest_frame(frame) == expected
    for size in (10_007, BLOCK_ROWS, 100_000):
        assert digest_frames(frame[start : start + size] for start in range(0, rows, size)) == expected


@given(frame=frames())
@settings(max_examples=30)
def test_parquet_and_delta_keep_the_digest(frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever the compression and the row groups; Delta where it keeps the types."""
    folder = tmp_path_factory.mktemp("rows")
    for compression in ("zstd", "uncompressed"):
        frame.write_parquet(folder / "file", compression=compression, row_group_size=7)
        assert digest_frame(pl.read_parquet(folder / "file")) == digest_frame(frame)
    kept = frame.cast({pl.UInt32: pl.Int64})
    tables = Tables.open(f"file://{folder}/tables")
    tables.append("t", kept)
    assert digest_frame(tables.scan("t").collect()) == digest_frame(kept)


@given(frame=frames(), data=st.data())
@settings(max_examples=60)
def test_any_change_of_a_value_changes_the_digest(frame: pl.DataFrame, data: st.DataObject) -> None:
    """One value for another, or for null."""
    if frame.is_empty():
        return
    name = data.draw(st.sampled_from(frame.columns))
    place = data.draw(st.integers(0, frame.height - 1))
    values = frame[name].to_list()
    before, after = values[place], data.draw(st.one_of(st.none(), COLUMNS[name][3]))
    values[place] = after
    changed = frame.with_columns(pl.Series(name, values, dtype=frame.schema[name]))
    kind = COLUMNS[name][1]
    assert (digest_frame(changed) == digest_frame(frame)) == (column_bytes([before], kind) == column_bytes([after], kind))


BASE = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})


@pytest.mark.parametrize(
    "other",
    [
        BASE.reverse(),
        BASE.select("b", "a"),
        BASE.rename({"a": "c"}),
        BASE.cast({"a": pl.Int32}),
        BASE[:1],
        BASE[:0],
        pl.concat([BASE, BASE]),
        pl.DataFrame({"a": [1, 2], "b": ["", "xy"]}),
        pl.DataFrame({"a": [1, 2], "b": ["xy", ""]}),
    ],
)
def test_order_names_types_and_borders_count(other: pl.DataFrame) -> None:
    """Rows, columns, and where one string ends and the next begins."""
    assert digest_frame(other) != digest_frame(BASE)


def test_what_is_equal_has_one_digest() -> None:
    """Every NaN is one, zeros have a sign; categories are their strings; what lies under a null does not count."""
    nans = np.array([0x7FF8000000000001, 0xFFF8000000000000, 0x7FF0000000000001], np.uint64).view(np.float64)
    assert digest_frame(pl.DataFrame({"x": nans})) == digest_frame(pl.DataFrame({"x": [float("nan")] * 3}))
    assert digest_frame(pl.DataFrame({"x": [0.0]})) != digest_frame(pl.DataFrame({"x": [-0.0]}))
    words = pl.Series("x", ["b", None, "a", "b"])
    for dtype in (pl.Categorical(), pl.Enum(["a", "b", "c"])):
        assert digest_frame(words.cast(dtype).to_frame()) == digest_frame(words.to_frame())
        halves = [words[:1].cast(dtype).to_frame(), words[1:].cast(dtype).to_frame()]
        assert digest_frames(halves) == digest_frame(words.to_frame())
    hidden = pl.DataFrame({"x": [7, 8]}).select(pl.when(pl.Series([True, False])).then(value) for value in ("x", pl.struct(y="x")))
    assert digest_frame(hidden) == digest_frame(pl.DataFrame({"x": [7, None], "y": [{"y": 7}, None]}))


def test_types_beyond_the_usual_have_a_digest_or_are_refused() -> None:
    """Decimals by their scale, arrays, durations, times, nulls; objects and frames without columns not."""
    series = [
        pl.Series(["1.50", None]).cast(pl.Decimal(10, 2)),
        pl.Series(["1.50", None]).cast(pl.Decimal(10, 3)),
        pl.Series([[1.0, 2.0], None], dtype=pl.Array(pl.Float32, 2)),
        pl.Series([[1.0, 2.0], None], dtype=pl.List(pl.Float32)),
        *(pl.Series([1, None]).cast(dtype) for dtype in (pl.Duration("us"), pl.Duration("ms"), pl.Time(), pl.Int128(), pl.Datetime("us"))),
        pl.Series([None, None], dtype=pl.Null),
    ]
    assert len({digest_frame(column.alias("x").to_frame()) for column in series}) == len(series)
    with pytest.raises(InvalidInput, match="Object"):
        digest_frame(pl.DataFrame({"x": pl.Series([object()], dtype=pl.Object)}))
    with pytest.raises(InvalidInput, match="cannot follow"):
        digest_frames([BASE, BASE.select("a")])
    with pytest.raises(InvalidInput, match="without columns"):
        RowDigest().digest()
    assert digest_frame(BASE[:0]) == digest_frames([BASE[:0], BASE[:0]])


def test_a_digest_may_be_asked_for_in_between(tmp_path: Path) -> None:
    """It is that of the rows so far."""
    running = RowDigest()
    running.update(BASE)
    assert running.digest() == digest_frame(BASE)
    running.update(BASE)
    assert running.digest() == digest_frame(pl.concat([BASE, BASE]))
