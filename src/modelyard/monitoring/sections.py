"""What monitoring says on others' pages: a model's state, performance and open alerts, and a view's reads. Owns the words, no figure."""

from collections.abc import Sequence

from modelyard.access.domain import Principal
from modelyard.core.clock import Instant
from modelyard.features.sections import FeatureCourse, FeatureDay, Parity, ReadDay, ReadExample, Reads
from modelyard.monitoring.charts import performance_chart
from modelyard.monitoring.domain import LATE_CAUSES, SEVERITY, AlertKind, ModelNotMonitored, ViewSkew
from modelyard.monitoring.rules.skew import added_causes
from modelyard.monitoring.service import Course, Shown, list_courses, list_open_alerts, list_skew, list_skew_days, show_monitoring
from modelyard.monitoring.words import CAUSES, WELL, WORDS
from modelyard.registry.domain import ModelName
from modelyard.registry.sections import Cell, Contribution, Fact, Phrase, Section, Table
from modelyard.serving.service import list_live
from modelyard.storage.database import Snapshot
from modelyard.web.parts import Link

DAYS = 90
ABOUT_VIEWS = (AlertKind.STALE, AlertKind.SKEW, AlertKind.UNVERIFIED)


def on_views_page(snapshot: Snapshot, principal: Principal, view: str, most: int) -> Reads:
    """How the online reads of a view compare with its source, by reader and day, and how its first `most` features went."""
    days = list_skew_days(snapshot, principal, view=view)
    alerts = [one for one in list_open_alerts(snapshot, principal) if one.subject == view and one.kind in ABOUT_VIEWS]
    live = {one.revision.model: one.revision.traffic for one in list_live(snapshot, principal).values()}
    return Reads(
        parities=tuple(map(_parity, list_skew(snapshot, principal, view=view))),
        days=_read_days(days),
        examples=_examples(days),
        courses=tuple(map(_course, list_courses(snapshot, principal, view, most))) if most else (),
        live={model: (traffic.champion, *([traffic.canary.version] if traffic.canary else ())) for model, traffic in live.items()},
        alerts=tuple(Link(WORDS[one.kind][1], f"/alerts/{one.id}") for one in alerts),
    )


def _parity(one: ViewSkew) -> Parity:
    return Parity(
        reader=one.model,
        href=f"/monitoring/{one.model}",
        compared=one.compared,
        different=one.different,
        unverifiable=one.unverifiable,
        until_at=one.until_at,
        late=one.late,
        logged=one.logged,
    )


def _read_days(days: Sequence[ViewSkew]) -> tuple[ReadDay, ...]:
    by_day: dict[Instant, list[ViewSkew]] = {}
    for one in days:
        by_day.setdefault(one.since_at, []).append(one)
    return tuple(
        ReadDay(
            at=at,
            compared=sum(one.compared for one in found),
            different=sum(one.different for one in found),
            late=sum(one.late for one in found),
            unverifiable=sum(one.unverifiable for one in found),
            lag_s=max((one.lag_s for one in found if one.lag_s is not None), default=None),
        )
        for at, found in sorted(by_day.items())
    )


def _examples(days: Sequence[ViewSkew]) -> tuple[ReadExample, ...]:
    """The newest example of each cause, those of different reads first."""
    counts = added_causes(days)
    newest = {example.cause: (one.model, example) for one in days for example in one.examples}
    found = [
        ReadExample(
            cause=cause.value.replace("_", " "),
            count=counts.get(cause, 0),
            is_late=cause in LATE_CAUSES,
            reader=model,
            prediction=one.prediction,
            keys=tuple(f"{name} {key}" for name, key in one.keys.items()),
            at=one.at,
            feature=one.feature,
            logged=one.logged,
            recomputed=one.recomputed,
            meaning=CAUSES[cause],
        )
        for cause, (model, one) in newest.items()
    ]
    return tuple(sorted(found, key=lambda one: (one.is_late, -one.count)))


def _course(one: Course) -> FeatureCourse:
    days = (FeatureDay(at=day.at, middle=day.middle, low=day.low, high=day.high, missing=day.missing) for day in one.points)
    return FeatureCourse(feature=one.feature, reader=f"{one.model} v{one.version}", measure=one.measure, days=tuple(days))


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
