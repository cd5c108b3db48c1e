"""Studies and trials: frozen types and errors. Which values a trial is given is Optuna's business, by way of `sampling`."""

from enum import StrEnum
from typing import NewType

import msgspec

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.core.errors import InvalidInput, Kind, ModelyardError
from modelyard.core.names import checked_name
from modelyard.delivery.search_space import SearchSpace, Value
from modelyard.monitoring.domain import Metric

StudyId = NewType("StudyId", str)
DEFAULT_NAME = "tuning"
MOST_TRIALS = 10_000
MOST_PARALLEL = 16
LONGEST_S = 366 * 86_400.0
MOST_SEED = 2**32 - 1


class StudyState(StrEnum):
    """Where a study stands. `waiting` is taken up to have its rows read, `running` gives out trials."""

    WAITING = "waiting"
    PREPARING = "preparing"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


OPEN = frozenset({StudyState.WAITING, StudyState.PREPARING, StudyState.RUNNING})


class TrialState(StrEnum):
    """How a trial stands, in Optuna's words."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAIL = "fail"

    @property
    def is_final(self) -> bool:
        """Whether the trial has ended."""
        return self in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class Loss(StrEnum):
    """Why a trial ended without anything to learn from it; its place in the study is given out again."""

    CRASHED = "crashed"
    GIVEN_BACK = "given_back"
    STOPPED = "stopped"


class NewStudy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a study is started with, or continued: `trials` is how many it is to have in all, those that were lost apart.

    `timeout_s` is for this start: no trial begins later. What is not given is what the study has; for a new one the metric
    that the declaration makes plain, one trial at a time, and the seed 0.
    """

    model: str
    name: str = DEFAULT_NAME
    trials: int = 20
    metric: Metric | None = None
    timeout_s: float | None = None
    parallel: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        """Raises InvalidInput for numbers beyond their bounds."""
        checked_name(self.name, "study")
        for what, value, least, most in (
            ("trials", self.trials, 1, MOST_TRIALS),
            ("parallel", 1 if self.parallel is None else self.parallel, 1, MOST_PARALLEL),
            ("seed", self.seed or 0, 0, MOST_SEED),
        ):
            if not least <= value <= most:
                raise InvalidInput(f"{what}={value} is not from {least} to {most:,}", hint=f"a whole number from {least} to {most}")
        if self.timeout_s is not None and not 0 < self.timeout_s <= LONGEST_S:
            raise InvalidInput(f"a time limit of {self.timeout_s:g} s is none up to a year", hint="yard tune MODEL --timeout 30m")


class StudyRows(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a study, read once: how many every trial learns from, how many later ones it is measured on, and how many are held back.

    Those held back are the ones that a delivery's evaluation and gates would be about: no trial ever sees them.
    """

    digest: Digest
    file: Digest
    as_of: Instant
    learned: int
    validated: int
    held_back: int


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One training with one set of parameters, and what came of it: its value by the study's metric, or why there is none."""

    number: int
    state: TrialState
    parameters: dict[str, Value]
    value: float | None = None
    run: str = ""
    loss: Loss | None = None
    reason: str = ""
    started_at: Instant | None = None
    ended_at: Instant | None = None


class Study(msgspec.Struct, frozen=True, kw_only=True):
    """A search for parameters under which a model does best by one metric. `declaration` is the digest of what was declared as it began.

    `sampled_as` is its number in Optuna's storage, `until_at` when no more trials begin, by the time of leases; `best` is the best
    trial so far; `fence` counts who took it up to read its rows.
    """

    id: StudyId
    team_id: TeamId
    model: str
    name: str
    state: StudyState
    declaration: Digest
    space: SearchSpace
    metric: Metric
    higher_is_better: bool
    trials: int
    seed: int
    parallel: int
    experiment: str
    sampled_as: int
    asked_by: PrincipalId
    created_at: Instant
    until_at: Instant | None = None
    rows: StudyRows | None = None
    best: Trial | None = None
    reason: str = ""
    ended_at: Instant | None = None
    attempt: int = 0
    fence: int = 0
    holder: str = ""


class Report(msgspec.Struct, frozen=True):
    """What a training function reported at a step. `None` is not a number."""

    step: int
    value: float | None


class StudyDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A study with its trials in order. `best` is the best that completed, the earliest of equals; `counted` leaves the lost ones out."""

    study: Study
    trials: tuple[Trial, ...]
    best: Trial | None
    counted: int


class HeldTrial(msgspec.Struct, frozen=True, kw_only=True):
    """The right to work on a trial: Optuna's id of it, its place in the study, and its run. It lasts until the trial has ended."""

    study: Study
    id: int
    number: int
    place: int
    run: str
    holder: str


class NotTunable(ModelyardError):
    """The model's declaration does not say what may be tuned, or by which metric."""

    kind = Kind.INVALID


class StudyDiffers(ModelyardError):
    """The study was begun with something else: what it found would not compare."""

    kind = Kind.CONFLICT


class NothingFound(ModelyardError):
    """No trial of the study has completed."""

    kind = Kind.CONFLICT


class UnfitRows(ModelyardError):
    """Nothing sound can be learned from the study's rows."""

    kind = Kind.INVALID


class ClusterAway(ModelyardError):
    """The Ray cluster that trials are to run on cannot be reached, or was lost while they ran."""

    kind = Kind.UNREACHABLE


class ClusterDiffers(ModelyardError):
    """A node of the Ray cluster is not set up as the worker is: what it trains would not compare."""

    kind = Kind.UNREACHABLE


class TrialLost(ModelyardError):
    """A trial's node or process on the Ray cluster ended before the trial did."""

    kind = Kind.UNREACHABLE


class RayMissing(ModelyardError):
    """Trials are to run on a Ray cluster, and Ray is not installed."""

    kind = Kind.UNREACHABLE
