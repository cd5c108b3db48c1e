"""Delivery's use cases: declare, ship, decide, cancel, trigger. Each opens no transaction of its own and writes the ledger."""

from datetime import timedelta
from pathlib import Path

import msgspec
from cronsim import CronSim, CronSimError

from modelyard.access.domain import LOCAL, SYSTEM, Principal, Role, TeamId
from modelyard.access.service import require
from modelyard.core.clock import SECOND, Instant, instant, moment
from modelyard.core.digests import Digest, digest_of
from modelyard.core.errors import InvalidInput, NotFound
from modelyard.core.ids import new_id
from modelyard.core.names import nearest
from modelyard.delivery import store
from modelyard.delivery.declaration import InvalidModel, ModelDeclaration
from modelyard.delivery.domain import (
    Approval,
    ApprovalId,
    ApprovalIsDecided,
    ApprovalState,
    AuthorMayNotApprove,
    Cause,
    CauseKind,
    Delivery,
    DeliveryDetail,
    DeliveryId,
    DeliveryState,
    ModelNotDeclared,
    NewDelivery,
    StageName,
)
from modelyard.delivery.expressions import checked_expression
from modelyard.delivery.machine import begun, cancelled, detail_of, new_delivery_id, woken
from modelyard.delivery.reproductions import get_reproduction as get_reproduction
from modelyard.delivery.reproductions import list_reproductions as list_reproductions
from modelyard.delivery.reproductions import list_version_reproductions as list_version_reproductions
from modelyard.delivery.reproductions import start_reproduction as start_reproduction
from modelyard.features.service import apply_set, apply_view, resolved_set, typed_like
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import advance, cursor, list_events, record
from modelyard.monitoring.domain import AlertKind
from modelyard.monitoring.domain.watching import NewWatch
from modelyard.monitoring.service import list_open_alerts, set_monitors
from modelyard.registry.domain import ModelName, NewModel
from modelyard.registry.service import ensure_model
from modelyard.storage.database import Database, Snapshot, Transaction

MOST_LISTED = 500
MOST_ON_A_PAGE = 100
CONSUMER = "delivery"
ALERT_OPENED = "monitoring.alert_opened"
FOLLOWED_AT_ONCE = 100
LEAST_PAUSE_S = 86_400.0
"""Before an alert that stays open is taken up again: outcomes come by the day."""


class DeclaredModel(msgspec.Struct, frozen=True, kw_only=True):
    """A declaration as it was applied, with its project's source by digest, and the folder that its data paths start from."""

    declaration: ModelDeclaration
    source: Digest
    root: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a plan."""

    kind: str
    what: str
    name: str
    detail: str = ""


class ModelPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What applying a declaration would change; nothing where `changes` is empty."""

    model: str
    changes: tuple[Change, ...]


class AppliedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model's current declaration and its digest."""

    digest: Digest
    declared: DeclaredModel


def declare_model(database: Database, principal: Principal, body: DeclaredModel) -> AppliedModel:
    """Makes a declaration the current one of its model, and its views and feature set the ones under their names.

    Types that a declaration leaves open are read from the sources. The same declaration again changes nothing. Raises
    BadExpression and InvalidModel for gates and schedules that mean nothing, SourceUnreadable, and NotAllowed.
    """
    declaration = body.declaration
    require(principal, Role.CONTRIBUTOR, TeamId(declaration.team))
    for gate in declaration.gates:
        checked_expression(gate.expression)
    resolved = resolved_set(declaration.features, Path(body.root))
    body = msgspec.structs.replace(body, declaration=msgspec.structs.replace(declaration, features=resolved))
    return database.write(lambda tx: _declared(tx, principal, body))


def _declared(tx: Transaction, principal: Principal, body: DeclaredModel) -> AppliedModel:
    declaration, team = body.declaration, TeamId(body.declaration.team)
    before = find_declared(tx, declaration.name)
    if before is not None:
        require(principal, Role.CONTRIBUTOR, TeamId(before.declared.declaration.team))
    due = next_due(declaration.retrain.schedule, tx.now()) if declaration.retrain.schedule else None
    applied = AppliedModel(digest=_digest(body), declared=body)
    if before is not None and before.digest == applied.digest:
        return before
    ensure_model(tx, principal, _model(declaration))
    if declaration.monitors:
        watch = NewWatch(monitors=declaration.monitors, is_binary=declaration.task == "binary", team_id=team)
        set_monitors(tx, principal, ModelName(declaration.name), watch)
    for view in declaration.features.views:
        apply_view(tx, principal, view, body.root, team)
    apply_set(tx, principal, declaration.features, team)
    store.put_declaration(tx, team, declaration.name, applied.digest, msgspec.json.encode(body))
    data = {"digest": applied.digest, "declaration": declaration.digest, "source": body.source}
    record(tx, NewEntry(type="delivery.model_declared", subject=f"model:{declaration.name}", actor=principal.id, data=data))
    if due is not None:
        fired = store.find_trigger(tx, declaration.name)
        store.put_trigger(tx, team, declaration.name, fired[0] if fired else tx.now(), due)
    return applied


