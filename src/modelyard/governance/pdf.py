"""The dossier as a PDF for people: what `dossier.typ` is given, and the call of typst. Owns no figure.

It is PDF/A, dated by the dossier, with the fonts that come with typst: the same dossier has the same bytes on every machine.
"""

from importlib.resources import files
from typing import Any

import msgspec
import typst

from modelyard.core.clock import Instant, moment
from modelyard.delivery.domain import StageName
from modelyard.governance.attestations import dependencies
from modelyard.governance.domain import ATTESTATIONS, MODEL_SIGNATURE, Answer, Answers, Attested, CardSection, Measured, ModelCard, Status
from modelyard.governance.records import Records
from modelyard.governance.rules.catalogue import counted

Given = dict[str, Any]


class Printed(msgspec.Struct, frozen=True, kw_only=True):
    """What is printed: the records with their card and answers, the signed files by digest, and when."""

    records: Records
    card: ModelCard
    answers: Answers
    digests: dict[str, str]
    packages: int
    at: Instant


def printed(given: Printed) -> bytes:
    """The PDF."""
    template = files("modelyard.governance").joinpath("dossier.typ").read_bytes()
    inputs = {"data": msgspec.json.encode(_given(given)).decode()}
    content = typst.compile(
        template,
        format="pdf",
        ignore_system_fonts=True,
        sys_inputs=inputs,
        pdf_standards=["a-2b"],
        timestamp=moment(given.at).replace(microsecond=0),
    )
    assert isinstance(content, bytes)  # one document, not one file a page
    return content


def _given(given: Printed) -> Given:
    records, made = given.records, moment(given.at)
    counts = counted(given.answers.requirements)
    labels = {"met": "requirements met", "waiting": "wait for a person", "missing": "lack a record", "not_applicable": "do not apply"}
    return {
        "title": f"Audit dossier of {records.version.model} v{records.version.number}",
        "model": records.version.model,
        "version": str(records.version.number),
        "purpose": records.declaration.purpose,
        "made": {"year": made.year, "month": made.month, "day": made.day},
        "made_on": _when(given.at),
        "digest": records.subject.sha256,
        "decision": _decision(records),
        "counts": [{"state": name, "label": label, "count": getattr(counts, name)} for name, label in labels.items()],
        "facts": _facts(given),
        "statements": _statements(given),
        "gates": [{"expression": one.expression, "passed": one.passed} for one in records.gates],
        "card": [_section(one) for one in given.card.sections],
        "dependencies": [
            {"name": one.name, "kind": str(one.annotations.get("kind", "")), "digest": one.sha256} for one in dependencies(records)
        ],
        "packages": given.packages,
        "frameworks": [
            {
                "name": one.name,
                "status": one.status,
                "answers": [_answer(each) for each in given.answers.requirements if each.framework == one.id],
            }
            for one in given.answers.frameworks
        ],
    }


def _when(at: Instant) -> str:
    return f"{moment(at):%Y-%m-%d %H:%M:%S} UTC"


def _decision(records: Records) -> str:
    approval = records.approval
    assert approval is not None  # a dossier is of a version that was let through
    when = _when(approval.decided_at or approval.asked_at)
    if approval.by_policy:
        return f"Approved by policy on {when}: {approval.reason}. Begun by {_called(records)}."
    who = records.actor(str(approval.decided_by))
    reason = f": {approval.reason}" if approval.reason else ""
    return f"Approved by {who.name or who.id} on {when}{reason}. Begun by {_called(records)}, who is somebody else."


def _called(records: Records) -> str:
    return records.starter.name or records.starter.id


def _facts(given: Printed) -> list[Given]:
    records = given.records
    terms: list[tuple[str, str, bool]] = [
        ("Risk tier", str(records.declaration.risk), False),
        ("Owner", records.declaration.owner, False),
        ("Trained", _when(records.ended_at(StageName.TRAIN)), False),
        ("Let through", _when(records.ended_at(StageName.APPROVE)), False),
        ("Dossier made", _when(given.at), False),
        ("Model, by SHA-256", records.subject.sha256, True),
        ("Signature, by SHA-256", given.digests[MODEL_SIGNATURE], True),
    ]
    return [{"term": term, "value": value, "mono": mono} for term, value, mono in terms]


def _statements(given: Printed) -> list[Given]:
    records, approval = given.records, given.records.approval
    assert approval is not None  # a dossier is of a version that was let through
    times = {
        Attested.TRAINING: records.ended_at(StageName.TRAIN),
        Attested.EVALUATION: records.ended_at(StageName.CHALLENGE),
        Attested.APPROVAL: approval.decided_at or approval.asked_at,
        Attested.GATE: records.ended_at(StageName.APPROVE),
    }
    roles = {kind: "policy" if kind is Attested.APPROVAL and approval.by_policy else kind.value for kind in times}
    return [
        {"kind": kind.value, "at": _when(at), "role": roles[kind], "digest": given.digests[ATTESTATIONS[kind]]}
        for kind, at in times.items()
    ]


def _section(section: CardSection) -> Given:
    return {
        "title": section.title,
        "open": section.open,
        "lines": [{"term": one.term, "value": one.value} for one in section.lines],
        "measured": [_measured(one) for one in section.measured],
    }


def _measured(one: Measured) -> Given:
    interval = f"{one.low:.4f} to {one.high:.4f}" if one.low is not None and one.high is not None else ""
    return {
        "slice": one.slice or "all evaluation rows",
        "metric": one.metric,
        "value": f"{one.value:.4f}",
        "interval": interval,
        "rows": "" if one.rows is None else f"{one.rows:,}",
    }


def _answer(one: Answer) -> Given:
    state = "waiting" if one.status is Status.MISSING and one.needs else one.status.value
    return {
        "id": one.id,
        "reference": one.reference,
        "title": one.title,
        "reason": one.reason,
        "state": state,
        "uncertain": one.uncertain,
        "evidence": len(one.evidence),
    }
