"""A small fleet: the served model of monitoring's world, delivered, with a prediction that lies in a sealed segment."""

from pathlib import Path

import msgspec

from modelyard.access.domain import DEFAULT_TEAM, EVERY_TEAM, SYSTEM, Principal, PrincipalId, Role, TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import digest_bytes
from modelyard.core.ids import uuid7
from modelyard.core.settings import Settings
from modelyard.delivery import service as delivery
from modelyard.delivery.domain import Cause, CauseKind, Delivery, DeliveryId, DeliveryState, Facts, StageName
from modelyard.delivery.machine import Done, Stopped, begun, claimed, detail_of, ended, new_delivery_id
from modelyard.ledger.service import sequence_pending
from modelyard.serving import store as serving_store
from modelyard.serving.domain import Arm, Cell, SealedSegment
from modelyard.serving.log.frames import MAGIC, Layout, PredictionFrame, encoded
from modelyard.serving.log.segments import contents_of
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Transaction
from modelyard.storage.frames import framed
from tests.monitoring.world import FIELDS, LATE, WEATHER, World

ADA = Principal(id=PrincipalId("usr_ada"), name="ada", kind="person", roles={DEFAULT_TEAM: Role.APPROVER})
EVE = Principal(id=PrincipalId("usr_eve"), name="eve", kind="person", roles={EVERY_TEAM: Role.VIEWER})
BOB = Principal(id=PrincipalId("usr_bob"), name="bob", kind="person", roles={DEFAULT_TEAM: Role.APPROVER})
MAX = Principal(id=PrincipalId("usr_max"), name="max", kind="person", roles={TeamId("other"): Role.ADMIN})
SOURCE = digest_bytes(b"source of weather")


class Fleet:
    """The world, and what fleet's functions are given."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.database = world, world.database
        self.blobs = Blobs.open(f"file://{folder}/blobs")
        self.settings = Settings(data=str(folder / "data"))
        self.stores = (self.blobs, world.tables, self.settings)

    def deliver(
        self, version: int, *, kind: CauseKind = CauseKind.PERSON, actor: Principal = ADA, by: Principal | None = None
    ) -> DeliveryId:
        """Takes a version through a delivery; it is approved by policy, or by `by`."""
        name = self._begin(version, kind, actor)
        for stage in StageName:
            if stage is StageName.APPROVE:
                self.database.write(lambda tx: self._approve(tx, name, version, by))
            self._end(Done(facts=_facts(stage, version)))
        sequence_pending(self.database, "tests")
        return name

    def refuse(self, version: int) -> DeliveryId:
        """Begins a delivery that is rolled back at its first stage."""
        name = self._begin(version, CauseKind.SCHEDULE, SYSTEM)
        self._end(Stopped(state=DeliveryState.ROLLED_BACK, facts={}, reason="slow"))
        sequence_pending(self.database, "tests")
        return name

    def wait(self, version: int) -> DeliveryId:
        """Begins a delivery that asks for an approval and waits."""
        name = self._begin(version, CauseKind.PERSON, ADA)
        self.database.write(lambda tx: delivery.ask_approval(tx, detail_of(tx, name).delivery, version, "high risk needs a person"))
        return name

    def _begin(self, version: int, kind: CauseKind, actor: Principal) -> DeliveryId:
        def work(tx: Transaction) -> Delivery:
            cause = Cause(kind=kind, actor=actor.id)
            one = Delivery(
                id=new_delivery_id(), team_id=DEFAULT_TEAM, model=LATE, cause=cause, declaration=digest_bytes(b"d"), version=version,
                state=DeliveryState.RUNNING, created_at=tx.now(), created_wall_at=tx.wall(),
            )  # fmt: skip
            return begun(tx, one, one.id)

        return self.database.write(work).id

    def _end(self, outcome: Done | Stopped) -> None:
        found = self.database.write(lambda tx: claimed(tx, "w", 60.0))
        assert found is not None
        self.database.write(lambda tx: ended(tx, found[0], outcome))

    def _approve(self, tx: Transaction, name: DeliveryId, version: int, by: Principal | None) -> None:
        one = detail_of(tx, name).delivery
        if by is None:
            delivery.approve_by_policy(tx, one, version, "limited risk: every gate passed (2)")
        else:
            delivery.approve(tx, by, delivery.ask_approval(tx, one, version, "asked").id, "looked at the slices")

    def predict(self, version: int = 1) -> str:
        """Logs one prediction in a sealed segment that is not in the tables yet; its id."""
        layout, at = Layout(LATE, version, FIELDS), Instant(self.world.clock.now())
        name = uuid7(self.world.clock.wall())
        columns: list[list[Cell]] = [["JFK"], ["AA"], [12.5], [at]]
        frame = PredictionFrame(layout.key, at, at, 1, Arm.CHAMPION.value, 150, name.bytes, [0.31], columns)
        content = MAGIC + b"".join(framed(encoded(one)) for one in (layout, frame))
        digest = self.blobs.put_bytes(content)
        sealed = SealedSegment(id=f"seg_{name.hex}", gateway="g1", digest=digest, size_bytes=len(content), contents=contents_of(content))
        self.database.write(lambda tx: serving_store.put_segments(tx, [sealed]))
        return str(name)


def _facts(stage: StageName, version: int) -> Facts:
    gates = [{"expression": "metrics.roc_auc >= 0.65", "passed": True, "reason": ""}]
    uses = [{"view": "weather", "view_digest": WEATHER.digest, "source": SOURCE, "rows": 52}]
    found: dict[StageName, Facts] = {
        StageName.SNAPSHOT: {"rows": 4000, "sources": uses, "as_of": 1_767_000_000_000_000},
        StageName.TRAIN: {"python": "3.12.4"},
        StageName.CHALLENGE: {"gates": gates},
        StageName.REGISTER: {"version": version},
    }
    return found.get(stage, {})


def texts(value: object) -> str:
    """Everything that an answer says, as one text."""
    return msgspec.json.encode(value).decode()


__all__ = ["ADA", "BOB", "EVE", "LATE", "MAX", "Fleet", "texts"]
