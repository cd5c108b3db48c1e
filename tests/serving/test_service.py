"""Revisions on both databases: two phases over the live gateways, rollbacks, staleness, who may, and what the ledger says."""

import pytest
import sqlalchemy as sa

from modelyard.access.domain import EVERY_TEAM, SYSTEM, NotAllowed, Principal, PrincipalId, Role, Scope, TeamId, TokenOrder
from modelyard.access.service import create_service_account, create_token, first_start, revoke_token
from modelyard.core.clock import SECOND, FixedClock, Instant
from modelyard.features import service as features
from modelyard.features.domain import FeatureSet
from modelyard.ledger.service import list_events, sequence_pending
from modelyard.registry.domain import CHAMPION, ModelName, NewVersion, NoSuchModel, NoSuchVersion, VersionIsLive
from modelyard.registry.service import find_alias, get_version, register_version, retire_version
from modelyard.serving import service
from modelyard.serving.domain import (
    BadTraffic,
    Contents,
    Fallback,
    Heartbeat,
    NoSuchRevision,
    Proposal,
    RevisionDetail,
    RevisionMoved,
    RevisionState,
    RolloutStep,
    Route,
    SealedSegment,
)
from modelyard.serving.store.gateways import GATEWAY
from modelyard.storage.database import Database
from modelyard.storage.replay import begin_replay
from tests.serving.control import ADA, GATE, ROOT, Pretender, registered
from tests.serving.world import LATE, SET, WEATHER, World

DECLARED = Fallback(value=0.25, views=("weather",))
STRANGER = Principal(id=PrincipalId("usr_x"), name="x", kind="person", roles={TeamId("red"): Role.ADMIN})


@pytest.fixture
def yard(database: Database, world: World) -> Database:
    """A database with the world's model."""
    registered(database, world)
    return database


def propose(yard: Database, champion: int = 1, **traffic: object) -> RevisionDetail:
    """Proposes a revision."""
    body = Proposal(champion=champion, **traffic)  # type: ignore[arg-type]  # by name
    return yard.write(lambda tx: service.propose_revision(tx, ADA, LATE, body))


def silence(yard: Database, gateway: str, seconds: int) -> None:
    """Has a gateway not been heard of for so much longer: leases go by the database's own time."""
    statement = sa.update(GATEWAY).where(GATEWAY.c.name == gateway).values(seen_at=GATEWAY.c.seen_at - seconds * SECOND)
    yard.write(lambda tx: tx.connection.execute(statement).rowcount)


def live(yard: Database) -> RevisionDetail | None:
    """The live revision."""
    with yard.read() as snapshot:
        return service.get_endpoint(snapshot, ADA, LATE).live


def types(yard: Database) -> list[str]:
    """What serving wrote into the ledger."""
    sequence_pending(yard, "tests")
    with yard.read() as snapshot:
        return [event.type for event in list_events(snapshot, -1, None, 500) if event.type.startswith("serving.")]


def test_a_revision_goes_live_once_every_live_gateway_has_it(yard: Database, clock: FixedClock) -> None:
    one, two = Pretender(yard, "one"), Pretender(yard, "two")
    one.beat()
    two.beat()
    assert propose(yard).state is RevisionState.PROPOSED
    assert one.beat().prepare == ((LATE, 1),)
    one.beat()
    assert live(yard) is None
    two.beat()
    assert two.beat().active == ((LATE, 1),)
    clock.advance(1)
    assert one.beat().active == ((LATE, 1),)
    one.beat()
    two.beat()
    found = live(yard)
    assert found is not None
    assert (found.state, found.revision.actor) == (RevisionState.ACTIVE, ADA.id)
    assert [switch.gateway for switch in found.switches] == ["two", "one"]
    assert found.switches[1].switched_at - found.switches[0].switched_at == SECOND


def test_what_is_known_is_not_sent_again(yard: Database) -> None:
    gateway = Pretender(yard, "one")
    propose(yard)
    (deployment,) = gateway.beat().deployments
    assert deployment.version(1).feature_set == SET
    assert deployment.version(1).feature_teams == (TeamId("default"),)
    assert gateway.beat().deployments == ()


