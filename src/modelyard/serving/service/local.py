"""Rollbacks that gateways made by themselves while they were cut off, taken over as they report them.

Owns the one rule: what was rolled away from does not come back by itself. Where the newest revision still answers with it, the
rollback becomes the next revision of all gateways; where it does not, that revision stands.
"""

import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.clock import Instant
from modelyard.core.errors import ModelyardError
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.registry.domain import ModelName
from modelyard.serving import rules, store
from modelyard.serving.domain import OWN_NUMBERS, Deployment, Held, OwnRevision, RevisionState
from modelyard.serving.service.revisions import earlier, newest, propose
from modelyard.serving.store.endpoints import EndpointRow
from modelyard.storage.database import Snapshot, Transaction

LONGEST_WORDS = 400


def take_over(tx: Transaction, principal: Principal, gateway: str, own: Sequence[OwnRevision]) -> tuple[tuple[ModelName, int], ...]:
    """Makes a gateway's own revisions part of the record, and decides about the last of each model; their names."""
    last = {one.revision.model: one for one in own}
    for one in own:
        row = store.find_endpoint(tx, one.revision.model)
        is_new = store.find_revision(tx, one.revision.model, one.revision.number) is None
        if row is None or one.revision.number < OWN_NUMBERS:
            logging.getLogger("modelyard.serving").warning("%s reports a revision that cannot be: %s", gateway, one.revision)
        elif is_new:
            _taken_over(tx, principal, (gateway, row), one, is_last=last[row.model] is one)
    return tuple((one.revision.model, one.revision.number) for one in own)


def standing(snapshot: Snapshot, held: Sequence[Held]) -> dict[ModelName, int]:
    """The own revisions that a gateway goes on under, by model: those that no revision of the control plane has followed yet."""
    mine = [one for one in held if one.revision >= OWN_NUMBERS and one.active_at is not None]
    found = {one.model: store.find_revision(snapshot, one.model, one.revision) for one in mine}
    return {model: one.revision.number for model, one in found.items() if one is not None and one.state is RevisionState.LOCAL}


def _taken_over(tx: Transaction, principal: Principal, where: tuple[str, EndpointRow], own: OwnRevision, *, is_last: bool) -> None:
    gateway, row = where
    revision = msgspec.structs.replace(
        own.revision,
        team_id=row.team_id,
        actor=principal.id,
        cause=own.revision.cause[:LONGEST_WORDS],
        proposed_at=min(own.revision.proposed_at, tx.now()),
    )
    store.pass_number(tx, gateway, revision.number)
    # Before the next revision is proposed: the versions must be known, and the outcome says what became of it.
    versions = tuple(store.find_version(tx, row.model, number) for number in revision.traffic.versions)
    known = tuple(version for version in versions if version is not None)
    outcome = _decided(tx, principal, gateway, own) if is_last else {"outcome": "followed", "followed_by": "another of this gateway"}
    after = store.find_endpoint(tx, row.model)
    stands = is_last and after is not None and after.coming is not None and outcome["outcome"] != "refused"
    if len(known) == len(versions):
        state = RevisionState.LOCAL if stands else RevisionState.SUPERSEDED
        store.insert_revision(tx, Deployment(revision=revision, versions=known), state)
    data: dict[str, Any] = {
        "revision": revision.number,
        "gateway": gateway,
        "base": own.base,
        "away": list(own.away),
        "traffic": msgspec.to_builtins(revision.traffic),
        "cause": revision.cause,
        "decided_at": revision.proposed_at,
        "decided_wall_at": Instant(min(own.decided_at, tx.wall())),
        **outcome,
    }
    entry = NewEntry(
        type="serving.rolled_back_locally",
        subject=f"endpoint:{row.model}",
        actor=principal.id,
        team_id=row.team_id,
        data=data,
        personal={"by": own.by[:LONGEST_WORDS]},
    )
    record(tx, entry)


def _decided(tx: Transaction, principal: Principal, gateway: str, own: OwnRevision) -> dict[str, Any]:
    """What becomes of an own revision by the rule, as its entry says it."""
    model = own.revision.model
    row = store.find_endpoint(tx, model)
    now = None if row is None else newest(tx, row)
    if now is None:
        return {"outcome": "met", "followed_by": None}
    if not rules.answering(now.revision.traffic) & set(own.away):
        return {"outcome": "met", "followed_by": now.revision.number}
    cause = f"rolled back at gateway {gateway} while it was cut off: {own.revision.cause}"[:LONGEST_WORDS]
    try:
        traffic = rules.rolled_back(now.revision.traffic, earlier(tx, model), own.revision.traffic.champion)
        made = propose(tx, principal, model, traffic, cause)
    except ModelyardError as error:
        # A version that was retired meanwhile, say, or never was champion: then it serves nowhere, also not at this gateway.
        return {"outcome": "refused", "why": error.message, "followed_by": now.revision.number}
    return {"outcome": "stands", "followed_by": made.revision.number, "instead_of": now.revision.number}
