"""MLflow's routes about registered models and their aliases."""

from typing import ClassVar

from modelyard.access.domain import Principal
from modelyard.registry import service
from modelyard.registry.domain import ModelName, NewModel
from modelyard.registry.rules.names import checked_alias, checked_model_name, checked_new_alias, checked_tag
from modelyard.registry.wire.messages import ModelAnswer, ModelsAnswer, VersionAnswer, VersionsAnswer, model_messages, version_messages
from modelyard.registry.wire.versions import SearchRequest, asked_of, shown
from modelyard.registry.wire.words import check_no_prompt, checked_tags, name_of, number_of, worded
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking.rules.names import checked_key
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

    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "new_name")
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


class SetAlias(AliasRequest, kw_only=True):
    """registered-models/alias, pointing to a version"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "alias", "version")
    version: str | None = None


def answer(snapshot: Snapshot, model: ModelName) -> ModelAnswer:
    """One model as an answer."""
    return ModelAnswer(model_messages(snapshot, [model])[0])


def _create(tx: Transaction, principal: Principal, request: CreateModel) -> ModelAnswer:
    name, tags = name_of(request), checked_tags(request.tags)
    body = NewModel(name=name, team_id=home_team(principal), purpose=request.description or "")
    service.create_registered_model(tx, principal, body, tags)
    return answer(tx, name)


def _get(snapshot: Snapshot, principal: Principal, request: NamedRequest) -> ModelAnswer:
    return answer(snapshot, service.get_model(snapshot, principal, name_of(request)).model.name)


def _update(tx: Transaction, principal: Principal, request: UpdateModel) -> ModelAnswer:
    found = service.get_model(tx, principal, name_of(request)).model
    body = NewModel(name=found.name, owner=found.owner, purpose=request.description or "", risk=found.risk)
    service.update_model(tx, principal, found.name, body)
    return answer(tx, found.name)


def _search(snapshot: Snapshot, principal: Principal, request: SearchRequest) -> ModelsAnswer:
    found = service.search_models(snapshot, principal, asked_of(request, otherwise=100, most=MOST_RESULTS))
    return ModelsAnswer(model_messages(snapshot, [name for name, _ in found.keys]), found.next or None)


def _latest(snapshot: Snapshot, principal: Principal, request: LatestVersions) -> VersionsAnswer:
    model = service.get_model(snapshot, principal, name_of(request)).model.name
    found = service.latest_by_stage(snapshot, model)
    wanted = {service.known_stage(stage) for stage in request.stages} or set(service.STAGES)
    return VersionsAnswer(version_messages(snapshot, [(model, number) for stage, number in found.items() if stage in wanted]))


def _set_tag(tx: Transaction, principal: Principal, request: ModelTag) -> Empty:
    name, tag = name_of(request), dict([checked_tag(given(request.key), request.value or "")])
    check_no_prompt(tag)
    service.set_tags(tx, principal, name, 0, tag)
    return Empty()


def _delete_tag(tx: Transaction, principal: Principal, request: ModelTag) -> Empty:
    service.delete_tag(tx, principal, name_of(request), 0, checked_key(request.key, "key"))
    return Empty()


def _set_alias(tx: Transaction, principal: Principal, request: SetAlias) -> Empty:
    name, alias = name_of(request), checked_new_alias(given(request.alias))
    service.set_alias(tx, principal, name, alias, number_of(request))
    return Empty()


def _delete_alias(tx: Transaction, principal: Principal, request: AliasRequest) -> Empty:
    name, alias = name_of(request), checked_alias(given(request.alias))
    if any(one.name == alias for one in service.list_aliases(tx, principal, name)):
        service.delete_alias(tx, principal, name, alias)
    return Empty()


def _get_by_alias(snapshot: Snapshot, principal: Principal, request: AliasRequest) -> VersionAnswer:
    name, alias = name_of(request), checked_alias(given(request.alias))
    found = next((one.version for one in service.list_aliases(snapshot, principal, name) if one.name == alias), 0)
    if not found and alias.lower() == "latest":
        latest = service.latest_by_stage(snapshot, name)
        if not latest:
            raise MlflowError("RESOURCE_DOES_NOT_EXIST", f"Latest version not found for model {name}.")
        found = max(latest.values())
    if not found:
        raise invalid(f"Registered model alias {alias} not found.")
    return VersionAnswer(shown(snapshot, principal, name, found))


class ModelRoutes:
    """The routes that rename and remove models, which ask those above whether anything keeps a model under its name."""

    def __init__(self, bonds: service.Bonds) -> None:
        self._bonds = bonds

    def rows(self) -> tuple[MlflowRoute, ...]:
        """The rows for the table."""
        return (
            MlflowRoute(method="POST", path=f"{PATH}/rename", request=RenameModel, action=Write(worded(self._rename))),
            MlflowRoute(method="DELETE", path=f"{PATH}/delete", request=NamedRequest, action=Write(worded(self._delete))),
        )

    def _rename(self, tx: Transaction, principal: Principal, request: RenameModel) -> ModelAnswer:
        name = checked_model_name(given(request.new_name), "new_name")
        return answer(tx, service.rename_model(tx, principal, name_of(request), name, self._bonds).name)

    def _delete(self, tx: Transaction, principal: Principal, request: NamedRequest) -> Empty:
        service.delete_model(tx, principal, name_of(request), self._bonds)
        return Empty()


ROUTES = (
    MlflowRoute(method="POST", path=f"{PATH}/create", request=CreateModel, action=Write(worded(_create))),
    MlflowRoute(method="GET", path=f"{PATH}/get", request=NamedRequest, action=Read(worded(_get))),
    MlflowRoute(method="PATCH", path=f"{PATH}/update", request=UpdateModel, action=Write(worded(_update))),
    MlflowRoute(method="GET", path=f"{PATH}/search", request=SearchRequest, action=Read(worded(_search))),
    MlflowRoute(method="GET", path=f"{PATH}/get-latest-versions", request=LatestVersions, action=Read(worded(_latest))),
    MlflowRoute(method="POST", path=f"{PATH}/get-latest-versions", request=LatestVersions, action=Read(worded(_latest))),
    MlflowRoute(method="POST", path=f"{PATH}/set-tag", request=ModelTag, action=Write(worded(_set_tag))),
    MlflowRoute(method="DELETE", path=f"{PATH}/delete-tag", request=ModelTag, action=Write(worded(_delete_tag))),
    MlflowRoute(method="POST", path=f"{PATH}/alias", request=SetAlias, action=Write(worded(_set_alias))),
    MlflowRoute(method="DELETE", path=f"{PATH}/alias", request=AliasRequest, action=Write(worded(_delete_alias))),
    MlflowRoute(method="GET", path=f"{PATH}/alias", request=AliasRequest, action=Read(worded(_get_by_alias))),
)
"""The routes about registered models."""
