"""Materialization: bringing what has become available online, for several views at once, with one entry in the ledger."""

import contextlib
import logging
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, Principal, Role
from modelyard.access.service import require
from modelyard.core.clock import Instant, ReplayClock, checked_instant, iso
from modelyard.core.digests import Digest
from modelyard.core.errors import InvalidInput, ModelyardError, Overloaded
from modelyard.core.names import nearest
from modelyard.features import store
from modelyard.features.domain import AppliedView, Materialization, Push, SourceDrifted, SourceUnreadable, ViewNotFound
from modelyard.features.erased import opened_tombstones
from modelyard.features.history import find_history, load_history
from modelyard.features.large import planned_large
from modelyard.features.layout import Mark
from modelyard.features.materialization import Change, carry_out, find_mark, planned, topped_up
from modelyard.features.offline import is_large
from modelyard.features.rules import cadence_us
from modelyard.features.sources.opened import read_anew
from modelyard.features.sources.queries import renew_queries
from modelyard.features.sources.reach import reached_tables
from modelyard.features.store import erasures as erasures_store
from modelyard.features.store import pushed as pushed_store
from modelyard.features.stored import Histories
from modelyard.features.topping import fresh_history
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.storage.online import OnlineStore
from modelyard.storage.tables import Tables

_one_at_a_time = threading.Lock()
PATIENCE_S = 60.0


@contextlib.contextmanager
def alone(online: OnlineStore, wait_s: float) -> Iterator[None]:
    """A block in which nobody else brings values online: a state is read, advanced and written back, which two must not do at once.

    Threads of this process wait for each other first, other processes at the store. Raises Overloaded after `wait_s`.
    """
    until = time.monotonic() + wait_s
    if not _one_at_a_time.acquire(timeout=wait_s):
        raise Overloaded(f"another caller has brought values online for more than {wait_s:g} s", hint="try again in a moment")
    try:
        with online.alone(max(until - time.monotonic(), 0.0)):
            yield
    finally:
        _one_at_a_time.release()


def heed_erasures(snapshot: Snapshot) -> None:
    """Has this process know the erasures as they are now, before it brings anything online: what went a moment ago must not come back."""
    if tombstones := opened_tombstones():
        tombstones.tell(erasures_store.list_tombstones(snapshot))


def planned_of(online: OnlineStore, applied: AppliedView, upto: Instant) -> Change:
    """What brings a view online up to an instant: from what was pushed since the last time where that is all that is new.

    Raises SourceUnreadable, SourceDrifted, OnlineUnavailable.
    """
    view = applied.view
    if isinstance(view.source, Push):
        before = find_mark(online, view)
        fresh = None if before is None else fresh_history(view, view.source.name, before)
        if before is not None and fresh is not None:
            return topped_up(fresh, online, before, max(upto, before.upto_at))
    root = Path(applied.root)
    # Asked first: to count a source's rows takes longer than to bring a small hour online.
    history = find_history(view, root)
    if history is None and is_large(view, root):
        with stored_histories() as histories:
            return read_anew(lambda: planned_large(histories, view, root, online, upto))
    return planned(history or load_history(view, root), online, upto)


@contextlib.contextmanager
def stored_histories() -> Iterator[Histories]:
    """The stored histories that joins use; where there is no installation, some of its own for the moment."""
    tables = reached_tables()
    if tables is not None:
        yield Histories(tables)
        return
    with tempfile.TemporaryDirectory(prefix="histories-") as folder:
        yield Histories(Tables.open(f"file://{folder}"))


def settle_pushed(database: Database, chosen: Sequence[AppliedView], upto: Instant) -> None:
    """Has no event be created at `upto` or earlier any more at the sources of `chosen`: then what is read is all there ever will be."""
    names = sorted({one.view.source.name for one in chosen if isinstance(one.view.source, Push)})
    if names:
        database.write(lambda tx: pushed_store.settle(tx, names, upto))


