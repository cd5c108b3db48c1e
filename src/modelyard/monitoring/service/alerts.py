"""Alerts for those who look, silence and acknowledge; and the plan of a look made true. Owns their ledger entries."""

import contextlib
from collections.abc import Callable, Iterable

import msgspec

from modelyard.access.domain import SYSTEM, Principal, Role, TeamId
from modelyard.access.service import require
from modelyard.core.clock import SECOND, Instant, duration_s
from modelyard.core.errors import InvalidInput
from modelyard.core.ids import new_id
from modelyard.features.domain import ViewNotFound
from modelyard.features.service import list_consumers
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.monitoring import store
from modelyard.monitoring.domain import (
    SEVERITY,
    Alert,
    AlertId,
    AlertIsClosed,
    AlertNotFound,
    Evidence,
    Noted,
    Silence,
    SkewEvidence,
    StaleEvidence,
    Suspect,
    Why,
)
from modelyard.monitoring.rules import causes
from modelyard.monitoring.rules.alerting import Found, Over, Plan, is_unbrought
from modelyard.monitoring.service.surroundings import context_of
from modelyard.registry.domain import ModelName
from modelyard.storage.database import Snapshot, Transaction

OPENED, CLOSED = "monitoring.alert_opened", "monitoring.alert_closed"
SILENCED, ACKNOWLEDGED = "monitoring.alert_silenced", "monitoring.alert_acknowledged"
LONGEST_SILENCE_S = 90 * 86400.0
MOST_LISTED = 200


def list_open_alerts(snapshot: Snapshot, principal: Principal) -> list[Alert]:
    """The open alerts that the caller may see, worst kind first, then newest."""
    found = [alert for alert in store.list_open(snapshot) if _sees(principal, alert)]
    return sorted(found, key=lambda alert: SEVERITY.index(alert.kind))


def list_alerts(
    snapshot: Snapshot, principal: Principal, model: ModelName | None = None, before: AlertId | None = None, limit: int = 50
) -> list[Alert]:
    """Alerts, open and closed, newest first, those before the id `before`; of a model, its own and those of views it reads."""
    found = store.list_alerts(snapshot, model, before, max(1, min(limit, MOST_LISTED)))
    return [alert for alert in found if _sees(principal, alert)]


def get_alert(snapshot: Snapshot, principal: Principal, alert: AlertId) -> Alert:
    """The alert of that id. Raises AlertNotFound, also for one that the caller may not see."""
    found = store.find_alert(snapshot, alert)
    if found is None or not _sees(principal, found):
        raise AlertNotFound(f"no alert {alert[:60]!r}", hint="see yard status for what is open")
    return found


def why_alert(snapshot: Snapshot, principal: Principal, alert: AlertId) -> Why:
    """What probably led to the alert, by what is known now, whether a rollback would help, and what to do. Raises AlertNotFound."""
    found = get_alert(snapshot, principal, alert)
    context = context_of(snapshot, found)
    ranked = causes.suspects(found, context, snapshot.now()) if found.is_open else found.suspects
    known = (*context.stale, *((found.evidence,) if isinstance(found.evidence, StaleEvidence) else ()))
    standing = {one.view: one for one in reversed(known)}  # what is known now goes before what the alert was opened with
    unbrought = [view for view, one in standing.items() if is_unbrought(one, snapshot.now())]
    advice, stale = causes.rollback(found, context, ranked), next(iter(causes.stale_views(found, ranked)), "")
    return Why(
        alert=found.id,
        suspects=ranked,
        rollback=advice,
        stale=stale,
        readers=_readers(snapshot, found, stale) if stale else (),
        next=causes.next_step(found, ranked, advice, unbrought) if found.is_open else "",
    )


def _readers(snapshot: Snapshot, alert: Alert, view: str) -> tuple[str, ...]:
    """What reads a view by its own account; where nothing has said so, the models of the alert."""
    with contextlib.suppress(ViewNotFound):
        if found := dict.fromkeys(one.name for one in list_consumers(snapshot, SYSTEM, view)):
            return tuple(found)
    return alert.models


def acknowledge_alert(tx: Transaction, principal: Principal, alert: AlertId, note: str = "") -> Alert:
    """The alert, noted as seen by the caller. Raises AlertNotFound and NotAllowed."""
    found = get_alert(tx, principal, alert)
    require(principal, Role.CONTRIBUTOR, found.team_id)
    noted = msgspec.structs.replace(found, noted=Noted(by=principal.id, at=tx.now(), note=note))
    store.update_alert(tx, noted)
    _record(tx, ACKNOWLEDGED, noted, principal, {"note": note})
    return noted


