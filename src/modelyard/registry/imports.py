"""Registered models as another server has them, and a model told in full for whoever takes it away: frozen types."""

from typing import Literal

import msgspec

from modelyard.access.domain import TeamId
from modelyard.core.clock import Instant
from modelyard.registry.domain import AliasMove, LoggedSource, ModelDetail, ModelName, Notes, VersionDetail
from modelyard.tracking.imports import SourceName

STATUS_TAG = "modelyard.imported_status"
USER_TAG = "modelyard.imported_user"


class ImportedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version as its source has it. `owner` is the run or logged model, brought before, whose `folder` holds its files.

    Without an owner its files lie where nobody could read them: it becomes a record without files.
    """

    number: int
    uri: str
    created_at: Instant
    updated_at: Instant
    fingerprint: str
    owner: str = ""
    folder: str = ""
    run: str = ""
    run_link: str = ""
    logged_model: str = ""
    user: str = ""
    description: str = ""
    status: str = "READY"
    stage: str = "None"
    tags: dict[str, str] = {}


class ImportedRegisteredModel(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model as its source has it; `aliases` are numbers of versions by alias."""

    name: ModelName
    created_at: Instant
    updated_at: Instant
    fingerprint: str
    description: str = ""
    tags: dict[str, str] = {}
    aliases: dict[str, int] = {}


class ModelImport(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model that is brought, with some of its versions; aliases are set to versions that are here by then."""

    source: SourceName
    model: ImportedRegisteredModel
    versions: tuple[ImportedVersion, ...] = ()
    team: TeamId | None = None


class VersionHere(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a version: made, known from before, or refused and why. `has_files` says whether it can be downloaded."""

    number: int
    became: Literal["made", "known", "refused"]
    has_files: bool = False
    message: str = ""


class ModelHere(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a model's versions and aliases; `refused` are aliases that were not set, each with the reason."""

    versions: tuple[VersionHere, ...]
    refused: dict[str, str] = {}


class VersionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A version with all that stands beside it."""

    detail: VersionDetail
    notes: Notes
    tags: dict[str, str] = {}
    source: LoggedSource | None = None


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A model with its tags, every move of its aliases, and some of its versions, newest first."""

    detail: ModelDetail
    updated_at: Instant
    tags: dict[str, str] = {}
    moves: tuple[AliasMove, ...] = ()
    versions: tuple[VersionRecord, ...] = ()
