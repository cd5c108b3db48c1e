"""A worker as a process."""

import os
import signal
import socket
import threading
from types import FrameType

from modelyard.core.ids import new_id
from modelyard.core.processes import die_with_parent, spare_start_up
from modelyard.core.settings import Settings
from modelyard.server.installation import opened
from modelyard.server.logs import log_as_json
from modelyard.server.observe import tracing
from modelyard.server.roles.common import say_bound
from modelyard.server.scratch import scratch_below
from modelyard.server.worker import work_until


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
        say_bound("worker", as_json=as_json)
        work_until(stop, installation, f"{socket.gethostname()}/{os.getpid()}/{new_id('wrk')[-6:]}")
    return 0
