"""When an alert opens, goes on and closes: a plan made from what looks found. Owns the transitions and the titles."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite

import msgspec

from modelyard.core.clock import SECOND, Instant
from modelyard.features.domain import StaleCause
from modelyard.features.rules import stale_cause
from modelyard.monitoring.domain import (
    HIGHER_IS_BETTER,
    LATE_CAUSES,
    Alert,
    AlertKind,
    ColumnDrift,
    ColumnQuality,
    Degradation,
    DegradationEvidence,
    DriftEvidence,
    Evidence,
    Level,
    Observation,
    Performance,
    QualityEvidence,
    QualityKind,
    SkewCause,
    SkewEvidence,
    SkewExample,
    StaleEvidence,
    UnverifiedEvidence,
    ViewSkew,
    Watched,
    cause_of,
)
from modelyard.monitoring.rules.drift import has_recovered
from modelyard.monitoring.rules.skew import added_causes
from modelyard.registry.domain import ModelName

RECOVERED = "is back within half of the declared drop"
"""How the reason ends for which a loss is over because the level is back, and not because another version answers."""

MOST_UNVERIFIABLE = 0.01
"""The share of a view's vectors that may be unverifiable over a month; more is a failure."""
RECOVERED_P = 0.05
LEAST_DAYS_BACK = 3
PART_OF_WINDOW = 4
WORDS = {
    QualityKind.MISSING: "missing values",
    QualityKind.OUT_OF_RANGE: "values out of range",
    QualityKind.UNSEEN: "unseen categories",
    QualityKind.INVALID: "unreadable values",
    QualityKind.ABSENT: "absence",
}


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A cause for concern as a look found it."""

    kind: AlertKind
    subject: str
    model: ModelName | None
    version: int | None
    title: str
    since_at: Instant
    evidence: Evidence
    models: tuple[ModelName, ...] = ()

    @property
    def cause(self) -> str:
        """The cause that the alert has or will have."""
        return cause_of(self.kind, self.model, self.subject)


class Over(msgspec.Struct, frozen=True, kw_only=True):
    """An open alert that no longer holds, and why."""

    alert: Alert
    why: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the alerts: those to open, those that go on with newer evidence, those to close."""

    opened: tuple[Found, ...] = ()
    going_on: tuple[Alert, ...] = ()
    closed: tuple[Over, ...] = ()


def planned(found: Iterable[Found], over: Iterable[Over], open_alerts: Mapping[str, Alert], now: Instant) -> Plan:
    """The plan after a look. A cause that has an open alert gets no second one; `since_at` only ever moves back."""
    opened, going_on = [], []
    for one in found:
        alert = open_alerts.get(one.cause)
        if alert is None:
            opened.append(one)
            continue
        since = min(alert.since_at, one.since_at)
        going_on.append(
            msgspec.structs.replace(alert, title=one.title, since_at=since, seen_at=now, evidence=one.evidence, models=one.models)
        )
    return Plan(opened=tuple(opened), going_on=tuple(going_on), closed=tuple(over))


def drift_columns(
    scanned: Sequence[ColumnDrift], new: Sequence[ColumnDrift], alert: Alert | None, min_effect: float
) -> tuple[ColumnDrift, ...]:
    """The columns that drift now: those of the open alert that have not recovered, as they stand, and the `new` ones."""
    before = {one.column for one in alert.evidence.columns} if alert and isinstance(alert.evidence, DriftEvidence) else set()
    kept = [one for one in scanned if one.column in before and not has_recovered(one, min_effect)]
    return tuple(sorted([*kept, *(one for one in new if one.column not in before)], key=lambda one: -one.effect))


def quality_columns(
    looked: Sequence[ColumnQuality], new: Sequence[ColumnQuality], alert: Alert | None, min_change: float
) -> tuple[ColumnQuality, ...]:
    """The columns whose values are bad now: those of the open alert that have not recovered, and the `new` ones."""
    evidence = alert.evidence.columns if alert and isinstance(alert.evidence, QualityEvidence) else ()
    before = {(one.column, one.kind) for one in evidence}
    fresh = {(one.column, one.kind) for one in new}
    kept = [
        one
        for one in looked
        if (one.column, one.kind) in before - fresh and one.share - one.reference_share >= min_change and one.p <= RECOVERED_P
    ]
    return tuple(sorted([*kept, *new], key=lambda one: one.reference_share - one.share))


def level_has_recovered(level: Level, declared: Performance, days: Sequence[Observation], opened_at: Instant) -> bool:
    """Whether the days since the alert opened are back within half of the declared drop: three at least, or a quarter of the window."""
    recent = [day for day in days if day.since_at >= opened_at]
    if not recent:
        return False
    length = recent[-1].until_at - recent[-1].since_at
    enough = max(LEAST_DAYS_BACK, round(declared.window_us / max(length, 1) / PART_OF_WINDOW))
    if len(recent) < enough:
        return False
    recent = recent[-enough:]
    weights = [1.0 / max(day.standard_error**2, level.standard_error**2 * level.rows / day.rows, 1e-18) for day in recent]
    value = sum(w * day.value for w, day in zip(weights, recent, strict=True)) / sum(weights)
    sign = 1.0 if level.metric in HIGHER_IS_BETTER else -1.0
    drop = declared.drop * abs(level.daily) if declared.relative else declared.drop
    return sign * (level.daily - value) < drop / 2


