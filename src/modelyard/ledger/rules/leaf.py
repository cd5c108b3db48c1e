"""The leaf: what of an entry the tree hashes, as canonical JSON (RFC 8785), and commitments to personal data.

Owns the form of a leaf and of a commitment. The order of entries and the tree are elsewhere.
"""

import hmac
from datetime import datetime
from typing import Any

import msgspec

from modelyard.core.clock import Instant, instant, iso
from modelyard.core.digests import Digest, canonical_json
from modelyard.core.errors import InvalidInput
from modelyard.ledger.domain import Entry, EntryId, LogCorrupt

LARGEST_LEAF_BYTES = 65_535
"""What the 16-bit length of an entry in a C2SP bundle can say."""
LARGEST_DATA_BYTES = 60_000
SALT_BYTES = 32


class PendingEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that waits for its index; `data` is canonical JSON."""

    id: EntryId
    type: str
    subject: str
    actor: str
    team_id: str
    occurred_at: Instant
    recorded_at: Instant
    data: bytes
    digest: Digest | None = None
    commitment: str | None = None


class _Sha256(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sha256: str


class _Commitment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hmac_sha256: str = msgspec.field(name="hmac-sha256")


class _Leaf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    actor: str
    at: str
    data: msgspec.Raw
    id: str
    seq: int
    subject: str
    team: str
    type: str
    wall: str
    digest: _Sha256 | None = None
    personal: _Commitment | None = None


_DECODER = msgspec.json.Decoder(_Leaf)


def canonical_data(data: dict[str, Any], what: str) -> bytes:
    """`data` as canonical JSON, small enough for a leaf. Raises InvalidInput.

    >>> canonical_data({"b": 1.0, "a": None}, "data")
    b'{"a":null,"b":1}'
    """
    content = canonical_json(data)
    if len(content) > LARGEST_DATA_BYTES:
        raise InvalidInput(
            f"the {what} of an entry has {len(content)} bytes, at most {LARGEST_DATA_BYTES} fit",
            hint="store the bulk as a blob or a table and record its digest",
        )
    return content


def leaf_of(index: int, entry: PendingEntry) -> bytes:
    """The leaf of `entry` at `index`: canonical JSON whose keys stand in order. Raises LogCorrupt where it is too long."""
    digest = f'"digest":{{"sha256":"{entry.digest.removeprefix("sha256:")}"}},' if entry.digest else ""
    personal = f'"personal":{{"hmac-sha256":"{entry.commitment}"}},' if entry.commitment else ""
    head = f'{{"actor":{_text(entry.actor)},"at":"{iso(entry.occurred_at)}","data":'
    tail = (
        f',{digest}"id":"{entry.id}",{personal}"seq":{index},"subject":{_text(entry.subject)},"team":{_text(entry.team_id)},'
        f'"type":"{entry.type}","wall":"{iso(entry.recorded_at)}"}}'
    )
    leaf = head.encode() + entry.data + tail.encode()
    if len(leaf) > LARGEST_LEAF_BYTES:
        raise LogCorrupt(f"entry {entry.id} makes a leaf of {len(leaf)} bytes", hint="it was changed after it was recorded")
    return leaf


def pending_of(leaf: bytes) -> tuple[int, PendingEntry]:
    """The index and the entry that a leaf holds: `leaf_of(*pending_of(leaf)) == leaf` for every true leaf. Raises LogCorrupt."""
    try:
        found = _DECODER.decode(leaf)
        return found.seq, PendingEntry(
            id=EntryId(found.id),
            type=found.type,
            subject=found.subject,
            actor=found.actor,
            team_id=found.team,
            occurred_at=instant(datetime.fromisoformat(found.at)),
            recorded_at=instant(datetime.fromisoformat(found.wall)),
            data=bytes(found.data),
            digest=Digest(f"sha256:{found.digest.sha256}") if found.digest else None,
            commitment=found.personal.hmac_sha256 if found.personal else None,
        )
    except (msgspec.MsgspecError, ValueError, InvalidInput, OverflowError) as error:
        raise LogCorrupt(f"{leaf[:40]!r} is no leaf of this log: {error}", hint="verify the log and restore a backup") from error


def entry_of(leaf: bytes) -> Entry:
    """The entry that a leaf holds. Raises LogCorrupt."""
    index, found = pending_of(leaf)
    try:
        data = msgspec.json.decode(found.data, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise LogCorrupt(f"the data of entry {index} is no JSON object", hint="verify the log and restore a backup") from error
    return Entry(
        index=index,
        id=found.id,
        type=found.type,
        subject=found.subject,
        actor=found.actor,
        team_id=found.team_id,
        occurred_at=found.occurred_at,
        recorded_at=found.recorded_at,
        data=data,
        digest=found.digest,
        commitment=found.commitment,
    )


def commitment(salt: bytes, content: bytes) -> str:
    """The commitment to `content` under `salt`: HMAC-SHA256 in hexadecimal.

    Without the salt it tells nothing of the content, with it only this content opens it. Salts have one length, as a
    shorter one padded with zeros would open it too. Raises InvalidInput for another length.
    """
    if len(salt) != SALT_BYTES:
        raise InvalidInput(f"a salt of {len(salt)} bytes", hint=f"use {SALT_BYTES} random bytes")
    return hmac.digest(salt, content, "sha256").hex()


def _text(word: str) -> str:
    """A printable word as canonical JSON: nothing in it needs more than these two escapes."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
