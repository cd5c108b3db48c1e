"""Serving's pages: all endpoints and gateways, and one endpoint with its traffic and revisions. Owns their contexts."""

import contextlib
from collections.abc import Callable

import msgspec

from modelyard.access.domain import Principal, PrincipalId
from modelyard.access.service import principal_names
from modelyard.features.service import known_entity
from modelyard.registry.domain import ModelName
from modelyard.serving import service
from modelyard.serving.domain import Endpoint, GatewayLease, LogPosition, RevisionDetail, RevisionState
from modelyard.serving.example import example_command, example_row
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.online import OnlineStore, OnlineUnavailable
from modelyard.web.pages import Action, Done, Nav, Page, action, page
from modelyard.web.parts import Moment, Pager, Tone

PATH = "/serving"
AT_ONCE = 30


class NearGateway(msgspec.Struct, frozen=True):
    """Where this installation's gateway answers, and whether it asks for a token: the composition root knows."""

    url: Callable[[], str]
    asks_login: bool


class Stand(msgspec.Struct, frozen=True):
    """How something stands, as a shape and a word."""

    tone: Tone
    word: str


class EndpointRow(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint in the list: how it stands, and how many live gateways serve its live revision."""

    endpoint: Endpoint
    stand: Stand
    gateways: int


class GatewayRow(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway in the list. `behind` counts the models that it serves under another than the live revision."""

    gateway: GatewayLease
    stand: Stand
    behind: int


class ServingPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `serving/endpoints.html`."""

    endpoints: tuple[EndpointRow, ...]
    gateways: tuple[GatewayRow, ...]
    alive: int
    log: LogPosition


class RevisionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A revision in an endpoint's history; `by` is the name of whoever asked for it."""

    detail: RevisionDetail
    stand: Stand
    by: str


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """A version's part of the traffic. `share` is None for a shadow, which answers nobody."""

    version: int
    name: str
    share: float | None


class EndpointPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `serving/endpoint.html`. `curl` asks the model for one prediction."""

    endpoint: Endpoint
    stand: Stand
    arms: tuple[Arm, ...]
    switches: tuple[Moment, ...]
    revisions: tuple[RevisionRow, ...]
    champions: tuple[int, ...]
    curl: str
    asks_login: bool
    pager: Pager


def show_endpoints(snapshot: Snapshot, principal: Principal) -> ServingPage:
    """What is served where, and how the gateways stand."""
    endpoints = service.list_endpoints(snapshot, principal)
    gateways = service.list_gateways(snapshot, principal)
    live = {one.model: one.live.revision.number for one in endpoints if one.live is not None}
    alive = [gateway for gateway in gateways if gateway.is_alive]
    return ServingPage(
        endpoints=tuple(
            EndpointRow(
                endpoint=one, stand=_stand(one), gateways=sum(gateway.live.get(one.model) == live.get(one.model, -1) for gateway in alive)
            )
            for one in endpoints
        ),
        gateways=tuple(_gateway(gateway, live) for gateway in gateways),
        alive=len(alive),
        log=service.log_position(snapshot),
    )


def show_endpoint(  # noqa: PLR0913 - what is injected does not count
    snapshot: Snapshot, principal: Principal, online: OnlineStore, near: NearGateway, model: ModelName, before: int | None = None
) -> EndpointPage:
    """One endpoint: who answers, since when on which gateway, and every revision before."""
    endpoint = service.get_endpoint(snapshot, principal, model)
    revisions = service.list_revisions(snapshot, principal, model, before, AT_ONCE + 1)
    shown, more = revisions[:AT_ONCE], len(revisions) > AT_ONCE
    champions = dict.fromkeys(one.revision.traffic.champion for one in shown if one.active_at is not None)
    names = principal_names(snapshot, {PrincipalId(one.revision.actor) for one in shown})
    current = endpoint.live.revision.traffic.champion if endpoint.live else None
    return EndpointPage(
        endpoint=endpoint,
        stand=_stand(endpoint),
        arms=_arms(endpoint),
        switches=_switches(endpoint),
        revisions=tuple(RevisionRow(detail=one, stand=_STATES[one.state], by=names[PrincipalId(one.revision.actor)]) for one in shown),
        champions=tuple(version for version in champions if version != current),
        curl=_command(snapshot, online, near, endpoint),
        asks_login=near.asks_login,
        pager=Pager(
            said=f"{len(shown)} revisions",
            first=None if before is None else f"{PATH}/{model}",
            next=f"{PATH}/{model}?before={shown[-1].revision.number}" if more else None,
        ),
    )


def roll_back(tx: Transaction, principal: Principal, model: ModelName, to: str = "", why: str = "") -> Done:
    """Rolls an endpoint back, to a version or to the champion before."""
    found = service.rollback(tx, principal, model, int(to) if to.isdecimal() else None, why)
    revision = found.revision
    return Done(
        f"{PATH}/{model}", f"Revision {revision.number} brings version {revision.traffic.champion} back, once every gateway has it."
    )


_STATES: dict[RevisionState, Stand] = {
    RevisionState.PROPOSED: Stand("busy", "coming"),
    RevisionState.PREPARED: Stand("busy", "prepared"),
    RevisionState.ACTIVE: Stand("good", "live"),
    RevisionState.SUPERSEDED: Stand("idle", "superseded"),
    RevisionState.FAILED: Stand("bad", "failed"),
    RevisionState.LOCAL: Stand("warn", "at one gateway"),
}


def _stand(endpoint: Endpoint) -> Stand:
    if endpoint.live is None:
        return Stand("busy", "coming") if endpoint.coming else Stand("idle", "not served")
    traffic = endpoint.live.revision.traffic
    if traffic.fallback is not None and traffic.fallback.stale:
        return Stand("warn", "fallback")
    if endpoint.coming is not None:
        return Stand("busy", f"revision {endpoint.coming.revision.number} coming")
    return Stand("busy", "canary") if traffic.canary else Stand("good", "live")


def _gateway(gateway: GatewayLease, live: dict[ModelName, int]) -> GatewayRow:
    behind = sum(gateway.live.get(model) != number for model, number in live.items())
    if not gateway.is_alive:
        stand = Stand("bad", "silent")
    elif gateway.is_failing:
        stand = Stand("bad", "cannot write its log")
    else:
        stand = Stand("warn", "behind") if behind else Stand("good", "serving")
    return GatewayRow(gateway=gateway, stand=stand, behind=behind)


def _command(snapshot: Snapshot, online: OnlineStore, near: NearGateway, endpoint: Endpoint) -> str:
    served = service.find_served(snapshot, endpoint.model, endpoint.live.revision.traffic.champion) if endpoint.live else None
    if served is None:
        return ""
    known: dict[str, object] = {}
    with contextlib.suppress(OnlineUnavailable):  # the page is most needed where something is down
        known = known_entity(online, served.feature_set.views) if served.feature_set else {}
    return example_command(near.url(), endpoint.model, example_row(served, known), asks_login=near.asks_login)


def _arms(endpoint: Endpoint) -> tuple[Arm, ...]:
    if endpoint.live is None:
        return ()
    traffic = endpoint.live.revision.traffic
    share = traffic.canary.share if traffic.canary else 0.0
    return (
        Arm(version=traffic.champion, name="champion", share=1.0 - share),
        *((Arm(version=traffic.canary.version, name="canary", share=share),) if traffic.canary else ()),
        *(Arm(version=version, name="shadow", share=None) for version in traffic.shadows),
    )


def _switches(endpoint: Endpoint) -> tuple[Moment, ...]:
    if endpoint.live is None:
        return ()
    return tuple(Moment(at=one.switched_at, title=one.gateway, text="serves under it since then") for one in endpoint.live.switches)


PAGES: tuple[Page, ...] = (
    page(PATH, show_endpoints, "serving/endpoints.html", nav=Nav("Run", "Serving", 50)),
    page(PATH + "/{model}", show_endpoint, "serving/endpoint.html", title="Endpoint"),
)
ACTIONS: tuple[Action, ...] = (action(PATH + "/{model}/rollback", roll_back),)
