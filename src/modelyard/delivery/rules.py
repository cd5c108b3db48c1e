"""The transitions of a delivery, as pure functions of its stages. Owns the order; stores and runs nothing."""

import msgspec

from modelyard.core.clock import Instant
from modelyard.delivery.domain import STAGES, Delivery, DeliveryDetail, DeliveryState, Facts, Stage, StageName, StageState
from modelyard.ledger.domain import EntryId

MOST_ATTEMPTS = 4
"""How often a stage is begun that comes to no end."""


def first_stages(delivery: Delivery) -> tuple[Stage, ...]:
    """The stages of a new delivery: the first is ready, those behind `until` are skipped."""
    last = STAGES.index(delivery.until)
    return tuple(
        Stage(
            delivery=delivery.id,
            name=name,
            state=StageState.READY if index == 0 else StageState.PENDING if index <= last else StageState.SKIPPED,
        )
        for index, name in enumerate(STAGES)
    )


def completed(detail: DeliveryDetail, name: StageName, facts: Facts, at: Instant, entry: EntryId) -> DeliveryDetail:
    """`detail` after the stage was done, of which `entry` tells: the next pending one is ready, or the delivery is done."""

    def after(stage: Stage) -> Stage:
        if stage.name is not name:
            return stage
        return msgspec.structs.replace(_ended(stage, StageState.DONE, at, facts=facts), entry=entry)

    stages = list(map(after, detail.stages))
    following = next((index for index, stage in enumerate(stages) if stage.state is StageState.PENDING), None)
    if following is None:
        return DeliveryDetail(delivery=_finished(detail.delivery, DeliveryState.DONE, at), stages=tuple(stages))
    stages[following] = msgspec.structs.replace(stages[following], state=StageState.READY)
    return DeliveryDetail(delivery=detail.delivery, stages=tuple(stages))


def stopped(detail: DeliveryDetail, name: StageName, state: DeliveryState, facts: Facts, reason: str, at: Instant) -> DeliveryDetail:  # noqa: PLR0913 - one fact each
    """`detail` ended early at a stage: refused, rolled back, failed or cancelled. What comes after is skipped."""
    own = StageState.REFUSED if state in (DeliveryState.REFUSED, DeliveryState.ROLLED_BACK) else StageState.FAILED
    stages = tuple(
        _ended(stage, own, at, facts=facts or stage.facts, reason=reason)
        if stage.name is name
        else msgspec.structs.replace(stage, state=StageState.SKIPPED)
        if stage.state is StageState.PENDING
        else stage
        for stage in detail.stages
    )
    return DeliveryDetail(delivery=_finished(detail.delivery, state, at), stages=stages)


def may_retry(stage: Stage) -> bool:
    """Whether a stage that broke down is tried again."""
    return stage.attempt < MOST_ATTEMPTS


def is_spent(stage: Stage) -> bool:
    """Whether so many workers ended with the stage in hand that no other takes it up."""
    return stage.state is StageState.RUNNING and not may_retry(stage)


def current_stage(detail: DeliveryDetail) -> Stage:
    """The stage that a delivery is at: the first that has not ended, else the last that has."""
    open_states = (StageState.READY, StageState.RUNNING, StageState.WAITING, StageState.PENDING)
    started = [stage for stage in detail.stages if stage.state is not StageState.SKIPPED]
    return next((stage for stage in started if stage.state in open_states), started[-1])


def _ended(stage: Stage, state: StageState, at: Instant, *, facts: Facts, reason: str = "") -> Stage:
    return msgspec.structs.replace(stage, state=state, ended_at=at, facts=facts, reason=reason, wake_at=None)


def _finished(delivery: Delivery, state: DeliveryState, at: Instant) -> Delivery:
    return msgspec.structs.replace(delivery, state=state, ended_at=at)
