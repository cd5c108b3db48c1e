"""What a connection may ask of this process before a route decides: the size of a head, and the time that head and body take.

Owns no bound on a body's size; that is its route's.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modelyard.core.errors import HTTP_STATUS, InvalidInput

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_HEAD_BYTES = 65_536
HEAD_WITHIN_S = 30.0
GRACE_S = 30.0
LEAST_BYTES_PER_S = 10_000
TOO_SLOW = 408
WHOLE_BODY = "modelyard.whole_body"
"""The extension that a request's scope names once its body is here to the last byte, so that nobody needs to wait for it with a clock."""
_REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BodyIsSlow(InvalidInput):
    """The body did not come in the time that its size asks for."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a bound on the bytes of a head and of trailers, and on the time until a head is whole."""

    _head_bytes = 0
    _unread_bytes = 0
    _has_moved = False
    _is_refused = False
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Expects a first head from now on."""
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_WITHIN_S, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Expects nothing any more."""
        self._expect_no_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes bytes in. Those that end no head and belong to no body are head, trailer or chunk size: they are bounded."""
        self._has_moved = False
        super().data_received(data)
        self._unread_bytes = 0 if self._has_moved else self._unread_bytes + len(data)
        if self._unread_bytes > MOST_HEAD_BYTES:
            self._refuse()
        elif self._unread_bytes and self._late is None:
            self._late = self.loop.call_later(HEAD_WITHIN_S, self.transport.close)

    def on_message_begin(self) -> None:
        """Begins to count a head."""
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Counts the address."""
        if self._has_room(url):
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts a header or trailer."""
        if self._has_room(name, value):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Lets a head of a bounded size begin its request."""
        self._move()
        if self._head_bytes > MOST_HEAD_BYTES:
            self._refuse()
        if not self._is_refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Takes a part of a body."""
        self._move()
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends a request."""
        self._move()
        if not self._is_refused:
            self.scope["extensions"] = {WHOLE_BODY: {}}
            super().on_message_complete()

    def _has_room(self, *parts: bytes) -> bool:
        self._head_bytes += sum(map(len, parts))
        return self._head_bytes <= MOST_HEAD_BYTES

    def _move(self) -> None:
        self._has_moved = True
        self._expect_no_head()

    def _expect_no_head(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self) -> None:
        if self._is_refused:
            return
        self._is_refused = True
        # An answer under way would be taken for one with this in its middle.
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_REFUSAL)
        self.transport.close()


class Paced:
    """An app whose requests' bodies come in time: within `grace_s` and a second more for each `least_bytes_per_s` that came.

    No single wait is longer than `grace_s`, however much came before it. Only the time in which the app waits for the client
    counts. Afterwards `receive` raises BodyIsSlow, and what the app refuses then goes out as 408, which clients try again.
    """

    def __init__(self, app: AsgiApp, *, grace_s: float = GRACE_S, least_bytes_per_s: int = LEAST_BYTES_PER_S) -> None:
        self._app = app
        self._grace_s = grace_s
        self._rate = least_bytes_per_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "http":
            receive, send = self._paced(receive, send)
        await self._app(scope, receive, send)

    def _paced(self, receive: Receive, send: Send) -> tuple[Receive, Send]:
        loop = asyncio.get_running_loop()
        waited_s, size, is_whole, is_slow = 0.0, 0, False, False

        async def paced() -> Message:
            nonlocal waited_s, size, is_whole, is_slow
            if is_whole:
                return await receive()
            began = loop.time()
            try:
                async with asyncio.timeout(min(self._grace_s, self._grace_s + size / self._rate - waited_s)):
                    message = await receive()
            except TimeoutError:
                is_slow = True
                raise BodyIsSlow(f"{size} bytes of the body came, and no more in time", hint="send it without pauses") from None
            waited_s += loop.time() - began
            size += len(message.get("body", b""))
            is_whole = not message.get("more_body")
            return message

        async def sent(message: Message) -> None:
            if is_slow and message["type"] == "http.response.start" and message["status"] == HTTP_STATUS[BodyIsSlow.kind]:
                message = {**message, "status": TOO_SLOW, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        return paced, sent
