"""`yard up`: starts the roles as processes, says when they answer, restarts one that dies, stops them cleanly.

The first of them prepares the data folder; the others, which need that, start when it answers.
"""

import contextlib
import http.client
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from types import FrameType
from urllib.parse import urlsplit

import msgspec

from modelyard.core.errors import Kind, ModelyardError
from modelyard.core.processes import PARENT

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
WATCH_S = 0.1
LOOK_S = 0.02
LONGEST_BACKOFF_S = 10.0
CALM_S = 30.0
ASK_S = 2.0
PREPARES = "YARD_PREPARES_FD"
"""Where the role that prepares finds the pipe on which it says, in one line, what came of it."""


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

    def start(self, words: Sequence[str] = (), environment: Mapping[str, str] | None = None, passed: Sequence[int] = ()) -> None:
        self.started = time.monotonic()
        environment = {**os.environ, PARENT: str(os.getpid()), **(environment or {})}
        command = [*self.spec.command, *words]
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, pass_fds=passed)  # noqa: S603 - our own roles

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


def supervised(specs: Sequence[RoleSpec], said_ready: Callable[[str], None], words: Sequence[str] = ()) -> int:
    """Runs the roles until SIGTERM or SIGINT, the first of them to prepare; 0 after a clean stop.

    Once all answer, `said_ready` hears what the first said when it had prepared. Where it ends instead, it has said why, as `words`
    added to its command ask for, and its exit code is the answer. Raises RoleFailed where they do not answer within a minute.
    """
    stop = threading.Event()

    def asked(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asked)
    first, *others = roles = [_Supervised(spec) for spec in specs]
    try:
        told = _prepared(first, words, stop)
        if told is None and not stop.is_set():
            return _gone(first)
        _await_ready([first], stop)
        for role in others if not stop.is_set() else ():
            role.start()
        _await_ready(roles, stop)
        if told is not None and not stop.is_set():
            said_ready(told)
        while not stop.wait(WATCH_S):
            for role in roles:
                role.tend()
    finally:
        _stop(roles)
    return 0


@contextlib.contextmanager
def prepared_for_parent(prepare: Callable[[], str]) -> Iterator[None]:
    """Prepares where the parent asked this process to, and tells it what came of it."""
    descriptor = os.environ.pop(PREPARES, "")
    if descriptor:
        with os.fdopen(int(descriptor), "w", encoding="utf-8") as pipe:
            pipe.write(prepare() + "\n")
    yield


def role_command(role: str, settings_words: Sequence[str]) -> tuple[str, ...]:
    """The command that runs one role with this interpreter."""
    return (sys.executable, "-m", "modelyard.cli.main", role, *settings_words)


def _prepared(role: _Supervised, words: Sequence[str], stop: threading.Event) -> str | None:
    """What the role says once it has prepared; None where it ended before, or this process is to stop."""
    read, write = os.pipe()
    with os.fdopen(read, "rb", buffering=0) as pipe:
        try:
            role.start(words, {PREPARES: str(write)}, (write,))
        finally:
            os.close(write)
        said = b""
        while not said.endswith(b"\n"):
            while not select.select([pipe], [], [], WATCH_S)[0]:
                if stop.is_set():
                    return None
            more = pipe.read(4096)
            if not more:
                return None
            said += more
    return said.decode().strip()


def _gone(role: _Supervised) -> int:
    """The exit code of a role that ends. Raises RoleFailed where a signal ended it, which it could say nothing of."""
    assert role.process is not None
    code = role.process.wait(STOP_TIMEOUT_S)
    if code < 0:
        raise RoleFailed(f"{role.spec.name} was ended by signal {-code} before it had prepared the data folder", hint="start again")
    return code


def _await_ready(roles: Sequence[_Supervised], stop: threading.Event) -> None:
    until = time.monotonic() + READY_TIMEOUT_S
    waiting = [role for role in roles if role.spec.ready_url]
    while waiting and not stop.wait(LOOK_S):
        # What answers while our own process is not there is somebody else's.
        waiting = [role for role in waiting if not role.runs() or not _answers(role.spec.ready_url)]
        for role in roles:
            role.tend()
        if time.monotonic() > until or any(role.failures > 3 for role in waiting):
            names = ", ".join(role.spec.name for role in waiting)
            raise RoleFailed(f"{names} did not answer", hint="the log above says why; is the port free?")


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=ASK_S)) as connection:
        try:
            connection.request("GET", parts.path)
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, http.client.HTTPException):
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
