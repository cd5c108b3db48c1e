"""What each stage does: it computes, and leaves its changes to one fenced transaction. Owns the work, not the order."""

from collections.abc import Callable
from typing import Final

from modelyard.delivery.domain import DeliveryDetail, StageName
from modelyard.delivery.machine import Outcome
from modelyard.delivery.stages.data import check, snapshot
from modelyard.delivery.stages.learning import challenge, evaluate, train
from modelyard.delivery.stages.proving import stage
from modelyard.delivery.stages.release import approve, register
from modelyard.delivery.stages.rollout import roll_out, watch
from modelyard.delivery.stages.yard import Job, Yard, job_of

_STAGES: Final[dict[StageName, Callable[[Yard, Job], Outcome]]] = {
    StageName.SNAPSHOT: snapshot,
    StageName.CHECK: check,
    StageName.TRAIN: train,
    StageName.EVALUATE: evaluate,
    StageName.CHALLENGE: challenge,
    StageName.REGISTER: register,
    StageName.STAGE: stage,
    StageName.APPROVE: approve,
    StageName.ROLL_OUT: roll_out,
    StageName.WATCH: watch,
}


def staged(name: StageName, yard: Yard, detail: DeliveryDetail) -> Outcome:
    """The outcome of a stage of a delivery."""
    return _STAGES[name](yard, job_of(yard, detail))


__all__ = ["Job", "Yard", "staged"]
