"""MLflow's routes about registered models and their aliases."""

from typing import Any, ClassVar

from modelyard.access.domain import Principal
from modelyard.registry import service
from modelyard.registry.domain import AliasName, ModelName, NewModel
from modelyard.registry.wire.messages import ModelAnswer, ModelsAnswer, VersionAnswer, VersionsAnswer, model_messages, version_messages
from modelyard.registry.wire.versions import SearchRequest, asked_of, number_of, shown
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking.service.guard import home_team
from modelyard.tracking.wire.codec import KeyValue, Request
from modelyard.tracking.wire.errors import MlflowError, invalid
from modelyard.tracking.wire.experiments import given
from modelyard.tracking.wire.messages import Empty
from modelyard.tracking.wire.routing import MlflowRoute, Read, Write

PATH = "/mlflow/registered-models"
MOST_RESULTS = 1000


class NamedRequest(Request, kw_only=True):
    """A request about one model."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("name",)
    name: str | None = None


class CreateModel(NamedRequest, kw_only=True):
    """registered-models/create"""

    tags: tuple[KeyValue, ...] = ()
    description: str | None = None


class UpdateModel(NamedRequest, kw_only=True):
    """registered-models/update"""

    description: str | None = None


class RenameModel(NamedRequest, kw_only=True):
    """registered-models/rename"""

    new_name: str | None = None


class LatestVersions(NamedRequest, kw_only=True):
    """registered-models/get-latest-versions"""

    stages: tuple[str, ...] = ()


class ModelTag(NamedRequest, kw_only=True):
    """registered-models/set-tag and delete-tag"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "key")
    key: str | None = None
    value: str | None = None


class AliasRequest(NamedRequest, kw_only=True):
    """registered-models/alias"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "alias")
    alias: str | None = None
    version: str | int | None = None


def name_of(request: Any) -> ModelName:
    """The model that a request is about."""
    return ModelName(given(request.name))


def answer(snapshot: Snapshot, model: ModelName) -> ModelAnswer:
    """One model as an answer."""
    return ModelAnswer(model_messages(snapshot, [model])[0])


def _create(tx: Transaction, principal: Principal, request: CreateModel) -> ModelAnswer:
    name = name_of(request)
    service.create_model(tx, principal, NewModel(name=name, team_id=home_team(principal), purpose=request.description or ""))
    service.set_tags(tx, principal, name, 0, {given(tag.key): tag.value or "" for tag in request.tags})
    return answer(tx, name)


def _get(snapshot: Snapshot, principal: Principal, request: NamedRequest) -> ModelAnswer:
    return answer(snapshot, service.get_model(snapshot, principal, name_of(request)).model.name)


def _update(tx: Transaction, principal: Principal, request: UpdateModel) -> ModelAnswer:
    found = service.get_model(tx, principal, name_of(request)).model
    purpose = found.purpose if request.description is None else request.description
    body = NewModel(name=found.name, owner=found.owner, purpose=purpose, risk=found.risk)
    service.update_model(tx, principal, found.name, body)
    return answer(tx, found.name)


def _rename(tx: Transaction, principal: Principal, request: RenameModel) -> Empty:
    service.get_model(tx, principal, name_of(request))
    raise MlflowError("NOT_IMPLEMENTED", "A model keeps its name, by which its history is known: make a new one.")


def _delete(tx: Transaction, principal: Principal, request: NamedRequest) -> Empty:
    service.delete_empty_model(tx, principal, name_of(request))
    return Empty()


def _search(snapshot: Snapshot, principal: Principal, request: SearchRequest) -> ModelsAnswer:
    found = service.search_models(snapshot, principal, asked_of(request, otherwise=100, most=MOST_RESULTS))
    return ModelsAnswer(model_messages(snapshot, [name for name, _ in found.keys]), found.next or None)


def _latest(snapshot: Snapshot, principal: Principal, request: LatestVersions) -> VersionsAnswer:
    model = service.get_model(snapshot, principal, name_of(request)).model.name
    found = service.dated_models(snapshot, [model])[0].latest
    wanted = {stage.lower() for stage in request.stages}
    unknown = wanted - {stage.lower() for stage in service.STAGES}
    if unknown:
        raise invalid(f"Invalid Model Version stage: {sorted(unknown)[0][:60]}. Value must be one of {', '.join(service.STAGES)}.")
    numbers = [number for stage, number in found.items() if not wanted or stage.lower() in wanted]
    return VersionsAnswer(version_messages(snapshot, [(model, number) for number in numbers]))


def _set_tag(tx: Transaction, principal: Principal, request: ModelTag) -> Empty:
    service.set_tags(tx, principal, name_of(request), 0, {given(request.key): request.value or ""})
    return Empty()


def _delete_tag(tx: Transaction, principal: Principal, request: ModelTag) -> Empty:
    service.delete_tag(tx, principal, name_of(request), 0, given(request.key))
    return Empty()


def _set_alias(tx: Transaction, principal: Principal, request: AliasRequest) -> Empty:
    service.set_alias(tx, principal, name_of(request), AliasName(given(request.alias)), number_of(request))
    return Empty()


def _delete_alias(tx: Transaction, principal: Principal, request: AliasRequest) -> Empty:
    found = [one.name for one in service.list_aliases(tx, principal, name_of(request))]
    if request.alias in found:
        service.delete_alias(tx, principal, name_of(request), AliasName(given(request.alias)))
    return Empty()


def _get_by_alias(snapshot: Snapshot, principal: Principal, request: AliasRequest) -> VersionAnswer:
    aliases = service.list_aliases(snapshot, principal, name_of(request))
    found = next((one for one in aliases if one.name == request.alias), None)
    if found is None:
        raise invalid(f"Registered model alias {given(request.alias)[:100]} not found.")
    return VersionAnswer(shown(snapshot, principal, found.model, found.version))


ROUTES = (
    MlflowRoute(method="POST", path=f"{PATH}/create", request=CreateModel, action=Write(_create)),
    MlflowRoute(method="GET", path=f"{PATH}/get", request=NamedRequest, action=Read(_get)),
    MlflowRoute(method="PATCH", path=f"{PATH}/update", request=UpdateModel, action=Write(_update)),
    MlflowRoute(method="POST", path=f"{PATH}/rename", request=RenameModel, action=Write(_rename)),
    MlflowRoute(method="DELETE", path=f"{PATH}/delete", request=NamedRequest, action=Write(_delete)),
    MlflowRoute(method="GET", path=f"{PATH}/search", request=SearchRequest, action=Read(_search)),
    MlflowRoute(method="GET", path=f"{PATH}/get-latest-versions", request=LatestVersions, action=Read(_latest)),
    MlflowRoute(method="POST", path=f"{PATH}/get-latest-versions", request=LatestVersions, action=Read(_latest)),
    MlflowRoute(method="POST", path=f"{PATH}/set-tag", request=ModelTag, action=Write(_set_tag)),
    MlflowRoute(method="DELETE", path=f"{PATH}/delete-tag", request=ModelTag, action=Write(_delete_tag)),
    MlflowRoute(method="POST", path=f"{PATH}/alias", request=AliasRequest, action=Write(_set_alias)),
    MlflowRoute(method="DELETE", path=f"{PATH}/alias", request=AliasRequest, action=Write(_delete_alias)),
    MlflowRoute(method="GET", path=f"{PATH}/alias", request=AliasRequest, action=Read(_get_by_alias)),
)
"""The routes about registered models."""
