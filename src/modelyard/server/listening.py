"""The HTTP server of a role, upon a socket that was bound before anything else. Owns its end within bounds."""

import logging
import os
import socket
import threading
from collections.abc import Awaitable, Callable

import uvicorn
import uvloop

from modelyard.web.bounds import BoundedProtocol

KEEP_ALIVE_S = 75
GRACEFUL_S = 10
END_WITHIN_S = 15.0
"""Less than the supervisor's patience, and beyond the time that requests under way are given."""


Close = Callable[[], Awaitable[None]]


class _Server(uvicorn.Server):
    """A server that says when it takes requests, and ends its streams before it waits for what is under way.

    An open page must not hold up the stop.
    """

    def __init__(self, config: uvicorn.Config, close: Close, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._close, self._started = close, started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, then says so."""
        await super().startup(sockets)
        self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the streams, then the server."""
        await self._close()
        await super().shutdown(sockets)


def server(app: object, close: Close, started: Callable[[], None] = lambda: None) -> uvicorn.Server:
    """The HTTP server of `app`: `started` hears when it takes requests, `close` ends its streams once it begins to stop."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # uvicorn's own ASGI types are narrower than the specification's
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACEFUL_S,
        loop="uvloop",
        http=BoundedProtocol,
        lifespan="on",
    )
    return _Server(config, close, started)


def serve(
    app: object, close: Close, bound: socket.socket, *, on_ready: Callable[[], None] = lambda: None, end_within_s: float = END_WITHIN_S
) -> None:
    """Serves `app` on a bound socket until SIGTERM or SIGINT; requests under way are finished.

    The process ends within `end_within_s` of that, whatever its threads still do: no wait for them at its end is bounded.
    """

    async def closed() -> None:
        _end_within(end_within_s)
        await close()

    uvloop.run(server(app, closed, on_ready).serve(sockets=[bound]))


def _end_within(limit_s: float) -> None:
    late = threading.Timer(limit_s, _end)
    late.daemon = True
    late.start()


def _end() -> None:
    logging.getLogger("modelyard.server").warning("work under way did not end in time and is given up")
    # Whatever is committed is durable, and a killed process leaves nothing that its next start does not mend.
    os._exit(1)
