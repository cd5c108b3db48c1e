"""Approvals: asked for once a delivery waits, decided once, by whom may. Owns who that is; how a delivery goes on is `machine`'s."""

import msgspec

from modelyard.access.domain import LOCAL, SYSTEM, Principal, Role
from modelyard.access.service import require
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
    record(tx, NewEntry(type="delivery.approval_asked", subject=f"model:{delivery.model}/{version}", actor=SYSTEM.id, data=data))
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


def _decide(tx: Transaction, principal: Principal, approval: ApprovalId, state: ApprovalState, reason: str) -> Approval:
    found = store.find_approval(tx, approval)
    if found is None or not principal.may(Role.VIEWER, found.team_id):
        raise NotFound(f"there is no approval {approval[:80]}", hint="yard status lists what waits for whom")
    require(principal, Role.APPROVER, found.team_id)
    if found.state is not ApprovalState.WAITING:
        raise ApprovalIsDecided(f"{approval} was {found.state} by {found.decided_by}", hint=f"yard status {found.model}")
    if state is ApprovalState.APPROVED and principal.id == found.author:
        who, hint = principal.name, "ask another approver of the team"
        if principal.id == LOCAL.id:
            who, hint = (
                "without logins everybody is the author, who",
                "invite a person with yard user add NAME --role approver, leave out --no-login",
            )
        raise AuthorMayNotApprove(f"{who} started this delivery of {found.model}", hint=hint)
    return _decided(tx, found, principal, state, reason)


def _decided(tx: Transaction, asked: Approval, principal: Principal, state: ApprovalState, reason: str) -> Approval:
    decided = msgspec.structs.replace(asked, state=state, decided_by=principal.id, decided_at=tx.now(), reason=reason[:2000])
    store.put_approval(tx, decided)
    kind = "delivery.approved" if state is ApprovalState.APPROVED else "delivery.rejected"
    data = {
        "approval": asked.id,
        "delivery": asked.delivery,
        "version": asked.version,
        "by_policy": decided.by_policy,
        "reason": decided.reason,
    }
    record(tx, NewEntry(type=kind, subject=f"model:{asked.model}/{asked.version}", actor=principal.id, data=data))
    woken(tx, asked.delivery, StageName.APPROVE)
    return decided


def checked_reason(text: str) -> str:
    """The reason without its margins. Raises InvalidInput where there is none."""
    if not text.strip():
        raise InvalidInput("a reason is missing", hint="say why; it is recorded")
    return text.strip()[:2000]
