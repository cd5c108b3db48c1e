"""MLflow's answers as far as they are read, and what they mean in our words. Unknown fields are passed over; asks nobody."""

import math
import re

import msgspec

from modelyard.core.clock import Instant
from modelyard.moving.domain import LatestPoint, SourceOdd, TheirModel, TheirRegistered, TheirRun, fingerprint
from modelyard.registry.domain import ModelName
from modelyard.registry.imports import ImportedRegisteredModel, ImportedVersion
from modelyard.tracking.domain import (
    Dataset,
    DatasetInput,
    ExperimentId,
    Lifecycle,
    LoggedModelId,
    ModelMetric,
    ModelOutput,
    ModelStatus,
    RunId,
    RunStatus,
)
from modelyard.tracking.imports import ImportedExperiment, ImportedModel, ImportedRun
from modelyard.tracking.rules.names import LATEST_MILLISECOND, MILLISECOND

_STATUSES = {"FAILED": ModelStatus.UPLOAD_FAILED, "READY": ModelStatus.READY, "PENDING": ModelStatus.PENDING}
_EXPERIMENT = re.compile(r"[0-9]{1,64}")


class Tag(msgspec.Struct):
    """A tag or param."""

    key: str
    value: str = ""


class Paged(msgspec.Struct, kw_only=True):
    """A page of something."""

    next_page_token: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on it."""
        return not any(getattr(self, name) for name in self.__struct_fields__ if name != "next_page_token")


class Experiment(msgspec.Struct):
    """An experiment."""

    experiment_id: str
    name: str
    lifecycle_stage: str = "active"
    creation_time: int = 0
    last_update_time: int = 0
    tags: list[Tag] = []


class Experiments(Paged):
    """Experiments."""

    experiments: list[Experiment] = []


class Point(msgspec.Struct):
    """A metric's point; a value that JSON has no number for is a text."""

    key: str
    value: float | str
    timestamp: int = 0
    step: int = 0
    run_id: str = ""
    dataset_name: str | None = None
    dataset_digest: str | None = None


class Metrics(Paged):
    """Points of a metric."""

    metrics: list[Point] = []


class RunInfo(msgspec.Struct):
    """A run's facts."""

    experiment_id: str
    run_id: str = ""
    run_uuid: str = ""
    run_name: str = ""
    user_id: str = ""
    status: str = "RUNNING"
    start_time: int = 0
    end_time: int | None = None
    artifact_uri: str = ""
    lifecycle_stage: str = "active"


class RunData(msgspec.Struct):
    """What was logged to a run."""

    metrics: list[Point] = []
    params: list[Tag] = []
    tags: list[Tag] = []


class DatasetMessage(msgspec.Struct):
    """A dataset."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None


class DatasetInputMessage(msgspec.Struct):
    """A dataset that a run read."""

    dataset: DatasetMessage
    tags: list[Tag] = []


class ModelLink(msgspec.Struct):
    """A logged model that a run read or made."""

    model_id: str
    step: int = 0


class Inputs(msgspec.Struct):
    """What a run read."""

    dataset_inputs: list[DatasetInputMessage] = []
    model_inputs: list[ModelLink] = []


class Outputs(msgspec.Struct):
    """What a run made."""

    model_outputs: list[ModelLink] = []


class Run(msgspec.Struct):
    """A run."""

    info: RunInfo
    data: RunData = msgspec.field(default_factory=RunData)
    inputs: Inputs = msgspec.field(default_factory=Inputs)
    outputs: Outputs = msgspec.field(default_factory=Outputs)


class Runs(Paged):
    """Runs."""

    runs: list[Run] = []


class ModelInfo(msgspec.Struct):
    """A logged model's facts."""

    model_id: str
    experiment_id: str
    name: str = ""
    creation_timestamp_ms: int = 0
    last_updated_timestamp_ms: int = 0
    artifact_uri: str = ""
    status: str = "LOGGED_MODEL_STATUS_UNSPECIFIED"
    model_type: str = ""
    source_run_id: str = ""
    tags: list[Tag] = []


class ModelData(msgspec.Struct):
    """What was logged to a model."""

    params: list[Tag] = []
    metrics: list[Point] = []


class LoggedModel(msgspec.Struct):
    """A logged model."""

    info: ModelInfo
    data: ModelData = msgspec.field(default_factory=ModelData)


class LoggedModels(Paged):
    """Logged models."""

    models: list[LoggedModel] = []


class Alias(msgspec.Struct):
    """An alias of a registered model."""

    alias: str
    version: int


class Model(msgspec.Struct):
    """A registered model."""

    name: str
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0
    description: str = ""
    tags: list[Tag] = []
    aliases: list[Alias] = []


class Models(Paged):
    """Registered models."""

    registered_models: list[Model] = []


class Version(msgspec.Struct):
    """A version of a registered model."""

    name: str
    version: int
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0
    user_id: str = ""
    current_stage: str = "None"
    description: str = ""
    source: str = ""
    run_id: str = ""
    run_link: str = ""
    model_id: str = ""
    status: str = "READY"
    tags: list[Tag] = []


class Versions(Paged):
    """Versions of registered models."""

    model_versions: list[Version] = []


class File(msgspec.Struct):
    """A file or folder in a listing."""

    path: str
    is_dir: bool = False
    file_size: int | None = None


class Files(Paged):
    """A folder's listing."""

    files: list[File] = []


