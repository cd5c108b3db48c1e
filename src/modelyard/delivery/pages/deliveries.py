"""The pages of deliveries: all, newest first, and one with everything it found out. Owns their contexts, and cancelling."""

from urllib.parse import urlencode

import msgspec

from modelyard.access.domain import Principal, Role, TeamId
from modelyard.access.service import principal_names
from modelyard.core.clock import SECOND
from modelyard.delivery import service
from modelyard.delivery.domain import ENDED, Approval, ApprovalState, Delivery, DeliveryId, DeliveryState, StageName
from modelyard.delivery.pages.evidence import Evidence, SnapshotFacts, StageFacts, TrainFacts, evidence_of, read_facts
from modelyard.delivery.pages.words import CAUSES, STATES, Standing, cause_of, label, standing_of, steps_of
from modelyard.storage.database import Snapshot, Transaction
from modelyard.web.pages import Done
from modelyard.web.parts import Chip, Choice, Moment, Pager, Step

PATH = "/deliveries"
A_PAGE = 40
MOST_NAMED = 3


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as a row of the list."""

    delivery: Delivery
    standing: Standing
    cause: str
    took_s: float | None


class DeliveriesPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `delivery/deliveries.html`. `named` are the first of those that wait for an approver."""

    running: int
    waiting: int
    named: tuple[Approval, ...]
    rows: tuple[Row, ...]
    states: tuple[Chip, ...]
    models: tuple[Choice, ...]
    state: str
    model: str
    topics: str
    pager: Pager


class DeliveryPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `delivery/delivery.html`."""

    delivery: Delivery
    standing: Standing
    steps: tuple[Step, ...]
    evidence: Evidence
    snapshot: SnapshotFacts
    trained: TrainFacts
    staged: StageFacts
    approval: Approval | None
    decider: str
    cause: str
    starter: str
    life: tuple[Moment, ...]
    took_s: float | None
    may_cancel: bool


def show_deliveries(
    snapshot: Snapshot, principal: Principal, state: DeliveryState | None = None, model: str = "", before: str | None = None
) -> DeliveriesPage:
    """Deliveries, newest first, and what is under way."""
    found = service.list_deliveries(snapshot, principal, model or None, state, before)
    shown = found[:A_PAGE]
    running = service.list_deliveries(snapshot, principal, state=DeliveryState.RUNNING)
    waiting = service.list_approvals(snapshot, principal, ApprovalState.WAITING)
    names = principal_names(snapshot, {one.cause.actor for one in shown})
    rows = [
        Row(
            delivery=one,
            standing=standing_of(service.get_delivery(snapshot, principal, one.id)),
            cause=cause_of(one, names),
            took_s=None if one.ended_at is None else (one.ended_at - one.created_at) / SECOND,
        )
        for one in shown
    ]
    kept = {name: str(value) for name, value in (("state", state or ""), ("model", model)) if value}
    return DeliveriesPage(
        running=len(running),
        waiting=len(waiting),
        named=tuple(waiting[-MOST_NAMED:][::-1]),
        rows=tuple(rows),
        states=_chips(state, model, len(running)),
        models=_models(snapshot, principal, model),
        state=state or "",
        model=model,
        topics=" ".join(sorted({f"model:{one.model}" for one in (*shown, *running)})[:50]),
        pager=Pager(
            said=f"{len(shown)} shown",
            first=_address(kept) if before is not None else None,
            next=_address({**kept, "before": shown[-1].id}) if len(found) > A_PAGE else None,
        ),
    )


def show_delivery(snapshot: Snapshot, principal: Principal, delivery: DeliveryId) -> DeliveryPage:
    """One delivery: where it stands and why, and all that its stages found out."""
    detail = service.get_delivery(snapshot, principal, delivery)
    own, evidence = detail.delivery, evidence_of(detail)
    approval = service.find_approval(snapshot, own.id)
    actors = {own.cause.actor} | ({approval.decided_by} if approval and approval.decided_by else set())
    names = principal_names(snapshot, actors)
    decider = names[approval.decided_by] if approval and approval.decided_by else ""
    life = [
        Moment(
            at=stage.ended_at or stage.started_at,
            title=label(stage.name),
            text=_moment_text(stage.reason, stage.attempt),
            tone={"done": "good", "refused": "warn", "failed": "bad", "waiting": "warn"}.get(stage.state, "busy"),  # type: ignore[arg-type]  # literals
        )
        for stage in detail.stages
        if stage.started_at is not None
    ]
    return DeliveryPage(
        delivery=own,
        standing=standing_of(detail),
        steps=steps_of(detail, evidence, _approver(approval, decider)),
        evidence=evidence,
        snapshot=read_facts(detail.facts(StageName.SNAPSHOT), SnapshotFacts),
        trained=read_facts(detail.facts(StageName.TRAIN), TrainFacts),
        staged=read_facts(detail.facts(StageName.STAGE), StageFacts),
        approval=approval,
        decider=decider,
        cause=CAUSES[own.cause.kind],
        starter=names[own.cause.actor],
        life=tuple(reversed(life)),
        took_s=None if own.ended_at is None else (own.ended_at - own.created_at) / SECOND,
        may_cancel=own.state not in ENDED and principal.may(Role.CONTRIBUTOR, own.team_id),
    )


def cancel(tx: Transaction, principal: Principal, delivery: DeliveryId, reason: str) -> Done:
    """Ends a delivery that is under way."""
    before = service.get_delivery(tx, principal, delivery).delivery
    after = service.cancel_delivery(tx, principal, delivery, reason).delivery
    if before.state in ENDED:
        return Done(f"{PATH}/{delivery}", f"It had ended before: {STATES[after.state][1].lower()}.", "warn")
    return Done(f"{PATH}/{delivery}", f"The delivery of {after.model} is cancelled. What it has released stays as it is.")


def _moment_text(reason: str, attempt: int) -> str:
    return ", ".join(filter(None, (reason, f"attempt {attempt}" if attempt > 1 else "")))


def _approver(approval: Approval | None, decider: str) -> str:
    if approval is None or approval.state is ApprovalState.WAITING:
        return ""
    return "by policy" if approval.by_policy else f"{approval.state} by {decider}"


def _chips(state: DeliveryState | None, model: str, running: int) -> tuple[Chip, ...]:
    kept = {"model": model} if model else {}
    chips = [Chip("All", _address(kept), is_on=state is None)]
    for one, (_, word) in STATES.items():
        count = running if one is DeliveryState.RUNNING and not model else None
        chips.append(Chip(word, _address({"state": str(one), **kept}), count=count, is_on=state is one))
    return tuple(chips)


def _models(snapshot: Snapshot, principal: Principal, model: str) -> tuple[Choice, ...]:
    declared = [one.declared.declaration for one in service.list_declared(snapshot)]
    names = sorted({one.name for one in declared if principal.may(Role.VIEWER, TeamId(one.team))} | ({model} - {""}))
    return (Choice("", "any model"), *(Choice(name, name, is_on=name == model) for name in names))


def _address(query: dict[str, str]) -> str:
    return f"{PATH}?{urlencode(query)}" if query else PATH
