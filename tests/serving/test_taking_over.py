"""Own revisions of gateways as the control plane takes them over, on both databases: the one rule, numbers, repetition."""

import msgspec
import pytest

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.core.clock import FixedClock, Instant
from modelyard.ledger.domain import Event
from modelyard.ledger.service import list_events, sequence_pending
from modelyard.registry.service import retire_version
from modelyard.serving import service
from modelyard.serving.domain import (
    OWN_NUMBERS,
    Endpoint,
    Fallback,
    OwnRevision,
    Proposal,
    Revision,
    RevisionState,
    RolloutStep,
    Route,
    Traffic,
)
from modelyard.storage.database import Database
from tests.serving.control import ADA, Pretender, registered
from tests.serving.world import LATE, World


@pytest.fixture
def yard(database: Database, world: World) -> Database:
    """A database with the world's model, of which versions 1 and 2 were served, and 2 is."""
    registered(database, world)
    gateway = Pretender(database, "g1")
    for champion in (1, 2):
        propose(database, champion)
        settle(gateway)
    return database


def propose(yard: Database, champion: int, canary: Route | None = None) -> None:
    """Proposes a revision."""
    yard.write(lambda tx: service.propose_revision(tx, ADA, LATE, Proposal(champion=champion, canary=canary)))


def settle(gateway: Pretender) -> None:
    """Has a gateway do what it is told."""
    for _ in range(3):
        gateway.beat()


def own(number: int, champion: int, *away: int, base: int = 2) -> OwnRevision:
    """A rollback that somebody did at a gateway."""
    revision = Revision(
        model=LATE,
        number=number,
        team_id=TeamId("forged"),
        traffic=Traffic(champion=champion),
        cause="wrong",
        actor=PrincipalId("usr_forged"),
        proposed_at=Instant(2**60),
    )
    return OwnRevision(revision=revision, base=base, away=away, by="ada", decided_at=Instant(2**60))


def report(gateway: Pretender, *revisions: OwnRevision) -> dict[str, int]:
    """Has a gateway report revisions that it made and serves the last of; what it is told to serve."""
    gateway.held.clear()
    for one in revisions:
        gateway.hold(one)
    told = gateway.beat(own=revisions)
    assert told.taken_over == tuple((LATE, one.revision.number) for one in revisions)
    return dict(told.active)


def endpoint(yard: Database) -> Endpoint:
    """The endpoint."""
    with yard.read() as snapshot:
        return service.get_endpoint(snapshot, ADA, LATE)


def entries(yard: Database) -> list[Event]:
    """The ledger's entries about own revisions."""
    sequence_pending(yard, "tests")
    with yard.read() as snapshot:
        return list_events(snapshot, -1, ("serving.rolled_back_locally",), 100)


def test_where_the_newest_revision_answers_with_what_was_rolled_away_from_the_rollback_follows_it(yard: Database) -> None:
    cut, other = Pretender(yard, "cut"), Pretender(yard, "g1")
    number = cut.beat().own_number
    settle(other)
    assert report(cut, own(number, 1, 2)) == {LATE: number}
    found = endpoint(yard)
    assert found.coming is not None
    assert (found.coming.revision.traffic.champion, found.coming.revision.number) == (1, 3)
    assert [(one.revision.number, one.state) for one in found.local] == [(number, RevisionState.LOCAL)]
    assert dict(other.beat().active) == {LATE: 2}
    assert dict(cut.beat().active) == {LATE: number}
    settle(other)
    settle(cut)
    found = endpoint(yard)
    assert found.live is not None
    assert (found.live.revision.number, found.local, dict(cut.beat().active)) == (3, (), {LATE: 3})
    assert cut.beat().own_number == number + 1


def test_a_report_that_is_repeated_changes_nothing_and_nothing_in_it_is_taken_on_trust(yard: Database, clock: FixedClock) -> None:
    cut = Pretender(yard, "cut")
    made = own(cut.beat().own_number, 1, 2)
    for _ in range(3):
        report(cut, made)
    with yard.read() as snapshot:
        found = service.get_revision(snapshot, ADA, LATE, made.revision.number).revision
        assert [one.revision.number for one in service.list_revisions(snapshot, ADA, LATE)] == [3, 2, 1]
    assert (found.team_id, found.actor, found.proposed_at) == ("default", "svc_gate", clock.now())
    (entry,) = entries(yard)
    assert (entry.actor, entry.data["decided_wall_at"], entry.data["outcome"]) == ("svc_gate", clock.wall(), "stands")
    assert "ada" not in str(entry.data)


