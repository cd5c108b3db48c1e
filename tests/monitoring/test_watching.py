"""What is watched: monitors that are set once, references that never change, and ticks of several workers at once."""

from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, NotAllowed, Principal, PrincipalId, Role
from modelyard.core.clock import Instant
from modelyard.monitoring import store
from modelyard.monitoring.domain import ModelNotMonitored, NewReference, NewWatch, drift, performance, quality
from modelyard.monitoring.service import Scored, levels_of, put_reference, reference_of, set_monitors, tick
from tests.monitoring.world import LATE, World, drawn

VIEWER = Principal(id=PrincipalId("usr_v"), name="vera", kind="person", roles={DEFAULT_TEAM: Role.VIEWER})
SMALL = NewReference(reference=reference_of(pl.DataFrame({"wind": [1.0, 2.0]}), ["wind"], []))


def test_the_same_monitors_again_change_nothing_and_others_keep_how_far_looks_came(world: World) -> None:
    world.watch(drift())
    world.train(1, drift())
    world.release(1)
    world.day()
    world.watch(drift())
    assert len(world.events("monitoring.monitors_set")) == 1
    world.watch(drift(), quality())
    with world.database.read() as snapshot:
        watched = store.find_watched(snapshot, LATE)
    assert watched is not None
    assert (watched.live, watched.drift_to, len(watched.monitors)) == (1, world.clock.now(), 2)


def test_a_version_has_one_reference_whose_digest_is_in_the_ledger(world: World) -> None:
    world.watch(drift())
    first = world.database.write(lambda tx: put_reference(tx, SYSTEM, LATE, 1, SMALL))
    again = world.database.write(
        lambda tx: put_reference(tx, SYSTEM, LATE, 1, NewReference(reference=SMALL.reference, views={"wind": "weather"}))
    )
    assert again == first
    (event,) = world.events("monitoring.reference_made")
    assert (event.subject, event.digest, event.data["columns"]) == ("model:late/1", first.digest, ["wind"])


def test_only_contributors_set_what_is_watched(world: World) -> None:
    with pytest.raises(NotAllowed):
        world.database.write(lambda tx: set_monitors(tx, VIEWER, LATE, NewWatch(monitors=(drift(),))))
    world.watch(drift())
    with pytest.raises(NotAllowed):
        world.database.write(lambda tx: put_reference(tx, VIEWER, LATE, 1, SMALL))


def test_a_reference_of_a_model_that_is_not_watched_is_refused(world: World) -> None:
    with pytest.raises(ModelNotMonitored):
        world.database.write(lambda tx: put_reference(tx, SYSTEM, LATE, 1, SMALL))


def test_a_level_is_only_said_where_outcomes_can_tell_it() -> None:
    scored = Scored(scores=pl.Series([0.1, 0.2, 0.9]), labels=pl.Series([0, 0, 1]))
    assert {level.metric for level in levels_of(scored, is_binary=True)} == {"accuracy", "log_loss", "brier"}
    assert {level.metric for level in levels_of(scored, is_binary=False)} == {"mae", "rmse"}


def test_workers_that_tick_at_once_count_everything_once_and_open_one_alert(world: World) -> None:
    monitors = (drift(window="1d"), performance("roc_auc", drop=0.05))
    world.watch(*monitors)
    world.train(1, *monitors)
    world.release(1)
    rows = drawn(world.random, 400, shift=4.0)
    world.tell(world.ask(rows), rows.label)
    world.clock.advance(86_400)
    with ThreadPoolExecutor(4) as pool:
        done = [future.result() for future in [pool.submit(tick, world.database, world.tables) for _ in range(4)]]
    assert sum(one.predictions for one in done) == 400
    assert sum(len(one.opened) for one in done) == 1
    with world.database.read() as snapshot:
        days = store.list_days(snapshot, LATE, 1, Instant(0), world.clock.now())
        outcomes = store.list_outcomes(snapshot, LATE, Instant(0))
    assert [day.summary.rows for day in days] == [400]
    assert sum(cell.outcomes.rows for cell in outcomes) == 400
