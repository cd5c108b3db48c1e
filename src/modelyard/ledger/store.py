"""The ledger's tables and all SQL over them: what waits, entries, tiles, checkpoints, the lease and consumers' cursors.

Owns rows. Knows neither keys nor what makes a tree right.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.core.clock import Instant
from modelyard.ledger.domain import Checkpoint, EntryId, Hash, LogCorrupt, SequencerLease
from modelyard.ledger.rules.leaf import PendingEntry
from modelyard.ledger.rules.merkle import ReadTile, Tile
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import METADATA, upsert

# Entries that committed and wait for their index. `ordinal` grows with causality: whoever has seen a committed row gets
# a higher one. It follows neither the order of commits nor leaves no gaps, so nobody may read past a mark in it.
OUTBOX = sa.Table(
    "ledger_outbox",
    METADATA,
    sa.Column("ordinal", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("id", sa.String, nullable=False, unique=True),
    sa.Column("type", sa.String, nullable=False),
    sa.Column("subject", sa.String, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("team_id", sa.String, nullable=False),
    sa.Column("occurred_at", sa.BigInteger, nullable=False),
    sa.Column("recorded_at", sa.BigInteger, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("digest", sa.String),
    sa.Column("commitment", sa.String),
)

# The log. The leaf is the truth; the other columns repeat it for search, and verification compares them.
ENTRIES = sa.Table(
    "ledger_entries",
    METADATA,
    sa.Column("entry_index", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", sa.String, nullable=False, unique=True),
    sa.Column("type", sa.String, nullable=False),
    sa.Column("subject", sa.String, nullable=False),
    sa.Column("team_id", sa.String, nullable=False),
    sa.Column("leaf", sa.LargeBinary, nullable=False),
    sa.Index(None, "type", "entry_index"),
    sa.Index(None, "subject", "entry_index"),
)

PERSONAL = sa.Table(
    "ledger_personal",
    METADATA,
    sa.Column("entry_id", sa.String, primary_key=True),
    sa.Column("salt", sa.LargeBinary),
    sa.Column("content", sa.LargeBinary),
    sa.Column("erased_at", sa.BigInteger),
)

TILES = sa.Table(
    "ledger_tiles",
    METADATA,
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hashes", sa.LargeBinary, nullable=False),
)

CHECKPOINTS = sa.Table(
    "ledger_checkpoints",
    METADATA,
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("origin", sa.String, nullable=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("signed_at", sa.BigInteger, nullable=False),
)

SEQUENCER = sa.Table(
    "ledger_sequencer",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("holder", sa.String, nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
)

CURSORS = sa.Table(
    "event_cursors",
    METADATA,
    sa.Column("consumer", sa.String, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("moved_at", sa.BigInteger, nullable=False),
)

_PENDING = PendingEntry.__struct_fields__


class StoredPersonal(msgspec.Struct, frozen=True, kw_only=True):
    """A row beside the log: what opens an entry's commitment, until it is erased."""

    salt: bytes | None
    content: bytes | None
    erased_at: Instant | None


class StoredEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the log: the leaf, and the columns that repeat some of it."""

    index: int
    id: EntryId
    type: str
    subject: str
    team_id: str
    leaf: bytes


_WAIT = sa.insert(OUTBOX)


def put_pending(tx: Transaction, entry: PendingEntry) -> None:
    """Lets `entry` wait for its index."""
    tx.connection.execute(_WAIT, [msgspec.structs.asdict(entry)])


def list_pending(tx: Transaction, limit: int) -> dict[int, PendingEntry]:
    """The first entries that wait, by ordinal in causal order: every committed one counts, whatever was taken before."""
    rows = tx.connection.execute(sa.select(OUTBOX.c.ordinal, *OUTBOX.c[_PENDING]).order_by(OUTBOX.c.ordinal).limit(limit))
    return {row[0]: PendingEntry(**dict(zip(_PENDING, row[1:], strict=True))) for row in rows}


def remove_pending(tx: Transaction, ordinals: Iterable[int]) -> int:
    """Takes just these entries off the outbox; how many stood there."""
    return tx.connection.execute(sa.delete(OUTBOX).where(OUTBOX.c.ordinal.in_(list(ordinals)))).rowcount


def count_pending(snapshot: Snapshot) -> int:
    """How many entries wait for their index."""
    return snapshot.connection.execute(sa.select(sa.func.count()).select_from(OUTBOX)).scalar_one()


def is_pending(snapshot: Snapshot, entry_id: EntryId) -> bool:
    """Whether the entry waits for its index."""
    return snapshot.connection.execute(sa.select(OUTBOX.c.ordinal).where(OUTBOX.c.id == entry_id)).first() is not None


def log_size(snapshot: Snapshot) -> int:
    """How many entries the log has, by its highest index."""
    highest = snapshot.connection.execute(sa.select(sa.func.max(ENTRIES.c.entry_index))).scalar()
    return 0 if highest is None else highest + 1


def insert_entries(tx: Transaction, entries: Sequence[StoredEntry]) -> None:
    """Adds rows to the log."""
    rows = [
        {"entry_index": one.index, "id": one.id, "type": one.type, "subject": one.subject, "team_id": one.team_id, "leaf": one.leaf}
        for one in entries
    ]
    tx.connection.execute(sa.insert(ENTRIES), rows)


def find_index(snapshot: Snapshot, entry_id: EntryId) -> int | None:
    """The index of the entry, or None while it has none."""
    return snapshot.connection.execute(sa.select(ENTRIES.c.entry_index).where(ENTRIES.c.id == entry_id)).scalar()


def find_entry(snapshot: Snapshot, index: int) -> StoredEntry | None:
    """The row at `index`."""
    found = list_after(snapshot, index - 1, 1)
    return found[0] if found and found[0].index == index else None


def list_after(snapshot: Snapshot, after: int, limit: int, *, types: Sequence[str] | None = None) -> list[StoredEntry]:
    """Rows with an index above `after`, in the order of the log."""
    query = sa.select(ENTRIES).where(ENTRIES.c.entry_index > after).order_by(ENTRIES.c.entry_index).limit(limit)
    if types is not None:
        query = query.where(ENTRIES.c.type.in_(types))
    return [_stored(row) for row in snapshot.connection.execute(query)]


def list_before(
    snapshot: Snapshot, before: int | None, limit: int, equal: Mapping[str, str], teams: Sequence[str] | None = None
) -> list[StoredEntry]:
    """Rows with an index below `before`, newest first, whose columns named in `equal` have those values; of `teams`, where given."""
    query = sa.select(ENTRIES).order_by(ENTRIES.c.entry_index.desc()).limit(limit)
    if teams is not None:
        query = query.where(ENTRIES.c.team_id.in_(teams))
    if before is not None:
        query = query.where(ENTRIES.c.entry_index < before)
    for name, value in equal.items():
        query = query.where(ENTRIES.c[name] == value)
    return [_stored(row) for row in snapshot.connection.execute(query)]


def list_types(snapshot: Snapshot) -> list[str]:
    """The types that the log has entries of, in alphabetical order."""
    # One index probe a type instead of a walk over the log: "select distinct" reads every entry.
    found: list[str] = []
    while True:
        query = sa.select(sa.func.min(ENTRIES.c.type))
        following = snapshot.connection.execute(query.where(ENTRIES.c.type > found[-1]) if found else query).scalar()
        if following is None:
            return found
        found.append(following)


def find_tile(snapshot: Snapshot, tile: Tile) -> bytes | None:
    """A tile's hashes, one after the other."""
    query = sa.select(TILES.c.hashes).where(TILES.c.level == tile.level, TILES.c.number == tile.number)
    return snapshot.connection.execute(query).scalar()


def tile_reader(snapshot: Snapshot) -> ReadTile:
    """Gives each tile, read once within the snapshot. Raises LogCorrupt for one that is not there."""

    @functools.cache
    def read(tile: Tile) -> bytes:
        found = find_tile(snapshot, tile)
        if found is None:
            raise LogCorrupt(f"tile {tile.level}/{tile.number} is not there", hint="verify the log and restore a backup")
        return found

    return read


def count_tiles(snapshot: Snapshot) -> int:
    """How many tiles are stored, partial ones included."""
    return snapshot.connection.execute(sa.select(sa.func.count()).select_from(TILES)).scalar_one()


def put_tiles(tx: Transaction, tiles: Mapping[Tile, bytes]) -> None:
    """Stores tiles over what stood in their places."""
    rows = [{"level": tile.level, "number": tile.number, "hashes": hashes} for tile, hashes in tiles.items()]
    upsert(tx, TILES, rows, ["level", "number"], ["hashes"])


def put_checkpoint(tx: Transaction, checkpoint: Checkpoint) -> None:
    """Stores a checkpoint, unless one of its size stands."""
    upsert(tx, CHECKPOINTS, [msgspec.structs.asdict(checkpoint)], ["size"])


def find_checkpoint(snapshot: Snapshot, *, size: int | None = None) -> Checkpoint | None:
    """The checkpoint of `size`, or the latest."""
    query = sa.select(CHECKPOINTS).order_by(CHECKPOINTS.c.size.desc()).limit(1)
    row = snapshot.connection.execute(query if size is None else query.where(CHECKPOINTS.c.size == size)).first()
    return None if row is None else _checkpoint(row)


