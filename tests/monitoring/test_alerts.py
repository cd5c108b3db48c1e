"""Alerts for those who look at them: seen by their team, silenced with a reason, acknowledged, explained."""

import msgspec
import pytest

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, NotAllowed, Principal, PrincipalId, Role, TeamId
from modelyard.core.clock import SECOND
from modelyard.core.errors import InvalidInput
from modelyard.monitoring.domain import Alert, AlertId, AlertIsClosed, AlertKind, AlertNotFound, ModelNotMonitored, drift
from modelyard.monitoring.rules.alerting import Over, Plan
from modelyard.monitoring.service import (
    acknowledge_alert,
    get_alert,
    get_monitoring,
    list_alerts,
    list_monitoring,
    list_open_alerts,
    silence_alert,
    why_alert,
)
from modelyard.monitoring.service.alerts import made_true
from tests.monitoring.world import LATE, World

ADA = Principal(id=PrincipalId("usr_ada"), name="ada", kind="person", roles={DEFAULT_TEAM: Role.CONTRIBUTOR})
VIEWER = Principal(id=PrincipalId("usr_v"), name="vera", kind="person", roles={DEFAULT_TEAM: Role.VIEWER})
STRANGER = Principal(id=PrincipalId("usr_s"), name="sam", kind="person", roles={TeamId("other"): Role.ADMIN})


@pytest.fixture
def drifting(world: World) -> Alert:
    """The open alert of a model whose inputs drift."""
    world.watch(drift())
    world.train(1, drift())
    world.release(1)
    return next(alert for _ in range(3) for alert in world.day(shift=4.0).opened)


def test_an_alert_is_listed_for_its_team_and_hidden_from_others(world: World, drifting: Alert) -> None:
    with world.database.read() as snapshot:
        assert [one.id for one in list_open_alerts(snapshot, VIEWER)] == [drifting.id]
        assert [one.id for one in list_alerts(snapshot, VIEWER, LATE)] == [drifting.id]
        assert get_alert(snapshot, VIEWER, drifting.id).kind is AlertKind.DRIFT
        assert (list_open_alerts(snapshot, STRANGER), list_alerts(snapshot, STRANGER), list_monitoring(snapshot, STRANGER)) == ([], [], [])
        with pytest.raises(AlertNotFound):
            get_alert(snapshot, STRANGER, drifting.id)
        with pytest.raises(ModelNotMonitored):
            get_monitoring(snapshot, STRANGER, LATE)


def test_alerts_are_paged_newest_first(world: World, drifting: Alert) -> None:
    for shift in (0.0, 4.0):
        for _ in range(9):
            world.day(shift=shift)
    with world.database.read() as snapshot:
        newest, older = list_alerts(snapshot, ADA, LATE)
        assert older.id == drifting.id
        assert newest.is_open
        assert not older.is_open
        assert [one.id for one in list_alerts(snapshot, ADA, limit=1)] == [newest.id]
        assert [one.id for one in list_alerts(snapshot, ADA, before=newest.id)] == [older.id]


def test_a_silence_has_a_reason_an_end_and_an_entry(world: World, drifting: Alert) -> None:
    silent = world.database.write(lambda tx: silence_alert(tx, ADA, drifting.id, "2h", "known outage"))
    now = world.clock.now()
    assert silent.is_silent(now)
    assert silent.silence is not None
    assert silent.silence.until_at == now + 2 * 3600 * SECOND
    world.clock.advance(2 * 3600)
    assert not silent.is_silent(world.clock.now())
    (event,) = world.events("monitoring.alert_silenced")
    assert (event.actor, event.data["why"]) == ("usr_ada", "known outage")


@pytest.mark.parametrize(("duration", "why"), [("2h", " "), ("0s", "outage"), ("200d", "outage"), ("soon", "outage")])
def test_a_silence_without_a_reason_or_a_sensible_end_is_refused(world: World, drifting: Alert, duration: str, why: str) -> None:
    with pytest.raises(InvalidInput):
        world.database.write(lambda tx: silence_alert(tx, ADA, drifting.id, duration, why))


def test_an_alert_that_is_over_cannot_be_silenced(world: World, drifting: Alert) -> None:
    for _ in range(9):
        world.day()
    with pytest.raises(AlertIsClosed):
        world.database.write(lambda tx: silence_alert(tx, ADA, drifting.id, "2h", "outage"))


def test_an_alert_is_acknowledged_by_name_and_only_by_contributors(world: World, drifting: Alert) -> None:
    seen = world.database.write(lambda tx: acknowledge_alert(tx, ADA, drifting.id, "on it"))
    assert seen.noted is not None
    assert (seen.noted.by, seen.noted.note) == ("usr_ada", "on it")
    assert len(world.events("monitoring.alert_acknowledged")) == 1
    with pytest.raises(NotAllowed):
        world.database.write(lambda tx: acknowledge_alert(tx, VIEWER, drifting.id))
    with pytest.raises(AlertNotFound):
        world.database.write(lambda tx: acknowledge_alert(tx, ADA, AlertId("alt_none")))


def test_an_acknowledgement_outlives_the_next_look(world: World, drifting: Alert) -> None:
    world.database.write(lambda tx: acknowledge_alert(tx, ADA, drifting.id, "on it"))
    world.day(shift=4.0)
    with world.database.read() as snapshot:
        found = get_alert(snapshot, ADA, drifting.id)
    assert found.noted is not None
    assert found.seen_at == world.clock.now()


def test_drift_right_after_a_release_names_the_release(world: World, drifting: Alert) -> None:
    with world.database.read() as snapshot:
        why = why_alert(snapshot, SYSTEM, drifting.id)
    assert [(one.kind, one.subject) for one in why.suspects] == [("release", "v1")]
    assert why.rollback.version is None


def test_what_people_do_between_a_look_and_its_writing_is_kept_and_nothing_closes_twice(world: World, drifting: Alert) -> None:
    seen = msgspec.structs.replace(drifting, title="temp drifted further", seen_at=world.clock.now())
    over = Over(alert=drifting, why="it is over")
    world.database.write(lambda tx: silence_alert(tx, ADA, drifting.id, "2h", "known outage"))
    world.database.write(lambda tx: made_true(tx, Plan(going_on=(seen,)), lambda _: DEFAULT_TEAM))
    for _ in range(2):
        world.database.write(lambda tx: made_true(tx, Plan(closed=(over,)), lambda _: DEFAULT_TEAM))
    with world.database.read() as snapshot:
        found = get_alert(snapshot, ADA, drifting.id)
    assert found.silence is not None
    assert (found.title, found.closed_why) == ("temp drifted further", "it is over")
    assert len(world.events("monitoring.alert_closed")) == 1
