"""Revisions of traffic: proposed, rolled back, taken through two phases over the live gateways. Each change is a ledger entry."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from modelyard.access.domain import SYSTEM, Principal, Role, TeamId
from modelyard.access.service import require
from modelyard.core.names import nearest
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.registry.domain import ModelName
from modelyard.registry.service import put_hold, release_hold
from modelyard.serving import rules, store
from modelyard.serving.domain import (
    Deployment,
    Endpoint,
    Held,
    NoSuchEndpoint,
    NoSuchRevision,
    Proposal,
    Revision,
    RevisionDetail,
    RevisionMoved,
    RevisionState,
    RolloutStep,
    Traffic,
)
from modelyard.serving.service.catalogue import served_version, team_of
from modelyard.serving.service.champions import drop_champion, keep_read, make_champion
from modelyard.serving.store.endpoints import EndpointRow
from modelyard.storage.database import Snapshot, Transaction

MOST_REVISIONS = 200


def list_endpoints(snapshot: Snapshot, principal: Principal) -> list[Endpoint]:
    """The endpoints that the caller may see, by model."""
    return [_endpoint(snapshot, row) for row in store.list_endpoints(snapshot, principal.teams)]


def list_live(snapshot: Snapshot, principal: Principal) -> dict[ModelName, RevisionDetail]:
    """The live revision of every endpoint that the caller may see, by model: for lists, which ask once."""
    return {one.revision.model: one for one in store.list_live_revisions(snapshot, principal.teams)}


def get_endpoint(snapshot: Snapshot, principal: Principal, model: ModelName) -> Endpoint:
    """The endpoint of a model. Raises NoSuchEndpoint."""
    return _endpoint(snapshot, _seen(snapshot, principal, model))


def list_revisions(
    snapshot: Snapshot, principal: Principal, model: ModelName, before: int | None = None, limit: int = 50
) -> list[RevisionDetail]:
    """A model's revisions, newest first, those before the number `before`."""
    _seen(snapshot, principal, model)
    found = store.list_revisions(snapshot, model, before, max(1, min(limit, MOST_REVISIONS)))
    return [_with_switches(snapshot, one) for one in found]


def why_bound(snapshot: Snapshot, model: ModelName) -> str:
    """Why the registry's model must keep its name: it was deployed. Empty where it never was."""
    return "it was deployed" if store.find_endpoint(snapshot, model) is not None else ""


def get_revision(snapshot: Snapshot, principal: Principal, model: ModelName, number: int) -> RevisionDetail:
    """A revision and when each gateway switched to it. Raises NoSuchEndpoint and NoSuchRevision."""
    _seen(snapshot, principal, model)
    found = store.find_revision(snapshot, model, number)
    if found is None:
        raise NoSuchRevision(f"{model} has no revision {number}", hint="see yard status " + model)
    return _with_switches(snapshot, found)


def propose_revision(tx: Transaction, principal: Principal, model: ModelName, body: Proposal) -> RevisionDetail:
    """A new revision, which every live gateway prepares before any serves under it; one that was coming is superseded.

    Raises RevisionMoved where another revision than `expects` is live, NoSuchVersion, and BadTraffic.
    """
    _require(tx, principal, model, Role.APPROVER)
    traffic = Traffic(champion=body.champion, canary=body.canary, shadows=body.shadows, fallback=body.fallback)
    row = store.find_endpoint(tx, model)
    if body.expects is not None and body.expects != (row.live if row else None):
        live = row.live if row else None
        raise RevisionMoved(f"revision {live} of {model} is live, not {body.expects}", hint="look at it, then propose again")
    return propose(tx, principal, model, traffic, body.cause)


def step_rollout(tx: Transaction, principal: Principal, model: ModelName, body: RolloutStep) -> RevisionDetail:
    """The candidate one step further. A model that is not served yet begins with it as its champion. Raises BadTraffic."""
    _require(tx, principal, model, Role.APPROVER)
    row = store.find_endpoint(tx, model)
    detail = None if row is None else newest(tx, row)
    if detail is None:
        traffic = Traffic(champion=body.version, fallback=body.fallback)
    else:
        traffic = rules.rollout_step(detail.revision.traffic, body.version, body.share)
    if body.fallback is not None:
        traffic = rules.with_declared(traffic, body.fallback)
    share = 1.0 if detail is None else body.share
    return propose(tx, principal, model, traffic, body.cause or f"version {body.version} at {share:.0%}")


def rollback(tx: Transaction, principal: Principal, model: ModelName, to: int | None = None, cause: str = "") -> RevisionDetail:
    """A new revision without the canary, under version `to`, which was champion once, or the champion before.

    A contributor may: what comes back was let through before. Raises NothingToRollBackTo and NeverChampion.
    """
    _require(tx, principal, model, Role.CONTRIBUTOR)
    latest = _latest(tx, principal, model)
    traffic = rules.rolled_back(latest, earlier(tx, model), to)
    return propose(tx, principal, model, traffic, cause or f"rolled back to version {traffic.champion}")


