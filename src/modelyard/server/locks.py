"""The locks of a data folder: one process a role, and whether roles can run here at all. Owns who runs here; starts nothing."""

import contextlib
import fcntl
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from modelyard.core.errors import Kind, ModelyardError
from modelyard.server.sockets import PortTaken, bound_socket

PATIENCE_S = 3.0
LOOK_S = 0.05


class RoleTaken(ModelyardError):
    """The role runs on this data folder already."""

    kind = Kind.CONFLICT


class RoleLock:
    """Held while the role runs; the kernel lets go of it when the process ends, however it ends."""

    def __init__(self, folder: Path, role: str) -> None:
        self._path = folder / "locks" / f"{role}.lock"
        self._role = role
        self._descriptor = -1

    def __enter__(self) -> "RoleLock":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._descriptor, 32, 0).decode().strip() or "another process"
            os.close(self._descriptor)
            raise RoleTaken(
                f"the role {self._role} of {self._path.parent.parent} is taken by process {holder}",
                hint="stop it first, or name another data folder with --data",
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._descriptor)


def check_free(folder: Path, roles: Sequence[str], addresses: Sequence[tuple[str, int]]) -> None:
    """Raises RoleTaken where one of the roles runs on `folder`, PortTaken where somebody listens at one of the addresses.

    The roles of a `yard up` that was killed end a moment after it, so what is taken is looked at again for as long. CannotListen,
    which patience changes nothing of, is raised at once.
    """
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            with contextlib.ExitStack() as held:
                for role in roles:
                    held.enter_context(RoleLock(folder, role))
                for host, port in addresses:
                    held.enter_context(contextlib.closing(bound_socket(host, port)))
            return
        except (RoleTaken, PortTaken):
            if time.monotonic() > until:
                raise
        time.sleep(LOOK_S)
