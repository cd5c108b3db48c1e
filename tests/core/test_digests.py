"""Canonical JSON against RFC 8785's own examples, and digests of content."""

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.digests import canonical_json, digest_bytes, digest_chunks, digest_of
from modelyard.core.errors import InvalidInput

# RFC 8785, appendix B: the bits of a double, and how it is written.
NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
]


@pytest.mark.parametrize(("bits", "text"), NUMBERS)
def test_numbers_are_written_as_the_standard_writes_them(bits: str, text: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_json(value).decode() == text


def test_keys_are_sorted_by_utf_16_code_units() -> None:
    keys = {"\u20ac": "Euro", "\r": "CR", "\ufb33": "Dalet", "1": "One", "\U0001f600": "Smile", "\u0080": "Control", "\u00f6": "o"}
    found = list(json.loads(canonical_json(keys)).values())
    assert found == ["CR", "One", "Control", "o", "Euro", "Smile", "Dalet"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, {1: "x"}, {"x": {1, 2}}, b"bytes"])
def test_what_json_cannot_carry_exactly_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput):
        canonical_json(value)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-(2.0**52), 2.0**52) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_canonical_json_is_json_and_is_its_own_canonical_form(value: object) -> None:
    written = canonical_json(value)
    assert json.loads(written) == value
    assert canonical_json(json.loads(written)) == written


@given(st.binary(), st.integers(1, 7))
def test_the_digest_of_chunks_is_that_of_the_whole(content: bytes, size: int) -> None:
    chunks = [content[start : start + size] for start in range(0, len(content), size)]
    assert digest_chunks(chunks) == digest_bytes(content)


def test_the_order_of_keys_does_not_change_a_digest() -> None:
    assert digest_of({"a": 1, "b": [2.5, None]}) == digest_of({"b": [2.5, None], "a": 1})


def test_what_lies_too_deep_has_no_canonical_form() -> None:
    value: Any = {}
    for _ in range(5000):
        value = {"a": [value]}
    with pytest.raises(InvalidInput, match="too deep"):
        canonical_json(value)