def set_shadows(tx: Transaction, principal: Principal, model: ModelName, versions: tuple[int, ...], cause: str = "") -> RevisionDetail:
    """A new revision in which those versions, and no others, watch as shadows. Raises BadTraffic."""
    _require(tx, principal, model, Role.APPROVER)
    latest = _latest(tx, principal, model)
    traffic = msgspec.structs.replace(latest, shadows=versions)
    return propose(tx, principal, model, traffic, cause or f"shadows {list(versions)}")


def mark_stale(tx: Transaction, principal: Principal, views: Sequence[str]) -> list[RevisionDetail]:
    """New revisions for the endpoints whose fallback serves, or no longer serves, now that exactly `views` are stale."""
    changed = []
    for row in store.list_endpoints(tx, principal.teams):
        detail = newest(tx, row)
        if detail is None or detail.revision.traffic.fallback is None:
            continue
        before = detail.revision.traffic
        after = rules.with_stale(before, views)
        if after != before and after.fallback is not None:
            stale = after.fallback.stale
            changed.append(propose(tx, principal, row.model, after, rules.stale_said(stale) if stale else "its views are fresh again"))
    return changed


def withdraw(tx: Transaction, principal: Principal, model: ModelName, cause: str = "") -> None:
    """Takes a model out of service: gateways answer 404 from their next heartbeat on. Its revisions stay on record."""
    row = _seen(tx, principal, model)
    require(principal, Role.APPROVER, row.team_id)
    for number in (row.live, row.coming):
        if number is not None:
            store.set_state(tx, (model, number), RevisionState.SUPERSEDED, ended_at=tx.now())
    _end_local(tx, row)
    _move(tx, row, None, None)
    drop_champion(tx, model, row.team_id)
    _record(tx, principal.id, row, "serving.endpoint_withdrawn", {"live": row.live, "cause": cause})


def advance(tx: Transaction, held: dict[str, tuple[Held, ...]]) -> None:
    """Takes every coming revision as far as the live gateways allow; `held` is what each of them holds."""
    for row in store.list_endpoints(tx, None):
        if row.coming is None:
            continue
        name = (row.model, row.coming)
        mine = {gateway: next((one for one in all_held if (one.model, one.revision) == name), None) for gateway, all_held in held.items()}
        match rules.next_state(RevisionState.PROPOSED, mine):
            case RevisionState.PREPARED:
                _activate(tx, row, row.coming, sorted(mine))
            case RevisionState.FAILED:
                why = rules.why_failed(mine)
                store.set_state(tx, name, RevisionState.FAILED, ended_at=tx.now(), why_failed=why)
                _move(tx, row, row.live, None)
                stays = None if row.live is None else store.find_revision(tx, row.model, row.live)
                if stays is not None:
                    make_champion(tx, SYSTEM, (row.model, row.team_id), stays.revision.traffic.champion)
                _record(tx, "system", row, "serving.revision_failed", {"revision": row.coming, "why": why})


def _activate(tx: Transaction, row: EndpointRow, number: int, gateways: Sequence[str]) -> None:
    if row.live is not None:
        store.set_state(tx, (row.model, row.live), RevisionState.SUPERSEDED, ended_at=tx.now())
    store.set_state(tx, (row.model, number), RevisionState.ACTIVE, prepared_at=tx.now(), active_at=tx.now())
    _end_local(tx, row)
    _move(tx, row, number, None)
    found = store.find_revision(tx, row.model, number)
    assert found is not None
    data = {"revision": number, "before": row.live, "gateways": list(gateways), "traffic": msgspec.to_builtins(found.revision.traffic)}
    _record(tx, found.revision.actor, row, "serving.revision_activated", data)


def propose(tx: Transaction, principal: Principal, model: ModelName, traffic: Traffic, cause: str) -> RevisionDetail:
    """A new revision of that traffic. Raises before anything is written where a version of it cannot be served."""
    team = team_of(tx, principal, model)
    require(principal, Role.CONTRIBUTOR, team)
    row = store.find_endpoint(tx, model)
    if row is None:
        row = EndpointRow(model=model, team_id=team, created_at=tx.now())
        store.insert_endpoint(tx, row)
    number = store.next_number(tx, model)
    revision = Revision(model=model, number=number, team_id=team, traffic=traffic, cause=cause, actor=principal.id, proposed_at=tx.now())
    versions = tuple(served_version(tx, principal, (model, team), version) for version in traffic.versions)
    rules.merged_fields(versions[0], versions)
    if row.coming is not None:
        store.set_state(tx, (model, row.coming), RevisionState.SUPERSEDED, ended_at=tx.now())
    before = newest(tx, row)
    store.insert_revision(tx, Deployment(revision=revision, versions=versions))
    _move(tx, row, row.live, number)
    if before is None or before.revision.traffic.champion != traffic.champion:
        make_champion(tx, principal, (model, team), traffic.champion)
    data = {"revision": number, "cause": cause, "traffic": msgspec.to_builtins(traffic)}
    _record(tx, principal.id, row, "serving.revision_proposed", data)
    return RevisionDetail(revision=revision, state=RevisionState.PROPOSED)


