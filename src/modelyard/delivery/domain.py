"""Deliveries, their stages and approvals: frozen types and errors. How a stage does its work is said in `stages`."""

from enum import StrEnum
from typing import Any, NewType

import msgspec

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.core.errors import Kind, ModelyardError
from modelyard.ledger.domain import EntryId

DeliveryId = NewType("DeliveryId", str)
ApprovalId = NewType("ApprovalId", str)
ReproductionId = NewType("ReproductionId", str)
Facts = dict[str, Any]
"""What a stage found out, as JSON: the gates decide on it, the pages show it, the dossier quotes it."""


class StageName(StrEnum):
    """The stages of a delivery, in their order."""

    SNAPSHOT = "snapshot"
    CHECK = "check"
    TRAIN = "train"
    EVALUATE = "evaluate"
    CHALLENGE = "challenge"
    REGISTER = "register"
    STAGE = "stage"
    APPROVE = "approve"
    ROLL_OUT = "roll_out"
    WATCH = "watch"


STAGES = tuple(StageName)


class StageState(StrEnum):
    """Where a stage stands. Only `ready`, `waiting` whose time came and `running` whose lease ran out are taken up."""

    PENDING = "pending"
    READY = "ready"
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    SKIPPED = "skipped"


class DeliveryState(StrEnum):
    """How a delivery ended, or that it goes on."""

    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset(set(DeliveryState) - {DeliveryState.RUNNING})


class CauseKind(StrEnum):
    """Why a delivery was started."""

    PERSON = "person"
    SCHEDULE = "schedule"
    DEGRADATION = "degradation"
    PUSH = "push"


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why a delivery was started, and by whom or what."""

    kind: CauseKind
    actor: PrincipalId
    detail: str = ""


class NewDelivery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a delivery is started with. The same `key` again answers with the delivery that was started under it."""

    model: str
    key: str = ""
    until: StageName = StageName.WATCH
    parameters: dict[str, float | int | str | bool] = {}
    kind: CauseKind = CauseKind.PERSON
    detail: str = ""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A gate or policy as it was decided: the expression, what it said, and the reason where it could not be evaluated."""

    expression: str
    passed: bool
    reason: str = ""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of a delivery. `fence` counts who took it up; outputs under an older fence are refused.

    `attempt` counts how often it was begun since it last waited in good order; `entry` is the ledger entry about what it
    found out, once it is done.
    """

    delivery: DeliveryId
    name: StageName
    state: StageState
    attempt: int = 0
    fence: int = 0
    holder: str = ""
    started_at: Instant | None = None
    ended_at: Instant | None = None
    wake_at: Instant | None = None
    facts: Facts = {}
    reason: str = ""
    entry: EntryId | None = None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One passage of a model through the stages. `declaration` is the digest of what was declared when it began."""

    id: DeliveryId
    team_id: TeamId
    model: str
    cause: Cause
    declaration: Digest
    state: DeliveryState
    created_at: Instant
    created_wall_at: Instant
    ended_at: Instant | None = None
    ended_wall_at: Instant | None = None
    until: StageName = StageName.WATCH
    version: int | None = None
    run: str | None = None
    parameters: dict[str, float | int | str | bool] = {}


class DeliveryDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery with its stages in order."""

    delivery: Delivery
    stages: tuple[Stage, ...]

    def facts(self, name: StageName) -> Facts:
        """What the stage found out; empty where it has not run."""
        return next((stage.facts for stage in self.stages if stage.name is name), {})


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The right to work on a stage until `lease_until`, under `fence`."""

    delivery: DeliveryId
    stage: StageName
    fence: int
    holder: str
    lease_until: Instant


class ApprovalState(StrEnum):
    """Whether an approval is waited for, given or refused."""

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """The decision that a delivery waits for. `by_policy` says that no person decided, `entry` is the ledger entry that says so."""

    id: ApprovalId
    team_id: TeamId
    delivery: DeliveryId
    model: str
    version: int
    state: ApprovalState
    asked_at: Instant
    author: PrincipalId
    why_asked: str
    by_policy: bool = False
    decided_by: PrincipalId | None = None
    decided_at: Instant | None = None
    reason: str = ""
    entry: EntryId | None = None


class ReproductionState(StrEnum):
    """Where a reproduction stands. `waiting`, and `running` whose lease ran out, are taken up."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


class Verdict(StrEnum):
    """What a reproduction found. Every version's own machine is held to `identical`, unless its declaration names a tolerance."""

    IDENTICAL = "identical"
    EQUAL_WITHIN_TOLERANCE = "equal_within_tolerance"
    DIFFERENT = "different"
    FAILED = "failed"


