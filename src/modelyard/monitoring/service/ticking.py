"""A tick of monitoring: take in what is new, see which views are stale, look at every model, and make alerts true.

Owns the order. The worker calls it again and again; each part may be killed anywhere and run again.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import SECOND, Instant
from modelyard.monitoring import store
from modelyard.monitoring.domain import Alert, AlertKind, Report, StaleEvidence, Ticked, VersionReference, Watched
from modelyard.monitoring.rules.alerting import Found, Over, planned, stale_title
from modelyard.monitoring.service.alerts import made_true
from modelyard.monitoring.service.intake import take_in
from modelyard.monitoring.service.looking import Looked, look_at
from modelyard.monitoring.service.surroundings import releases_of, stale_views
from modelyard.registry.domain import ModelName
from modelyard.serving.domain import Endpoint
from modelyard.serving.service import list_endpoints, mark_stale
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.storage.tables import Tables

LOOK_EVERY = 60 * SECOND


def tick(database: Database, tables: Tables) -> Ticked:
    """What one tick did. It reads only segments that are new since the last one, and summaries; never the whole log."""
    predictions, outcomes = take_in(database, tables)
    with database.read() as snapshot:
        endpoints = {one.model: one for one in list_endpoints(snapshot, SYSTEM)}
        served = [_as_served(snapshot, one, endpoints[one.model]) for one in store.list_watched(snapshot) if one.model in endpoints]
        stale = stale_views(snapshot)
    opened, closed = _told_of_views(database, served, endpoints.values(), stale)
    for model in served:
        more_opened, more_closed = _looked_at(database, model)
        opened, closed = [*opened, *more_opened], [*closed, *more_closed]
    return Ticked(predictions=predictions, outcomes=outcomes, opened=tuple(opened), closed=tuple(closed))


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A watched model as it is served now, and as its record stood when that was read."""

    before: Watched
    watched: Watched
    reference: VersionReference | None


def _as_served(snapshot: Snapshot, before: Watched, endpoint: Endpoint) -> Served:
    """The model under the version that is live; what looks had noted about another one is void."""
    live = None if endpoint.live is None else endpoint.live.revision.traffic.champion
    watched = before
    if live != before.live:
        at = None if live is None else next((one.at for one in releases_of(snapshot, before.model) if one.version == live), None)
        watched = msgspec.structs.replace(before, live=live, live_at=at, drift_to=None, quality_at=None)
    reference = None if live is None else store.find_reference(snapshot, before.model, live)
    return Served(before=before, watched=watched, reference=reference)


def _told_of_views(
    database: Database, served: Sequence[Served], endpoints: Iterable[Endpoint], stale: Sequence[StaleEvidence]
) -> tuple[list[Alert], list[Alert]]:
    """Alerts for stale views that models read, and the fallbacks that serve meanwhile."""
    with database.read() as snapshot:
        open_alerts = {alert.cause: alert for alert in store.list_open(snapshot) if alert.kind is AlertKind.STALE}
        now = snapshot.now()
    readers = _readers(served)
    found = [_stale_found(one, readers[one.view], now) for one in stale if one.view in readers]
    names = {one.view for one in stale}
    over = [
        Over(alert=alert, why=f"{alert.subject} is fresh again" if alert.subject not in names else "no watched model reads it")
        for alert in open_alerts.values()
        if alert.subject not in names or alert.subject not in readers
    ]
    plan = planned(found, over, open_alerts, now)
    needs_fallback = any(_differs(endpoint, names) for endpoint in endpoints)
    if not (plan.opened or plan.going_on or plan.closed or needs_fallback):
        return [], []
    teams = {one.watched.model: one.watched.team_id for one in served}

    def work(tx: Transaction) -> tuple[list[Alert], list[Alert]]:
        store.list_watched(tx)  # Workers take turns from here on.
        if needs_fallback:
            mark_stale(tx, SYSTEM, sorted(names))
        return made_true(tx, plan, lambda one: teams[one.models[0]])

    return database.write(work)


def _readers(served: Sequence[Served]) -> dict[str, list[ModelName]]:
    readers: dict[str, list[ModelName]] = {}
    for one in served:
        for view in sorted(set(one.reference.content.views.values())) if one.reference else ():
            readers.setdefault(view, []).append(one.watched.model)
    return readers


def _stale_found(stale: StaleEvidence, models: Sequence[ModelName], now: Instant) -> Found:
    since = now
    if stale.newest_event_at is not None and stale.promised_s is not None:
        since = Instant(stale.newest_event_at + round(stale.promised_s * SECOND))
    return Found(
        kind=AlertKind.STALE,
        subject=stale.view,
        model=None,
        version=None,
        models=tuple(models),
        title=stale_title(stale, now),
        since_at=since,
        evidence=stale,
    )


def _differs(endpoint: Endpoint, stale: set[str]) -> bool:
    """Whether the endpoint's fallback should serve for other views than it does."""
    detail = endpoint.coming or endpoint.live
    fallback = None if detail is None else detail.revision.traffic.fallback
    return fallback is not None and set(fallback.stale) != stale & set(fallback.views)


def _looked_at(database: Database, served: Served) -> tuple[list[Alert], list[Alert]]:
    """The alerts that a look at one model opened and closed. Nothing where it was looked at just now, or by another worker meanwhile."""
    ticked_at = served.watched.ticked_at
    if served.watched == served.before and ticked_at is not None and 0 <= database.clock.now() - ticked_at < LOOK_EVERY:
        return [], []
    with database.read() as snapshot:
        mine = [alert for alert in store.list_open(snapshot) if alert.model == served.watched.model]
        gone = [alert for alert in mine if alert.version != served.watched.live]
        open_alerts = {alert.cause: alert for alert in mine if alert not in gone}
        looked = _look(snapshot, served, open_alerts)
        now = snapshot.now()
    replaced = [Over(alert=alert, why=_replaced(served.watched, alert)) for alert in gone]
    plan = planned(looked.found, [*replaced, *looked.over], open_alerts, now)

    def work(tx: Transaction) -> tuple[list[Alert], list[Alert]]:
        standing = store.find_watched(tx, served.before.model)
        if standing != served.before:
            return [], []
        store.put_watched(tx, looked.watched)
        store.put_report(tx, looked.watched, looked.report)
        return made_true(tx, plan, lambda _: looked.watched.team_id)

    return database.write(work)


def _look(snapshot: Snapshot, served: Served, open_alerts: Mapping[str, Alert]) -> Looked:
    watched, reference = served.watched, served.reference
    if watched.live is None or reference is None:
        ticked = msgspec.structs.replace(watched, ticked_at=snapshot.now())
        return Looked(watched=ticked, report=Report(version=watched.live or 0))
    report = store.find_report(snapshot, watched.model)
    return look_at(snapshot, watched, reference, open_alerts, report if report and report.version == watched.live else None)


def _replaced(watched: Watched, alert: Alert) -> str:
    if watched.live is None:
        return "the model is no longer served"
    return f"v{watched.live} answers now, in place of v{alert.version}"