def find_covering_checkpoint(snapshot: Snapshot, index: int) -> Checkpoint | None:
    """The smallest checkpoint that covers the entry at `index`."""
    query = sa.select(CHECKPOINTS).where(CHECKPOINTS.c.size > index).order_by(CHECKPOINTS.c.size).limit(1)
    row = snapshot.connection.execute(query).first()
    return None if row is None else _checkpoint(row)


def list_checkpoints(snapshot: Snapshot, after: int, limit: int) -> list[Checkpoint]:
    """Checkpoints of a size above `after`, the smallest first."""
    query = sa.select(CHECKPOINTS).where(CHECKPOINTS.c.size > after).order_by(CHECKPOINTS.c.size).limit(limit)
    return [_checkpoint(row) for row in snapshot.connection.execute(query)]


def find_lease(tx: Transaction) -> SequencerLease | None:
    """The sequencer's lease, its row locked until the transaction ends."""
    # Made first, so that there is a row to lock: two first holders would otherwise both find none.
    upsert(tx, SEQUENCER, [{"id": 1, "holder": "", "fence": 0, "expires_at": 0}], ["id"])
    row = tx.connection.execute(sa.select(SEQUENCER.c.holder, SEQUENCER.c.fence, SEQUENCER.c.expires_at).with_for_update()).one()
    return SequencerLease(holder=row.holder, fence=row.fence, expires_at=Instant(row.expires_at)) if row.fence else None


def put_lease(tx: Transaction, lease: SequencerLease) -> None:
    """Stores the lease over the one that stands."""
    tx.connection.execute(sa.update(SEQUENCER).values(**msgspec.structs.asdict(lease)))


def put_personal(tx: Transaction, entry_id: EntryId, salt: bytes, content: bytes) -> None:
    """Stores personal data beside the log."""
    tx.connection.execute(sa.insert(PERSONAL).values(entry_id=entry_id, salt=salt, content=content))


def list_personal(snapshot: Snapshot, entry_ids: Sequence[EntryId]) -> dict[EntryId, StoredPersonal]:
    """What opens the commitments of those entries, for the ones that have personal data."""
    rows = snapshot.connection.execute(sa.select(PERSONAL).where(PERSONAL.c.entry_id.in_(entry_ids)))
    return {EntryId(row.entry_id): StoredPersonal(salt=row.salt, content=row.content, erased_at=row.erased_at) for row in rows}


def erase_personal(tx: Transaction, entry_id: EntryId, at: Instant) -> None:
    """Removes the personal data and its salt; on SQLite their bytes in the file are overwritten."""
    if tx.dialect == "sqlite":
        tx.connection.exec_driver_sql("PRAGMA secure_delete=ON")
    tx.connection.execute(sa.update(PERSONAL).where(PERSONAL.c.entry_id == entry_id).values(salt=None, content=None, erased_at=at))


def list_first(snapshot: Snapshot, kind: str, subjects: Sequence[str]) -> dict[str, int]:
    """The index of each subject's first entry of a type."""
    # Not asked for by type: SQLite would then go through all entries of that type instead of the subjects' own few.
    query = sa.select(ENTRIES.c.subject, ENTRIES.c.type, sa.func.min(ENTRIES.c.entry_index)).where(ENTRIES.c.subject.in_(subjects))
    found = snapshot.connection.execute(query.group_by(ENTRIES.c.subject, ENTRIES.c.type))
    return {subject: index for subject, its_kind, index in found if its_kind == kind}


def find_cursor(snapshot: Snapshot, consumer: str) -> int | None:
    """The index up to which the consumer has come; within a write transaction its row stays locked."""
    query = sa.select(CURSORS.c.position).where(CURSORS.c.consumer == consumer)
    return snapshot.connection.execute(query.with_for_update() if isinstance(snapshot, Transaction) else query).scalar()


def put_cursor(tx: Transaction, consumer: str, position: int) -> None:
    """Stores how far the consumer has come."""
    upsert(tx, CURSORS, [{"consumer": consumer, "position": position, "moved_at": tx.wall()}], ["consumer"], ["position", "moved_at"])


def _stored(row: sa.Row[Any]) -> StoredEntry:
    return StoredEntry(
        index=row.entry_index, id=EntryId(row.id), type=row.type, subject=row.subject, team_id=row.team_id, leaf=bytes(row.leaf)
    )


def _checkpoint(row: sa.Row[Any]) -> Checkpoint:
    return Checkpoint(origin=row.origin, size=row.size, root=Hash(bytes(row.root)), note=row.note, signed_at=Instant(row.signed_at))
