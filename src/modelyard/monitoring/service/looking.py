"""Looking at one model: drift, quality and performance of its live version, as a plan for its alerts and a report.

Reads summaries, never rows. Owns when each monitor looks and how much of its budget a look spends.
"""

from collections.abc import Mapping, Sequence

import msgspec

from modelyard.core.clock import SECOND, Instant
from modelyard.monitoring import store
from modelyard.monitoring.domain import (
    PREDICTION,
    Alert,
    AlertKind,
    ColumnQuality,
    Day,
    Degradation,
    DriftEvidence,
    Level,
    Measured,
    NoOutcomes,
    OutcomeCell,
    Performance,
    QualityEvidence,
    Report,
    VersionReference,
    Watched,
    cause_of,
)
from modelyard.monitoring.rules import alerting
from modelyard.monitoring.rules.alerting import Found, Over
from modelyard.monitoring.rules.degradation import DAY_US, MEMORY_US, degradation
from modelyard.monitoring.rules.discoveries import spent
from modelyard.monitoring.rules.drift import drifted, scan
from modelyard.monitoring.rules.outcomes import Outcome, metric_of, observations, together
from modelyard.monitoring.rules.quality import column_quality, raised
from modelyard.serving.domain import Arm
from modelyard.storage.database import Snapshot

