"""Models: made, changed, listed. Owns no version."""

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import Principal, Role
from modelyard.access.service import require
from modelyard.core.errors import InvalidInput
from modelyard.core.names import checked_name
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.registry.domain import Model, ModelDetail, ModelExists, ModelHasVersions, ModelName, NewModel, RiskTier
from modelyard.registry.service.guard import seen_model
from modelyard.registry.store import events, models, notes, versions
from modelyard.registry.store.tables import MODEL
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking import service as tracking

MOST_LISTED = 1000
LONGEST_OWNER = 200
LONGEST_PURPOSE = 5000


def create_model(tx: Transaction, principal: Principal, body: NewModel) -> Model:
    """A new model of a team. Raises ModelExists: names are unique in the installation."""
    require(principal, Role.CONTRIBUTOR, body.team_id)
    _check(body)
    if models.find_model(tx, body.name) is not None:
        raise ModelExists(f"there is a model {body.name}", hint="choose another name; names are unique in the installation")
    made = Model(
        name=body.name,
        team_id=body.team_id,
        owner=body.owner or principal.name,
        purpose=body.purpose,
        risk=body.risk,
        created_by=principal.id,
        created_at=tx.now(),
    )
    models.insert_model(tx, made)
    _record(tx, principal, "registry.model_created", made)
    return made


def ensure_model(tx: Transaction, principal: Principal, body: NewModel) -> Model:
    """The model as `body` says it: made where it is missing, its owner, purpose and risk changed where they differ.

    The team stays the one that made it. Raises ModelExists where it is another team's.
    """
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


def delete_empty_model(tx: Transaction, principal: Principal, model: ModelName) -> None:
    """Removes a model that never had a version. Raises ModelHasVersions for any other: what was registered stays on record."""
    found = seen_model(tx, principal, model, Role.CONTRIBUTOR)
    models.touch_model(tx, model)
    count = versions.latest_number(tx, model)
    if count:
        raise ModelHasVersions(f"{model} has had {count} versions, which stay on record", hint="retire its versions instead")
    notes.delete_model_tags(tx, model)
    models.delete_model(tx, model)
    tracking.forget_imported(tx, "registered_model", model)
    _record(tx, principal, "registry.model_deleted", found)


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
    checked_name(body.name, "model")
    for what, text, most in (("owner", body.owner, LONGEST_OWNER), ("purpose", body.purpose, LONGEST_PURPOSE)):
        if len(text) > most or "\x00" in text:
            raise InvalidInput(f"the {what} has {len(text)} characters", hint=f"at most {most}, without NUL")


def _record(tx: Transaction, principal: Principal, word: str, model: Model, more: dict[str, object] | None = None) -> None:
    data = {"owner": model.owner, "purpose": model.purpose, "risk": model.risk.value, **(more or {})}
    record(tx, NewEntry(type=word, subject=f"model:{model.name}", actor=principal.id, data=data, team_id=model.team_id))
