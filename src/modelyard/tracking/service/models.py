"""Use cases of logged models: make, finish, tag, search. When one is ready, the digest of its content goes into the ledger."""

import secrets
from collections.abc import Mapping, Sequence

import msgspec

from modelyard.access.domain import Principal, Role
from modelyard.core.errors import InvalidInput
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking.domain import (
    ExperimentId,
    Lifecycle,
    LoggedModel,
    LoggedModelId,
    ModelStatus,
    NoSuchTag,
    ParamIsSet,
    TokenInvalid,
)
from modelyard.tracking.grammar import MODELS, Order, parse_filter
from modelyard.tracking.rules.names import checked_new_tag, checked_text
from modelyard.tracking.rules.words import random_name
from modelyard.tracking.service.content import model_digest
from modelyard.tracking.service.experiments import checked_limit
from modelyard.tracking.service.guard import get_model, get_writable_experiment, no_model, visible_ids
from modelyard.tracking.sql import fingerprint, mark_of, token_of, values_of
from modelyard.tracking.store import artifacts, models, runs
from modelyard.tracking.store.modelsearch import DatasetFilter, ModelOrder, ModelSearch
from modelyard.tracking.store.modelsearch import search_models as search_rows
from modelyard.tracking.store.series import Owner
from modelyard.tracking.store.tables import LOGGED_MODEL_PARAMS, LOGGED_MODEL_TAGS

_MARKED = ("Experiment IDs", "Filter string", "Order by", "Datasets")
_PARAM_HINT = "params keep their value; log it under another key, or make another model"
_NEVER_IN_A_NAME = ("/", ":", ".", "%", '"', "'")


class NewModel(msgspec.Struct, frozen=True, kw_only=True):
    """What a logged model starts with. Without a name it gets a random one."""

    experiment_id: ExperimentId
    name: str | None = None
    model_type: str = ""
    source_run_id: str = ""
    tags: dict[str, str] = {}
    params: dict[str, str] = {}


class AskedModels(msgspec.Struct, frozen=True, kw_only=True):
    """A search of logged models; metrics are looked at on those datasets only, where any are given."""

    filter: str = ""
    datasets: tuple[DatasetFilter, ...] = ()
    order_by: tuple[ModelOrder, ...] = ()
    limit: int = 100
    page: str = ""


class ModelPage(msgspec.Struct, frozen=True, kw_only=True):
    """Logged models and the token that goes on behind them; empty on the last page."""

    models: tuple[LoggedModel, ...]
    next: str = ""


def create_model(tx: Transaction, principal: Principal, new: NewModel) -> LoggedModel:
    """A new logged model whose files are still to come."""
    if new.name is not None and (not new.name or any(c in new.name for c in _NEVER_IN_A_NAME)):
        raise InvalidInput(
            f"Invalid model name ({new.name!r}) provided. Model name must be a non-empty string and cannot contain the following "
            f"characters: {_NEVER_IN_A_NAME}"
        )
    experiment = get_writable_experiment(tx, principal, new.experiment_id)
    model_id, now = LoggedModelId(f"m-{secrets.token_hex(16)}"), tx.now()
    model = LoggedModel(
        id=model_id,
        experiment_id=experiment.id,
        team_id=experiment.team_id,
        name=checked_text(new.name or random_name(), "name"),
        artifact_uri=f"{experiment.artifact_location.rstrip('/')}/models/{model_id}/artifacts",
        created_at=now,
        updated_at=now,
        model_type=checked_text(new.model_type, "model_type"),
        source_run_id=checked_text(new.source_run_id, "source_run_id"),
        tags=_checked(new.tags),
        params=_checked(new.params),
    )
    models.insert_model(tx, model)
    return model


def _checked(texts: Mapping[str, str]) -> dict[str, str]:
    return dict(checked_new_tag(key, value) for key, value in texts.items())


def get_logged_model(snapshot: Snapshot, principal: Principal, model_id: LoggedModelId, *, include_deleted: bool = False) -> LoggedModel:
    """A logged model. Raises NoSuchModel, also for one in the bin unless those are included."""
    found = get_model(snapshot, principal, model_id)
    if found.lifecycle != Lifecycle.ACTIVE and not include_deleted:
        raise no_model(model_id)
    return found


def finalize_model(tx: Transaction, principal: Principal, model_id: LoggedModelId, status: ModelStatus) -> LoggedModel:
    """The model with its status. Ready, the digest of its content goes into the ledger."""
    found = get_model(tx, principal, model_id, Role.CONTRIBUTOR)
    digest = found.content_digest
    if status == ModelStatus.READY:
        digest = model_digest(found, artifacts.list_artifacts(tx, found.id))
        if digest != found.content_digest:
            data = {"name": found.name, "run": found.source_run_id, "experiment": found.experiment_id}
            _record(tx, principal, msgspec.structs.replace(found, content_digest=digest), "ready", data)
    changed = msgspec.structs.replace(found, status=status, updated_at=tx.now(), content_digest=digest)
    models.update_model(tx, found.id, {"status": status, "updated_at": changed.updated_at, "content_digest": digest})
    return changed


