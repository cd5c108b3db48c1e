"""Models: made, changed, renamed, removed, listed. Owns no version."""

from collections.abc import Callable, Mapping

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import Principal, Role
from modelyard.access.service import require
from modelyard.core.clock import Instant
from modelyard.core.errors import InvalidInput
from modelyard.core.ids import new_id
from modelyard.core.names import checked_name
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.registry.domain import (
    FormerName,
    Model,
    ModelDetail,
    ModelExists,
    ModelIsBound,
    ModelName,
    NameWasUsed,
    NewModel,
    RiskTier,
)
from modelyard.registry.rules.names import LONGEST_DESCRIPTION, checked_model_name, checked_tag
from modelyard.registry.service.guard import seen_model
from modelyard.registry.service.webhooks import announce
from modelyard.registry.store import events, models, notes, versions
from modelyard.registry.store.tables import MODEL
from modelyard.registry.webhooks import MODEL_CREATED
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking import service as tracking

MOST_LISTED = 1000
LONGEST_OWNER = 200
MOST_MOVES = 100_000


class Bonds(msgspec.Struct, frozen=True):
    """Who above the registry keeps records under a model's name: each function says why the model must keep it, or nothing.

    The composition root hands them down. A model that only the registry knows may be renamed and removed.
    """

    functions: tuple[Callable[[Snapshot, ModelName], str], ...] = ()


def create_model(tx: Transaction, principal: Principal, body: NewModel) -> Model:
    """A new model of a team. Raises ModelExists: names are unique in the installation."""
    checked_name(body.name, "model")
    return create_registered_model(tx, principal, body)


def create_registered_model(tx: Transaction, principal: Principal, body: NewModel, tags: Mapping[str, str] = {}) -> Model:
    """As `create_model`, under any name that MLflow takes. One that is not plain can be neither declared nor deployed."""
    require(principal, Role.CONTRIBUTOR, body.team_id)
    _check(body)
    if models.find_model(tx, body.name) is not None:
        raise _exists(body.name)
    made = Model(
        id=new_id("mdl"),
        name=body.name,
        team_id=body.team_id,
        owner=body.owner or principal.name,
        purpose=body.purpose,
        risk=body.risk,
        created_by=principal.id,
        created_at=tx.now(),
    )
    models.insert_model(tx, made)
    for tag in tags.items():
        notes.put_tag(tx, made.name, 0, checked_tag(*tag))
    _record(tx, principal, "registry.model_created", made)
    announce(tx, made.team_id, MODEL_CREATED, {"name": made.name, "tags": dict(tags), "description": made.purpose})
    return made


def ensure_model(tx: Transaction, principal: Principal, body: NewModel) -> Model:
    """The model as `body` says it: made where it is missing, its owner, purpose and risk changed where they differ.

    The team stays the one that made it. Raises ModelExists where it is another team's.
    """
    checked_name(body.name, "model")
    found = models.find_model(tx, body.name)
    if found is None:
        return create_model(tx, principal, body)
    if found.team_id != body.team_id:
        raise ModelExists(f"there is a model {body.name} of another team", hint="choose another name; names are unique in the installation")
    return _changed(tx, principal, found, body)


def update_model(tx: Transaction, principal: Principal, model: ModelName, body: NewModel) -> Model:
    """The model with another owner, purpose or risk. Its name and team stay."""
    found = seen_model(tx, principal, model, Role.CONTRIBUTOR)
    return _changed(tx, principal, found, msgspec.structs.replace(body, name=found.name, team_id=found.team_id))


def _changed(tx: Transaction, principal: Principal, found: Model, body: NewModel) -> Model:
    require(principal, Role.CONTRIBUTOR, found.team_id)
    _check(body)
    changed = msgspec.structs.replace(found, owner=body.owner or found.owner, purpose=body.purpose, risk=body.risk)
    if changed != found:
        models.update_model(tx, changed)
        _record(tx, principal, "registry.model_changed", changed, {"risk_before": found.risk.value})
    return changed


def get_model(snapshot: Snapshot, principal: Principal, model: ModelName) -> ModelDetail:
    """A model with its aliases and the number of its latest version. Raises NoSuchModel."""
    return _details(snapshot, [seen_model(snapshot, principal, model)])[0]


def list_models(  # noqa: PLR0913 - two are injected
    snapshot: Snapshot, principal: Principal, q: str = "", risk: RiskTier | None = None, after: str = "", limit: int = 100
) -> list[ModelDetail]:
    """The models of the caller's teams by name: of a tier of risk, and whose name or purpose has the word `q`, where those are given.

    `after` is the last name of the page before.
    """
    if not 1 <= limit <= MOST_LISTED or "\x00" in q + after or len(q) > 200:
        raise InvalidInput(f"{limit} models with {q[:60]!r}", hint=f"ask for 1 to {MOST_LISTED}, with a word of at most 200 characters")
    condition = models.in_teams(principal.teams) & (MODEL.c.name > after)
    if risk is not None:
        condition &= MODEL.c.risk == risk.value
    if q:
        word = f"%{_escaped(q.lower())}%"
        condition &= sa.func.lower(MODEL.c.name).like(word, escape="~") | sa.func.lower(MODEL.c.purpose).like(word, escape="~")
    return _details(snapshot, models.list_models(snapshot, condition, limit))


