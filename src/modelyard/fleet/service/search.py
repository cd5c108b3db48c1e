"""The one search: anything by its name, its id or the start of it, or a digest, among what the caller may see. Ranks nothing."""

import re
from collections.abc import Callable, Sequence
from urllib.parse import quote

from modelyard.access.domain import Principal
from modelyard.core.clock import iso
from modelyard.core.settings import Settings
from modelyard.delivery import service as delivery
from modelyard.delivery.domain import Delivery, DeliveryId
from modelyard.features import service as features
from modelyard.fleet.domain import Found
from modelyard.fleet.rules import IdKind, digest_in, kind_of, version_reference
from modelyard.fleet.service.sight import Sight, found_or_none
from modelyard.registry import service as registry
from modelyard.registry.domain import ModelVersion
from modelyard.registry.rules.names import page_of
from modelyard.serving import service as serving
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Snapshot
from modelyard.storage.tables import Tables
from modelyard.tracking import service as tracking
from modelyard.tracking.domain import RunFacts, RunId

AT_ONCE = 10
MOST_EXPERIMENTS = 200
LONGEST = 200
WORDS = re.compile(r"[\w .:@/-]+")
START_OF_RUN = re.compile(r"[0-9a-f]{4,32}")


def search(  # noqa: PLR0913 - all but one are injected
    snapshot: Snapshot, principal: Principal, blobs: Blobs, tables: Tables, settings: Settings, q: str
) -> list[Found]:
    """What has that name or id, at most ten of each kind: models, versions, runs, experiments, views, deliveries, predictions."""
    text = q.strip()
    if not text or len(text) > LONGEST or not text.isprintable():
        return []
    sight = Sight(snapshot, principal)
    found = [*_by_id(sight, (blobs, tables, settings), text), *_by_name(sight, text)]
    return list({(one.kind, one.href): one for one in found}.values())


def _by_id(sight: Sight, stores: tuple[Blobs, Tables, Settings], text: str) -> list[Found]:
    match kind_of(text):
        case IdKind.PREDICTION:
            return _one(lambda: _prediction(sight, stores, text.lower()))
        case IdKind.VERSION:
            return _one(lambda: _version(registry.resolve(sight.snapshot, sight.principal, version_reference(text))))
        case IdKind.DIGEST:
            return _of_digest(sight, text)
        case IdKind.RUN:
            return _one(lambda: _run(tracking.get_run_facts(sight.snapshot, sight.principal, RunId(text.lower()))))
        case IdKind.APPROVAL:
            approval = delivery.find_approval(sight.snapshot, DeliveryId(text))
            if approval is None:
                return []
            return _one(lambda: _delivery(delivery.get_delivery(sight.snapshot, sight.principal, approval.delivery).delivery))
        case IdKind.DELIVERY:
            # Ids sort as texts, so those that begin like this stand right before the first that does not.
            listed = delivery.list_deliveries(sight.snapshot, sight.principal, before=f"{text}~")
            return [_delivery(one) for one in listed if one.id.startswith(text)][:AT_ONCE]
        case _:
            return []


def _one(read: Callable[[], Found]) -> list[Found]:
    found = found_or_none(read)
    return [] if found is None else [found]


def _of_digest(sight: Sight, text: str) -> list[Found]:
    digest = digest_in(text)
    versions = registry.versions_of_digest(sight.snapshot, sight.principal, digest)[:AT_ONCE]
    runs = tracking.list_runs_of(sight.snapshot, sight.principal, digest, AT_ONCE)
    if not versions and not runs:
        return []
    said = f"{len(versions)} versions and {len(runs)} runs"
    content = Found(kind="Content", title=digest, href=f"/trace/{digest}", detail=f"traced: {said}")
    return [content, *map(_version, versions), *map(_run, runs)]


def _by_name(sight: Sight, text: str) -> list[Found]:
    lowered = text.lower()
    models = registry.list_models(sight.snapshot, sight.principal, q=text, limit=AT_ONCE)
    views = features.search_views(sight.snapshot, sight.principal, text)
    named = [one.summary.applied for one in views if lowered in one.summary.applied.view.name.lower()]
    return [
        *(
            Found(
                kind="Models",
                title=one.model.name,
                href=page_of(one.model.name),
                detail=one.model.purpose or f"owner {one.model.owner}",
            )
            for one in models
        ),
        *(
            Found(
                kind="Feature views",
                title=one.view.name,
                href=f"/features/{one.view.name}",
                detail=f"v{one.number} of {one.view.entity.name}",
            )
            for one in named[:AT_ONCE]
        ),
        *_features(views),
        *(_in_tracking(sight, text) if WORDS.fullmatch(text) else ()),
    ]


def _features(views: Sequence[features.FoundView]) -> list[Found]:
    found = [(name, one.summary.applied) for one in views for name in one.features]
    return [
        Found(
            kind="Features",
            title=name,
            href=f"/features/{applied.view.name}#feature-{quote(name)}",
            detail=f"of {applied.view.entity.name}, in {applied.view.name}",
        )
        for name, applied in found[:AT_ONCE]
    ]


def _in_tracking(sight: Sight, text: str) -> Sequence[Found]:
    named = tracking.Asked(filter=f"name ILIKE '%{text}%'", limit=AT_ONCE)
    experiments = tracking.search_experiments(sight.snapshot, sight.principal, named).experiments
    everywhere = tracking.search_experiments(sight.snapshot, sight.principal, tracking.Asked(limit=MOST_EXPERIMENTS)).experiments
    ids = tuple(one.id for one in everywhere)
    filters = [f"attributes.run_name ILIKE '%{text}%'"]
    filters += [f"attributes.run_id LIKE '{text.lower()}%'"] if START_OF_RUN.fullmatch(text.lower()) else []
    pages = [
        tracking.search_runs(sight.snapshot, sight.principal, ids, tracking.Asked(filter=one, limit=AT_ONCE)) for one in filters if ids
    ]
    return [
        *(_run(run.facts) for page in pages for run in page.runs),
        *(
            Found(kind="Experiments", title=one.name, href=f"/experiments/{one.id}", detail=f"since {iso(one.created_at)[:10]}")
            for one in experiments
        ),
    ]


def _prediction(sight: Sight, stores: tuple[Blobs, Tables, Settings], text: str) -> Found:
    one = serving.get_prediction(sight.snapshot, sight.principal, *stores, text).answered
    return Found(
        kind="Predictions",
        title=one.id,
        href=f"/trace/{one.id}",
        detail=f"{one.model} v{one.version} answered {one.value:.4g}, {iso(one.at)[:16]}",
    )


def _version(one: ModelVersion) -> Found:
    name = f"{one.model} v{one.number}"
    return Found(kind="Versions", title=name, href=page_of(one.model, one.number), detail=f"registered {iso(one.created_at)[:16]}")


def _run(one: RunFacts) -> Found:
    return Found(
        kind="Runs", title=one.name, href=f"/runs/{one.id}", detail=f"{one.id}, {one.status.value.lower()}, {iso(one.started_at)[:16]}"
    )


def _delivery(one: Delivery) -> Found:
    state = str(one.state).replace("_", " ")
    return Found(kind="Deliveries", title=one.id, href=f"/deliveries/{one.id}", detail=f"{one.model}, {state}, {iso(one.created_at)[:16]}")
