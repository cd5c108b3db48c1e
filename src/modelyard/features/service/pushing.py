"""Events pushed over HTTP: taken in durably, shown online at once, flushed into their table by the worker.

Each step may be killed anywhere and done again. An event is in the source once from the moment its push is committed on.
"""

import contextlib
import logging
from collections.abc import Sequence

import msgspec
import polars as pl
from msgspec.structs import replace

from modelyard.access.domain import SYSTEM, Principal, Role
from modelyard.access.service import require
from modelyard.core.clock import Instant, ReplayClock, iso
from modelyard.core.digests import digest_bytes, digest_of
from modelyard.core.errors import Conflict, Corrupted, ModelyardError, Overloaded
from modelyard.features import store
from modelyard.features.domain import AppliedView, Materialization, Push, Pushed, PushedSource, Value
from modelyard.features.domain.sources import PUSH_NUMBER
from modelyard.features.materialization import carry_out, find_mark
from modelyard.features.service.bringing import alone, brought_by, heed_erasures, planned_of
from modelyard.features.service.pushed_sources import get_pushed_source
from modelyard.features.sources.events import columns_of, frame_of, packed
from modelyard.features.sources.opened import read_anew
from modelyard.features.sources.pushed import table_of
from modelyard.features.store import pushed as pushed_store
from modelyard.features.store.pushed import KeptPush, Packed
from modelyard.features.topping import place_of
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.storage.idempotency import KEPT_US, UNDER_WAY
from modelyard.storage.online import OnlineStore, OnlineUnavailable
from modelyard.storage.tables import Tables

MOST_WAITING = 2_000_000
"""Events that may wait to be flushed: the worker is away where there are more."""
FLUSHED_PUSHES, FLUSHED_EVENTS = 5_000, 100_000
"""What one flush brings into the table, about."""
FORGOTTEN_PUSHES, FORGOTTEN_EVENTS, FORGOTTEN_KEYS = 250, 4_000, 500
TIDY_EVERY = 64
PATIENCE_S = 10.0
"""How long a push waits to be shown: those that wait together hold the threads by which the server answers anything."""
LOG = logging.getLogger("modelyard.features")


def push_events(database: Database, online: OnlineStore, principal: Principal, source: str, events: list[dict[str, Value]]) -> Pushed:
    """Takes events in, all or none: durable and online, in every view over the source, once this is answered.

    They get the server's time as their creation time. Under an `Idempotency-Key` they count once, whatever dies in between.
    Raises PushedSourceNotFound, BadEvents, TooManyEvents, NotAllowed, and Overloaded where the worker has flushed none for long.
    """
    with database.read() as snapshot:
        known = get_pushed_source(snapshot, principal, source)
        views = _views_over(snapshot, known.declaration)
    require(principal, Role.CONTRIBUTOR, known.team_id)
    if known.events - known.flushed_events > MOST_WAITING:
        raise Overloaded(f"{known.events - known.flushed_events} events of {source} wait to be flushed", hint="is the worker running?")
    declaration = known.declaration
    columns = columns_of(declaration, [key.name for one in views for key in one.view.entity.keys], events)
    times = columns[list(declaration.types).index(declaration.timestamp)]
    content, newest = packed(columns), max(int(str(at)) for at in times)
    batch = Packed(events=len(events), newest_event_at=newest, content=content, digest=digest_bytes(content), sent_as=_sent_as())
    pushed = database.write(lambda tx: _taken(tx, declaration, batch))
    return _shown(database, online, views, pushed)


def _sent_as() -> str:
    """What names the request under way, empty where it has no key of its sender's."""
    attempt = UNDER_WAY.get()
    return "" if attempt is None else digest_of([attempt.caller, attempt.key, attempt.request])


def _views_over(snapshot: Snapshot, declaration: Push) -> list[AppliedView]:
    """The versions that stand over the source, and the older ones of its declaration that something served reads."""
    standing = [one for one in store.list_views(snapshot) if isinstance(one.view.source, Push) and one.view.source.name == declaration.name]
    return standing + [one for one in store.list_older(snapshot) if one.view.source == declaration]


