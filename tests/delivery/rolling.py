"""A rollout as tests drive it: the stores, one gateway, and a delivery whose every decision is in its place."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM
from modelyard.core.clock import FixedClock, Instant
from modelyard.core.digests import digest_bytes
from modelyard.delivery.declaration import Constant, ModelDeclaration, Rollout
from modelyard.delivery.domain import (
    STAGES,
    Cause,
    CauseKind,
    Claim,
    Delivery,
    DeliveryDetail,
    DeliveryId,
    DeliveryState,
    Facts,
    Stage,
    StageName,
    StageState,
)
from modelyard.delivery.machine import Done, Outcome, Waits, begun, claimed, detail_of, ended
from modelyard.delivery.service import approve_by_policy
from modelyard.delivery.stages.rollout import roll_out
from modelyard.delivery.stages.yard import Job, Yard
from modelyard.serving.domain import Traffic
from modelyard.serving.service import get_endpoint
from modelyard.storage.database import Database, Transaction
from tests.delivery.declaring import declared
from tests.serving.control import Pretender
from tests.serving.world import LATE, SET

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
        self.outcome = found = roll_out(self.yard, job_of(self.version, self.facts))
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


def job_of(version: int, facts: Facts) -> Job:
    """A delivery that rolls the version out; `facts` are the rollout's so far."""
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


def with_facts(job: Job, facts: Mapping[StageName, Facts]) -> Job:
    """The job after stages found that out."""
    stages = tuple(msgspec.structs.replace(one, facts=facts.get(one.name, one.facts)) for one in job.detail.stages)
    return msgspec.structs.replace(job, detail=msgspec.structs.replace(job.detail, stages=stages))


def live(database: Database) -> Traffic:
    """The traffic that is coming, or else live."""
    with database.read() as snapshot:
        endpoint = get_endpoint(snapshot, SYSTEM, LATE)
    newest = endpoint.coming or endpoint.live
    assert newest is not None
    return newest.revision.traffic


def brought(database: Database, last: StageName) -> Job:
    """A delivery of the first version whose stages up to `last` a worker has ended, the approval by policy included."""
    job = job_of(1, {})
    delivery = database.write(lambda tx: begun(tx, job.delivery, "key"))

    def apply(tx: Transaction) -> Facts:
        return {"approval": approve_by_policy(tx, delivery, 1, "every gate passed").id}

    for name in STAGES[: STAGES.index(last) + 1]:
        end(database, claim(database), Done(facts=job.facts(name), apply=apply if name is StageName.APPROVE else None))
    with database.read() as snapshot:
        return msgspec.structs.replace(job, detail=detail_of(snapshot, delivery.id))


def claim(database: Database) -> Claim:
    """The next stage's claim."""
    found = database.write(lambda tx: claimed(tx, "worker", 60.0))
    assert found is not None
    return found[0]


def end(database: Database, held: Claim, outcome: Outcome) -> DeliveryDetail:
    """The delivery after the outcome."""
    return database.write(lambda tx: ended(tx, held, outcome))
