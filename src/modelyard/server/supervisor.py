"""`yard up`: starts the roles as processes, says when they answer, restarts one that dies, stops them cleanly."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

import httpx
import msgspec

from modelyard.core.errors import Kind, ModelyardError
from modelyard.core.processes import PARENT

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
WATCH_S = 0.1
LONGEST_BACKOFF_S = 10.0
CALM_S = 30.0


class RoleFailed(ModelyardError):
    """A role did not come up."""

    kind = Kind.UNREACHABLE


class RoleSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A role to supervise: its name, its command, and the address that answers when it is ready, if it has one."""

    name: str
    command: tuple[str, ...]
    ready_url: str = ""


class _Supervised:
    def __init__(self, spec: RoleSpec) -> None:
        self.spec = spec
        self.failures = 0
        self.start_again_at = 0.0
        self.started = 0.0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.started = time.monotonic()
        environment = {**os.environ, PARENT: str(os.getpid())}
        self.process = subprocess.Popen(self.spec.command, env=environment, stdin=subprocess.DEVNULL)  # noqa: S603 - our own roles

    def runs(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.poll() is None

    def tend(self) -> None:
        """Restarts the role where it died: at once the first time, then after ever longer waits."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.start_again_at:
                self.start()
            return
        code = self.process.poll()
        if code is None:
            return
        self.failures = 0 if now - self.started > CALM_S else self.failures + 1
        wait_s = min(2.0 ** (self.failures - 2), LONGEST_BACKOFF_S) if self.failures > 1 else 0.0
        logging.getLogger("modelyard.supervisor").warning("%s ended with %s and is started again in %.1f s", self.spec.name, code, wait_s)
        self.process, self.start_again_at = None, now + wait_s


def supervised(specs: Sequence[RoleSpec], said_ready: Callable[[], None]) -> int:
    """Runs the roles until SIGTERM or SIGINT; calls `said_ready` once all answer. 0 after a clean stop.

    Raises RoleFailed where they do not answer within a minute.
    """
    stop = threading.Event()

    def asked(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asked)
    roles = [_Supervised(spec) for spec in specs]
    try:
        for role in roles:
            role.start()
        _await_ready(roles, stop)
        if not stop.is_set():
            said_ready()
        while not stop.wait(WATCH_S):
            for role in roles:
                role.tend()
    finally:
        _stop(roles)
    return 0


def role_command(role: str, settings_words: Sequence[str]) -> tuple[str, ...]:
    """The command that runs one role with this interpreter."""
    return (sys.executable, "-m", "modelyard.cli.main", role, *settings_words)


def _await_ready(roles: Sequence[_Supervised], stop: threading.Event) -> None:
    until = time.monotonic() + READY_TIMEOUT_S
    waiting = [role for role in roles if role.spec.ready_url]
    with httpx.Client(timeout=2.0, trust_env=False) as client:
        while waiting and not stop.wait(WATCH_S / 2):
            # What answers while our own process is not there is somebody else's.
            waiting = [role for role in waiting if not role.runs() or not _answers(client, role.spec.ready_url)]
            for role in roles:
                role.tend()
            if time.monotonic() > until or any(role.failures > 3 for role in waiting):
                names = ", ".join(role.spec.name for role in waiting)
                raise RoleFailed(f"{names} did not answer", hint="the log above says why; is the port free?")


def _answers(client: httpx.Client, url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return client.get(url).status_code == httpx.codes.OK
    return False


def _stop(roles: Sequence[_Supervised]) -> None:
    running = [role.process for role in roles if role.process is not None and role.runs()]
    for process in running:
        process.terminate()
    until = time.monotonic() + STOP_TIMEOUT_S
    for process in running:
        try:
            process.wait(max(until - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