def delete_model(tx: Transaction, principal: Principal, model_id: LoggedModelId) -> None:
    """Puts a logged model into the bin."""
    found = get_model(tx, principal, model_id, Role.CONTRIBUTOR)
    models.update_model(tx, found.id, {"lifecycle": Lifecycle.DELETED, "updated_at": tx.now()})
    _record(tx, principal, found, "deleted", {"name": found.name})


def set_model_tags(tx: Transaction, principal: Principal, model_id: LoggedModelId, tags: Mapping[str, str]) -> None:
    """Sets tags over their old values."""
    found = get_model(tx, principal, model_id, Role.CONTRIBUTOR)
    texts = [(found.id, key, value) for key, value in _checked(tags).items()]
    runs.put_texts(tx, LOGGED_MODEL_TAGS, texts, {found.id: Owner(found.team_id, found.experiment_id)})


def delete_model_tag(tx: Transaction, principal: Principal, model_id: LoggedModelId, key: str) -> None:
    """Removes a tag. Raises NoSuchTag."""
    found = get_model(tx, principal, model_id, Role.CONTRIBUTOR)
    if not runs.remove_text(tx, LOGGED_MODEL_TAGS, found.id, key):
        raise NoSuchTag(f"No tag with key {key!r} found for model with ID {model_id!r}.")


def log_model_params(tx: Transaction, principal: Principal, model_id: LoggedModelId, params: Mapping[str, str]) -> None:
    """Adds params. Raises ParamIsSet where one has another value."""
    found = get_model(tx, principal, model_id, Role.CONTRIBUTOR)
    changed = sorted(key for key, value in params.items() if found.params.get(key, value) != value)
    if changed:
        raise ParamIsSet(f"Changing param values is not allowed. Logged model {model_id} has other values for {changed}.", hint=_PARAM_HINT)
    texts = [(found.id, key, value) for key, value in _checked(params).items()]
    runs.put_texts(tx, LOGGED_MODEL_PARAMS, texts, {found.id: Owner(found.team_id, found.experiment_id)}, overwrites=False)


def search_models(snapshot: Snapshot, principal: Principal, experiment_ids: tuple[ExperimentId, ...], asked: AskedModels) -> ModelPage:
    """Logged models of those experiments that the filter finds, the newest first unless the order says otherwise."""
    limit = checked_limit(asked.limit)
    if any(not one.dataset_name for one in asked.datasets):
        raise InvalidInput("`dataset_name` in the `datasets` clause must be specified.")
    mark = _mark(experiment_ids, asked)
    search = ModelSearch(
        comparisons=parse_filter(asked.filter, MODELS),
        datasets=asked.datasets,
        orders=tuple((_checked_order(one), one) for one in asked.order_by),
        after=_values(asked.page, mark),
        limit=limit + 1,
    )
    ids = visible_ids(snapshot, principal, experiment_ids)
    found = search_rows(snapshot, ids, search) if ids else []
    following = token_of(mark, found[limit - 1][1]) if len(found) > limit else ""
    return ModelPage(models=tuple(one for one, _ in found[:limit]), next=following)


def _mark(experiment_ids: tuple[ExperimentId, ...], asked: AskedModels) -> str:
    """What a page token is of, part by part, so that a refusal can name the part that differs."""
    return ".".join(map(fingerprint, (experiment_ids, asked.filter, asked.order_by, asked.datasets)))


def _values(page: str, mark: str) -> Sequence[object] | None:
    found = mark_of(page)
    for what, one, other in zip(_MARKED, found.split("."), mark.split("."), strict=False):
        if found and one != other:
            raise TokenInvalid(f"{what} in the page token {'do' if what.endswith('s') else 'does'} not match those of the request.")
    return values_of(page, mark)


def _checked_order(one: ModelOrder) -> Order:
    entity, dot, key = one.field_name.partition(".")
    if dot and entity != "metrics":
        raise InvalidInput(f"Invalid order by field name: {one.field_name}. Only metrics are supported.")
    if dot:
        return Order(entity="metric", key=key.strip("`"), is_ascending=one.is_ascending)
    known = MODELS.order_aliases.get(one.field_name, one.field_name)
    if known not in MODELS.numbers | MODELS.texts:
        raise InvalidInput(f"Invalid order by field name: {one.field_name}")
    return Order(entity="attribute", key=known, is_ascending=one.is_ascending)


def _record(tx: Transaction, principal: Principal, model: LoggedModel, what: str, data: dict[str, str]) -> None:
    entry = NewEntry(
        type=f"tracking.model_{what}",
        subject=f"logged_model:{model.id}",
        actor=principal.id,
        data=data,
        digest=model.content_digest,
        team_id=model.team_id,
    )
    record(tx, entry)