def test_where_the_newest_revision_no_longer_answers_with_it_that_one_stands(yard: Database) -> None:
    cut = Pretender(yard, "cut")
    number = cut.beat().own_number
    propose(yard, 3)
    settle(Pretender(yard, "g1"))
    settle(Pretender(yard, "cut"))
    assert report(cut, own(number, 1, 2)) == {LATE: 3}
    assert endpoint(yard).coming is None
    assert [(one.data["outcome"], one.data["followed_by"]) for one in entries(yard)] == [("met", 3)]


def test_a_step_of_a_rollout_made_meanwhile_does_not_bring_back_what_was_rolled_away_from(yard: Database) -> None:
    cut = Pretender(yard, "cut")
    number = cut.beat().own_number
    step = RolloutStep(version=3, share=0.5, fallback=Fallback(value=0.5))
    yard.write(lambda tx: service.step_rollout(tx, ADA, LATE, step))
    report(cut, own(number, 2, 3))
    found = endpoint(yard).coming
    assert found is not None
    assert (found.revision.number, found.revision.traffic.champion, found.revision.traffic.canary) == (4, 2, None)
    assert found.revision.traffic.fallback == Fallback(value=0.5)


def test_of_two_gateways_that_were_rolled_back_the_second_joins_what_the_first_brought(yard: Database) -> None:
    propose(yard, 3)
    settle(Pretender(yard, "g1"))
    one, two = Pretender(yard, "one"), Pretender(yard, "two")
    first, second = one.beat().own_number, two.beat().own_number
    assert abs(first - second) == OWN_NUMBERS
    report(one, own(first, 2, 3))
    assert report(two, own(second, 1, 3)) == {LATE: second}
    found = endpoint(yard)
    assert [detail.revision.number for detail in found.local] == sorted([first, second])
    assert [entry.data["outcome"] for entry in entries(yard)] == ["stands", "met"]


def test_what_was_retired_meanwhile_does_not_come_back_and_that_is_said(yard: Database) -> None:
    cut = Pretender(yard, "cut")
    number = cut.beat().own_number
    yard.write(lambda tx: retire_version(tx, ADA, LATE, 1, "wrong labels"))
    assert report(cut, own(number, 1, 2)) == {LATE: 2}
    (entry,) = entries(yard)
    assert (entry.data["outcome"], entry.data["followed_by"]) == ("refused", 2)
    assert "retired" in entry.data["why"]


def test_what_never_was_champion_is_not_brought_in_by_a_report(yard: Database) -> None:
    cut = Pretender(yard, "cut")
    number = cut.beat().own_number
    assert report(cut, own(number, 3, 2)) == {LATE: 2}
    assert endpoint(yard).coming is None
    (entry,) = entries(yard)
    assert (entry.data["outcome"], "never champion" in entry.data["why"]) == ("refused", True)


def test_a_model_that_was_withdrawn_stays_so(yard: Database) -> None:
    cut = Pretender(yard, "cut")
    number = cut.beat().own_number
    yard.write(lambda tx: service.withdraw(tx, ADA, LATE))
    assert report(cut, own(number, 1, 2)) == {}


def test_a_number_of_the_control_plane_is_no_gateways_to_take(yard: Database) -> None:
    report(Pretender(yard, "cut"), own(3, 1, 2))
    found = endpoint(yard)
    assert (found.coming, entries(yard)) == (None, [])


def test_a_gateway_that_was_removed_keeps_its_numbers(yard: Database) -> None:
    number = Pretender(yard, "cut").beat().own_number
    used = msgspec.structs.replace(own(number, 1, 2))
    report(Pretender(yard, "cut"), used)
    assert Pretender(yard, "new").beat().own_number not in range(number, number + OWN_NUMBERS)
    assert Pretender(yard, "cut").beat().own_number == number + 1
