"""Skew: what was read online and logged, held against the recomputation from source. Owns when, and what follows.

A finished day of a model is measured once, when the log is complete up to its end. Cost grows with the new rows.
"""

import logging
from collections.abc import Iterable, Sequence

import msgspec

from modelyard.access.domain import Principal, Role
from modelyard.core.clock import Instant
from modelyard.core.errors import ModelyardError
from modelyard.monitoring import store
from modelyard.monitoring.domain import Alert, AlertKind, ModelNotMonitored, SkewDue, ViewSkew, Watched, cause_of
from modelyard.monitoring.rules.alerting import MOST_UNVERIFIABLE, Found, Over, Plan, planned, skew_found, unverified_found
from modelyard.monitoring.rules.degradation import DAY_US
from modelyard.monitoring.service.alerts import made_true
from modelyard.monitoring.service.comparing import SAMPLE, Span, counted
from modelyard.monitoring.service.forgetting import without_erased
from modelyard.registry.domain import ModelName
from modelyard.serving import service as serving
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.storage.tables import Tables

LOG = logging.getLogger("modelyard.monitoring")
KINDS = (AlertKind.SKEW, AlertKind.UNVERIFIED)
MONTH_US = 31 * DAY_US
MOST_DAYS = 366


def measure_due(database: Database, tables: Tables) -> int:
    """Measures every watched model's days that are over and completely in the log, each once; how many counts were made.

    The first call after a day's end notes when that was on the machine's clock: the log is complete up to there once all
    that was answered before is in it. The worker calls it again and again.
    """
    with database.read() as snapshot:
        end = Instant(snapshot.now() // DAY_US * DAY_US)
        behind = [one for one in store.list_watched(snapshot) if one.skew_to is None or one.skew_to < end]
        complete = serving.log_position(snapshot).complete_through_at if behind else Instant(0)
    made = 0
    for watched in behind:
        due = watched.skew_due
        if due is None:
            database.write(lambda tx, watched=watched: _note_due(tx, watched, end))  # type: ignore[misc] # bound now
        elif complete >= due.seen_wall_at:
            try:
                made += _measured_up_to(database, tables, watched, due.until_at)
            except ModelyardError as error:
                LOG.warning("the skew of %s was not measured: %s", watched.model, error)
    return made


def _note_due(tx: Transaction, before: Watched, end: Instant) -> None:
    standing = store.find_watched(tx, before.model)
    if standing is not None and standing.skew_due is None:
        store.put_watched(tx, msgspec.structs.replace(standing, skew_due=SkewDue(until_at=end, seen_wall_at=tx.wall())))


def _measured_up_to(database: Database, tables: Tables, watched: Watched, until: Instant) -> int:
    found = counted(database, tables, Span(model=watched.model, since=watched.skew_to or Instant(0), until=until))
    with database.read() as snapshot:
        counts = without_erased(snapshot, found)
        plan = _plan(snapshot, watched, counts)

    def work(tx: Transaction) -> int:
        standing = store.find_watched(tx, watched.model)
        if standing is None or standing.skew_to != watched.skew_to:
            return 0  # Another worker was first.
        if without_erased(tx, counts) != counts:
            return 0  # An entity was erased in this moment, and the plan may show it: the next tick measures again.
        store.put_skew(tx, watched.team_id, counts)
        store.put_watched(tx, msgspec.structs.replace(standing, skew_to=until, skew_due=None))
        made_true(tx, plan, lambda _: watched.team_id)
        return len(counts)

    return database.write(work)


def _plan(snapshot: Snapshot, watched: Watched, counts: Sequence[ViewSkew]) -> Plan:
    """An alert for each view of which a value differed, and one for each of which too many could not be verified in a month.

    One that is open is over when a later measurement finds none, or the month holds fewer.
    """
    open_alerts: dict[str, Alert] = {
        alert.cause: alert for alert in store.list_open(snapshot) if alert.kind in KINDS and alert.model == watched.model
    }
    month = _month(snapshot, watched, counts)
    found: list[Found] = []
    over: list[Over] = []
    for view in sorted({one.view for one in counts}):
        mine = [one for one in counts if one.view == view]
        skew = open_alerts.get(cause_of(AlertKind.SKEW, watched.model, view))
        if any(one.different for one in mine):
            found.append(skew_found(watched, view, mine))
        elif skew is not None and any(one.compared for one in mine):
            over.append(Over(alert=skew, why=f"{view} reads online as its source says again"))
        unverified = unverified_found(watched, view, [one for one in month if one.view == view])
        standing = open_alerts.get(cause_of(AlertKind.UNVERIFIED, watched.model, view))
        if unverified is not None:
            found.append(unverified)
        elif standing is not None:
            over.append(Over(alert=standing, why=f"all but {MOST_UNVERIFIABLE:.0%} of the reads of {view} in a month are verified"))
    return planned(found, over, open_alerts, snapshot.now())


def _month(snapshot: Snapshot, watched: Watched, counts: Sequence[ViewSkew]) -> list[ViewSkew]:
    """The days of a month that ends with `counts`, those as they were just measured."""
    last = max((one.until_at for one in counts), default=Instant(0))
    kept = store.list_skew_days(snapshot, watched.model, since=Instant(last - MONTH_US))
    days = {(one.view, one.until_at): one for one in (*kept, *counts) if one.until_at > last - MONTH_US}
    return list(days.values())


def measure_skew(database: Database, tables: Tables, span: Span, *, sample: int = SAMPLE) -> tuple[ViewSkew, ...]:
    """Every logged vector of `span` against its recomputation, by view and day, counted and kept; of many, a sample.

    A vector is what one prediction read of one view. It is recomputed as it was to be read: at the prediction's instant,
    of what the view had been brought online up to by then. A second call over the same days replaces the first. Of a
    version and day with more than `sample` vectors, about so many are looked at. Raises ModelNotMonitored.
    """
    with database.read() as snapshot:
        watched = store.find_watched(snapshot, span.model)
        if watched is None:
            raise ModelNotMonitored(f"{span.model} is not watched", hint="declare monitors, then yard apply")
    counts = counted(database, tables, span, sample)

    def work(tx: Transaction) -> tuple[ViewSkew, ...]:
        kept = without_erased(tx, counts)
        store.put_skew(tx, watched.team_id, kept)
        return kept

    return database.write(work)


def list_skew(snapshot: Snapshot, principal: Principal, model: ModelName | None = None, view: str | None = None) -> list[ViewSkew]:
    """What all comparisons found together, by model and view, of the models that the caller may see; without examples."""
    return _visible(snapshot, principal, store.sum_skew(snapshot, model, view))


def list_skew_days(
    snapshot: Snapshot, principal: Principal, model: ModelName | None = None, view: str | None = None, days: int = 31
) -> list[ViewSkew]:
    """What comparisons found by day over the last `days`, oldest first, with an example of each cause."""
    since = Instant((snapshot.now() // DAY_US - max(1, min(days, MOST_DAYS))) * DAY_US)
    return _visible(snapshot, principal, store.list_skew_days(snapshot, model, view, since))


def list_unproven(snapshot: Snapshot, principal: Principal) -> list[ViewSkew]:
    """The views of which more than 1% of the vectors of the last month could not be verified, by model: a failure."""
    since = Instant(snapshot.now() - MONTH_US)
    found = _visible(snapshot, principal, store.sum_skew(snapshot, since=since))
    return [one for one in found if one.unverifiable_share > MOST_UNVERIFIABLE]


def _visible(snapshot: Snapshot, principal: Principal, found: Iterable[ViewSkew]) -> list[ViewSkew]:
    seen = {one.model for one in store.list_watched(snapshot) if principal.may(Role.VIEWER, one.team_id)}
    return [one for one in found if one.model in seen]