JUDGED = (Arm.CHAMPION.value, Arm.CANARY.value)
LAST_WHOLE_DAY = 7 * DAY_US
"""How far back the last whole day is looked for."""


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What looks at a model found, and the model with its looks noted."""

    watched: Watched
    report: Report
    found: tuple[Found, ...] = ()
    over: tuple[Over, ...] = ()


def look_at(
    snapshot: Snapshot, watched: Watched, reference: VersionReference, open_alerts: Mapping[str, Alert], report: Report | None
) -> Looked:
    """What all monitors of a model find now; each looks only where there is something new to see."""
    looked = Looked(watched=watched, report=report or Report(version=reference.version))
    for look in (_look_for_drift, _look_at_quality, _look_at_performance):
        looked = look(snapshot, looked, reference, open_alerts)
    return msgspec.structs.replace(looked, watched=msgspec.structs.replace(looked.watched, ticked_at=snapshot.now()))


def _look_for_drift(snapshot: Snapshot, looked: Looked, reference: VersionReference, open_alerts: Mapping[str, Alert]) -> Looked:
    watched, declared = looked.watched, looked.watched.drift
    end = Instant(snapshot.now() // DAY_US * DAY_US)
    if declared is None or (watched.drift_to is not None and end <= watched.drift_to):
        return looked
    days = store.list_days(snapshot, watched.model, reference.version, Instant(end - max(declared.window_us, DAY_US)), end)
    if not days:
        return looked
    scanned = scan(days, reference.content.reference, declared.columns)
    alert = open_alerts.get(cause_of(AlertKind.DRIFT, watched.model))
    known = {one.column for one in alert.evidence.columns} if alert and isinstance(alert.evidence, DriftEvidence) else set()
    level = spent((end - (watched.drift_to or end - DAY_US)) / SECOND)
    new = drifted([one for one in scanned if one.column not in known], level, declared.min_effect)
    columns = alerting.drift_columns(scanned, new, alert, declared.min_effect)
    report = msgspec.structs.replace(looked.report, drift=scanned, drift_since_at=days[-1].since_at, drift_until_at=end)
    noted = msgspec.structs.replace(looked, watched=msgspec.structs.replace(watched, drift_to=end), report=report)
    if not columns:
        return _over(noted, alert, "every column is distributed as in training again")
    found = Found(
        kind=AlertKind.DRIFT,
        subject="",
        model=watched.model,
        version=reference.version,
        models=(watched.model,),
        title=alerting.drift_title(columns, len(scanned)),
        since_at=min(one.since_at for one in columns),
        evidence=DriftEvidence(columns=columns),
    )
    return _found(noted, found)


def _look_at_quality(snapshot: Snapshot, looked: Looked, reference: VersionReference, open_alerts: Mapping[str, Alert]) -> Looked:
    watched, declared, now = looked.watched, looked.watched.quality, snapshot.now()
    if declared is None:
        return looked
    today = Instant(now // DAY_US * DAY_US)
    days = store.list_days(snapshot, watched.model, reference.version, Instant(today - LAST_WHOLE_DAY), Instant(now + 1))
    if not days:
        return looked
    names = [column.name for column in reference.content.reference.columns if column.name != PREDICTION]
    columns = [name for name in names if declared.columns is None or name in declared.columns]
    whole = next((day for day in days if day.since_at < today), None)
    at_once, by_day = _values(days[0], whole, reference, columns)
    alert = open_alerts.get(cause_of(AlertKind.QUALITY, watched.model))
    evidence = alert.evidence.columns if alert and isinstance(alert.evidence, QualityEvidence) else ()
    known = {(one.column, one.kind) for one in evidence}
    level = spent((now - (watched.quality_at or now - DAY_US)) / SECOND) / 2
    new = raised([one for one in at_once if (one.column, one.kind) not in known], level, declared.min_change)
    if watched.quality_at is None or watched.quality_at < today:
        level = spent(DAY_US / SECOND) / 2
        new += raised([one for one in by_day if (one.column, one.kind) not in known], level, declared.min_change)
    findings = (*at_once, *by_day)
    bad = alerting.quality_columns(findings, new, alert, declared.min_change)
    report = msgspec.structs.replace(looked.report, quality=findings, quality_at=now)
    noted = msgspec.structs.replace(looked, watched=msgspec.structs.replace(watched, quality_at=now), report=report)
    if not bad:
        return _over(noted, alert, "the share of bad values is as in training again")
    found = Found(
        kind=AlertKind.QUALITY,
        subject="",
        model=watched.model,
        version=reference.version,
        models=(watched.model,),
        title=alerting.quality_title(bad),
        since_at=whole.since_at if whole is not None and any(one in by_day for one in bad) else days[0].since_at,
        evidence=QualityEvidence(columns=bad),
    )
    return _found(noted, found)


def _values(
    newest: Day, whole: Day | None, reference: VersionReference, columns: Sequence[str]
) -> tuple[tuple[ColumnQuality, ...], tuple[ColumnQuality, ...]]:
    """What the values come to: those that training never had, on the newest day up to now; the others on the last whole day.

    A morning is no random part of a day: a share that training had as well is held against whole days only.
    """
    now = column_quality(newest.summary, reference.content.reference, columns)
    last = () if whole is None else column_quality(whole.summary, reference.content.reference, columns)
    return tuple(one for one in now if not one.reference_share), tuple(one for one in last if one.reference_share)


def _look_at_performance(snapshot: Snapshot, looked: Looked, reference: VersionReference, open_alerts: Mapping[str, Alert]) -> Looked:
    watched = looked.watched
    end = Instant(snapshot.now() // DAY_US * DAY_US)
    if not watched.performances or (watched.outcomes_to is not None and end <= watched.outcomes_to):
        return looked
    noted = msgspec.structs.replace(looked, watched=msgspec.structs.replace(watched, outcomes_to=end))
    found: list[Degradation] = []
    measured: list[Measured] = []
    for declared in watched.performances:
        level = reference.level(declared.metric)
        if level is None:
            continue
        cells = _cells(snapshot, noted, declared, end)
        with_metric = _measured(declared, cells)
        measured += [with_metric] if with_metric else []
        noted, one = _judged(snapshot, noted, (level, declared), cells, open_alerts)
        found += [one] if one else []
    report = msgspec.structs.replace(noted.report, degradations=tuple(found), measured=tuple(measured))
    return msgspec.structs.replace(noted, report=report)


def _judged(
    snapshot: Snapshot, looked: Looked, against: tuple[Level, Performance], cells: Sequence[Outcome], open_alerts: Mapping[str, Alert]
) -> tuple[Looked, Degradation | None]:
    """What the sequential test says of one declared loss, with the alert that is open about it or was closed last."""
    watched, (level, declared) = looked.watched, against
    cause = cause_of(AlertKind.DEGRADATION, watched.model, declared.metric)
    alert = open_alerts.get(cause)
    days = observations(declared.metric, cells)
    # After an alert is over, what led to it counts no more.
    armed = Instant(0) if alert is not None else store.last_closed_at(snapshot, cause) or Instant(0)
    found = degradation(level, declared, [day for day in days if day.since_at >= armed])
    if alert is not None and alerting.level_has_recovered(level, declared, days, alert.opened_at):
        return _over(looked, alert, f"{declared.metric} {alerting.RECOVERED}"), found
    if found is None or not found.is_declared:
        return looked, found
    return _found(looked, alerting.degradation_found(watched.model, looked.report.version, found, declared)), found


def _cells(snapshot: Snapshot, looked: Looked, declared: Performance, end: Instant) -> tuple[Outcome, ...]:
    """The outcomes of the live version's own answers, day by day, oldest first: of days that are closed."""
    watched = looked.watched
    since = end - max(declared.window_us, MEMORY_US) - DAY_US
    since = max(since, (watched.live_at or 0) // DAY_US * DAY_US)
    cells = store.list_outcomes(snapshot, watched.model, Instant(since), looked.report.version)
    return by_day([cell for cell in cells if cell.arm in JUDGED and cell.until_at <= end])


def by_day(cells: Sequence[OutcomeCell]) -> tuple[Outcome, ...]:
    """Cells of several arms and versions, oldest first, as one outcome a day."""
    grouped: dict[Instant, list[OutcomeCell]] = {}
    for cell in cells:
        grouped.setdefault(cell.since_at, []).append(cell)
    return tuple(_of_day(parts) for _, parts in sorted(grouped.items()))


def _of_day(parts: Sequence[OutcomeCell]) -> Outcome:
    first = parts[0]
    if len(parts) == 1:
        return Outcome(since_at=first.since_at, until_at=first.until_at, outcomes=first.outcomes, measured=first.measured)
    return Outcome(since_at=first.since_at, until_at=first.until_at, outcomes=together([one.outcomes for one in parts]))


def _measured(declared: Performance, cells: Sequence[Outcome]) -> Measured | None:
    """The metric over the declared window as a whole; `None` while there are too few outcomes."""
    if not cells:
        return None
    recent = [cell.outcomes for cell in cells if cell.until_at > cells[-1].until_at - declared.window_us]
    try:
        return metric_of(declared.metric, together(recent))
    except NoOutcomes:
        return None


def _found(looked: Looked, found: Found) -> Looked:
    return msgspec.structs.replace(looked, found=(*looked.found, found))


def _over(looked: Looked, alert: Alert | None, why: str) -> Looked:
    if alert is None:
        return looked
    return msgspec.structs.replace(looked, over=(*looked.over, Over(alert=alert, why=why)))
