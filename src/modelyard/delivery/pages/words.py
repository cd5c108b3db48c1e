"""Deliveries in words: where one stands and why, its stages as steps with the one figure that matters. Owns no data."""

import msgspec

from modelyard.access.domain import PrincipalId
from modelyard.core.clock import SECOND, Instant
from modelyard.delivery.domain import (
    ENDED,
    CauseKind,
    Delivery,
    DeliveryDetail,
    DeliveryState,
    Facts,
    Reproduction,
    ReproductionState,
    Stage,
    StageName,
    StageState,
    Verdict,
)
from modelyard.delivery.pages.evidence import Evidence
from modelyard.delivery.rules import current_stage
from modelyard.web.parts import Step, StepState, Tone
from modelyard.web.words import number, plural, span

STATES: dict[DeliveryState, tuple[Tone, str]] = {
    DeliveryState.RUNNING: ("busy", "Under way"),
    DeliveryState.DONE: ("good", "Done"),
    DeliveryState.REFUSED: ("warn", "Refused"),
    DeliveryState.ROLLED_BACK: ("bad", "Rolled back"),
    DeliveryState.FAILED: ("bad", "Failed"),
    DeliveryState.CANCELLED: ("idle", "Cancelled"),
}
REPRODUCED: dict[Verdict, tuple[Tone, str]] = {
    Verdict.IDENTICAL: ("good", "Identical"),
    Verdict.EQUAL_WITHIN_TOLERANCE: ("good", "Equal within tolerance"),
    Verdict.DIFFERENT: ("bad", "Different"),
    Verdict.FAILED: ("bad", "Failed"),
}
STEPS: dict[StageState, StepState] = {
    StageState.PENDING: "next",
    StageState.READY: "now",
    StageState.RUNNING: "now",
    StageState.WAITING: "waits",
    StageState.DONE: "done",
    StageState.REFUSED: "failed",
    StageState.FAILED: "failed",
    StageState.SKIPPED: "skipped",
}
CAUSES: dict[CauseKind, str] = {
    CauseKind.PERSON: "by hand",
    CauseKind.SCHEDULE: "on schedule",
    CauseKind.DEGRADATION: "as performance fell",
    CauseKind.PUSH: "by a push",
}


def reproduction_words(one: Reproduction) -> tuple[Tone, str]:
    """How a reproduction stands or ended. One with a swap is evidence neither for nor against the original, so it bears no colour."""
    if one.verdict is None:
        return ("busy", one.doing or "Under way") if one.state is ReproductionState.RUNNING else ("warn", "Waits for a worker")
    tone, word = REPRODUCED[one.verdict]
    return (tone, word) if one.is_whole else ("idle", word)


def swapped_words(one: Reproduction) -> str:
    """What was asked to be taken otherwise than recorded; nothing where all was taken as it was."""
    said = [*(["current data"] if one.swaps.data else []), *(["current source"] if one.swaps.source else []), *one.swaps.packages]
    return f"with {', '.join(said)}" if said else ""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a delivery stands: its state as tone and word, at which stage, in one clause, why, and since when."""

    tone: Tone
    word: str
    stage: str
    clause: str
    why: str = ""
    since: Instant | None = None
    wake_at: Instant | None = None
    place: int = 0
    out_of: int = 0


def label(name: StageName) -> str:
    """The stage's name as people read it.

    >>> label(StageName.ROLL_OUT)
    'Roll out'
    """
    return name.value.replace("_", " ").capitalize()


def standing_of(detail: DeliveryDetail) -> Standing:
    """Where the delivery stands."""
    delivery, stage = detail.delivery, current_stage(detail)
    tone, word = STATES[delivery.state]
    wanted = [one for one in detail.stages if one.state is not StageState.SKIPPED or delivery.state in ENDED]
    placed = Standing(
        tone=tone,
        word=word,
        stage=label(stage.name),
        clause="",
        why=stage.reason.rstrip("."),
        since=stage.started_at,
        wake_at=stage.wake_at,
        place=sum(one.state is StageState.DONE for one in detail.stages),
        out_of=len(wanted),
    )
    if delivery.state in ENDED:
        return msgspec.structs.replace(placed, clause=_ended_clause(detail, stage), since=delivery.ended_at, wake_at=None)
    if stage.state is StageState.WAITING and stage.name is StageName.APPROVE:
        return msgspec.structs.replace(placed, tone="warn", word="To approve", clause="It waits for an approver")
    clause = {
        StageState.RUNNING: f"{label(stage.name)} is at work",
        StageState.WAITING: f"{label(stage.name)} waits",
    }.get(stage.state, f"{label(stage.name)} waits for a worker")
    return msgspec.structs.replace(placed, clause=clause)


def _ended_clause(detail: DeliveryDetail, stage: Stage) -> str:
    delivery = detail.delivery
    if delivery.state is not DeliveryState.DONE:
        return f"{STATES[delivery.state][1]} at the stage {label(stage.name).lower()}"
    version = f"v{delivery.version}" if delivery.version else "It"
    if delivery.until is StageName.WATCH:
        return f"{version} passed every stage"
    return f"{version} passed every stage until {label(delivery.until).lower()}, as asked"


def steps_of(detail: DeliveryDetail, evidence: Evidence, approver: str) -> tuple[Step, ...]:
    """All stages as steps, each with its one figure and how long it took."""
    return tuple(
        Step(
            name=label(stage.name),
            state=STEPS[stage.state],
            text=", ".join(filter(None, (_figure(stage, evidence, approver), _took(stage)))),
        )
        for stage in detail.stages
    )


def _took(stage: Stage) -> str:
    if stage.started_at is None or stage.ended_at is None or stage.ended_at - stage.started_at < SECOND:
        return ""
    return span((stage.ended_at - stage.started_at) / SECOND)


def _figure(stage: Stage, evidence: Evidence, approver: str) -> str:
    facts = stage.facts
    match stage.name:
        case StageName.SNAPSHOT | StageName.TRAIN:
            return plural(facts["rows"], "row") if isinstance(facts.get("rows"), int) else ""
        case StageName.CHECK:
            return f"{evidence.checks_passed} of {plural(len(evidence.checks), 'check')}" if evidence.checks else ""
        case StageName.EVALUATE:
            first = evidence.measures[0] if evidence.measures else None
            return f"{first.name} {number(first.value, 3)}" if first else ""
        case StageName.CHALLENGE:
            return _challenge_figure(evidence)
        case StageName.REGISTER:
            return f"v{facts['version']}" if "version" in facts else ""
        case StageName.STAGE:
            return f"{facts['different']} of {facts['rows']} differ" if {"different", "rows"} <= facts.keys() else ""
        case StageName.APPROVE:
            return approver
        case _:
            return _traffic_figure(stage, facts)


def _challenge_figure(evidence: Evidence) -> str:
    if evidence.challenge is not None:
        return f"p_worse {number(evidence.challenge.p_worse, 3)}"
    return "no champion yet" if evidence.is_challenged else ""


def _traffic_figure(stage: Stage, facts: Facts) -> str:
    if stage.state is StageState.DONE:
        return "all traffic" if stage.name is StageName.ROLL_OUT and facts else ""
    return stage.reason if stage.state is StageState.WAITING else ""


def cause_of(delivery: Delivery, names: dict[PrincipalId, str]) -> str:
    """Why the delivery was started, and by whom where it was a person."""
    if delivery.cause.kind is CauseKind.PERSON:
        return f"by {names[delivery.cause.actor]}"
    return CAUSES[delivery.cause.kind]
