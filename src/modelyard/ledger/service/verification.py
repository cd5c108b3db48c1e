"""Verification of the whole log: every leaf, the tree, every checkpoint, against keys and checkpoints of the verifier's own.

Owns what counts as tampering. It trusts nothing that is stored beside the key it is given.
"""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from modelyard.core.clock import SECOND, Instant, iso
from modelyard.core.digests import Digest
from modelyard.core.errors import ModelyardError
from modelyard.ledger import store
from modelyard.ledger.domain import (
    Checkpoint,
    Finding,
    Hash,
    LogCorrupt,
    NoteInvalid,
    Verification,
    VerificationStopped,
    VerificationUnderWay,
)
from modelyard.ledger.rules.leaf import PendingEntry, commitment, leaf_of, pending_of
from modelyard.ledger.rules.merkle import EMPTY_ROOT, HASH_BYTES, TILE_WIDTH, Tile, grown, leaf_hash, root_hash, tile_widths
from modelyard.ledger.rules.note import VerifierKey, opened_checkpoint
from modelyard.ledger.service.keys import LogKey
from modelyard.ledger.service.recording import ERASED
from modelyard.storage.database import Database, Snapshot

ContentDigest = Callable[[Digest], Digest]
"""The digest that the content which an entry vouches for has now, by the entry's. Raises a ModelyardError where it is gone."""

PAGE = 1024
MOST_OF_A_CODE = 25
CLOCK_TOLERANCE_S = 300.0
NO_HASH = Hash(bytes(HASH_BYTES))


class Mark(NamedTuple):
    """A root that the log must have at a size, and who says so."""

    size: int
    root: bytes
    said_by: str


