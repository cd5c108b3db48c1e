"""Who gives traffic, on both databases: approvers of the model's own team; a rollback goes round no approval, and is a contributor's."""

import pytest

from modelyard.access.domain import NotAllowed, Principal, PrincipalId, Role, TeamId
from modelyard.core.errors import NotFound
from modelyard.serving import service
from modelyard.serving.domain import NeverChampion, NoSuchEndpoint, Proposal, RolloutStep, Route
from modelyard.serving.service.revisions import MOST_REVISIONS
from modelyard.storage.database import Database
from tests.serving.control import BEN, ROOT, Pretender, registered
from tests.serving.test_service import STRANGER, live, propose, settled
from tests.serving.world import LATE, World


@pytest.fixture
def yard(database: Database, world: World) -> Database:
    """A database with the world's model."""
    registered(database, world)
    return database


def test_a_rollback_goes_round_no_approval_and_a_contributor_may_bring_an_earlier_champion_back(yard: Database) -> None:
    gateway = Pretender(yard, "one")
    for champion in (1, 2):
        propose(yard, champion)
        settled(yard, gateway)
    propose(yard, 2, canary=Route(version=3, share=0.5))
    settled(yard, gateway)
    propose(yard, 3)
    for _ in range(2):
        with pytest.raises(NeverChampion) as refused:
            yard.write(lambda tx: service.rollback(tx, BEN, LATE, 3))
        assert (refused.value.code, "yard ship" in refused.value.hint) == ("never_champion", True)
        yard.write(lambda tx: service.rollback(tx, BEN, LATE, 1))
        assert settled(yard, gateway).revision.traffic.champion == 1


def test_a_champion_of_hundreds_of_revisions_ago_comes_back_too(yard: Database) -> None:
    gateway = Pretender(yard, "one")
    propose(yard, 1)
    settled(yard, gateway)
    for _ in range(MOST_REVISIONS):
        propose(yard, 2)
    settled(yard, gateway)
    yard.write(lambda tx: service.rollback(tx, BEN, LATE))
    assert settled(yard, gateway).revision.traffic.champion == 1


@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.CONTRIBUTOR, Role.AUDITOR])
def test_who_approves_in_another_team_gives_no_traffic_in_this_one(yard: Database, role: Role | None) -> None:
    propose(yard, 1)
    settled(yard, Pretender(yard, "one"))
    roles = {TeamId("red"): Role.APPROVER} | ({} if role is None else {TeamId("default"): role})
    caller = Principal(id=PrincipalId("usr_two"), name="two", kind="person", roles=roles)
    for change in (
        lambda tx: service.propose_revision(tx, caller, LATE, Proposal(champion=2)),
        lambda tx: service.step_rollout(tx, caller, LATE, RolloutStep(version=2, share=0.5)),
        lambda tx: service.set_shadows(tx, caller, LATE, (2,)),
        lambda tx: service.withdraw(tx, caller, LATE),
    ):
        with pytest.raises(NotFound if role is None else NotAllowed):
            yard.write(change)
    found = live(yard)
    assert found is not None
    assert found.revision.number == 1


def test_a_contributor_begins_to_serve_nothing(yard: Database) -> None:
    for change in (
        lambda tx: service.propose_revision(tx, BEN, LATE, Proposal(champion=1)),
        lambda tx: service.step_rollout(tx, BEN, LATE, RolloutStep(version=1, share=0.1)),
    ):
        with pytest.raises(NotAllowed):
            yard.write(change)
    with yard.read() as snapshot:
        assert service.list_endpoints(snapshot, ROOT) == []


def test_other_teams_neither_see_nor_change_an_endpoint(yard: Database) -> None:
    propose(yard)
    with yard.read() as snapshot:
        assert service.list_endpoints(snapshot, STRANGER) == []
        assert [one.model for one in service.list_endpoints(snapshot, ROOT)] == [LATE]
        with pytest.raises(NoSuchEndpoint):
            service.get_endpoint(snapshot, STRANGER, LATE)
    for change in (
        lambda tx: service.propose_revision(tx, STRANGER, LATE, Proposal(champion=2)),
        lambda tx: service.rollback(tx, STRANGER, LATE),
        lambda tx: service.withdraw(tx, STRANGER, LATE),
    ):
        with pytest.raises(NotFound):
            yard.write(change)
    viewer = Principal(id=PrincipalId("usr_v"), name="v", kind="person", roles={TeamId("default"): Role.VIEWER})
    with pytest.raises(NotAllowed):
        yard.write(lambda tx: service.propose_revision(tx, viewer, LATE, Proposal(champion=2)))
    with pytest.raises(NotAllowed):
        yard.write(lambda tx: service.rollback(tx, viewer, LATE, 2))
