"""The codec of the prediction log: what goes in comes out, to the bit."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.clock import Instant
from modelyard.serving.log.frames import MAGIC, Field, Layout, PredictionFrame, bodies, decoded, encoded
from modelyard.storage.frames import HEAD, framed

cells = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text())


def frame(columns: list[list[float | int | str | bool | None]]) -> PredictionFrame:
    """A frame of one row a cell."""
    rows = len(columns[0]) if columns else 0
    return PredictionFrame("k", Instant(1), Instant(2), 3, "champion", 4, bytes(16 * rows), [0.5] * rows, columns)


def bits(value: object) -> object:
    """`value`, told apart to the last bit."""
    return struct.pack("<d", value) if isinstance(value, float) else (type(value), value)


@given(st.lists(cells, min_size=1, max_size=5))
def test_every_cell_comes_back_with_its_type_and_exact_bits(column: list[float | int | str | bool | None]) -> None:
    read = decoded(encoded(frame([column])))
    assert isinstance(read, PredictionFrame)
    assert [bits(cell) for cell in read.columns[0]] == [bits(cell) for cell in column]


def test_not_a_number_and_infinities_survive() -> None:
    read = decoded(encoded(frame([[math.nan, math.inf, -0.0]])))
    assert isinstance(read, PredictionFrame)
    assert [bits(cell) for cell in read.columns[0]] == [bits(math.nan), bits(math.inf), bits(-0.0)]


def test_a_layout_is_named_by_its_content() -> None:
    one = Layout("m", 1, (Field("a", "feature", "float"),))
    assert one.key == Layout("m", 1, (Field("a", "feature", "float"),)).key
    assert one.key != Layout("m", 2, one.fields).key
    assert decoded(encoded(one)) == one


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=4))
def test_a_tail_cut_at_any_byte_loses_only_the_last_frame(contents: list[bytes]) -> None:
    whole = MAGIC + b"".join(framed(body) for body in contents)
    last = HEAD.size + len(contents[-1])
    for cut in range(1, last + 1):
        read = [bytes(body) for _, body in bodies(memoryview(whole[:-cut]))]
        assert read == contents[:-1]


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=3), st.data())
def test_a_changed_byte_is_never_taken_for_a_frame(contents: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(MAGIC + b"".join(framed(body) for body in contents))
    where = data.draw(st.integers(0, len(whole) - 1))
    whole[where] ^= data.draw(st.integers(1, 255))
    read = [bytes(body) for _, body in bodies(memoryview(bytes(whole)))]
    assert read == contents[: len(read)]
    assert len(read) < len(contents)


@pytest.mark.parametrize("tail", [b"\0" * 64, b"\xff" * 64])
def test_zeros_and_garbage_after_the_last_frame_are_not_read(tail: bytes) -> None:
    assert [bytes(body) for _, body in bodies(memoryview(MAGIC + framed(b"Px") + tail))] == [b"Px"]
