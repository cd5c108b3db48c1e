"""MLflow's routes about versions of models. A version never changes: its description, tags and stage stand beside it."""

from typing import Any, ClassVar

import msgspec

from modelyard.access.domain import Principal
from modelyard.registry import service
from modelyard.registry.domain import ContentChanged, ModelName, NoSuchVersion, VersionState
from modelyard.registry.rules.names import checked_tag
from modelyard.registry.wire.messages import VersionAnswer, VersionMessage, VersionsAnswer, version_messages
from modelyard.registry.wire.words import check_no_prompt, checked_tags, name_of, number_of, worded
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.tracking.domain import Artifact
from modelyard.tracking.rules.names import checked_key
from modelyard.tracking.rules.paths import checked_path
from modelyard.tracking.wire.codec import Int64, KeyValue, Request, wrong
from modelyard.tracking.wire.errors import MlflowError, invalid
from modelyard.tracking.wire.experiments import given
from modelyard.tracking.wire.messages import Empty
from modelyard.tracking.wire.routing import Download, MlflowRoute, Read, Write

PATH = "/mlflow/model-versions"
FILE_PATH = "/model-versions/get-artifact"
MOST_VERSIONS = 200_000
ACTIVE = ("Staging", "Production")


class VersionRequest(Request, kw_only=True):
    """A request about one version."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "version")
    name: str | None = None
    version: str | None = None


class CreateVersion(Request, kw_only=True):
    """model-versions/create"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "source")
    name: str | None = None
    source: str | None = None
    run_id: str | None = None
    run_link: str | None = None
    description: str | None = None
    model_id: str | None = None
    tags: tuple[KeyValue, ...] = ()


class UpdateVersion(VersionRequest, kw_only=True):
    """model-versions/update"""

    description: str | None = None


class MoveStage(VersionRequest, kw_only=True):
    """model-versions/transition-stage"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "version", "stage")
    stage: str | None = None
    archive_existing_versions: Any = None


class VersionTag(VersionRequest, kw_only=True):
    """model-versions/set-tag and delete-tag"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "version", "key")
    key: str | None = None
    value: str | None = None


class LocationRequest(VersionRequest, kw_only=True):
    """model-versions/get-download-uri, which asks for no parameter before it looks"""

    REQUIRED: ClassVar[tuple[str, ...]] = ()


class SearchRequest(Request, kw_only=True):
    """model-versions/search and registered-models/search"""

    filter: str | None = None
    max_results: Int64 | None = None
    order_by: tuple[str, ...] = ()
    page_token: str | None = None


class FileRequest(VersionRequest, kw_only=True):
    """model-versions/get-artifact, outside of the interface's prefixes"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("path",)
    path: str | None = None


class LocationAnswer(msgspec.Struct, frozen=True):
    """Where a version's files are downloaded."""

    artifact_uri: str


def asked_of(request: SearchRequest, *, otherwise: int, most: int) -> service.Asked:
    """The search that a request asks for. Raises MlflowError for a number of results that is not given."""
    limit = otherwise if request.max_results is None else request.max_results
    if limit > most:
        raise wrong("max_results", str(limit))
    if limit < 1:
        raise invalid(f"Invalid value for max_results. It must be a positive integer, but got {limit}")
    return service.Asked(filter=request.filter or "", order_by=request.order_by, limit=limit, page=request.page_token or "")


def shown(snapshot: Snapshot, principal: Principal, model: ModelName, number: int) -> VersionMessage:
    """A version on the wire. Raises NoSuchVersion also for a retired one, which MLflow's clients call deleted."""
    if service.show_version(snapshot, principal, model, number).state is VersionState.RETIRED:
        raise NoSuchVersion(f"version {number} of {model} was retired")
    return version_messages(snapshot, [(model, number)])[0]


def _one(snapshot: Snapshot, principal: Principal, request: VersionRequest) -> VersionMessage:
    return shown(snapshot, principal, name_of(request), number_of(request))


class VersionRoutes:
    """The routes that need more than a transaction: those that register a version out of the blob store."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    def rows(self) -> tuple[MlflowRoute, ...]:
        """The rows for the table."""
        action = Write(worded(_create), worded(self._prepare))
        return (
            MlflowRoute(method="POST", path=f"{PATH}/create", request=CreateVersion, action=action),
            MlflowRoute(method="GET", path=FILE_PATH, request=FileRequest, action=Download(worded(self._file)), version=None),
        )

    def _file(self, snapshot: Snapshot, principal: Principal, request: FileRequest) -> Artifact:
        """A file as it was registered, also where what lies at the version's source was changed since."""
        path = checked_path(given(request.path))
        found = _one(snapshot, principal, request)
        version = service.get_version(snapshot, ModelName(found.name), int(found.version))
        files = service.files_of(self._blobs, version).files
        file = next((one for one in files if one.path == path), None)
        if file is None and any(one.path.startswith(f"{path}/") for one in files):
            raise invalid(f"Artifact path refers to a directory, not a file: '{path}'")
        if file is None:
            raise MlflowError("RESOURCE_DOES_NOT_EXIST", f"No such artifact: '{path}'")
        return Artifact(path=file.path, digest=file.digest, size_bytes=file.size_bytes, put_at=version.created_at)

    def _prepare(self, snapshot: Snapshot, principal: Principal, request: CreateVersion) -> Any:
        sought = service.Sought(
            uri=given(request.source),
            run=request.run_id or "",
            run_link=request.run_link or "",
            logged_model=request.model_id or "",
            description=request.description or "",
            names_run=request.run_id is not None,
        )
        prepared = service.prepare_logged(self._database, self._blobs, snapshot, principal, sought)
        service.get_model(snapshot, principal, name_of(request))
        return prepared


