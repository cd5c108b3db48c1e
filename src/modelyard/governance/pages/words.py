"""Governance in words: how a requirement stands, where its evidence can be looked at, where pages are. Owns no data."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from modelyard.delivery.domain import Approval
from modelyard.governance.bom import CARD, EVIDENCE, MODEL
from modelyard.governance.domain import (
    ATTESTATIONS,
    BOM,
    LINEAGE,
    MODEL_SIGNATURE,
    Answer,
    Attested,
    CardSource,
    DossierId,
    Evidence,
    Status,
)
from modelyard.registry.domain import ModelName
from modelyard.web.parts import Tone

PATH = "/governance"
DOSSIERS = "/governance/dossiers"
Standing = Literal["met", "waiting", "missing", "not_applicable"]

STANDINGS: dict[Standing, tuple[Tone, str]] = {
    "met": ("good", "Met"),
    "waiting": ("warn", "Waits for people"),
    "missing": ("bad", "Missing"),
    "not_applicable": ("idle", "Not applicable"),
}
FILES: dict[str, str] = {
    ATTESTATIONS[Attested.TRAINING]: "Training, attested",
    ATTESTATIONS[Attested.EVALUATION]: "Evaluation, attested",
    ATTESTATIONS[Attested.APPROVAL]: "Approval, attested",
    ATTESTATIONS[Attested.GATE]: "Gate, attested",
    ATTESTATIONS[Attested.DOSSIER]: "Dossier, attested",
    MODEL_SIGNATURE: "Model's signature",
    LINEAGE: "Lineage",
    BOM: "Bill of materials",
}
RECORDS: dict[str, str] = {
    "audit.log": "Ledger",
    "change.log": "Changes between versions",
    "data.prep": "Preparation of the data",
    "data.profile": "Column profile",
    "deploy.history": "History of traffic",
    "deploy.record": "Deployment",
    "dossier.export": "Earlier dossiers",
    "model.inventory": "Inventory entry",
    "monitor.alerts": "Alerts",
    "monitor.config": "What is monitored",
    "monitor.outcomes": "Outcomes",
    "monitor.results": "Monitoring results",
    "run.compute": "Compute",
    "run.reproduction": "Reproduction",
    "serve.logs": "Prediction log",
}
SOURCES: dict[CardSource, str] = {
    CardSource.DECLARATION: "Declaration",
    CardSource.VERSION: "Version",
    CardSource.DELIVERY: "Delivery",
    CardSource.SNAPSHOT: "Training snapshot",
    CardSource.TRAINING: "Training run",
    CardSource.EVALUATION: "Evaluation",
    CardSource.GATES: "Gates",
}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a requirement's evidence is: a word, the page that shows the record, and the exact places in the bundle."""

    label: str
    href: str
    evidence: tuple[Evidence, ...]


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A version with what made it: all that the addresses of its records need."""

    model: ModelName
    version: int
    delivery: str
    run: str

    @property
    def page(self) -> str:
        """The version's page."""
        return version_page(self.model, self.version)


def version_page(model: str, version: int) -> str:
    """The page of a version."""
    return f"/models/{model}/versions/{version}"


def card_page(model: str, version: int) -> str:
    """The page of a version's model card."""
    return f"{version_page(model, version)}/card"


def dossier_page(dossier: DossierId) -> str:
    """The page of a dossier."""
    return f"{DOSSIERS}/{dossier}"


def standing_of(answer: Answer) -> Standing:
    """How a requirement stands; what waits for a person is told apart from what lacks a record."""
    if answer.status is Status.MET:
        return "met"
    if answer.status is Status.NOT_APPLICABLE:
        return "not_applicable"
    return "waiting" if answer.needs else "missing"


def decided_by(approval: Approval | None, names: dict[str, str]) -> str:
    """Who let a version through."""
    if approval is None:
        return "nobody"
    return "policy" if approval.by_policy else names.get(str(approval.decided_by), str(approval.decided_by))


def places_of(evidence: Sequence[Evidence], records: Sequence[str], origin: Origin) -> tuple[Place, ...]:
    """The evidence by what it is, in its order; `records` are the records of the bill of materials, in theirs."""
    found: dict[tuple[str, str], list[Evidence]] = {}
    for one in evidence:
        found.setdefault(_place(one, records, origin), []).append(one)
    return tuple(Place(label=label, href=href, evidence=tuple(each)) for (label, href), each in found.items())


def source_page(source: CardSource, origin: Origin) -> str:
    """The page of the record that a line of a card was read from."""
    match source:
        case CardSource.VERSION:
            return origin.page
        case CardSource.TRAINING:
            return f"/runs/{origin.run}"
        case CardSource.SNAPSHOT:
            return f"/trace/{origin.model}/{origin.version}"
        case _:
            return f"/deliveries/{origin.delivery}"


def _place(one: Evidence, records: Sequence[str], origin: Origin) -> tuple[str, str]:
    if one.path == BOM:
        return _place_in_bill(one.pointer, records, origin)
    label = FILES.get(one.path, one.path)
    if one.path == ATTESTATIONS[Attested.TRAINING]:
        return label, f"/runs/{origin.run}"
    if one.path == LINEAGE:
        return label, f"/trace/{origin.model}/{origin.version}"
    if one.path == MODEL_SIGNATURE:
        return label, origin.page
    return label, f"/deliveries/{origin.delivery}"


def _place_in_bill(pointer: str, records: Sequence[str], origin: Origin) -> tuple[str, str]:
    if pointer.startswith(f"{EVIDENCE}/"):
        place = pointer.removeprefix(f"{EVIDENCE}/").partition("/")[0]
        name = records[int(place)] if place.isdecimal() and int(place) < len(records) else ""
        return RECORDS.get(name, name or FILES[BOM]), record_page(name, origin)
    if pointer.startswith(CARD):
        return "Model card", card_page(origin.model, origin.version)
    return ("Model's identity" if pointer.startswith(MODEL) else FILES[BOM]), origin.page


def record_page(name: str, origin: Origin) -> str:
    """The page that shows a record of the bill of materials; the version's own where none is nearer."""
    match name.partition(".")[0]:
        case "monitor":
            return f"/monitoring/{origin.model}"
        case "deploy" | "serve":
            return f"/serving/{origin.model}"
        case "data":
            return f"/trace/{origin.model}/{origin.version}"
        case "audit":
            return "/ledger"
        case "change":
            return f"/models/{origin.model}/comparison?right={origin.version}"
    return {
        "model.inventory": f"/models/{origin.model}",
        "run.compute": f"/runs/{origin.run}",
        "run.reproduction": f"{origin.page}#reproductions",
        "dossier.export": f"{origin.page}#dossiers",
    }.get(name, origin.page)
