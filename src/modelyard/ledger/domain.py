"""Entries of the ledger, its checkpoints and proofs, and what can be wrong with them.

Owns the words of the log. Owns no meaning of an entry: types and data come from the component that records.
"""

import re
from typing import Any, NewType

import msgspec

from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.core.errors import Conflict, Corrupted, InvalidInput, Kind, ModelyardError, NotFound

EntryId = NewType("EntryId", str)
"""`ent_` and a UUIDv7: known before the entry has its index."""

Hash = NewType("Hash", bytes)
"""32 bytes of SHA-256: a leaf, a node or a root of the tree."""

DEFAULT_TEAM = "default"
ENTRY_TYPE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
LONGEST_TYPE = 120
LONGEST_WORD = 400


class NewEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What a component records about a change, before the log gives it an index.

    `digest` is of bulk content that the entry vouches for: a file, a table version, a segment. `personal` is what
    concerns a person: the log holds only a salted commitment to it, so that it can be erased.
    """

    type: str
    subject: str
    actor: str
    data: dict[str, Any] = {}
    digest: Digest | None = None
    personal: dict[str, Any] | None = None
    team_id: str = DEFAULT_TEAM

    def __post_init__(self) -> None:
        """Refuses words that no entry may have, so that the log never holds them."""
        if not ENTRY_TYPE.fullmatch(self.type) or len(self.type) > LONGEST_TYPE:
            raise InvalidInput(f"{self.type[:60]!r} is no entry type", hint="write it like registry.version_registered")
        for name, word in (("subject", self.subject), ("actor", self.actor), ("team", self.team_id)):
            if not word or len(word) > LONGEST_WORD or not word.isprintable():
                raise InvalidInput(
                    f"{word[:60]!r} is no {name} of an entry",
                    hint=f"use 1 to {LONGEST_WORD} printable characters, like model:late_arrival/3",
                )
        if self.digest is not None and not re.fullmatch(r"sha256:[0-9a-f]{64}", self.digest):
            raise InvalidInput(f"{self.digest[:80]!r} is no digest", hint="write sha256: and 64 hexadecimal digits")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the log, as its leaf says it. `occurred_at` is the event's time, `recorded_at` the machine's.

    `commitment` is the HMAC-SHA256 over the personal data, in hexadecimal, where the entry has any.
    """

    index: int
    id: EntryId
    type: str
    subject: str
    actor: str
    team_id: str
    occurred_at: Instant
    recorded_at: Instant
    data: dict[str, Any]
    digest: Digest | None = None
    commitment: str | None = None


Event = Entry
"""An entry as consumers of events meet it: in the order of the log."""


class EntryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some entries, newest first. `before` continues the list; it is absent on the last page."""

    entries: list[Entry]
    before: int | None = None


class PersonalData(msgspec.Struct, frozen=True, kw_only=True):
    """What stands behind an entry's commitment: the data and the salt, both absent once erased."""

    entry_id: EntryId
    data: dict[str, Any] | None
    salt: bytes | None
    erased_at: Instant | None = None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A signed statement that the first `size` entries have the tree root `root` (C2SP tlog-checkpoint).

    `note` is the signed note, to be kept and compared by whoever does not trust the log.
    """

    origin: str
    size: int
    root: Hash
    note: str
    signed_at: Instant


class InclusionProof(msgspec.Struct, frozen=True, kw_only=True):
    """The hashes that lead from leaf `index` to the root of the tree of `size` leaves (RFC 6962, section 2.1.1)."""

    index: int
    size: int
    path: list[Hash]


class ConsistencyProof(msgspec.Struct, frozen=True, kw_only=True):
    """The hashes that show the tree of `first` leaves to be the beginning of that of `second` (RFC 6962, section 2.1.2)."""

    first: int
    second: int
    path: list[Hash]


class ProvenEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry with its leaf, byte for byte, and its proof under a checkpoint; both absent until one covers it."""

    entry: Entry
    leaf: bytes
    leaf_hash: Hash
    proof: InclusionProof | None = None
    checkpoint: Checkpoint | None = None


class SequencerLease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to give entries their indexes until `expires_at`; a later holder has a higher `fence`."""

    holder: str
    fence: int
    expires_at: Instant


class LogFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How far the log is: entries, those that wait for their index, and the latest checkpoint."""

    size: int
    pending: int
    checkpoint: Checkpoint | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that verification found, at an entry where one can be named."""

    code: str
    message: str
    index: int | None = None


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What verifying the whole log gave. `findings` break it; `notices` ask a person to look.

    Checkpoints vouch for the first `covered` entries only. Of each code the first few are kept; `finding_count` counts all.
    """

    is_sound: bool
    size: int
    root: Hash
    covered: int
    checkpoints: int
    contents: int
    pending: int
    finding_count: int
    findings: list[Finding]
    notices: list[Finding]


class LogCorrupt(Corrupted):
    """What is stored of the log does not fit together."""


class LogForked(Corrupted):
    """Two histories: a root that contradicts one that was signed."""


class WrongLogKey(Conflict):
    """The key at hand is not the one that signed this log."""


class SequencerFenced(Conflict):
    """Another sequencer took over; this one's lease is void."""


class CursorMoved(Conflict):
    """Another run of the same consumer was first."""


class EntryNotIncluded(ModelyardError):
    """The entry is not in the log yet, or under no checkpoint yet."""

    kind = Kind.OVERLOADED


class Reader(msgspec.Struct, frozen=True):
    """Whose entries may be read: those of `teams`, or of every team where that is None. Who that is, is known above."""

    teams: tuple[str, ...] | None = None

    def may_read(self, team: str) -> bool:
        """Whether the entries of that team are among them."""
        return self.teams is None or team in self.teams


EVERYTHING = Reader()
"""What components read, which check their own callers."""


class NoSuchEntry(NotFound):
    """The log has no such entry."""


class NoSuchCheckpoint(NotFound):
    """No checkpoint was signed yet."""


class NoteInvalid(InvalidInput):
    """A signed note that is malformed, or that no trusted key signed."""


class ProofInvalid(InvalidInput):
    """A proof that does not lead to the root it is for."""


class VerificationUnderWay(ModelyardError):
    """The log is being verified for somebody else."""

    kind = Kind.THROTTLED
    retry_after_s = 5


class VerificationStopped(ModelyardError):
    """The server stops before the log is verified."""

    kind = Kind.OVERLOADED
    retry_after_s = 5
