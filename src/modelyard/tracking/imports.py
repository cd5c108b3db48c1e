"""What is brought in from another tracking server, and what was brought before: frozen types. Knows no database and no other server."""

from typing import Literal, NewType

import msgspec

from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.core.errors import Conflict
from modelyard.tracking.domain import (
    Artifact,
    DatasetInput,
    ExperimentId,
    Lifecycle,
    LoggedModel,
    LoggedModelId,
    ModelMetric,
    ModelOutput,
    ModelStatus,
    Run,
    RunId,
    RunStatus,
)

SourceName = NewType("SourceName", str)
"""Where something was brought from: an address without its credentials, or a name that the importer chose."""

ImportKind = Literal["experiment", "run", "logged_model", "registered_model", "version", "alias"]

IMPORTED_FROM_TAG = "modelyard.imported_from"
IMPORTED_URI_TAG = "modelyard.imported_artifact_uri"


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """That a thing of a source is here, under which id. `fingerprint` is of its state there; empty until it is here in full."""

    their_id: str
    our_id: str
    fingerprint: str = ""


class ImportedExperiment(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment as its source has it. It keeps its id here where that is free."""

    id: str
    name: str
    created_at: Instant
    updated_at: Instant
    lifecycle: Lifecycle = Lifecycle.ACTIVE
    tags: dict[str, str] = {}


class ExperimentHere(msgspec.Struct, frozen=True, kw_only=True):
    """Where an experiment's runs come to. One that was here under that name before is joined: its own facts stay as they are."""

    their_id: str
    our_id: ExperimentId
    is_joined: bool = False


class PackedSeries(msgspec.Struct, frozen=True, kw_only=True):
    """Points of one metric, 24 bytes each, column by column, little-endian: all instants in microseconds, steps, values."""

    key: str
    points: bytes


class ImportedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run as its source has it, in an experiment of ours, with some of its points. It keeps its id."""

    id: RunId
    experiment_id: ExperimentId
    name: str
    user: str
    status: RunStatus
    started_at: Instant
    ended_at: Instant | None = None
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    datasets: tuple[DatasetInput, ...] = ()
    model_inputs: tuple[LoggedModelId, ...] = ()
    model_outputs: tuple[ModelOutput, ...] = ()
    series: tuple[PackedSeries, ...] = ()


class ImportedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A logged model as its source has it, in an experiment of ours. It keeps its id."""

    id: LoggedModelId
    experiment_id: ExperimentId
    name: str
    model_type: str
    source_run_id: str
    status: ModelStatus
    created_at: Instant
    updated_at: Instant
    tags: dict[str, str] = {}
    params: dict[str, str] = {}
    metrics: tuple[ModelMetric, ...] = ()


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What was not taken, and why."""

    id: str
    code: str
    message: str


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """A run or logged model that was brought, with its lifecycle there; the fingerprint is empty while something of it is missing."""

    id: str
    fingerprint: str
    lifecycle: Lifecycle = Lifecycle.ACTIVE


class SeriesContent(msgspec.Struct, frozen=True, kw_only=True):
    """What a series holds: how many points, repeated ones once, and their digest."""

    points: int
    digest: Digest


class RunContent(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run holds; its points by count and digest."""

    run: Run
    series: dict[str, SeriesContent]
    artifacts: tuple[Artifact, ...]


class ModelContent(msgspec.Struct, frozen=True, kw_only=True):
    """All that a logged model holds."""

    model: LoggedModel
    artifacts: tuple[Artifact, ...]


class ImportEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What an import brought, by kind of thing, how much of it did not match, and the digest of the report of it."""

    source: SourceName
    brought: dict[str, int]
    mismatches: int
    report: Digest


class TakenHere(Conflict):
    """Something here has that id or name, and it did not come from that source."""