def test_a_version_reads_its_own_set_also_after_another_was_applied_under_its_name(yard: Database) -> None:
    yard.write(lambda tx: features.apply_set(tx, SYSTEM, FeatureSet(SET.name, [WEATHER["wind"]])))
    gateway = Pretender(yard, "one")
    propose(yard, 2)
    (deployment,) = gateway.beat().deployments
    assert deployment.version(2).feature_set == SET


def test_a_gateway_that_is_silent_for_its_lease_is_not_waited_for(yard: Database) -> None:
    one, two = Pretender(yard, "one"), Pretender(yard, "two")
    two.beat()
    silence(yard, "two", 10)
    propose(yard)
    one.beat()
    one.beat()
    assert live(yard) is None
    silence(yard, "two", 6)
    assert one.beat().active == ((LATE, 1),)
    two.beat()
    assert two.beat().active == ((LATE, 1),)


def test_without_a_gateway_nothing_goes_live(yard: Database) -> None:
    propose(yard)
    assert live(yard) is None


def test_a_revision_that_a_gateway_cannot_load_fails_and_the_live_one_stays(yard: Database) -> None:
    gateway = Pretender(yard, "one", fails="no such blob")
    propose(yard)
    gateway.beat()
    gateway.beat()
    propose(yard, 2)
    gateway.beat()
    gateway.beat()
    with yard.read() as snapshot:
        failed = service.get_revision(snapshot, ADA, LATE, 2)
        assert (failed.state, failed.why_failed) == (RevisionState.FAILED, "one: no such blob")
        assert service.get_endpoint(snapshot, ADA, LATE).coming is None
    found = live(yard)
    assert found is not None
    assert found.revision.number == 1


def test_a_newer_proposal_takes_the_place_of_one_that_is_coming(yard: Database) -> None:
    propose(yard, 1)
    propose(yard, 2)
    gateway = Pretender(yard, "one")
    gateway.beat()
    gateway.beat()
    with yard.read() as snapshot:
        states = [one.state for one in service.list_revisions(snapshot, ADA, LATE)]
    assert states == [RevisionState.ACTIVE, RevisionState.SUPERSEDED]


def settled(yard: Database, gateway: Pretender) -> RevisionDetail:
    """The live revision after the gateway did what it was told."""
    for _ in range(3):
        gateway.beat()
    found = live(yard)
    assert found is not None
    return found


def test_a_rollout_in_steps_and_its_rollback(yard: Database) -> None:
    gateway = Pretender(yard, "one")

    def step(version: int, share: float) -> RevisionDetail:
        body = RolloutStep(version=version, share=share, fallback=DECLARED)
        yard.write(lambda tx: service.step_rollout(tx, ADA, LATE, body))
        return settled(yard, gateway)

    assert step(1, 0.01).revision.traffic.champion == 1
    assert step(2, 0.1).revision.traffic.canary == Route(version=2, share=0.1)
    assert step(2, 1.0).revision.traffic.champion == 2
    assert step(3, 0.5).revision.traffic.canary == Route(version=3, share=0.5)
    yard.write(lambda tx: service.rollback(tx, ADA, LATE))
    found = settled(yard, gateway).revision
    assert (found.number, found.traffic.champion, found.traffic.canary) == (5, 2, None)
    yard.write(lambda tx: service.rollback(tx, ADA, LATE))
    assert settled(yard, gateway).revision.traffic.champion == 1
    yard.write(lambda tx: service.rollback(tx, ADA, LATE, 2, "by hand"))
    found = settled(yard, gateway).revision
    assert (found.traffic.champion, found.traffic.fallback, found.cause) == (2, DECLARED, "by hand")


def told(yard: Database) -> tuple[int, list[str]]:
    """The version that the alias champion names, and the sets by which the model reads the view, as the features know it."""
    with yard.read() as snapshot:
        alias = find_alias(snapshot, LATE, CHAMPION)
        readers = features.list_consumers(snapshot, SYSTEM, WEATHER.name)
    return alias.version if alias else 0, [one.set for one in readers if one.name == LATE]


