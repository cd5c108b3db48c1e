"""The page of one reproduction: its verdict, every comparison, its steps; and the button that starts one. Owns the context."""

from urllib.parse import quote

import msgspec

from modelyard.access.domain import Principal
from modelyard.access.service import principal_names
from modelyard.delivery import service
from modelyard.delivery.domain import (
    Comparison,
    Difference,
    NewReproduction,
    Reproduction,
    ReproductionId,
    ReproductionState,
    SnapshotVerdict,
    Verdict,
)
from modelyard.delivery.pages.words import reproduction_words, swapped_words
from modelyard.registry.domain import ModelName
from modelyard.storage.blobs import DIGEST
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking.domain import RunId
from modelyard.web.pages import Done
from modelyard.web.parts import Link, Step, Tone

STEPS = ("records", "environment", "data", "train", "compare")
SNAPSHOTS: dict[SnapshotVerdict, tuple[Tone, str]] = {
    SnapshotVerdict.REBUILT: ("good", "The training rows were rebuilt from the sources, identical"),
    SnapshotVerdict.CHANGED: ("warn", "A source has changed: the recorded snapshot was learned from"),
    SnapshotVerdict.GONE: ("warn", "A source is gone: the recorded snapshot was learned from"),
}
ENCLOSURES = {
    True: "without network and without sight of the installation",
    False: "with clean words and folders alone: this machine lets nothing be enclosed",
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
    log: str
    asker: str
    model_lines: tuple[Line, ...]
    other_lines: tuple[Line, ...]
    steps: tuple[Step, ...]
    snapshot: tuple[Tone, str] | None
    differences: tuple[Difference, ...]
    differences_title: str
    swapped: str
    tolerance: str
    enclosure: str
    origin: Link
    crumbs: tuple[Link, ...]


def show_reproduction(snapshot: Snapshot, principal: Principal, reproduction: ReproductionId) -> ReproductionPage:
    """One reproduction: what was rebuilt beside what was recorded."""
    found = service.get_reproduction(snapshot, principal, reproduction)
    tone, word = reproduction_words(found) if found.verdict is not None else _open(found)
    lines = tuple(Line(comparison=one, is_digest=bool(DIGEST.fullmatch(one.recorded or one.rebuilt))) for one in found.comparisons)
    return ReproductionPage(
        reproduction=found,
        tone=tone,
        word=word,
        clause=_clause(found),
        log=found.reason.partition("\n")[2].strip() if found.verdict is Verdict.FAILED else "",
        asker=principal_names(snapshot, {found.asked_by})[found.asked_by],
        model_lines=tuple(one for one in lines if one.comparison.decides),
        other_lines=tuple(one for one in lines if not one.comparison.decides),
        steps=_steps(found),
        snapshot=_snapshot(found),
        differences=found.differences,
        differences_title="Why it came out otherwise" if found.verdict is Verdict.DIFFERENT else "Not as recorded",
        swapped=swapped_words(found),
        tolerance=_tolerance(found),
        enclosure=ENCLOSURES[found.is_enclosed] if found.is_enclosed is not None else "",
        origin=_origin(found),
        crumbs=_crumbs(found),
    )


def reproduce(tx: Transaction, principal: Principal, model: ModelName, version: int) -> Done:
    """Has a version made again."""
    found = service.start_reproduction(tx, principal, model, version, NewReproduction())
    return Done(f"/reproductions/{found.id}", f"v{version} is made again from its records. A worker takes it up.")


def reproduce_run(tx: Transaction, principal: Principal, run_id: RunId) -> Done:
    """Has a run made again, or the version that it became."""
    found = service.start_run_reproduction(tx, principal, run_id, NewReproduction())
    return Done(f"/reproductions/{found.id}", f"{found.name} is made again from its records. A worker takes it up.")


def _open(found: Reproduction) -> tuple[Tone, str]:
    return ("busy", "Under way") if found.state is ReproductionState.RUNNING else ("warn", "Waits for a worker")


def _origin(found: Reproduction) -> Link:
    if found.version is None:
        return Link("Run", f"/runs/{found.run}")
    return Link("Version", f"/models/{quote(found.model or '', safe='')}/versions/{found.version}")


def _crumbs(found: Reproduction) -> tuple[Link, ...]:
    if found.version is None:
        return Link("Experiments", "/experiments"), Link(found.name, f"/runs/{found.run}")
    model = Link(found.model or "", f"/models/{quote(found.model or '', safe='')}")
    return Link("Models", "/models"), model, Link(f"v{found.version}", _origin(found).href)


def _snapshot(found: Reproduction) -> tuple[Tone, str] | None:
    if found.snapshot is None:
        return None
    if found.swaps.data and found.snapshot is SnapshotVerdict.CHANGED:
        return "idle", "It was learned from the rows that the sources give now"
    return SNAPSHOTS[found.snapshot]


def _tolerance(found: Reproduction) -> str:
    if found.verdict is None or found.verdict is Verdict.FAILED:
        return ""
    return f"{found.tolerance:g}, fixed before it was trained" if found.tolerance is not None else "none: the bits must agree"


def _clause(found: Reproduction) -> str:
    computes = "the model computes" if found.model is not None else "its command logs"
    match found.verdict:
        case None:
            return f"At the step {found.doing}" if found.doing else "Not taken up yet"
        case Verdict.IDENTICAL:
            return f"Rebuilt {_from(found)}, {computes} the same, bit for bit"
        case Verdict.EQUAL_WITHIN_TOLERANCE:
            return f"Rebuilt {_from(found)}, every number is within {found.tolerance:g} of what was recorded"
        case Verdict.DIFFERENT:
            return f"Rebuilt {_from(found)}, {computes} something else"
        case Verdict.FAILED:
            return f"It could not be made again: {found.reason.partition(chr(10))[0].removesuffix('.')}"


def _from(found: Reproduction) -> str:
    return "from its records alone" if found.is_whole else swapped_words(found)


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
