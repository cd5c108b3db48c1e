"""What a version was made from, link by link: approval, delivery, run, training snapshot, views, source, environment."""

from typing import Any, TypeVar

import msgspec

from modelyard.access.domain import SYSTEM
from modelyard.core.digests import Digest
from modelyard.delivery import service as delivery
from modelyard.delivery.domain import Approval, ApprovalState, Decision, DeliveryDetail, DeliveryId, StageName
from modelyard.features import service as features
from modelyard.features.domain import AppliedOnDemand
from modelyard.fleet.domain import Fact, Node
from modelyard.fleet.service.sight import Sight, entries_about, found_or_none, names_of, refs
from modelyard.registry import service as registry
from modelyard.registry.domain import ModelVersion
from modelyard.registry.rules.names import page_of
from modelyard.tracking import service as tracking
from modelyard.tracking.domain import RunId

Kind = TypeVar("Kind")
ASKED = "delivery.approval_asked"
DECIDED = ("delivery.approved", "delivery.rejected")
VERSION_ENTRIES = (
    "registry.version_registered",
    "registry.version_imported",
    "registry.version_retired",
    "registry.version_deprecated",
    "registry.deprecation_withdrawn",
    "registry.alias_moved",
    "monitoring.reference_made",
)
DELIVERY_ENTRIES = ("delivery.started", "delivery.stage_done", "delivery.ended")


def version_node(sight: Sight, version: ModelVersion) -> Node:
    """The version itself."""
    detail = registry.show_version(sight.snapshot, sight.principal, version.model, version.number)
    names, said = names_of(sight, [version.author]), detail.deprecation
    facts = [Fact(term="Deprecated", value=said.why)] if said else []
    facts += [Fact(term="Successor", value=f"{version.model}/{said.successor}")] if said and said.successor else []
    facts += [Fact(term="Format", value=str(version.format)), Fact(term="Artifact", value=version.artifact)]
    facts += [Fact(term="Content", value=version.content)] if version.content else []
    facts += [Fact(term=name, value=f"{value:.4g}") for name, value in list(version.metrics.items())[:3]]
    return Node(
        kind="version",
        title=f"{version.model} v{version.number}",
        id=f"{version.model}/{version.number}",
        href=page_of(version.model, version.number),
        said=f"registered by {names[version.author]}" + ("; deprecated" if said else ""),
        at=version.created_at,
        facts=tuple(facts),
        entries=refs(sight, entries_about(sight, _subject(version), types=VERSION_ENTRIES)),
    )


def version_chain(sight: Sight, version: ModelVersion) -> tuple[Node, ...]:
    """What the version was made from, nearest first. What was not recorded is not in the chain."""
    detail = delivery_of(sight, version)
    parts = [*([approval_node(sight, version, detail), delivery_node(sight, detail)] if detail else []), run_node(sight, version.run)]
    parts += [snapshot_node(sight, version, detail), _source(version), _environment(version, detail)]
    return tuple(part for part in parts if part is not None)


def delivery_of(sight: Sight, version: ModelVersion) -> DeliveryDetail | None:
    """The delivery that made the version, where one did."""
    asked = entries_about(sight, _subject(version), types=(ASKED,))
    found = str(asked[-1].data["delivery"]) if asked else ""
    if not found:
        listed = delivery.list_deliveries(sight.snapshot, sight.principal, version.model)
        found = next((one.id for one in listed if one.version == version.number), "")
    return found_or_none(lambda: delivery.get_delivery(sight.snapshot, sight.principal, DeliveryId(found))) if found else None


def approval_node(sight: Sight, version: ModelVersion, detail: DeliveryDetail) -> Node | None:
    """Who approved the version, or that nobody has yet."""
    approval = delivery.find_approval(sight.snapshot, detail.delivery.id)
    if approval is None:
        return None
    title, said = _decision(sight, approval)
    return Node(
        kind="approval",
        title=title,
        id=approval.id,
        href=f"/deliveries/{approval.delivery}",
        said=said,
        at=approval.decided_at or approval.asked_at,
        entries=refs(sight, entries_about(sight, _subject(version), types=(ASKED, *DECIDED), delivery=approval.delivery)),
    )


def _decision(sight: Sight, approval: Approval) -> tuple[str, str]:
    if approval.state is ApprovalState.WAITING:
        return "Waits for an approver", approval.why_asked
    who = "by policy" if approval.by_policy or approval.decided_by in (None, SYSTEM.id) else ""
    decider = who or f"by {names_of(sight, [str(approval.decided_by)])[str(approval.decided_by)]}"
    return f"{str(approval.state).capitalize()} {decider}", approval.reason


def delivery_node(sight: Sight, detail: DeliveryDetail) -> Node:
    """The delivery, with the gates that it decided."""
    own = detail.delivery
    gates = gates_of(detail)
    starter = names_of(sight, [own.cause.actor])[own.cause.actor]
    passed = sum(gate.passed for gate in gates)
    why = {"person": f"started by {starter}", "push": f"pushed by {starter}", "schedule": "started on schedule"}
    return Node(
        kind="delivery",
        title=f"Delivery, {str(own.state).replace('_', ' ')}",
        id=own.id,
        href=f"/deliveries/{own.id}",
        said=why.get(str(own.cause.kind), "started because performance fell")
        + (f"; {passed} of {len(gates)} gates passed" if gates else ""),
        at=own.created_at,
        facts=tuple(Fact(term="Gate passed" if gate.passed else "Gate failed", value=gate.expression) for gate in gates),
        entries=refs(sight, entries_about(sight, f"model:{own.model}", types=DELIVERY_ENTRIES, delivery=own.id)),
    )


