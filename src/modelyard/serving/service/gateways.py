"""Gateways: their heartbeats and what they are assigned in answer. The gateway never writes the database; this does, for it."""

import msgspec

from modelyard.access.domain import EVERY_TEAM, Principal, Role, TeamId
from modelyard.access.service import require
from modelyard.core.clock import SECOND, Instant
from modelyard.core.errors import NotFound
from modelyard.core.names import checked_name
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.registry.domain import ModelName
from modelyard.serving import rules, store
from modelyard.serving.domain import TOKEN_LEASE_S, Assignment, GatewayLease, Heartbeat
from modelyard.serving.service import local
from modelyard.serving.service.catalogue import gateway_tokens, with_teams
from modelyard.serving.service.revisions import advance
from modelyard.serving.store.gateways import GatewayRow
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.replay import find_replay_instant

AGAIN_S = 1.0
SOON_S = 0.1
REPLAY_S = 0.15
"""In a replay days pass in less than a second. Its gateways ask by themselves whenever one has passed."""


def heartbeat(tx: Transaction, principal: Principal, gateway: str, body: Heartbeat) -> Assignment:
    """Notes how a gateway stands, takes coming revisions on, and answers with what the gateway is to do.

    The caller must be a contributor of every team: a gateway serves them all. Raises NotAllowed.
    """
    require(principal, Role.CONTRIBUTOR, EVERY_TEAM)
    checked_name(gateway, "gateway")
    known = {row.lease.gateway for row in store.list_gateways(tx)}
    store.put_gateway(tx, gateway, tx.lease_time(), body)
    if gateway not in known:
        _record(tx, principal, gateway, "serving.gateway_joined")
    store.put_switches(tx, gateway, [(one.model, one.revision, one.active_at) for one in body.held if one.active_at is not None])
    taken_over = local.take_over(tx, principal, gateway, body.own)
    sealed = [segment for segment in body.sealed if segment.gateway == gateway]
    store.put_segments(tx, sealed)
    advance(tx, {row.lease.gateway: row.held for row in _alive(tx)})
    assignment = _assignment(tx, body)
    return msgspec.structs.replace(
        assignment,
        registered=tuple(segment.id for segment in sealed),
        taken_over=taken_over,
        own_number=store.own_number(tx, gateway),
    )


def _assignment(tx: Transaction, body: Heartbeat) -> Assignment:
    endpoints = store.list_endpoints(tx, None)
    own = local.standing(tx, body.held)
    active = tuple((row.model, own.get(row.model, row.live)) for row in endpoints if row.live is not None)
    prepare = tuple((row.model, row.coming) for row in endpoints if row.coming is not None)
    ready = {(one.model, one.revision) for one in body.held if one.prepared_at is not None}
    wall, seal_before, replay_at = tx.wall(), store.seal_before(tx), find_replay_instant(tx)
    again_s = AGAIN_S if replay_at is None else REPLAY_S
    return Assignment(
        prepare=prepare,
        active=active,
        deployments=tuple(with_teams(tx, one) for one in store.get_deployments(tx, rules.wanted(prepare, active) - ready)),
        tokens=gateway_tokens(tx),
        tokens_until=Instant(wall + round(TOKEN_LEASE_S * SECOND)),
        seal_before=seal_before,
        replay_at=replay_at,
        again_s=min(SOON_S, again_s) if prepare or body.sealed_through_at < seal_before else again_s,
    )


def list_gateways(snapshot: Snapshot, principal: Principal) -> list[GatewayLease]:
    """Every gateway, what it serves under, and how long ago it was heard of; of models only those that the caller sees."""
    seen: set[ModelName] = {row.model for row in store.list_endpoints(snapshot, principal.teams)}
    alive = {row.lease.gateway for row in _alive(snapshot)}
    return [_as_seen(row.lease, seen, is_alive=row.lease.gateway in alive) for row in store.list_gateways(snapshot)]


def remove_gateway(tx: Transaction, principal: Principal, gateway: str) -> None:
    """Forgets a gateway that will not come back, so that the prediction log no longer waits for it. Raises NotFound."""
    require(principal, Role.ADMIN, EVERY_TEAM)
    if not store.delete_gateway(tx, gateway):
        raise NotFound(f"no gateway {gateway[:80]!r}", hint="see yard status")
    _record(tx, principal, gateway, "serving.gateway_removed")


def _alive(snapshot: Snapshot) -> list[GatewayRow]:
    rows = store.list_gateways(snapshot)
    alive = {lease.gateway for lease in rules.alive((row.lease for row in rows), snapshot.lease_time())}
    return [row for row in rows if row.lease.gateway in alive]


def _as_seen(lease: GatewayLease, seen: set[ModelName], *, is_alive: bool) -> GatewayLease:
    return GatewayLease(
        gateway=lease.gateway,
        started_at=lease.started_at,
        seen_at=lease.seen_at,
        live={model: number for model, number in lease.live.items() if model in seen},
        is_alive=is_alive,
        is_failing=lease.is_failing,
        requests=lease.requests,
        shed=lease.shed,
        log_waiting_bytes=lease.log_waiting_bytes,
        sealed_through_at=lease.sealed_through_at,
    )


def _record(tx: Transaction, principal: Principal, gateway: str, kind: str) -> None:
    record(tx, NewEntry(type=kind, subject=f"gateway:{gateway}", actor=principal.id, team_id=TeamId("default")))
