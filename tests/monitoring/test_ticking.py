"""Ticks over a served model: what is taken in, which alerts open and close, and that nothing is counted twice."""

import msgspec
import numpy as np
import pytest

from modelyard.core.clock import Instant
from modelyard.monitoring import store
from modelyard.monitoring.domain import (
    AlertKind,
    DegradationEvidence,
    DriftEvidence,
    QualityEvidence,
    drift,
    performance,
    quality,
)
from modelyard.monitoring.service import tick
from tests.monitoring.world import DAY, LATE, World, drawn

ALL = (drift(), quality(), performance("roc_auc", drop=0.05, window="14d"))


@pytest.fixture
def served(world: World) -> World:
    """Version 1, trained, watched by all monitors and answering."""
    world.watch(*ALL)
    world.train(1, *ALL)
    world.release(1)
    return world


def test_quiet_weeks_open_no_alert_and_take_in_every_row(served: World) -> None:
    ticks = [served.day() for _ in range(16)]
    assert [one.opened for one in ticks] == [()] * 16
    assert sum(one.predictions for one in ticks) == 16 * 300
    assert sum(one.outcomes for one in ticks) == 16 * 300
    with served.database.read() as snapshot:
        report = store.find_report(snapshot, LATE)
    assert report is not None
    assert {one.column for one in report.drift} == {"wind", "carrier", "prediction"}
    assert report.measured[0].rows == 14 * 300
    assert report.measured[0].value == pytest.approx(0.87, abs=0.03)


def test_drift_opens_one_alert_says_since_when_and_closes_when_it_is_over(served: World) -> None:
    served.day()
    start = served.clock.now()
    opened = [alert for _ in range(4) for alert in served.day(shift=2.0).opened]
    assert [alert.kind for alert in opened] == [AlertKind.DRIFT]
    evidence = opened[0].evidence
    assert isinstance(evidence, DriftEvidence)
    assert [one.column for one in evidence.columns] == ["wind"]
    assert opened[0].since_at >= start
    assert "wind drifted" in opened[0].title
    closed = [alert for _ in range(9) for alert in served.day().closed]
    assert [alert.id for alert in closed] == [opened[0].id]
    assert [event.data["kind"] for event in served.events("monitoring.alert_opened")] == ["drift"]
    assert len(served.events("monitoring.alert_closed")) == 1


def test_values_that_go_missing_are_found_in_the_first_tick(served: World) -> None:
    served.day()
    rows = drawn(served.random, 300)
    holes = np.where(served.random.uniform(0, 1, 300) < 0.4, np.nan, rows.wind)
    served.ask(msgspec.structs.replace(rows, wind=holes, carrier=["ZZ"] * 60 + rows.carrier[60:]))
    served.clock.advance(DAY / 1e6)
    (alert,) = tick(served.database, served.tables).opened
    assert alert.kind is AlertKind.QUALITY
    assert isinstance(alert.evidence, QualityEvidence)
    assert [(one.column, one.kind.value) for one in alert.evidence.columns] == [("wind", "missing"), ("carrier", "unseen")]
    assert served.day().closed[0].id == alert.id


def test_a_night_without_values_is_no_alarm_where_nights_never_had_any_and_a_whole_day_is(world: World) -> None:
    world.watch(quality())
    world.train(1, quality(), calm=60)
    world.release(1)
    for _ in range(6):
        for size, is_calm, hours in ((60, True, 4), (240, False, 20)):
            rows = drawn(world.random, size)
            world.ask(msgspec.structs.replace(rows, wind=rows.wind * np.nan) if is_calm else rows)
            world.clock.advance(hours * 3600)
            assert tick(world.database, world.tables).opened == ()
    start, rows = world.clock.now(), drawn(world.random, 300)
    world.ask(msgspec.structs.replace(rows, wind=np.where(world.random.uniform(0, 1, 300) < 0.6, np.nan, rows.wind)))
    world.clock.advance(12 * 3600)
    assert tick(world.database, world.tables).opened == ()
    world.clock.advance(12 * 3600)
    (alert,) = tick(world.database, world.tables).opened
    assert (alert.kind, alert.since_at) == (AlertKind.QUALITY, start)


def test_a_declared_loss_is_alarmed_once_with_its_onset_and_what_delivery_needs(served: World) -> None:
    for _ in range(8):
        served.day()
    start = served.clock.now()
    ticks = [served.day(skill=0.3) for _ in range(6)]
    opened = [alert for one in ticks for alert in one.opened if alert.kind is AlertKind.DEGRADATION]
    assert len(opened) == 1
    assert isinstance(opened[0].evidence, DegradationEvidence)
    found = opened[0].evidence.found
    assert found.since_at == start
    assert found.loss > 0.1
    event = next(event for event in served.events("monitoring.alert_opened") if event.data["kind"] == "degradation")
    assert (event.data["model"], event.data["version"], event.data["about"]) == ("late", 1, "roc_auc")
    assert event.data["evidence"]["found"]["loss"] == found.loss


