"""What starts deliveries by itself: schedules by the installation's clock, degradations with their cooldown."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelyard.access.domain import DEFAULT_TEAM, LOCAL, SYSTEM
from modelyard.core.clock import SECOND, FixedClock, Instant, SystemClock, instant
from modelyard.core.errors import InvalidInput
from modelyard.delivery.declaration import Retrain
from modelyard.delivery.domain import CauseKind, Delivery, DeliveryId, DeliveryState, NewDelivery
from modelyard.delivery.machine import cancelled
from modelyard.delivery.service import declare_model, fire_schedules, follow_alerts, list_deliveries, start_delivery
from modelyard.ledger.service import sequence_pending
from modelyard.monitoring.domain import AlertKind, Degradation
from modelyard.monitoring.domain.alerts import Alert, DegradationEvidence
from modelyard.monitoring.rules.alerting import Found, Plan
from modelyard.monitoring.service import silence_alert
from modelyard.monitoring.service.alerts import made_true
from modelyard.registry.domain import ModelName
from modelyard.storage.database import Database
from modelyard.storage.replay import advance_replay, begin_replay, clock_of
from tests.delivery.declaring import declared, write_sources

DAY_S = 86_400.0
WEEKLY = Retrain(degradation=True, cooldown_s=7 * DAY_S)


def declare(database: Database, folder: Path, retrain: Retrain) -> None:
    write_sources(folder)
    declare_model(database, SYSTEM, declared(folder, retrain=retrain))


def deliveries(database: Database) -> list[Delivery]:
    with database.read() as snapshot:
        return list_deliveries(snapshot, SYSTEM)


def ended(database: Database, *names: DeliveryId) -> None:
    for name in names:
        database.write(lambda tx, name=name: cancelled(tx, name, SYSTEM.id, "refused", DeliveryState.REFUSED))  # type: ignore[misc]


def degraded(database: Database) -> Alert:
    """An alert that the model has lost performance."""
    now = database.clock.now()
    lost = Degradation(
        metric="roc_auc", approved=0.8, value=0.7, standard_error=0.01, loss=0.1, declared=0.05, evidence=30.0, threshold=20.0,
        since_at=now, until_at=now, rows=1000,
    )  # fmt: skip
    found = Found(
        kind=AlertKind.DEGRADATION, subject="roc_auc", model=ModelName("late"), version=1, models=(ModelName("late"),),
        title="late lost 0.1 of roc_auc", since_at=now, evidence=DegradationEvidence(found=lost, window="7d"),
    )  # fmt: skip
    opened, _ = database.write(lambda tx: made_true(tx, Plan(opened=(found,)), lambda _: DEFAULT_TEAM))
    sequence_pending(database, "test")
    return opened[0]


def test_a_schedule_fires_when_the_clock_reaches_it_and_missed_times_are_one(database: Database, tmp_path: Path, clock: FixedClock) -> None:
    declare(database, tmp_path, Retrain(schedule="0 3 * * *"))
    clock.advance(3 * 3600 - 1)
    assert database.write(fire_schedules) == []
    clock.advance(1)
    first = database.write(fire_schedules)
    assert (len(first), database.write(fire_schedules)) == (1, [])
    ended(database, *first)
    clock.advance(5.5 * DAY_S)  # five times pass while nobody looks
    second = database.write(fire_schedules)
    ended(database, *second)
    assert (len(second), database.write(fire_schedules)) == (1, [])
    clock.advance(0.5 * DAY_S)
    assert len(database.write(fire_schedules)) == 1
    assert {one.cause.kind for one in deliveries(database)} == {CauseKind.SCHEDULE}


def test_in_a_replay_schedules_and_cooldowns_go_by_the_replays_clock(database_url: str, tmp_path: Path) -> None:
    plain = Database.open(database_url, SystemClock())
    start = instant(datetime(2013, 1, 31, tzinfo=UTC))
    plain.write(lambda tx: begin_replay(tx, start))
    replay = plain.with_clock(clock_of(plain))
    declare(replay, tmp_path, Retrain(schedule="0 0 1 * *", degradation=True, cooldown_s=7 * DAY_S))
    assert replay.write(fire_schedules) == []
    replay.write(lambda tx: advance_replay(tx, Instant(start + round(80 * DAY_S) * SECOND)))  # past February, March and April the 1st
    fired = replay.write(fire_schedules)
    assert (len(fired), replay.write(fire_schedules)) == (1, [])
    ended(replay, *fired)
    degraded(replay)
    assert replay.write(follow_alerts) == []  # the schedule has just fired
    replay.write(lambda tx: advance_replay(tx, Instant(start + round(87 * DAY_S) * SECOND)))
    again = replay.write(follow_alerts)
    assert len(again) == 1
    assert [one.created_at for one in deliveries(replay)] == [start + days * round(DAY_S) * SECOND for days in (87, 80)]
    plain.close()


def test_a_degradation_starts_one_delivery_and_another_one_after_the_cooldown_while_it_lasts(
    database: Database, tmp_path: Path, clock: FixedClock
) -> None:
    declare(database, tmp_path, WEEKLY)
    degraded(database)
    first = database.write(follow_alerts)
    assert (len(first), database.write(follow_alerts)) == (1, [])
    ended(database, *first)  # the challenger was refused, so the alert stays open
    clock.advance(7 * DAY_S - 1)
    assert database.write(follow_alerts) == []
    clock.advance(1)
    second = database.write(follow_alerts)
    assert (len(second), database.write(follow_alerts)) == (1, [])
    assert {one.cause.kind for one in deliveries(database)} == {CauseKind.DEGRADATION}


def test_without_a_cooldown_an_alert_that_stays_open_is_taken_up_once_a_day(database: Database, tmp_path: Path, clock: FixedClock) -> None:
    declare(database, tmp_path, Retrain(degradation=True))
    degraded(database)
    ended(database, *database.write(follow_alerts))
    clock.advance(DAY_S - 1)
    assert database.write(follow_alerts) == []
    clock.advance(1)
    assert len(database.write(follow_alerts)) == 1


def test_an_alert_that_came_while_a_delivery_was_under_way_is_not_lost(database: Database, tmp_path: Path, clock: FixedClock) -> None:
    declare(database, tmp_path, WEEKLY)
    degraded(database)
    running = database.write(follow_alerts)
    clock.advance(8 * DAY_S)
    assert database.write(follow_alerts) == []
    ended(database, *running)
    assert len(database.write(follow_alerts)) == 1


@pytest.mark.parametrize("claimed", [CauseKind.SCHEDULE, CauseKind.DEGRADATION])
def test_nobody_claims_the_cause_that_a_trigger_gives(database: Database, tmp_path: Path, claimed: CauseKind) -> None:
    declare(database, tmp_path, WEEKLY)
    with pytest.raises(InvalidInput, match=f"person or push; {claimed} is what Modelyard starts by itself"):
        database.write(lambda tx: start_delivery(tx, LOCAL, NewDelivery(model="late", kind=claimed)))
    assert deliveries(database) == []
    pushed = database.write(lambda tx: start_delivery(tx, LOCAL, NewDelivery(model="late", kind=CauseKind.PUSH)))
    assert pushed.cause.kind is CauseKind.PUSH


def test_a_silenced_alert_starts_nothing_more(database: Database, tmp_path: Path, clock: FixedClock) -> None:
    declare(database, tmp_path, WEEKLY)
    alert = degraded(database)
    ended(database, *database.write(follow_alerts))
    database.write(lambda tx: silence_alert(tx, SYSTEM, alert.id, "30d", "known"))
    clock.advance(8 * DAY_S)
    assert database.write(follow_alerts) == []
