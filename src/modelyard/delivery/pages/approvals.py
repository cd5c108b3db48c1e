"""The page of approvals: what waits, with its evidence, and what was decided lately. Owns its context and the two decisions."""

import msgspec

from modelyard.access.domain import Principal, Role
from modelyard.access.service import principal_names
from modelyard.core.clock import SECOND
from modelyard.delivery import service
from modelyard.delivery.domain import Approval, ApprovalId, ApprovalState, Delivery, StageName
from modelyard.delivery.pages.evidence import Evidence, TrainFacts, evidence_of, read_facts
from modelyard.delivery.pages.words import cause_of
from modelyard.storage.database import Snapshot, Transaction
from modelyard.web.pages import Done

PATH = "/approvals"
MOST_WAITING = 25
MOST_DECIDED = 30


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """An approval that is waited for, with what it rests on. `bar` says why the viewer may not approve; empty where they may."""

    approval: Approval
    delivery: Delivery
    evidence: Evidence
    trained: TrainFacts
    cause: str
    bar: str
    may_reject: bool


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """An approval that was decided: by whom, and how long it took in seconds."""

    approval: Approval
    decider: str
    took_s: float


class ApprovalsPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `delivery/approvals.html`. `mine` is how many of those that wait the viewer may approve."""

    waiting: tuple[Waiting, ...]
    more: int
    mine: int
    decided: tuple[Decided, ...]
    topics: str


def show_approvals(snapshot: Snapshot, principal: Principal) -> ApprovalsPage:
    """What waits for an approver, oldest first, and what was decided lately."""
    found = service.list_approvals(snapshot, principal)
    open_ones = [one for one in reversed(found) if one.state is ApprovalState.WAITING]
    closed = sorted((one for one in found if one.decided_at is not None), key=lambda one: -(one.decided_at or 0))[:MOST_DECIDED]
    names = principal_names(snapshot, {one.decided_by for one in closed if one.decided_by})
    waiting = tuple(_waiting(snapshot, principal, one) for one in open_ones[:MOST_WAITING])
    return ApprovalsPage(
        waiting=waiting,
        more=len(open_ones) - len(waiting),
        mine=sum(not one.bar for one in waiting),
        decided=tuple(
            Decided(
                approval=one,
                decider="policy" if one.by_policy or not one.decided_by else names[one.decided_by],
                took_s=((one.decided_at or one.asked_at) - one.asked_at) / SECOND,
            )
            for one in closed
        ),
        topics=" ".join(sorted({f"model:{one.model}" for one in found})[:50]),
    )


def approve(tx: Transaction, principal: Principal, approval: ApprovalId, reason: str = "") -> Done:
    """Approves; the delivery goes on."""
    decided = service.approve(tx, principal, approval, reason.strip())
    return Done(PATH, f"{decided.model} v{decided.version} is approved; its rollout begins.")


def reject(tx: Transaction, principal: Principal, approval: ApprovalId, reason: str) -> Done:
    """Rejects; the delivery ends as refused."""
    decided = service.reject(tx, principal, approval, reason)
    return Done(PATH, f"{decided.model} v{decided.version} is rejected; its delivery ends.")


def _waiting(snapshot: Snapshot, principal: Principal, approval: Approval) -> Waiting:
    detail = service.get_delivery(snapshot, principal, approval.delivery)
    names = principal_names(snapshot, {detail.delivery.cause.actor})
    may = principal.may(Role.APPROVER, approval.team_id)
    bar = f"An approver of the team {approval.team_id} decides."
    if may:
        found = service.find_bar(snapshot, principal, approval)
        bar = f"{found.message}: {found.hint}." if found else ""
    return Waiting(
        approval=approval,
        delivery=detail.delivery,
        evidence=evidence_of(detail),
        trained=read_facts(detail.facts(StageName.TRAIN), TrainFacts),
        cause=cause_of(detail.delivery, names),
        bar=bar,
        may_reject=may,
    )
