"""Requests whose body or answer is no message: content of artifacts, uploads in parts, what is asked before a login.

Owns which path means what; what is done is the proxy's and the uploads'.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from typing import NamedTuple

from modelyard.access.domain import Principal
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot
from modelyard.tracking.domain import Artifact
from modelyard.tracking.wire.errors import MlflowError
from modelyard.tracking.wire.http import Receive, Scope, Send, send_text
from modelyard.tracking.wire.proxy import ArtifactProxy
from modelyard.tracking.wire.uploads import PARTS, Uploads

PATHS = ("/get-artifact", "/health", "/version")
"""Paths outside of the interface's prefixes that MLflow's clients ask."""

OPEN = {"/health": b"OK", "/version": b"3.17.2"}
"""What is told to anybody: that the server is there, and which MLflow it speaks like."""

_ARTIFACTS = "/api/2.0/mlflow-artifacts"
_MODEL_FILES = "/api/2.0/mlflow/logged-models/{model_id}/artifacts/files"
_BELOW = {
    f"{_ARTIFACTS}/artifacts/": ("DELETE", "GET", "PUT"),
    f"{_ARTIFACTS}/presigned/": ("GET",),
    f"{_ARTIFACTS}/mpu/create/": ("POST",),
    f"{_ARTIFACTS}/mpu/complete/": ("POST",),
    f"{_ARTIFACTS}/mpu/abort/": ("POST",),
}
_EXACT = {
    ("GET", "/api/2.0/mlflow/get-artifact"),
    ("POST", "/api/2.0/mlflow/upload-artifact"),
    *(("GET", path) for path in PATHS),
}
TEMPLATES = frozenset(
    {
        *_EXACT,
        *((method, f"{prefix}{{path}}") for prefix, methods in _BELOW.items() for method in methods),
        ("GET", _MODEL_FILES),
        ("PUT", f"{PARTS}/{{upload_id}}/{{number}}"),
    }
)
"""The method and template of every such route."""


class FoundContent(NamedTuple):
    """A route and what its path names."""

    template: str
    names: tuple[str, ...] = ()


def find_content(method: str, path: str) -> FoundContent | None:
    """The route of such a request, or None. What begins with `/ajax-api` is the same as what begins with `/api`."""
    method, below = "GET" if method == "HEAD" else method, path.removeprefix("/ajax-api")
    plain = path if below == path else f"/api{below}"
    if (method, plain) in _EXACT:
        return FoundContent(plain)
    for prefix, methods in _BELOW.items():
        if plain.startswith(prefix) and method in methods:
            return FoundContent(f"{prefix}{{path}}", (plain.removeprefix(prefix),))
    parts = plain.split("/")
    if method == "PUT" and plain.startswith(f"{PARTS}/") and len(parts) == PARTS.count("/") + 3:
        return FoundContent(f"{PARTS}/{{upload_id}}/{{number}}", (parts[-2], parts[-1]))
    if method == "GET" and len(parts) == _MODEL_FILES.count("/") + 1 and [*parts[:5], *parts[6:]] == _MODEL_FILES_PARTS:
        return FoundContent(_MODEL_FILES, (parts[5],))
    return None


_MODEL_FILES_PARTS = [part for part in _MODEL_FILES.split("/") if not part.startswith("{")]


class ContentApp:
    """Answers such requests."""

    def __init__(self, database: Database, blobs: Blobs, pool: Executor) -> None:
        self._proxy = ArtifactProxy(database, blobs, pool)
        self._uploads = Uploads(database, blobs, pool, self._proxy.store_sealed)

    async def answer(self, scope: Scope, receive: Receive, send: Send, found: FoundContent, principal: Principal) -> None:
        """Answers one request of somebody who may ask it."""
        match found.template.rpartition("/{path}")[0] or found.template:
            case "/api/2.0/mlflow-artifacts/artifacts":
                await self._proxy.proxied(scope, receive, send, principal, found.names[0])
            case "/api/2.0/mlflow-artifacts/mpu/create":
                await self._uploads.create(scope, receive, send, principal, found.names[0])
            case "/api/2.0/mlflow-artifacts/mpu/complete":
                await self._uploads.complete(scope, receive, send, principal, found.names[0])
            case "/api/2.0/mlflow-artifacts/mpu/abort":
                await self._uploads.abort(scope, receive, send, principal, found.names[0])
            case "/api/2.0/mlflow-artifacts/presigned":
                raise MlflowError("NOT_IMPLEMENTED", "Multipart download is not supported for the current artifact repository")
            case "/api/2.0/mlflow/upload-artifact":
                await self._proxy.taken(scope, receive, send, principal)
            case template if template.startswith(PARTS):
                await self._uploads.part(receive, send, principal, *found.names)
            case template:
                await self._proxy.attachment(scope, send, principal, found.names[0] if template == _MODEL_FILES else None)

    async def send_file(self, scope: Scope, send: Send, find: Callable[[Snapshot], Artifact]) -> None:
        """Answers a file that a route of the table finds."""
        await self._proxy.found(scope, send, find)


async def answer_open(send: Send, template: str) -> None:
    """Answers what anybody may ask."""
    await send_text(send, OPEN[template])
