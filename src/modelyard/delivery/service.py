"""Delivery's use cases: declare, ship, decide, cancel, trigger. Each opens no transaction of its own and writes the ledger."""

from datetime import timedelta
from pathlib import Path

import msgspec
from cronsim import CronSim, CronSimError

from modelyard.access.domain import LOCAL_COMMANDS, SYSTEM, Principal, Role, TeamId
from modelyard.access.service import principal_names, require
from modelyard.core.clock import SECOND, Instant, instant, moment
from modelyard.core.digests import Digest, digest_of
from modelyard.core.errors import InvalidInput, NotFound
from modelyard.core.names import nearest
from modelyard.delivery import store
from modelyard.delivery.approvals import approve as approve
from modelyard.delivery.approvals import approve_by_policy as approve_by_policy
from modelyard.delivery.approvals import ask_approval as ask_approval
from modelyard.delivery.approvals import checked_reason
from modelyard.delivery.approvals import find_approval as find_approval
from modelyard.delivery.approvals import find_bar as find_bar
from modelyard.delivery.approvals import list_approvals as list_approvals
from modelyard.delivery.approvals import reject as reject
from modelyard.delivery.declaration import AppliedModel, Change, DeclaredModel, InvalidModel, ModelDeclaration, ModelPlan
from modelyard.delivery.domain import (
    Cause,
    CauseKind,
    Delivery,
    DeliveryDetail,
    DeliveryId,
    DeliveryState,
    ModelNotDeclared,
    NewDelivery,
)
from modelyard.delivery.expressions import checked_expression
from modelyard.delivery.machine import begun, cancelled, detail_of, new_delivery_id
from modelyard.delivery.observed import typed_like_rows, with_typed_rows
from modelyard.delivery.planned import lines_of
from modelyard.delivery.reproductions import get_reproduction as get_reproduction
from modelyard.delivery.reproductions import list_reproductions as list_reproductions
from modelyard.delivery.reproductions import list_run_reproductions as list_run_reproductions
from modelyard.delivery.reproductions import list_version_reproductions as list_version_reproductions
from modelyard.delivery.reproductions import start_reproduction as start_reproduction
from modelyard.delivery.reproductions import start_run_reproduction as start_run_reproduction
from modelyard.features.domain import FeatureView, OnDemand, Push
from modelyard.features.service import (
    Proofs,
    apply_on_demand,
    apply_set,
    apply_view,
    check_pushed_sources,
    check_sources_stay,
    declare_pushed,
    plan_views,
    proofs_of,
    resolved_set,
    typed_like,
)
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import advance, cursor, list_events, record
from modelyard.monitoring.domain import AlertKind
from modelyard.monitoring.domain.watching import NewWatch
from modelyard.monitoring.service import list_open_alerts, set_monitors
from modelyard.registry.domain import ModelName, NewModel
from modelyard.registry.service import ensure_model
from modelyard.storage.database import Database, Snapshot, Transaction

MOST_ON_A_PAGE = 100
CONSUMER = "delivery"
ALERT_OPENED = "monitoring.alert_opened"
FOLLOWED_AT_ONCE = 100
CLAIMED = (CauseKind.PERSON, CauseKind.PUSH)
LEAST_PAUSE_S = 86_400.0
"""Before an alert that stays open is taken up again: outcomes come by the day."""


def declare_model(database: Database, principal: Principal, body: DeclaredModel) -> AppliedModel:
    """Makes a declaration the current one of its model, and its views and feature set the ones under their names.

    Types that a declaration leaves open are read from the sources. The same declaration again changes nothing, except that a
    person stands behind what this machine's own commands had declared from then on. Raises BadExpression and InvalidModel
    for gates and schedules that mean nothing, SourceUnreadable, SourceMoved, NotColumnwise, and NotAllowed.
    """
    declaration = body.declaration
    require(principal, Role.CONTRIBUTOR, TeamId(declaration.team))
    for gate in declaration.gates:
        checked_expression(gate.expression)
    with database.read() as snapshot:
        check_pushed_sources(snapshot, principal, [declaration.observations.source, *(view.source for view in declaration.views)])
    if declaration.features is not None:
        resolved = resolved_set(declaration.features, Path(body.root))
        check_sources_stay(database, resolved.views, Path(body.root))
        declaration = msgspec.structs.replace(declaration, features=resolved)
    body = msgspec.structs.replace(body, declaration=with_typed_rows(declaration, Path(body.root)))
    proofs = {} if declaration.features is None else proofs_of(declaration.features)
    return database.write(lambda tx: _declared(tx, principal, body, proofs))


