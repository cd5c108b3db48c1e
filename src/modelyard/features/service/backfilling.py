"""Backfilling: bringing online anew what a range of events comes to, for a store that lost keys or is doubted."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from modelyard.access.domain import Principal, Role
from modelyard.core.clock import Instant, checked_instant, iso
from modelyard.core.errors import InvalidInput
from modelyard.features import store
from modelyard.features.backfill import Wanted, refilled, refilling
from modelyard.features.domain import AppliedView, Backfill, NewBackfill, SourceDrifted, SourceUnreadable
from modelyard.features.history import load_history
from modelyard.features.large import refilled_large
from modelyard.features.materialization import carry_out, find_mark
from modelyard.features.offline import is_large
from modelyard.features.service.bringing import PATIENCE_S, alone, chosen_views, heed_erasures, materialize, stored_histories
from modelyard.features.sources.opened import read_anew
from modelyard.features.stored.histories import source_of
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Database
from modelyard.storage.online import OnlineStore


def backfill(database: Database, online: OnlineStore, principal: Principal, view: str, body: NewBackfill) -> list[Backfill]:
    """Materializes a view, and writes anew the values of every entity that has an event in the range, whatever the store holds.

    Materialization notices by itself where a source's past has changed; this is for a store that has
    lost keys, or whose values are doubted. It takes the version that stands and the older ones that something served reads, of these
    only what can be read. It may be repeated, and killed anywhere.
    Raises ViewNotFound, SourceUnreadable, SourceDrifted, OnlineUnavailable, NotAllowed, and InvalidInput for a range that is empty or
    of no times.
    """
    with database.read() as snapshot:
        now = snapshot.now()
        standing = chosen_views(snapshot, principal, [view], Role.CONTRIBUTOR)
        older = store.list_older(snapshot, [view])
    since = checked_instant(body.since, "since")
    end = now if body.until is None else checked_instant(body.until, "until")
    if since >= end:
        raise InvalidInput(f"no event lies from {iso(since)} until before {iso(end)}", hint="give a `since` that lies before `until`")
    with contextlib.suppress(SourceUnreadable, SourceDrifted):  # of an older version; if it is the one that stands, it is told below
        materialize(database, online, principal, [view])
    with alone(online, PATIENCE_S):
        with database.read() as snapshot:
            heed_erasures(snapshot)
        done = [(one, _refill(online, one, since, end)) for one in standing]
        for one in [item for item in older if find_mark(online, item.view) is not None]:
            with contextlib.suppress(SourceUnreadable, SourceDrifted):
                done.append((one, _refill(online, one, since, end)))
    _note(database, principal, done)
    return [item for _, item in done]


def _refill(online: OnlineStore, applied: AppliedView, since: Instant, until: Instant) -> Backfill:
    view, root, mark = applied.view, Path(applied.root), find_mark(online, applied.view)
    if mark is None:
        source_of(view, root)  # says why it could not be brought
        raise InvalidInput(f"{view.name} was taken out of the online store meanwhile", hint="try again")
    wanted = Wanted(mark, since, until)
    if is_large(view, root):
        with stored_histories() as histories:
            change, found = read_anew(lambda: refilled_large(histories, view, root, online, wanted))
    else:
        history = load_history(view, root)
        found = refilled(history, online, wanted)
        change = refilling(history, mark, found)
    carry_out(online, [change])
    return Backfill(
        view=view.name,
        digest=applied.digest,
        since=since,
        until=until,
        rows=found.rows,
        entities=found.entities,
        upto_at=Instant(mark.upto_at),
    )


def _note(database: Database, principal: Principal, done: Sequence[tuple[AppliedView, Backfill]]) -> None:
    views = {f"{item.view}/{one.number}": {"rows": item.rows, "entities": item.entities, "upto": iso(item.upto_at)} for one, item in done}
    standing, first = done[0]
    entry = NewEntry(
        type="features.backfilled",
        subject=f"view:{first.view}/{standing.number}",
        actor=principal.id,
        data={"since": iso(first.since), "until": iso(first.until), "views": views},
        team_id=standing.team_id,
    )
    database.write(lambda tx: record(tx, entry))
