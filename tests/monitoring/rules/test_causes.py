"""The ranking of suspects, and the advice on a rollback."""

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
    Degradation,
    DegradationEvidence,
    DriftEvidence,
    QualityKind,
    StaleEvidence,
)
from modelyard.monitoring.rules.causes import Context, Release, next_step, rollback, suspects
from modelyard.registry.domain import ModelName

HOUR = 3600 * SECOND
DAY = 24 * HOUR
ONSET = Instant(100 * DAY)
NOW = Instant(103 * DAY)
LATE = ModelName("late")
FOUND = Degradation(
    metric="roc_auc", approved=0.7, value=0.6, standard_error=0.01, loss=0.1, declared=0.03, evidence=9.0, threshold=8.0,
    since_at=ONSET, until_at=NOW, rows=900,
)  # fmt: skip
ALERT = Alert(
    id=AlertId("alt_1"), team_id=DEFAULT_TEAM, kind=AlertKind.DEGRADATION, subject="roc_auc", model=LATE, version=3, models=(LATE,),
    title="roc_auc fell", since_at=ONSET, opened_at=NOW, seen_at=NOW, evidence=DegradationEvidence(found=FOUND, window="14d"),
)  # fmt: skip
VIEWS = {3: {"wind": "weather", "delay": "delays"}, 2: {"wind": "weather"}, 1: {"delay": "delays"}}
WEATHER = StaleEvidence(view="weather", newest_event_at=Instant(ONSET - 3 * HOUR), upto_at=NOW, promised_s=3 * 3600)
MISSING = ColumnQuality(column="delay", kind=QualityKind.MISSING, share=0.8, low=0.7, high=0.9, reference_share=0.0, p=0.0, rows=100)
TEMP = ColumnDrift(column="temp", effect=0.4, p=1e-9, psi=0.5, jensen_shannon=0.3, distance=0.8, test="ks", rows=100, since_at=ONSET)


def release(version: int, hours_before: float) -> Release:
    return Release(version=version, revision=version, at=Instant(ONSET - round(hours_before * HOUR)), cause="ship")


def test_a_stale_view_that_the_model_reads_comes_first_then_what_acts_less_directly() -> None:
    context = Context(stale=(WEATHER,), quality=(MISSING,), drift=(TEMP,), releases=(release(3, 72), release(2, 900)), views=VIEWS)
    ranked = suspects(ALERT, context, NOW)
    assert [(one.kind, one.subject) for one in ranked] == [("view", "weather"), ("quality", "delay"), ("release", "v3"), ("drift", "temp")]
    assert "of view delays" in ranked[1].why
    assert ranked[0].at == ONSET
    assert all(0 <= one.score <= 1 for one in ranked)


def test_a_release_just_before_the_onset_outranks_drift_and_an_old_one_is_no_suspect() -> None:
    ranked = suspects(ALERT, Context(drift=(TEMP,), releases=(release(3, 2), release(2, 24 * 30)), views=VIEWS), NOW)
    assert [one.subject for one in ranked] == ["v3", "temp"]
    assert "2 h before the onset: ship" in ranked[0].why


def test_a_stale_view_that_the_model_does_not_read_is_no_suspect() -> None:
    assert suspects(msgspec.structs.replace(ALERT, version=1), Context(stale=(WEATHER,), views=VIEWS), NOW) == ()


def test_a_view_that_went_stale_long_after_the_onset_is_no_suspect() -> None:
    later = msgspec.structs.replace(WEATHER, newest_event_at=Instant(ONSET + 2 * DAY))
    context = Context(stale=(later,), releases=(release(3, 500), release(2, 900)), views=VIEWS)
    ranked = suspects(ALERT, context, NOW)
    assert ranked == ()
    assert rollback(ALERT, context, ranked).helps is None


def test_an_alert_is_not_its_own_suspect() -> None:
    drifting = msgspec.structs.replace(ALERT, kind=AlertKind.DRIFT, evidence=DriftEvidence(columns=(TEMP,)))
    assert suspects(drifting, Context(drift=(TEMP,), views=VIEWS), NOW) == ()


@pytest.mark.parametrize(
    ("alert", "context", "version", "helps"),
    [
        (ALERT, Context(stale=(WEATHER,), releases=(release(3, 1), release(2, 500)), views=VIEWS), 2, False),
        (ALERT, Context(stale=(WEATHER,), releases=(release(3, 1), release(1, 500)), views=VIEWS), 1, True),
        (ALERT, Context(stale=(WEATHER,), releases=(release(3, 1), release(9, 500)), views=VIEWS), 9, None),
        (ALERT, Context(stale=(WEATHER,), releases=(release(3, 1), release(2, 500), release(1, 900)), views=VIEWS), 1, True),
        (ALERT, Context(releases=(release(3, 1), release(2, 500)), views=VIEWS), 2, True),
        (ALERT, Context(releases=(release(3, 500), release(2, 900)), views=VIEWS), 2, None),
        (msgspec.structs.replace(ALERT, kind=AlertKind.DRIFT), Context(releases=(release(3, 500), release(2, 900))), 2, False),
        (ALERT, Context(releases=(release(3, 1),), views=VIEWS), None, None),
        (ALERT, Context(), None, None),
    ],
)
def test_a_rollback_helps_where_the_release_is_to_blame_and_not_where_the_data_are(
    alert: Alert, context: Context, version: int | None, helps: bool | None
) -> None:
    advice = rollback(alert, context, suspects(alert, context, NOW))
    assert (advice.version, advice.helps) == (version, helps)
    assert advice.why


@pytest.mark.parametrize(
    ("alert", "context", "words"),
    [
        (
            ALERT,
            Context(stale=(WEATHER,), releases=(release(3, 1), release(2, 500)), views=VIEWS),
            "mend what writes the source of weather",
        ),
        (ALERT, Context(stale=(WEATHER,), releases=(release(3, 1), release(1, 500)), views=VIEWS), "yard rollback late --to 1"),
        (ALERT, Context(quality=(MISSING,), views=VIEWS), "mend the values where they come from"),
        (msgspec.structs.replace(ALERT, kind=AlertKind.SKEW, subject="weather"), Context(views=VIEWS), "/features/weather"),
        (msgspec.structs.replace(ALERT, kind=AlertKind.SKEW, subject="on-demand/felt"), Context(views=VIEWS), "processor and NumPy"),
        (ALERT, Context(views=VIEWS), "yard ship late"),
    ],
)
def test_the_next_step_follows_from_the_likeliest_cause(alert: Alert, context: Context, words: str) -> None:
    ranked = suspects(alert, context, NOW)
    assert words in next_step(alert, ranked, rollback(alert, context, ranked))
