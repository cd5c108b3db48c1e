"""Materialization: bringing what has become available online, for several views at once, with one entry in the ledger."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, Principal, Role
from modelyard.access.service import require
from modelyard.core.clock import Instant, ReplayClock, iso
from modelyard.core.errors import InvalidInput, ModelyardError, Overloaded
from modelyard.core.names import nearest
from modelyard.features import store
from modelyard.features.domain import AppliedView, Materialization, ViewNotFound
from modelyard.features.history import load_history
from modelyard.features.layout import Mark
from modelyard.features.materialization import carry_out, planned
from modelyard.features.rules import cadence_us
from modelyard.features.sources.queries import renew_queries
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.storage.online import OnlineStore

# A state is read, advanced and written back: two must not do that to one entity at once. Threads of this process wait here,
# other processes at the store.
_one_at_a_time = threading.Lock()
PATIENCE_S = 60.0


def materialize(
    database: Database,
    online: OnlineStore,
    principal: Principal,
    views: list[str] | None = None,
    upto_at: Instant | None = None,
) -> list[Materialization]:
    """Brings online what the views' sources made available up to `upto_at` (now, if not given); of all views, if none are named.

    Only what is new since the last time is read and written. A view that had been brought that far stays as it is.
    Raises ViewNotFound, SourceUnreadable, SourceDrifted, OnlineUnavailable, NotAllowed, and InvalidInput for the future.
    """
    with _one_at_a_time, online.alone(PATIENCE_S):
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
        with _one_at_a_time, online.alone(0.0):
            for view in _due(database):
                try:
                    brought += _materialized(database, online, SYSTEM, [view], None)
                except ModelyardError as error:
                    logging.getLogger("modelyard.features").warning("%s was not brought online: %s", view, error)
    except Overloaded:
        return []
    return brought


def _due(database: Database) -> list[str]:
    with database.read() as snapshot:
        known, now, views = store.list_materializations(snapshot), snapshot.now(), store.list_views(snapshot)
    last = [known.get((one.view.name, one.digest)) for one in views]
    return [one.view.name for one, at in zip(views, last, strict=True) if at is None or now - at.upto_at >= cadence_us(one.view)]


def _materialized(
    database: Database, online: OnlineStore, principal: Principal, views: Sequence[str] | None, upto_at: Instant | None
) -> list[Materialization]:
    with database.read() as snapshot:
        now = snapshot.now()
        chosen = _chosen(snapshot, principal, views, Role.CONTRIBUTOR)
        before = store.list_materializations(snapshot, [one.view.name for one in chosen])
    upto = now if upto_at is None else upto_at
    if upto > now:
        raise InvalidInput(f"{iso(upto)} lies ahead of now, {iso(now)}", hint="leave out upto_at, or give an instant that has passed")
    renew_queries(one.view.source for one in chosen)
    changes = [planned(load_history(one.view, Path(one.root)), online, upto) for one in chosen]
    carry_out(online, changes)
    # The store is written first: what a killed call has left unrecorded, the next one records.
    brought = [_brought(one, change.after, database.clock.wall()) for one, change in zip(chosen, changes, strict=True)]
    known = [before.get((item.view, item.digest)) for item in brought]
    is_new = [old is None or replace(item, recorded_at=old.recorded_at) != old for item, old in zip(brought, known, strict=True)]
    news = [(one, item, old) for one, item, old, new in zip(chosen, brought, known, is_new, strict=True) if new]
    if news:
        database.write(lambda tx: _note(tx, principal, news))
    return [item if new or old is None else old for item, old, new in zip(brought, known, is_new, strict=True)]


def list_materializations(snapshot: Snapshot, principal: Principal, view: str | None = None) -> list[Materialization]:
    """How far the versions that stand have been brought online, by view; of one view where it is named. Raises ViewNotFound."""
    chosen = _chosen(snapshot, principal, None if view is None else [view], Role.VIEWER)
    found = store.list_materializations(snapshot, [one.view.name for one in chosen])
    return [found[key] for one in chosen if (key := (one.view.name, one.digest)) in found]


def _chosen(snapshot: Snapshot, principal: Principal, names: Sequence[str] | None, role: Role) -> list[AppliedView]:
    """The named views, each of which `principal` must have `role` for; without names all those that it has it for."""
    found = [one for one in store.list_views(snapshot, names) if principal.may(Role.VIEWER, one.team_id)]
    if names is None:
        return [one for one in found if principal.may(role, one.team_id)]
    missing = sorted(set(names) - {one.view.name for one in found})
    if missing:
        known = [one.view.name for one in store.list_views(snapshot) if principal.may(Role.VIEWER, one.team_id)]
        raise ViewNotFound(f"there is no feature view {missing[0]!r}", hint=nearest(missing[0], known))
    for one in found:
        require(principal, role, one.team_id)
    return found


def _brought(applied: AppliedView, mark: Mark, recorded_at: Instant) -> Materialization:
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
