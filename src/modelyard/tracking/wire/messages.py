"""Answers as MLflow's JSON: structs of the wire, made from domain types. Absent and empty fields are left out, as MLflow does."""

import msgspec

from modelyard.core.clock import Instant
from modelyard.tracking.domain import Experiment, LoggedModel, Run, RunFacts

Number = float | str


class Empty(msgspec.Struct, frozen=True):
    """An answer without content."""


class Tag(msgspec.Struct, frozen=True, gc=False):
    """A tag or param."""

    key: str
    value: str


class ExperimentMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An experiment. MLflow's workspaces are not kept here: all lies in the one that it calls `default`."""

    experiment_id: str
    name: str
    artifact_location: str
    lifecycle_stage: str
    last_update_time: int
    creation_time: int
    workspace: str
    tags: list[Tag] = []


class RunInfoMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run's facts."""

    run_uuid: str
    run_id: str
    run_name: str
    experiment_id: str
    user_id: str
    status: str
    start_time: int
    artifact_uri: str
    lifecycle_stage: str
    end_time: int | None = None


class MetricMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A metric's point."""

    key: str
    value: Number
    timestamp: int
    step: int
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None
    run_id: str | None = None


class RunDataMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was logged to a run."""

    metrics: list[MetricMessage] = []
    params: list[Tag] = []
    tags: list[Tag] = []


class DatasetMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A dataset."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None


class DatasetInputMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A dataset that a run read."""

    dataset: DatasetMessage
    tags: list[Tag] = []


class ModelInputMessage(msgspec.Struct, frozen=True):
    """A logged model that a run read."""

    model_id: str


class ModelOutputMessage(msgspec.Struct, frozen=True):
    """A logged model that a run made."""

    model_id: str
    step: int


class RunInputsMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run read."""

    dataset_inputs: list[DatasetInputMessage] = []
    model_inputs: list[ModelInputMessage] = []


class RunOutputsMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run made."""

    model_outputs: list[ModelOutputMessage] = []


class RunMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run."""

    info: RunInfoMessage
    data: RunDataMessage
    inputs: RunInputsMessage
    outputs: RunOutputsMessage | None = None


class FileMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file or folder of a listing."""

    path: str
    is_dir: bool
    file_size: int | None = None


class FilesMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A listing of artifacts."""

    root_uri: str | None = None
    files: list[FileMessage] = []
    next_page_token: str | None = None


class LoggedModelInfoMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A logged model's facts."""

    model_id: str
    experiment_id: str
    name: str
    creation_timestamp_ms: int
    last_updated_timestamp_ms: int
    artifact_uri: str
    status: str
    model_type: str
    source_run_id: str
    tags: list[Tag] = []


class LoggedModelDataMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was logged about a model."""

    params: list[Tag] = []
    metrics: list[MetricMessage] = []


class LoggedModelMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A logged model."""

    info: LoggedModelInfoMessage
    data: LoggedModelDataMessage


class LoggedModelAnswer(msgspec.Struct, frozen=True):
    """One logged model."""

    model: LoggedModelMessage


def milliseconds(at: Instant | int) -> int:
    """An instant as MLflow's milliseconds."""
    return at // 1000


def number(value: float | None) -> Number:
    """A double as protobuf's JSON has it: NaN, here also None, and the infinities as words."""
    if value is None or value != value:
        return "NaN"
    return value if abs(value) != float("inf") else "Infinity" if value > 0 else "-Infinity"


def tags_message(tags: dict[str, str]) -> list[Tag]:
    """Tags or params as pairs."""
    return [Tag(key, value) for key, value in tags.items()]


def experiment_message(experiment: Experiment) -> ExperimentMessage:
    """An experiment on the wire."""
    return ExperimentMessage(
        experiment_id=experiment.id,
        name=experiment.name,
        artifact_location=experiment.artifact_location,
        lifecycle_stage=experiment.lifecycle,
        last_update_time=milliseconds(experiment.updated_at),
        creation_time=milliseconds(experiment.created_at),
        workspace="default",
        tags=tags_message(experiment.tags),
    )


def info_message(facts: RunFacts) -> RunInfoMessage:
    """A run's facts on the wire."""
    return RunInfoMessage(
        run_uuid=facts.id,
        run_id=facts.id,
        run_name=facts.name,
        experiment_id=facts.experiment_id,
        user_id=facts.user,
        status=facts.status,
        start_time=milliseconds(facts.started_at),
        artifact_uri=facts.artifact_uri,
        lifecycle_stage=facts.lifecycle,
        # MLflow tells an end at 0 as none.
        end_time=milliseconds(facts.ended_at) or None if facts.ended_at is not None else None,
    )


def run_message(run: Run, *, is_new: bool = False) -> RunMessage:
    """A run on the wire."""
    inputs = RunInputsMessage(
        dataset_inputs=[
            DatasetInputMessage(dataset=DatasetMessage(**msgspec.structs.asdict(one.dataset)), tags=tags_message(one.tags))
            for one in run.datasets
        ],
        model_inputs=[ModelInputMessage(model) for model in run.model_inputs],
    )
    outputs = RunOutputsMessage(model_outputs=[ModelOutputMessage(one.model_id, one.step) for one in run.model_outputs])
    metrics = [MetricMessage(key=m.key, value=number(m.value), timestamp=milliseconds(m.at), step=m.step) for m in run.metrics]
    data = RunDataMessage(metrics=metrics, params=tags_message(run.params), tags=tags_message(run.tags))
    return RunMessage(info=info_message(run.facts), data=data, inputs=inputs, outputs=None if is_new else outputs)


def model_message(model: LoggedModel) -> LoggedModelMessage:
    """A logged model on the wire."""
    info = LoggedModelInfoMessage(
        model_id=model.id,
        experiment_id=model.experiment_id,
        name=model.name,
        creation_timestamp_ms=milliseconds(model.created_at),
        last_updated_timestamp_ms=milliseconds(model.updated_at),
        artifact_uri=model.artifact_uri,
        status=model.status,
        model_type=model.model_type,
        source_run_id=model.source_run_id,
        tags=tags_message(model.tags),
    )
    metrics = [
        MetricMessage(
            key=one.key,
            value=number(one.value),
            timestamp=milliseconds(one.at),
            step=one.step,
            model_id=model.id,
            dataset_name=one.dataset_name,
            dataset_digest=one.dataset_digest,
            run_id=one.run_id,
        )
        for one in model.metrics
    ]
    return LoggedModelMessage(info=info, data=LoggedModelDataMessage(params=tags_message(model.params), metrics=metrics))
