"""How a role listens: a socket bound before anything else starts, and the HTTP server upon it."""

import asyncio
import socket

import uvicorn

from modelyard.core.errors import Kind, ModelyardError

KEEP_ALIVE_S = 75


class PortTaken(ModelyardError):
    """Another process listens there."""

    kind = Kind.CONFLICT


def serve(app: object, bound: socket.socket) -> None:
    """Serves `app` on a bound socket until SIGTERM or SIGINT; requests under way are finished."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # uvicorn's own ASGI types are narrower than the specification's
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=10,
        loop="uvloop",
        http="httptools",
        lifespan="on",
    )
    asyncio.run(uvicorn.Server(config).serve(sockets=[bound]))


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
            f"{host}:{port} cannot be bound: {error.strerror}", hint="stop what listens there, or choose another --port"
        ) from error
    found.listen(2048)
    return found
