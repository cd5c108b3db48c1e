"""What delivery says on the page of a version: whether it could be made again from its records. Owns the words, no figure."""

from modelyard.access.domain import Principal, Role
from modelyard.delivery.domain import NotReproducible, Reproduction, ReproductionState
from modelyard.delivery.pages.words import REPRODUCED
from modelyard.delivery.reproductions import check_reproducible, list_version_reproductions
from modelyard.registry.domain import ModelVersion
from modelyard.registry.rules.names import page_of
from modelyard.registry.sections import Act, Cell, Section, Table
from modelyard.storage.database import Snapshot

MOST_SHOWN = 5


def on_versions_page(snapshot: Snapshot, principal: Principal, version: ModelVersion) -> tuple[Section, ...]:
    """The reproductions of a version, and the button that starts one for those who may."""
    found = list_version_reproductions(snapshot, principal, version.model, version.number)
    try:
        check_reproducible(version)
    except NotReproducible as error:
        return (Section(id="reproductions", title="Made again", order=40, empty=error.message),)
    is_open = any(one.state is not ReproductionState.ENDED for one in found)
    acts = (Act(label="Make it again", href=f"{page_of(version.model, version.number)}/reproduce"),)
    return (
        Section(
            id="reproductions",
            title="Made again",
            order=40,
            note="from its records, in a fresh environment",
            live=f"model:{version.model}/{version.number}",
            table=Table(heads=("Verdict", "Equal", "Took", "Asked"), rows=tuple(map(_row, found[:MOST_SHOWN]))) if found else None,
            acts=acts if principal.may(Role.CONTRIBUTOR, version.team_id) and not is_open else (),
            empty="Not tried yet: it would be trained again from its records and held against what was recorded",
            command=f"yard reproduce {version.model}/{version.number}",
        ),
    )


def _row(one: Reproduction) -> tuple[Cell, ...]:
    tone, word = REPRODUCED[one.verdict] if one.verdict is not None else ("busy", one.doing or "Waits for a worker")
    compared = f"{sum(each.is_equal for each in one.comparisons)} of {len(one.comparisons)}" if one.comparisons else ""
    return (
        Cell(text=word, tone=tone, href=f"/reproductions/{one.id}"),
        Cell(text=compared),
        Cell(text=f"{one.duration_s:.1f} s" if one.duration_s is not None else ""),
        Cell(at=one.asked_at),
    )
