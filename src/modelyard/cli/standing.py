"""`yard status`: what is live where and since when, its health, and what waits for whom."""

from collections.abc import Sequence

import msgspec

from modelyard.cli.connection import connected
from modelyard.cli.output import Json, console, plain, print_json, print_table, state, when
from modelyard.core.clock import iso
from modelyard.delivery.domain import Approval, ApprovalState, Delivery, DeliveryState
from modelyard.monitoring.domain.alerts import Alert
from modelyard.monitoring.domain.watching import ModelMonitoring, ViewState
from modelyard.registry.domain import ModelName, VersionDetail
from modelyard.sdk.client import Client
from modelyard.serving.domain import Endpoint, GatewayLease, RevisionDetail

SHOWN = 20


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What `yard status --json` prints: all of it as the server's own types."""

    endpoints: list[Endpoint]
    gateways: list[GatewayLease]
    alerts: list[Alert]
    views: list[ViewState]
    deliveries: list[Delivery]
    approvals: list[Approval]
    deprecated: list[VersionDetail]


def status(model: str | None = None, /, *, json: Json = False) -> int:
    """What is live where and since when, its health, what is under way, and what waits for whom.

    Without MODEL it is about all models that you may see.

    Example: yard status late_arrival
    """
    with connected() as client:
        found = _standing(client, None if model is None else ModelName(model))
    if json:
        print_json(found)
    else:
        _print(found, model)
    return 0


def _standing(client: Client, model: ModelName | None) -> Standing:
    """The server's answers, of one model where it is given. Raises the server's NoSuchModel for a name that nothing has."""
    watched = [one for one in client.list_monitoring() if model in (None, one.watched.model)]
    alerts = [one for one in client.list_open_alerts() if model is None or model == one.model or model in one.models]
    endpoints = [one for one in client.list_endpoints() if model in (None, one.model)]
    found = Standing(
        endpoints=endpoints,
        gateways=client.list_gateways(),
        alerts=alerts,
        views=_views(watched),
        deliveries=client.list_deliveries(model=model)[:SHOWN],
        approvals=[one for one in client.list_approvals(state=ApprovalState.WAITING) if model in (None, one.model)],
        deprecated=_deprecated(client, endpoints),
    )
    if model is not None and not found.endpoints and not found.deliveries:
        client.get_model(model)
    return found


def _deprecated(client: Client, endpoints: Sequence[Endpoint]) -> list[VersionDetail]:
    """The versions in traffic that are deprecated."""
    live = [(one.model, number) for one in endpoints if one.live for number in one.live.revision.traffic.versions]
    details = (client.get_version(model, number) for model, number in live)
    return [detail for detail in details if detail.deprecation is not None]


def _views(watched: Sequence[ModelMonitoring]) -> list[ViewState]:
    return list({view.view: view for one in watched for view in one.views}.values())


def _print(found: Standing, model: str | None) -> None:
    if found.endpoints:
        rows = [_live(one, found) for one in found.endpoints]
        print_table("Live", ("model", "version!", "since (UTC)!", "traffic", "on#", "health"), rows)
    else:
        console().print(
            "Nothing is live." if model is None else f"{plain(model)} is not live; yard ship {plain(model)} brings it there.", style="dim"
        )
    under_way = [one for one in found.deliveries if one.state is DeliveryState.RUNNING]
    ended = [one for one in found.deliveries if one.state is not DeliveryState.RUNNING][: 10 if model else 5]
    if found.alerts:
        alerts = [
            (one.kind.value, one.model or ", ".join(one.models), plain(one.title), when(one.since_at), one.id) for one in found.alerts
        ]
        print_table("\nOpen alerts", ("kind", "model", "what", "since!", "yard why"), alerts)
    for warning in [*(_local(own) for one in found.endpoints for own in one.local), *map(_deprecated_but_live, found.deprecated)]:
        console().print(f"\n{warning}", style="yellow")
    stale = [view for view in found.views if view.is_stale]
    if stale:
        rows = [(one.view, "never" if one.newest_event_at is None else iso(one.newest_event_at), _hours(one.promised_s)) for one in stale]
        print_table("\nStale feature views", ("view", "newest event", "promised"), rows)
    if found.approvals:
        waiting = [(one.model, f"v{one.version}", plain(one.why_asked), one.id) for one in found.approvals]
        print_table("\nWaits for an approver", ("model", "version!", "why", "yard approve"), waiting)
    for title, deliveries in (("\nUnder way", under_way), ("\nBefore", ended)):
        if deliveries:
            print_table(title, ("model", "state", "version", "cause", "began (UTC)!", "id"), [_delivery(one) for one in deliveries])
    away = [one for one in found.gateways if not one.is_alive or one.is_failing]
    for one in away:
        console().print(
            f"\ngateway {plain(one.gateway)} {'cannot write its log' if one.is_failing else 'is away since ' + when(one.seen_at)}",
            style="red",
        )


def _live(one: Endpoint, found: Standing) -> tuple[str, ...]:
    if one.live is None:
        return (one.model, "", "", f"revision {one.coming.revision.number} is coming" if one.coming else "withdrawn", "0", "")
    number = one.live.revision.number
    on = sum(lease.is_alive and lease.live.get(one.model) == number for lease in found.gateways)
    return (one.model, f"v{one.live.revision.traffic.champion}", when(one.live.active_at), _traffic(one.live), str(on), _health(one, found))


def _local(own: RevisionDetail) -> str:
    one, where = own.revision, ", ".join(switch.gateway for switch in own.switches)
    return (
        f"{one.model} is at v{one.traffic.champion} at {plain(where)} alone (revision {one.number}), rolled back there: {plain(one.cause)}"
    )


def _deprecated_but_live(detail: VersionDetail) -> str:
    version, said = detail.version, detail.deprecation
    assert said is not None
    instead = f"; take v{said.successor} instead" if said.successor else ""
    return f"{version.model} v{version.number} answers and is deprecated: {plain(said.why)}{instead}"


def _traffic(live: RevisionDetail) -> str:
    traffic = live.revision.traffic
    said = [f"v{traffic.canary.version} canary {traffic.canary.share:.0%}"] if traffic.canary else ["all"]
    said += [f"v{version} shadow" for version in traffic.shadows]
    if traffic.fallback and traffic.fallback.stale:
        said.append(f"fallback {traffic.fallback.value:g}")
    return ", ".join(said)


def _health(one: Endpoint, found: Standing) -> str:
    count = sum(one.model in (alert.model, *alert.models) for alert in found.alerts)
    return f"[red]{count} alert{'s' if count > 1 else ''}[/]" if count else "[green]no alert[/]"


def _delivery(one: Delivery) -> tuple[str, ...]:
    return (one.model, state(one.state), f"v{one.version}" if one.version else "", one.cause.kind, when(one.created_at), one.id)


def _hours(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds / 3600:g} h"