SAME = (Verdict.IDENTICAL, Verdict.EQUAL_WITHIN_TOLERANCE)


class SnapshotVerdict(StrEnum):
    """Whether the training rows came out of their sources once more; if not, the recorded rows were learned from."""

    REBUILT = "rebuilt"
    CHANGED = "changed"
    GONE = "gone"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was recorded, beside what was rebuilt. Numbers bear their difference; `decides` says that the verdict rests on it."""

    what: str
    recorded: str
    rebuilt: str
    is_equal: bool
    difference: float | None = None
    decides: bool = True
    note: str = ""


class ReproductionStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was taken, how long it took, and what it found in words."""

    name: str
    took_s: float
    said: str


class Ingredient(StrEnum):
    """What a model is made of and in: where a rebuild took another one than the original, that may be why it came out otherwise."""

    DATA = "data"
    CODE = "code"
    LIBRARY = "library"
    PYTHON = "Python"
    PROCESSOR = "processor"
    TRAINING = "training"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """An ingredient that was not as it was recorded, and in words how: which rows, which file, which version of which library."""

    ingredient: Ingredient
    said: str


class Swaps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a rebuild takes otherwise than recorded, to see what that changes. With a swap it is no evidence about the original.

    `data` takes the rows that the sources give now, `source` another archive of the project, with its lock, and `packages`
    other versions of locked packages, each `name==version`.
    """

    data: bool = False
    source: Digest | None = None
    packages: tuple[str, ...] = ()


NO_SWAPS = Swaps()


class NewReproduction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a reproduction is started with. The same `key` again answers with the one that was started under it."""

    key: str = ""
    swaps: Swaps = NO_SWAPS


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to make a version, or a run without one, again from its records alone. It never touches the original.

    `doing` is the step under way, `fence` counts who took it up; `artifact` and `content` are those of the rebuilt model.
    `tolerance` is what the verdict allowed: as declared before the original was trained, or that for other processors; None
    where only equal bits count. `is_enclosed` says whether the training was kept from the installation's files by the
    system. `duration_s` is by the machine's clock.
    """

    id: ReproductionId
    team_id: TeamId
    model: str | None
    version: int | None
    state: ReproductionState
    asked_by: PrincipalId
    asked_at: Instant
    run: str | None = None
    swaps: Swaps = NO_SWAPS
    verdict: Verdict | None = None
    reason: str = ""
    doing: str = ""
    started_at: Instant | None = None
    started_wall_at: Instant | None = None
    ended_at: Instant | None = None
    duration_s: float | None = None
    comparisons: tuple[Comparison, ...] = ()
    differences: tuple[Difference, ...] = ()
    snapshot: SnapshotVerdict | None = None
    tolerance: float | None = None
    steps: tuple[ReproductionStep, ...] = ()
    artifact: Digest | None = None
    content: Digest | None = None
    processor: str = ""
    is_enclosed: bool | None = None
    attempt: int = 0
    fence: int = 0
    holder: str = ""

    @property
    def name(self) -> str:
        """What was made again, in words."""
        if self.version is not None:
            return f"{self.model} v{self.version}"
        return f"run {(self.run or '')[:8]}" + (f" of {self.model}" if self.model else "")

    @property
    def subject(self) -> str:
        """What was made again, as the ledger names it."""
        return f"model:{self.model}/{self.version}" if self.version is not None else f"run:{self.run}"

    @property
    def is_whole(self) -> bool:
        """Whether everything is taken as it was recorded."""
        return self.swaps == NO_SWAPS

    @property
    def is_evidence(self) -> bool:
        """Whether it has ended and says something of the original."""
        return self.verdict is not None and self.is_whole


class NotReproducible(ModelyardError):
    """The records of a version or run do not hold what making it again needs."""

    kind = Kind.CONFLICT


class DeliveryUnderWay(ModelyardError):
    """The model has a delivery that has not ended."""

    kind = Kind.CONFLICT


class FencedOff(ModelyardError):
    """The work was taken up by another worker; this one's outputs are refused."""

    kind = Kind.CONFLICT


class ApprovalIsDecided(ModelyardError):
    """The approval was given or refused before."""

    kind = Kind.CONFLICT


class AuthorMayNotApprove(ModelyardError):
    """Whoever started the delivery, or declared what it ships, is not the one who approves it; and a person it must be."""

    kind = Kind.FORBIDDEN


class ModelNotDeclared(ModelyardError):
    """No declaration of that name was applied."""

    kind = Kind.MISSING


class BadExpression(ModelyardError):
    """A gate or policy that is no expression over known facts."""

    kind = Kind.INVALID


class TrainingFailed(ModelyardError):
    """The training function raised, or its process died."""

    kind = Kind.INVALID
