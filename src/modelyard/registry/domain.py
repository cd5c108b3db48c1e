"""Models, versions, aliases, signatures, and the errors of the registry.

A version never changes; what happens to it are rows of their own. Owns the types; formats and encoding stand beside.
"""

from enum import StrEnum
from typing import Literal, NewType

import msgspec

from modelyard.access.domain import DEFAULT_TEAM, PrincipalId, TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.core.errors import InvalidInput
from modelyard.registry.errors import BadArtifact as BadArtifact
from modelyard.registry.errors import ContentChanged as ContentChanged
from modelyard.registry.errors import FormatRefused as FormatRefused
from modelyard.registry.errors import ModelExists as ModelExists
from modelyard.registry.errors import ModelIsBound as ModelIsBound
from modelyard.registry.errors import NameWasUsed as NameWasUsed
from modelyard.registry.errors import NoSuchAlias as NoSuchAlias
from modelyard.registry.errors import NoSuchModel as NoSuchModel
from modelyard.registry.errors import NoSuchVersion as NoSuchVersion
from modelyard.registry.errors import ParityBroken as ParityBroken
from modelyard.registry.errors import RuntimeMissing as RuntimeMissing
from modelyard.registry.errors import SignatureMismatch as SignatureMismatch
from modelyard.registry.errors import UntrustedType as UntrustedType
from modelyard.registry.errors import VersionIsLive as VersionIsLive
from modelyard.registry.errors import VersionIsRetired as VersionIsRetired

ModelName = NewType("ModelName", str)
"""A model's name, unique in the installation."""

AliasName = NewType("AliasName", str)
"""`champion`, `challenger`, or any other word that points to one version of a model."""

CHAMPION = AliasName("champion")
CHALLENGER = AliasName("challenger")

DType = Literal["float64", "int64", "bool", "string"]


class RiskTier(StrEnum):
    """How much harm a wrong answer does; duties and approvals follow from it."""

    MINIMAL = "minimal"
    LIMITED = "limited"
    HIGH = "high"


class Format(StrEnum):
    """How a version's artifact is written. A folder of MLflow's is kept and handed out; it is never loaded here.

    What lies elsewhere is on record by its address alone: nothing is fetched from there, and it is never served.
    """

    LIGHTGBM = "lightgbm"
    ONNX = "onnx"
    SKOPS = "skops"
    MLFLOW = "mlflow"
    ELSEWHERE = "elsewhere"


SERVED_FORMATS = (Format.LIGHTGBM, Format.ONNX, Format.SKOPS)
"""The formats with a safe loader."""