def earlier(snapshot: Snapshot, model: ModelName) -> Iterator[RevisionDetail]:
    """A model's revisions, newest first, read in pages: as far back as whoever takes them goes."""
    before = None
    while page := store.list_revisions(snapshot, model, before, MOST_REVISIONS):
        yield from page
        before = page[-1].revision.number


def _require(tx: Transaction, principal: Principal, model: ModelName, role: Role) -> None:
    """Raises NotAllowed unless the caller has `role` in the model's own team: who gives traffic by hand passes no gate, so approves."""
    require(principal, role, team_of(tx, principal, model))


def _end_local(tx: Transaction, row: EndpointRow) -> None:
    """Gateways that served under revisions of their own follow the control plane again."""
    for detail in store.list_local_revisions(tx, row.model):
        store.set_state(tx, (row.model, detail.revision.number), RevisionState.SUPERSEDED, ended_at=tx.now())


def _move(tx: Transaction, row: EndpointRow, live: int | None, coming: int | None) -> None:
    """Points the endpoint to other revisions, and keeps the versions that they name from being retired."""
    moved = msgspec.structs.replace(row, live=live, coming=coming)
    before, after = _used(tx, row), _used(tx, moved)
    store.update_endpoint(tx, moved)
    holder = f"endpoint:{row.model}"
    for version in sorted(after - before):
        put_hold(tx, row.model, version, holder, "it is served, or about to be")
    for version in sorted(before - after):
        release_hold(tx, row.model, version, holder)
    note_reads(tx, moved)


def note_reads(tx: Transaction, row: EndpointRow) -> None:
    """Has the features keep online what the endpoint's versions read, and the champion before, which a rollback leads to."""
    details = [None if number is None else store.find_revision(tx, row.model, number) for number in (row.live, row.coming)]
    live, coming = (None if one is None else one.revision.traffic for one in details)
    past = (one.revision.traffic.champion for one in itertools.islice(earlier(tx, row.model), MOST_REVISIONS) if one.active_at is not None)
    before = None if live is None else next((champion for champion in past if champion != live.champion), None)
    keep_read(tx, row, (live, coming), before)


def note_all_reads(tx: Transaction) -> None:
    """The same of every endpoint: for what was served before that was noted."""
    for row in store.list_endpoints(tx, None):
        note_reads(tx, row)


def _used(tx: Transaction, row: EndpointRow) -> set[int]:
    found = (store.find_revision(tx, row.model, number) for number in (row.live, row.coming) if number is not None)
    return {version for detail in found if detail is not None for version in detail.revision.traffic.versions}


def _latest(tx: Transaction, principal: Principal, model: ModelName) -> Traffic:
    """The traffic that is coming, or else live: what the next change builds on."""
    row = _seen(tx, principal, model)
    detail = newest(tx, row)
    if detail is None:
        raise NoSuchEndpoint(f"{model} is not served", hint=f"propose a revision first: yard ship {model}")
    return detail.revision.traffic


def newest(snapshot: Snapshot, row: EndpointRow) -> RevisionDetail | None:
    """The revision that is coming, or else live."""
    number = row.coming if row.coming is not None else row.live
    return None if number is None else store.find_revision(snapshot, row.model, number)


def _seen(snapshot: Snapshot, principal: Principal, model: ModelName) -> EndpointRow:
    row = store.find_endpoint(snapshot, model)
    if row is None or not principal.may(Role.VIEWER, row.team_id):
        known = [one.model for one in store.list_endpoints(snapshot, principal.teams)]
        raise NoSuchEndpoint(f"no model {model[:80]!r} is served", hint=nearest(model, known))
    return row


def _endpoint(snapshot: Snapshot, row: EndpointRow) -> Endpoint:
    live, coming = (None if number is None else store.find_revision(snapshot, row.model, number) for number in (row.live, row.coming))
    return Endpoint(
        model=row.model,
        team_id=row.team_id,
        created_at=row.created_at,
        live=None if live is None else _with_switches(snapshot, live),
        coming=coming,
        local=tuple(_with_switches(snapshot, one) for one in store.list_local_revisions(snapshot, row.model)),
    )


def _with_switches(snapshot: Snapshot, detail: RevisionDetail) -> RevisionDetail:
    switches = store.list_switches(snapshot, detail.revision.model, detail.revision.number)
    return msgspec.structs.replace(detail, switches=switches)


def _record(tx: Transaction, actor: str, row: EndpointRow, kind: str, data: dict[str, Any]) -> None:
    subject, team = f"endpoint:{row.model}", TeamId(row.team_id)
    record(tx, NewEntry(type=kind, subject=subject, actor=actor, team_id=team, data=data))
