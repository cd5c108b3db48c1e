"""MLflow's routes about runs and what is logged to them at once."""

from typing import Any, ClassVar

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.clock import Instant
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking import service
from modelyard.tracking.domain import (
    MODEL_HISTORY_TAG,
    RUN_NAME_TAG,
    Batch,
    Dataset,
    DatasetInput,
    ExperimentId,
    LoggedModelId,
    Metric,
    ModelOutput,
    NewRun,
    RunChange,
    RunId,
    RunStatus,
)
from modelyard.tracking.rules.names import check_dataset, checked_length, checked_run_id, instant_of
from modelyard.tracking.rules.series import bounded
from modelyard.tracking.wire.codec import Int64, KeyValue, Request, RunRequest, wrong
from modelyard.tracking.wire.errors import invalid, missing
from modelyard.tracking.wire.experiments import given, view_of
from modelyard.tracking.wire.messages import Empty, RunInfoMessage, RunMessage, info_message, run_message
from modelyard.tracking.wire.routing import Log, MlflowRoute, Read, Write

_STATUSES = {1: RunStatus.RUNNING, 2: RunStatus.SCHEDULED, 3: RunStatus.FINISHED, 4: RunStatus.FAILED, 5: RunStatus.KILLED}
_LONGEST_DIGEST = 36
_MODEL_FIELDS = ("artifact_path", "flavors", "utc_time_created", "run_id")
_HISTORY_FIELDS = ("run_id", "artifact_path", "utc_time_created", "model_uuid")


class CreateRun(Request, kw_only=True):
    """runs/create"""

    experiment_id: str | None = None
    user_id: str | None = None
    run_name: str | None = None
    start_time: Int64 | None = None
    tags: tuple[KeyValue, ...] = ()


class UpdateRun(RunRequest, kw_only=True):
    """runs/update"""

    status: int | str | None = None
    end_time: Int64 | None = None
    run_name: str | None = None


class LogMetric(RunRequest, kw_only=True):
    """runs/log-metric"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("run_id", "key", "value", "timestamp")
    key: str | None = None
    value: float | None = None
    timestamp: Int64 | None = None
    step: Int64 | None = None
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


class LogKeyed(RunRequest, kw_only=True):
    """runs/log-parameter, runs/set-tag, runs/delete-tag"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("run_id", "key")
    key: str | None = None
    value: str | None = None


class MetricItem(msgspec.Struct, forbid_unknown_fields=True):
    """A metric of a batch."""

    key: str | None = None
    value: float | None = None
    timestamp: Int64 | None = None
    step: Int64 | None = None
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


class LogBatch(RunRequest, kw_only=True):
    """runs/log-batch"""

    metrics: tuple[MetricItem, ...] = ()
    params: tuple[KeyValue, ...] = ()
    tags: tuple[KeyValue, ...] = ()


class LogModel(RunRequest, kw_only=True):
    """runs/log-model"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("run_id", "model_json")
    model_json: str | None = None


class DatasetItem(msgspec.Struct, forbid_unknown_fields=True):
    """A dataset."""

    name: str | None = None
    digest: str | None = None
    source_type: str | None = None
    source: str | None = None
    schema: str | None = None
    profile: str | None = None


class DatasetInputItem(msgspec.Struct, forbid_unknown_fields=True):
    """A dataset that a run reads."""

    dataset: DatasetItem | None = None
    tags: tuple[KeyValue, ...] = ()


class ModelItem(msgspec.Struct, forbid_unknown_fields=True):
    """A logged model that a run reads or makes."""

    model_id: str | None = None
    step: Int64 | None = None


class LogInputs(RunRequest, kw_only=True):
    """runs/log-inputs"""

    datasets: tuple[DatasetInputItem, ...] = ()
    models: tuple[ModelItem, ...] = ()


class LogOutputs(RunRequest, kw_only=True):
    """runs/outputs"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("run_id", "models")
    models: tuple[ModelItem, ...] | None = None


class SearchRuns(Request, kw_only=True):
    """runs/search"""

    experiment_ids: tuple[str, ...] = ()
    filter: str | None = None
    run_view_type: int | str | None = None
    max_results: Int64 = 1000
    order_by: tuple[str, ...] = ()
    page_token: str | None = None


class RunAnswer(msgspec.Struct, frozen=True):
    """One run."""

    run: RunMessage


class RunInfoAnswer(msgspec.Struct, frozen=True):
    """A run's facts."""

    run_info: RunInfoMessage


class RunsAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Some runs."""

    runs: list[RunMessage] = []
    next_page_token: str | None = None


def run_id_of(request: RunRequest) -> RunId:
    """The run that a request is about."""
    return RunId(given(request.run_id))


def _create(tx: Transaction, principal: Principal, request: CreateRun) -> RunAnswer:
    new = NewRun(
        experiment_id=ExperimentId(request.experiment_id or "0"),
        name=request.run_name or "",
        user=request.user_id or "",
        started_at=instant_of(request.start_time or 0, "start_time"),
        tags={given(tag.key): given(tag.value) for tag in request.tags},
    )
    return RunAnswer(run_message(service.create_run(tx, principal, new), is_new=True))


def _status(value: int | str | None) -> RunStatus | None:
    """A status by its name or number; an unknown name, which may be of a later release, is passed over as MLflow does."""
    if isinstance(value, str) and not value.isdecimal():
        return next((status for status in RunStatus if status == value), None)
    if value is not None and int(value) not in _STATUSES:
        raise wrong("status", value)
    return None if value is None else _STATUSES[int(value)]


def _series_before(snapshot: Snapshot, principal: Principal, request: UpdateRun) -> Any:
    """The digests of long series, computed before the transaction that ends their run."""
    status = _status(request.status)
    if status is None or not status.is_final:
        return {}
    return service.long_series_digests(snapshot, principal, run_id_of(request))


def _update(tx: Transaction, principal: Principal, request: UpdateRun, known: Any) -> RunInfoAnswer:
    ended: Instant | None = None if request.end_time is None else instant_of(request.end_time, "end_time")
    change = RunChange(status=_status(request.status), ended_at=ended, name=request.run_name)
    return RunInfoAnswer(info_message(service.update_run(tx, principal, run_id_of(request), change, known)))


def _delete(tx: Transaction, principal: Principal, request: RunRequest) -> Empty:
    service.delete_run(tx, principal, run_id_of(request))
    return Empty()


def _restore(tx: Transaction, principal: Principal, request: RunRequest) -> Empty:
    service.restore_run(tx, principal, run_id_of(request))
    return Empty()


def _get(snapshot: Snapshot, principal: Principal, request: RunRequest) -> RunAnswer:
    return RunAnswer(run_message(service.get_run(snapshot, principal, run_id_of(request))))


def _search(snapshot: Snapshot, principal: Principal, request: SearchRuns) -> RunsAnswer:
    if request.max_results > service.MOST_RESULTS:
        raise wrong("max_results", request.max_results)
    asked = service.Asked(
        filter=request.filter or "",
        order_by=request.order_by,
        view=view_of(request.run_view_type, "run_view_type"),
        limit=request.max_results,
        page=request.page_token or "",
    )
    page = service.search_runs(snapshot, principal, tuple(map(ExperimentId, request.experiment_ids)), asked)
    return RunsAnswer([run_message(run) for run in page.runs], page.next or None)


def _metric(item: MetricItem | LogMetric, path: str) -> Metric:
    if not item.key or item.value is None or item.timestamp is None:
        for name in ("key", "value", "timestamp"):
            if getattr(item, name) in (None, ""):
                raise missing(f"{path}{name}")
    if bool(item.dataset_name) != bool(item.dataset_digest):
        raise invalid("Both dataset_name and dataset_digest must be provided if one is provided")
    return Metric(
        key=item.key or "",
        value=bounded(item.value or 0.0),
        at=instant_of(item.timestamp or 0, "timestamp"),
        step=item.step or 0,
        model_id=LoggedModelId(item.model_id) if item.model_id else None,
        dataset_name=item.dataset_name or None,
        dataset_digest=item.dataset_digest or None,
    )


def _metric_batch(request: LogMetric) -> Batch:
    return service.checked_batch(Batch(run_id=run_id_of(request), metrics=(_metric(request, ""),)), is_single=True)


def _param_batch(request: LogKeyed) -> Batch:
    return service.checked_batch(Batch(run_id=run_id_of(request), params=((given(request.key), given(request.value)),)), is_single=True)


def _tag_batch(request: LogKeyed) -> Batch:
    key, value = given(request.key), given(request.value)
    # A name that is set to nothing stays as it is.
    tags = () if key == RUN_NAME_TAG and not value else ((key, value),)
    return service.checked_batch(Batch(run_id=run_id_of(request), tags=tags), is_single=True)


def _log_batch(request: LogBatch) -> Batch:
    for name, items in (("params", request.params), ("tags", request.tags)):
        for index, item in enumerate(items):
            if not item.key:
                raise missing(f"{name}[{index}].key")
    metrics = tuple([_metric(item, f"metrics[{index}].") for index, item in enumerate(request.metrics)])
    params = tuple((given(one.key), given(one.value)) for one in request.params)
    tags = tuple((given(one.key), given(one.value)) for one in request.tags)
    return service.checked_batch(Batch(run_id=run_id_of(request), metrics=metrics, params=params, tags=tags))


def _delete_tag(tx: Transaction, principal: Principal, request: LogKeyed) -> Empty:
    service.delete_tag(tx, principal, run_id_of(request), given(request.key))
    return Empty()


def _log_inputs(tx: Transaction, principal: Principal, request: LogInputs) -> Empty:
    checked_run_id(run_id_of(request))
    datasets = [_dataset_input(one, f"datasets[{index}]") for index, one in enumerate(request.datasets)]
    models = [LoggedModelId(given(one.model_id)) for one in request.models]
    service.log_inputs(tx, principal, run_id_of(request), datasets, models)
    return Empty()


def _dataset_input(item: DatasetInputItem, path: str) -> DatasetInput:
    found = item.dataset
    if found is None:
        raise missing(f"{path}.dataset")
    dataset = Dataset(
        name=given(found.name),
        digest=given(found.digest),
        source_type=given(found.source_type),
        source=given(found.source),
        schema=found.schema or None,
        profile=found.profile or None,
    )
    check_dataset(dataset)
    checked_length(dataset.digest, "digest", _LONGEST_DIGEST)
    for tag in item.tags:
        checked_length(given(tag.key), "key", 255)
        checked_length(given(tag.value), "value", 500)
    return DatasetInput(dataset=dataset, tags={given(tag.key): given(tag.value) for tag in item.tags})


def _log_outputs(tx: Transaction, principal: Principal, request: LogOutputs) -> Empty:
    outputs = [ModelOutput(model_id=LoggedModelId(given(one.model_id)), step=one.step or 0) for one in request.models or ()]
    service.log_outputs(tx, principal, run_id_of(request), outputs)
    return Empty()


def _log_model(tx: Transaction, principal: Principal, request: LogModel) -> Empty:
    """Notes a model in the run's history of models, as clients before MLflow 3 read it."""
    try:
        model = msgspec.json.decode(given(request.model_json), type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise invalid(f"Malformed model info. \n {given(request.model_json)[:1000]} \n is not a valid JSON.") from error
    absent = ", ".join(f"'{name}'" for name in _MODEL_FIELDS if name not in model)
    if absent:
        raise invalid(f"Model json is missing mandatory fields: {{{absent}}}")
    flavors = model["flavors"] if isinstance(model["flavors"], dict) else {}
    noted = {name: model[name] for name in _HISTORY_FIELDS if name in model} | {
        "flavors": {name: _without_config(config) for name, config in flavors.items()}
    }
    service.append_to_tag(tx, principal, run_id_of(request), MODEL_HISTORY_TAG, noted)
    return Empty()


def _without_config(config: Any) -> Any:
    return {key: value for key, value in config.items() if key != "config"} if isinstance(config, dict) else config


def _post(path: str, request: type[Request], action: Read | Write | Log) -> MlflowRoute:
    return MlflowRoute(method="POST", path=f"/mlflow/runs/{path}", request=request, action=action)


ROUTES = (
    _post("create", CreateRun, Write(_create)),
    _post("update", UpdateRun, Write(_update, _series_before)),
    _post("delete", RunRequest, Write(_delete)),
    _post("restore", RunRequest, Write(_restore)),
    MlflowRoute(method="GET", path="/mlflow/runs/get", request=RunRequest, action=Read(_get)),
    _post("search", SearchRuns, Read(_search)),
    _post("log-metric", LogMetric, Log(_metric_batch, is_single=True)),
    _post("log-parameter", LogKeyed, Log(_param_batch, is_single=True)),
    _post("set-tag", LogKeyed, Log(_tag_batch, is_single=True)),
    _post("delete-tag", LogKeyed, Write(_delete_tag)),
    _post("log-batch", LogBatch, Log(_log_batch)),
    _post("log-inputs", LogInputs, Write(_log_inputs)),
    _post("outputs", LogOutputs, Write(_log_outputs)),
    _post("log-model", LogModel, Write(_log_model)),
)
"""The routes about runs."""
