"""The control plane as a process."""

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor

from modelyard.access.service import first_start
from modelyard.core.clock import SystemClock
from modelyard.core.processes import die_with_parent, spare_start_up
from modelyard.core.settings import Settings
from modelyard.server.app import control_plane
from modelyard.server.data_folder import check_folder, near_url
from modelyard.server.installation import opened
from modelyard.server.listening import serve
from modelyard.server.local import put_local_tokens
from modelyard.server.locks import RoleLock
from modelyard.server.logs import log_as_json
from modelyard.server.observe import tracing
from modelyard.server.roles.common import check_login, ends_when_told, say_bound
from modelyard.server.sockets import bound_socket
from modelyard.server.supervisor import prepared_for_parent
from modelyard.storage.database import Database
from modelyard.storage.migrations import upgrade


def run_server(settings: Settings, *, as_json: bool = False) -> int:
    """The control plane alone."""
    check_login(settings, settings.server.host)
    die_with_parent(os.environ)
    log_as_json("server")
    ends_when_told()
    check_folder(settings.folder)
    bound = bound_socket(settings.server.host, settings.server.port)
    with (
        tracing(settings.telemetry.endpoint, "server"),
        RoleLock(settings.folder, "server"),
        prepared_for_parent(lambda: _prepared(settings)),
        opened(settings) as installation,
        ThreadPoolExecutor(settings.server.pool_threads, thread_name_prefix="service") as pool,
        contextlib.ExitStack() as left,
    ):
        left.callback(pool.shutdown, wait=False, cancel_futures=True)
        plane = control_plane(installation, pool)
        spare_start_up()
        where = near_url(settings.server.host, bound.getsockname()[1])
        serve(plane.app, plane.close, bound, on_ready=lambda: say_bound(where, as_json=as_json))
    return 0


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
