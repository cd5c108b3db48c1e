"""The stages that release: register the version with all that it came from, and have it approved as its risk asks."""

import msgspec
import polars as pl

from modelyard.access.domain import SYSTEM
from modelyard.core.digests import Digest
from modelyard.delivery import store
from modelyard.delivery.domain import ApprovalState, DeliveryState, Facts, StageName
from modelyard.delivery.machine import Done, Outcome, Stopped, Waits
from modelyard.delivery.service import approve_by_policy, ask_approval, find_approval
from modelyard.delivery.stages.gates import waits_for_the_log
from modelyard.delivery.stages.learning import evaluated
from modelyard.delivery.stages.splitting import AS_OF, split
from modelyard.delivery.stages.yard import Job, Yard, snapshot_of
from modelyard.monitoring.domain.watching import NewReference
from modelyard.monitoring.service import Scored, levels_of, put_reference, reference_of
from modelyard.registry.domain import CHALLENGER, Format, ModelName, NewVersion, RiskTier, Signature
from modelyard.registry.service import register_version, set_alias
from modelyard.storage.database import Transaction

POLICY_TIERS = frozenset({RiskTier.MINIMAL, RiskTier.LIMITED})
"""The tiers in which passing every gate is enough; a high risk always needs a person."""


def register(yard: Yard, job: Job) -> Outcome:
    """Makes the version a part of the registry, under the delivery's own key, and the model's challenger, once the log has its gates."""
    waits = waits_for_the_log(yard, job, {})
    if waits is not None:
        return waits
    trained, snapshot = job.facts(StageName.TRAIN), job.facts(StageName.SNAPSHOT)
    new = NewVersion(
        format=Format(trained["format"]),
        artifact=Digest(trained["artifact"]),
        signature=msgspec.convert(trained["signature"], Signature),
        run=trained["run"],
        snapshot=Digest(snapshot["digest"]),
        feature_set=None if snapshot["feature_set"] is None else Digest(snapshot["feature_set"]),
        source=Digest(trained["source"]),
        environment=Digest(trained["environment"]),
        metrics=job.facts(StageName.EVALUATE)["metrics"],
        parameters={**job.delivery.parameters, "seed": trained["seed"], "threads": trained["threads"]},
        key=job.delivery.id,
    )
    name = ModelName(job.declaration.name)
    reference = _reference(yard, job) if job.declaration.monitors else None

    def apply(tx: Transaction) -> Facts:
        version = register_version(tx, SYSTEM, name, new)
        if reference is not None:
            put_reference(tx, SYSTEM, name, version.number, reference)
        set_alias(tx, SYSTEM, name, CHALLENGER, version.number)
        store.update_delivery(tx, msgspec.structs.replace(job.delivery, version=version.number))
        return {"version": version.number, "content": version.content}

    return Done(facts={}, apply=apply)


def _reference(yard: Yard, job: Job) -> NewReference:
    """What the version is watched against: the rows that it learned from, and what it answered on those that it had not seen."""
    declaration = job.declaration
    learned, unseen = split(snapshot_of(yard, job), declaration)
    learned_at, at = (None if declaration.as_of is None else part[AS_OF].cast(pl.Int64) for part in (learned, unseen))
    scores = Scored(scores=pl.Series(evaluated(yard, job)), labels=unseen[declaration.label].cast(pl.Float64), at=at)
    found = reference_of(learned, declaration.inputs, declaration.monitors, at=learned_at, scored=scores)
    parts = () if declaration.features is None else declaration.features.features
    views = {name: part.view.name for part in parts for name in part.names}
    return NewReference(reference=found, levels=levels_of(scores, is_binary=declaration.task == "binary"), views=views)


def approve(yard: Yard, job: Job) -> Outcome:
    """Approved by policy where the tier allows it; else waits for an approver who is not the author."""
    version = job.facts(StageName.REGISTER)["version"]
    if job.declaration.risk in POLICY_TIERS:
        reason = f"{job.declaration.risk} risk: every gate passed ({len(job.declaration.gates)})"

        def by_policy(tx: Transaction) -> Facts:
            return {"approval": approve_by_policy(tx, job.delivery, version, reason).id, "by_policy": True}

        return Done(facts={"reason": reason}, apply=by_policy)
    with yard.database.read() as state:
        found = find_approval(state, job.delivery.id)
    if found is None or found.state is ApprovalState.WAITING:
        why = f"{job.declaration.risk} risk needs a person"
        return Waits(wake_at=None, facts={}, reason=why, apply=lambda tx: {"approval": ask_approval(tx, job.delivery, version, why).id})
    facts: Facts = {"approval": found.id, "by_policy": False, "by": found.decided_by, "reason": found.reason}
    if found.state is ApprovalState.REJECTED:
        return Stopped(state=DeliveryState.REFUSED, reason=f"rejected: {found.reason}", facts=facts)
    return Done(facts=facts)