def without_features(yard: Database, version: int = 3) -> int:
    """A version more, which reads no feature."""
    with yard.read() as snapshot:
        like = get_version(snapshot, LATE, version)
    plain = NewVersion(format=like.format, artifact=like.artifact, signature=like.signature)
    return yard.write(lambda tx: register_version(tx, SYSTEM, LATE, plain)).number


def test_whoever_changes_the_champion_the_registry_and_the_views_that_it_reads_hear_of_it(yard: Database) -> None:
    gateway, plain = Pretender(yard, "one"), without_features(yard)
    propose(yard, 1)
    assert told(yard) == (1, [SET.name])
    settled(yard, gateway)
    propose(yard, plain)
    settled(yard, gateway)
    assert told(yard) == (plain, [])
    yard.write(lambda tx: service.rollback(tx, ADA, LATE))
    assert told(yard) == (1, [SET.name])
    with yard.read() as snapshot:
        alias = find_alias(snapshot, LATE, CHAMPION)
    assert alias is not None
    assert alias.moved_by == ADA.id
    yard.write(lambda tx: service.withdraw(tx, ADA, LATE))
    assert told(yard) == (1, [])


def test_a_champion_that_no_gateway_can_load_is_one_no_longer(yard: Database) -> None:
    propose(yard, 1)
    gateway = Pretender(yard, "one", fails="no such blob")
    settled(yard, gateway)
    propose(yard, without_features(yard))
    settled(yard, gateway)
    assert told(yard) == (1, [SET.name])


def test_a_stale_view_brings_the_fallback_and_a_fresh_one_takes_it_away(yard: Database) -> None:
    gateway = Pretender(yard, "one")
    propose(yard, 1, fallback=DECLARED)
    settled(yard, gateway)
    changed = yard.write(lambda tx: service.mark_stale(tx, ROOT, ["weather", "other"]))
    assert [one.revision.cause for one in changed] == ["view weather is stale"]
    assert yard.write(lambda tx: service.mark_stale(tx, ROOT, ["weather"])) == []
    fallback = settled(yard, gateway).revision.traffic.fallback
    assert fallback is not None
    assert fallback.stale == ("weather",)
    assert len(yard.write(lambda tx: service.mark_stale(tx, ROOT, []))) == 1
    assert settled(yard, gateway).revision.traffic.fallback == DECLARED


def test_shadows_are_set_and_a_canary_that_becomes_champion_leaves_them(yard: Database) -> None:
    gateway = Pretender(yard, "one")
    propose(yard, 1)
    yard.write(lambda tx: service.set_shadows(tx, ADA, LATE, (2, 3)))
    assert settled(yard, gateway).revision.traffic.shadows == (2, 3)
    body = RolloutStep(version=2, share=0.5)
    yard.write(lambda tx: service.step_rollout(tx, ADA, LATE, body))
    assert settled(yard, gateway).revision.traffic.shadows == (3,)


def test_changes_that_make_no_sense_are_refused(yard: Database) -> None:
    propose(yard)
    settled(yard, Pretender(yard, "one"))
    with pytest.raises(RevisionMoved, match="revision 1 of late is live, not 7"):
        propose(yard, 2, expects=7)
    with pytest.raises(NoSuchVersion):
        propose(yard, 9)
    with pytest.raises(BadTraffic):
        propose(yard, 1, shadows=(1,))
    with pytest.raises(NoSuchModel):
        yard.write(lambda tx: service.propose_revision(tx, ADA, ModelName("other"), Proposal(champion=1)))
    with yard.read() as snapshot, pytest.raises(NoSuchRevision):
        service.get_revision(snapshot, ADA, LATE, 99)


def test_only_a_contributor_of_every_team_speaks_for_a_gateway(yard: Database) -> None:
    with pytest.raises(NotAllowed):
        yard.write(lambda tx: service.heartbeat(tx, ADA, "one", Heartbeat(started_at=Instant(1))))


def test_a_version_that_is_served_or_coming_cannot_be_retired(yard: Database) -> None:
    gateway = Pretender(yard, "one")
    propose(yard, 1)
    settled(yard, gateway)
    propose(yard, 2)
    for version in (1, 2):
        with pytest.raises(VersionIsLive, match="is served"):
            yard.write(lambda tx, version=version: retire_version(tx, ADA, LATE, version, "old"))  # type: ignore[misc]  # cannot infer
    settled(yard, gateway)
    yard.write(lambda tx: retire_version(tx, ADA, LATE, 1, "old"))


