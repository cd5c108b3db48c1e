"""What is attested of a version, out of its records: training, evaluation, approval, gate. The same records give the same bytes.

Owns which record goes into which field. Who signs is in `service`.
"""

from typing import Any, Final

import msgspec

from modelyard.core.clock import iso
from modelyard.core.digests import Digest, digest_of
from modelyard.delivery.domain import Facts, StageName
from modelyard.features.domain import AppliedOnDemand, uri_of
from modelyard.governance.domain import (
    APPROVAL,
    ATTESTATIONS,
    POLICY_APPROVAL,
    PROVENANCE,
    SUMMARY,
    TEST_RESULT,
    Attested,
)
from modelyard.governance.records import Records, not_attestable
from modelyard.governance.rules.statements import (
    APPROVED,
    FAILED,
    PASSED,
    Actor,
    Approval,
    BuildDefinition,
    Builder,
    BuildMetadata,
    Internal,
    Outcome,
    PolicyApproval,
    Provenance,
    Resource,
    RunDetails,
    Summary,
    TestResult,
    sha256_of,
)

BUILD_TYPE = "urn:modelyard:build:delivery:v1"
POLICY_TIERS: Final = ("minimal", "limited")
"""The tiers in which passing every gate is enough for a release: delivery's own rule."""
BY_TIME: Final = "by time: every training row is older than every evaluation row"
BY_HASH: Final = "by a hash of the inputs: no evaluation row has the inputs of a training row"
Said = tuple[str, msgspec.Struct]
"""A predicate with its type."""


def training(records: Records, verifier: str) -> Said:
    """How the version was trained."""
    facts, delivery = records.facts(StageName.TRAIN), records.detail.delivery
    definition = BuildDefinition(
        build_type=BUILD_TYPE,
        external_parameters={
            "model": records.version.model,
            "version": records.version.number,
            "declaration": delivery.declaration,
            "function": records.declaration.function,
            "parameters": delivery.parameters,
        },
        internal_parameters=Internal(
            started_by=records.starter,
            risk_tier=records.declaration.risk,
            delivery=delivery.id,
            run=str(records.version.run),
            seed=facts.get("seed"),
            threads=facts.get("threads"),
            processor=facts.get("processor", ""),
            python=facts.get("python", ""),
        ),
        resolved_dependencies=dependencies(records),
    )
    started, finished = records.stage(StageName.TRAIN).started_at, records.ended_at(StageName.TRAIN)
    details = RunDetails(
        builder=Builder(id=verifier),
        metadata=BuildMetadata(
            invocation_id=str(records.version.run),
            started_on=iso(finished if started is None else started),
            finished_on=iso(finished),
        ),
        byproducts=tuple(
            Resource(name=name, digest=sha256_of(Digest(digest)))
            for name, digest in (("artifact manifest", records.version.artifact), ("content", records.version.content))
            if digest
        ),
    )
    return PROVENANCE, Provenance(build_definition=definition, run_details=details)


def dependencies(records: Records) -> tuple[Resource, ...]:
    """What the version was trained from, by digest: code, environment, training snapshot, and the snapshot's own sources."""
    facts, snapshot = records.facts(StageName.TRAIN), records.facts(StageName.SNAPSHOT)
    named = [("source", "source"), ("environment", "environment"), ("requirements", "requirements"), ("modelyard", "modelyard")]
    found = [_resource(name, facts[key], kind="environment" if name != "source" else "code") for name, key in named if facts.get(key)]
    facts = {"rows": snapshot["rows"], "asOf": iso(snapshot["as_of"]), "file": snapshot["file"]}
    facts |= {"featureSet": snapshot["feature_set"]} if snapshot["feature_set"] else {}
    found.append(_resource("training snapshot", snapshot["digest"], kind="snapshot", **facts))
    for use in records.sources:
        path = records.view(use.view).source.place
        found.append(_resource(path, use.source, kind="source", view=use.view, viewDigest=use.view_digest, rows=use.rows))
    found += [_function(records, one) for one in records.on_demand]
    # Its rows are covered by the snapshot's digest: the file itself is read as of an instant and may have grown since.
    rows = records.declaration.observations.source
    found.append(Resource(name=rows.place, uri=uri_of(rows), annotations={"kind": "source", "holds": "observations"}))
    return tuple(found)


