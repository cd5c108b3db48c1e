"""Reading the log: entries, checkpoints, and proofs that an outsider can check."""

from modelyard.core.errors import InvalidInput
from modelyard.ledger import store
from modelyard.ledger.domain import (
    EVERYTHING,
    Checkpoint,
    ConsistencyProof,
    EntryId,
    EntryNotIncluded,
    EntryPage,
    InclusionProof,
    LogCorrupt,
    LogFacts,
    NoSuchCheckpoint,
    NoSuchEntry,
    ProofInvalid,
    ProvenEntry,
    Reader,
)
from modelyard.ledger.rules.leaf import entry_of
from modelyard.ledger.rules.merkle import consistency_path, inclusion_path, leaf_hash, verify_inclusion
from modelyard.storage.database import Snapshot

PAGE = 50
LARGEST_PAGE = 1000


def read_entries(  # noqa: PLR0913 - one filter each
    snapshot: Snapshot,
    reader: Reader,
    *,
    type: str | None = None,  # noqa: A002 - the entry's own word, and the query parameter's
    subject: str | None = None,
    before: int | None = None,
    limit: int = PAGE,
) -> EntryPage:
    """Entries of the caller's teams with an index below `before`, newest first, of one type or about one subject where given."""
    return list_entries(snapshot, reader, type=type, subject=subject, before=before, limit=limit)


def read_entry(snapshot: Snapshot, reader: Reader, index: int) -> ProvenEntry:
    """The entry at `index`, proven under the latest checkpoint if that covers it. Raises NoSuchEntry, also where it is another team's.

    The proof is checked before it is given: raises LogCorrupt where the entry is not what was signed.
    """
    found = store.find_entry(snapshot, index) if 0 <= index < store.log_size(snapshot) else None
    if found is not None and not reader.may_read(found.team_id):
        raise _no_entry(index, store.log_size(snapshot))
    return get_entry(snapshot, index)


def _no_entry(index: int, size: int) -> NoSuchEntry:
    return NoSuchEntry(f"the log has no entry {index} for you", hint=f"it has {size}, the first is entry 0")


def list_entries(  # noqa: PLR0913 - one filter each
    snapshot: Snapshot,
    reader: Reader = EVERYTHING,
    *,
    type: str | None = None,  # noqa: A002 - the entry's own word, and the query parameter's
    subject: str | None = None,
    before: int | None = None,
    limit: int = PAGE,
) -> EntryPage:
    """Entries with an index below `before`, newest first, of one type or about one subject where these are given."""
    if not 1 <= limit <= LARGEST_PAGE:
        raise InvalidInput(f"a page of {limit} entries", hint=f"ask for 1 to {LARGEST_PAGE}")
    equal = {name: value for name, value in (("type", type), ("subject", subject)) if value}
    below = None if before is None else min(max(before, 0), store.log_size(snapshot))
    found = store.list_before(snapshot, below, limit + 1, equal, reader.teams)
    entries = [entry_of(one.leaf) for one in found[:limit]]
    return EntryPage(entries=entries, before=entries[-1].index if len(found) > limit else None)


def list_types(snapshot: Snapshot) -> list[str]:
    """The types of which the log has entries, in alphabetical order."""
    return store.list_types(snapshot)


def entry_position(snapshot: Snapshot, entry_id: EntryId) -> int | None:
    """The index of the entry once it is in the log; None while it waits, or where there is none."""
    return store.find_index(snapshot, entry_id)


def get_entry(snapshot: Snapshot, index: int) -> ProvenEntry:
    """The entry at `index`, proven under the latest checkpoint if that covers it.

    The proof is checked before it is given: raises LogCorrupt where the entry is not what was signed, NoSuchEntry.
    """
    size = store.log_size(snapshot)
    found = store.find_entry(snapshot, index) if 0 <= index < size else None
    if found is None:
        raise _no_entry(index, size)
    entry, hashed, checkpoint = entry_of(found.leaf), leaf_hash(found.leaf), store.find_checkpoint(snapshot)
    if checkpoint is None or checkpoint.size <= index:
        return ProvenEntry(entry=entry, leaf=found.leaf, leaf_hash=hashed)
    proof = prove_inclusion(snapshot, index, checkpoint.size)
    try:
        verify_inclusion(hashed, index, proof.size, proof.path, checkpoint.root)
    except ProofInvalid as error:
        raise LogCorrupt(
            f"entry {index} is not what the checkpoint of size {checkpoint.size} covers", hint="verify the log and restore a backup"
        ) from error
    return ProvenEntry(entry=entry, leaf=found.leaf, leaf_hash=hashed, proof=proof, checkpoint=checkpoint)


def latest_checkpoint(snapshot: Snapshot) -> Checkpoint:
    """The checkpoint over the most entries. Raises NoSuchCheckpoint before the first."""
    found = store.find_checkpoint(snapshot)
    if found is None:
        raise NoSuchCheckpoint("no checkpoint was signed yet", hint="one is signed soon after the first entry, while a worker runs")
    return found


def get_checkpoint(snapshot: Snapshot, size: int) -> Checkpoint:
    """The checkpoint that was signed over the first `size` entries. Raises NoSuchCheckpoint."""
    found = store.find_checkpoint(snapshot, size=size) if 0 <= size <= store.log_size(snapshot) else None
    if found is None:
        raise NoSuchCheckpoint(f"no checkpoint was signed at size {size}", hint="ask for the latest one")
    return found


def log_facts(snapshot: Snapshot) -> LogFacts:
    """How far the log is."""
    return LogFacts(size=store.log_size(snapshot), pending=store.count_pending(snapshot), checkpoint=store.find_checkpoint(snapshot))


def prove_inclusion(snapshot: Snapshot, index: int, size: int | None = None) -> InclusionProof:
    """The proof that entry `index` is in the tree of the first `size` entries, by default that of the latest checkpoint.

    Raises EntryNotIncluded where that tree does not reach so far.
    """
    within = latest_checkpoint(snapshot).size if size is None else size
    if not 0 <= index < within or within > store.log_size(snapshot):
        raise EntryNotIncluded(f"entry {index} is not among the first {within} of the log", hint="wait for the next checkpoint")
    return InclusionProof(index=index, size=within, path=inclusion_path(store.tile_reader(snapshot), index, within))


def prove_consistency(snapshot: Snapshot, first: int, second: int | None = None) -> ConsistencyProof:
    """The proof that the log of the first `first` entries begins that of `second`, by default the latest checkpoint's size.

    Raises EntryNotIncluded where the log is not so long, ProofInvalid where `first` is above `second`.
    """
    until = latest_checkpoint(snapshot).size if second is None else second
    if until > store.log_size(snapshot):
        raise EntryNotIncluded(f"the log has less than {until} entries", hint="ask for a size that a checkpoint has")
    return ConsistencyProof(first=first, second=until, path=consistency_path(store.tile_reader(snapshot), first, until))
