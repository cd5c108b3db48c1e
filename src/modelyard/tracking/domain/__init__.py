"""Experiments, runs and what is logged to them, and what can be wrong with it. Owns the words; knows no database and no wire."""

from enum import StrEnum
from typing import NewType

import msgspec

from modelyard.access.domain import TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.tracking.domain.errors import (
    ExperimentExists as ExperimentExists,
)
from modelyard.tracking.domain.errors import (
    ExperimentNotActive as ExperimentNotActive,
)
from modelyard.tracking.domain.errors import (
    FilterInvalid as FilterInvalid,
)
from modelyard.tracking.domain.errors import (
    NoSuchArtifact as NoSuchArtifact,
)
from modelyard.tracking.domain.errors import (
    NoSuchExperiment as NoSuchExperiment,
)
from modelyard.tracking.domain.errors import (
    NoSuchModel as NoSuchModel,
)
from modelyard.tracking.domain.errors import (
    NoSuchRun as NoSuchRun,
)
from modelyard.tracking.domain.errors import (
    NoSuchTag as NoSuchTag,
)
from modelyard.tracking.domain.errors import (
    NoSuchUpload as NoSuchUpload,
)
from modelyard.tracking.domain.errors import (
    NoSuchView as NoSuchView,
)
from modelyard.tracking.domain.errors import (
    NotActive as NotActive,
)
from modelyard.tracking.domain.errors import (
    ParamIsSet as ParamIsSet,
)
from modelyard.tracking.domain.errors import (
    PathRefused as PathRefused,
)
from modelyard.tracking.domain.errors import (
    TokenInvalid as TokenInvalid,
)

ExperimentId = NewType("ExperimentId", str)
"""Decimal digits, the shape of MLflow's."""

RunId = NewType("RunId", str)
"""32 hexadecimal digits, the shape of MLflow's."""

LoggedModelId = NewType("LoggedModelId", str)
"""`m-` and 32 hexadecimal digits, the shape of MLflow's."""

SeriesId = NewType("SeriesId", int)
"""One metric key of one run."""

SavedViewId = NewType("SavedViewId", str)
"""`vew_` and 32 hexadecimal digits."""

DEFAULT_EXPERIMENT = ExperimentId("0")
DEFAULT_EXPERIMENT_NAME = "Default"

RUN_NAME_TAG = "mlflow.runName"
PARENT_RUN_TAG = "mlflow.parentRunId"
MODEL_HISTORY_TAG = "mlflow.log-model.history"
DATASET_CONTEXT_TAG = "mlflow.data.context"
TARGET_TAG = "modelyard.target"
"""A dataset's tag: the column that is learned."""
SOURCE_DIGEST_TAG = "modelyard.source_digest"
ENVIRONMENT_DIGEST_TAG = "modelyard.environment_digest"
SNAPSHOT_DIGEST_TAG = "modelyard.snapshot_digest"


class RunStatus(StrEnum):
    """How a run stands, in MLflow's words."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"

    @property
    def is_final(self) -> bool:
        """Whether the run has ended."""
        return self in (RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED)


class Lifecycle(StrEnum):
    """Whether a thing is there or was put in the bin, out of which it can be restored."""

    ACTIVE = "active"
    DELETED = "deleted"


class View(StrEnum):
    """Which lifecycles a search looks at."""

    ACTIVE_ONLY = "ACTIVE_ONLY"
    DELETED_ONLY = "DELETED_ONLY"
    ALL = "ALL"

    @property
    def lifecycles(self) -> tuple[Lifecycle, ...]:
        """Those lifecycles."""
        return {
            View.ACTIVE_ONLY: (Lifecycle.ACTIVE,),
            View.DELETED_ONLY: (Lifecycle.DELETED,),
            View.ALL: (Lifecycle.ACTIVE, Lifecycle.DELETED),
        }[self]


class ModelStatus(StrEnum):
    """How a logged model stands, in MLflow's words."""

    PENDING = "LOGGED_MODEL_PENDING"
    READY = "LOGGED_MODEL_READY"
    UPLOAD_FAILED = "LOGGED_MODEL_UPLOAD_FAILED"
    UNSPECIFIED = "LOGGED_MODEL_STATUS_UNSPECIFIED"


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A question that runs try to answer. Its name is unique in the installation.

    Artifacts of its runs go below `artifact_location`; only `mlflow-artifacts:` locations are kept here.
    """

    id: ExperimentId
    name: str
    team_id: TeamId
    artifact_location: str
    created_at: Instant
    updated_at: Instant
    lifecycle: Lifecycle = Lifecycle.ACTIVE
    tags: dict[str, str] = {}


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a metric. Several values at one step are kept; a repeated point counts once.

    `model_id` and the dataset's name and digest say what the value was measured on, where the client knew.
    """

    key: str
    value: float
    at: Instant
    step: int = 0
    model_id: LoggedModelId | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


class SeriesFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of a run: its latest value and how many points it has, repeated ones included.

    The latest is the one of the highest step, then instant, then value. A value of `None` is not a number (NaN).
    """

    key: str
    value: float | None
    at: Instant
    step: int
    points: int


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset as the client described it. `source`, `schema` and `profile` are JSON texts of the client's."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None


class DatasetInput(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that a run read, with tags such as its context: training, evaluation."""

    dataset: Dataset
    tags: dict[str, str] = {}


class ModelOutput(msgspec.Struct, frozen=True, kw_only=True):
    """A logged model that a run made, and at which step."""

    model_id: LoggedModelId
    step: int = 0


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A run without what was logged to it. `user` is what the client said; `created_by` is who was authenticated.

    The three digests come from the tags of those names. `content_digest` is set when the run ends: it covers params,
    tags, metrics point by point, inputs and artifacts, and stands in the ledger.
    """

    id: RunId
    experiment_id: ExperimentId
    team_id: TeamId
    name: str
    user: str
    status: RunStatus
    started_at: Instant
    artifact_uri: str
    created_by: str
    ended_at: Instant | None = None
    lifecycle: Lifecycle = Lifecycle.ACTIVE
    source_digest: Digest | None = None
    environment_digest: Digest | None = None
    snapshot_digest: Digest | None = None
    content_digest: Digest | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run and what was logged to it; metrics by their latest value."""

    facts: RunFacts
    metrics: tuple[SeriesFacts, ...] = ()
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    datasets: tuple[DatasetInput, ...] = ()
    model_inputs: tuple[LoggedModelId, ...] = ()
    model_outputs: tuple[ModelOutput, ...] = ()


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a run starts with. Without a name it gets a random one; without an instant it starts now."""

    experiment_id: ExperimentId
    name: str = ""
    user: str = ""
    started_at: Instant | None = None
    tags: dict[str, str] = {}


class RunChange(msgspec.Struct, frozen=True, kw_only=True):
    """What changes about a run; absent fields stay."""

    status: RunStatus | None = None
    ended_at: Instant | None = None
    name: str | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What is logged to one run at once: all of it or, where something is refused, none."""

    run_id: RunId
    metrics: tuple[Metric, ...] = ()
    params: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a run or logged model. Its path is relative, in the form `folder/file`."""

    path: str
    digest: Digest
    size_bytes: int
    put_at: Instant


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is on its way in parts, which are numbered from 1. It is its maker's alone, and gone when it has expired."""

    id: str
    owner_id: str
    team_id: TeamId
    path: str
    created_by: str
    parts: int
    expires_at: Instant


class UploadPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part that has arrived. The digest is that of its sealed blob."""

    number: int
    digest: Digest
    size_bytes: int


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder in a listing. A folder has neither size nor digest."""

    path: str
    is_folder: bool
    size_bytes: int | None = None
    digest: Digest | None = None


class LoggedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was logged, registered or not: where its files are, what it was made by, how it did."""

    id: LoggedModelId
    experiment_id: ExperimentId
    team_id: TeamId
    name: str
    artifact_uri: str
    created_at: Instant
    updated_at: Instant
    status: ModelStatus = ModelStatus.PENDING
    model_type: str = ""
    source_run_id: str = ""
    lifecycle: Lifecycle = Lifecycle.ACTIVE
    content_digest: Digest | None = None
    tags: dict[str, str] = {}
    params: dict[str, str] = {}
    metrics: tuple["ModelMetric", ...] = ()


class ModelMetric(msgspec.Struct, frozen=True, kw_only=True):
    """A value that was measured on a logged model, by a run and perhaps on a dataset; `None` is not a number (NaN)."""

    key: str
    value: float | None
    at: Instant
    step: int
    run_id: RunId
    dataset_name: str | None = None
    dataset_digest: str | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A search: a filter and an order in MLflow's grammar, which lifecycles, how many, and where to go on."""

    filter: str = ""
    order_by: tuple[str, ...] = ()
    view: View = View.ACTIVE_ONLY
    limit: int = 100
    page: str = ""


class ExperimentPage(msgspec.Struct, frozen=True, kw_only=True):
    """Experiments and the token that goes on behind them; empty on the last page."""

    experiments: tuple[Experiment, ...]
    next: str = ""


class SavedView(msgspec.Struct, frozen=True, kw_only=True):
    """A view of a table of runs under a name: the query of its address. Without an experiment it is for all of the team's."""

    id: SavedViewId
    team_id: TeamId
    experiment_id: ExperimentId | None
    name: str
    query: str
    saved_by: str
    saved_at: Instant


class RunSearch(Asked, frozen=True, kw_only=True):
    """A search of runs in those experiments."""

    experiment_ids: tuple[ExperimentId, ...]


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """Runs and the token that goes on behind them; empty on the last page."""

    runs: tuple[Run, ...]
    next: str = ""


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of a run over its steps, thinned out to what a reader asked for. A NaN is null."""

    run_id: RunId
    key: str
    steps: list[int]
    at: list[int]
    values: list[float | None]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Points of a metric by instant, step and value, as columns of one length. A value of `None` is not a number (NaN)."""

    at: list[int]
    steps: list[int]
    values: list[float | None]
    next: str = ""
