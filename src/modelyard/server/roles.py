"""The roles as processes: `up` supervises all, each other one serves alone. Owns their start and their clean end."""

import contextlib
import os
import signal
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import msgspec

from modelyard.access.rules import is_loopback
from modelyard.access.service import first_start
from modelyard.core.clock import SystemClock
from modelyard.core.errors import Kind, ModelyardError
from modelyard.core.ids import new_id
from modelyard.core.processes import PARENT, die_with_parent, spare_start_up
from modelyard.core.settings import Settings
from modelyard.server.app import control_plane
from modelyard.server.guard import check_gateway_rules
from modelyard.server.installation import check_folder, opened
from modelyard.server.listening import bound_socket, serve
from modelyard.server.local import GATEWAY, near_url, put_addresses, put_local_tokens
from modelyard.server.locks import RoleLock, check_free
from modelyard.server.observe import Traced, log_as_json, tracing
from modelyard.server.scratch import scratch_below
from modelyard.server.supervisor import RoleSpec, role_command, supervised
from modelyard.server.worker import work_until
from modelyard.serving.gateway.link import HttpLink
from modelyard.serving.gateway.loading import ArtifactLoader
from modelyard.serving.gateway.routes import ROUTES
from modelyard.serving.gateway.run import GatewayOptions
from modelyard.serving.gateway.run import run_gateway as serve_gateway
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.storage.migrations import upgrade
from modelyard.storage.online import open_online


class LoginNeeded(ModelyardError):
    """Without logins the server is bound to this machine only."""

    kind = Kind.FORBIDDEN


def run_up(settings: Settings, *, as_json: bool = False) -> int:
    """All roles on one machine, supervised until SIGTERM or SIGINT."""
    _check_login(settings, settings.server.host, settings.gateway.host)
    check_folder(settings.folder)
    log_as_json("up")
    with RoleLock(settings.folder, "up"):
        # Whoever answers at these addresses would be taken for our own roles.
        own = ((settings.server.host, settings.server.port), (settings.gateway.host, settings.gateway.port))
        check_free(settings.folder, ("server", "gateway"), own)
        link = _prepared(settings)
        base = near_url(settings.server.host, settings.server.port)
        gateway = near_url(settings.gateway.host, settings.gateway.port)
        words = _words(settings)
        specs = (
            RoleSpec(name="server", command=role_command("server", words.server), ready_url=f"{base}/readyz"),
            RoleSpec(name="gateway", command=role_command("gateway", words.gateway), ready_url=f"{gateway}/readyz"),
            RoleSpec(name="worker", command=role_command("worker", words.data)),
        )

        def said_ready() -> None:
            first_login = f"{base}{link}" if link and settings.login else ""
            put_addresses(settings)
            ready = f"http://{settings.server.host}:{settings.server.port}" if ":" not in settings.server.host else base
            if as_json:
                _say(msgspec.json.encode({"ready": ready, "gateway": gateway, "first_login": first_login}).decode())
            else:
                _say("\n".join([f"ready {ready}", *([f"first login: {first_login}"] if first_login else [])]))

        return supervised(specs, said_ready)


def run_server(settings: Settings, *, as_json: bool = False) -> int:
    """The control plane alone."""
    _check_login(settings, settings.server.host)
    die_with_parent(os.environ)
    log_as_json("server")
    _ends_when_told()
    check_folder(settings.folder)
    bound = bound_socket(settings.server.host, settings.server.port)
    with (
        tracing(settings.telemetry.endpoint, "server"),
        RoleLock(settings.folder, "server"),
        opened(settings) as installation,
        ThreadPoolExecutor(settings.server.pool_threads, thread_name_prefix="service") as pool,
        contextlib.ExitStack() as left,
    ):
        left.callback(pool.shutdown, wait=False, cancel_futures=True)
        plane = control_plane(installation, pool)
        spare_start_up()
        where = near_url(settings.server.host, bound.getsockname()[1])
        serve(plane.app, plane.close, bound, on_ready=lambda: _say_bound(where, as_json=as_json))
    return 0


