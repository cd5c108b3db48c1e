"""Sequencing: the one order of all entries, given by a leased and fenced sequencer, and the checkpoints over it."""

import time
from collections.abc import Callable

from modelyard.core.clock import SECOND, Instant
from modelyard.ledger import store
from modelyard.ledger.domain import (
    Checkpoint,
    EntryId,
    EntryNotIncluded,
    LogCorrupt,
    LogForked,
    NoSuchEntry,
    NoteInvalid,
    ProvenEntry,
    SequencerFenced,
    SequencerLease,
    WrongLogKey,
)
from modelyard.ledger.rules.leaf import leaf_of
from modelyard.ledger.rules.merkle import grown, leaf_hash, root_hash
from modelyard.ledger.rules.note import checkpoint_text, opened_checkpoint
from modelyard.ledger.service.keys import LogKey
from modelyard.ledger.service.proofs import get_entry
from modelyard.storage.database import Database, Transaction

LEASE_S = 10.0
BATCH = 64  # about 4 ms: others want to write, too
POLL_S = 0.01
WAIT_S = 10.0
RESTORE = "verify the log and restore a backup"


def lease_sequencer(tx: Transaction, holder: str, *, lease_s: float = LEASE_S) -> SequencerLease | None:
    """The sequencer's lease for `holder`, taken or renewed; None while another holds it.

    Each change of the holder raises the fence, so that one who slept past the lease is refused.
    """
    now, standing = tx.lease_time(), store.find_lease(tx)
    if standing is not None and standing.holder != holder and now < standing.expires_at:
        return None
    fence = 1 if standing is None else standing.fence + (standing.holder != holder)
    lease = SequencerLease(holder=holder, fence=fence, expires_at=Instant(now + round(lease_s * SECOND)))
    store.put_lease(tx, lease)
    return lease


def sequence_batch(tx: Transaction, lease: SequencerLease, limit: int = BATCH) -> int:
    """Gives up to `limit` of the entries that wait their indexes, leaves and tiles, at once; how many they were.

    Raises SequencerFenced where the lease went to another holder, LogCorrupt where the log is shorter than was signed.
    """
    standing = store.find_lease(tx)
    if standing is None or (standing.holder, standing.fence) != (lease.holder, lease.fence):
        raise SequencerFenced(
            f"{lease.holder} holds fence {lease.fence}, the sequencer stands at {standing.fence if standing else 0}",
            hint="another process gives entries their order now; nothing is lost",
        )
    waiting = store.list_pending(tx, limit)
    if not waiting:
        return 0
    pending = list(waiting.values())
    _, size = _last_and_size(tx)
    leaves = [leaf_of(size + place, entry) for place, entry in enumerate(pending)]
    rows = [
        store.StoredEntry(index=size + place, id=one.id, type=one.type, subject=one.subject, team_id=one.team_id, leaf=leaf)
        for place, (one, leaf) in enumerate(zip(pending, leaves, strict=True))
    ]
    store.insert_entries(tx, rows)
    store.put_tiles(tx, grown(store.tile_reader(tx), size, [leaf_hash(leaf) for leaf in leaves]))
    if store.remove_pending(tx, waiting) != len(pending):
        raise SequencerFenced("entries left the outbox meanwhile", hint="another process gives entries their order now; nothing is lost")
    return len(pending)


def sequence_pending(database: Database, holder: str, *, batch: int = BATCH, lease_s: float = LEASE_S) -> int:
    """Gives every entry that waits its index; how many this call did: 0 where none waits or another sequencer is at it.

    `holder` names the process, unlike any other. The lease is given back at the end; where it ends before the work does,
    whoever takes it over goes on.
    """
    with database.read() as snapshot:
        if not store.count_pending(snapshot):
            return 0
    lease = database.write(lambda tx: lease_sequencer(tx, holder, lease_s=lease_s))
    done, taken = 0, batch
    if lease is None:
        return done
    try:
        while taken == batch:
            taken = database.write(lambda tx: sequence_batch(tx, lease, batch))
            done += taken
    except SequencerFenced:
        pass
    else:
        database.write(lambda tx: _release(tx, lease))
    return done