class Column(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """One input of a model. A string column is encoded by its place in `categories`, as recorded when training."""

    name: str
    dtype: DType
    categories: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if (self.dtype == "string") != (self.categories is not None):
            raise InvalidInput(
                f"column {self.name!r} is {self.dtype} {'without' if self.categories is None else 'with'} categories",
                hint="string columns name their categories, other columns have none",
            )
        if self.categories is not None and len(set(self.categories)) != len(self.categories):
            raise InvalidInput(f"column {self.name!r} names a category twice", hint="name each category once")


class Output(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What a model answers for a row: one number. A probability is that of `label`, in [0, 1]."""

    name: str = "prediction"
    kind: Literal["probability", "number"] = "number"
    label: str = ""


class Signature(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """A model's inputs, in the order of its matrix, and its output."""

    inputs: tuple[Column, ...]
    output: Output = Output()

    def __post_init__(self) -> None:
        names = [column.name for column in self.inputs]
        if not names or len(set(names)) != len(names):
            raise InvalidInput(f"a signature over the columns {names}", hint="name at least one input, and each only once")

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs' names in the matrix's order."""
        return tuple(column.name for column in self.inputs)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model: what it is for, whose it is, how risky. `owner` is who answers for it, as people name them.

    Its `id` stays when it gets another name.
    """

    id: str
    name: ModelName
    team_id: TeamId
    owner: str
    purpose: str
    risk: RiskTier
    created_by: PrincipalId
    created_at: Instant


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an artifact: its path below the artifact's folder, and its content."""

    path: str
    digest: Digest
    size_bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact: the files of a folder by path. The digest of its canonical JSON is the artifact's."""

    files: tuple[File, ...]

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(file.size_bytes for file in self.files)


class StoredArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an artifact in the blob store, found out from its files when it came in.

    `content` and `signature` are None for a folder that is never loaded.
    """

    digest: Digest
    format: Format
    size_bytes: int
    content: Digest | None = None
    signature: Signature | None = None


class NewModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model is made with. `owner` is the person or group that answers for it."""

    name: ModelName
    team_id: TeamId = DEFAULT_TEAM
    owner: str = ""
    purpose: str = ""
    risk: RiskTier = RiskTier.MINIMAL


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model, with the digest of all that it came from. Nothing of it ever changes.

    `artifact` is its manifest's digest, byte for byte; `content` the digest of what the model computes, which two
    trainings on the same data, code and environment share. A digest is None where its source is not recorded.
    """

    model: ModelName
    number: int
    team_id: TeamId
    format: Format
    artifact: Digest
    size_bytes: int
    content: Digest | None
    signature: Signature | None
    run: str | None = None
    snapshot: Digest | None = None
    feature_set: Digest | None = None
    source: Digest | None = None
    environment: Digest | None = None
    metrics: dict[str, float] = {}
    parameters: dict[str, str | int | float | bool | None] = {}
    description: str = ""
    author: PrincipalId
    created_at: Instant


class NewVersion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a version is registered with. The same `key` again answers with the version registered under it before.

    Size, content and, unless they are given, format and signature are those of the artifact that was stored; given ones
    must be the same.
    """

    artifact: Digest
    format: Format | None = None
    signature: Signature | None = None
    run: str | None = None
    snapshot: Digest | None = None
    feature_set: Digest | None = None
    source: Digest | None = None
    environment: Digest | None = None
    metrics: dict[str, float] = {}
    parameters: dict[str, str | int | float | bool | None] = {}
    description: str = ""
    key: str = ""


class VersionState(StrEnum):
    """Where a version stands in its life."""

    REGISTERED = "registered"
    RETIRED = "retired"


class StateChange(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a version's life: the state it came into, when, by whom, and why."""

    state: VersionState
    at: Instant
    actor: PrincipalId
    why: str = ""


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """A word that points to one version, since when, moved by whom."""

    model: ModelName
    name: AliasName
    version: int
    moved_at: Instant
    moved_by: PrincipalId


class AliasMove(msgspec.Struct, frozen=True, kw_only=True):
    """One move of an alias. `before` or `after` is None where it was set first or deleted."""

    model: ModelName
    name: AliasName
    before: int | None
    after: int | None
    moved_at: Instant
    moved_by: PrincipalId


class LoggedSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where MLflow's clients logged a version's files: the run or logged model that owns them, and the folder below it.

    `uri` is the source as the client named it, `location` where clients download the files. Without an owner the files lie
    elsewhere, and nothing is known of them but that address.
    """

    uri: str
    owner: str
    folder: str
    run_link: str = ""
    logged_model: str = ""
    location: str = ""


class Notes(msgspec.Struct, frozen=True, kw_only=True):
    """What may be written about a version at any time, beside it: a description, and the stage that MLflow's clients know."""

    description: str | None = None
    stage: str = "None"
    updated_at: Instant


class FormerName(msgspec.Struct, frozen=True, kw_only=True):
    """A name that a model had when it had versions: whoever has it next goes on counting behind them."""

    name: ModelName
    model: str
    last: int


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A reason why a version is not to be retired, put by whoever uses it, such as an endpoint's revision."""

    model: ModelName
    version: int
    holder: str
    why: str
    since_at: Instant


class Deprecation(msgspec.Struct, frozen=True, kw_only=True):
    """That a version should not be taken up any more: why, which version to take instead, since when, said by whom."""

    why: str
    successor: int | None = None
    since_at: Instant
    actor: PrincipalId


class VersionDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A version with what happened to it: states, aliases, holds, whether it is deprecated; and why none serves it, where that is so."""

    version: ModelVersion
    states: tuple[StateChange, ...]
    aliases: tuple[AliasName, ...] = ()
    holds: tuple[Hold, ...] = ()
    deprecation: Deprecation | None = None
    why_not_served: str = ""

    @property
    def state(self) -> VersionState:
        """Where it stands now."""
        return self.states[-1].state


class ModelDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A model with its aliases and the number of its latest version, 0 before the first."""

    model: Model
    aliases: tuple[Alias, ...] = ()
    latest: int = 0
    versions: int = 0


class LineageKind(StrEnum):
    """What a version came from."""

    RUN = "run"
    SNAPSHOT = "snapshot"
    FEATURE_SET = "feature_set"
    SOURCE = "source"
    ENVIRONMENT = "environment"
    ARTIFACT = "artifact"


class LineageStep(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a version came from, by id or digest; `id` is empty where it was not recorded."""

    kind: LineageKind
    id: str


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """All that a version came from, as recorded when it was registered."""

    model: ModelName
    version: int
    steps: tuple[LineageStep, ...]

    @property
    def missing(self) -> tuple[LineageKind, ...]:
        """What was not recorded."""
        return tuple(step.kind for step in self.steps if not step.id)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in which two versions differ: `left` and `right` as text, None where it is not there."""

    what: str
    left: str | None
    right: str | None


class MetricDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of two versions, `None` where a version has no value."""

    metric: str
    left: float | None
    right: float | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two versions of a model side by side. `same_content` says that both compute the same, whatever else differs."""

    model: ModelName
    left: int
    right: int
    same_content: bool
    differences: tuple[Difference, ...]
    metrics: tuple[MetricDifference, ...]


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """How far two predictors are apart over the same rows; `is_identical` where every bit agrees."""

    rows: int
    is_identical: bool
    largest_difference: float
    largest_ulp32: int