def test_a_withdrawn_model_is_assigned_to_nobody(yard: Database) -> None:
    gateway = Pretender(yard, "one")
    propose(yard, 1)
    settled(yard, gateway)
    yard.write(lambda tx: service.withdraw(tx, ADA, LATE, "it is not needed"))
    assert gateway.beat().active == ()
    assert live(yard) is None
    propose(yard, 2)
    assert settled(yard, gateway).revision.number == 2


def test_each_change_is_in_the_ledger(yard: Database) -> None:
    gateway = Pretender(yard, "one")
    propose(yard, 1)
    settled(yard, gateway)
    yard.write(lambda tx: service.withdraw(tx, ADA, LATE))
    assert types(yard) == [
        "serving.revision_proposed", "serving.gateway_joined", "serving.revision_activated", "serving.endpoint_withdrawn",
    ]  # fmt: skip


def test_tokens_for_serving_are_lent_with_a_lease_and_taken_back_when_revoked(yard: Database, clock: FixedClock) -> None:
    def order(scope: Scope) -> TokenOrder:
        return TokenOrder(name="t", scopes=(scope,), expires_in="30d", owner="app")

    admin = Principal(id=PrincipalId("usr_root"), name="root", kind="person", roles={EVERY_TEAM: Role.ADMIN})
    yard.write(first_start)
    yard.write(lambda tx: create_service_account(tx, admin, "app", TeamId("default"), Role.VIEWER))
    made = yard.write(lambda tx: create_token(tx, admin, order(Scope.SERVING)))
    yard.write(lambda tx: create_token(tx, admin, order(Scope.TRACKING)))
    told = Pretender(yard, "one").beat()
    assert [(one.id, one.teams) for one in told.tokens] == [(made.token.id, ("default",))]
    assert made.secret.rpartition("_")[2] not in str(told)
    assert told.tokens_until == clock.wall() + 600 * SECOND
    yard.write(lambda tx: revoke_token(tx, admin, made.token.id))
    assert Pretender(yard, "one").beat().tokens == ()


def test_gateways_are_listed_with_what_they_serve_and_forgotten_when_removed(yard: Database) -> None:
    gateway = Pretender(yard, "one")
    propose(yard, 1)
    settled(yard, gateway)
    silence(yard, "one", 20)
    Pretender(yard, "two").beat()
    with yard.read() as snapshot:
        one, two = service.list_gateways(snapshot, ADA)
        assert (one.gateway, one.live, one.is_alive, two.is_alive) == ("one", {"late": 1}, False, True)
        assert service.list_gateways(snapshot, STRANGER)[0].live == {}
    with pytest.raises(NotAllowed):
        yard.write(lambda tx: service.remove_gateway(tx, ADA, "one"))
    yard.write(lambda tx: service.remove_gateway(tx, ROOT, "one"))
    with yard.read() as snapshot:
        assert [found.gateway for found in service.list_gateways(snapshot, ROOT)] == ["two"]


def test_segments_are_registered_once_and_only_by_their_own_gateway(yard: Database) -> None:
    def segment(name: str, gateway: str) -> SealedSegment:
        contents = Contents(predictions=1, first_id="a", last_id="b", first_at=Instant(5), last_at=Instant(6))
        return SealedSegment(id=name, gateway=gateway, digest="sha256:" + "0" * 64, size_bytes=1, contents=contents)  # type: ignore[arg-type]  # a digest

    sealed = (segment("seg_1", "one"), segment("seg_2", "two"))
    for _ in range(2):
        assert Pretender(yard, "one").beat(sealed=sealed).registered == ("seg_1",)
    with yard.read() as snapshot:
        assert [one.segment.id for one in service.list_segments(snapshot, GATE)] == ["seg_1"]


def test_a_replay_tells_gateways_where_it_stands(yard: Database) -> None:
    assert Pretender(yard, "one").beat().replay_at is None
    yard.write(lambda tx: begin_replay(tx, Instant(77)))
    assert Pretender(yard, "one").beat().replay_at == 77
