"""The state machine in the database: stages are claimed under a lease and a fence, and end in one fenced transaction.

Owns the transitions and their durability. What a stage does is `stages`' business; this module never runs one.
"""

import contextlib
from collections.abc import Callable

import msgspec

from modelyard.access.domain import SYSTEM, PrincipalId
from modelyard.core.clock import SECOND, Instant
from modelyard.core.errors import NotFound
from modelyard.core.ids import new_id
from modelyard.delivery import store
from modelyard.delivery.domain import (
    ENDED,
    Claim,
    Delivery,
    DeliveryDetail,
    DeliveryId,
    DeliveryState,
    DeliveryUnderWay,
    Facts,
    FencedOff,
    Stage,
    StageName,
    StageState,
)
from modelyard.delivery.rules import completed, first_stages, is_spent, may_retry, stopped
from modelyard.ledger.domain import EntryId, NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking.domain import NoSuchRun, NotActive, RunId, RunStatus
from modelyard.tracking.service import finish_run, get_run_facts

RUN_ENDS = {DeliveryState.DONE: RunStatus.FINISHED, DeliveryState.CANCELLED: RunStatus.KILLED}
Apply = Callable[[Transaction], Facts]
"""Changes that a stage makes to the records: run in the transaction that ends it, so they happen once or not at all."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The stage found out `facts`; `apply` makes its changes and may add facts."""

    facts: Facts
    apply: Apply | None = None


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery ends here: a gate refused it, or what was rolled out was taken back."""

    state: DeliveryState
    reason: str
    facts: Facts
    apply: Apply | None = None


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """The stage goes on at `wake_at`, or when something wakes it. `facts` are kept for it."""

    wake_at: Instant | None
    facts: Facts
    reason: str = ""
    apply: Apply | None = None


Outcome = Done | Stopped | Waits


def begun(tx: Transaction, delivery: Delivery, key: str) -> Delivery:
    """The delivery that `key` stands for: `delivery`, begun now, or the one that was begun under that key before.

    Raises DeliveryUnderWay where the model has one that has not ended.
    """
    before = store.find_by_key(tx, key)
    if before is not None:
        return before
    running = store.list_deliveries(tx, delivery.model, DeliveryState.RUNNING, None, 1)
    if running:
        raise DeliveryUnderWay(f"{delivery.model} is being delivered by {running[0].id}", hint=f"yard status {delivery.model}")
    store.put_delivery(tx, delivery, key)
    store.put_stages(tx, first_stages(delivery))
    facts: Facts = {"delivery": delivery.id, "cause": delivery.cause.kind, "detail": delivery.cause.detail}
    facts |= {"declaration": delivery.declaration} | ({"parameters": delivery.parameters} if delivery.parameters else {})
    _recorded(tx, delivery, "delivery.started", delivery.cause.actor, facts)
    return delivery


def is_claimable(snapshot: Snapshot) -> bool:
    """Whether some stage waits to be taken up: a look that keeps nobody else from writing."""
    return store.find_claimable(snapshot, snapshot.now(), snapshot.lease_time()) is not None


def claimed(tx: Transaction, holder: str, lease_s: float) -> tuple[Claim, DeliveryDetail] | None:
    """The right to work on a stage that waits to be taken up, with its delivery; None where there is none.

    A stage that took several workers down with it fails its delivery instead, and the next is looked for the next time.
    """
    lease_now = tx.lease_time()
    stage = store.find_claimable(tx, tx.now(), lease_now)
    if stage is None:
        return None
    if is_spent(stage):
        _given_up(tx, stage)
        return None
    lease_until = Instant(lease_now + round(lease_s * SECOND))
    taken = msgspec.structs.replace(
        stage,
        state=StageState.RUNNING,
        fence=stage.fence + 1,
        attempt=stage.attempt + 1,
        holder=holder,
        started_at=stage.started_at or tx.now(),
        wake_at=None,
    )
    if not store.claim(tx, taken, lease_until):
        return None
    detail = detail_of(tx, stage.delivery)
    return Claim(delivery=stage.delivery, stage=stage.name, fence=taken.fence, holder=holder, lease_until=lease_until), detail


def extended(tx: Transaction, held: Claim, lease_s: float) -> Claim:
    """The claim with a new lease. Raises FencedOff where another worker has taken the stage up."""
    lease_until = Instant(tx.lease_time() + round(lease_s * SECOND))
    if not store.extend_lease(tx, held, lease_until):
        raise _fenced_off(held)
    return msgspec.structs.replace(held, lease_until=lease_until)


def ended(tx: Transaction, held: Claim, outcome: Outcome) -> DeliveryDetail:
    """The delivery after the outcome, with the stage's changes made. Raises FencedOff and changes nothing where the claim was lost."""
    if not store.is_held(tx, held):
        raise _fenced_off(held)
    facts = dict(outcome.facts)
    if outcome.apply is not None:
        facts |= outcome.apply(tx)
    detail = detail_of(tx, held.delivery)
    match outcome:
        case Done():
            data = {"delivery": held.delivery, "stage": held.stage, "facts": facts}
            entry = _recorded(tx, detail.delivery, "delivery.stage_done", SYSTEM.id, data)
            after = completed(detail, held.stage, facts, tx.now(), entry)
        case Stopped():
            after = stopped(detail, held.stage, outcome.state, facts, outcome.reason, tx.now())
        case Waits():
            after = _waiting(detail, held.stage, outcome, facts)
    return _written(tx, after, outcome.reason if isinstance(outcome, Stopped) else "")