def instant_of(milliseconds: int) -> Instant:
    """MLflow's milliseconds as an instant. Raises SourceOdd beyond what microseconds in 64 bits can say."""
    if abs(milliseconds) > LATEST_MILLISECOND:
        raise SourceOdd(f"{milliseconds} is no time in milliseconds that fits 64 bits", hint="mend it there")
    return Instant(milliseconds * MILLISECOND)


def texts_of(tags: list[Tag]) -> dict[str, str]:
    """Tags or params by key."""
    return {tag.key: tag.value for tag in tags}


def lifecycle_of(stage: str | None) -> Lifecycle:
    """MLflow's lifecycle stage."""
    return Lifecycle.DELETED if stage == "deleted" else Lifecycle.ACTIVE


def experiment_of(one: Experiment) -> ImportedExperiment:
    """An experiment."""
    if not _EXPERIMENT.fullmatch(one.experiment_id):
        raise SourceOdd(f"{one.experiment_id[:60]!r} is no id of an experiment", hint="MLflow's are decimal digits")
    return ImportedExperiment(
        id=one.experiment_id,
        name=one.name,
        created_at=instant_of(one.creation_time),
        updated_at=instant_of(one.last_update_time),
        lifecycle=lifecycle_of(one.lifecycle_stage),
        tags=texts_of(one.tags),
    )


def run_of(one: Run) -> TheirRun:
    """A run."""
    info = one.info
    return TheirRun(
        run=ImportedRun(
            id=RunId(info.run_id or info.run_uuid),
            experiment_id=ExperimentId(info.experiment_id),
            name=info.run_name or texts_of(one.data.tags).get("mlflow.runName", ""),
            user=info.user_id,
            status=status_of(info.status),
            started_at=instant_of(info.start_time),
            # MLflow's servers tell 0 for a run that has not ended.
            ended_at=instant_of(info.end_time) if info.end_time else None,
            params=texts_of(one.data.params),
            tags=texts_of(one.data.tags),
            datasets=tuple(_dataset(found) for found in one.inputs.dataset_inputs),
            model_inputs=tuple(LoggedModelId(found.model_id) for found in one.inputs.model_inputs),
            model_outputs=tuple(
                ModelOutput(model_id=LoggedModelId(found.model_id), step=found.step) for found in one.outputs.model_outputs
            ),
        ),
        artifact_uri=info.artifact_uri,
        lifecycle=lifecycle_of(info.lifecycle_stage),
        latest={point.key: LatestPoint(repr(float(point.value)), point.timestamp, point.step) for point in one.data.metrics},
    )


def status_of(word: str) -> RunStatus:
    """A run's status. Raises SourceOdd."""
    try:
        return RunStatus(word)
    except ValueError as error:
        raise SourceOdd(f"{word[:60]!r} is no status of a run", hint="is that an MLflow server?") from error


def _dataset(one: DatasetInputMessage) -> DatasetInput:
    found = one.dataset
    dataset = Dataset(
        name=found.name, digest=found.digest, source_type=found.source_type, source=found.source, schema=found.schema, profile=found.profile
    )
    return DatasetInput(dataset=dataset, tags=texts_of(one.tags))


def model_of(one: LoggedModel) -> TheirModel:
    """A logged model."""
    info = one.info
    word = info.status.removeprefix("LOGGED_MODEL_").removeprefix("UPLOAD_")
    return TheirModel(
        model=ImportedModel(
            id=LoggedModelId(info.model_id),
            experiment_id=ExperimentId(info.experiment_id),
            name=info.name,
            model_type=info.model_type,
            source_run_id=info.source_run_id,
            status=_STATUSES.get(word, ModelStatus.UNSPECIFIED),
            created_at=instant_of(info.creation_timestamp_ms),
            updated_at=instant_of(info.last_updated_timestamp_ms),
            tags=texts_of(info.tags),
            params=texts_of(one.data.params),
            metrics=tuple(metric_of(point) for point in one.data.metrics),
        ),
        artifact_uri=info.artifact_uri,
    )


def metric_of(point: Point) -> ModelMetric:
    """What was measured on a logged model."""
    value = float(point.value)
    return ModelMetric(
        key=point.key,
        value=None if math.isnan(value) else value,
        at=instant_of(point.timestamp),
        step=point.step,
        run_id=RunId(point.run_id),
        dataset_name=point.dataset_name,
        dataset_digest=point.dataset_digest,
    )


def registered_of(one: Model, versions: list[Version]) -> TheirRegistered:
    """A registered model with its versions, oldest first."""
    model = ImportedRegisteredModel(
        name=ModelName(one.name),
        created_at=instant_of(one.creation_timestamp),
        updated_at=instant_of(one.last_updated_timestamp),
        fingerprint=fingerprint(one.last_updated_timestamp, one.description, texts_of(one.tags)),
        description=one.description,
        tags=texts_of(one.tags),
        aliases={alias.alias: alias.version for alias in one.aliases},
    )
    return TheirRegistered(model=model, versions=tuple(version_of(found) for found in sorted(versions, key=lambda found: found.version)))


def version_of(one: Version) -> ImportedVersion:
    """A version."""
    tags = texts_of(one.tags)
    return ImportedVersion(
        number=one.version,
        uri=one.source,
        created_at=instant_of(one.creation_timestamp),
        updated_at=instant_of(one.last_updated_timestamp),
        fingerprint=fingerprint(one.last_updated_timestamp, one.description, one.current_stage, one.status, tags),
        run=one.run_id,
        run_link=one.run_link,
        logged_model=one.model_id,
        user=one.user_id,
        description=one.description,
        status=one.status,
        stage=one.current_stage or "None",
        tags=tags,
    )
