"""The answers: every requirement has a status that it may have, and all evidence is where it is said to be. Owns these checks."""

from typing import Any

import msgspec

from modelyard.governance.domain import (
    ANSWERS,
    ATTESTATIONS,
    BOM,
    LINEAGE,
    MODEL_SIGNATURE,
    Answer,
    Answers,
    BadBundle,
    EvidenceKind,
    Status,
)
from modelyard.governance.rules.pointers import document_of, pointed
from modelyard.governance.rules.signing import SignedModel
from modelyard.governance.rules.statements import Provenance
from modelyard.governance.verification.attested import Signed
from modelyard.governance.verification.folder import Folder

POINTED_INTO = frozenset({*ATTESTATIONS.values(), MODEL_SIGNATURE, BOM, LINEAGE})
"""Where evidence may lie: not in the answers themselves, and not in the log, which is renewed."""


def check_answers(folder: Folder, training: Signed, model: SignedModel | None) -> tuple[Answers, str]:
    """Each requirement is answered once, for this model and tier: met with evidence, else with a reason. Raises BadBundle."""
    try:
        answers = msgspec.json.decode(folder.read(ANSWERS), type=Answers)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadBundle(f"it is no list of answers: {error}") from error
    assert model is not None  # the training rests on it
    predicate = training.predicate
    assert isinstance(predicate, Provenance)
    tier = predicate.build_definition.internal_parameters.risk_tier
    if (f"{answers.model}/{answers.version}", answers.risk_tier) != (model.name, tier):
        raise BadBundle(f"it is about {answers.model}/{answers.version} at {answers.risk_tier} risk, not about {model.name} at {tier} risk")
    ids = [one.id for one in answers.requirements]
    if not ids or len(set(ids)) != len(ids):
        raise BadBundle("a requirement is answered twice, or none is")
    known = {one.id for one in answers.frameworks}
    for one in answers.requirements:
        _check_answer(one, known)
    counts = {status: sum(one.status is status for one in answers.requirements) for status in Status}
    waiting = sum(bool(one.needs) for one in answers.requirements)
    return answers, (
        f"{counts[Status.MET]} met, {waiting} wait for a person, {counts[Status.MISSING] - waiting} missing, "
        f"{counts[Status.NOT_APPLICABLE]} not applicable"
    )


def _check_answer(one: Answer, frameworks: set[str]) -> None:
    if one.framework not in frameworks:
        raise BadBundle(f"{one.id} is of a framework that is not named")
    if one.status is Status.MET and not one.evidence:
        raise BadBundle(f"{one.id} is met without evidence")
    if one.status is Status.MET and one.evidence_kind is not EvidenceKind.AUTO:
        raise BadBundle(f"{one.id} needs a person and was closed by a machine")
    if one.status is not Status.MET and not one.reason:
        raise BadBundle(f"{one.id} is {one.status} without a reason")


def check_evidence(folder: Folder, answers: Answers | None) -> tuple[int, str]:
    """Every piece of evidence lies in a file of that digest, at that pointer. Raises BadBundle."""
    assert answers is not None  # the check rests on it
    documents: dict[str, Any] = {}
    count = 0
    for answer in answers.requirements:
        for one in answer.evidence:
            if one.path not in POINTED_INTO:
                raise BadBundle(f"{answer.id}: {one.path[:60]} is no file that evidence may lie in")
            if folder.sha256(one.path) != one.sha256:
                raise BadBundle(f"{answer.id}: {one.path} has another digest than its evidence says")
            if one.path not in documents:
                documents[one.path] = document_of(one.path, folder.read(one.path))
            if pointed(documents[one.path], one.pointer) in (None, "", [], {}):
                raise BadBundle(f"{answer.id}: nothing stands at {one.path}#{one.pointer[:80]}")
            count += 1
    return count, f"{count} pieces found"