def broken(tx: Transaction, held: Claim, reason: str) -> DeliveryDetail:
    """The delivery after the stage broke down: it is tried again later, or the delivery has failed."""
    if not store.is_held(tx, held):
        raise _fenced_off(held)
    detail = detail_of(tx, held.delivery)
    stage = next(one for one in detail.stages if one.name is held.stage)
    if may_retry(stage):
        waits = Waits(wake_at=None, facts=stage.facts, reason=f"attempt {stage.attempt} broke down: {reason}")
        after = _waiting(detail, held.stage, waits, dict(stage.facts), state=StageState.READY)
        return _written(tx, after, "")
    return _written(tx, stopped(detail, held.stage, DeliveryState.FAILED, {}, reason, tx.now()), reason)


def given_back(tx: Transaction, held: Claim) -> None:
    """Has the stage taken up at once by another worker, as if this one had not begun it. Raises FencedOff where the claim was lost."""
    if not store.is_held(tx, held):
        raise _fenced_off(held)
    stage = next(one for one in store.list_stages(tx, held.delivery) if one.name is held.stage)
    store.put_stages(tx, (msgspec.structs.replace(stage, state=StageState.READY, attempt=stage.attempt - 1, holder=""),))


def woken(tx: Transaction, delivery: DeliveryId, name: StageName) -> None:
    """Has a waiting stage taken up at once."""
    for stage in store.list_stages(tx, delivery):
        if stage.name is name and stage.state is StageState.WAITING:
            store.put_stages(tx, (msgspec.structs.replace(stage, state=StageState.READY, wake_at=None),))


def cancelled(tx: Transaction, delivery: DeliveryId, actor: PrincipalId, reason: str, state: DeliveryState) -> DeliveryDetail:
    """The delivery, ended by a decision from outside; a worker that holds a stage of it is fenced off."""
    detail = detail_of(tx, delivery)
    if detail.delivery.state in ENDED:
        return detail
    open_stage = next(stage for stage in detail.stages if stage.state in (StageState.READY, StageState.RUNNING, StageState.WAITING))
    after = stopped(detail, open_stage.name, state, {}, reason, tx.now())
    fenced = tuple(msgspec.structs.replace(one, fence=one.fence + 1) if one.name is open_stage.name else one for one in after.stages)
    return _written(tx, DeliveryDetail(delivery=after.delivery, stages=fenced), reason, actor)


def detail_of(snapshot: Snapshot, delivery: DeliveryId) -> DeliveryDetail:
    """The delivery with its stages. Raises NotFound."""
    found = store.find_detail(snapshot, delivery)
    if found is None:
        raise NotFound(f"there is no delivery {delivery[:80]}", hint="yard status lists those under way")
    return found


def new_delivery_id() -> DeliveryId:
    """A fresh id; ids sort by time."""
    return DeliveryId(new_id("dlv"))


def _waiting(
    detail: DeliveryDetail, name: StageName, outcome: Waits, facts: Facts, *, state: StageState = StageState.WAITING
) -> DeliveryDetail:
    def after(stage: Stage) -> Stage:
        if stage.name is not name:
            return stage
        # Who waits has come this far in good order: only attempts without any end count against a stage.
        attempt = 0 if state is StageState.WAITING else stage.attempt
        wake_at, reason = outcome.wake_at, outcome.reason
        return msgspec.structs.replace(stage, state=state, attempt=attempt, wake_at=wake_at, facts=facts, reason=reason)

    return DeliveryDetail(delivery=detail.delivery, stages=tuple(map(after, detail.stages)))


def _given_up(tx: Transaction, stage: Stage) -> None:
    taken = msgspec.structs.replace(stage, fence=stage.fence + 1)
    if not store.claim(tx, taken, tx.lease_time()):
        return
    reason = f"{stage.attempt} workers ended before {stage.name} did; the last was {stage.holder}"
    _written(tx, stopped(detail_of(tx, stage.delivery), stage.name, DeliveryState.FAILED, {}, reason, tx.now()), reason)


def _written(tx: Transaction, after: DeliveryDetail, reason: str, actor: PrincipalId = SYSTEM.id) -> DeliveryDetail:
    delivery = after.delivery
    if delivery.state in ENDED:
        delivery = msgspec.structs.replace(delivery, ended_wall_at=tx.wall())
        facts = {"delivery": delivery.id, "state": delivery.state, "reason": reason, "version": delivery.version}
        _recorded(tx, delivery, "delivery.ended", actor, facts)
        store.update_delivery(tx, delivery)
        _end_run(tx, delivery)
    store.put_stages(tx, after.stages)
    return DeliveryDetail(delivery=delivery, stages=after.stages)


def _end_run(tx: Transaction, delivery: Delivery) -> None:
    """Ends the delivery's run as the delivery ended, unless its evaluation has; one that somebody deleted stays as it is."""
    if delivery.run is None:
        return
    with contextlib.suppress(NoSuchRun, NotActive):
        run = get_run_facts(tx, SYSTEM, RunId(delivery.run))
        if not run.status.is_final:
            finish_run(tx, SYSTEM, run.id, RUN_ENDS.get(delivery.state, RunStatus.FAILED))


def _recorded(tx: Transaction, delivery: Delivery, kind: str, actor: PrincipalId, data: Facts) -> EntryId:
    return record(tx, NewEntry(type=kind, subject=f"model:{delivery.model}", actor=actor, data=data, team_id=delivery.team_id))


def _fenced_off(held: Claim) -> FencedOff:
    return FencedOff(
        f"{held.holder} no longer holds {held.stage} of {held.delivery} (fence {held.fence})",
        hint="another worker has taken it up; nothing of this attempt was kept",
    )