def _create(tx: Transaction, principal: Principal, request: CreateVersion, prepared: Any) -> VersionAnswer:
    name, tags = name_of(request), checked_tags(request.tags)
    version = service.register_logged(tx, principal, name, prepared, tags)
    return VersionAnswer(version_messages(tx, [(version.model, version.number)])[0])


def _get(snapshot: Snapshot, principal: Principal, request: VersionRequest) -> VersionAnswer:
    return VersionAnswer(_one(snapshot, principal, request))


def _update(tx: Transaction, principal: Principal, request: UpdateVersion) -> VersionAnswer:
    found = _one(tx, principal, request)
    service.describe_version(tx, principal, ModelName(found.name), int(found.version), request.description or "")
    return VersionAnswer(_one(tx, principal, request))


def _delete(tx: Transaction, principal: Principal, request: VersionRequest) -> Empty:
    found = _one(tx, principal, request)
    model, number = ModelName(found.name), int(found.version)
    for alias in service.list_aliases(tx, principal, model):
        if alias.version == number:
            service.delete_alias(tx, principal, model, alias.name)
    service.retire_version(tx, principal, model, number, "deleted by an MLflow client")
    return Empty()


def _move_stage(tx: Transaction, principal: Principal, request: MoveStage) -> VersionAnswer:
    if not isinstance(request.archive_existing_versions, bool | None):
        raise wrong("archive_existing_versions", request.archive_existing_versions)
    stage = service.known_stage(given(request.stage))
    if request.archive_existing_versions and stage not in ACTIVE:
        raise invalid(
            f"Model version transition cannot archive existing model versions because '{given(request.stage)}' is not an Active stage. "
            f"Valid stages are {list(ACTIVE)}"
        )
    found = _one(tx, principal, request)
    model = ModelName(found.name)
    if request.archive_existing_versions:
        _archive(tx, principal, model, int(found.version), stage)
    service.move_stage(tx, principal, model, int(found.version), stage)
    return VersionAnswer(_one(tx, principal, request))


def _archive(tx: Transaction, principal: Principal, model: ModelName, keep: int, stage: str) -> None:
    """Moves every other version out of the stage; each pass takes the newest that is left in it."""
    while True:
        found = service.latest_by_stage(tx, model)
        number = next((number for name, number in found.items() if name == stage and number != keep), None)
        if number is None:
            return
        service.move_stage(tx, principal, model, number, "Archived")


def _search(snapshot: Snapshot, principal: Principal, request: SearchRequest) -> VersionsAnswer:
    found = service.search_versions(snapshot, principal, asked_of(request, otherwise=10_000, most=MOST_VERSIONS))
    return VersionsAnswer(version_messages(snapshot, found.keys), found.next or None)


def _location(snapshot: Snapshot, principal: Principal, request: VersionRequest) -> LocationAnswer:
    found = _one(snapshot, principal, request)
    try:
        return LocationAnswer(service.download_location(snapshot, principal, ModelName(found.name), int(found.version)))
    except ContentChanged as error:
        raise MlflowError("RESOURCE_CONFLICT", f"{error.message} {error.hint}") from error


def _set_tag(tx: Transaction, principal: Principal, request: VersionTag) -> Empty:
    name, number, tag = name_of(request), number_of(request), dict([checked_tag(given(request.key), request.value or "")])
    check_no_prompt(tag)
    shown(tx, principal, name, number)
    service.set_tags(tx, principal, name, number, tag)
    return Empty()


def _delete_tag(tx: Transaction, principal: Principal, request: VersionTag) -> Empty:
    name, number, key = name_of(request), number_of(request), checked_key(request.key, "key")
    shown(tx, principal, name, number)
    service.delete_tag(tx, principal, name, number, key)
    return Empty()


ROUTES = (
    MlflowRoute(method="GET", path=f"{PATH}/get", request=VersionRequest, action=Read(worded(_get))),
    MlflowRoute(method="PATCH", path=f"{PATH}/update", request=UpdateVersion, action=Write(worded(_update))),
    MlflowRoute(method="DELETE", path=f"{PATH}/delete", request=VersionRequest, action=Write(worded(_delete))),
    MlflowRoute(method="POST", path=f"{PATH}/transition-stage", request=MoveStage, action=Write(worded(_move_stage))),
    MlflowRoute(method="GET", path=f"{PATH}/search", request=SearchRequest, action=Read(worded(_search))),
    MlflowRoute(method="GET", path=f"{PATH}/get-download-uri", request=LocationRequest, action=Read(worded(_location))),
    MlflowRoute(method="POST", path=f"{PATH}/set-tag", request=VersionTag, action=Write(worded(_set_tag))),
    MlflowRoute(method="DELETE", path=f"{PATH}/delete-tag", request=VersionTag, action=Write(worded(_delete_tag))),
)
"""The routes about versions."""
