"""MLflow's routes about experiments."""

from typing import ClassVar

import msgspec

from modelyard.access.domain import Principal, TeamId
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking import service
from modelyard.tracking.domain import ExperimentExists, ExperimentId, View
from modelyard.tracking.wire.codec import Int64, KeyValue, Request, wrong
from modelyard.tracking.wire.errors import MlflowError
from modelyard.tracking.wire.messages import Empty, ExperimentMessage, experiment_message
from modelyard.tracking.wire.routing import MlflowRoute, Read, Write

TEAM_TAG = "modelyard.team"
"""A tag that says, when an experiment is made, which team it belongs to."""

_VIEWS = {1: View.ACTIVE_ONLY, 2: View.DELETED_ONLY, 3: View.ALL}


class CreateExperiment(Request, kw_only=True):
    """experiments/create"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("name",)
    name: str | None = None
    artifact_location: str | None = None
    tags: tuple[KeyValue, ...] = ()


class ExperimentRequest(Request, kw_only=True):
    """A request about one experiment."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("experiment_id",)
    experiment_id: str | None = None


class UpdateExperiment(Request, kw_only=True):
    """experiments/update"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("experiment_id", "new_name")
    experiment_id: str | None = None
    new_name: str | None = None


class ExperimentByName(Request, kw_only=True):
    """experiments/get-by-name"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("experiment_name",)
    experiment_name: str | None = None


class ExperimentTag(Request, kw_only=True):
    """experiments/set-experiment-tag and experiments/delete-experiment-tag"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("experiment_id", "key")
    experiment_id: str | None = None
    key: str | None = None
    value: str | None = None


class SearchExperiments(Request, kw_only=True):
    """experiments/search"""

    view_type: int | str | None = None
    max_results: Int64 | None = None
    order_by: tuple[str, ...] = ()
    filter: str | None = None
    page_token: str | None = None


class ExperimentAnswer(msgspec.Struct, frozen=True):
    """One experiment."""

    experiment: ExperimentMessage


class CreatedExperiment(msgspec.Struct, frozen=True):
    """The id of a new experiment."""

    experiment_id: str


class ExperimentsAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Some experiments."""

    experiments: list[ExperimentMessage] = []
    next_page_token: str | None = None


def view_of(value: int | str | None, name: str = "view_type") -> View:
    """A view as the wire has it: its name or its number. Another name counts as absent. Raises MlflowError for another number."""
    if isinstance(value, str) and not value.isdecimal():
        return next((view for view in View if view == value), View.ACTIVE_ONLY)
    if value is not None and int(value) not in _VIEWS:
        raise wrong(name, value)
    return View.ACTIVE_ONLY if value is None else _VIEWS[int(value)]


def given(value: str | None) -> str:
    """A parameter that is known to be there, since the request requires it."""
    return value or ""


def _create(tx: Transaction, principal: Principal, request: CreateExperiment) -> CreatedExperiment:
    tags = {given(tag.key): given(tag.value) for tag in request.tags}
    team = tags.pop(TEAM_TAG, None)
    new = service.NewExperiment(
        name=given(request.name),
        artifact_location=request.artifact_location or "",
        tags=tags,
        team_id=TeamId(team) if team else None,
    )
    return CreatedExperiment(service.create_experiment(tx, principal, new).id)


def _get(snapshot: Snapshot, principal: Principal, request: ExperimentRequest) -> ExperimentAnswer:
    found = service.get_experiment(snapshot, principal, ExperimentId(given(request.experiment_id)))
    return ExperimentAnswer(experiment_message(found))


def _get_by_name(snapshot: Snapshot, principal: Principal, request: ExperimentByName) -> ExperimentAnswer:
    return ExperimentAnswer(experiment_message(service.find_experiment_by_name(snapshot, principal, given(request.experiment_name))))


def _update(tx: Transaction, principal: Principal, request: UpdateExperiment) -> Empty:
    try:
        service.rename_experiment(tx, principal, ExperimentId(given(request.experiment_id)), given(request.new_name))
    except ExperimentExists as error:
        raise MlflowError("BAD_REQUEST", error.message) from error
    return Empty()


def _delete(tx: Transaction, principal: Principal, request: ExperimentRequest) -> Empty:
    service.delete_experiment(tx, principal, ExperimentId(given(request.experiment_id)))
    return Empty()


def _restore(tx: Transaction, principal: Principal, request: ExperimentRequest) -> Empty:
    service.restore_experiment(tx, principal, ExperimentId(given(request.experiment_id)))
    return Empty()


def _set_tag(tx: Transaction, principal: Principal, request: ExperimentTag) -> Empty:
    service.set_experiment_tag(tx, principal, ExperimentId(given(request.experiment_id)), given(request.key), given(request.value))
    return Empty()


def _delete_tag(tx: Transaction, principal: Principal, request: ExperimentTag) -> Empty:
    service.delete_experiment_tag(tx, principal, ExperimentId(given(request.experiment_id)), given(request.key))
    return Empty()


def _search(snapshot: Snapshot, principal: Principal, request: SearchExperiments) -> ExperimentsAnswer:
    asked = service.Asked(
        filter=request.filter or "",
        order_by=request.order_by,
        view=view_of(request.view_type),
        limit=request.max_results or 0,
        page=request.page_token or "",
    )
    page = service.search_experiments(snapshot, principal, asked)
    return ExperimentsAnswer([experiment_message(one) for one in page.experiments], page.next or None)


ROUTES = (
    MlflowRoute(method="POST", path="/mlflow/experiments/create", request=CreateExperiment, action=Write(_create)),
    MlflowRoute(method="GET", path="/mlflow/experiments/get", request=ExperimentRequest, action=Read(_get)),
    MlflowRoute(method="GET", path="/mlflow/experiments/get-by-name", request=ExperimentByName, action=Read(_get_by_name)),
    MlflowRoute(method="POST", path="/mlflow/experiments/update", request=UpdateExperiment, action=Write(_update)),
    MlflowRoute(method="POST", path="/mlflow/experiments/delete", request=ExperimentRequest, action=Write(_delete)),
    MlflowRoute(method="POST", path="/mlflow/experiments/restore", request=ExperimentRequest, action=Write(_restore)),
    MlflowRoute(method="POST", path="/mlflow/experiments/set-experiment-tag", request=ExperimentTag, action=Write(_set_tag)),
    MlflowRoute(method="POST", path="/mlflow/experiments/delete-experiment-tag", request=ExperimentTag, action=Write(_delete_tag)),
    MlflowRoute(method="POST", path="/mlflow/experiments/search", request=SearchExperiments, action=Read(_search)),
    MlflowRoute(method="GET", path="/mlflow/experiments/search", request=SearchExperiments, action=Read(_search)),
)
"""The routes about experiments."""