class Vouched(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry vouches for."""

    index: int
    type: str
    subject: str
    digest: Digest


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """How the content that entries vouch for is looked at, by entry type: what lies where is for the composition root to say.

    `looked` begins a look, which need read nothing twice. One look at all of it runs at a time: it reads the whole log, and would
    hold every thread that answers others. Once `stop` is set, a look ends.
    """

    looked: Callable[[threading.Event], Mapping[str, ContentDigest]]
    turn: threading.Lock = msgspec.field(default_factory=threading.Lock)
    stop: threading.Event = msgspec.field(default_factory=threading.Event)


def verify(database: Database, key: LogKey, contents: Contents, known: tuple[str, ...] = ()) -> Verification:
    """What verifying the whole log and its content against this installation's own key gives.

    `known` are notes of checkpoints that the caller kept: they reveal a log that was rebuilt or set back. No transaction is open
    while content is read, which may take long. Raises VerificationUnderWay and VerificationStopped.
    """
    if not contents.turn.acquire(blocking=False):
        raise VerificationUnderWay("the log is being verified, once at a time", hint="try again in a few seconds")
    try:
        found, vouched, of = _Findings(), list[Vouched](), contents.looked(contents.stop)
        with database.read() as snapshot:
            result = _verified(_EntryReader(snapshot, found, of.keys(), vouched), key.verifier, known)
        checked = _check_contents(vouched, of, found, contents.stop)
        return msgspec.structs.replace(
            result, is_sound=not found.count, contents=checked, finding_count=found.count, findings=found.findings
        )
    finally:
        contents.turn.release()


def verify_log(snapshot: Snapshot, trusted: VerifierKey, *, known: Sequence[str] = ()) -> Verification:
    """What verifying the whole log gives: each entry against its leaf, the tree grown anew, each checkpoint and signature.

    `trusted` is the log's public key as the verifier has it, `known` are notes of checkpoints that the verifier kept:
    only these reveal a log that was rebuilt with its own key, or set back to an old backup. Reads the log once, in pages,
    and none of the content that it vouches for.
    """
    return _verified(_EntryReader(snapshot, _Findings(), (), []), trusted, known)


def _verified(reader: "_EntryReader", trusted: VerifierKey, known: Sequence[str]) -> Verification:
    snapshot, found = reader.snapshot, reader.found
    marks = sorted([*_stored_marks(snapshot, trusted, found), *_known_marks(known, trusted, found)])
    log = _Replay(snapshot, found)
    place = 0
    for hashes in reader.pages(log):
        start = log.size
        while place < len(marks) and marks[place].size <= start + len(hashes):
            log.extend(hashes[log.size - start : marks[place].size - start])
            log.check(marks[place])
            place += 1
        log.extend(hashes[log.size - start :])
    for mark in marks[place:]:
        log.check(mark)
    log.finish()
    reader.finish()
    if log.size and not marks:
        found.notice("no_checkpoint", "no checkpoint covers this log: whoever may write the database may have written all of it")
    return Verification(
        is_sound=not found.count,
        size=log.size,
        root=log.root(),
        covered=max((mark.size for mark in marks if mark.size <= log.size), default=0),
        checkpoints=len(marks),
        contents=0,
        pending=store.count_pending(snapshot),
        finding_count=found.count,
        findings=found.findings,
        notices=found.notices,
    )


def _check_contents(vouched: Sequence[Vouched], of: Mapping[str, ContentDigest], found: "_Findings", stop: threading.Event) -> int:
    """How many entries' content was there and compared; each digest is looked at once for all of its entries."""
    checked = 0
    seen: dict[tuple[str, Digest], Digest | ModelyardError] = {}
    for one in vouched:
        if stop.is_set():
            raise stopped()
        looked = seen.get((one.type, one.digest))
        if looked is None:
            try:
                looked = of[one.type](one.digest)
            except VerificationStopped:
                raise
            except ModelyardError as error:
                looked = error
            seen[one.type, one.digest] = looked
        if isinstance(looked, ModelyardError):
            found.add("content_missing", f"the content of entry {one.index} ({one.subject}): {looked.message}", one.index)
            continue
        checked += 1
        if looked != one.digest:
            said = f"{one.subject} has digest {looked}, entry {one.index} vouches for {one.digest}"
            found.add("content_changed", said, one.index)
    return checked


def stopped() -> VerificationStopped:
    """The end of a verification that the server's stop cuts short."""
    return VerificationStopped("the server stops, and the verification with it", hint="verify again once the server runs")


class _Findings:
    """What was found; of each code the first few are kept, so that a flood of one does not hide another."""

    def __init__(self) -> None:
        self.count = 0
        self.findings: list[Finding] = []
        self.notices: list[Finding] = []
        self._counts: Counter[str] = Counter()

    def add(self, code: str, message: str, index: int | None = None) -> None:
        """Adds something that breaks the log."""
        self.count += 1
        self._keep(self.findings, Finding(code=code, message=message, index=index))

    def notice(self, code: str, message: str, index: int | None = None) -> None:
        """Adds something for a person to look at."""
        self._keep(self.notices, Finding(code=code, message=message, index=index))

    def _keep(self, kept: list[Finding], finding: Finding) -> None:
        self._counts[finding.code] += 1
        if self._counts[finding.code] <= MOST_OF_A_CODE:
            kept.append(finding)


class _Replay:
    """The tree, grown anew from the leaves. Each tile is compared with the stored one as soon as it is complete."""

    def __init__(self, snapshot: Snapshot, found: _Findings) -> None:
        self.size = 0
        self._snapshot = snapshot
        self._found = found
        self._edge: dict[Tile, bytes] = {}

    def extend(self, hashes: Sequence[Hash]) -> None:
        """Grows the tree by leaves with these hashes."""
        for tile, content in grown(self._edge.__getitem__, self.size, hashes).items():
            if len(content) == TILE_WIDTH * HASH_BYTES:
                self._compare(tile, content)
                self._edge.pop(tile, None)
            else:
                self._edge[tile] = content
        self.size += len(hashes)

    def root(self) -> Hash:
        """The root now."""
        return root_hash(self._edge.__getitem__, self.size) if self.size else EMPTY_ROOT

    def check(self, mark: Mark) -> None:
        """Compares the root with what a checkpoint of this size says; a larger one was cut off the log."""
        if mark.size > self.size:
            self._found.add("log_truncated", f"{mark.said_by} covers {mark.size} entries, the log has {self.size}", self.size)
        elif self.root() != mark.root:
            self._found.add("root_differs", f"the first {mark.size} entries have another root than {mark.said_by} says")

    def finish(self) -> None:
        """Compares the right edge, and whether tiles are stored beyond it."""
        for tile, content in self._edge.items():
            self._compare(tile, content)
        expected = sum(full + (width > 0) for full, width in tile_widths(self.size).values())
        stored = store.count_tiles(self._snapshot)
        if stored > expected:
            self._found.add("tile_unexpected", f"{stored} tiles are stored, a log of {self.size} entries has {expected}")

    def _compare(self, tile: Tile, content: bytes) -> None:
        stored = store.find_tile(self._snapshot, tile)
        if stored == content:
            return
        if stored is None:
            self._found.add("tile_missing", f"tile {tile.level}/{tile.number} is not stored")
        elif tile.level:
            self._found.add("tile_changed", f"tile {tile.level}/{tile.number} is not what the leaves give")
        else:
            for place in range(max(len(stored), len(content)) // HASH_BYTES):
                part = slice(place * HASH_BYTES, (place + 1) * HASH_BYTES)
                if stored[part] != content[part]:
                    index = tile.number * TILE_WIDTH + place
                    self._found.add("leaf_differs", f"entry {index} is not what the tree was grown from", index)


class _EntryReader:
    """Walks over the stored entries and checks each by itself: its place, its leaf, what stands beside it.

    What entries of `types` vouch for is put into `vouched`.
    """

    def __init__(self, snapshot: Snapshot, found: _Findings, types: Collection[str], vouched: list[Vouched]) -> None:
        self.snapshot = snapshot
        self.found = found
        self._types = types
        self._vouched = vouched
        self._latest = Instant(0)
        self._erased: set[str] = set()
        self._erasures: set[str] = set()

    def pages(self, log: _Replay) -> Iterator[list[Hash]]:
        """The leaves' hashes in order, a page at a time; `log` says how far the tree is when the next page is asked for."""
        while rows := store.list_after(self.snapshot, log.size - 1, PAGE):
            hashes: list[Hash] = []
            committed: list[PendingEntry] = []
            for row in rows:
                while log.size + len(hashes) < row.index:
                    hashes.append(self._missing(log.size + len(hashes)))
                entry = self._checked(row)
                hashes.append(leaf_hash(row.leaf))
                if entry is not None and entry.commitment:
                    committed.append(entry)
            self._check_personal(committed)
            yield hashes

    def finish(self) -> None:
        """What can be said only after the last entry."""
        for entry_id in sorted(self._erased - self._erasures):
            self.found.notice("erasure_unrecorded", f"the personal data of {entry_id} was erased without an entry in the log that says so")

    def _missing(self, index: int) -> Hash:
        """The stored tree's own hash for a leaf that is gone, so that all others can still be judged."""
        self.found.add("entry_missing", f"entry {index} is gone", index)
        tile = store.find_tile(self.snapshot, Tile(0, index // TILE_WIDTH)) or b""
        place = index % TILE_WIDTH * HASH_BYTES
        return Hash(tile[place : place + HASH_BYTES]) if len(tile) >= place + HASH_BYTES else NO_HASH

    def _checked(self, row: store.StoredEntry) -> PendingEntry | None:
        try:
            index, entry = pending_of(row.leaf)
            again = leaf_of(index, entry)
        except LogCorrupt as error:
            self.found.add("leaf_malformed", error.message, row.index)
            return None
        if again != row.leaf:
            self.found.add("leaf_malformed", f"the leaf of entry {row.index} is not in canonical form", row.index)
        if index != row.index:
            self.found.add("entry_moved", f"entry {row.index} says that its place is {index}", row.index)
        if (entry.id, entry.type, entry.subject, entry.team_id) != (row.id, row.type, row.subject, row.team_id):
            self.found.add("columns_differ", f"the columns of entry {row.index} do not repeat its leaf", row.index)
        self._check_clock(row.index, entry.recorded_at)
        if entry.type == ERASED:
            self._erasures.add(entry.subject.removeprefix("entry:"))
        if entry.digest is not None and entry.type in self._types:
            self._vouched.append(Vouched(index=row.index, type=entry.type, subject=row.subject, digest=entry.digest))
        return entry

    def _check_clock(self, index: int, recorded_at: Instant) -> None:
        if recorded_at < self._latest - CLOCK_TOLERANCE_S * SECOND:
            self.found.notice("clock_went_back", f"entry {index} is dated {iso(recorded_at)}, after one of {iso(self._latest)}", index)
        self._latest = max(self._latest, recorded_at)

    def _check_personal(self, entries: Sequence[PendingEntry]) -> None:
        stored = store.list_personal(self.snapshot, [entry.id for entry in entries])
        for entry in entries:
            beside = stored.get(entry.id)
            if beside is None:
                self.found.add("personal_missing", f"the personal data of {entry.id} is gone without a trace of its erasure")
            elif beside.erased_at is not None:
                self._erased.add(entry.id)
            elif beside.salt is None or beside.content is None or len(beside.salt) != HASH_BYTES:
                self.found.add("personal_changed", f"the personal data of {entry.id} lacks its salt or its content")
            elif commitment(beside.salt, beside.content) != entry.commitment:
                self.found.add("personal_changed", f"the personal data of {entry.id} is not what the log is committed to")


def _stored_marks(snapshot: Snapshot, trusted: VerifierKey, found: _Findings) -> Iterator[Mark]:
    after = -1
    while checkpoints := store.list_checkpoints(snapshot, after, PAGE):
        for checkpoint in checkpoints:
            mark = _mark(checkpoint, trusted, found)
            if mark is not None:
                yield mark
        after = checkpoints[-1].size


def _mark(checkpoint: Checkpoint, trusted: VerifierKey, found: _Findings) -> Mark | None:
    said_by = f"the checkpoint of size {checkpoint.size}"
    try:
        says = opened_checkpoint(checkpoint.note, trusted)
    except NoteInvalid as error:
        found.add("checkpoint_not_signed", f"{said_by}: {error.message}")
        return None
    if (says.origin, says.size, says.root) != (checkpoint.origin, checkpoint.size, checkpoint.root):
        found.add("checkpoint_changed", f"{said_by} is stored beside a note that says something else")
    return Mark(says.size, says.root, said_by)


def _known_marks(known: Sequence[str], trusted: VerifierKey, found: _Findings) -> Iterator[Mark]:
    for note in known:
        try:
            says = opened_checkpoint(note, trusted)
        except NoteInvalid as error:
            found.add("known_checkpoint_not_signed", f"a checkpoint that the verifier kept: {error.message}")
        else:
            yield Mark(says.size, says.root, f"the verifier's own checkpoint of size {says.size}")
