"""The plan for alerts: one for a cause, its onset only ever moves back, and it closes with hysteresis."""

import msgspec
import pytest

from modelyard.access.domain import DEFAULT_TEAM
from modelyard.core.clock import SECOND, Instant
from modelyard.monitoring.domain import (
    Alert,
    AlertId,
    AlertKind,
    ColumnDrift,
    ColumnQuality,
    DriftEvidence,
    Level,
    Observation,
    QualityEvidence,
    QualityKind,
    StaleEvidence,
    performance,
)
from modelyard.monitoring.rules import alerting
from modelyard.registry.domain import ModelName

DAY = 86_400 * SECOND
LATE = ModelName("late")
MOVED = ColumnDrift(column="temp", effect=0.4, p=1e-9, psi=0.5, jensen_shannon=0.3, distance=0.8, test="ks", rows=100)
CALM = msgspec.structs.replace(MOVED, effect=0.01, p=0.5)
BAD = ColumnQuality(column="wind", kind=QualityKind.MISSING, share=0.4, low=0.3, high=0.5, reference_share=0.01, p=1e-9, rows=100)
FOUND = alerting.Found(
    kind=AlertKind.DRIFT, subject="", model=LATE, version=1, title="temp drifted", since_at=Instant(5 * DAY),
    evidence=DriftEvidence(columns=(MOVED,)), models=(LATE,),
)  # fmt: skip
OPEN = Alert(
    id=AlertId("alt_1"), team_id=DEFAULT_TEAM, kind=AlertKind.DRIFT, subject="", model=LATE, version=1, models=(LATE,), title="old",
    since_at=Instant(7 * DAY), opened_at=Instant(8 * DAY), seen_at=Instant(8 * DAY), evidence=DriftEvidence(columns=(MOVED,)),
)  # fmt: skip


def test_a_new_cause_opens_and_a_known_one_goes_on() -> None:
    assert alerting.planned([FOUND], [], {}, Instant(9 * DAY)).opened == (FOUND,)
    plan = alerting.planned([FOUND], [], {OPEN.cause: OPEN}, Instant(9 * DAY))
    assert plan.opened == ()
    assert [(one.id, one.title, one.since_at, one.seen_at) for one in plan.going_on] == [("alt_1", "temp drifted", 5 * DAY, 9 * DAY)]


def test_causes_tell_models_metrics_and_views_apart() -> None:
    of_metric = msgspec.structs.replace(FOUND, kind=AlertKind.DEGRADATION, subject="roc_auc")
    of_view = msgspec.structs.replace(FOUND, kind=AlertKind.STALE, model=None, subject="weather")
    assert [one.cause for one in (FOUND, of_metric, of_view)] == ["drift:late", "degradation:late:roc_auc", "stale:weather"]


def test_a_column_stays_in_the_alert_until_it_has_recovered() -> None:
    still = msgspec.structs.replace(MOVED, effect=0.05, p=0.02)
    assert alerting.drift_columns([still], [], OPEN, 0.03) == (still,)
    assert alerting.drift_columns([CALM], [], OPEN, 0.03) == ()
    joined = msgspec.structs.replace(MOVED, column="humid", effect=0.9)
    assert alerting.drift_columns([still, joined], [joined], OPEN, 0.03) == (joined, still)
    assert alerting.drift_columns([still], [], None, 0.03) == ()


def test_bad_values_stay_until_their_share_is_back() -> None:
    alert = msgspec.structs.replace(OPEN, kind=AlertKind.QUALITY, evidence=QualityEvidence(columns=(BAD,)))
    less = msgspec.structs.replace(BAD, share=0.1, p=0.001)
    back = msgspec.structs.replace(BAD, share=0.02, p=0.4)
    assert alerting.quality_columns([less], [], alert, 0.03) == (less,)
    assert alerting.quality_columns([back], [], alert, 0.03) == ()


@pytest.mark.parametrize(
    ("values", "is_over"), [([0.71, 0.70, 0.72, 0.71], True), ([0.71, 0.72], False), ([0.72, 0.66, 0.66, 0.66], False)]
)
def test_a_level_has_recovered_after_some_days_within_half_of_the_drop(values: list[float], is_over: bool) -> None:
    level = Level(metric="roc_auc", value=0.72, standard_error=0.004, rows=18_000)
    days = [
        Observation(since_at=Instant(n * DAY), until_at=Instant((n + 1) * DAY), value=value, standard_error=0.02, rows=700)
        for n, value in enumerate([0.5, *values])
    ]
    declared = performance("roc_auc", drop=0.04, window="14d")
    assert alerting.level_has_recovered(level, declared, days, Instant(DAY)) is is_over


def test_titles_say_what_how_much_and_against_what() -> None:
    absent = msgspec.structs.replace(BAD, kind=QualityKind.ABSENT, share=1.0)
    assert alerting.drift_title([MOVED], 14) == "temp drifted, by 0.40"
    assert alerting.drift_title([MOVED, CALM], 14) == "2 of 14 columns drifted, temp furthest, by 0.40"
    assert alerting.quality_title([BAD, BAD]) == "missing values of wind rose to 40.0% from 1.0%, and 1 more"
    assert alerting.quality_title([absent]) == "wind is no longer logged"
    never = StaleEvidence(view="weather", newest_event_at=None, upto_at=None, promised_s=60)
    assert alerting.stale_title(never, Instant(0)) == "weather has never been brought online"
    empty = msgspec.structs.replace(never, upto_at=Instant(0))
    assert alerting.stale_title(empty, Instant(0)) == "weather is stale: its source holds no event"