def _model(declaration: ModelDeclaration) -> NewModel:
    return NewModel(
        name=ModelName(declaration.name),
        team_id=TeamId(declaration.team),
        owner=declaration.owner,
        purpose=declaration.purpose,
        risk=declaration.risk,
    )


def plan_model(snapshot: Snapshot, body: DeclaredModel) -> ModelPlan:
    """What applying a declaration would change: the model, and each feature view that it reads."""
    declaration = body.declaration
    before = find_declared(snapshot, declaration.name)
    if before is not None:  # types that are left open were read when it was applied
        features = typed_like(declaration.features, before.declared.declaration.features)
        declaration = msgspec.structs.replace(declaration, features=features)
    changes: list[Change] = []
    if before is None:
        changes.append(
            Change(kind="add", what="model", name=declaration.name, detail=f"owner {declaration.owner}, {declaration.risk} risk")
        )
    elif before.declared.declaration.digest != declaration.digest:
        detail = ", ".join(_differing(before.declared.declaration, declaration))
        changes.append(Change(kind="change", what="model", name=declaration.name, detail=detail))
    elif before.declared.source != body.source:
        changes.append(Change(kind="change", what="model", name=declaration.name, detail="its source"))
    known = {view.name: view.digest for view in before.declared.declaration.features.views} if before else {}
    changes += [
        Change(kind="change" if view.name in known else "read", what="view", name=view.name, detail=view.digest[7:19])
        for view in declaration.features.views
        if known.get(view.name) != view.digest
    ]
    return ModelPlan(model=declaration.name, changes=tuple(changes))


def _differing(before: ModelDeclaration, after: ModelDeclaration) -> list[str]:
    return [name for name in after.__struct_fields__ if getattr(before, name) != getattr(after, name)]


def find_declared(snapshot: Snapshot, model: str, digest: Digest | None = None) -> AppliedModel | None:
    """The model's current declaration, or the one of that digest."""
    found = store.find_declaration(snapshot, model, digest)
    return None if found is None else AppliedModel(digest=found[0], declared=msgspec.json.decode(found[1], type=DeclaredModel))


def get_declared(snapshot: Snapshot, model: str) -> AppliedModel:
    """The model's current declaration. Raises ModelNotDeclared."""
    found = find_declared(snapshot, model)
    if found is None:
        names = [one.declared.declaration.name for one in list_declared(snapshot)]
        raise ModelNotDeclared(f"no model {model[:60]!r} is declared", hint=f"yard apply declares it; {nearest(model, names)}")
    return found


def list_declared(snapshot: Snapshot) -> list[AppliedModel]:
    """The current declarations, by model."""
    return [
        AppliedModel(digest=digest, declared=msgspec.json.decode(found, type=DeclaredModel))
        for digest, found in store.list_declarations(snapshot)
    ]


def start_delivery(tx: Transaction, principal: Principal, body: NewDelivery) -> Delivery:
    """Starts a delivery of the model as it is declared now. Raises ModelNotDeclared, DeliveryUnderWay and NotAllowed."""
    applied = get_declared(tx, body.model)
    team = TeamId(applied.declared.declaration.team)
    require(principal, Role.CONTRIBUTOR, team)
    delivery = Delivery(
        id=new_delivery_id(),
        team_id=team,
        model=body.model,
        cause=Cause(kind=body.kind, actor=principal.id, detail=body.detail[:400]),
        declaration=applied.digest,
        state=DeliveryState.RUNNING,
        created_at=tx.now(),
        created_wall_at=tx.wall(),
        until=body.until,
        parameters=body.parameters,
    )
    return begun(tx, delivery, f"{team}/{body.key}" if body.key else delivery.id)


def get_delivery(snapshot: Snapshot, principal: Principal, delivery: DeliveryId) -> DeliveryDetail:
    """A delivery with its stages. Raises NotFound, also where it is another team's."""
    found = detail_of(snapshot, delivery)
    if not principal.may(Role.VIEWER, found.delivery.team_id):
        raise NotFound(f"there is no delivery {delivery[:80]}", hint="yard status lists those under way")
    return found


