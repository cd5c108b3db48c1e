"""Requests and answers as bytes on ASGI: heads, bounded bodies, JSON, and errors in the shape of the path that was asked.

Owns no route and decides nothing about access.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from modelyard.core.errors import HTTP_STATUS, InvalidInput, Kind, ModelyardError
from modelyard.core.underway import HEADER as REQUEST_ID_HEADER
from modelyard.serving.domain import BadRows, TooLarge

MOST_BODY_BYTES = 16 * 2**20
BODY_WITHIN_S = 10.0
JSON = b"application/json"
BINARY = b"application/octet-stream"
RETRY_AFTER = (b"retry-after", b"1")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = dict[bytes, bytes]

_encoder = msgspec.json.Encoder()


class Reply(msgspec.Struct, frozen=True):
    """An answer that is ready to be sent."""

    status: int
    body: bytes
    kind: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class MethodNotAllowed(InvalidInput):
    """The path is there, but not for that method."""


class InternalError(ModelyardError):
    """Something that nobody foresaw. Its details are in the log alone."""

    kind = Kind.INTERNAL


_STATUS: dict[type[ModelyardError], int] = {MethodNotAllowed: 405}


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


class Incoming(msgspec.Struct, frozen=True, gc=False):
    """A request's headers and body; `is_whole` where the body is known to be here already."""

    headers: Headers
    receive: Receive
    is_whole: bool = False


async def body_of(request: Incoming, *, within_s: float = BODY_WITHIN_S) -> bytes:
    """The whole body. Raises TooLarge, BadRows where it does not come in time or is compressed, and ClientGone."""
    headers = request.headers
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise BadRows("compressed bodies are not taken", hint="send the body as it is")
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > MOST_BODY_BYTES:
        raise _too_large()
    if request.is_whole:
        return await _whole(request.receive)
    try:
        async with asyncio.timeout(within_s):
            return await _whole(request.receive)
    except TimeoutError:
        raise BadRows(f"the body did not come within {within_s:.0f} s", hint="send it without pauses") from None


async def _whole(receive: Receive) -> bytes:
    first = await receive()
    if first.get("more_body") or first["type"] == "http.disconnect":
        return await _rest(receive, first)
    content: bytes = first.get("body", b"")
    return content


async def _rest(receive: Receive, message: Message) -> bytes:
    content = bytearray()
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGone
        content += message.get("body", b"")
        if len(content) > MOST_BODY_BYTES:
            raise _too_large()
        if not message.get("more_body"):
            return bytes(content)
        message = await receive()


def _too_large() -> TooLarge:
    return TooLarge(f"the body is larger than {MOST_BODY_BYTES // 2**20} MiB", hint="split the rows over several requests")


def json_reply(value: Any, status: int = 200) -> Reply:
    """`value` as JSON."""
    return Reply(status, _encoder.encode(value))


def status_of(error: ModelyardError) -> int:
    """The HTTP status of an error; 405 for a method that is not meant."""
    return _STATUS.get(type(error)) or HTTP_STATUS[error.kind]


def error_reply(error: ModelyardError, path: str) -> Reply:
    """`error` in the shape of the protocol that `path` belongs to: Open Inference V2, MLflow, or our own."""
    status = status_of(error)
    headers = (RETRY_AFTER,) if status in (429, 503) else ()
    if status == 401:
        headers = ((b"www-authenticate", b'Bearer realm="modelyard"'),)
    shape: dict[str, Any]
    if path.startswith("/v2"):
        shape = {"error": f"{error.message} ({error.hint})" if error.hint else error.message}
    elif path.startswith("/invocations"):
        shape = {"error_code": _MLFLOW_CODES.get(error.kind, "INTERNAL_ERROR"), "message": error.message, "hint": error.hint}
    else:
        shape = {"error": error.body()}
    return Reply(status, _encoder.encode(shape), JSON, headers)


_MLFLOW_CODES = {
    Kind.INVALID: "BAD_REQUEST",
    Kind.UNAUTHENTICATED: "UNAUTHENTICATED",
    Kind.FORBIDDEN: "PERMISSION_DENIED",
    Kind.MISSING: "RESOURCE_DOES_NOT_EXIST",
    Kind.TOO_LARGE: "BAD_REQUEST",
    Kind.THROTTLED: "RESOURCE_EXHAUSTED",
    Kind.OVERLOADED: "RESOURCE_EXHAUSTED",
    Kind.UNREACHABLE: "TEMPORARILY_UNAVAILABLE",
}


async def send_reply(send: Send, reply: Reply, request_id: str) -> None:
    """Sends an answer that names its request."""
    await send(
        {
            "type": "http.response.start",
            "status": reply.status,
            "headers": [
                (b"content-type", reply.kind),
                (b"content-length", b"%d" % len(reply.body)),
                (b"x-content-type-options", b"nosniff"),
                (b"cache-control", b"no-store"),
                (REQUEST_ID_HEADER, request_id.encode()),
                *reply.headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": reply.body})
