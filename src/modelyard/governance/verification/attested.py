"""What was signed: the model's signature and the attestations, by the keys of their roles, and whether they agree. Owns these checks."""

import itertools
from datetime import datetime

import msgspec

from modelyard.core.clock import Instant, instant, iso
from modelyard.core.errors import InvalidInput
from modelyard.governance.domain import (
    APPROVAL,
    ATTESTATIONS,
    COVERED,
    MODEL_SIGNATURE,
    SIGNED_BY,
    Attested,
    BadBundle,
    BadEnvelope,
    KeyRole,
    Trust,
)
from modelyard.governance.rules.envelopes import claimed_payload, opened
from modelyard.governance.rules.signing import SignedModel, opened_signature
from modelyard.governance.rules.statements import (
    APPROVED,
    PASSED,
    Actor,
    Approval,
    Contents,
    PolicyApproval,
    Provenance,
    Resource,
    Statement,
    Summary,
    TestResult,
    parsed_statement,
    predicate_as,
)
from modelyard.governance.verification.folder import Folder

HIGH = "high"
SNAPSHOT, SOURCE = "snapshot", "source"
Predicate = Provenance | TestResult | Approval | PolicyApproval | Summary | Contents
READ_AS: dict[Attested, type[Predicate]] = {
    Attested.TRAINING: Provenance,
    Attested.EVALUATION: TestResult,
    Attested.APPROVAL: PolicyApproval,
    Attested.GATE: Summary,
    Attested.DOSSIER: Contents,
}


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """An attestation that its role's key signed about the signed model: its predicate, the other subjects, and its time."""

    predicate: Predicate
    others: tuple[Resource, ...]
    at: Instant


def check_model(folder: Folder, trust: Trust) -> tuple[SignedModel, str]:
    """The signature covers exactly the files of the model. Raises BadEnvelope and BadBundle."""
    model = opened_signature(folder.read(MODEL_SIGNATURE), trust.keys.get(KeyRole.MODEL, ()))
    there = folder.model
    wrong = sorted(path for path in {*there, *model.files} if there.get(path) != model.files.get(path))
    if wrong:
        raise BadBundle(f"the model's files are not those that were signed: {', '.join(wrong[:5])}")
    return model, f"{model.name}, {len(there)} files, digest {model.digest[:12]}"


def opened_attestation(folder: Folder, trust: Trust, kind: Attested, model: SignedModel | None) -> tuple[Signed, str]:
    """The attestation, signed by the key of the role that its type belongs to, about the signed model. Raises BadEnvelope."""
    assert model is not None  # the check rests on it
    content = folder.read(ATTESTATIONS[kind])
    said = parsed_statement(claimed_payload(content)).predicate_type
    if said not in trust.policy.predicates.get(kind, ()) or said not in SIGNED_BY:
        raise BadEnvelope(f"it is a {said[:60]!r}, which is no {kind} that the trust file allows")
    role = SIGNED_BY[said]
    found = parsed_statement(opened(content, trust.keys.get(role, ())))
    return _signed(kind, found, model), f"signed by the {role} key"


def _signed(kind: Attested, found: Statement, model: SignedModel) -> Signed:
    first = found.subject[0]
    if (first.name, first.digest) != (model.name, {"sha256": model.digest}):
        raise BadEnvelope(f"it is about {first.name[:60]!r} {first.sha256[:12]}, not about the signed model")
    if kind is not Attested.DOSSIER and len(found.subject) != 1:
        raise BadEnvelope(f"it is about {len(found.subject)} subjects, expected the model alone")
    read_as: type[Predicate] = Approval if found.predicate_type == APPROVAL else READ_AS[kind]
    predicate = predicate_as(found, read_as)
    return Signed(predicate=predicate, others=found.subject[1:], at=_time_of(predicate))


def _time_of(predicate: Predicate) -> Instant:
    match predicate:
        case Provenance():
            text = predicate.run_details.metadata.finished_on
        case TestResult():
            text = predicate.finished_on
        case Approval() | PolicyApproval():
            text = predicate.decided_on
        case Summary():
            text = predicate.time_verified
        case Contents():
            text = predicate.made_on
    try:
        return instant(datetime.fromisoformat(text))
    except (ValueError, OverflowError, InvalidInput) as error:
        raise BadEnvelope(f"{text[:40]!r} is no time with its zone") from error


