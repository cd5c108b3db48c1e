"""Tracing: everything upstream and downstream of one id. Each kind of thing has its function; each reads a few rows."""

import time
from collections.abc import Callable

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.settings import Settings
from modelyard.delivery import service as delivery
from modelyard.delivery.domain import DeliveryId
from modelyard.fleet.domain import Fact, Node, NothingToTrace, Trace
from modelyard.fleet.rules import IdKind, kind_of, version_reference
from modelyard.fleet.service.downstream import digest_trace, function_trace, revisions_under, run_trace, view_trace
from modelyard.fleet.service.sight import Sight, entries_about, found_or_none, refs
from modelyard.fleet.service.upstream import approval_node, delivery_node, snapshot_node, version_chain, version_node
from modelyard.registry import service as registry
from modelyard.registry.domain import CHAMPION, ModelName, ModelVersion, NoSuchAlias
from modelyard.serving import service as serving
from modelyard.serving.domain import PredictionRecord
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Snapshot
from modelyard.storage.tables import Tables

HINT = "ids: a prediction's, MODEL/VERSION, a run's, a digest, the name of a view or an on-demand feature, dlv_..."


def get_trace(  # noqa: PLR0913 - all but one are injected
    snapshot: Snapshot,
    principal: Principal,
    blobs: Blobs,
    tables: Tables,
    settings: Settings,
    id: str,  # noqa: A002 - the path's word
) -> Trace:
    """Everything upstream and downstream of a prediction, version, run, digest, view, on-demand feature or delivery, and how long.

    A version is written `late@3` or `late@champion` here, `late/3` on the command line. Raises NothingToTrace, also for
    what is of another team.
    """
    started = time.perf_counter()
    sight, text = Sight(snapshot, principal), id.strip()
    found: Trace | None = None
    match kind_of(text):
        case IdKind.PREDICTION:
            found = found_or_none(lambda: _prediction(sight, (blobs, tables, settings), text.lower()))
        case IdKind.RUN:
            found = found_or_none(lambda: run_trace(sight, text.lower()))
        case IdKind.DIGEST:
            found = digest_trace(sight, text)
        case IdKind.DELIVERY | IdKind.APPROVAL:
            found = found_or_none(lambda: _delivery(sight, text))
        case IdKind.VERSION:
            found = found_or_none(lambda: version_trace(sight, version_reference(text)))
        case IdKind.NAME:
            found = _first(
                lambda: version_trace(sight, _champion(sight, text)), lambda: view_trace(sight, text), lambda: function_trace(sight, text)
            )
    if found is None:
        raise NothingToTrace(f"nothing has the id {text[:80]!r}", hint=HINT)
    return msgspec.structs.replace(found, asked=text, took_ms=(time.perf_counter() - started) * 1000)


def trace_version(snapshot: Snapshot, principal: Principal, model: ModelName, version: int) -> Trace:
    """Everything upstream and downstream of a version, for its page's address. Raises what the registry raises."""
    started = time.perf_counter()
    found = version_trace(Sight(snapshot, principal), f"models:/{model}/{version}")
    return msgspec.structs.replace(found, asked=f"{model}/{version}", took_ms=(time.perf_counter() - started) * 1000)


def _first(*reads: Callable[[], Trace]) -> Trace | None:
    return next((found for found in map(found_or_none, reads) if found is not None), None)


def _champion(sight: Sight, model: str) -> str:
    """The reference of the model's champion, or of its latest version where it has none."""
    reference = f"models:/{model}@{CHAMPION}"
    try:
        registry.resolve(sight.snapshot, sight.principal, reference)
    except NoSuchAlias:
        return f"models:/{model}"
    return reference


def version_trace(sight: Sight, reference: str) -> Trace:
    """The trace of a version: from what it was made, and where it has served."""
    version = registry.resolve(sight.snapshot, sight.principal, reference)
    chain = version_chain(sight, version)
    return Trace(
        asked=reference,
        sentence=f"{version.model} v{version.number}{_made(chain)}.",
        itself=version_node(sight, version),
        up=chain,
        down=revisions_under(sight, version),
        took_ms=0.0,
    )


