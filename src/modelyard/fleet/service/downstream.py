"""What was made from a thing: versions of a run or digest, the traffic that a version answered, the models that read a view or function."""

import msgspec

from modelyard.access.domain import Role, TeamId
from modelyard.core.clock import iso
from modelyard.delivery import service as delivery
from modelyard.delivery.declaration import ModelDeclaration
from modelyard.features import service as features
from modelyard.features.domain import FeatureView
from modelyard.fleet.domain import Fact, Node, Trace
from modelyard.fleet.rules import digest_in
from modelyard.fleet.service.sight import Sight, entries_about, found_or_none, refs
from modelyard.fleet.service.upstream import function_node, run_node, version_node
from modelyard.registry import service as registry
from modelyard.registry.domain import ModelVersion
from modelyard.registry.rules.names import page_of
from modelyard.serving import service as serving
from modelyard.serving.domain import RevisionDetail
from modelyard.tracking import service as tracking
from modelyard.tracking.domain import RunId

MOST_REVISIONS = 200
MOST_SHOWN = 12


def revisions_under(sight: Sight, version: ModelVersion) -> tuple[Node, ...]:
    """The revisions of traffic in which the version answered, newest first."""
    found = found_or_none(lambda: serving.list_revisions(sight.snapshot, sight.principal, version.model, None, MOST_REVISIONS)) or []
    mine = [one for one in found if version.number in one.revision.traffic.versions and one.active_at is not None]
    return tuple(_revision(one, version.number) for one in mine[:MOST_SHOWN])


def _revision(one: RevisionDetail, number: int) -> Node:
    traffic = one.revision.traffic
    share = traffic.canary.share if traffic.canary else 0.0
    part = f"{1 - share:.0%} as champion" if traffic.champion == number else f"{share:.0%} as canary"
    part = "as a shadow" if number in traffic.shadows else part
    until = f", until {iso(one.ended_at)[:16]}" if one.ended_at is not None else ", live now"
    return Node(
        kind="revision",
        title=f"Revision {one.revision.number}",
        href=f"/serving/{one.revision.model}",
        said=f"{part}{until}",
        at=one.active_at,
    )


def run_trace(sight: Sight, text: str) -> Trace:
    """The trace of a run. Raises NoSuchRun."""
    facts = tracking.get_run_facts(sight.snapshot, sight.principal, RunId(text))
    node = run_node(sight, facts.id)
    assert node is not None
    versions = registry.versions_of_run(sight.snapshot, sight.principal, facts.id)
    named = [("source", "Source archive", facts.source_digest), ("environment", "Environment", facts.environment_digest)]
    named += [("snapshot", "Training snapshot", facts.snapshot_digest)]
    made = ", ".join(f"{one.model} v{one.number}" for one in versions[:MOST_SHOWN])
    return Trace(
        asked=text,
        sentence=f"The run {facts.name} made {made}." if made else f"The run {facts.name} has made no version.",
        itself=node,
        up=tuple(Node(kind=kind, title=title, id=digest) for kind, title, digest in named if digest),
        down=tuple(version_node(sight, one) for one in versions[:MOST_SHOWN]),
        took_ms=0.0,
    )


def digest_trace(sight: Sight, text: str) -> Trace | None:
    """The trace of a digest: the versions and runs that are, hold or came from that content; None where there is none."""
    digest = digest_in(text)
    versions = registry.versions_of_digest(sight.snapshot, sight.principal, digest)
    runs = tracking.list_runs_of(sight.snapshot, sight.principal, digest)
    views = [one.applied for one in features.list_views(sight.snapshot, sight.principal) if one.applied.digest == digest]
    sets = [one for one in features.list_sets(sight.snapshot, sight.principal) if one.digest == digest]
    functions = [one for one in features.list_on_demand(sight.snapshot, sight.principal) if one.digest == digest]
    if not (versions or runs or views or sets or functions):
        return None
    whats = dict.fromkeys(_role(one, digest) for one in versions)
    whats |= dict.fromkeys(f"the definition of the view {one.view.name}" for one in views)
    whats |= dict.fromkeys(f"the feature set {one.set.name}" for one in sets)
    whats |= dict.fromkeys(f"the on-demand function {one.function.name}" for one in functions)
    kinds = " and ".join(whats) or "what runs were made from"
    return Trace(
        asked=text,
        sentence=f"This content is {kinds}: {len(versions)} versions and {len(runs)} runs have it.",
        itself=Node(kind="content", title=kinds[0].upper() + kinds[1:], id=digest),
        up=(),
        down=(
            *(version_node(sight, one) for one in versions[:MOST_SHOWN]),
            *(Node(kind="run", title=f"Run {one.name}", id=one.id, href=f"/runs/{one.id}", at=one.started_at) for one in runs[:MOST_SHOWN]),
        ),
        took_ms=0.0,
    )


