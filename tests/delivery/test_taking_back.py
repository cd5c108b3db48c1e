"""What the prediction log says against a version takes it back, in the rollout and in the watch."""

import uuid
from collections.abc import Sequence

import pytest

from modelyard.core.clock import FixedClock
from modelyard.delivery.domain import DeliveryState, Facts, StageName
from modelyard.delivery.machine import Done, Outcome, Stopped, Waits
from modelyard.delivery.stages.rollout import watch
from modelyard.delivery.stages.yard import Yard
from modelyard.serving import tabular
from modelyard.serving.domain import Arm
from modelyard.serving.log.frames import Field, Frame, Layout, PredictionFrame
from modelyard.storage.database import Database
from tests.delivery.rolling import BAKE_S, Rolling, job_of, live, with_facts
from tests.serving.control import Pretender
from tests.serving.world import LATE

USUAL_US, SLOW_US, PARTS, AT_ONCE = 300, 3_000, 6, 10
FINE, NAN, INFINITE = (0.5,) * AT_ONCE, (0.5, float("nan"), *(0.5,) * 8), (float("-inf"), *(0.5,) * 9)
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
WRONG = pytest.mark.parametrize(
    ("values", "latency_us", "said"),
    [
        (NAN, USUAL_US, f"{PARTS} of {PARTS * AT_ONCE} answers were no numbers"),
        (INFINITE, USUAL_US, f"{PARTS} of {PARTS * AT_ONCE} answers were no numbers"),
        (FINE, SLOW_US, "9.9 times as long"),
    ],
)


def answered(yard: Yard, version: int, arm: Arm, values: Sequence[float] = FINE, latency_us: int = USUAL_US) -> None:
    """A version has answered some requests now, and the log has it."""
    layout = Layout(LATE, version, (Field("origin", "key", "text"),))
    now, frames = yard.database.clock.now(), list[Frame]([layout])
    for _ in range(PARTS):
        ids = b"".join(uuid.uuid4().bytes for _ in values)
        wall = yard.database.clock.wall()
        frames.append(PredictionFrame(layout.key, now, wall, 1, arm.value, latency_us + len(frames), ids, list(values), [["JFK"]]))
    found = tabular.predictions_of(frames, name := f"seg_{uuid.uuid4().hex}")
    assert found is not None
    yard.tables.append(tabular.PREDICTIONS, found, key=name, partition_by=["model"])


def watched(yard: Yard, version: int, facts: Facts) -> Outcome:
    """One look of the watch, its changes made."""
    found = watch(yard, with_facts(job_of(version, {}), {StageName.WATCH: facts}))
    if found.apply is not None:
        yard.database.write(found.apply)
    return found


@WRONG
def test_a_canary_that_answers_wrongly_or_slowly_is_taken_back(
    database: Database, yard: Yard, clock: FixedClock, values: Sequence[float], latency_us: int, said: str
) -> None:
    gateway = Pretender(database, "one")
    Rolling(yard, gateway, 1).moves(clock)
    second = Rolling(yard, gateway, 2)
    second.move()
    answered(yard, 2, Arm.CANARY, NAN)  # before the share was live: not its own answers under this revision
    clock.advance(1.0)
    assert isinstance(second.move(), Waits)
    assert live(database).canary is not None
    answered(yard, 1, Arm.CHAMPION)
    answered(yard, 2, Arm.CANARY, values, latency_us)
    found = second.move()
    assert isinstance(found, Stopped)
    assert (found.state, said in found.reason) == (DeliveryState.ROLLED_BACK, True), found.reason
    assert (live(database).champion, live(database).canary) == (1, None)


@WRONG
def test_a_version_under_all_traffic_that_answers_wrongly_or_slowly_is_rolled_back(
    database: Database, yard: Yard, clock: FixedClock, values: Sequence[float], latency_us: int, said: str
) -> None:
    gateway = Pretender(database, "one")
    for version in (1, 2):
        Rolling(yard, gateway, version).moves(clock)
    answered(yard, 1, Arm.CHAMPION)
    clock.advance(1.0)
    begun = watched(yard, 2, {})
    assert isinstance(begun, Waits)
    answered(yard, 2, Arm.CHAMPION, values, latency_us)
    found = watched(yard, 2, begun.facts)
    assert isinstance(found, Stopped)
    assert (found.state, said in found.reason) == (DeliveryState.ROLLED_BACK, True), found.reason
    assert live(database).champion == 1


def test_a_version_that_answers_as_the_others_do_stays(database: Database, yard: Yard, clock: FixedClock) -> None:
    gateway = Pretender(database, "one")
    Rolling(yard, gateway, 1).moves(clock)
    second = Rolling(yard, gateway, 2)
    for _ in range(2):
        second.move()
    answered(yard, 1, Arm.CHAMPION)
    answered(yard, 2, Arm.CANARY)
    clock.advance(BAKE_S)
    assert isinstance(second.moves(clock), Done)
    begun = watched(yard, 2, {})
    answered(yard, 2, Arm.CHAMPION)
    clock.advance(BAKE_S)
    assert isinstance(watched(yard, 2, begun.facts), Done)
    assert live(database).champion == 2


def test_a_first_version_that_answers_with_no_number_fails_its_delivery(database: Database, yard: Yard, clock: FixedClock) -> None:
    Rolling(yard, Pretender(database, "one"), 1).moves(clock)
    begun = watched(yard, 1, {})
    answered(yard, 1, Arm.CHAMPION, NAN)
    found = watched(yard, 1, begun.facts)
    assert isinstance(found, Stopped)
    assert (found.state, "no version before it" in found.reason, live(database).champion) == (DeliveryState.FAILED, True, 1)
