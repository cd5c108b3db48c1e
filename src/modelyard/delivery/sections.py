"""What delivery says on the pages of a model, a version and a run: whether it could be made again from its records.

Owns the words, no figure.
"""

from modelyard.access.domain import SYSTEM, Principal, PrincipalId, Role
from modelyard.access.service import principal_names
from modelyard.delivery.domain import SAME, NotReproducible, Reproduction, ReproductionState, Verdict
from modelyard.delivery.pages.words import reproduction_words, swapped_words
from modelyard.delivery.reproductions import (
    check_reproducible,
    check_run_reproducible,
    list_reproductions,
    list_run_reproductions,
    list_version_reproductions,
)
from modelyard.ledger.service import list_entries
from modelyard.registry.domain import CHAMPION, ModelName, ModelVersion
from modelyard.registry.rules.names import page_of
from modelyard.registry.sections import Act, Cell, Contribution, Phrase, Section, Table, VersionMark
from modelyard.registry.service import find_alias
from modelyard.storage.database import Snapshot
from modelyard.tracking.domain import Run
from modelyard.tracking.sections import RunCard, RunEvent
from modelyard.web.parts import Link

MOST_SHOWN = 5


def on_versions_page(snapshot: Snapshot, principal: Principal, version: ModelVersion) -> tuple[Section, ...]:
    """The reproductions of a version, and the button that starts one for those who may."""
    found = list_version_reproductions(snapshot, principal, version.model, version.number)
    try:
        check_reproducible(version)
    except NotReproducible as error:
        return (Section(id="reproductions", title="Made again", order=40, empty=error.message),)
    may_ask = principal.may(Role.CONTRIBUTOR, version.team_id) and not _is_open(found)
    return (
        Section(
            id="reproductions",
            title="Made again",
            order=40,
            note="from its records, in a fresh environment",
            live=f"model:{version.model}/{version.number}",
            table=Table(heads=("Verdict", "Made from", "Equal", "Took", "Asked"), rows=tuple(map(_row, found[:MOST_SHOWN])))
            if found
            else None,
            acts=(Act(label="Make it again", href=f"{page_of(version.model, version.number)}/reproduce"),) if may_ask else (),
            empty="Not tried yet: it would be trained again from its records and held against what was recorded",
            command=f"yard reproduce {version.model}/{version.number}",
        ),
    )


def approver_of(snapshot: Snapshot, version: ModelVersion) -> str:
    """Who approved a version, by name, or that the policy did; empty where nothing on record says so."""
    found = list_entries(snapshot, type="delivery.approved", subject=f"model:{version.model}/{version.number}", limit=1).entries
    if not found:
        return ""
    actor = PrincipalId(found[0].actor)
    return "by policy" if actor == SYSTEM.id else principal_names(snapshot, [actor])[actor]


def on_models_page(snapshot: Snapshot, principal: Principal, model: ModelName) -> Contribution:
    """A mark beside each version that could not be made again as it is, by its newest attempt, and a sentence about the champion."""
    newest: dict[int, Reproduction] = {}
    for one in list_reproductions(snapshot, principal, model):
        if one.is_evidence and one.version is not None:
            newest.setdefault(one.version, one)
    bad = {number: one for number, one in newest.items() if one.verdict not in SAME}
    marks = tuple(
        VersionMark(version=number, word="not made again", tone="bad", href=f"/reproductions/{one.id}") for number, one in bad.items()
    )
    champion = find_alias(snapshot, model, CHAMPION)
    if champion is None or champion.version not in bad:
        return Contribution(marks=marks)
    came = "it came out otherwise" if bad[champion.version].verdict is Verdict.DIFFERENT else "that failed"
    return Contribution(marks=marks, phrases=(Phrase(f"v{champion.version} was made again from its records and {came}", is_strong=True),))


def on_runs_page(snapshot: Snapshot, principal: Principal, run: Run) -> tuple[RunCard, ...]:
    """The reproductions of a run, and of the version that it became, and the button that starts one for those who may."""
    found = list_run_reproductions(snapshot, principal, run.facts.id)
    try:
        check_run_reproducible(snapshot, run)
    except NotReproducible as error:
        return (RunCard(id="reproductions", title="Made again", note="", live="", empty=error.message),) if found else ()
    href = f"/runs/{run.facts.id}/reproduce"
    may_ask = principal.may(Role.CONTRIBUTOR, run.facts.team_id) and not _is_open(found)
    return (
        RunCard(
            id="reproductions",
            title="Made again",
            note="from its records",
            live=found[0].subject if found else f"run:{run.facts.id}",
            events=tuple(map(_event, found[:MOST_SHOWN])),
            act=Link("Make it again", href) if may_ask else None,
            empty="Not tried yet: it would be trained again from its records and held against what was recorded",
            command=f"yard reproduce {run.facts.id}",
        ),
    )


def _is_open(found: list[Reproduction]) -> bool:
    return any(one.state is not ReproductionState.ENDED for one in found)


def _event(one: Reproduction) -> RunEvent:
    tone, word = reproduction_words(one)
    note = swapped_words(one) or (one.name if one.version is not None else "")
    return RunEvent(tone=tone, word=word, href=f"/reproductions/{one.id}", note=note, at=one.asked_at)


def _row(one: Reproduction) -> tuple[Cell, ...]:
    tone, word = reproduction_words(one)
    compared = f"{sum(each.is_equal for each in one.comparisons)} of {len(one.comparisons)}" if one.comparisons else ""
    return (
        Cell(text=word, tone=tone, href=f"/reproductions/{one.id}"),
        Cell(text=swapped_words(one).removeprefix("with ") or "its records"),
        Cell(text=compared),
        Cell(text=f"{one.duration_s:.1f} s" if one.duration_s is not None else ""),
        Cell(at=one.asked_at),
    )