def materialize(
    database: Database,
    online: OnlineStore,
    principal: Principal,
    views: list[str] | None = None,
    upto_at: Instant | None = None,
) -> list[Materialization]:
    """Brings online what the views' sources made available up to `upto_at` (now, if not given); of all views, if none are named.

    Of each view that is the version that stands and, as they were, those that something served reads; where only an older one
    cannot be brought, the others are before that is raised. Only what is new since the last time is read and written.
    Raises ViewNotFound, SourceUnreadable, SourceDrifted, OnlineUnavailable, NotAllowed, and InvalidInput for the future.
    """
    with alone(online, PATIENCE_S):
        return _materialized(database, online, principal, views, upto_at)


def materialize_due(database: Database, online: OnlineStore) -> list[Materialization]:
    """Brings online every view whose turn it is by its cadence; nothing in a replay, or while another process is at it.

    Whoever replays says when: an hour of a replay passes in less than any cadence. A view that cannot be brought is told
    in the log of this process and is tried again the next time.
    """
    brought: list[Materialization] = []
    if isinstance(database.clock, ReplayClock) or not _due(database):
        return brought
    try:
        with alone(online, 0.0):
            for one in _due(database):
                try:
                    brought += _brought_online(database, online, SYSTEM, [one], None)
                except ModelyardError as error:
                    logging.getLogger("modelyard.features").warning("%s was not brought online: %s", one.view.name, error)
    except Overloaded:
        return []
    return brought


def bring_anew(database: Database, online: OnlineStore, applied: AppliedView) -> None:
    """Brings one version online before its turn, after its source has changed; nothing in a replay. Raises what `materialize` does."""
    if not isinstance(database.clock, ReplayClock):
        with alone(online, PATIENCE_S):
            _brought_online(database, online, SYSTEM, [applied], None)


def _due(database: Database) -> list[AppliedView]:
    with database.read() as snapshot:
        known, now = store.list_materializations(snapshot), snapshot.now()
        views = [*store.list_views(snapshot), *store.list_older(snapshot)]
    last = [known.get((one.view.name, one.digest)) for one in views]
    return [one for one, at in zip(views, last, strict=True) if at is None or now - at.upto_at >= cadence_us(one.view)]