def _declared(tx: Transaction, principal: Principal, body: DeclaredModel, proofs: Proofs) -> AppliedModel:
    declaration, team = body.declaration, TeamId(body.declaration.team)
    before = find_declared(tx, declaration.name)
    if before is not None:
        require(principal, Role.CONTRIBUTOR, TeamId(before.declared.declaration.team))
    due = next_due(declaration.retrain.schedule, tx.now()) if declaration.retrain.schedule else None
    applied = AppliedModel(digest=_digest(body), declared=body)
    if before is not None and before.digest == applied.digest:
        _adopt(tx, principal, before)
        return before
    ensure_model(tx, principal, _model(declaration))
    if declaration.monitors:
        watch = NewWatch(monitors=declaration.monitors, is_binary=declaration.task == "binary", team_id=team)
        set_monitors(tx, principal, ModelName(declaration.name), watch)
    if isinstance(declaration.observations.source, Push):
        declare_pushed(tx, principal, declaration.observations.source, team)
    for view in declaration.views:
        apply_view(tx, principal, view, body.root, team)
    if declaration.features is not None:
        for function in declaration.features.on_demand:
            apply_on_demand(tx, principal, function, proofs, team)
        apply_set(tx, principal, declaration.features, team)
    _make_current(tx, principal, applied)
    data = {"digest": applied.digest, "declaration": declaration.digest, "source": body.source}
    record(tx, NewEntry(type="delivery.model_declared", subject=f"model:{declaration.name}", actor=principal.id, data=data, team_id=team))
    if due is not None:
        fired = store.find_trigger(tx, declaration.name)
        store.put_trigger(tx, team, declaration.name, fired[0] if fired else tx.now(), due)
    return applied


def _make_current(tx: Transaction, principal: Principal, applied: AppliedModel) -> None:
    declaration, before = applied.declared.declaration, store.find_authors(tx, applied.digest)
    authors = store.Authors(declared_by=before.declared_by if before else principal.id, made_current_by=principal.id)
    document = msgspec.json.encode(msgspec.structs.asdict(applied.declared) | msgspec.structs.asdict(authors))
    store.put_declaration(tx, declaration.team, declaration.name, applied.digest, document)


def _adopt(tx: Transaction, principal: Principal, applied: AppliedModel) -> None:
    """Has a person who applies what is current stand behind it as it stands, where no account of somebody's does yet."""
    found = store.find_authors(tx, applied.digest)
    author = found.made_current_by if found else None
    if principal.kind != "person" or (author is not None and principal_names(tx, {author})[author] != LOCAL_COMMANDS):
        return
    _make_current(tx, principal, applied)
    declaration = applied.declared.declaration
    subject, team = f"model:{declaration.name}", TeamId(declaration.team)
    data = {"digest": applied.digest, "adopted_from": author}
    record(tx, NewEntry(type="delivery.model_adopted", subject=subject, actor=principal.id, data=data, team_id=team))


def _model(declaration: ModelDeclaration) -> NewModel:
    return NewModel(
        name=ModelName(declaration.name),
        team_id=TeamId(declaration.team),
        owner=declaration.owner,
        purpose=declaration.purpose,
        risk=declaration.risk,
    )


def plan_model(snapshot: Snapshot, principal: Principal, body: DeclaredModel) -> ModelPlan:
    """What applying a declaration would change: the model, and each feature view that it reads. Nothing of another team's is told."""
    declaration = body.declaration
    before = find_declared(snapshot, declaration.name)
    if before is not None and not _sees(principal, before):
        before = None
    standing = None if before is None else before.declared.declaration.features
    if before is not None:
        declaration = typed_like_rows(declaration, before.declared.declaration)
    if declaration.features is not None and standing is not None:  # types that are left open were read when it was applied
        features = typed_like(declaration.features, standing)
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
    known = {view.name: view.digest for view in before.declared.declaration.views} if before else {}
    changes += [
        Change(kind="change" if view.name in known else "read", what="view", name=view.name, detail=_said(view))
        for view in declaration.views
        if known.get(view.name) != view.digest
    ]
    changes += _computed_changes(before.declared.declaration if before else None, declaration)
    left = [name for name in known if name not in {view.name for view in declaration.views}]
    changes += [Change(kind="leave", what="view", name=name, detail="it stays; the versions that read it go on") for name in left]
    views = () if declaration.features is None else tuple(plan_views(snapshot, principal, declaration.features))
    told = [Change(kind=kind, what=what, name=name, detail=detail) for view in views for kind, what, name, detail in lines_of(view)]
    return ModelPlan(model=declaration.name, changes=(*changes, *told), views=views)