def _taken(tx: Transaction, declaration: Push, batch: Packed) -> Pushed:
    """Keeps the events, created now and after all that materialization has seen: a past that was read does not change."""
    known = pushed_store.find_source(tx, declaration.name, for_update=True)
    if known is None or known.declaration != declaration:
        raise Conflict(f"the source {declaration.name} is being declared anew", hint="push again")
    if batch.sent_as and (before := pushed_store.find_sent(tx, declaration.name, batch.sent_as)) is not None:
        return before
    # A replay's clock stands between two pushes, and nobody there may see what lies ahead of it.
    least = known.last_at if isinstance(tx.clock, ReplayClock) else Instant(known.last_at + 1)
    return pushed_store.append_push(tx, known, batch, max(tx.now(), least))


def _shown(database: Database, online: OnlineStore, views: Sequence[AppliedView], pushed: Pushed) -> Pushed:
    """`pushed`, brought online with all that came before. It is durable already: what keeps it from being seen is no failure of it."""
    try:
        with alone(online, PATIENCE_S):
            with database.read() as snapshot:
                heed_erasures(snapshot)
                known = pushed_store.find_source(snapshot, pushed.source)
                waiting = [] if known is None else [one for one in views if not _is_shown(snapshot, online, known, one, pushed)]
            if known is not None and waiting:
                # All that is created up to then has been committed, and what is pushed later is created later.
                carry_out(online, [planned_of(online, one, known.last_at) for one in waiting])
    except ModelyardError as error:
        LOG.warning("events of %s are not online yet: %s", pushed.source, error)
        return replace(pushed, is_online=False, why=str(error))
    return pushed


def _is_shown(snapshot: Snapshot, online: OnlineStore, known: PushedSource, applied: AppliedView, pushed: Pushed) -> bool:
    """Whether somebody who pushed meanwhile has brought these events online too."""
    mark = find_mark(online, applied.view)
    if mark is None or mark.upto_at < pushed.pushed_at:
        return False
    place = place_of(snapshot, applied.view, known, mark)
    return place is not None and place >= pushed.number


def flush_pushed(database: Database, tables: Tables, online: OnlineStore) -> int:
    """Brings the events that wait into their tables; how many. The worker calls it again and again, and several may at once.

    A source that cannot be flushed is told in the log of this process, waits, and keeps no other one back.
    """
    with database.read() as snapshot:
        sources = [one for one in pushed_store.list_sources(snapshot) if one.pushes > one.flushed_pushes]
    flushed = 0
    for known in sources:
        try:
            while (count := _flush_some(Flushing(database, tables, online), known.declaration.name)) > 0:
                flushed += count
        except ModelyardError as error:
            LOG.warning("the events of %s were not flushed: %s", known.declaration.name, error)
    if flushed:
        database.write(lambda tx: pushed_store.forget_keys(tx, Instant(tx.wall() - KEPT_US), FORGOTTEN_KEYS))
    return flushed


class Flushing(msgspec.Struct, frozen=True):
    """Between what events are moved, and where they are online."""

    database: Database
    tables: Tables
    online: OnlineStore


def _flush_some(within: Flushing, name: str) -> int:
    """Flushes the next pushes of a source; how many events. They are named first, so that whoever goes on takes the same ones."""
    database = within.database
    with database.read() as snapshot:
        known = pushed_store.find_source(snapshot, name)
        upto = None if known is None else pushed_store.next_flush(snapshot, known, FLUSHED_PUSHES, FLUSHED_EVENTS)
    if known is None or upto is None:
        return 0
    planned = database.write(lambda tx: pushed_store.plan_flush(tx, known, upto))
    if planned is None:
        return 0
    with database.read() as snapshot:
        kept = pushed_store.list_kept(snapshot, known, upto=planned)
        views = _views_over(snapshot, known.declaration)
    if not kept or kept[0].number != known.flushed_pushes + 1:
        return 0  # another worker has flushed them meanwhile
    frame = frame_of(known.declaration, ((one.number, one.pushed_at, one.content) for one in kept))
    version = within.tables.append(table_of(name), frame, key=f"{name}/{kept[-1].number}/{kept[-1].digest}", counted=[PUSH_NUMBER])
    _check_no_others(within.tables, known, kept[-1].number, frame.height)
    brought = _brought(within, views)
    database.write(lambda tx: _note_flushed(tx, Flush(source=known, pushes=kept, events=frame.height, version=version), brought))
    forget_flushed(database, known)
    _tidy(within.tables, table_of(name), version)
    return frame.height