def list_deliveries(
    snapshot: Snapshot, principal: Principal, model: str | None = None, state: DeliveryState | None = None, before: str | None = None
) -> list[Delivery]:
    """Deliveries of the caller's teams, newest first, at most 100; `before` is the last id of the page before."""
    return store.list_deliveries(snapshot, model, state, before, MOST_ON_A_PAGE, teams=principal.teams)


def cancel_delivery(tx: Transaction, principal: Principal, delivery: DeliveryId, reason: str) -> DeliveryDetail:
    """Ends a delivery that is under way; what it has released stays as it is."""
    detail = get_delivery(tx, principal, delivery)
    require(principal, Role.CONTRIBUTOR, detail.delivery.team_id)
    return cancelled(tx, delivery, principal.id, _reason(reason), DeliveryState.CANCELLED)


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
    return _decide(tx, principal, approval, ApprovalState.REJECTED, _reason(reason))


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


def next_due(cron: str, after: Instant) -> Instant:
    """The next instant behind `after` that a cron expression names, in UTC. Raises InvalidModel."""
    try:
        return instant(next(CronSim(cron, moment(after) + timedelta(microseconds=1))))
    except (CronSimError, StopIteration) as error:
        raise InvalidModel(
            f"{cron!r} names no time: {error}", hint="on.schedule('0 3 1 * *') is the first of each month at three"
        ) from error


def fire_schedules(tx: Transaction) -> list[DeliveryId]:
    """Starts a delivery for each model whose schedule is due; one whose model is being delivered waits for the next time."""
    started = []
    for applied in list_declared(tx):
        declaration = applied.declared.declaration
        found = store.find_trigger(tx, declaration.name)
        if not declaration.retrain.schedule or found is None or tx.now() < found[1]:
            continue
        fired_at, due = found
        due_next = next_due(declaration.retrain.schedule, tx.now())
        free = not store.list_deliveries(tx, declaration.name, DeliveryState.RUNNING, None, 1)
        store.put_trigger(tx, declaration.team, declaration.name, tx.now() if free else fired_at, due_next)
        if free:
            body = NewDelivery(model=declaration.name, key=f"schedule/{declaration.name}/{due}", kind=CauseKind.SCHEDULE)
            started.append(start_delivery(tx, SYSTEM, body).id)
    return started


def fire_degradation(tx: Transaction, model: str, alert: str, detail: str, *, pause_s: float = 0.0) -> DeliveryId | None:
    """Starts a delivery because performance fell, where the declaration asks for it and its cooldown, or `pause_s`, has passed."""
    applied = find_declared(tx, model)
    if applied is None or not applied.declared.declaration.retrain.degradation:
        return None
    declaration = applied.declared.declaration
    fired_at, due = store.find_trigger(tx, model) or (Instant(0), Instant(2**62))
    rests = tx.now() - fired_at < max(declaration.retrain.cooldown_s, pause_s) * SECOND
    if rests or store.list_deliveries(tx, model, DeliveryState.RUNNING, None, 1):
        return None
    store.put_trigger(tx, declaration.team, model, tx.now(), due)
    body = NewDelivery(model=model, key=f"degradation/{alert}/{fired_at}", kind=CauseKind.DEGRADATION, detail=detail)
    return start_delivery(tx, SYSTEM, body).id


def follow_alerts(tx: Transaction) -> list[DeliveryId]:
    """Starts deliveries for degradations that opened since the last time, where that was asked for.

    One that stays open, and that nobody has silenced, is taken up again after the cooldown, and a day at least: what was
    learned before may have been refused, or there was no time for it.
    """
    position = cursor(tx, CONSUMER)
    events = list_events(tx, position, (ALERT_OPENED,), FOLLOWED_AT_ONCE)
    if events:
        advance(tx, CONSUMER, events[-1].index, after=position)
    opened = [event for event in events if event.data.get("kind") == AlertKind.DEGRADATION]
    found = [
        fire_degradation(tx, str(event.data["model"]), event.subject.removeprefix("alert:"), str(event.data["title"])) for event in opened
    ]
    for alert in list_open_alerts(tx, SYSTEM):
        is_silenced = alert.silence is not None and tx.now() < alert.silence.until_at
        if alert.kind is AlertKind.DEGRADATION and alert.model is not None and not is_silenced:
            found.append(fire_degradation(tx, alert.model, alert.id, alert.title, pause_s=LEAST_PAUSE_S))
    return [one for one in found if one is not None]


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


def _reason(text: str) -> str:
    if not text.strip():
        raise InvalidInput("a reason is missing", hint="say why; it is recorded")
    return text.strip()[:2000]


def _digest(body: DeclaredModel) -> Digest:
    return digest_of([body.declaration.digest, body.source])
