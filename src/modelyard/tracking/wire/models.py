"""MLflow's routes about logged models."""

from typing import Any, ClassVar

import msgspec

from modelyard.access.domain import Principal
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking import service
from modelyard.tracking.domain import ExperimentId, LoggedModelId, ModelStatus
from modelyard.tracking.wire.codec import Int64, KeyValue, Request
from modelyard.tracking.wire.errors import MlflowError, invalid
from modelyard.tracking.wire.experiments import given
from modelyard.tracking.wire.messages import Empty, LoggedModelAnswer, LoggedModelMessage, model_message
from modelyard.tracking.wire.routing import MlflowRoute, Read, Write

_STATUSES = {0: ModelStatus.UNSPECIFIED, 1: ModelStatus.PENDING, 2: ModelStatus.READY, 3: ModelStatus.UPLOAD_FAILED}
_PATH = "/mlflow/logged-models"


class CreateModel(Request, kw_only=True):
    """POST logged-models"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("experiment_id",)
    experiment_id: str | None = None
    name: str | None = None
    model_type: str | None = None
    source_run_id: str | None = None
    params: tuple[KeyValue, ...] = ()
    tags: tuple[KeyValue, ...] = ()


class ModelRequest(Request, kw_only=True):
    """A request about one logged model."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("model_id",)
    model_id: str | None = None
    allow_deleted: str | bool | None = None


class FinalizeModel(ModelRequest, kw_only=True):
    """PATCH logged-models/{model_id}"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("model_id", "status")
    status: int | str | None = None


class ModelTags(ModelRequest, kw_only=True):
    """PATCH logged-models/{model_id}/tags"""

    tags: tuple[KeyValue, ...] = ()


class ModelTag(ModelRequest, kw_only=True):
    """DELETE logged-models/{model_id}/tags/{tag_key}"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("model_id", "tag_key")
    tag_key: str | None = None


class ModelParams(ModelRequest, kw_only=True):
    """POST logged-models/{model_id}/params"""

    params: tuple[KeyValue, ...] = ()


class SearchModels(Request, kw_only=True):
    """POST logged-models/search"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("experiment_ids",)
    experiment_ids: tuple[str, ...] | None = None
    filter: str | None = None
    datasets: tuple[service.DatasetFilter, ...] = ()
    max_results: Int64 | None = None
    order_by: tuple[service.ModelOrder, ...] = ()
    page_token: str | None = None


class ModelsAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Some logged models."""

    models: list[LoggedModelMessage] = []
    next_page_token: str | None = None


def model_id_of(request: ModelRequest) -> LoggedModelId:
    """The logged model that a request is about."""
    return LoggedModelId(given(request.model_id))


def _pairs(items: tuple[KeyValue, ...]) -> dict[str, str]:
    return {given(one.key): given(one.value) for one in items}


def _params(items: tuple[KeyValue, ...]) -> dict[str, str]:
    """Params by key. Raises MlflowError where one comes twice: which value was meant is not for the server to guess."""
    params = _pairs(items)
    if len(params) < len(items):
        raise MlflowError("BAD_REQUEST", "A param of a logged model comes twice in the request.")
    return params


def _create(tx: Transaction, principal: Principal, request: CreateModel) -> LoggedModelAnswer:
    new = service.NewModel(
        experiment_id=ExperimentId(given(request.experiment_id)),
        name=request.name or None,
        model_type=request.model_type or "",
        source_run_id=request.source_run_id or "",
        params=_params(request.params),
        tags=_pairs(request.tags),
    )
    return LoggedModelAnswer(model_message(service.create_model(tx, principal, new)))


def _get(snapshot: Snapshot, principal: Principal, request: ModelRequest) -> LoggedModelAnswer:
    include = str(request.allow_deleted).lower() == "true"
    return LoggedModelAnswer(model_message(service.get_logged_model(snapshot, principal, model_id_of(request), include_deleted=include)))


def _status(value: Any) -> ModelStatus:
    try:
        return _STATUSES[int(value)] if str(value).isdecimal() else ModelStatus(value)
    except (KeyError, ValueError) as error:
        raise invalid(f"Invalid value {value!r} for parameter 'status' supplied.") from error


def _finalize(tx: Transaction, principal: Principal, request: FinalizeModel) -> LoggedModelAnswer:
    return LoggedModelAnswer(model_message(service.finalize_model(tx, principal, model_id_of(request), _status(request.status))))


def _delete(tx: Transaction, principal: Principal, request: ModelRequest) -> Empty:
    service.delete_model(tx, principal, model_id_of(request))
    return Empty()


def _set_tags(tx: Transaction, principal: Principal, request: ModelTags) -> Empty:
    service.set_model_tags(tx, principal, model_id_of(request), _pairs(request.tags))
    return Empty()


def _delete_tag(tx: Transaction, principal: Principal, request: ModelTag) -> Empty:
    service.delete_model_tag(tx, principal, model_id_of(request), given(request.tag_key))
    return Empty()


def _log_params(tx: Transaction, principal: Principal, request: ModelParams) -> Empty:
    service.log_model_params(tx, principal, model_id_of(request), _params(request.params))
    return Empty()


def _search(snapshot: Snapshot, principal: Principal, request: SearchModels) -> ModelsAnswer:
    asked = service.AskedModels(
        filter=request.filter or "",
        datasets=request.datasets,
        order_by=request.order_by,
        limit=request.max_results or 100,
        page=request.page_token or "",
    )
    page = service.search_models(snapshot, principal, tuple(map(ExperimentId, request.experiment_ids or ())), asked)
    return ModelsAnswer([model_message(one) for one in page.models], page.next or None)


ROUTES = (
    MlflowRoute(method="POST", path=_PATH, request=CreateModel, action=Write(_create)),
    MlflowRoute(method="POST", path=f"{_PATH}/search", request=SearchModels, action=Read(_search)),
    MlflowRoute(method="GET", path=_PATH + "/{model_id}", request=ModelRequest, action=Read(_get)),
    MlflowRoute(method="PATCH", path=_PATH + "/{model_id}", request=FinalizeModel, action=Write(_finalize)),
    MlflowRoute(method="DELETE", path=_PATH + "/{model_id}", request=ModelRequest, action=Write(_delete)),
    MlflowRoute(method="PATCH", path=_PATH + "/{model_id}/tags", request=ModelTags, action=Write(_set_tags)),
    MlflowRoute(method="DELETE", path=_PATH + "/{model_id}/tags/{tag_key}", request=ModelTag, action=Write(_delete_tag)),
    MlflowRoute(method="POST", path=_PATH + "/{model_id}/params", request=ModelParams, action=Write(_log_params)),
)
"""The routes about logged models."""
