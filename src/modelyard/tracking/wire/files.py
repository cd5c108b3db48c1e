"""MLflow's routes that list artifacts, find datasets and say what the server can do."""

from typing import ClassVar
from urllib.parse import urlparse

import msgspec

from modelyard.access.domain import Principal
from modelyard.storage.database import Snapshot
from modelyard.tracking import service
from modelyard.tracking.domain import ExperimentId, FileEntry, PathRefused
from modelyard.tracking.wire.codec import Int64, Request, RunRequest
from modelyard.tracking.wire.errors import MlflowError, invalid
from modelyard.tracking.wire.experiments import given
from modelyard.tracking.wire.messages import Empty, FileMessage, FilesMessage
from modelyard.tracking.wire.models import ModelRequest, model_id_of
from modelyard.tracking.wire.routing import MlflowRoute, Read
from modelyard.tracking.wire.runs import run_id_of

MOST_DATASET_EXPERIMENTS = 20
LONGEST_PRESIGNED_S = 604_800
_PRESIGNED = "/mlflow/artifacts/presigned"


class ListArtifacts(RunRequest, kw_only=True):
    """artifacts/list"""

    path: str | None = None
    page_token: str | None = None


class ListProxied(Request, kw_only=True):
    """mlflow-artifacts/artifacts"""

    path: str | None = None


class ListModelArtifacts(ModelRequest, kw_only=True):
    """logged-models/{model_id}/artifacts/directories"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("model_id",)
    artifact_directory_path: str | None = None
    page_token: str | None = None


class SearchDatasets(Request, kw_only=True):
    """experiments/search-datasets"""

    experiment_ids: tuple[str, ...] = ()


class Presigned(Request, kw_only=True):
    """artifacts/presigned-upload-url and artifacts/presigned-download-url"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("path",)
    run_id: str | None = None
    model_id: str | None = None
    path: str | None = None
    expiration: Int64 | None = None


class PresignedDownload(Presigned, kw_only=True):
    """artifacts/presigned-download-url"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("run_id", "path")


class DatasetSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """A dataset that runs of an experiment read."""

    experiment_id: str
    name: str
    digest: str
    context: str | None = None


class DatasetsAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Datasets of some experiments."""

    dataset_summaries: list[DatasetSummary] = []


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the server can do, as MLflow's clients ask for it. Of presigned addresses it knows the request, as MLflow's proxy does."""

    store_type: str = "SqlStore"
    workspaces_enabled: bool = False
    trace_archival_enabled: bool = False
    multipart_uploads_enabled: bool = True
    multipart_downloads_enabled: bool = False
    presigned_upload_run_id_supported: bool = True
    presigned_upload_model_id_supported: bool = True
    features_enabled: dict[str, bool] = msgspec.field(default_factory=lambda: {"gateway": False})


def file_message(entry: FileEntry, path: str | None = None) -> FileMessage:
    """A file or folder on the wire, under its own path or another."""
    return FileMessage(path=path or entry.path, is_dir=entry.is_folder, file_size=entry.size_bytes or None)


def _list(snapshot: Snapshot, principal: Principal, request: ListArtifacts) -> FilesMessage:
    run_id = run_id_of(request)
    root = service.get_run_facts(snapshot, principal, run_id).artifact_uri
    found = service.list_files(snapshot, principal, run_id, request.path or "")
    # Whoever asks by way of "." is answered by way of it, as by MLflow.
    dot = "./" if (request.path or "").split("/")[0] == "." else ""
    return FilesMessage(root_uri=root, files=[file_message(one, dot + one.path) for one in found])


def _list_of_model(snapshot: Snapshot, principal: Principal, request: ListModelArtifacts) -> FilesMessage:
    model = service.get_logged_model(snapshot, principal, model_id_of(request))
    found = service.list_files(snapshot, principal, model.id, request.artifact_directory_path or "")
    return FilesMessage(root_uri=model.artifact_uri, files=[file_message(one) for one in found])


def _list_proxied(snapshot: Snapshot, principal: Principal, request: ListProxied) -> FilesMessage:
    """The listing behind the proxy's address: names without their folder. Of runs and models it shows what is below their roots."""
    path = service.checked_folder(request.path)
    try:
        owner_id, below = service.SHARED, ""
        if path:
            owner, owned = service.get_proxied(snapshot, principal, path)
            owner_id, below = owner.id, owned.path
    except PathRefused:
        return FilesMessage()
    found = service.list_files(snapshot, principal, owner_id, below)
    return FilesMessage(files=[file_message(one, one.path.rpartition("/")[2]) for one in found])