def run_gateway(settings: Settings, *, as_json: bool = False) -> int:
    """The data plane alone: it asks the control plane of the settings what to serve, and goes on without it."""
    _check_login(settings, settings.gateway.host)
    die_with_parent(os.environ)
    log_as_json("gateway")
    _ends_when_told()
    check_folder(settings.folder)
    own = settings.gateway
    options = GatewayOptions(
        name=own.name or socket.gethostname().partition(".")[0],
        folder=settings.folder / "gateway",
        host=own.host,
        port=own.port,
        login=settings.login,
        max_in_flight=own.max_in_flight,
        segment_bytes=own.segment_bytes,
        segment_age_s=own.segment_age_s,
        allowed_hosts=own.allowed_hosts,
        around=Traced if settings.telemetry.endpoint else None,
    )
    token = settings.folder / GATEWAY
    blobs, online = Blobs.open(settings.blobs_url, settings.storage.blob_options), open_online(settings.online_url)
    url = own.server_url or near_url(settings.server.host, settings.server.port)
    link = HttpLink(url, options.name, token.read_text("utf-8").strip() if token.exists() else "")
    check_gateway_rules(ROUTES)
    with tracing(settings.telemetry.endpoint, "gateway"), RoleLock(settings.folder, "gateway"):
        serve_gateway(
            options,
            blobs,
            lambda folder: ArtifactLoader(folder, blobs, online),
            link,
            on_ready=lambda port: _say_bound(near_url(own.host, port), as_json=as_json),
        )
    return 0


def run_worker(settings: Settings, *, as_json: bool = False) -> int:
    """A worker alone, until SIGTERM or SIGINT: it finishes or gives back what it holds."""
    die_with_parent(os.environ)
    log_as_json("worker")
    stop = threading.Event()

    def asked(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asked)
    with tracing(settings.telemetry.endpoint, "worker"), scratch_below(settings.folder), opened(settings) as installation:
        spare_start_up()
        _say_bound("worker", as_json=as_json)
        work_until(stop, installation, f"{socket.gethostname()}/{os.getpid()}/{new_id('wrk')[-6:]}")
    return 0


def _ends_when_told() -> None:
    """Has SIGTERM end this process from within, so that what is open is closed: the HTTP server raises it again once it has stopped."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))


def _say_bound(where: str, *, as_json: bool) -> None:
    """Says that a role takes requests, or work, from now on, unless `yard up` started it and says so for all."""
    if PARENT not in os.environ:
        _say(msgspec.json.encode({"ready": where}).decode() if as_json else f"ready {where}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _prepared(settings: Settings) -> str:
    """Brings the data folder to the newest schema; the path of the first login's link while nobody has logged in."""
    database = Database.open(settings.database_url, SystemClock())
    try:
        upgrade(database)
        invitation = database.write(first_start)
        put_local_tokens(database, settings.folder)
    finally:
        database.close()
    return invitation.path if invitation is not None else ""


def _check_login(settings: Settings, *hosts: str) -> None:
    exposed = [host for host in hosts if not is_loopback(host)]
    if not settings.login and exposed:
        raise LoginNeeded(f"--no-login with {exposed[0]} would let anyone in", hint="bind to 127.0.0.1, or leave out --no-login")


class _Words:
    def __init__(self, settings: Settings) -> None:
        login = [] if settings.login else ["--no-login"]
        self.data = ["--data", str(settings.folder)]
        self.server = [*self.data, "--host", settings.server.host, "--port", str(settings.server.port), *login]
        url = near_url(settings.server.host, settings.server.port)
        self.gateway = [*self.data, "--host", settings.gateway.host, "--port", str(settings.gateway.port), "--server-url", url, *login]


def _words(settings: Settings) -> _Words:
    return _Words(settings)