def _said(view: FeatureView) -> str:
    return f"{view.digest[7:19]}, {view.source.kind}, {view.source.place}"


def _computed_changes(before: ModelDeclaration | None, after: ModelDeclaration) -> list[Change]:
    """What a plan says of on-demand features: one whose function changed is a new version of it, and of the set."""
    then, now = ({one.name: one.digest for one in _computed(declaration)} for declaration in (before, after))
    found = [
        Change(kind="change" if name in then else "add", what="on-demand feature", name=name, detail=digest[7:19])
        for name, digest in now.items()
        if then.get(name) != digest
    ]
    return found + [Change(kind="remove", what="on-demand feature", name=name) for name in then if name not in now]


def _computed(declaration: ModelDeclaration | None) -> tuple[OnDemand, ...]:
    return declaration.features.on_demand if declaration is not None and declaration.features is not None else ()


def _differing(before: ModelDeclaration, after: ModelDeclaration) -> list[str]:
    return [name for name in after.__struct_fields__ if getattr(before, name) != getattr(after, name)]


def find_declared(snapshot: Snapshot, model: str, digest: Digest | None = None) -> AppliedModel | None:
    """The model's current declaration, or the one of that digest."""
    found = store.find_declaration(snapshot, model, digest)
    return None if found is None else AppliedModel(digest=found[0], declared=msgspec.json.decode(found[1], type=DeclaredModel))


def get_declared(snapshot: Snapshot, principal: Principal, model: str) -> AppliedModel:
    """The model's current declaration. Raises ModelNotDeclared, also where it is another team's."""
    found = find_declared(snapshot, model)
    if found is None or not _sees(principal, found):
        names = [one.declared.declaration.name for one in list_declared(snapshot) if _sees(principal, one)]
        raise ModelNotDeclared(f"no model {model[:60]!r} is declared", hint=f"yard apply declares it; {nearest(model, names)}")
    return found


def why_bound(snapshot: Snapshot, model: ModelName) -> str:
    """Why the registry's model must keep its name: it is declared, or was delivered. Empty where it is neither."""
    if store.find_declaration(snapshot, model, None) is not None:
        return "it is declared by a project"
    return "it has deliveries" if store.list_deliveries(snapshot, model, None, None, 1) else ""


def _sees(principal: Principal, applied: AppliedModel) -> bool:
    return principal.may(Role.VIEWER, TeamId(applied.declared.declaration.team))


def list_declared(snapshot: Snapshot) -> list[AppliedModel]:
    """The current declarations, by model."""
    return [
        AppliedModel(digest=digest, declared=msgspec.json.decode(found, type=DeclaredModel))
        for digest, found in store.list_declarations(snapshot)
    ]


def start_delivery(tx: Transaction, principal: Principal, body: NewDelivery) -> Delivery:
    """Starts a delivery of the model as it is declared now. Raises ModelNotDeclared, DeliveryUnderWay and NotAllowed.

    Gates ask for the cause and attestations sign it: a schedule or a degradation is nobody's to claim. Raises InvalidInput.
    """
    if body.kind not in CLAIMED:
        words = " or ".join(CLAIMED)
        raise InvalidInput(f"a delivery is started as {words}; {body.kind} is what Modelyard starts by itself", hint="leave kind out")
    return _started(tx, principal, body)


def _started(tx: Transaction, principal: Principal, body: NewDelivery) -> Delivery:
    applied = get_declared(tx, principal, body.model)
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
    return cancelled(tx, delivery, principal.id, checked_reason(reason), DeliveryState.CANCELLED)


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
            started.append(_started(tx, SYSTEM, body).id)
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
    return _started(tx, SYSTEM, body).id


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


def _digest(body: DeclaredModel) -> Digest:
    return digest_of([body.declaration.digest, body.source])
