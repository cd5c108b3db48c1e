"""Artifacts over MLflow's interface: upload, download with ranges, deletion. Downloads are attachments that no browser interprets."""

import asyncio
import mimetypes
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Any
from urllib.parse import parse_qs, quote

from modelyard.access.domain import Principal, Role
from modelyard.core.digests import Digest
from modelyard.core.errors import ModelyardError
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot
from modelyard.tracking import service
from modelyard.tracking.domain import Artifact
from modelyard.tracking.wire.errors import MlflowError, invalid
from modelyard.tracking.wire.http import (
    ClientGone,
    Pipe,
    Receive,
    Scope,
    Send,
    body_parts,
    gathered,
    headers_of,
    read_body,
    send_json,
    send_stream,
)

SMALL_BYTES = 1 << 20
MOST_TAKEN_BYTES = 10 * 1024 * 1024
_RANGE = re.compile(rb"bytes=(\d{0,19})-(\d{0,19})")
_SAFE = "!#$&+-.^_`|~"
_TOKEN = re.compile(r"[A-Za-z0-9!#$&+.^_`|~-]+")
_PLAIN = frozenset(
    {"txt", "log", "err", "cfg", "conf", "cnf", "cf", "ini", "properties", "prop", "hocon", "toml", "yaml", "yml", "xml", "json"}
    | {"js", "py", "py3", "csv", "tsv", "md", "rst", "ipynb", "MLmodel", "MLproject", "mlproject"}
)
_HARMLESS = frozenset({"application/pdf", "application/zip", "image/gif", "image/jpeg", "image/png", "image/webp", "video/mp4"})


class ArtifactProxy:
    """Answers requests for the content of artifacts."""

    def __init__(self, database: Database, blobs: Blobs, pool: Executor) -> None:
        self._database = database
        self._blobs = blobs
        self._pool = pool

    async def proxied(self, scope: Scope, receive: Receive, send: Send, principal: Principal, path: str) -> None:
        """Answers a request for the artifact at `path` behind the proxy's address."""
        match scope["method"]:
            case "GET" | "HEAD":
                found = await self._read(lambda snapshot: _find_proxied(snapshot, principal, path))
                await self._send(scope, send, found)
            case "PUT":
                await self._upload(receive, principal, path)
                await send_json(send, b"{}")
            case "DELETE":
                await self._delete(principal, path)
                await send_json(send, b"{}")

    async def taken(self, scope: Scope, receive: Receive, send: Send, principal: Principal) -> None:
        """Takes a small artifact of a run, which the query names, as MLflow's pages send it."""
        query = _query(scope)
        run_id, path = query.get("run_uuid"), query.get("path")
        if not run_id or not path:
            raise invalid(f"Request must specify {'path' if run_id else 'run_uuid'}.")
        await self._read(lambda snapshot: service.check_writable(snapshot, principal, run_id, path))
        content = await read_body(receive, MOST_TAKEN_BYTES, "Artifact size is too large. Max size is 10MB.")
        if not content:
            raise invalid("Request must specify data.")
        digest = await asyncio.get_running_loop().run_in_executor(self._pool, self._blobs.put_bytes, content)
        stored = service.Content(digest=digest, size_bytes=len(content))
        await asyncio.wrap_future(self._database.submit(lambda tx: service.put_file(tx, principal, run_id, path, stored)))
        await send_json(send, b"")

    async def attachment(self, scope: Scope, send: Send, principal: Principal, model_id: str | None) -> None:
        """Answers a download by query: of a run's artifact, or of a logged model's."""
        query = _query(scope)
        path = query.get("artifact_file_path" if model_id else "path")
        owner = model_id or query.get("run_id") or query.get("run_uuid")
        if not path or not owner:
            needed = '"artifact_file_path"' if model_id else '"run_id" and the "path"'
            raise MlflowError("BAD_REQUEST", f"Request must include the {needed} query parameter.")
        found = await self._read(lambda snapshot: service.find_file(snapshot, principal, str(owner), str(path)))
        await self._send(scope, send, found)

    async def found(self, scope: Scope, send: Send, find: Callable[[Snapshot], Artifact]) -> None:
        """Answers the download of what `find` finds."""
        await self._send(scope, send, await self._read(find))

    async def _read(self, read: Callable[[Snapshot], Any]) -> Any:
        def work() -> Any:
            with self._database.read() as snapshot:
                return read(snapshot)

        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def _upload(self, receive: Receive, principal: Principal, path: str) -> None:
        owner, owned = await self._read(lambda snapshot: service.get_proxied(snapshot, principal, path, Role.CONTRIBUTOR))
        if not owned.path or path.endswith("/"):
            raise invalid("Artifact path must include a filename (cannot end with '/').")
        content = await self.store(receive)
        stored = self._database.submit(lambda tx: service.put_file(tx, principal, owner.id, owned.path, content))
        await asyncio.wrap_future(stored)

    async def store_sealed(self, receive: Receive) -> service.Content:
        """The body behind a seal, in the blob store."""
        return await self.store(receive, service.sealed)

    async def store(self, receive: Receive, wrapped: Callable[[Iterator[bytes]], Iterator[bytes]] = iter) -> service.Content:
        """The body, in the blob store: whole and durable, or not at all."""
        loop = asyncio.get_running_loop()
        parts = gathered(body_parts(receive))
        first = await anext(parts, b"")
        if len(first) < SMALL_BYTES:
            digest = await loop.run_in_executor(self._pool, self._blobs.put_bytes, b"".join(wrapped(iter([first]))))
            return service.Content(digest=digest, size_bytes=len(first))
        pipe = Pipe()
        storing = loop.run_in_executor(self._pool, self._blobs.put_chunks, wrapped(pipe.chunks()))
        try:
            await pipe.put(first, storing)
            async for part in parts:
                await pipe.put(part, storing)
        except (ClientGone, asyncio.CancelledError) as gone:
            await pipe.put(ClientGone(), storing)
            raise ClientGone from gone
        except ModelyardError:  # a body that stopped coming, which its sender is told
            await pipe.put(ClientGone(), storing)
            raise
        await pipe.put(None, storing)
        return service.Content(digest=await storing, size_bytes=pipe.size_bytes)

    async def _delete(self, principal: Principal, path: str) -> None:
        owner, owned = await self._read(lambda snapshot: service.get_proxied(snapshot, principal, path, Role.CONTRIBUTOR))
        await asyncio.wrap_future(self._database.submit(lambda tx: service.delete_files(tx, principal, owner.id, owned.path)))

    async def _send(self, scope: Scope, send: Send, artifact: Artifact) -> None:
        headers = [
            (b"content-type", media_type(artifact.path).encode()),
            (b"content-disposition", disposition(artifact.path)),
            (b"x-content-type-options", b"nosniff"),
            (b"content-security-policy", b"sandbox; default-src 'none'"),
            (b"etag", f'"{artifact.digest}"'.encode()),
            (b"accept-ranges", b"bytes"),
        ]
        asked = headers_of(scope).get(b"range")
        if is_beyond(asked, artifact.size_bytes):
            await send_stream(send, 416, [(b"content-range", f"bytes */{artifact.size_bytes}".encode())], iter(()), self._pool)
            return
        part = asked_range(asked, artifact.size_bytes)
        if part == (0, artifact.size_bytes):
            part = None  # A part cannot be held against the digest; the whole can, however it is asked for.
        start, end = part or (0, artifact.size_bytes)
        headers.append((b"content-length", str(end - start).encode()))
        if part:
            headers.append((b"content-range", f"bytes {start}-{end - 1}/{artifact.size_bytes}".encode()))
        chunks: Iterator[bytes] = iter(())
        if scope["method"] == "GET" and end > start:
            chunks = await asyncio.get_running_loop().run_in_executor(self._pool, self._open, artifact.digest, part)
        await send_stream(send, 206 if part else 200, headers, chunks, self._pool)

    def _open(self, digest: Digest, part: tuple[int, int] | None) -> Iterator[bytes]:
        return self._blobs.open_range(digest, *part) if part else self._blobs.open_stream(digest)