def gates_of(detail: DeliveryDetail) -> tuple[Decision, ...]:
    """The gates as they were decided; none where the delivery has not come so far."""
    return _converted(detail.facts(StageName.CHALLENGE).get("gates", ()), Decision)


def run_node(sight: Sight, run: str | None) -> Node | None:
    """The run that trained it."""
    if run is None:
        return None
    found = found_or_none(lambda: tracking.get_run_facts(sight.snapshot, sight.principal, RunId(run)))
    if found is None:
        return Node(kind="run", title="A run that is not here", id=run)
    who = names_of(sight, [found.user or found.created_by])
    return Node(
        kind="run",
        title=f"Run {found.name}",
        id=found.id,
        href=f"/runs/{found.id}",
        said=f"{found.status.value.lower()}, by {who[found.user or found.created_by]}",
        at=found.started_at,
        facts=(Fact(term="Content", value=found.content_digest),) if found.content_digest else (),
        entries=refs(sight, entries_about(sight, f"run:{found.id}")),
    )


class _Source(msgspec.Struct, frozen=True):
    view: str
    view_digest: str
    source: str
    rows: int


def snapshot_node(sight: Sight, version: ModelVersion, detail: DeliveryDetail | None) -> Node | None:
    """The training snapshot, with the versions of the views that it was joined from and of the functions that computed the rest."""
    if version.snapshot is None:
        return None
    facts = detail.facts(StageName.SNAPSHOT) if detail else {}
    sources = _converted(facts.get("sources", ()), _Source)
    rows = facts.get("rows")
    return Node(
        kind="snapshot",
        title="Training snapshot",
        id=version.snapshot,
        href=f"/deliveries/{detail.delivery.id}" if detail else "",
        said=f"{rows:,} rows" if isinstance(rows, int) else "",
        at=facts.get("as_of"),
        facts=(Fact(term="Feature set", value=version.feature_set),) if version.feature_set else (),
        below=(*(_view_node(sight, one) for one in sources), *_function_nodes(sight, version)),
    )


def _view_node(sight: Sight, use: _Source) -> Node:
    applied = found_or_none(lambda: features.get_view(sight.snapshot, sight.principal, use.view, Digest(use.view_digest)))
    number = f" v{applied.number}" if applied else ""
    return Node(
        kind="view",
        title=f"{use.view}{number}",
        id=use.view_digest,
        href=f"/features/{use.view}" if applied else "",
        said=f"{use.rows:,} rows of its source" + (f", {applied.view.source.kind}, {applied.view.source.place}" if applied else ""),
        at=applied.applied_at if applied else None,
        facts=(Fact(term="Source", value=use.source),),
        entries=refs(sight, entries_about(sight, f"view:{use.view}/{applied.number}")) if applied else (),
    )


def _function_nodes(sight: Sight, version: ModelVersion) -> tuple[Node, ...]:
    """What the version computes on demand. Whoever sees the version sees what it is made of, of whichever team."""
    found = None if version.feature_set is None else features.find_applied_set(sight.snapshot, version.feature_set)
    trusted = [] if found is None else features.list_trusted(sight.snapshot, found)
    return tuple(function_node(sight, one) for one in trusted)


def function_node(sight: Sight, one: AppliedOnDemand) -> Node:
    """A version of an on-demand function: what it reads, who decided that it may be run, and when."""
    reads = ", ".join(each.name for each in one.function.inputs)
    return Node(
        kind="function",
        title=f"{one.function.name} v{one.number}",
        id=one.digest,
        href=f"/features/on-demand/{one.function.name}",
        said=f"computed on demand from {reads}; trusted by {names_of(sight, [one.applied_by])[one.applied_by]}",
        at=one.applied_at,
        facts=(Fact(term="Proved on", value=f"{one.rows:,} rows by NumPy {one.numpy}"),),
        entries=refs(sight, entries_about(sight, f"on_demand:{one.function.name}/{one.number}")),
    )


def _source(version: ModelVersion) -> Node | None:
    if version.source is None:
        return None
    return Node(kind="source", title="Source archive", id=version.source, said="the project's files, as they were trained with")


def _environment(version: ModelVersion, detail: DeliveryDetail | None) -> Node | None:
    if version.environment is None:
        return None
    facts: dict[str, Any] = detail.facts(StageName.TRAIN) if detail else {}
    python = f"Python {facts['python']}, " if facts.get("python") else ""
    return Node(kind="environment", title="Environment", id=version.environment, said=f"{python}locked requirements")


def _subject(version: ModelVersion) -> str:
    return f"model:{version.model}/{version.number}"


def _converted(value: object, kind: type[Kind]) -> tuple[Kind, ...]:
    """The list of facts as that type; empty where an older stage wrote them in another shape."""
    try:
        return tuple(msgspec.convert(value, list[kind]))  # type: ignore[valid-type]  # the type is a value here
    except msgspec.ValidationError:
        return ()
