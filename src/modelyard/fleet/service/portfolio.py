"""The portfolio: a row for every model, from one list of each component. Its cost is a dozen queries, and one a delivery under way."""

import time
from collections.abc import Mapping, Sequence

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.clock import SECOND, Instant
from modelyard.delivery import overview
from modelyard.delivery import service as delivery
from modelyard.delivery.domain import Approval, ApprovalState, Delivery, DeliveryState
from modelyard.delivery.rules import current_stage
from modelyard.fleet.domain import OldestView, Portfolio, Quality, Row
from modelyard.fleet.rules import Seen, stand, summed, worst_first
from modelyard.fleet.service.sight import Sight
from modelyard.monitoring import service as monitoring
from modelyard.monitoring.domain import HIGHER_IS_BETTER, SEVERITY, Alert, AlertKind
from modelyard.registry import service as registry
from modelyard.registry.domain import CHAMPION, ModelDetail
from modelyard.registry.rules.names import page_of
from modelyard.serving import service as serving
from modelyard.serving.domain import RevisionDetail
from modelyard.storage.database import Snapshot

MOST_MODELS = 1000
SHOWN_DAYS = 30


class _Parts(msgspec.Struct, frozen=True):
    """What the components say of one model."""

    detail: ModelDetail
    live: RevisionDetail | None
    health: monitoring.Health | None
    delivery: Delivery | None
    approval: Approval | None


def get_portfolio(snapshot: Snapshot, principal: Principal) -> Portfolio:
    """Every model that the caller may see, worst first, with what is live, how it does, and what waits for whom."""
    started = time.perf_counter()
    sight = Sight(snapshot, principal)
    live, health = serving.list_live(snapshot, principal), monitoring.list_health(snapshot, principal)
    latest = overview.latest_deliveries(snapshot, principal)
    waiting = delivery.list_approvals(snapshot, principal, ApprovalState.WAITING)
    approvals: Mapping[str, Approval] = {one.model: one for one in waiting}
    since = Instant(snapshot.now() - SHOWN_DAYS * 86_400 * SECOND)
    rows = [
        _row(
            sight,
            _Parts(
                one,
                live.get(one.model.name),
                health.get(one.model.name),
                latest.get(one.model.name),
                approvals.get(one.model.name),
            ),
        )
        for one in registry.list_models(snapshot, principal, limit=MOST_MODELS)
    ]
    served = [row for row in rows if row.version is not None]
    return Portfolio(
        rows=worst_first(rows),
        live=len(served),
        healthy=sum(row.tone == "good" for row in served),
        approvals=len(waiting),
        alerts=len(monitoring.list_open_alerts(snapshot, principal)),
        deliveries=summed(overview.deliveries_since(snapshot, principal, since)),
        took_ms=(time.perf_counter() - started) * 1000,
    )


def _row(sight: Sight, parts: _Parts) -> Row:
    model, health, last = parts.detail.model, parts.health, parts.delivery
    alerts = sorted(health.alerts, key=lambda one: SEVERITY.index(one.kind)) if health else []
    traffic = parts.live.revision.traffic if parts.live else None
    seen = Seen(
        alerts=[one.kind for one in alerts],
        waits=parts.approval is not None,
        is_delivered=last is not None and last.state is DeliveryState.RUNNING,
        is_live=traffic is not None,
        is_watched=health is not None,
    )
    tone, word = stand(seen)
    following, href = _next(sight, parts, alerts)
    return Row(
        model=model.name,
        team_id=model.team_id,
        owner=model.owner,
        risk=model.risk,
        tone=tone,
        word=word,
        version=traffic.champion if traffic else None,
        live_since_at=_live_since(parts),
        canary=traffic.canary.version if traffic and traffic.canary else None,
        canary_share=traffic.canary.share if traffic and traffic.canary else None,
        shadows=traffic.shadows if traffic else (),
        alerts=_counted(alerts),
        quality=_quality(health),
        oldest=_oldest(health),
        answers=health.answers if health else (),
        answered=sum(health.answers[-2:]) if health else None,
        delivery=last,
        next=following,
        next_href=href,
    )


def _live_since(parts: _Parts) -> Instant | None:
    """Since when the champion answers: a revision can be newer, such as one for a stale view."""
    if parts.live is None:
        return None
    champion = parts.live.revision.traffic.champion
    moved = next((one for one in parts.detail.aliases if one.name == CHAMPION and one.version == champion), None)
    if moved is not None:
        return moved.moved_at
    watched = parts.health.watched if parts.health else None
    return watched.live_at if watched and watched.live == champion and watched.live_at else parts.live.active_at


def _counted(alerts: Sequence[Alert]) -> dict[AlertKind, int]:
    found: dict[AlertKind, int] = {}
    for one in alerts:
        found[one.kind] = found.get(one.kind, 0) + 1
    return found


def _quality(health: monitoring.Health | None) -> Quality | None:
    if health is None or health.metric is None:
        return None
    value = health.measured.value if health.measured else None
    approved = health.level.value if health.level else None
    return Quality(
        metric=health.metric,
        value=value,
        approved=approved,
        difference=value - approved if value is not None and approved is not None else None,
        is_better_up=health.metric in HIGHER_IS_BETTER,
        by_day=health.by_day,
    )


def _oldest(health: monitoring.Health | None) -> OldestView | None:
    if health is None or not health.views:
        return None
    oldest = min(health.views, key=lambda one: one.newest_event_at or 0)
    return OldestView(
        view=oldest.view, newest_event_at=oldest.newest_event_at, stale=tuple(one.view for one in health.views if one.is_stale)
    )


def _next(sight: Sight, parts: _Parts, alerts: Sequence[Alert]) -> tuple[str, str]:
    """What is waited for or under way, and where."""
    if parts.approval is not None:
        return f"v{parts.approval.version} waits for approval by team {parts.approval.team_id}", "/approvals"
    last = parts.delivery
    if last is not None and last.state is DeliveryState.RUNNING:
        detail = delivery.get_delivery(sight.snapshot, sight.principal, last.id)
        return f"Delivery: {current_stage(detail).name.value.replace('_', ' ')}", f"/deliveries/{last.id}"
    if alerts:
        return alerts[0].title, f"/alerts/{alerts[0].id}"
    return ("", "") if parts.live is not None else ("Ship it", page_of(parts.detail.model.name))
