"""Pushed events until they lie in their table: sources, pushes with their rows, the keys they were sent under. Owns these rows."""

from collections.abc import Callable, Sequence

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest, digest_bytes
from modelyard.features.domain import Push, Pushed, PushedSource
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import METADATA, upsert

SOURCES = sa.Table(
    "feature_pushed_sources",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("team_id", sa.String, nullable=False, index=True),
    sa.Column("declaration", sa.LargeBinary, nullable=False),
    sa.Column("pushes", sa.BigInteger, nullable=False),
    sa.Column("events", sa.BigInteger, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
    # The push up to which a flush is under way: whoever goes on with it takes the same pushes, so that its key means the same rows.
    sa.Column("flushing_pushes", sa.BigInteger),
    sa.Column("flushed_pushes", sa.BigInteger, nullable=False),
    sa.Column("flushed_events", sa.BigInteger, nullable=False),
    sa.Column("flushed_until", sa.BigInteger, nullable=False),
    sa.Column("flushed_digest", sa.String, nullable=False),
    sa.Column("rewritten", sa.BigInteger),
)

PUSHES = sa.Table(
    "feature_pushes",
    METADATA,
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("events", sa.Integer, nullable=False),
    sa.Column("pushed_at", sa.BigInteger, nullable=False),
    sa.Column("until_at", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
    # Last, so that a look at the rest of a row passes over it.
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("source", "digest"),
)

KEYS = sa.Table(
    "feature_push_keys",
    METADATA,
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("sent_as", sa.String(80), primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("events", sa.Integer, nullable=False),
    sa.Column("pushed_at", sa.BigInteger, nullable=False),
    sa.Column("made_at", sa.BigInteger, nullable=False, index=True),
)

HEADS = sa.Table(
    "feature_push_heads",
    METADATA,
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("digest", sa.String, nullable=False),
)

NOTHING = digest_bytes(b"")
"""The digest of a source without events."""
LONG_AGO = Instant(-(2**62))
MOST_LOOKED_AT = 2_000
"""Pushes whose digests are compared one by one, the last ones: what lies further back is asked for as if it were not known."""
MOST_HEADS = 1_000
"""Digests of a source that stay known after their pushes have been flushed, the last ones."""


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """The events of one push as they are kept: how many, the latest event time, and their columns in the order of the declaration.

    `sent_as` names the request that brought them, empty where it had no key: of two under one name the first counts.
    """

    events: int
    newest_event_at: int
    content: bytes
    digest: Digest
    sent_as: str = ""


class KeptPush(msgspec.Struct, frozen=True, kw_only=True):
    """A push that has not been flushed, or was a moment ago."""

    number: int
    pushed_at: Instant
    until_at: Instant
    digest: Digest
    content: bytes


def find_source(snapshot: Snapshot, name: str, *, for_update: bool = False) -> PushedSource | None:
    """What has been pushed under a name. `for_update` has other pushes wait until the transaction ends."""
    query = sa.select(SOURCES).where(SOURCES.c.name == name)
    row = snapshot.connection.execute(query.with_for_update() if for_update else query).first()
    return None if row is None else _source(row)


def list_sources(snapshot: Snapshot) -> list[PushedSource]:
    """All sources that are pushed to, by name."""
    return [_source(row) for row in snapshot.connection.execute(sa.select(SOURCES).order_by(SOURCES.c.name))]


def put_source(tx: Transaction, declaration: Push, team: TeamId) -> None:
    """Makes a source, or gives one without events another declaration."""
    mine = SOURCES.c.name == declaration.name
    said = {"declaration": msgspec.json.encode(declaration)}
    if tx.connection.execute(sa.update(SOURCES).where(mine).values(**said)).rowcount:
        return
    row = {"name": declaration.name, "team_id": team, "pushes": 0, "events": 0, "last_at": LONG_AGO, "digest": NOTHING, **said}
    flushed = {"flushed_pushes": 0, "flushed_events": 0, "flushed_until": LONG_AGO, "flushed_digest": NOTHING}
    tx.connection.execute(sa.insert(SOURCES).values(**row, **flushed))


def settle(tx: Transaction, names: Sequence[str], upto_at: Instant) -> None:
    """From now on no event of the sources is created at `upto_at` or earlier. Pushes under way are waited for, and those that come wait."""
    tx.connection.execute(sa.update(SOURCES).where(SOURCES.c.name.in_(names), SOURCES.c.last_at < upto_at).values(last_at=upto_at))


def find_sent(snapshot: Snapshot, name: str, sent_as: str) -> Pushed | None:
    """What a request of that name has brought before."""
    row = snapshot.connection.execute(sa.select(KEYS).where(KEYS.c.source == name, KEYS.c.sent_as == sent_as)).first()
    return None if row is None else Pushed(source=name, number=row.number, events=row.events, pushed_at=Instant(row.pushed_at))


def append_push(tx: Transaction, known: PushedSource, packed: Packed, pushed_at: Instant) -> Pushed:
    """Keeps the events as the next push of `known`, which was found for update."""
    name, number = known.declaration.name, known.pushes + 1
    digest = digest_bytes(b"\0".join([known.digest.encode(), str(number).encode(), str(pushed_at).encode(), packed.digest.encode()]))
    push = {"source": name, "number": number, "events": packed.events, "pushed_at": pushed_at, "digest": digest}
    until_at = max(pushed_at, packed.newest_event_at)
    tx.connection.execute(_NEW_PUSH, push | {"until_at": until_at, "content": packed.content})
    moved = {"number": number, "total": known.events + packed.events, "at": pushed_at, "head": digest, "source": name}
    tx.connection.execute(_MOVE, moved)
    if packed.sent_as:
        sent = {"sent_as": packed.sent_as, "made_at": tx.wall()}
        tx.connection.execute(_NEW_KEY, {**{key: push[key] for key in ("source", "number", "events", "pushed_at")}, **sent})
    return Pushed(source=name, number=number, events=packed.events, pushed_at=pushed_at)


_NEW_PUSH, _NEW_KEY = sa.insert(PUSHES), sa.insert(KEYS)
_MOVE = (
    sa.update(SOURCES)
    .where(SOURCES.c.name == sa.bindparam("source"))
    .values(pushes=sa.bindparam("number"), events=sa.bindparam("total"), last_at=sa.bindparam("at"), digest=sa.bindparam("head"))
)
_KEPT = [PUSHES.c.number, PUSHES.c.pushed_at, PUSHES.c.until_at, PUSHES.c.digest, PUSHES.c.content]


def list_kept(snapshot: Snapshot, known: PushedSource, *, since_at: int | None = None, upto: int | None = None) -> list[KeptPush]:
    """The pushes that are not flushed, in order: those with an event that becomes available after `since_at`, up to the push `upto`."""
    query = sa.select(*_KEPT).where(PUSHES.c.source == known.declaration.name, PUSHES.c.number > known.flushed_pushes)
    if since_at is not None:
        query = query.where(PUSHES.c.until_at > since_at)
    if upto is not None:
        query = query.where(PUSHES.c.number <= upto)
    found = snapshot.connection.execute(query.order_by(PUSHES.c.number))
    return [
        KeptPush(number=row.number, pushed_at=row.pushed_at, until_at=row.until_at, digest=Digest(row.digest), content=bytes(row.content))
        for row in found
    ]


def find_place(snapshot: Snapshot, known: PushedSource, digest: Digest, said: Callable[[Digest], Digest]) -> int | None:
    """After how many pushes the source's digest was the one of which `digest` is `said`; `None` where that is not known any more."""
    ends = {said(NOTHING): 0, said(known.digest): known.pushes, said(known.flushed_digest): known.flushed_pushes}
    if digest in ends:
        return ends[digest]
    for table in (PUSHES, HEADS):
        mine = sa.select(table.c.number, table.c.digest).where(table.c.source == known.declaration.name)
        # Where more than the digest is said, it can be told only forwards. What is looked for is most often the last but one.
        some = (
            mine.where(table.c.digest == digest) if said(digest) == digest else mine.order_by(table.c.number.desc()).limit(MOST_LOOKED_AT)
        )
        for row in snapshot.connection.execute(some):
            if said(Digest(row.digest)) == digest:
                return int(row.number)
    return None


def note_head(tx: Transaction, known: PushedSource) -> None:
    """Has the digest of `known` be told from others by `find_place` also once its last push has been flushed and forgotten."""
    name = known.declaration.name
    upsert(tx, HEADS, [{"source": name, "number": known.pushes, "digest": known.digest}], ["source", "number"])
    newest = sa.select(HEADS.c.number).where(HEADS.c.source == name).order_by(HEADS.c.number.desc())
    oldest = tx.connection.execute(newest.offset(MOST_HEADS).limit(1)).scalar()
    if oldest is not None:
        tx.connection.execute(sa.delete(HEADS).where(HEADS.c.source == name, HEADS.c.number <= oldest))


def note_rewriting(tx: Transaction, name: str, *, is_done: bool) -> None:
    """Notes that what views read of a source's flushed events is about to change, or has: nothing where that was noted before."""
    count = sa.func.coalesce(SOURCES.c.rewritten, 0)
    tx.connection.execute(sa.update(SOURCES).where(SOURCES.c.name == name, count % 2 == int(is_done)).values(rewritten=count + 1))


def pushed_at(snapshot: Snapshot, name: str, number: int) -> Instant | None:
    """When a push that is kept here was made."""
    found = snapshot.connection.execute(sa.select(PUSHES.c.pushed_at).where(PUSHES.c.source == name, PUSHES.c.number == number)).scalar()
    return None if found is None else Instant(found)


def next_flush(snapshot: Snapshot, known: PushedSource, most_pushes: int, most_events: int) -> int | None:
    """The push up to which is to be flushed next; `None` where none waits."""
    mine = PUSHES.c.source == known.declaration.name, PUSHES.c.number > known.flushed_pushes
    return _reach(snapshot, mine, most_pushes, most_events)


def _reach(snapshot: Snapshot, which: Sequence[sa.ColumnElement[bool]], most_pushes: int, most_events: int) -> int | None:
    """The last of the first pushes that together have about so many events."""
    upto, events = None, 0
    query = sa.select(PUSHES.c.number, PUSHES.c.events).where(*which).order_by(PUSHES.c.number).limit(most_pushes)
    for one in snapshot.connection.execute(query):
        upto, events = int(one.number), events + one.events
        if events >= most_events:
            break
    return upto


def plan_flush(tx: Transaction, known: PushedSource, upto: int) -> int | None:
    """Notes that a flush up to a push is under way; the push up to which one is, the same until that has been done.

    `None` where what is waiting has been flushed meanwhile.
    """
    mine = SOURCES.c.name == known.declaration.name, SOURCES.c.flushed_pushes == known.flushed_pushes
    tx.connection.execute(sa.update(SOURCES).where(*mine, SOURCES.c.flushing_pushes.is_(None)).values(flushing_pushes=upto))
    found: int | None = tx.connection.execute(sa.select(SOURCES.c.flushing_pushes).where(*mine)).scalar()
    return found


def note_flushed(tx: Transaction, known: PushedSource, last: KeptPush, events: int, until_at: Instant) -> bool:
    """Notes that all up to the push `last` lie in the table; whether nobody had done so before."""
    row = {
        "flushing_pushes": None,
        "flushed_pushes": last.number,
        "flushed_events": known.flushed_events + events,
        "flushed_until": max(known.flushed_until, until_at),
        "flushed_digest": last.digest,
    }
    mine = SOURCES.c.name == known.declaration.name, SOURCES.c.flushed_pushes == known.flushed_pushes
    return tx.connection.execute(sa.update(SOURCES).where(*mine).values(**row)).rowcount > 0


def forget_pushes(tx: Transaction, known: PushedSource, most_pushes: int, most_events: int) -> int:
    """Removes some of the pushes that lie in their table; how many."""
    flushed = sa.select(SOURCES.c.flushed_pushes).where(SOURCES.c.name == known.declaration.name).scalar_subquery()
    mine = PUSHES.c.source == known.declaration.name, PUSHES.c.number <= flushed
    upto = _reach(tx, mine, most_pushes, most_events)
    return 0 if upto is None else tx.connection.execute(sa.delete(PUSHES).where(mine[0], PUSHES.c.number <= upto)).rowcount


def forget_keys(tx: Transaction, before_at: Instant, most: int) -> int:
    """Removes some of the keys that were made before an instant of the machine's; how many."""
    old = sa.select(KEYS.c.source, KEYS.c.sent_as).where(KEYS.c.made_at < before_at).order_by(KEYS.c.made_at).limit(most)
    return tx.connection.execute(sa.delete(KEYS).where(sa.tuple_(KEYS.c.source, KEYS.c.sent_as).in_(old))).rowcount


def _source(row: sa.Row[tuple[object, ...]]) -> PushedSource:
    return PushedSource(
        declaration=msgspec.json.decode(row.declaration, type=Push),
        team_id=TeamId(row.team_id),
        pushes=row.pushes,
        events=row.events,
        last_at=Instant(row.last_at),
        digest=Digest(row.digest),
        flushed_pushes=row.flushed_pushes,
        flushed_events=row.flushed_events,
        flushed_until=Instant(row.flushed_until),
        flushed_digest=Digest(row.flushed_digest),
        rewritten=row.rewritten or 0,
    )
