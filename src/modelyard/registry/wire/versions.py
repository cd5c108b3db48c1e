"""MLflow's routes about versions of models. A version never changes: its description, tags and stage stand beside it."""

from typing import Any, ClassVar

import msgspec

from modelyard.access.domain import Principal
from modelyard.registry import service
from modelyard.registry.domain import ContentChanged, ModelName, NoSuchVersion, VersionIsLive, VersionState
from modelyard.registry.wire.messages import VersionAnswer, VersionMessage, VersionsAnswer, version_messages
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.tracking.wire.codec import Int64, KeyValue, Request
from modelyard.tracking.wire.errors import MlflowError, invalid
from modelyard.tracking.wire.experiments import given
from modelyard.tracking.wire.messages import Empty
from modelyard.tracking.wire.routing import MlflowRoute, Read, Write

PATH = "/mlflow/model-versions"
MOST_VERSIONS = 200_000
ACTIVE = ("staging", "production")


class VersionRequest(Request, kw_only=True):
    """A request about one version."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "version")
    name: str | None = None
    version: str | int | None = None


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
    archive_existing_versions: bool | str | None = None


class VersionTag(VersionRequest, kw_only=True):
    """model-versions/set-tag and delete-tag"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "version", "key")
    key: str | None = None
    value: str | None = None


class SearchRequest(Request, kw_only=True):
    """model-versions/search and registered-models/search"""

    filter: str | None = None
    max_results: Int64 | None = None
    order_by: tuple[str, ...] = ()
    page_token: str | None = None


class LocationAnswer(msgspec.Struct, frozen=True):
    """Where a version's files are downloaded."""

    artifact_uri: str


def number_of(request: Any) -> int:
    """The number of the version that a request is about. Raises MlflowError."""
    text = str(request.version)
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise invalid(f"Parameter 'version' must be an integer, got '{text[:60]}'.")
    return int(text)


def asked_of(request: SearchRequest, *, otherwise: int, most: int) -> service.Asked:
    """The search that a request asks for. Raises MlflowError for a number of results that is not given."""
    limit = otherwise if request.max_results is None else request.max_results
    if not 1 <= limit <= most:
        raise invalid(f"Invalid value for max_results. It must be at least 1 and at most {most}, but got value {limit}.")
    return service.Asked(filter=request.filter or "", order_by=request.order_by, limit=limit, page=request.page_token or "")


def shown(snapshot: Snapshot, principal: Principal, model: ModelName, number: int) -> VersionMessage:
    """A version on the wire. Raises NoSuchVersion also for a retired one, which MLflow's clients call deleted."""
    if service.show_version(snapshot, principal, model, number).state is VersionState.RETIRED:
        raise NoSuchVersion(f"Model Version (name={model}, version={number}) not found: it was retired")
    return version_messages(snapshot, [(model, number)])[0]


def _one(snapshot: Snapshot, principal: Principal, request: VersionRequest) -> VersionMessage:
    return shown(snapshot, principal, ModelName(given(request.name)), number_of(request))


class VersionRoutes:
    """The routes that need more than a transaction: those that register a version out of the blob store."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    def rows(self) -> tuple[MlflowRoute, ...]:
        """The rows for the table."""
        return (MlflowRoute(method="POST", path=f"{PATH}/create", request=CreateVersion, action=Write(_create, self._prepare)),)

    def _prepare(self, snapshot: Snapshot, principal: Principal, request: CreateVersion) -> Any:
        sought = service.Sought(
            uri=given(request.source),
            run=request.run_id or "",
            run_link=request.run_link or "",
            logged_model=request.model_id or "",
            description=request.description or "",
        )
        service.get_model(snapshot, principal, ModelName(given(request.name)))
        return service.prepare_logged(self._database, self._blobs, snapshot, principal, sought)


def _create(tx: Transaction, principal: Principal, request: CreateVersion, prepared: Any) -> VersionAnswer:
    version = service.register_logged(tx, principal, ModelName(given(request.name)), prepared)
    service.set_tags(tx, principal, version.model, version.number, {given(tag.key): tag.value or "" for tag in request.tags})
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
    try:
        service.retire_version(tx, principal, model, number, "deleted by an MLflow client")
    except VersionIsLive as error:
        raise MlflowError("RESOURCE_CONFLICT", f"{error.message}; {error.hint}") from error
    return Empty()


def _move_stage(tx: Transaction, principal: Principal, request: MoveStage) -> VersionAnswer:
    found, stage = _one(tx, principal, request), given(request.stage)
    model = ModelName(found.name)
    if str(request.archive_existing_versions).lower() == "true":
        if stage.lower() not in ACTIVE:
            raise invalid(
                f"Model version transition cannot archive existing model versions because '{stage[:60]}' is not an Active stage. "
                "Valid stages are ['staging', 'production']"
            )
        _archive(tx, principal, model, int(found.version), stage)
    service.move_stage(tx, principal, model, int(found.version), stage)
    return VersionAnswer(_one(tx, principal, request))


def _archive(tx: Transaction, principal: Principal, model: ModelName, keep: int, stage: str) -> None:
    """Moves every other version out of the stage; each pass takes the newest that is left in it."""
    while True:
        found = service.dated_models(tx, [model])[0].latest
        number = next((number for name, number in found.items() if name.lower() == stage.lower() and number != keep), None)
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
    found = _one(tx, principal, request)
    service.set_tags(tx, principal, ModelName(found.name), int(found.version), {given(request.key): request.value or ""})
    return Empty()


def _delete_tag(tx: Transaction, principal: Principal, request: VersionTag) -> Empty:
    found = _one(tx, principal, request)
    service.delete_tag(tx, principal, ModelName(found.name), int(found.version), given(request.key))
    return Empty()


ROUTES = (
    MlflowRoute(method="GET", path=f"{PATH}/get", request=VersionRequest, action=Read(_get)),
    MlflowRoute(method="PATCH", path=f"{PATH}/update", request=UpdateVersion, action=Write(_update)),
    MlflowRoute(method="DELETE", path=f"{PATH}/delete", request=VersionRequest, action=Write(_delete)),
    MlflowRoute(method="POST", path=f"{PATH}/transition-stage", request=MoveStage, action=Write(_move_stage)),
    MlflowRoute(method="GET", path=f"{PATH}/search", request=SearchRequest, action=Read(_search)),
    MlflowRoute(method="GET", path=f"{PATH}/get-download-uri", request=VersionRequest, action=Read(_location)),
    MlflowRoute(method="POST", path=f"{PATH}/set-tag", request=VersionTag, action=Write(_set_tag)),
    MlflowRoute(method="DELETE", path=f"{PATH}/delete-tag", request=VersionTag, action=Write(_delete_tag)),
)
"""The routes about versions."""