def drift_title(columns: Sequence[ColumnDrift], watched: int) -> str:
    """One line on which columns drifted."""
    first = columns[0]
    if len(columns) == 1:
        return f"{first.column} drifted, by {first.effect:.2f}"
    return f"{len(columns)} of {watched} columns drifted, {first.column} furthest, by {first.effect:.2f}"


def quality_title(columns: Sequence[ColumnQuality]) -> str:
    """One line on whose values are bad."""
    first = columns[0]
    more = f", and {len(columns) - 1} more" if len(columns) > 1 else ""
    if first.kind is QualityKind.ABSENT:
        return f"{first.column} is no longer logged{more}"
    return f"{WORDS[first.kind]} of {first.column} rose to {first.share:.1%} from {first.reference_share:.1%}{more}"


def degradation_title(found: Degradation) -> str:
    """One line on the loss."""
    verb = "fell" if found.metric in HIGHER_IS_BETTER else "rose"
    return f"{found.metric} {verb} to {found.value:.3f} by day, from {found.approved:.3f} approved"


def stale_title(evidence: StaleEvidence, now: Instant) -> str:
    """One line on how old a view is, and why."""
    if evidence.upto_at is None:
        return f"{evidence.view} has never been brought online"
    if evidence.newest_event_at is None:
        return f"{evidence.view} is stale: its source holds no event"
    lag = (now - evidence.newest_event_at) / SECOND
    promised = f", {_hours(evidence.promised_s)} promised" if evidence.promised_s is not None else ""
    why = f"nothing was brought online for {_hours((now - evidence.upto_at) / SECOND)}"
    if not is_unbrought(evidence, now):
        why = "its source has no newer one"
    return f"{evidence.view} is stale: its newest event is {_hours(lag)} old{promised}; {why}"


def is_unbrought(evidence: StaleEvidence, now: Instant) -> bool:
    """Whether a view is stale because nothing brings it online, and not because its source stands still."""
    return stale_cause(evidence.upto_at, evidence.every_s, now) is not StaleCause.NO_NEWER_EVENT


def _hours(seconds: float) -> str:
    if not isfinite(seconds):
        return "for ever"
    return f"{seconds / 86400:.1f} days" if seconds >= 2 * 86400 else f"{seconds / 3600:.1f} h"


def skew_found(watched: Watched, view: str, days: Sequence[ViewSkew]) -> Found:
    """Values of a view that were read otherwise than its source gives them, as a cause: since the first day with any."""
    compared, different = (sum(getattr(day, name) for day in days) for name in ("compared", "different"))
    return Found(
        kind=AlertKind.SKEW,
        subject=view,
        model=watched.model,
        version=watched.live,
        models=(watched.model,),
        title=f"{different} of {compared} reads of {view} differ from its source",
        since_at=min(day.since_at for day in days if day.different),
        evidence=SkewEvidence(view=view, compared=compared, different=different, causes=added_causes(days), example=_example(days)),
    )


def _example(days: Sequence[ViewSkew]) -> SkewExample | None:
    """One of a different vector, the one that nothing explains before the others."""
    found = [one for day in days for one in day.examples if one.cause not in LATE_CAUSES]
    return max(found, key=lambda one: (one.cause is SkewCause.UNKNOWN, one.at), default=None)


def unverified_found(watched: Watched, view: str, days: Sequence[ViewSkew]) -> Found | None:
    """Too many reads of a view of which nobody can tell, as a cause; `None` where they are within `MOST_UNVERIFIABLE`."""
    compared, unverifiable = (sum(getattr(day, name) for day in days) for name in ("compared", "unverifiable"))
    share = unverifiable / max(compared + unverifiable, 1)
    if share <= MOST_UNVERIFIABLE:
        return None
    return Found(
        kind=AlertKind.UNVERIFIED,
        subject=view,
        model=watched.model,
        version=watched.live,
        models=(watched.model,),
        title=f"{share:.1%} of the reads of {view} cannot be verified, at most {MOST_UNVERIFIABLE:.0%} may be",
        since_at=min(day.since_at for day in days if day.unverifiable),
        evidence=UnverifiedEvidence(view=view, compared=compared, unverifiable=unverifiable, days=len({day.since_at for day in days})),
    )


def degradation_found(model: ModelName, version: int, found: Degradation, declared: Performance) -> Found:
    """The declared degradation as a cause."""
    return Found(
        kind=AlertKind.DEGRADATION,
        subject=found.metric,
        model=model,
        version=version,
        models=(model,),
        title=degradation_title(found),
        since_at=found.since_at,
        evidence=DegradationEvidence(found=found, window=declared.window, relative=declared.relative),
    )
