"""The catalogue of requirements and how one is answered from facts that are on record. Pure.

Owns when a requirement applies, and that what needs a person is never closed without one.
"""

from collections.abc import Iterable, Mapping

import msgspec

from modelyard.governance.domain import Answer, Evidence, EvidenceKind, Framework, Status

BY = "Modelyard"
HIGH = "high"
EU_AI_ACT, SR_11_7 = "eu-ai-act", "sr-11-7"
PERSON = "person"


class Requirement(msgspec.Struct, frozen=True, kw_only=True, rename={"kind": "evidence"}):
    """One thing that a framework asks for: what has to be documented, who can, and the facts that it rests on."""

    id: str
    framework: str
    reference: str
    title: str
    document: str
    kind: EvidenceKind
    facts: tuple[str, ...]
    uncertain: bool = False


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """All frameworks with their requirements, and what each fact means."""

    frameworks: tuple[Framework, ...]
    facts: dict[str, str]
    requirements: tuple[Requirement, ...]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What is on record of a version: for each fact where its evidence lies, and what there is to say about it."""

    evidence: Mapping[str, tuple[Evidence, ...]]
    remarks: Mapping[str, str] = {}


def applies(requirement: Requirement, tier: str) -> str:
    """Why the requirement does not apply to a model of that risk tier; empty where it does."""
    if requirement.framework == SR_11_7:
        return "the guidance was rescinded on 17 April 2026 and is superseded by SR 26-2, which is answered beside it"
    if requirement.framework == EU_AI_ACT and tier != HIGH:
        return f"a duty for high-risk systems; the model was declared and released as a {tier} risk"
    return ""


def answered(requirement: Requirement, tier: str, found: Found, at: str) -> Answer:
    """The answer: met where the platform alone can show it and every fact is on record, else missing with the reason."""
    why_not = applies(requirement, tier)
    if why_not:
        return _answer(requirement, Status.NOT_APPLICABLE, at, reason=why_not)
    there = [fact for fact in requirement.facts if found.evidence.get(fact)]
    lacking = [fact for fact in requirement.facts if fact not in there]
    evidence = tuple(dict.fromkeys(one for fact in there for one in found.evidence[fact]))
    if requirement.kind is not EvidenceKind.AUTO:
        said = "a person has to write it" if requirement.kind is EvidenceKind.HUMAN else "a person has to add their judgement"
        reason = f"{said}; on record: {', '.join(there)}" if there else said
        return _answer(requirement, Status.MISSING, at, reason=reason, evidence=evidence, needs=PERSON)
    if lacking:
        return _answer(requirement, Status.MISSING, at, reason=f"not on record: {', '.join(lacking)}", evidence=evidence)
    remarks = "; ".join(found.remarks[fact] for fact in there if fact in found.remarks)
    return _answer(requirement, Status.MET, at, reason=remarks, evidence=evidence)


def _answer(  # noqa: PLR0913 - one fact each
    requirement: Requirement, status: Status, at: str, *, reason: str, evidence: tuple[Evidence, ...] = (), needs: str = ""
) -> Answer:
    return Answer(
        id=requirement.id,
        framework=requirement.framework,
        reference=requirement.reference,
        title=requirement.title,
        evidence_kind=requirement.kind,
        status=status,
        by=BY,
        at=at,
        reason=reason,
        needs=needs,
        uncertain=requirement.uncertain,
        evidence=evidence,
    )


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How the requirements stand. `waiting` is missing a person, `missing` a record."""

    met: int = 0
    waiting: int = 0
    missing: int = 0
    not_applicable: int = 0


def counted(answers: Iterable[Answer]) -> Counts:
    """How many requirements stand how."""
    listed = list(answers)
    waiting = sum(one.status is Status.MISSING and bool(one.needs) for one in listed)
    return Counts(
        met=sum(one.status is Status.MET for one in listed),
        waiting=waiting,
        missing=sum(one.status is Status.MISSING for one in listed) - waiting,
        not_applicable=sum(one.status is Status.NOT_APPLICABLE for one in listed),
    )
