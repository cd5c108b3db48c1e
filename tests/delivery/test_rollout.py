"""Rollouts under gateways that load, fail and hear of other revisions meanwhile: never half there, never further back than needed."""

from pathlib import Path

import msgspec
import pytest

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM
from modelyard.core.clock import FixedClock, Instant
from modelyard.core.digests import digest_bytes
from modelyard.delivery.declaration import Constant, ModelDeclaration, Rollout
from modelyard.delivery.domain import (
    STAGES,
    Cause,
    CauseKind,
    Delivery,
    DeliveryDetail,
    DeliveryId,
    DeliveryState,
    Facts,
    Stage,
    StageName,
    StageState,
)
from modelyard.delivery.machine import Done, Outcome, Stopped, Waits
from modelyard.delivery.stages.rollout import roll_out
from modelyard.delivery.stages.yard import Job, Yard
from modelyard.features.service import list_consumers
from modelyard.registry.domain import CHALLENGER, CHAMPION
from modelyard.registry.service import find_alias, set_alias
from modelyard.serving.domain import Proposal, Traffic
from modelyard.serving.service import get_endpoint, mark_stale, propose_revision
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from modelyard.storage.tables import Tables
from tests.delivery.declaring import declared
from tests.serving.control import Pretender, registered
from tests.serving.world import LATE, SET, World

BAKE_S = 60.0


class Rolling:
    """One delivery's rollout of a version, move by move, under one gateway."""

    def __init__(self, yard: Yard, gateway: Pretender, version: int) -> None:
        self.yard, self.gateway, self.version = yard, gateway, version
        self.facts: Facts = {}
        self.outcome: Outcome = Waits(wake_at=None, facts={})

    def move(self) -> Outcome:
        """The next move, the gateway having done what it was told."""
        for _ in range(3):
            self.gateway.beat()
        self.outcome = found = roll_out(self.yard, _job(self.version, self.facts))
        apply = found.apply
        more = {} if apply is None else self.yard.database.write(apply)
        self.facts = dict(found.facts) | more
        return found

    def moves(self, clock: FixedClock, most: int = 12) -> Outcome:
        """All moves until its end; a bake time passes with each."""
        for _ in range(most):
            if not isinstance(self.move(), Waits):
                break
            clock.advance(BAKE_S)
        return self.outcome


def _job(version: int, facts: Facts) -> Job:
    delivery = Delivery(
        id=DeliveryId(f"dlv_{version}"), team_id=DEFAULT_TEAM, model=LATE, cause=Cause(kind=CauseKind.PERSON, actor=SYSTEM.id),
        declaration=digest_bytes(b""), state=DeliveryState.RUNNING, created_at=Instant(0), created_wall_at=Instant(0),
    )  # fmt: skip
    before = None if version == 1 else {"version": version - 1}
    known: dict[StageName, Facts] = {
        StageName.REGISTER: {"version": version},
        StageName.CHALLENGE: {"champion": before},
        StageName.ROLL_OUT: facts,
    }
    stages = tuple(Stage(delivery=delivery.id, name=name, state=StageState.DONE, facts=known.get(name, {})) for name in STAGES)
    declaration: ModelDeclaration = declared(Path("/nowhere")).declaration
    changed = msgspec.structs.replace(declaration, features=SET, rollout=Rollout(shares=(50,), bake_s=BAKE_S), fallback=Constant(0.5))
    return Job(detail=DeliveryDetail(delivery=delivery, stages=stages), declaration=changed, source=digest_bytes(b""), root=Path())


@pytest.fixture
def yard(database: Database, tmp_path: Path) -> Yard:
    """The stores, with a model of three registered versions."""
    world = World(tmp_path / "world")
    registered(database, world)
    tables, online = Tables.open(f"file://{tmp_path}/tables"), LmdbStore.open(tmp_path / "online")
    return Yard(database=database, blobs=world.blobs, tables=tables, online=online, folder=tmp_path, beat=lambda: None)


def live(database: Database) -> Traffic:
    """The traffic that is coming, or else live."""
    with database.read() as snapshot:
        endpoint = get_endpoint(snapshot, SYSTEM, LATE)
    newest = endpoint.coming or endpoint.live
    assert newest is not None
    return newest.revision.traffic


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
