"""Puts a gateway together from settings and runs it until it is told to stop. Owns the wiring; decides nothing."""

import errno
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import uvicorn

from modelyard.core.clock import Clock, SystemClock
from modelyard.core.errors import Conflict, InvalidInput
from modelyard.serving.gateway.app import App
from modelyard.serving.gateway.clock import GatewayClock
from modelyard.serving.gateway.guard import LOOPBACK, Guard, hosts_of
from modelyard.serving.gateway.handler import Services
from modelyard.serving.gateway.link import ControlLink
from modelyard.serving.gateway.meters import Meters
from modelyard.serving.gateway.shadows import ShadowQueue
from modelyard.serving.gateway.shelf import Loader, Shelf
from modelyard.serving.gateway.station import LOG, Identity, Parts, Station
from modelyard.serving.gateway.wire import Message, Receive, Send
from modelyard.serving.log.writer import LogWriter
from modelyard.storage.blobs import Blobs
from modelyard.web.bounds import BoundedProtocol

THREADS = 4
DRAIN_S = 10
KEEP_ALIVE_S = 75


AsgiApp = Callable[[Message, Receive, Send], Awaitable[None]]


class GatewayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one gateway runs. `folder` is its own; `allowed_hosts` are Host headers, with port, that it answers to besides its own.

    `around` is put around the app where requests are traced; else there is nothing between them.
    """

    name: str
    folder: Path
    host: str = "127.0.0.1"
    port: int = 7701
    login: bool = True
    max_in_flight: int = 256
    segment_bytes: int = 16_777_216
    segment_age_s: float = 60.0
    allowed_hosts: tuple[str, ...] = ()
    around: Callable[[AsgiApp], AsgiApp] | None = None

    def __post_init__(self) -> None:
        if not self.login and self.host not in ("127.0.0.1", "localhost", "::1"):
            raise InvalidInput(
                f"a gateway without login cannot be bound to {self.host}",
                hint=f"bind it to one of {', '.join(LOOPBACK)}, or leave login on",
            )


class _Server(uvicorn.Server):
    """A server that says when it takes requests, and hears when it is to stop from before then."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, then says so."""
        await super().startup(sockets)
        self._started()


def run_gateway(
    options: GatewayOptions,
    blobs: Blobs,
    loader: Callable[[Path], Loader],
    link: ControlLink,
    *,
    on_ready: Callable[[int], None] = lambda port: None,
) -> None:
    """Runs a gateway until SIGTERM or SIGINT; `on_ready` hears the port once requests are taken. Raises Conflict where it is taken.

    What is under way when it is told to stop is answered first, and the log is sealed.
    """
    bound = _bound(options)
    port = int(bound.getsockname()[1])
    app = gateway_app(msgspec.structs.replace(options, port=port), blobs, loader, link)
    config = uvicorn.Config(
        app if options.around is None else options.around(app),
        http=BoundedProtocol,
        ws="none",
        access_log=False,
        proxy_headers=False,  # nobody here asks where a request came from
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
        backlog=2048,
    )
    _Server(config, lambda: on_ready(port)).run(sockets=[bound])


def gateway_app(options: GatewayOptions, blobs: Blobs, loader: Callable[[Path], Loader], link: ControlLink) -> App:
    """The app of one gateway, with its log open. The folder is locked from here on."""
    options.folder.mkdir(parents=True, exist_ok=True)
    machine: Clock = SystemClock()
    clock, meters = GatewayClock(machine), Meters()
    log = LogWriter(options.folder / LOG, machine, segment_bytes=options.segment_bytes, segment_age_s=options.segment_age_s)
    shadows = ShadowQueue(log, meters)
    services = Services(log, clock, ThreadPoolExecutor(THREADS, thread_name_prefix="predict"), shadows)
    parts = Parts(
        shelf=Shelf(options.folder, loader(options.folder), services),
        guard=Guard(machine, hosts_of(options.host, options.port, options.allowed_hosts), login=options.login),
        log=log,
        blobs=blobs,
        link=link,
        meters=meters,
        clock=clock,
    )
    return App(Station(Identity(options.name, options.folder), parts), shadows, places=options.max_in_flight)


def _bound(options: GatewayOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((options.host, options.port))
    except (OSError, OverflowError, UnicodeError) as error:
        bound.close()
        if getattr(error, "errno", None) != errno.EADDRINUSE:
            hint = "name an address of this machine with --host, and a --port from 1024 to 65535"
            raise InvalidInput(f"{options.host}:{options.port} cannot be bound: {error}", hint=hint) from error
        raise Conflict(f"port {options.port} on {options.host} is taken", hint="stop what listens there, or set gateway.port") from error
    return bound
