"""Rollouts under gateways that load, fail and hear of other revisions meanwhile: never half there, never further back than needed."""

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM
from modelyard.core.clock import FixedClock
from modelyard.delivery.domain import DeliveryState
from modelyard.delivery.machine import Done, Stopped
from modelyard.delivery.stages.yard import Yard
from modelyard.features.service import list_consumers, list_readers
from modelyard.features.store import replace_readers
from modelyard.registry.domain import CHALLENGER, CHAMPION
from modelyard.registry.service import find_alias, set_alias
from modelyard.serving.domain import Proposal
from modelyard.serving.service import mark_stale, note_all_reads, propose_revision, withdraw
from modelyard.storage.database import Database
from tests.delivery.rolling import Rolling, live
from tests.serving.control import Pretender
from tests.serving.world import LATE


def champion(database: Database) -> tuple[int, list[str | None]]:
    """The version that the alias points to, and what the page of the view says who reads it."""
    with database.read() as snapshot:
        alias = find_alias(snapshot, LATE, CHAMPION)
        readers = list_consumers(snapshot, SYSTEM, "weather")
    return (0 if alias is None else alias.version), [one.href for one in readers]


def test_a_version_takes_over_by_its_steps_and_the_view_names_its_reader(database: Database, yard: Yard, clock: FixedClock) -> None:
    gateway = Pretender(database, "one")
    for version in (1, 2):
        assert isinstance(Rolling(yard, gateway, version).moves(clock), Done)
        assert (live(database).champion, live(database).canary) == (version, None)
        assert champion(database) == (version, ["/models/late"])


def test_what_answers_and_what_may_at_once_is_kept_online_as_it_reads(database: Database, yard: Yard, clock: FixedClock) -> None:
    gateway = Pretender(database, "one")

    def readers() -> dict[str, bool]:
        with database.read() as snapshot:
            return {one.reader: one.is_answering for one in list_readers(snapshot, SYSTEM, "weather")}

    Rolling(yard, gateway, 1).moves(clock)
    assert readers() == {"late v1": True}
    second = Rolling(yard, gateway, 2)
    second.move()
    assert readers() == {"late v1": True, "late v2": False}  # a canary that no gateway has loaded yet
    second.move()
    assert readers() == {"late v1": True, "late v2": True}
    second.moves(clock)
    assert readers() == {"late v1": False, "late v2": True}  # a rollback leads to the first
    database.write(lambda tx: replace_readers(tx, "endpoint:late", DEFAULT_TEAM, []))
    database.write(note_all_reads)
    assert readers() == {"late v1": False, "late v2": True}
    database.write(lambda tx: withdraw(tx, SYSTEM, LATE))
    assert readers() == {}


def test_a_champion_challenges_nobody_and_another_challenger_stays_one(database: Database, yard: Yard, clock: FixedClock) -> None:
    gateway = Pretender(database, "one")
    for version, challenger, left in ((1, 1, None), (2, 3, 3)):
        database.write(lambda tx, number=challenger: set_alias(tx, SYSTEM, LATE, CHALLENGER, number))  # type: ignore[misc]  # a bound default
        assert isinstance(Rolling(yard, gateway, version).moves(clock), Done)
        with database.read() as snapshot:
            alias = find_alias(snapshot, LATE, CHALLENGER)
        assert (alias.version if alias else None, champion(database)[0]) == (left, version)


def test_a_rollout_goes_on_under_a_revision_that_came_because_a_view_is_stale(database: Database, yard: Yard, clock: FixedClock) -> None:
    gateway = Pretender(database, "one")
    Rolling(yard, gateway, 1).moves(clock)
    second = Rolling(yard, gateway, 2)
    for stale in (["weather"], [], ["weather"]):
        second.move()
        database.write(lambda tx, stale=stale: mark_stale(tx, SYSTEM, stale))  # type: ignore[misc]  # a bound default
    assert isinstance(second.moves(clock), Done)
    assert live(database).champion == 2


def test_a_revision_that_splits_traffic_otherwise_ends_the_rollout(database: Database, yard: Yard, clock: FixedClock) -> None:
    gateway = Pretender(database, "one")
    Rolling(yard, gateway, 1).moves(clock)
    second = Rolling(yard, gateway, 2)
    second.move()
    database.write(lambda tx: propose_revision(tx, SYSTEM, LATE, Proposal(champion=1)))
    found = second.moves(clock)
    assert isinstance(found, Stopped)
    assert (found.state, live(database).champion, champion(database)[0]) == (DeliveryState.ROLLED_BACK, 1, 1)


def test_a_version_that_no_gateway_can_load_leaves_the_champion_where_it_is(database: Database, yard: Yard, clock: FixedClock) -> None:
    gateway = Pretender(database, "one")
    for version in (1, 2):
        Rolling(yard, gateway, version).moves(clock)
    failing = Pretender(database, "one", fails="out of memory")
    failing.held = gateway.held
    found = Rolling(yard, failing, 3).moves(clock)
    assert isinstance(found, Stopped)
    assert "out of memory" in found.reason
    assert (found.state, live(database).champion, live(database).canary) == (DeliveryState.ROLLED_BACK, 2, None)
    assert champion(database) == (2, ["/models/late"])


def test_a_first_version_that_cannot_be_loaded_fails_and_says_that_nothing_was_before_it(
    database: Database, yard: Yard, clock: FixedClock
) -> None:
    gateway = Pretender(database, "one")
    first = Rolling(yard, gateway, 1)
    gateway.held = {}
    first.move()
    database.write(lambda tx: propose_revision(tx, SYSTEM, LATE, Proposal(champion=1)))
    found = Rolling(yard, Pretender(database, "one", fails="out of memory"), 1)
    found.facts = {"step": 0, "revision": 2}
    outcome = found.moves(clock)
    assert isinstance(outcome, Stopped)
    assert (outcome.state, "no version before it" in outcome.reason) == (DeliveryState.FAILED, True)
