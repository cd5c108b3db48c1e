"""Where in a bundle each fact of the catalogue is evidenced: a file, and a pointer into it. Owns that table."""

from collections.abc import Mapping

from modelyard.delivery.domain import StageName
from modelyard.governance.bom import CARD, MODEL, Bill
from modelyard.governance.domain import ATTESTATIONS, BOM, LINEAGE, MODEL_SIGNATURE, Attested, Evidence
from modelyard.governance.records import Records
from modelyard.governance.rules.catalogue import Found
from modelyard.governance.rules.lineage import RunEvent

DEFINITION = "/predicate/buildDefinition"
FIGURES = "/predicate/figures"
ALWAYS: dict[str, tuple[tuple[str, str], ...]] = {
    "model.identity": ((MODEL_SIGNATURE, "/dsseEnvelope"), (BOM, MODEL)),
    "model.signature": ((MODEL_SIGNATURE, "/dsseEnvelope/signatures/0"), (MODEL_SIGNATURE, "/verificationMaterial/publicKey")),
    "model.owner": ((BOM, f"{CARD}/considerations/users"),),
    "model.purpose": ((BOM, f"{CARD}/considerations/useCases"),),
    "model.tier": ((ATTESTATIONS[Attested.TRAINING], f"{DEFINITION}/internalParameters/riskTier"),),
    "model.design": ((BOM, f"{CARD}/modelParameters"),),
    "model.io_schema": ((BOM, f"{CARD}/modelParameters/inputs"), (BOM, f"{CARD}/modelParameters/outputs")),
    "model.card": ((BOM, CARD),),
    "data.quality": ((ATTESTATIONS[Attested.EVALUATION], f"{FIGURES}/dataChecks"),),
    "data.splits": (
        (ATTESTATIONS[Attested.EVALUATION], f"{FIGURES}/split"),
        (ATTESTATIONS[Attested.EVALUATION], f"{FIGURES}/trainingRows"),
    ),
    "run.params": ((ATTESTATIONS[Attested.TRAINING], f"{DEFINITION}/externalParameters"),),
    "run.provenance": ((ATTESTATIONS[Attested.TRAINING], "/predicate"),),
    "eval.metrics": (
        (ATTESTATIONS[Attested.EVALUATION], f"{FIGURES}/metrics"),
        (ATTESTATIONS[Attested.EVALUATION], f"{FIGURES}/standardErrors"),
    ),
    "approval.record": ((ATTESTATIONS[Attested.APPROVAL], "/predicate"),),
    "approval.policy": ((ATTESTATIONS[Attested.GATE], "/predicate/policy"),),
    "bom": ((BOM, "/components"),),
}
"""The facts that every delivered version has."""
REMARKS = {
    "run.compute": "energy is not measured",
    "model.inventory": "as the registry has it; models here do not read each other's answers",
    "serve.logs": "the prediction log; who called is not in it",
}


def found_of(records: Records, bill: Bill, events: tuple[RunEvent, ...], digests: Mapping[str, str]) -> Found:
    """Where each fact is evidenced; `digests` are the SHA-256 of the files by path, in hexadecimal."""
    places = {**ALWAYS, **_by_records(records), **_lineage(events)}
    places |= {name: (*places.get(name, ()), (BOM, pointer)) for name, pointer in bill.pointers.items()}
    evidence = {
        fact: tuple(Evidence(path=path, pointer=pointer, sha256=digests[path]) for path, pointer in where) for fact, where in places.items()
    }
    return Found(evidence=evidence, remarks=REMARKS)


def _by_records(records: Records) -> dict[str, tuple[tuple[str, str], ...]]:
    training, evaluation, approval = (ATTESTATIONS[kind] for kind in (Attested.TRAINING, Attested.EVALUATION, Attested.APPROVAL))
    kinds = [
        "code",
        *["environment"] * sum(bool(records.facts(StageName.TRAIN).get(key)) for key in ("environment", "requirements", "modelyard")),
    ]
    found: dict[str, tuple[tuple[str, str], ...]] = {
        "run.code": ((training, f"{DEFINITION}/resolvedDependencies/0"),),
        "run.env": tuple((training, f"{DEFINITION}/resolvedDependencies/{place}") for place in range(1, len(kinds))),
        "data.snapshot": ((training, f"{DEFINITION}/resolvedDependencies/{len(kinds)}"),),
    }
    if records.declaration.as_of is not None:
        found["data.splits"] = (*ALWAYS["data.splits"], (evaluation, f"{FIGURES}/firstAsOf"))
    if records.facts(StageName.EVALUATE)["slices"]:
        found["eval.slices"] = ((evaluation, f"{FIGURES}/slices"),)
    if records.gates:
        found["eval.thresholds"] = ((evaluation, f"{FIGURES}/gates"), (evaluation, f"{FIGURES}/gatesFixedOn"))
    if records.facts(StageName.CHALLENGE).get("challenge"):
        found["eval.benchmark"] = ((evaluation, f"{FIGURES}/challenge"),)
    if records.approval is not None and not records.approval.by_policy:
        found["approval.separation"] = ((approval, "/predicate/approver"), (approval, "/predicate/startedBy"))
    return found


def _lineage(events: tuple[RunEvent, ...]) -> dict[str, tuple[tuple[str, str], ...]]:
    made = [place for place, event in enumerate(events) if event.outputs]
    return {"data.lineage": tuple((LINEAGE, f"/{place}/outputs/0") for place in made)}
