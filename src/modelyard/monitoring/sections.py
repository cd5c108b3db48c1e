"""What monitoring says on others' pages: a model's state, performance and open alerts, and a view's parity. Owns the words, no figure."""

from modelyard.access.domain import Principal
from modelyard.features.sections import Parity
from modelyard.monitoring.charts import performance_chart
from modelyard.monitoring.domain import SEVERITY, AlertKind, ModelNotMonitored
from modelyard.monitoring.service import Shown, list_skew, show_monitoring
from modelyard.monitoring.words import WELL, WORDS
from modelyard.registry.domain import ModelName
from modelyard.registry.sections import Cell, Contribution, Fact, Phrase, Section, Table
from modelyard.storage.database import Snapshot
from modelyard.web.parts import Link

DAYS = 90


def on_views_page(snapshot: Snapshot, principal: Principal, view: str) -> tuple[Parity, ...]:
    """How the online reads of a view compare with its source, by the model that read it."""
    return tuple(
        Parity(
            reader=one.model,
            href=f"/monitoring/{one.model}",
            compared=one.compared,
            different=one.different,
            unverifiable=one.unverifiable,
            until_at=one.until_at,
        )
        for one in list_skew(snapshot, principal, view=view)
    )


def on_models_page(snapshot: Snapshot, principal: Principal, model: ModelName) -> Contribution:
    """Monitoring's contribution to a model's page; empty for a model that is not watched."""
    try:
        shown = show_monitoring(snapshot, principal, model, DAYS)
    except ModelNotMonitored:
        return Contribution()
    alerts = sorted(shown.standing.alerts, key=lambda one: SEVERITY.index(one.kind))
    state = WORDS[alerts[0].kind] if alerts else WELL if shown.standing.watched.live is not None else None
    links = (Link("Monitoring", f"/monitoring/{model}"),)
    return Contribution(state=state, phrases=_phrases(shown), sections=_sections(shown, alerts != []), tools=links)


def _phrases(shown: Shown) -> tuple[Phrase, ...]:
    report, level = shown.standing.report, shown.level
    measured = next(iter(report.measured), None) if report else None
    if measured is None or level is None:
        return ()
    error = 1.96 * level.standard_error
    band = f" (approved at {level.value:.3f}, band {level.value - error:.3f} to {level.value + error:.3f})."
    return Phrase(f" It is at {measured.metric} "), Phrase(f"{measured.value:.3f}", True), Phrase(band)


def _sections(shown: Shown, has_alerts: bool) -> tuple[Section, ...]:
    model = shown.standing.watched.model
    found = [
        Section(
            id="performance",
            title="Performance",
            order=20,
            note=f"{shown.metric} by day" if shown.metric else "",
            chart=performance_chart(shown),
            live="alert",
            empty="No outcome yet: labels that are told after the predictions make this chart",
            command=f"yard log labels {model} labels.parquet",
        )
    ]
    if has_alerts:
        found.append(_alerts(shown))
    found.append(_watching(shown))
    return tuple(found)


def _alerts(shown: Shown) -> Section:
    alerts = sorted(shown.standing.alerts, key=lambda one: SEVERITY.index(one.kind))
    rows = tuple(
        (Cell(text=WORDS[one.kind][1], tone=WORDS[one.kind][0]), Cell(text=one.title, href=f"/alerts/{one.id}"), Cell(at=one.since_at))
        for one in alerts
    )
    return Section(id="alerts", title="Open alerts", order=10, live="alert", table=Table(heads=("What", "Alert", "Since"), rows=rows))


def _watching(shown: Shown) -> Section:
    report = shown.standing.report
    drifting = [one for one in shown.standing.alerts if one.kind is AlertKind.DRIFT]
    stale = [view.view for view in shown.standing.views if view.is_stale]
    columns = "as in training" if report and report.drift else "not looked at yet"
    looked = shown.standing.watched.ticked_at
    views = "fresh" if shown.standing.views else "none"
    facts = (
        Fact(term="Columns", value=drifting[0].title if drifting else columns),
        Fact(term="Views", value=f"{', '.join(stale)} stale" if stale else views, tone="down" if stale else ""),
        Fact(term="Last look", at=looked, value="" if looked else "not yet"),
    )
    return Section(id="watching", title="Watching", place="side", order=30, facts=facts, live="alert")