def test_a_degradation_is_over_when_the_level_is_back_and_then_arms_anew(served: World) -> None:
    served.day()
    for _ in range(5):
        served.day(skill=0.2)
    closed = [alert for _ in range(5) for alert in served.day().closed if alert.kind is AlertKind.DEGRADATION]
    assert len(closed) == 1
    assert "back within half" in closed[0].closed_why
    assert [alert for _ in range(3) for alert in served.day().opened] == []
    again = [alert.kind for _ in range(4) for alert in served.day(skill=0.2).opened]
    assert again.count(AlertKind.DEGRADATION) == 1


def test_a_new_version_closes_the_alerts_of_the_one_before_and_is_held_against_its_own_reference(served: World) -> None:
    served.day()
    served.day(shift=3.0)
    served.day(shift=3.0)
    served.train(2, *ALL)
    served.release(2)
    after = served.day(version=2)
    assert [alert.closed_why for alert in after.closed] == ["v2 answers now, in place of v1"]
    with served.database.read() as snapshot:
        watched = store.find_watched(snapshot, LATE)
    assert watched is not None
    assert (watched.live, watched.live_at) == (2, served.clock.now() - DAY)


def test_a_tick_without_anything_new_changes_nothing(served: World) -> None:
    served.day()
    with served.database.read() as snapshot:
        before = store.find_report(snapshot, LATE), store.list_outcomes(snapshot, LATE, Instant(0))
    again = tick(served.database, served.tables)
    assert (again.predictions, again.outcomes, again.opened, again.closed) == (0, 0, (), ())
    with served.database.read() as snapshot:
        report, outcomes = store.find_report(snapshot, LATE), store.list_outcomes(snapshot, LATE, Instant(0))
    assert (report and report.drift, outcomes) == (before[0] and before[0].drift, before[1])


def test_labels_count_once_whichever_of_the_two_came_first_and_however_often_they_come(served: World) -> None:
    rows = drawn(served.random, 50)
    start = served.clock.now()
    ids = served.ask(rows)
    assert tick(served.database, served.tables).outcomes == 0
    served.tell(ids[:30], rows.label[:30], at=start + DAY)
    assert tick(served.database, served.tables).outcomes == 30
    served.tell(ids, 1 - rows.label, at=start + DAY)
    assert tick(served.database, served.tables).outcomes == 20
    with served.database.read() as snapshot:
        cells = store.list_outcomes(snapshot, LATE, Instant(0))
    assert sum(cell.outcomes.rows for cell in cells) == 50


def test_rows_that_are_in_the_tables_before_their_segment_is_recorded_count_once(served: World) -> None:
    """A compaction that is killed between its appends and its record, with another label for the same predictions behind it."""
    rows = drawn(served.random, 50)
    start = served.clock.now()
    ids = served.ask(rows)
    served.is_told = False
    served.tell(ids, rows.label, at=start + DAY)
    early = f"seg_{served.segments}"
    assert tick(served.database, served.tables).outcomes == 0
    served.tell(ids, 1 - rows.label, at=start + DAY)
    late = f"seg_{served.segments}"
    counted = []
    for segment in (early, late):
        served.note(segment)
        counted.append(tick(served.database, served.tables).outcomes)
    assert counted == [50, 0]


def test_predictions_whose_segment_is_recorded_after_their_labels_count_once(served: World) -> None:
    rows = drawn(served.random, 50)
    start = served.clock.now()
    served.is_told = False
    ids = served.ask(rows)
    asked = f"seg_{served.segments}"
    served.is_told = True
    served.tell(ids, rows.label, at=start + DAY)
    assert tick(served.database, served.tables).outcomes == 0
    served.note(asked)
    found = tick(served.database, served.tables)
    assert (found.predictions, found.outcomes) == (50, 50)


def test_an_outcome_that_comes_after_its_day_was_closed_counts_in_the_next(served: World) -> None:
    rows = drawn(served.random, 40)
    start = served.clock.now()
    ids = served.ask(rows)
    served.clock.advance(2 * DAY / 1e6)
    tick(served.database, served.tables)
    served.tell(ids, rows.label, at=start + 5)
    tick(served.database, served.tables)
    with served.database.read() as snapshot:
        cells = store.list_outcomes(snapshot, LATE, Instant(0))
    assert [cell.since_at for cell in cells] == [start + 2 * DAY]


def test_a_model_is_looked_at_once_a_minute_however_often_the_worker_ticks(served: World) -> None:
    def looked_at() -> Instant | None:
        tick(served.database, served.tables)
        with served.database.read() as snapshot:
            watched = store.find_watched(snapshot, LATE)
        return None if watched is None else watched.ticked_at

    first = looked_at()
    served.clock.advance(30)
    assert looked_at() == first == served.clock.now() - 30_000_000
    served.clock.advance(31)
    assert looked_at() == served.clock.now()