def evaluation(records: Records) -> Said:
    """How the version was tested: by which checks, gates and figures, and that the gates were fixed beforehand."""
    challenge, evaluated = records.facts(StageName.CHALLENGE), records.facts(StageName.EVALUATE)
    checks = records.facts(StageName.CHECK)["checks"]
    tests = [(f"data: {one['name']}", bool(one["passed"])) for one in checks]
    tests += [(f"gate: {one.expression}", one.passed) for one in records.gates]
    figures = {
        "rows": evaluated["rows"],
        "firstAsOf": iso(evaluated["from"]) if "from" in evaluated else None,
        "lastAsOf": iso(evaluated["to"]) if "to" in evaluated else None,
        "trainingRows": records.facts(StageName.TRAIN)["rows"],
        "split": BY_TIME if records.declaration.as_of else BY_HASH,
        "metrics": evaluated["metrics"],
        "standardErrors": evaluated["standard_errors"],
        "slices": evaluated["slices"],
        "champion": challenge.get("champion"),
        "challenge": challenge.get("challenge"),
        "dataChecks": checks,
        "gates": msgspec.to_builtins(records.gates),
        "gatesFixedOn": iso(records.detail.delivery.created_at),
    }
    configuration = (
        _resource("training snapshot", records.facts(StageName.SNAPSHOT)["digest"]),
        _resource("declaration", records.detail.delivery.declaration),
    )
    return TEST_RESULT, TestResult(
        result=PASSED if all(passed for _, passed in tests) else FAILED,
        configuration=configuration,
        passed_tests=tuple(name for name, passed in tests if passed),
        failed_tests=tuple(name for name, passed in tests if not passed),
        finished_on=iso(records.ended_at(StageName.CHALLENGE)),
        figures={name: value for name, value in figures.items() if value is not None},
    )


def approval(records: Records, files: dict[str, str]) -> Said:
    """Who approved the version, or which policy did. `files` are the digests of the attestations before, by path."""
    found = records.approval
    if found is None or found.decided_at is None or found.decided_by is None:
        raise not_attestable(records.version, "it is not approved")
    evidence = _named(files, Attested.TRAINING, Attested.EVALUATION)
    common: Facts = {
        "decision": APPROVED,
        "reason": found.reason,
        "started_by": records.starter,
        "risk_tier": records.declaration.risk,
        "decided_on": iso(found.decided_at),
        "evidence": evidence,
    }
    if not found.by_policy:
        who = records.actor(found.decided_by)
        return APPROVAL, Approval(approver=who, role="approver", asked_on=iso(found.asked_at), **common)
    outcomes = tuple(Outcome(expression=one.expression, passed=one.passed) for one in records.gates)
    return POLICY_APPROVAL, PolicyApproval(policy=policy(records), outcomes=outcomes, facts=policy_facts(records), **common)


def policy(records: Records) -> Resource:
    """The rule that stood between the version and its release, by the digest of what it says."""
    rule = (
        "every gate passes"
        if records.approval is not None and records.approval.by_policy
        else "every gate passes, and another person approves"
    )
    text: Facts = {"rule": rule, "policyTiers": list(POLICY_TIERS), "gates": [one.expression for one in records.gates]}
    return Resource(name="release policy", digest=sha256_of(digest_of(text)), annotations=text)


def policy_facts(records: Records) -> Facts:
    """What the gates were decided on."""
    challenge = records.facts(StageName.CHALLENGE)
    return {
        "metrics": records.facts(StageName.EVALUATE)["metrics"],
        "champion": challenge.get("champion"),
        "challenge": challenge.get("challenge"),
        "data": {"rows": records.facts(StageName.SNAPSHOT)["rows"], "ok": records.facts(StageName.CHECK)["ok"]},
        "risk": records.declaration.risk,
        "model": records.declaration.name,
        "cause": records.detail.delivery.cause.kind,
    }


def gate(records: Records, files: dict[str, str], verifier: str) -> Said:
    """That the version was let through, on the three attestations before it."""
    return SUMMARY, Summary(
        verifier=Actor(id=verifier),
        time_verified=iso(records.ended_at(StageName.APPROVE)),
        resource_uri=f"urn:modelyard:model:{records.name}",
        policy=policy(records),
        input_attestations=_named(files, Attested.TRAINING, Attested.EVALUATION, Attested.APPROVAL),
        verification_result=PASSED,
        started_by=records.starter,
        risk_tier=records.declaration.risk,
    )


def _named(files: dict[str, str], *kinds: Attested) -> tuple[Resource, ...]:
    return tuple(Resource(name=ATTESTATIONS[kind], digest={"sha256": files[ATTESTATIONS[kind]]}) for kind in kinds)


def _function(records: Records, one: AppliedOnDemand) -> Resource:
    """What computes a feature on demand, by its digest, with the decision that it may be run."""
    said = {"version": one.number, "trustedBy": msgspec.to_builtins(records.actor(one.applied_by)), "trustedOn": iso(one.applied_at)}
    return _resource(f"on-demand function {one.function.name}", one.digest, kind="function", **said)


def _resource(name: str, digest: str, **annotations: Any) -> Resource:
    return Resource(name=name, digest=sha256_of(Digest(digest)), annotations=annotations)