def _search_datasets(snapshot: Snapshot, principal: Principal, request: SearchDatasets) -> DatasetsAnswer:
    if not request.experiment_ids:
        raise invalid("SearchDatasets request must specify at least one experiment_id.")
    if len(request.experiment_ids) > MOST_DATASET_EXPERIMENTS:
        raise invalid(
            f"SearchDatasets request cannot specify more than {MOST_DATASET_EXPERIMENTS} experiment_ids. "
            f"Received {len(request.experiment_ids)} experiment_ids."
        )
    found = service.list_datasets(snapshot, principal, tuple(map(ExperimentId, request.experiment_ids)))
    return DatasetsAnswer([DatasetSummary(*one) for one in found])


def _presigned_upload(snapshot: Snapshot, principal: Principal, request: Presigned) -> Empty:
    if bool(request.run_id) == bool(request.model_id):
        raise invalid("Exactly one of run_id and model_id must be provided.")
    raise _is_proxied(snapshot, principal, request, ("Presigned upload is not supported for proxied artifact storage", "a"))


def _presigned_download(snapshot: Snapshot, principal: Principal, request: PresignedDownload) -> Empty:
    if request.expiration is not None and not 1 <= request.expiration <= LONGEST_PRESIGNED_S:
        raise invalid(f"expiration must be between 1 and {LONGEST_PRESIGNED_S} seconds (got {request.expiration}).")
    refusal = "Presigned download is not supported for runs with proxied artifact storage", "a run with a"
    raise _is_proxied(snapshot, principal, request, refusal)


def _is_proxied(snapshot: Snapshot, principal: Principal, request: Presigned, refusal: tuple[str, str]) -> MlflowError:
    """The refusal, for somebody who may see the owner: every artifact comes and goes through the proxy."""
    said, needed = refusal
    service.checked_folder(request.path)
    owner = service.get_owner(snapshot, principal, request.run_id or given(request.model_id))
    what = f"This endpoint requires {needed} direct cloud storage artifact URI."
    return invalid(f"{said} (artifact URI scheme: {urlparse(owner.artifact_uri).scheme}). {what}")


def _server_info(snapshot: Snapshot, principal: Principal, request: Request) -> ServerInfo:
    return ServerInfo()


ROUTES = (
    MlflowRoute(method="GET", path="/mlflow/artifacts/list", request=ListArtifacts, action=Read(_list)),
    MlflowRoute(
        method="GET", path="/mlflow/logged-models/{model_id}/artifacts/directories", request=ListModelArtifacts, action=Read(_list_of_model)
    ),
    MlflowRoute(method="GET", path="/mlflow-artifacts/artifacts", request=ListProxied, action=Read(_list_proxied)),
    MlflowRoute(method="POST", path="/mlflow/experiments/search-datasets", request=SearchDatasets, action=Read(_search_datasets)),
    MlflowRoute(method="POST", path=f"{_PRESIGNED}-upload-url", request=Presigned, action=Read(_presigned_upload)),
    MlflowRoute(method="POST", path=f"{_PRESIGNED}-download-url", request=PresignedDownload, action=Read(_presigned_download)),
    MlflowRoute(method="GET", path="/mlflow/server-info", request=Request, action=Read(_server_info), version=3),
)
"""The routes about listings, datasets and the server itself."""
