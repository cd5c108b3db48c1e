"""Child processes that never outlive their parent, and what a long-lived process does once. Owns how a child is started, tied and ended."""

import contextlib
import ctypes
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PARENT = "YARD_PARENT_PID"
_SET_PARENT_DEATH_SIGNAL = 1


def die_with_parent(environment: Mapping[str, str]) -> None:
    """Has the kernel kill this process when the thread that started it ends; ends it now where that is too late.

    The child calls it first thing. The parent's id is in `environment` under `YARD_PARENT_PID`.
    """
    parent = int(environment.get(PARENT, "0"))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if parent and os.getppid() != parent:
        os._exit(1)


def spare_start_up() -> None:
    """Has the collector of garbage pass over what lives by now, for as long as the process does: fewer and shorter pauses.

    A role calls it once, when it is ready.
    """
    gc.collect()
    gc.freeze()


def started_child(arguments: Sequence[str], environment: Mapping[str, str], *, folder: Path, output: int) -> subprocess.Popen[bytes]:
    """A child in a process group of its own, without standard input, that knows its parent; its output goes to `output`."""
    return subprocess.Popen(  # noqa: S603 - arguments are a list and reach no shell
        list(arguments),
        cwd=folder,
        env=words_for_child(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        process_group=0,
    )


def tied(arguments: Sequence[str]) -> list[str]:
    """The command that runs a foreign program which dies with this process; its environment must hold `words_for_child`."""
    return [sys.executable, "-m", __name__, *arguments]


def words_for_child(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` with the word by which a child knows its parent."""
    return {**environment, PARENT: str(os.getpid())}


def end_child(child: subprocess.Popen[bytes]) -> None:
    """Kills the child and everything in its group, and waits for its end."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


if __name__ == "__main__":
    die_with_parent(os.environ)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - what `tied` was given, by this package alone