def _materialized(
    database: Database, online: OnlineStore, principal: Principal, views: Sequence[str] | None, upto_at: Instant | None
) -> list[Materialization]:
    if upto_at is not None:
        checked_instant(upto_at, "upto_at")
    with database.read() as snapshot:
        now = snapshot.now()
        chosen = chosen_views(snapshot, principal, views, Role.CONTRIBUTOR)
        older = store.list_older(snapshot, [one.view.name for one in chosen])
        order = _order(snapshot, principal, [*chosen, *older], now if upto_at is None else upto_at)
    if upto_at is not None and upto_at > now:
        raise InvalidInput(f"{iso(upto_at)} lies ahead of now, {iso(now)}", hint="leave out upto_at, or give an instant that has passed")
    try:
        return _carried_out(database, online, order)
    except (SourceUnreadable, SourceDrifted) as error:
        if not older:
            raise
        # What an older version can no longer read keeps nobody else's values back.
        _brought_online(database, online, principal, chosen, upto_at)
        for one in older:
            with contextlib.suppress(SourceUnreadable, SourceDrifted):
                _brought_online(database, online, principal, [one], upto_at)
        raise error


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions are brought online up to when, for whom, and how far they had come before."""

    principal: Principal
    chosen: Sequence[AppliedView]
    upto: Instant
    before: Mapping[tuple[str, Digest], Materialization]


def _order(snapshot: Snapshot, principal: Principal, chosen: Sequence[AppliedView], upto: Instant) -> Order:
    heed_erasures(snapshot)
    before = store.list_materializations(snapshot, [one.view.name for one in chosen])
    return Order(principal=principal, chosen=chosen, upto=upto, before=before)


def _brought_online(
    database: Database, online: OnlineStore, principal: Principal, chosen: Sequence[AppliedView], upto_at: Instant | None
) -> list[Materialization]:
    with database.read() as snapshot:
        order = _order(snapshot, principal, chosen, snapshot.now() if upto_at is None else upto_at)
    return _carried_out(database, online, order)


def _carried_out(database: Database, online: OnlineStore, order: Order) -> list[Materialization]:
    chosen, upto = order.chosen, order.upto
    renew_queries(one.view.source for one in chosen)
    settle_pushed(database, chosen, upto)
    changes = [planned_of(online, one, upto) for one in chosen]
    carry_out(online, changes)
    # The store is written first: what a killed call has left unrecorded, the next one records.
    brought = [brought_by(one, change.after, database.clock.wall()) for one, change in zip(chosen, changes, strict=True)]
    known = [order.before.get((item.view, item.digest)) for item in brought]
    is_new = [old is None or replace(item, recorded_at=old.recorded_at) != old for item, old in zip(brought, known, strict=True)]
    news = [(one, item, old) for one, item, old, new in zip(chosen, brought, known, is_new, strict=True) if new]
    if news:
        database.write(lambda tx: _note(tx, order.principal, news))
    return [item if new or old is None else old for item, old, new in zip(brought, known, is_new, strict=True)]


def list_materializations(snapshot: Snapshot, principal: Principal, view: str | None = None) -> list[Materialization]:
    """How far the versions that stand have been brought online, by view; then the older ones that are still read.

    Those of one view where it is named. Raises ViewNotFound.
    """
    chosen = chosen_views(snapshot, principal, None if view is None else [view], Role.VIEWER)
    wanted = [*chosen, *store.list_older(snapshot, [one.view.name for one in chosen])]
    found = store.list_materializations(snapshot, [one.view.name for one in wanted])
    return [found[key] for one in wanted if (key := (one.view.name, one.digest)) in found]


def chosen_views(snapshot: Snapshot, principal: Principal, names: Sequence[str] | None, role: Role) -> list[AppliedView]:
    """The named views, each of which `principal` must have `role` for; without names all those that it has it for."""
    found = [one for one in store.list_views(snapshot, names) if principal.may(Role.VIEWER, one.team_id)]
    if names is None:
        return [one for one in found if principal.may(role, one.team_id)]
    missing = sorted(set(names) - {one.view.name for one in found})
    if missing:
        known = [one.view.name for one in store.list_views(snapshot) if principal.may(Role.VIEWER, one.team_id)]
        raise ViewNotFound(f"there is no feature view {missing[0][:80]!r}", hint=nearest(missing[0], known))
    for one in found:
        require(principal, role, one.team_id)
    return found


def brought_by(applied: AppliedView, mark: Mark, recorded_at: Instant) -> Materialization:
    return Materialization(
        view=applied.view.name,
        digest=applied.digest,
        upto_at=Instant(mark.upto_at),
        newest_event_at=None if mark.newest_event_at is None else Instant(mark.newest_event_at),
        rows=mark.rows,
        entities=mark.entities,
        source=mark.source,
        recorded_at=recorded_at,
    )


def _note(tx: Transaction, principal: Principal, news: Sequence[tuple[AppliedView, Materialization, Materialization | None]]) -> None:
    """Stores how far the views have come, and records it in one entry: the sources' digests and rows, from where to where."""
    store.put_materializations(tx, [(item, one.team_id) for one, item, _ in news])
    views = {
        f"{item.view}/{one.number}": {
            "from": None if old is None else iso(old.upto_at),
            "upto": iso(item.upto_at),
            "rows": item.rows,
            "source": item.source,
        }
        for one, item, old in news
    }
    teams = {one.team_id for one, _, _ in news}
    subject = f"view:{next(iter(views))}" if len(views) == 1 else "views"
    team = next(iter(teams)) if len(teams) == 1 else DEFAULT_TEAM
    record(tx, NewEntry(type="features.materialized", subject=subject, actor=principal.id, data={"views": views}, team_id=team))
