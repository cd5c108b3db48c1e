"""Files that come in parts over MLflow's proxy: begin, parts, completion, giving up.

A client sends the parts without its own credentials, to the addresses and with the headers that it was told. Those headers are
its `Authorization` again: each part passes the same doors as the whole would, and a token that is revoked ends the upload.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any, ClassVar, TypeVar

import msgspec

from modelyard.access.domain import Principal
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.tracking import service
from modelyard.tracking.wire.codec import LARGEST_BODY, Int64, Request, check_content_type, decode_body
from modelyard.tracking.wire.errors import invalid
from modelyard.tracking.wire.http import Receive, Scope, Send, headers_of, read_body, send_json, send_slowly

PARTS = "/api/2.0/mlflow-artifacts/mpu/parts"
R = TypeVar("R", bound=Request)
Store = Callable[[Receive], Awaitable[service.Content]]
"""Stores the body of a request, sealed."""


class CreateUpload(Request, kw_only=True):
    """mlflow-artifacts/mpu/create"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("path",)
    path: str | None = None
    num_parts: Int64 | None = None


class PartItem(msgspec.Struct, forbid_unknown_fields=True):
    """A part that the client says it has sent."""

    part_number: Int64 | None = None
    etag: str | None = None
    url: str | None = None


class EndUpload(Request, kw_only=True):
    """mlflow-artifacts/mpu/complete and mlflow-artifacts/mpu/abort"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("path",)
    path: str | None = None
    upload_id: str | None = None
    parts: tuple[PartItem, ...] = ()


class Credential(msgspec.Struct, frozen=True):
    """Where a part goes, and with which headers."""

    url: str
    part_number: int
    headers: dict[str, str]


class CreatedUpload(msgspec.Struct, frozen=True):
    """A new upload."""

    upload_id: str
    credentials: list[Credential]


class Uploads:
    """Answers requests about uploads in parts."""

    def __init__(self, database: Database, blobs: Blobs, pool: Executor, store: Store) -> None:
        self._database = database
        self._blobs = blobs
        self._pool = pool
        self._store = store

    async def create(self, scope: Scope, receive: Receive, send: Send, principal: Principal, folder: str) -> None:
        """Begins an upload into `folder` behind the proxy and tells where its parts go."""
        request = await _decoded(CreateUpload, scope, receive)
        path, parts = _artifact(folder, request.path), 1 if request.num_parts is None else request.num_parts
        upload = await asyncio.wrap_future(self._database.submit(lambda tx: service.begin_upload(tx, principal, path, parts)))
        base, headers = f"{_root(scope)}{PARTS}/{upload.id}", _credentials(scope)
        answer = CreatedUpload(upload.id, [Credential(f"{base}/{number}", number, headers) for number in range(1, parts + 1)])
        await send_json(send, msgspec.json.encode(answer))

    async def part(self, receive: Receive, send: Send, principal: Principal, upload_id: str, number: str) -> None:
        """Takes a part: whole and durable, or not at all. Whoever may not is told before anything is read."""
        if not re.fullmatch(r"[0-9]{1,6}", number):
            raise invalid(f"Invalid value '{number[:20]}' for parameter 'part_number' supplied.")
        await self._run(self._check_part, principal, upload_id, int(number))
        content = await self._store(receive)
        await self._run(service.store_part, self._database, self._blobs, principal, (upload_id, int(number)), content)
        await send_json(send, b"{}", headers=[(b"etag", f'"{content.digest}"'.encode())])

    async def complete(self, scope: Scope, receive: Receive, send: Send, principal: Principal, folder: str) -> None:
        """Puts the parts together. What takes long keeps the client waiting with blanks, which JSON may begin with."""
        request = await _decoded(EndUpload, scope, receive)
        if not request.parts:
            raise invalid("Missing value for required parameter 'parts'. See the API docs for more information about request parameters.")
        place = (request.upload_id or "", _artifact(folder, request.path))
        parts = [(one.part_number or 0, one.etag or "") for one in request.parts]
        await send_slowly(send, self._run(service.complete_upload, self._database, self._blobs, principal, place, parts))

    async def abort(self, scope: Scope, receive: Receive, send: Send, principal: Principal, folder: str) -> None:
        """Gives an upload up."""
        request = await _decoded(EndUpload, scope, receive)
        path = _artifact(folder, request.path)
        await self._run(service.abort_upload, self._database, self._blobs, principal, request.upload_id or "", path)
        await send_json(send, b"{}")

    def _check_part(self, principal: Principal, upload_id: str, number: int) -> None:
        with self._database.read() as snapshot:
            service.check_part(service.get_upload(snapshot, principal, upload_id), number)

    async def _run(self, work: Callable[..., Any], *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*given))


async def _decoded(kind: type[R], scope: Scope, receive: Receive) -> R:
    check_content_type(headers_of(scope).get(b"content-type"))
    return decode_body(kind, await read_body(receive, LARGEST_BODY), {})


def _artifact(folder: str, local_file: str | None) -> str:
    """The path behind the proxy of a file that the client names by its path on its own machine."""
    name = (local_file or "").replace("\\", "/").rpartition("/")[2]
    return f"{folder.rstrip('/')}/{name}"


def _root(scope: Scope) -> str:
    """The server's address as the client reaches it; a proxy that ends TLS says so. It is told to nobody but that client."""
    headers = headers_of(scope)
    is_https = headers.get(b"x-forwarded-proto", b"").lower() == b"https" or scope.get("scheme") == "https"
    host = headers.get(b"host", b"").decode("ascii", "replace")
    return f"{'https' if is_https else 'http'}://{host}{scope.get('root_path', '')}"


def _credentials(scope: Scope) -> dict[str, str]:
    given = headers_of(scope).get(b"authorization")
    return {} if given is None else {"Authorization": given.decode("latin-1")}