def _check_no_others(tables: Tables, known: PushedSource, upto: int, events: int) -> None:
    """Raises Corrupted where the table holds more under the numbers of these pushes than their events.

    So it does once the database, but not the tables, was set back: the numbers were given before.
    """
    name, number = table_of(known.declaration.name), pl.col(PUSH_NUMBER)
    these = number.is_between(known.flushed_pushes, upto, closed="right")
    found = read_anew(lambda: int(tables.scan(name).filter(these).select(pl.len()).collect().item()))
    if found > events:
        raise Corrupted(
            f"the table {name} holds {found - events} events that the database does not know, from push {known.flushed_pushes + 1} on",
            hint="the database was restored and the tables were not: restore the tables of the same moment",
        )


def forget_flushed(database: Database, known: PushedSource) -> None:
    """Removes the pushes that lie in their table from the database, a few at a time."""
    while database.write(lambda tx: pushed_store.forget_pushes(tx, known, FORGOTTEN_PUSHES, FORGOTTEN_EVENTS)):
        pass


class Flush(msgspec.Struct, frozen=True, kw_only=True):
    """What a flush has brought into its table, and the version of the table that has it."""

    source: PushedSource
    pushes: Sequence[KeptPush]
    events: int
    version: int


def _brought(within: Flushing, views: Sequence[AppliedView]) -> list[tuple[Materialization, AppliedView]]:
    """How far pushes have brought the views online: pushes themselves leave no note of it."""
    try:
        marks = [(one, find_mark(within.online, one.view)) for one in views]
    except OnlineUnavailable:
        return []
    return [(brought_by(one, mark, within.database.clock.wall()), one) for one, mark in marks if mark is not None]


def _note_flushed(tx: Transaction, flush: Flush, brought: Sequence[tuple[Materialization, AppliedView]]) -> None:
    """Notes a flush with one entry in the ledger, whose digest covers every event; nothing where another worker has done so."""
    known, last = flush.source, flush.pushes[-1]
    until_at = max(one.until_at for one in flush.pushes)
    if not pushed_store.note_flushed(tx, known, last, flush.events, until_at):
        return
    standing = store.list_materializations(tx, [item.view for item, _ in brought])
    newer = [(item, one.team_id) for item, one in brought if _is_newer(item, standing.get((item.view, item.digest)))]
    store.put_materializations(tx, newer)
    data = {
        "pushes": [flush.pushes[0].number, last.number],
        "events": flush.events,
        "from": iso(flush.pushes[0].pushed_at),
        "upto": iso(last.pushed_at),
        "table_version": flush.version,
        "before": known.flushed_digest,
    }
    subject = f"pushed_source:{known.declaration.name}"
    entry = NewEntry(type="features.events_flushed", subject=subject, actor=SYSTEM.id, data=data, digest=last.digest, team_id=known.team_id)
    record(tx, entry)


def _is_newer(item: Materialization, standing: Materialization | None) -> bool:
    return standing is None or standing.upto_at < item.upto_at


def _tidy(tables: Tables, name: str, version: int) -> None:
    """Merges the table's small files after every so many versions, and removes those that were merged long ago.

    Another worker may be at it, or have been.
    """
    if version % TIDY_EVERY == TIDY_EVERY - 1:
        with contextlib.suppress(Conflict):
            tables.compact(name)
            tables.vacuum(name)