def sign_checkpoint(tx: Transaction, key: LogKey) -> Checkpoint:
    """The checkpoint over all entries that have an index: a new one, or the one that stands at this size.

    It is signed only if the log still begins with what the last one signed. Raises LogForked where it does not,
    WrongLogKey where another key signed the last one, LogCorrupt where the stored tree does not fit together.
    """
    (last, size), read = _last_and_size(tx), store.tile_reader(tx)
    root = root_hash(read, size)
    if last is not None:
        _check_last(last, key)
        stands = root if last.size == size else root_hash(read, last.size)
        if stands != last.root:
            raise LogForked(f"the first {last.size} entries have another root than the checkpoint that was signed over them", hint=RESTORE)
        if last.size == size:
            return last
    note = key.sign(checkpoint_text(key.origin, size, root))
    checkpoint = Checkpoint(origin=key.origin, size=size, root=root, note=note, signed_at=tx.wall())
    store.put_checkpoint(tx, checkpoint)
    return checkpoint


def tick(database: Database, key: LogKey, holder: str, *, checkpoint_s: float) -> int:
    """One turn of the worker: sequences what waits, then signs a checkpoint where `checkpoint_s` have passed since the last.

    The answer is how many entries got their index. A log that did not grow gets no new checkpoint.
    """
    done = sequence_pending(database, holder)
    with database.read() as snapshot:
        size, last, now = store.log_size(snapshot), store.find_checkpoint(snapshot), snapshot.wall()
    grew = size > (last.size if last else 0)
    if grew and (last is None or not 0 <= now - last.signed_at < checkpoint_s * SECOND):
        database.write(lambda tx: sign_checkpoint(tx, key))
    return done


def include_now(database: Database, key: LogKey, holder: str, entry_id: EntryId, *, timeout_s: float = WAIT_S) -> ProvenEntry:
    """The entry with its proof under a signed checkpoint, sequenced and signed at once: what a gate waits for.

    Raises NoSuchEntry, and EntryNotIncluded where another sequencer holds the lease for longer than `timeout_s`.
    """

    def move(index: int | None) -> bool:
        if index is not None:
            database.write(lambda tx: sign_checkpoint(tx, key))
            return True
        return sequence_pending(database, holder) > 0

    return _awaited(database, entry_id, timeout_s, move)


def wait_included(database: Database, entry_id: EntryId, *, timeout_s: float = WAIT_S) -> ProvenEntry:
    """The entry with its proof, once other processes have sequenced it and signed a checkpoint over it.

    Raises NoSuchEntry, and EntryNotIncluded after `timeout_s`.
    """
    return _awaited(database, entry_id, timeout_s, lambda index: False)


def _awaited(database: Database, entry_id: EntryId, timeout_s: float, move: Callable[[int | None], bool]) -> ProvenEntry:
    """Looks until the entry is proven; `move` may help on and says whether to look again without a pause."""
    until = time.monotonic() + timeout_s
    while True:
        with database.read() as snapshot:
            index = store.find_index(snapshot, entry_id)
            if index is None and not store.is_pending(snapshot, entry_id):
                raise NoSuchEntry(f"no entry {entry_id}", hint="it was never recorded, or its transaction did not commit")
            proven = None if index is None else get_entry(snapshot, index)
        if proven is not None and proven.checkpoint is not None:
            return proven
        if not move(index):
            if time.monotonic() > until:
                raise EntryNotIncluded(f"{entry_id} is under no checkpoint after {timeout_s:g} s", hint="is a worker running? yard status")
            time.sleep(POLL_S)


def _release(tx: Transaction, lease: SequencerLease) -> None:
    standing = store.find_lease(tx)
    if standing is not None and (standing.holder, standing.fence) == (lease.holder, lease.fence):
        store.put_lease(tx, SequencerLease(holder=lease.holder, fence=lease.fence, expires_at=Instant(0)))


def _last_and_size(tx: Transaction) -> tuple[Checkpoint | None, int]:
    """The latest checkpoint, and the log's size.

    An index that was signed for is never given again, even if its entry is gone: raises LogCorrupt.
    """
    # The checkpoint first: meanwhile others may append and sign, and the size must be no older than the checkpoint.
    last, size = store.find_checkpoint(tx), store.log_size(tx)
    if last is not None and last.size > size:
        raise LogCorrupt(f"the log has {size} entries, a checkpoint was signed over {last.size}", hint=RESTORE)
    return last, size


def _check_last(last: Checkpoint, key: LogKey) -> None:
    try:
        found = opened_checkpoint(last.note, key.verifier)
    except NoteInvalid as error:
        raise WrongLogKey(
            f"the checkpoint of size {last.size} is not signed by {key.verifier.text}",
            hint="use the key file that belongs to this database",
        ) from error
    if (found.size, found.root) != (last.size, last.root):
        raise LogForked(f"the stored checkpoint of size {last.size} does not say what its note says", hint=RESTORE)
