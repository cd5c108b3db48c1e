"""On-demand features as they are applied: proved, and noted as what may be run. The one way to a set that has them.

A version is trusted by whoever applies it, once: it is NumPy's elementwise functions alone, as every value of its type is, and it gave
one row what it gives many.
"""

import ast
import functools
from collections.abc import Mapping

from modelyard.access.domain import DEFAULT_TEAM, Principal, Role, TeamId
from modelyard.access.service import require
from modelyard.core.digests import Digest
from modelyard.core.names import nearest
from modelyard.features import store
from modelyard.features.domain import AppliedOnDemand, AppliedSet, FeatureConsumer, FeatureSet, OnDemand, OnDemandNotFound
from modelyard.features.parity import Proof, proved
from modelyard.features.store import on_demand as on_demand_store
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Snapshot, Transaction

Proofs = Mapping[Digest, Proof]


@functools.lru_cache(maxsize=256)
def _proof(function: OnDemand) -> Proof:
    return proved(function)


def proofs_of(feature_set: FeatureSet) -> Proofs:
    """The proofs of the set's functions on this machine. Computes: before a transaction, not in one. Raises NotColumnwise."""
    return {one.digest: _proof(one) for one in feature_set.on_demand}


def apply_on_demand(
    tx: Transaction, principal: Principal, function: OnDemand, proofs: Proofs, team_id: TeamId = DEFAULT_TEAM
) -> AppliedOnDemand:
    """Notes that a version may be run, by whom and on what proof, with an entry in the ledger; once. Raises NotAllowed."""
    versions = on_demand_store.list_on_demand(tx, function.name)
    team = versions[0].team_id if versions else team_id
    require(principal, Role.CONTRIBUTOR, team)
    digest = function.digest
    known = next((one for one in versions if one.digest == digest), None)
    if known is not None:
        return known
    proof = proofs[digest]
    applied = AppliedOnDemand(
        function=function,
        digest=digest,
        number=versions[0].number + 1 if versions else 1,
        team_id=team,
        rows=proof.rows,
        numpy=proof.numpy,
        applied_at=tx.now(),
        applied_by=principal.id,
    )
    on_demand_store.put_on_demand(tx, applied)
    data = {
        "inputs": function.dtypes,
        "gives": function.dtype,
        "source": function.source,
        "calls": called(function),
        "proved_rows": proof.rows,
        "numpy": proof.numpy,
        "before": versions[0].digest if versions else None,
    }
    subject = f"on_demand:{function.name}/{applied.number}"
    record(tx, NewEntry(type="features.on_demand_trusted", subject=subject, actor=principal.id, data=data, digest=digest, team_id=team))
    return applied


def called(function: OnDemand) -> list[str]:
    """What of NumPy a function reaches."""
    nodes = ast.walk(ast.parse(function.source))
    return sorted({f"np.{node.func.attr}" for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)})


def check_trusted(snapshot: Snapshot, feature_set: FeatureSet) -> None:
    """Raises OnDemandNotFound where nobody has decided that a function of the set may be run."""
    for one in feature_set.on_demand:
        if all(version.digest != one.digest for version in on_demand_store.list_on_demand(snapshot, one.name)):
            raise OnDemandNotFound(
                f"the on-demand feature {one.name} has not been applied in this version", hint="apply the function before the set"
            )


def list_trusted(snapshot: Snapshot, feature_set: FeatureSet) -> list[AppliedOnDemand]:
    """The decisions by which the set's functions are run, each in the set's own version of it: for whoever may see the set."""
    found = []
    for one in feature_set.on_demand:
        versions = on_demand_store.list_on_demand(snapshot, one.name)
        found += [version for version in versions if version.digest == one.digest]
    return found


def list_on_demand(snapshot: Snapshot, principal: Principal) -> list[AppliedOnDemand]:
    """The on-demand features that the principal may see, by name, each in its newest version."""
    newest = {
        one.function.name: one for one in reversed(on_demand_store.list_on_demand(snapshot)) if principal.may(Role.VIEWER, one.team_id)
    }
    return [newest[name] for name in sorted(newest)]


def list_on_demand_versions(snapshot: Snapshot, principal: Principal, feature: str) -> list[AppliedOnDemand]:
    """All versions of an on-demand feature, the newest first. Raises OnDemandNotFound with the nearest name."""
    found = [one for one in on_demand_store.list_on_demand(snapshot, feature) if principal.may(Role.VIEWER, one.team_id)]
    if not found:
        known = [one.function.name for one in list_on_demand(snapshot, principal)]
        raise OnDemandNotFound(f"there is no on-demand feature {feature[:80]!r}", hint=nearest(feature, known))
    return found


def list_on_demand_readers(snapshot: Snapshot, principal: Principal, feature: str) -> list[tuple[AppliedSet, FeatureConsumer | None]]:
    """The sets that have the feature now, by name, each with what reads it."""
    readers = {one.set: one for one in store.list_consumers(snapshot)}
    sets = [one for one in store.list_sets(snapshot) if principal.may(Role.VIEWER, one.team_id)]
    return [(one, readers.get(one.set.name)) for one in sets if feature in {function.name for function in one.set.on_demand}]
