"""Approvals: asked for once a delivery waits, decided once, by whom may. Owns who that is; how a delivery goes on is `machine`'s."""

import msgspec

from modelyard.access.domain import LOCAL, LOCAL_COMMANDS, SYSTEM, Principal, Role
from modelyard.access.service import principal_names, require
from modelyard.core.errors import InvalidInput, NotFound
from modelyard.core.ids import new_id
from modelyard.delivery import store
from modelyard.delivery.domain import (
    Approval,
    ApprovalId,
    ApprovalIsDecided,
    ApprovalState,
    AuthorMayNotApprove,
    Delivery,
    DeliveryId,
    StageName,
)
from modelyard.delivery.machine import woken
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Snapshot, Transaction

MOST_LISTED = 500


def ask_approval(tx: Transaction, delivery: Delivery, version: int, why: str) -> Approval:
    """The approval that the delivery waits for, asked now unless it was before."""
    found = store.find_approval(tx, delivery.id)
    if found is not None:
        return found
    approval = Approval(
        id=ApprovalId(new_id("apr")),
        team_id=delivery.team_id,
        delivery=delivery.id,
        model=delivery.model,
        version=version,
        state=ApprovalState.WAITING,
        asked_at=tx.now(),
        author=delivery.cause.actor,
        why_asked=why,
    )
    store.put_approval(tx, approval)
    data = {"approval": approval.id, "delivery": delivery.id, "version": version, "why": why}
    record(
        tx,
        NewEntry(
            type="delivery.approval_asked",
            subject=f"model:{delivery.model}/{version}",
            actor=SYSTEM.id,
            data=data,
            team_id=delivery.team_id,
        ),
    )
    return approval


def approve(tx: Transaction, principal: Principal, approval: ApprovalId, reason: str = "") -> Approval:
    """Approves; the delivery goes on. Raises AuthorMayNotApprove, ApprovalIsDecided and NotAllowed."""
    return _decide(tx, principal, approval, ApprovalState.APPROVED, reason)


def reject(tx: Transaction, principal: Principal, approval: ApprovalId, reason: str) -> Approval:
    """Rejects, with a reason; the delivery ends as refused. Raises ApprovalIsDecided and NotAllowed."""
    return _decide(tx, principal, approval, ApprovalState.REJECTED, checked_reason(reason))


def approve_by_policy(tx: Transaction, delivery: Delivery, version: int, reason: str) -> Approval:
    """The approval that a policy gives in nobody's name: it says so, and bears the policy's reason."""
    asked = ask_approval(tx, delivery, version, reason)
    if asked.state is not ApprovalState.WAITING:
        return asked
    return _decided(tx, msgspec.structs.replace(asked, by_policy=True), SYSTEM, ApprovalState.APPROVED, reason)


def find_approval(snapshot: Snapshot, delivery: DeliveryId) -> Approval | None:
    """The approval that was asked for a delivery."""
    return store.find_approval(snapshot, delivery)


def list_approvals(snapshot: Snapshot, principal: Principal, state: ApprovalState | None = None) -> list[Approval]:
    """Approvals of the caller's teams, newest first, at most 500."""
    return store.list_approvals(snapshot, state, MOST_LISTED, teams=principal.teams)


def find_bar(snapshot: Snapshot, principal: Principal, approval: Approval) -> AuthorMayNotApprove | None:
    """Why this approver may not approve: no person, or an author of the delivery.

    Authors are who started it, and who first declared and who last made current what it ships.
    Where this machine's own commands alone made it current and started it, that may be anybody, the approver as well.
    """
    if principal.kind != "person":
        return AuthorMayNotApprove(f"{principal.name} is no person; {approval.why_asked}", hint="have an approver of the team log in")
    delivery = store.find_delivery(snapshot, approval.delivery)
    authors = (store.find_authors(snapshot, delivery.declaration) if delivery else None) or store.Authors()
    deeds = {
        authors.made_current_by: f"made current what this delivery of {approval.model} ships",
        authors.declared_by: f"declared what this delivery of {approval.model} ships",
        approval.author: f"started this delivery of {approval.model}",
    }
    if principal.id in deeds:
        if principal.id == LOCAL.id:
            who = "without logins everybody is the author, who"
            hint = "invite a person with yard user add NAME --role approver, leave out --no-login"
            return AuthorMayNotApprove(f"{who} {deeds[principal.id]}", hint=hint)
        return AuthorMayNotApprove(f"{principal.name} {deeds[principal.id]}", hint="ask another approver of the team")
    latest = {one for one in (authors.made_current_by, approval.author) if one is not None and one != SYSTEM.id}
    if set(principal_names(snapshot, latest).values()) == {LOCAL_COMMANDS}:
        who = f"{LOCAL_COMMANDS}, whose token whoever reads the data folder has,"
        hint = f"reject it, then yard login and yard ship {approval.model} under an account of one's own"
        return AuthorMayNotApprove(f"{who} is the only author of this delivery of {approval.model}", hint=hint)
    return None


def _decide(tx: Transaction, principal: Principal, approval: ApprovalId, state: ApprovalState, reason: str) -> Approval:
    found = store.find_approval(tx, approval)
    if found is None or not principal.may(Role.VIEWER, found.team_id):
        raise NotFound(f"there is no approval {approval[:80]}", hint="yard status lists what waits for whom")
    require(principal, Role.APPROVER, found.team_id)
    if found.state is not ApprovalState.WAITING:
        raise ApprovalIsDecided(f"{approval} was {found.state} by {found.decided_by}", hint=f"yard status {found.model}")
    bar = find_bar(tx, principal, found) if state is ApprovalState.APPROVED else None
    if bar is not None:
        raise bar
    return _decided(tx, found, principal, state, reason)


def _decided(tx: Transaction, asked: Approval, principal: Principal, state: ApprovalState, reason: str) -> Approval:
    decided = msgspec.structs.replace(asked, state=state, decided_by=principal.id, decided_at=tx.now(), reason=reason[:2000])
    kind = "delivery.approved" if state is ApprovalState.APPROVED else "delivery.rejected"
    data = {
        "approval": asked.id,
        "delivery": asked.delivery,
        "version": asked.version,
        "by_policy": decided.by_policy,
        "reason": decided.reason,
    }
    new = NewEntry(type=kind, subject=f"model:{asked.model}/{asked.version}", actor=principal.id, data=data, team_id=asked.team_id)
    entry = record(tx, new)
    decided = msgspec.structs.replace(decided, entry=entry)
    store.put_approval(tx, decided)
    woken(tx, asked.delivery, StageName.APPROVE)
    return decided


def checked_reason(text: str) -> str:
    """The reason without its margins. Raises InvalidInput where there is none."""
    if not text.strip():
        raise InvalidInput("a reason is missing", hint="say why; it is recorded")
    return text.strip()[:2000]