def silence_alert(tx: Transaction, principal: Principal, alert: AlertId, duration: str, why: str) -> Alert:
    """The alert, not to be told again for `duration` (such as `2h`). Raises AlertNotFound, AlertIsClosed, InvalidInput, NotAllowed."""
    found = get_alert(tx, principal, alert)
    require(principal, Role.CONTRIBUTOR, found.team_id)
    if not found.is_open:
        raise AlertIsClosed(f"{found.id} is over: {found.closed_why}", hint="nothing more will be told about it")
    if not why.strip():
        raise InvalidInput("a silence needs a reason", hint='say why: --why "known outage of the source"')
    seconds = duration_s(duration)
    if not 0 < seconds <= LONGEST_SILENCE_S:
        raise InvalidInput(f"a silence of {duration!r} is not between a moment and 90 days", hint="such as 2h or 3d")
    until = Instant(tx.now() + round(seconds * SECOND))
    silent = msgspec.structs.replace(found, silence=Silence(by=principal.id, until_at=until, why=why.strip()))
    store.update_alert(tx, silent)
    _record(tx, SILENCED, silent, principal, {"until_at": until, "why": why.strip()})
    return silent


def made_true(tx: Transaction, plan: Plan, teams: Callable[[Found], TeamId]) -> tuple[list[Alert], list[Alert]]:
    """The alerts that `plan` opened and closed, each with its ledger entry, which is also the event that triggers follow."""
    for alert in plan.going_on:
        _go_on(tx, alert)
    closed = [_close(tx, over) for over in plan.closed]
    opened = [_open(tx, found, teams(found)) for found in plan.opened]
    return [alert for alert in opened if alert is not None], [alert for alert in closed if alert is not None]


def _go_on(tx: Transaction, seen: Alert) -> None:
    """Writes what a look saw, and leaves alone what people have done to the alert meanwhile."""
    standing = store.find_alert(tx, seen.id)
    if standing is None or not standing.is_open:
        return
    news = {name: getattr(seen, name) for name in ("title", "since_at", "seen_at", "evidence", "models")}
    store.update_alert(tx, msgspec.structs.replace(standing, **news))


def _open(tx: Transaction, found: Found, team: TeamId) -> Alert | None:
    alert = Alert(
        id=AlertId(new_id("alt")),
        team_id=team,
        kind=found.kind,
        subject=found.subject,
        model=found.model,
        version=found.version,
        models=found.models,
        title=found.title,
        since_at=found.since_at,
        opened_at=tx.now(),
        seen_at=tx.now(),
        evidence=found.evidence,
    )
    ranked = causes.suspects(alert, context_of(tx, alert), tx.now())
    alert = msgspec.structs.replace(alert, suspects=ranked)
    if not store.insert_alert(tx, alert):
        return None
    _record(tx, OPENED, alert, SYSTEM, {"since_at": alert.since_at, "evidence": _lasting(alert.evidence), "suspects": _words(ranked)})
    return alert


def _lasting(evidence: Evidence) -> dict[str, object]:
    """The evidence without keys and values of an entity: an entry stays, and whose they are may ask for their erasure."""
    said: dict[str, object] = msgspec.to_builtins(evidence)
    if isinstance(evidence, SkewEvidence) and evidence.example is not None:
        shown = msgspec.to_builtins(evidence.example)
        said["example"] = {name: value for name, value in shown.items() if name not in ("keys", "logged", "recomputed")}
    return said


def _words(suspects: Iterable[Suspect]) -> list[str]:
    return [f"{one.kind} {one.subject}: {one.why}" for one in suspects]


def _close(tx: Transaction, over: Over) -> Alert | None:
    standing = store.find_alert(tx, over.alert.id)
    if standing is None or not standing.is_open:
        return None
    closed = msgspec.structs.replace(standing, closed_at=tx.now(), closed_why=over.why)
    store.update_alert(tx, closed)
    _record(tx, CLOSED, closed, SYSTEM, {"why": over.why})
    return closed


def _record(tx: Transaction, kind: str, alert: Alert, actor: Principal, data: dict[str, object]) -> None:
    common = {"kind": alert.kind.value, "model": alert.model, "models": list(alert.models), "version": alert.version}
    about = {"about": alert.subject, "title": alert.title}
    record(
        tx,
        NewEntry(type=kind, subject=f"alert:{alert.id}", actor=actor.id, data={**common, **about, **data}, team_id=alert.team_id),
    )


def _sees(principal: Principal, alert: Alert) -> bool:
    return principal.may(Role.VIEWER, alert.team_id)
