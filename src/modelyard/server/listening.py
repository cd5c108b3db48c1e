"""How a role listens: a socket bound before anything else starts, and the HTTP server upon it."""

import socket
from collections.abc import Awaitable, Callable

import uvicorn
import uvloop

from modelyard.core.errors import Kind, ModelyardError
from modelyard.web.bounds import BoundedProtocol

KEEP_ALIVE_S = 75


class PortTaken(ModelyardError):
    """Another process listens there."""

    kind = Kind.CONFLICT


Close = Callable[[], Awaitable[None]]


class _Server(uvicorn.Server):
    """A server that ends its streams before it waits for what is under way: an open page must not hold up the stop."""

    def __init__(self, config: uvicorn.Config, close: Close) -> None:
        super().__init__(config)
        self._close = close

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the streams, then the server."""
        await self._close()
        await super().shutdown(sockets)


def server(app: object, close: Close) -> uvicorn.Server:
    """The HTTP server of `app`; `close` ends its streams once it begins to stop."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # uvicorn's own ASGI types are narrower than the specification's
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=10,
        loop="uvloop",
        http=BoundedProtocol,
        lifespan="on",
    )
    return _Server(config, close)


def serve(app: object, close: Close, bound: socket.socket) -> None:
    """Serves `app` on a bound socket until SIGTERM or SIGINT; requests under way are finished."""
    uvloop.run(server(app, close).serve(sockets=[bound]))


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that listens at `host`:`port`; port 0 takes a free one. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host.strip("[]"), port))
    except OSError as error:
        found.close()
        raise PortTaken(
            f"{host}:{port} cannot be bound: {error.strerror}",
            hint="stop what listens there, or choose another --port, or --gateway-port for the gateway of yard up",
        ) from error
    found.listen(2048)
    return found
