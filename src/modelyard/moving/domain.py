"""What another server holds, in the words of ours, how an import went, and what can be wrong. Reads and writes nothing."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import msgspec

from modelyard.access.domain import TeamId
from modelyard.core.digests import Digest, digest_bytes
from modelyard.core.errors import InvalidInput, Kind, ModelyardError
from modelyard.registry.imports import ImportedRegisteredModel, ImportedVersion
from modelyard.tracking.domain import Lifecycle
from modelyard.tracking.imports import ImportedExperiment, ImportedModel, ImportedRun, SourceName
from modelyard.tracking.rules.series import Points


class SourceUnreachable(ModelyardError):
    """The server or database that is read from does not answer."""

    kind = Kind.UNREACHABLE


class SourceRefuses(ModelyardError):
    """The server that is read from does not let the caller in."""

    kind = Kind.FORBIDDEN


class SourceOdd(InvalidInput):
    """What is read from answers something that MLflow never does."""


class FilesUnreadable(InvalidInput):
    """The files of a run or logged model lie where this process cannot read them."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A run or logged model there as the owner of files, and where it says they lie."""

    id: str
    artifact_uri: str


class TheirFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file there: its path below its owner's folder, and its size where the source tells it."""

    path: str
    size_bytes: int | None = None


class LatestPoint(NamedTuple):
    """A metric's latest point there; the value as text, so that every value compares."""

    value: str
    at: int
    step: int
    points: int = -1


class TheirRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run there, its experiment by its id there. `latest` tells whether metrics changed; it counts points where the source can."""

    run: ImportedRun
    artifact_uri: str
    lifecycle: Lifecycle = Lifecycle.ACTIVE
    latest: Mapping[str, LatestPoint] = {}

    @property
    def holder(self) -> Holder:
        """The run as the owner of files."""
        return Holder(id=self.run.id, artifact_uri=self.artifact_uri)


class TheirModel(msgspec.Struct, frozen=True, kw_only=True):
    """A logged model there, its experiment by its id there."""

    model: ImportedModel
    artifact_uri: str
    lifecycle: Lifecycle = Lifecycle.ACTIVE

    @property
    def holder(self) -> Holder:
        """The model as the owner of files."""
        return Holder(id=self.model.id, artifact_uri=self.artifact_uri)


class TheirRegistered(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model there with its versions, whose owners are still to be found."""

    model: ImportedRegisteredModel
    versions: tuple[ImportedVersion, ...] = ()


class Source(Protocol):
    """An MLflow that is read: a server or a database. Everything comes in parts, so that memory stays flat."""

    def experiments(self) -> Iterator[ImportedExperiment]:
        """Every experiment, those in the bin too."""
        ...

    def runs(self, experiment_id: str) -> Iterator[list[TheirRun]]:
        """The runs of an experiment, those in the bin too, page by page."""
        ...

    def points(self, run: TheirRun) -> Iterator[tuple[str, Points]]:
        """Each metric of a run with all of its points."""
        ...

    def logged_models(self, experiment_id: str) -> Iterator[TheirModel]:
        """The logged models of an experiment."""
        ...

    def registered(self) -> Iterator[TheirRegistered]:
        """The registered models with their versions."""
        ...

    def files(self, holder: Holder) -> Iterator[TheirFile]:
        """The files of a run or logged model. Raises FilesUnreadable."""
        ...

    def content(self, holder: Holder, path: str) -> AbstractContextManager[Iterator[bytes]]:
        """A file's content in chunks, while the block runs."""
        ...


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be brought. `experiments` are names; none means all. `is_full` compares again what was brought before."""

    source: SourceName
    experiments: tuple[str, ...] = ()
    team: TeamId | None = None
    has_files: bool = True
    is_full: bool = False
    is_dry: bool = False


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not here as it is there: what, which, and what each side says."""

    what: str
    name: str
    there: str
    here: str


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a kind are there, were brought now, and had been brought before and are unchanged there."""

    there: int = 0
    brought: int = 0
    unchanged: int = 0


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """How an import went. Everything that was brought was compared with its source; `mismatches` names what is not equal.

    `notes` are about what was brought otherwise than one may expect, such as versions without files.
    """

    source: SourceName
    is_dry: bool
    tallies: dict[str, Tally]
    mismatches: tuple[Mismatch, ...]
    notes: tuple[str, ...]
    took_s: float


KINDS = (
    "experiments",
    "runs",
    "params",
    "tags",
    "points",
    "logged models",
    "artifacts",
    "bytes",
    "registered models",
    "versions",
    "aliases",
)
"""What a report counts, in its order."""


def fingerprint(*state: object) -> str:
    """A short text that is equal where the state there is: what was brought before is read again only where it differs."""
    return digest_bytes(msgspec.json.encode(state, order="deterministic"))


def shortened(digest: Digest | str) -> str:
    """A digest as a table shows it.

    >>> shortened("sha256:0123456789abcdef0123")
    '0123456789ab'
    """
    return digest.removeprefix("sha256:")[:12]
