"""Views that go stale: one alert for all that read them, the fallback meanwhile, and whether a rollback would help."""

from modelyard.access.domain import SYSTEM
from modelyard.monitoring.domain import Alert, AlertKind, StaleEvidence, drift
from modelyard.monitoring.service import get_monitoring, tick, why_alert
from modelyard.serving.domain import Fallback
from tests.conftest import START
from tests.monitoring.world import DAY, LATE, World

HOUR = DAY // 24
FALLBACK = Fallback(value=0.3, views=("weather",))


def served(world: World, *, views_of_old: dict[str, str] | None = None) -> None:
    """Has version 2 answer after version 1, both trained, with a view that is fresh for six hours."""
    world.watch(drift())
    world.train(1, views={"wind": "weather"} if views_of_old is None else views_of_old)
    world.train(2, views={"wind": "weather"})
    world.bring(0)
    world.release(1, fallback=FALLBACK)
    world.clock.advance(60)
    world.release(2, fallback=FALLBACK)


def stale_alert(world: World, hours: float = 8) -> Alert:
    """Lets the view go stale; the alert that the next tick opens."""
    world.clock.advance(hours * 3600)
    (alert,) = tick(world.database, world.tables).opened
    return alert


def test_a_stale_view_is_named_with_its_readers_and_the_fallback_serves(world: World) -> None:
    served(world)
    assert tick(world.database, world.tables).opened == ()
    assert world.stale_fallback() == ()
    alert = stale_alert(world)
    assert (alert.kind, alert.subject, alert.model, alert.models) == (AlertKind.STALE, "weather", None, (LATE,))
    assert alert.since_at == START + 6 * HOUR
    assert isinstance(alert.evidence, StaleEvidence)
    assert "newest event is 8.0 h old, 6.0 h promised" in alert.title
    assert world.stale_fallback() == ("weather",)
    with world.database.read() as snapshot:
        standing = get_monitoring(snapshot, SYSTEM, LATE)
    assert standing.views[0].is_stale
    assert [one.id for one in standing.alerts] == [alert.id]


def test_a_stale_view_stays_one_alert_and_is_over_when_new_values_come(world: World) -> None:
    served(world)
    alert = stale_alert(world)
    world.clock.advance(3600)
    assert tick(world.database, world.tables).opened == ()
    world.bring(0, 8)
    (closed,) = tick(world.database, world.tables).closed
    assert (closed.id, closed.closed_why) == (alert.id, "weather is fresh again")
    assert world.stale_fallback() == ()


def test_a_rollback_to_a_version_that_reads_the_same_stale_view_would_not_help(world: World) -> None:
    served(world)
    alert = stale_alert(world)
    with world.database.read() as snapshot:
        why = why_alert(snapshot, SYSTEM, alert.id)
    assert (why.rollback.version, why.rollback.helps) == (1, False)
    assert "v1 reads weather too" in why.rollback.why
    assert (why.stale, why.readers) == ("weather", ("late",))
    assert alert.title.endswith("nothing was brought online for 8.0 h")
    assert why.next.startswith("yard features materialize weather: it brings the view online or says what keeps it")


def test_of_a_stale_view_that_is_brought_online_the_source_stands_still(world: World) -> None:
    served(world)
    world.clock.advance(7 * 3600)
    world.bring(0)
    alert = stale_alert(world, hours=1)
    with world.database.read() as snapshot:
        why = why_alert(snapshot, SYSTEM, alert.id)
    assert alert.title == "weather is stale: its newest event is 8.0 h old, 6.0 h promised; its source has no newer one"
    assert why.next.startswith("mend what writes the source of weather")


def test_a_rollback_to_a_version_that_does_not_read_it_would_help(world: World) -> None:
    served(world, views_of_old={"wind": "station"})
    alert = stale_alert(world)
    with world.database.read() as snapshot:
        why = why_alert(snapshot, SYSTEM, alert.id)
    assert (why.rollback.version, why.rollback.helps) == (1, True)
    assert why.next == "yard rollback late --to 1"


def test_a_view_that_no_watched_model_reads_opens_no_alert(world: World) -> None:
    world.watch(drift())
    world.train(1)
    world.bring(0)
    world.release(1)
    world.clock.advance(DAY / 1e6)
    assert tick(world.database, world.tables).opened == ()
