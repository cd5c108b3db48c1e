"""The leaf: canonical, complete, and decodable to what it was made from."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.clock import Instant
from modelyard.core.digests import Digest, canonical_json, digest_bytes
from modelyard.core.errors import InvalidInput
from modelyard.ledger.domain import EntryId, LogCorrupt, NewEntry
from modelyard.ledger.rules.leaf import LARGEST_LEAF_BYTES, PendingEntry, canonical_data, commitment, entry_of, leaf_of, pending_of

LETTERS = st.characters(exclude_categories=["Cs"])
PRINTABLE = st.characters(exclude_categories=["C", "Z"])
WORDS = st.text(PRINTABLE, min_size=1, max_size=40)
INSTANTS = st.integers(0, 4_000_000_000_000_000).map(Instant)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(LETTERS, max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(LETTERS, max_size=8), inner, max_size=3),
    max_leaves=8,
)
DATA = st.dictionaries(st.text(LETTERS, max_size=8), VALUES, max_size=4)
DIGESTS = st.none() | st.binary(max_size=4).map(digest_bytes)


@st.composite
def pending_entries(draw: st.DrawFn) -> PendingEntry:
    """Any entry that may wait for its index."""
    return PendingEntry(
        id=EntryId("ent_0190"),
        type="tests.counted",
        subject=draw(WORDS),
        actor=draw(WORDS),
        team_id=draw(WORDS),
        occurred_at=draw(INSTANTS),
        recorded_at=draw(INSTANTS),
        data=canonical_data(draw(DATA), "data"),
        digest=draw(DIGESTS),
        commitment=draw(st.none() | st.just("ab" * 32)),
    )


def plain(**fields: Any) -> PendingEntry:
    """A short entry."""
    given: dict[str, Any] = {"id": EntryId("ent_1"), "type": "a.b", "subject": "s", "actor": "p", "team_id": "default", "data": b"{}"}
    return PendingEntry(**(given | {"occurred_at": Instant(1_000_000), "recorded_at": Instant(2_500_000)} | fields))


def test_a_leaf_reads_as_the_audit_bundle_asks() -> None:
    digest = digest_bytes(b"model")
    leaf = leaf_of(7, plain(digest=digest, data=b'{"n":1}', commitment="cd" * 32))
    assert json.loads(leaf) == {
        "seq": 7,
        "type": "a.b",
        "digest": {"sha256": hashlib.sha256(b"model").hexdigest()},
        "id": "ent_1",
        "subject": "s",
        "actor": "p",
        "team": "default",
        "at": "1970-01-01T00:00:01Z",
        "wall": "1970-01-01T00:00:02.500000Z",
        "data": {"n": 1},
        "personal": {"hmac-sha256": "cd" * 32},
    }


@given(st.integers(0, 2**53 - 1), pending_entries())
def test_a_leaf_is_canonical_json_and_gives_its_entry_back(index: int, entry: PendingEntry) -> None:
    leaf = leaf_of(index, entry)
    assert leaf == canonical_json(json.loads(leaf))
    assert pending_of(leaf) == (index, entry)
    found = entry_of(leaf)
    assert (found.index, found.subject, found.digest, found.data) == (index, entry.subject, entry.digest, json.loads(entry.data))


def test_numbers_beyond_exact_integers_stay_as_they_were_written() -> None:
    leaf = leaf_of(0, plain(data=canonical_data({"x": 1e16, "y": 5e-324, "z": -0.0}, "data")))
    assert leaf_of(*pending_of(leaf)) == leaf
    assert b'{"x":10000000000000000,"y":5e-324,"z":0}' in leaf


@pytest.mark.parametrize(
    "leaf",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        leaf_of(0, plain())[:-1],
        leaf_of(0, plain()).replace(b'"at":"1970', b'"at":"197x'),
        leaf_of(0, plain(data=b"[]")),
        leaf_of(0, plain()).replace(b'{"actor"', b'{"more":1,"actor"'),
        leaf_of(0, plain()).replace(b"01Z", b"01"),
    ],
)
def test_what_is_no_leaf_is_named_corrupt(leaf: bytes) -> None:
    with pytest.raises(LogCorrupt):
        entry_of(leaf)


def test_data_that_has_no_canonical_form_or_is_too_long_is_refused_at_once() -> None:
    for data in ({"x": float("nan")}, {"x": 2**60}, {"x": object()}, {"x": "y" * 60_000}):
        with pytest.raises(InvalidInput):
            canonical_data(data, "data")


def test_the_largest_data_fits_a_leaf_and_a_longer_leaf_is_named_corrupt() -> None:
    words = {"subject": "é" * 400, "actor": "\N{GRINNING FACE}" * 400, "team_id": '"' * 400}
    assert len(leaf_of(2**53 - 1, plain(data=b'{"x":"' + b"y" * 59_992 + b'"}', **words))) <= LARGEST_LEAF_BYTES
    with pytest.raises(LogCorrupt):
        leaf_of(0, plain(data=b'{"x":"' + b"y" * 70_000 + b'"}'))


def test_a_commitment_is_an_hmac_and_opens_to_its_content_only() -> None:
    salt = bytes(range(32))
    assert commitment(salt, b'{"name":"Ada"}') == hmac.new(salt, b'{"name":"Ada"}', hashlib.sha256).hexdigest()
    assert commitment(salt, b"a") != commitment(salt, b"b")
    assert commitment(salt, b"a") != commitment(bytes(32), b"a")


def test_a_salt_has_one_length_since_padded_ones_would_open_the_same_commitment() -> None:
    for salt in (b"", bytes(31), bytes(33)):
        with pytest.raises(InvalidInput):
            commitment(salt, b"a")


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "nodot"},
        {"type": "Upper.case"},
        {"type": "a.b "},
        {"type": "a." + "b" * 200},
        {"subject": ""},
        {"subject": "line\nbreak"},
        {"subject": "x" * 401},
        {"actor": "nul\0"},
        {"team_id": ""},
        {"digest": Digest("sha256:abc")},
        {"digest": Digest("md5:" + "0" * 64)},
    ],
)
def test_words_that_no_entry_may_have_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        NewEntry(**({"type": "a.b", "subject": "s", "actor": "p"} | fields))