def check_order(trust: Trust, signed: dict[Attested, Signed]) -> tuple[bool, str]:
    """No attestation is dated before one that it rests on. Raises BadBundle."""
    order = [kind for kind in trust.policy.order if kind in signed]
    for before, after in itertools.pairwise(order):
        if signed[after].at < signed[before].at:
            raise BadBundle(f"{after} is dated {iso(signed[after].at)}, before {before} of {iso(signed[before].at)}")
    return True, " <= ".join(order)


def check_agreement(signed: dict[Attested, Signed]) -> tuple[bool, str]:
    """Training, approval and gate name the same risk tier and the same author. Raises BadBundle."""
    training, approval, gate = (signed[kind].predicate for kind in (Attested.TRAINING, Attested.APPROVAL, Attested.GATE))
    assert isinstance(training, Provenance)
    assert isinstance(approval, Approval | PolicyApproval)
    assert isinstance(gate, Summary)
    internal = training.build_definition.internal_parameters
    for one, what in ((approval, "approval"), (gate, "gate")):
        if (one.risk_tier, one.started_by.id) != (internal.risk_tier, internal.started_by.id):
            raise BadBundle(
                f"the {what} is about a {one.risk_tier} risk begun by {one.started_by.id}, "
                f"the training about a {internal.risk_tier} risk begun by {internal.started_by.id}"
            )
    return True, f"{internal.risk_tier} risk, begun by {_called(internal.started_by)}"


def check_approval(folder: Folder, trust: Trust, signed: dict[Attested, Signed]) -> tuple[bool, str]:
    """Somebody else than the author approved, or a policy in a tier that the auditor leaves to it. Raises BadBundle."""
    approval = signed[Attested.APPROVAL].predicate
    assert isinstance(approval, Approval | PolicyApproval)
    if approval.decision != APPROVED:
        raise BadBundle(f"it was {approval.decision[:40]}, not approved")
    _check_named(folder, approval.evidence, (Attested.TRAINING, Attested.EVALUATION), "the approval")
    if isinstance(approval, Approval):
        if trust.policy.four_eyes and approval.approver.id == approval.started_by.id:
            raise BadBundle(f"{_called(approval.approver)} approved their own work")
        return True, f"by {_called(approval.approver)}, who did not begin it"
    if approval.risk_tier == HIGH or approval.risk_tier not in trust.policy.approval_by_policy:
        raise BadBundle(f"a policy approved a {approval.risk_tier} risk, which needs a person")
    broken = [one.expression for one in approval.outcomes if not one.passed]
    if broken:
        raise BadBundle(f"the policy approved although {broken[0][:80]!r} did not hold")
    return True, f"by policy {approval.policy.sha256[:12]}, {len(approval.outcomes)} rules"


def check_gate(folder: Folder, signed: dict[Attested, Signed]) -> tuple[bool, str]:
    """The gate passed the version on the three attestations of this bundle. Raises BadBundle."""
    gate, evaluation = signed[Attested.GATE].predicate, signed[Attested.EVALUATION].predicate
    assert isinstance(gate, Summary)
    assert isinstance(evaluation, TestResult)
    if gate.verification_result != PASSED or evaluation.result != PASSED or evaluation.failed_tests:
        raise BadBundle(f"the gate says {gate.verification_result[:20]}, the evaluation {evaluation.result[:20]}, expected {PASSED}")
    _check_named(folder, gate.input_attestations, (Attested.TRAINING, Attested.EVALUATION, Attested.APPROVAL), "the gate")
    return True, f"passed on {len(gate.input_attestations)} attestations, {len(evaluation.passed_tests)} tests"


def _check_named(folder: Folder, named: tuple[Resource, ...], kinds: tuple[Attested, ...], who: str) -> None:
    given = [(one.name, one.sha256) for one in named]
    if sorted(given) != sorted((ATTESTATIONS[kind], folder.sha256(ATTESTATIONS[kind])) for kind in kinds):
        raise BadBundle(f"{who} rests on other attestations than those of this bundle")


def check_contents(folder: Folder, dossier: Signed) -> tuple[bool, str]:
    """The dossier's attestation names exactly the files that it covers, as they are. Raises BadBundle."""
    given = [(one.name, one.sha256) for one in dossier.others]
    wrong = [name for name, digest in given if name not in COVERED or folder.sha256(name) != digest]
    if wrong or sorted(name for name, _ in given) != sorted(COVERED):
        raise BadBundle(f"it does not cover {', '.join(COVERED)} as they are" + (f": {wrong[0][:60]}" if wrong else ""))
    return True, f"{len(given)} files as they were signed"


def _called(actor: Actor) -> str:
    return actor.name or actor.id
