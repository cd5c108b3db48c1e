"""Bare ASGI: reading a body, sending JSON or a stream of bytes. Owns nothing of MLflow's but the shape of an answer's headers."""

import asyncio
import queue
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import Executor
from typing import Any

from modelyard.core.errors import ModelyardError
from modelyard.tracking.wire.errors import RETRIED, RETRY_AFTER_S, MlflowError, error_answer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_JSON_HEADERS = [(b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff")]
_PARTS_AHEAD = 8
_READ_AT_ONCE = 1 << 20
_BLANK_EACH_S = 10.0


class ClientGone(Exception):
    """The client hung up in the middle of its request."""


def headers_of(scope: Scope) -> Mapping[bytes, bytes]:
    """A request's headers by name in lower case."""
    return dict(scope["headers"])


async def read_body(receive: Receive, most: int, refusal: str = "") -> bytes:
    """A request's whole body. Raises MlflowError beyond `most` bytes, with the refusal's words where it has some; ClientGone."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        _check_size(len(body), most, refusal)
        return body
    total, parts = 0, []
    async for part in _parts(message, receive):
        total += len(part)
        _check_size(total, most, refusal)
        parts.append(part)
    return b"".join(parts)


async def body_parts(receive: Receive) -> AsyncIterator[bytes]:
    """A request's body as it comes. Raises ClientGone."""
    async for part in _parts(await receive(), receive):
        yield part


async def _parts(message: Message, receive: Receive) -> AsyncIterator[bytes]:
    while True:
        if message["type"] != "http.request":
            raise ClientGone
        if part := message.get("body", b""):
            yield part
        if not message.get("more_body"):
            return
        message = await receive()


def _check_size(size: int, most: int, refusal: str) -> None:
    if size > most:
        raise MlflowError("INVALID_PARAMETER_VALUE", refusal or f"The request's body has more than {most} bytes.")


async def send_json(send: Send, content: bytes, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Answers JSON."""
    headers = [*_JSON_HEADERS, *headers, (b"content-length", str(len(content)).encode())]
    if status in RETRIED:
        headers.append((b"retry-after", RETRY_AFTER_S.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def send_text(send: Send, content: bytes) -> None:
    """Answers a plain text."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def send_slowly(send: Send, work: Awaitable[object]) -> None:
    """Answers an empty object once `work` is done, with a blank now and then before it, so that no client gives up waiting.

    An error of the first seconds is raised and can be told; a later one breaks the answer off.
    """
    task = asyncio.ensure_future(work)
    await asyncio.wait([task], timeout=_BLANK_EACH_S)
    if task.done():
        await task
        await send_json(send, b"{}")
        return
    await send({"type": "http.response.start", "status": 200, "headers": _JSON_HEADERS})
    while not task.done():
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await asyncio.wait([task], timeout=_BLANK_EACH_S)
    await task
    await send({"type": "http.response.body", "body": b"{}"})


async def send_error(send: Send, error: ModelyardError) -> None:
    """Answers an error in MLflow's shape."""
    status, content = error_answer(error)
    await send_json(send, content, status)


async def send_stream(send: Send, status: int, headers: list[tuple[bytes, bytes]], chunks: Iterator[bytes], pool: Executor) -> None:
    """Answers chunks that are read in the pool, the first two of them before anything is sent, so that their errors can be told.

    Each is sent once the next was read: content that is found wrong at its end is never sent whole, also where its length is right.
    """
    loop = asyncio.get_running_loop()
    chunk: bytes | None = await loop.run_in_executor(pool, next, chunks, None)
    following: bytes | None = None if chunk is None else await loop.run_in_executor(pool, next, chunks, None)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    while chunk is not None:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        chunk, following = following, None if following is None else await loop.run_in_executor(pool, next, chunks, None)
    await send({"type": "http.response.body", "body": b""})


class Pipe:
    """A body on its way from the event loop into a thread that stores it; a few parts at most lie between."""

    def __init__(self) -> None:
        self._parts: queue.Queue[bytes | Exception | None] = queue.Queue(_PARTS_AHEAD)
        self.size_bytes = 0

    def chunks(self) -> Iterator[bytes]:
        """The parts as they come, for the thread. Raises what `fail` was given."""
        while (part := self._parts.get()) is not None:
            if isinstance(part, Exception):
                raise part
            self.size_bytes += len(part)
            yield part

    async def put(self, part: bytes | Exception | None, reader: "asyncio.Future[Any]") -> None:
        """Hands a part on; None ends the body, an exception breaks it off. Gives up when the reader has ended."""
        while not reader.done():
            try:
                self._parts.put_nowait(part)
            except queue.Full:
                await asyncio.sleep(0.001)
            else:
                return


async def gathered(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in parts of about a mebibyte."""
    waiting: list[bytes] = []
    size = 0
    async for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= _READ_AT_ONCE:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