def _prediction(sight: Sight, stores: tuple[Blobs, Tables, Settings], text: str) -> Trace:
    found = serving.get_prediction(sight.snapshot, sight.principal, *stores, text)
    one = found.answered
    version = registry.resolve(sight.snapshot, sight.principal, f"models:/{one.model}/{one.version}")
    chain = version_chain(sight, version)
    return Trace(
        asked=text,
        sentence=f"{one.model} v{one.version} answered {one.value:.4g} under revision {one.revision}{_made(chain)}.",
        itself=_prediction_node(one),
        up=(_revision_node(sight, one), version_node(sight, version), *chain),
        down=tuple(
            Node(kind="shadow", title=f"v{shadow.version} would have answered {shadow.value:.4g}", at=shadow.at) for shadow in found.shadows
        ),
        took_ms=0.0,
    )


def _made(chain: tuple[Node, ...]) -> str:
    """Who approved it and which run trained it, as the end of a sentence."""
    said = [one.title[0].lower() + one.title[1:] for one in chain if one.kind == "approval"]
    said += [f"trained by {one.title[0].lower()}{one.title[1:]}" for one in chain if one.kind == "run"]
    return f", {', '.join(said)}" if said else ""


def _prediction_node(one: PredictionRecord) -> Node:
    where = {"gateway": "on the gateway's disk", "segment": "in a sealed segment", "table": "in the prediction log's table"}
    given = [Fact(term=name, value=str(value)) for name, value in {**one.keys, **one.request}.items()]
    read = [Fact(term=name, value="missing" if value is None else f"{value}") for name, value in one.features.items()]
    fallback = f", the fallback, because {one.reason}" if one.reason else ""
    return Node(
        kind="prediction",
        title=f"{one.value:.6g}",
        id=one.id,
        said=f"by the {one.arm}{fallback}, in {one.latency_us / 1000:.2f} ms; found {where[one.source]}",
        at=one.at,
        facts=tuple(given),
        below=(Node(kind="features", title="What it read", facts=tuple(read)),) if read else (),
    )


def _revision_node(sight: Sight, one: PredictionRecord) -> Node:
    found = serving.get_revision(sight.snapshot, sight.principal, one.model, one.revision)
    entries = [
        entry for entry in entries_about(sight, f"endpoint:{one.model}") if entry.data.get("revision") == one.revision
    ]  # of the newest changes of the endpoint
    traffic = found.revision.traffic
    canary = f", v{traffic.canary.version} for {traffic.canary.share:.0%}" if traffic.canary else ""
    return Node(
        kind="revision",
        title=f"Revision {one.revision}",
        id=f"{one.model} revision {one.revision}",
        href=f"/serving/{one.model}",
        said=f"v{traffic.champion} as champion{canary}; {found.revision.cause}",
        at=found.active_at or found.revision.proposed_at,
        entries=refs(sight, entries),
    )


def _delivery(sight: Sight, text: str) -> Trace:
    approval = delivery.find_approval(sight.snapshot, DeliveryId(text))
    detail = delivery.get_delivery(sight.snapshot, sight.principal, approval.delivery if approval else DeliveryId(text))
    own, version = detail.delivery, _version_of(sight, detail.delivery.model, detail.delivery.version)
    up = [snapshot_node(sight, version, detail)] if version else []
    down = [approval_node(sight, version, detail), version_node(sight, version), *revisions_under(sight, version)] if version else []
    return Trace(
        asked=text,
        sentence=f"A delivery of {own.model}, {str(own.state).replace('_', ' ')}" + (f", made v{own.version}." if own.version else "."),
        itself=delivery_node(sight, detail),
        up=tuple(one for one in up if one is not None),
        down=tuple(one for one in down if one is not None),
        took_ms=0.0,
    )


def _version_of(sight: Sight, model: str, number: int | None) -> ModelVersion | None:
    if number is None:
        return None
    return found_or_none(lambda: registry.resolve(sight.snapshot, sight.principal, f"models:/{model}/{number}"))
