"""The page of one reproduction: its verdict, every comparison, its steps; and the button that starts one. Owns the context."""

import msgspec

from modelyard.access.domain import Principal
from modelyard.access.service import principal_names
from modelyard.delivery import service
from modelyard.delivery.domain import Comparison, NewReproduction, Reproduction, ReproductionId, ReproductionState, SnapshotVerdict, Verdict
from modelyard.delivery.pages.words import REPRODUCED
from modelyard.registry.domain import ModelName
from modelyard.storage.blobs import DIGEST
from modelyard.storage.database import Snapshot, Transaction
from modelyard.web.pages import Done
from modelyard.web.parts import Step, Tone

STEPS = ("records", "environment", "data", "train", "compare")
SNAPSHOTS: dict[SnapshotVerdict, tuple[Tone, str]] = {
    SnapshotVerdict.REBUILT: ("good", "The training rows were rebuilt from the sources, identical"),
    SnapshotVerdict.CHANGED: ("warn", "A source has changed: the recorded snapshot was learned from"),
    SnapshotVerdict.GONE: ("warn", "A source is gone: the recorded snapshot was learned from"),
}


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A comparison as a row; digests are drawn short and copyable."""

    comparison: Comparison
    is_digest: bool


class ReproductionPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `delivery/reproduction.html`."""

    reproduction: Reproduction
    tone: Tone
    word: str
    clause: str
    asker: str
    model_lines: tuple[Line, ...]
    other_lines: tuple[Line, ...]
    steps: tuple[Step, ...]
    snapshot: tuple[Tone, str] | None


def show_reproduction(snapshot: Snapshot, principal: Principal, reproduction: ReproductionId) -> ReproductionPage:
    """One reproduction: what was rebuilt beside what was recorded."""
    found = service.get_reproduction(snapshot, principal, reproduction)
    tone, word = REPRODUCED[found.verdict] if found.verdict is not None else _open(found)
    lines = tuple(Line(comparison=one, is_digest=bool(DIGEST.fullmatch(one.recorded or one.rebuilt))) for one in found.comparisons)
    return ReproductionPage(
        reproduction=found,
        tone=tone,
        word=word,
        clause=_clause(found),
        asker=principal_names(snapshot, {found.asked_by})[found.asked_by],
        model_lines=tuple(one for one in lines if one.comparison.decides),
        other_lines=tuple(one for one in lines if not one.comparison.decides),
        steps=_steps(found),
        snapshot=SNAPSHOTS[found.snapshot] if found.snapshot is not None else None,
    )


def reproduce(tx: Transaction, principal: Principal, model: ModelName, version: int) -> Done:
    """Has a version made again."""
    found = service.start_reproduction(tx, principal, model, version, NewReproduction())
    return Done(f"/reproductions/{found.id}", f"v{version} is made again from its records. A worker takes it up.")


def _open(found: Reproduction) -> tuple[Tone, str]:
    return ("busy", "Under way") if found.state is ReproductionState.RUNNING else ("warn", "Waits for a worker")


def _clause(found: Reproduction) -> str:
    match found.verdict:
        case None:
            return f"At the step {found.doing}" if found.doing else "Not taken up yet"
        case Verdict.IDENTICAL:
            return "Rebuilt from its records alone, the model computes the same, bit for bit"
        case Verdict.EQUAL_WITHIN_TOLERANCE:
            return f"On {found.processor or 'another processor'} every number is within {found.tolerance:g} of what was recorded"
        case Verdict.DIFFERENT:
            return "Rebuilt from its records, the model computes something else"
        case Verdict.FAILED:
            return f"It could not be made again: {found.reason}"


def _steps(found: Reproduction) -> tuple[Step, ...]:
    done = {step.name: step for step in found.steps}
    last = found.doing if found.state is not ReproductionState.ENDED else ""
    stopped = STEPS[len(done)] if found.verdict is Verdict.FAILED and len(done) < len(STEPS) else ""
    return tuple(
        Step(name=name.capitalize(), state="done", text=f"{done[name].took_s:.1f} s")
        if name in done
        else Step(name=name.capitalize(), state="now" if name == last else "failed" if name == stopped else "next")
        for name in STEPS
    )
