"""What governance says on others' pages: a version's model card, dossiers and attestations, and a model's way to them. Owns the words."""

from modelyard.access.domain import Principal, PrincipalId, Role
from modelyard.access.service import principal_names
from modelyard.core.names import listed
from modelyard.features.service import erasures_since, find_applied_set, list_trusted, personal_in
from modelyard.governance.domain import ATTESTATIONS, MODEL_SIGNATURE, Attestation, Attested, Dossier, NotAttestable
from modelyard.governance.pages.words import PATH, card_page, dossier_page, version_page
from modelyard.governance.records import delivery_of
from modelyard.governance.service import find_release, list_attestations, list_version_dossiers
from modelyard.ledger.service import entry_position
from modelyard.registry.domain import ModelName, ModelVersion
from modelyard.registry.sections import Act, Cell, Contribution, Fact, Section, Table
from modelyard.storage.database import Snapshot
from modelyard.web.parts import Link
from modelyard.web.words import exact

MOST_SHOWN = 5
ORDER = 20
TERMS = {MODEL_SIGNATURE: "Model's signature", **{path: kind.value.capitalize() for kind, path in ATTESTATIONS.items()}}
PLACES = [MODEL_SIGNATURE, *(ATTESTATIONS[kind] for kind in Attested)]


def on_models_page(snapshot: Snapshot, principal: Principal, model: ModelName) -> Contribution:
    """The way to the dossiers of a model."""
    return Contribution(tools=(Link("Dossiers", f"{PATH}?model={model}"),))


def on_versions_page(snapshot: Snapshot, principal: Principal, version: ModelVersion) -> tuple[Section, ...]:
    """The dossiers of a version, with the button that makes one for those who may; its model card and attestations at the side."""
    try:
        delivery_of(snapshot, version)
    except NotAttestable as error:
        return (Section(id="dossiers", title="Dossiers", order=ORDER, empty=f"{error.message[:1].upper()}{error.message[1:]}"),)
    return (
        _dossiers(snapshot, principal, version),
        _attested(snapshot, principal, version),
        *_computed(snapshot, version),
        *_personal(snapshot, version),
    )


def _dossiers(snapshot: Snapshot, principal: Principal, version: ModelVersion) -> Section:
    made = list_version_dossiers(snapshot, principal, version.model, version.number)
    is_released = bool(made) or find_release(snapshot, version) is not None
    may_make = is_released and principal.may(Role.CONTRIBUTOR, version.team_id)
    names = principal_names(snapshot, [one.made_by for one in made])
    return Section(
        id="dossiers",
        title="Dossiers",
        order=ORDER,
        note="what an auditor is handed",
        live=f"model:{version.model}/{version.number}",
        table=Table(heads=HEADS, rows=tuple(_row(one, names) for one in made[:MOST_SHOWN])) if made else None,
        acts=(Act(label="Make a dossier", href=f"{version_page(version.model, version.number)}/dossiers"),) if may_make else (),
        empty="None made yet" if is_released else "A dossier is of a version that was let through; this one was not",
        command=f"yard dossier {version.model}/{version.number}" if is_released else "",
    )


def _personal(snapshot: Snapshot, version: ModelVersion) -> tuple[Section, ...]:
    """Which personal data the version reads, and the erasures since it was trained; nothing where there is neither."""
    features = None if version.feature_set is None else find_applied_set(snapshot, version.feature_set)
    if features is None:
        return ()
    personal = personal_in(snapshot, features)
    erasures = erasures_since(snapshot, features, version.created_at)
    if not personal and not erasures:
        return ()
    facts = [Fact(term="Reads", value=listed(personal) or "none that is declared so")]
    facts += [Fact(term=f"{one.entity} erased", at=one.erased_at) for one in erasures[:MOST_SHOWN]]
    card = Link("Model card", card_page(version.model, version.number))
    note = "its training rows may hold what was erased: the card counts them" if erasures else "declared so by its views"
    return (Section(id="personal", title="Personal data", place="side", order=ORDER + 1, note=note, facts=tuple(facts), links=(card,)),)


def _computed(snapshot: Snapshot, version: ModelVersion) -> tuple[Section, ...]:
    """The functions by which the version computes features on demand, and who let them run; nothing where there are none."""
    features = None if version.feature_set is None else find_applied_set(snapshot, version.feature_set)
    trusted = [] if features is None else list_trusted(snapshot, features)
    if not trusted:
        return ()
    names = principal_names(snapshot, [one.applied_by for one in trusted])
    facts = tuple(
        Fact(
            term=f"{one.function.name} v{one.number}",
            value=f"{names[one.applied_by]}, {exact(one.applied_at)}",
            href=f"/features/on-demand/{one.function.name}",
        )
        for one in trusted
    )
    return (Section(id="on-demand", title="Computed on demand", place="side", order=ORDER + 1, note="who let it run, when", facts=facts),)


HEADS = ("Made", "Met", "Wait for people", "Missing", "By")


def _row(one: Dossier, names: dict[PrincipalId, str]) -> tuple[Cell, ...]:
    counts = (one.met, one.waiting, one.missing)
    return (
        Cell(text=exact(one.made_at), href=dossier_page(one.id)),
        *(Cell(text=f"{count:,}", is_number=True) for count in counts),
        Cell(text=names[one.made_by]),
    )


def _attested(snapshot: Snapshot, principal: Principal, version: ModelVersion) -> Section:
    found = sorted(list_attestations(snapshot, principal, version.model, version.number), key=lambda one: PLACES.index(one.path))
    return Section(
        id="attested",
        title="Attested",
        place="side",
        order=ORDER,
        note="signed by role, in the ledger",
        live=f"model:{version.model}/{version.number}",
        facts=tuple(_fact(snapshot, one) for one in found),
        links=(Link("Model card", card_page(version.model, version.number)),),
        empty="A worker attests it in a moment",
    )


def _fact(snapshot: Snapshot, one: Attestation) -> Fact:
    place = entry_position(snapshot, one.entry)
    return Fact(term=TERMS[one.path], digest=one.digest, href="" if place is None else f"/ledger/entries/{place}")