def delete_model(tx: Transaction, principal: Principal, model: ModelName, bonds: Bonds) -> None:
    """Removes a model with its versions; the ledger keeps what it says of them. Raises ModelIsBound."""
    found = seen_model(tx, principal, model, Role.CONTRIBUTOR)
    last = _freed(tx, found, bonds)
    for source, theirs in tracking.forget_imported(tx, "registered_model", model):
        gone = {f"{theirs}/{number}": mark_of_gone(made_at) for number, made_at in versions.list_created(tx, model)}
        tracking.mark_anew(tx, source, "version", gone)
        tracking.mark_anew(tx, source, "alias", {f"{theirs}@{move.name}": "" for move in events.list_moves(tx, model, MOST_MOVES)})
    models.delete_model(tx, model)
    _record(tx, principal, "registry.model_deleted", found, {"versions": last})


def mark_of_gone(made_at: Instant) -> str:
    """What is noted of a version that was brought and removed with its model: if it is brought again, it is known as the same."""
    return f"gone:{made_at}"


def rename_model(tx: Transaction, principal: Principal, model: ModelName, name: ModelName, bonds: Bonds) -> Model:
    """The model under another name, with its versions and aliases.

    Raises ModelExists, ModelIsBound, and NameWasUsed where the new name's numbers mean versions of another model.
    """
    found = seen_model(tx, principal, model, Role.CONTRIBUTOR)
    checked_model_name(name)
    if name == model:
        models.touch_model(tx, model)
        return found
    if models.find_model(tx, name) is not None:
        raise _exists(name)
    last, former = _freed(tx, found, bonds), models.find_former_name(tx, name)
    if last and former is not None and former.model != found.id:
        raise NameWasUsed(f"{name} 1 to {former.last} were versions of another model", hint="choose a name that was never in use")
    models.rename_model(tx, model, name)
    tracking.rename_imported(tx, "registered_model", model, name)
    renamed = msgspec.structs.replace(found, name=name)
    _record(tx, principal, "registry.model_renamed", found, {"to": name, "versions": last})
    _record(tx, principal, "registry.model_renamed", renamed, {"from": model, "versions": last})
    return renamed


def _exists(name: ModelName) -> ModelExists:
    return ModelExists(f"Registered Model (name={name}) already exists.", hint="choose another name; names are unique in the installation")


def _freed(tx: Transaction, found: Model, bonds: Bonds) -> int:
    """The last number of a model's versions, once nothing keeps the model under its name. Raises ModelIsBound."""
    # Whoever takes a hold, or registers, waits here or finds the model gone.
    models.touch_model(tx, found.name)
    reasons = [reason for one in bonds.functions if (reason := one(tx, found.name))]
    if models.is_held(tx, found.name):
        reasons.append("a version is held")
    if reasons:
        raise ModelIsBound(
            f"{found.name} keeps its name and its versions: {'; '.join(reasons)}", hint="retire versions that are not needed instead"
        )
    last = versions.latest_number(tx, found.name)
    if last:
        models.put_former_name(tx, FormerName(name=found.name, model=found.id, last=last))
    return last


def _escaped(text: str) -> str:
    return text.replace("~", "~~").replace("%", "~%").replace("_", "~_")


def _details(snapshot: Snapshot, found: list[Model]) -> list[ModelDetail]:
    names = [model.name for model in found]
    aliases, counts = events.list_aliases(snapshot, names), versions.count_versions(snapshot, names)
    return [
        ModelDetail(
            model=model,
            aliases=aliases.get(model.name, ()),
            latest=counts.get(model.name, (0, 0))[0],
            versions=counts.get(model.name, (0, 0))[1],
        )
        for model in found
    ]


def _check(body: NewModel) -> None:
    checked_model_name(body.name)
    for what, text, most in (("owner", body.owner, LONGEST_OWNER), ("purpose", body.purpose, LONGEST_DESCRIPTION)):
        if len(text) > most or "\x00" in text:
            raise InvalidInput(f"the {what} has {len(text)} characters", hint=f"at most {most}, without NUL")


def _record(tx: Transaction, principal: Principal, word: str, model: Model, more: dict[str, object] | None = None) -> None:
    data = {"owner": model.owner, "purpose": model.purpose, "risk": model.risk.value, **(more or {})}
    record(tx, NewEntry(type=word, subject=f"model:{model.name}", actor=principal.id, data=data, team_id=model.team_id))