def _query(scope: Scope) -> dict[str, str]:
    query = parse_qs(scope["query_string"].decode("ascii", "replace"))
    return {name: values[0].replace("\0", "\N{REPLACEMENT CHARACTER}") for name, values in query.items()}


def _find_proxied(snapshot: Snapshot, principal: Principal, path: str) -> Artifact:
    owner, owned = service.get_proxied(snapshot, principal, path)
    return service.find_file(snapshot, principal, owner.id, owned.path)


def media_type(path: str) -> str:
    """What the name says that the content is, as MLflow tells it. What a browser might run is told as bytes.

    >>> media_type("a/model.yaml"), media_type("MLmodel"), media_type("plot.png"), media_type("page.html")
    ('text/plain', 'text/plain', 'image/png', 'application/octet-stream')
    """
    name = path.rpartition("/")[2]
    ending = name.rpartition(".")[2]
    if ending in _PLAIN:
        return "text/plain"
    guessed = mimetypes.guess_type(name)[0]
    return guessed if guessed in _HARMLESS else "application/octet-stream"


def disposition(path: str) -> bytes:
    """The header that makes a browser save the file under its own name."""
    name = path.rpartition("/")[2]
    if _TOKEN.fullmatch(name):
        return f"attachment; filename={name}".encode()
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-+ ") else "_" for c in name) or "download"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=_SAFE)}".encode()


def is_beyond(header: bytes | None, size: int) -> bool:
    """Whether a header asks for nothing but bytes behind the end."""
    match = _RANGE.fullmatch(header or b"")
    return match is not None and bool(match[1]) and int(match[1]) >= size


def asked_range(header: bytes | None, size: int) -> tuple[int, int] | None:
    """The one range that a header asks for, as start and end; None for the whole, also where the header says something else.

    >>> asked_range(b"bytes=2-", 10), asked_range(b"bytes=-3", 10), asked_range(b"bytes=0-99", 10)
    ((2, 10), (7, 10), (0, 10))
    """
    match = _RANGE.fullmatch(header or b"")
    if not match or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, end = max(size - int(match[2]), 0), size
    else:
        start, end = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
    return (start, end) if start < end else None