def _role(version: ModelVersion, digest: str) -> str:
    roles = ("snapshot", "feature_set", "source", "environment", "content", "artifact")
    words = {"snapshot": "a training snapshot", "feature_set": "a feature set", "source": "a source archive"}
    words |= {"environment": "an environment", "content": "what a model computes", "artifact": "an artifact"}
    return next((words[role] for role in roles if getattr(version, role) == digest), "a digest")


def view_trace(sight: Sight, name: str) -> Trace:
    """The trace of a feature view: its source and versions, and the models that are declared to read it. Raises ViewNotFound."""
    applied = features.get_view(sight.snapshot, sight.principal, name)
    view = applied.view
    older = features.list_view_versions(sight.snapshot, sight.principal, name)
    seen = [one for one in _declared(sight) if name in {each.name for each in one.views}]
    return Trace(
        asked=name,
        sentence=f"The view {name} v{applied.number} is read by {', '.join(one.name for one in seen) or 'no model'}.",
        itself=Node(
            kind="view",
            title=f"{name} v{applied.number}",
            id=applied.digest,
            href=f"/features/{name}",
            said=f"{len(view.names)} features of {view.entity.name}",
            at=applied.applied_at,
            facts=(
                *((Fact(term="Personal data", value=personal),) if (personal := ", ".join(_personal(view))) else ()),
                *(Fact(term="Before", value=f"v{one.number}, {one.digest}") for one in older[1:4]),
            ),
            entries=refs(sight, entries_about(sight, f"view:{name}/{applied.number}")),
        ),
        up=(Node(kind="source", title="Source", said=f"{view.source.kind}, {view.source.place}"),),
        down=_models(seen),
        took_ms=0.0,
    )


def function_trace(sight: Sight, name: str) -> Trace:
    """The trace of an on-demand feature: what it reads, and the models that are declared to read it. Raises OnDemandNotFound."""
    applied, *older = features.list_on_demand_versions(sight.snapshot, sight.principal, name)
    seen = [one for one in _declared(sight) if one.features and name in {each.name for each in one.features.on_demand}]
    node = function_node(sight, applied)
    before = (Fact(term="Before", value=f"v{one.number}, {one.digest}") for one in older[:3])
    inputs = ", ".join(f"{each} {dtype}" for each, dtype in applied.function.dtypes.items())
    return Trace(
        asked=name,
        sentence=f"The function {name} v{applied.number} is read by {', '.join(one.name for one in seen) or 'no model'}.",
        itself=msgspec.structs.replace(node, facts=(*node.facts, *before)),
        up=(Node(kind="inputs", title="Inputs", said=inputs),),
        down=_models(seen),
        took_ms=0.0,
    )


def _declared(sight: Sight) -> list[ModelDeclaration]:
    declared = (one.declared.declaration for one in delivery.list_declared(sight.snapshot))
    return [one for one in declared if sight.principal.may(Role.VIEWER, TeamId(one.team))]


def _models(declared: list[ModelDeclaration]) -> tuple[Node, ...]:
    return tuple(Node(kind="model", title=one.name, href=page_of(one.name), said=f"owner {one.owner}") for one in declared)


def _personal(view: FeatureView) -> tuple[str, ...]:
    return (*(key.name for key in view.entity.keys if view.entity.personal), *view.personal_names)
