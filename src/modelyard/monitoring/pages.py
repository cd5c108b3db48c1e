"""Monitoring's pages: every watched model, one model, one alert; and what monitoring says on a model's page. Owns their contexts."""

from collections.abc import Sequence

import msgspec

from modelyard.access.domain import Principal, PrincipalId, Role
from modelyard.access.service import principal_names
from modelyard.core.clock import Instant
from modelyard.monitoring import service
from modelyard.monitoring.charts import performance_chart, shape_chart
from modelyard.monitoring.domain import (
    SEVERITY,
    Alert,
    AlertId,
    ColumnDrift,
    ColumnQuality,
    Degradation,
    DegradationEvidence,
    DriftEvidence,
    Level,
    Measured,
    ModelMonitoring,
    Performance,
    QualityEvidence,
    Report,
    SkewEvidence,
    StaleEvidence,
    UnverifiedEvidence,
    ViewSkew,
    ViewState,
    Why,
)
from modelyard.monitoring.rules.pictures import Part
from modelyard.monitoring.words import UNREFERENCED, UNSERVED, WELL, WORDS
from modelyard.registry.domain import ModelName
from modelyard.storage.database import Snapshot, Transaction
from modelyard.web.charts import Chart
from modelyard.web.pages import Action, Done, Nav, Page, action, for_ids, page
from modelyard.web.parts import Chip, Moment, Tone

PATH = "/monitoring"
SPANS = (30, 90, 365)
FEW_ALERTS = 8


class Stand(msgspec.Struct, frozen=True):
    """How something stands, as a shape and a word."""

    tone: Tone
    word: str


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """A watched model in the list, with the figures that are compared: its metric, its furthest column, its alerts."""

    standing: ModelMonitoring
    stand: Stand
    measured: Measured | None
    level: Level | None
    furthest: ColumnDrift | None
    drifting: int
    columns: int
    stale: int


class MonitoringPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `monitoring/models.html`, worst first. `sentence` answers whether anything needs a look."""

    sentence: str
    rows: tuple[ModelRow, ...]
    alerts: tuple[Alert, ...]
    stands: dict[str, Stand]


class ColumnRow(msgspec.Struct, frozen=True, kw_only=True):
    """A column in the drift table: its distances, its two distributions, and whether it counts as drifted."""

    found: ColumnDrift
    stand: Stand
    parts: tuple[Part, ...]


class ModelPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `monitoring/model.html`."""

    standing: ModelMonitoring
    stand: Stand
    sentence: str
    level: Level | None
    measured: Measured | None
    declared: Performance | None
    degradation: Degradation | None
    spans: tuple[Chip, ...]
    performance: Chart | None
    outcomes: int
    fallback: int
    columns: tuple[ColumnRow, ...]
    column: Chart | None
    quality: tuple[ColumnQuality, ...]
    views: tuple[ViewState, ...]
    skews: tuple[ViewSkew, ...]
    skew_to: Instant | None
    alerts: tuple[Alert, ...]
    past: tuple[Moment, ...]
    longer_past: tuple[Moment, ...]
    stands: dict[str, Stand]
    report: Report | None


class AlertPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `monitoring/alert.html`. `may_act` says whether the viewer may silence and acknowledge it.

    `names` says what people call whoever saw or silenced it.
    """

    alert: Alert
    names: dict[PrincipalId, str]
    stand: Stand
    why: Why
    drift: tuple[ColumnDrift, ...]
    quality: tuple[ColumnQuality, ...]
    loss: Degradation | None
    stale: StaleEvidence | None
    skew: SkewEvidence | None
    unverified: UnverifiedEvidence | None
    is_silent: bool
    may_act: bool


def show_models(snapshot: Snapshot, principal: Principal) -> MonitoringPage:
    """Every watched model, worst first, and the open alerts."""
    rows = sorted((_row(one) for one in service.list_monitoring(snapshot, principal)), key=_badness)
    alerts = tuple(service.list_open_alerts(snapshot, principal))
    return MonitoringPage(sentence=_said(rows, alerts), rows=tuple(rows), alerts=alerts, stands=_stands())


def show_model(snapshot: Snapshot, principal: Principal, model: ModelName, days: int = 90, column: str = "") -> ModelPage:
    """One model: its performance against what was approved, its columns, its views, its alerts. Raises ModelNotMonitored."""
    span = max(2, min(days, 3 * 366))
    shown = service.show_monitoring(snapshot, principal, model, span)
    standing, report = shown.standing, shown.standing.report
    row = _row(standing)
    columns = tuple(_column(found, standing, shown.shapes.get(found.column, ())) for found in _by_distance(report))
    chosen = next((one for one in columns if one.found.column == column), columns[0] if columns else None)
    past = tuple(_moment(alert) for alert in shown.alerts if not alert.is_open)
    return ModelPage(
        standing=standing,
        stand=row.stand,
        sentence=_sentence(row),
        level=shown.level,
        measured=row.measured,
        declared=next(iter(standing.watched.performances), None),
        degradation=next(iter(report.degradations), None) if report else None,
        spans=tuple(Chip(f"{n} d" if n < 365 else "1 y", f"{PATH}/{model}?days={n}", is_on=n == days) for n in SPANS),
        performance=performance_chart(shown),
        outcomes=shown.outcomes,
        fallback=shown.fallback,
        columns=columns,
        column=shape_chart(chosen.found.column, chosen.parts) if chosen and chosen.parts else None,
        quality=_worst_quality(report),
        views=standing.views,
        skews=tuple(service.list_skew(snapshot, principal, model)),
        skew_to=standing.watched.skew_to,
        alerts=tuple(sorted(standing.alerts, key=lambda one: SEVERITY.index(one.kind))),
        past=past[:FEW_ALERTS],
        longer_past=past[FEW_ALERTS:],
        stands=_stands(),
        report=report,
    )


def show_alert(snapshot: Snapshot, principal: Principal, alert: AlertId) -> AlertPage:
    """One alert: what was found, why probably, and whether a rollback would help. Raises AlertNotFound."""
    found = service.get_alert(snapshot, principal, alert)
    evidence = found.evidence
    return AlertPage(
        alert=found,
        names=principal_names(snapshot, {one.by for one in (found.noted, found.silence) if one}),
        stand=_alert_stand(found),
        why=service.why_alert(snapshot, principal, alert),
        drift=evidence.columns if isinstance(evidence, DriftEvidence) else (),
        quality=evidence.columns if isinstance(evidence, QualityEvidence) else (),
        loss=evidence.found if isinstance(evidence, DegradationEvidence) else None,
        stale=evidence if isinstance(evidence, StaleEvidence) else None,
        skew=evidence if isinstance(evidence, SkewEvidence) else None,
        unverified=evidence if isinstance(evidence, UnverifiedEvidence) else None,
        is_silent=found.is_silent(snapshot.now()),
        may_act=found.is_open and principal.may(Role.CONTRIBUTOR, found.team_id),
    )


def silence(tx: Transaction, principal: Principal, alert: AlertId, duration: str, why: str) -> Done:
    """Silences an alert for a while, with a reason."""
    service.silence_alert(tx, principal, alert, duration, why)
    return Done(f"/alerts/{alert}", f"It is not told again for {duration}.")


def acknowledge(tx: Transaction, principal: Principal, alert: AlertId, note: str = "") -> Done:
    """Notes that the viewer has seen an alert."""
    service.acknowledge_alert(tx, principal, alert, note)
    return Done(f"/alerts/{alert}", "Noted that you have seen it.")


def _row(standing: ModelMonitoring) -> ModelRow:
    report = standing.report
    drift = [one for alert in standing.alerts if isinstance(alert.evidence, DriftEvidence) for one in alert.evidence.columns]
    measured = next(iter(report.measured), None) if report else None
    return ModelRow(
        standing=standing,
        stand=_model_stand(standing),
        measured=measured,
        level=next((one for one in standing.levels if measured and one.metric == measured.metric), None),
        furthest=next(iter(_by_distance(report)), None),
        drifting=len(drift),
        columns=len(report.drift) if report else 0,
        stale=sum(one.is_stale for one in standing.views),
    )


def _model_stand(standing: ModelMonitoring) -> Stand:
    if standing.alerts:
        return Stand(*WORDS[min((alert.kind for alert in standing.alerts), key=SEVERITY.index)])
    if standing.watched.live is None:
        return Stand(*UNSERVED)
    return Stand(*(WELL if standing.levels or standing.report else UNREFERENCED))


def _alert_stand(alert: Alert) -> Stand:
    return Stand(*WORDS[alert.kind]) if alert.is_open else Stand("idle", "Over")


def _stands() -> dict[str, Stand]:
    return {kind.value: Stand(*words) for kind, words in WORDS.items()}


def _badness(row: ModelRow) -> tuple[int, int, str]:
    worst = min((SEVERITY.index(alert.kind) for alert in row.standing.alerts), default=len(SEVERITY))
    return worst, -len(row.standing.alerts), row.standing.watched.model


def _said(rows: Sequence[ModelRow], alerts: Sequence[Alert]) -> str:
    if not rows:
        return "No model is watched yet."
    ill = sum(bool(row.standing.alerts) for row in rows)
    if not ill:
        return f"All {len(rows)} watched models are as they were approved." if len(rows) > 1 else "The watched model is as it was approved."
    return f"{ill} of {len(rows)} watched models need a look: {alerts[0].title if alerts else ''}."


def _sentence(row: ModelRow) -> str:
    live = row.standing.watched.live
    if live is None:
        return "No version of it answers now, so there is nothing to watch."
    if row.standing.alerts:
        worst = min(row.standing.alerts, key=lambda one: SEVERITY.index(one.kind))
        return f"v{live}: {worst.title}."
    if row.measured is None:
        return f"v{live} answers; its outcomes are not known yet."
    return f"v{live} answers at {row.measured.metric} {row.measured.value:.3f} and nothing about it has changed beyond chance."


def _by_distance(report: Report | None) -> list[ColumnDrift]:
    return sorted(report.drift, key=lambda one: -one.effect) if report else []


def _column(found: ColumnDrift, standing: ModelMonitoring, parts: tuple[Part, ...]) -> ColumnRow:
    columns = [one for alert in standing.alerts if isinstance(alert.evidence, DriftEvidence) for one in alert.evidence.columns]
    if found.column in {one.column for one in columns}:
        return ColumnRow(found=found, stand=Stand("warn", "Drifted"), parts=parts)
    declared = standing.watched.drift
    is_near = declared is None or found.effect < declared.min_effect
    return ColumnRow(found=found, stand=Stand("good", "As in training") if is_near else Stand("idle", "Within chance"), parts=parts)


def _worst_quality(report: Report | None) -> tuple[ColumnQuality, ...]:
    found = [one for one in report.quality if one.share > 0 or one.reference_share > 0] if report else []
    return tuple(sorted(found, key=lambda one: one.reference_share - one.share))


def _moment(alert: Alert) -> Moment:
    return Moment(at=Instant(alert.opened_at), title=alert.title, tone="idle", href=f"/alerts/{alert.id}")


PAGES: tuple[Page, ...] = (
    page(PATH, show_models, "monitoring/models.html", nav=Nav("Run", "Monitoring", 60)),
    page(f"{PATH}/{{model}}", show_model, "monitoring/model.html"),
    for_ids("alt", page("/alerts/{alert}", show_alert, "monitoring/alert.html")),
)
ACTIONS: tuple[Action, ...] = (
    action("/alerts/{alert}/silence", silence),
    action("/alerts/{alert}/acknowledgement", acknowledge),
)
