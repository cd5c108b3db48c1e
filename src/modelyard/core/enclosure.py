"""Runs a foreign command where it finds nothing of the installation: with mounts, processes and a network of its own.

Owns what is hidden and how. It keeps out a program that looks around; it is no defence against one that attacks the kernel.
"""

import contextlib
import ctypes
import fcntl
import functools
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from modelyard.core.processes import PARENT, die_with_parent, words_for_child

NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NETWORK = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
BIND, RECURSIVE, PRIVATE = 0x1000, 0x4000, 0x40000
IS_HARMLESS = 0x2 | 0x4 | 0x8  # no set-user-id, no devices, no programs
DROP_BOUNDING, NO_NEW_PRIVILEGES, AMBIENT, CLEAR_AMBIENT = 24, 38, 47, 4
CAPABILITIES_V3 = 0x20080522
SET_FLAGS, IS_UP = 0x8914, 0x1
TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - what is replaced, not used
SOCKETS = "/run"
PROBE_S = 20.0


class Enclosure(msgspec.Struct, frozen=True, kw_only=True):
    """What a command sees. `hidden` folders and files are empty; `shown` paths stay as they are, also below a hidden one.

    `temporary` stands in for the machine's folders of temporary files; it must be shown.
    """

    hidden: tuple[str, ...]
    shown: tuple[str, ...]
    temporary: str


def enclosed(arguments: Sequence[str], enclosure: Enclosure) -> list[str]:
    """The command that runs another one inside; its environment must hold `words_for_child`, and its folder be shown."""
    # What the environment says of Python's paths is for the command inside, and so is the working folder.
    return [sys.executable, "-E", "-P", "-m", __name__, msgspec.json.encode(enclosure).decode(), *arguments]


@functools.cache
def is_enclosing() -> bool:
    """Whether this machine lets this process run commands so; tried once."""
    if sys.platform != "linux":
        return False
    words = words_for_child({"PATH": os.environ.get("PATH", "")})
    command = enclosed([sys.executable, "-E", "-c", ""], Enclosure(hidden=(), shown=("/",), temporary="/"))
    try:
        return subprocess.run(command, env=words, capture_output=True, timeout=PROBE_S, check=False).returncode == 0  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return False


def main() -> int:
    """Runs the command of the arguments inside; its exit code, or 128 and the signal that ended it."""
    die_with_parent(os.environ)
    enclosure, folder = msgspec.json.decode(sys.argv[1], type=Enclosure), Path.cwd()
    _part()
    first = os.fork()
    if first == 0:
        os._exit(_first(enclosure, folder, sys.argv[2:]))
    return _waited(first)


def _first(enclosure: Enclosure, folder: Path, command: list[str]) -> int:
    """The first process inside: with its end all others inside are killed. It waits for the command and buries orphans."""
    _die_with_parent()
    _hide(enclosure)
    _call("mount", b"proc", b"/proc", b"proc", IS_HARMLESS, None)
    child = os.fork()
    if child == 0:
        _die_with_parent()
        _disarm()
        os.chdir(folder)
        os.execve(command[0], command, {**os.environ, PARENT: str(os.getppid())})  # noqa: S606 - what `enclosed` was given
    return _waited(child)


def _part() -> None:
    """Leaves the mounts, processes and network of all others."""
    user, group = os.geteuid(), os.getegid()
    apart = NEW_MOUNTS | NEW_PIDS | NEW_IPC | NEW_NETWORK
    try:
        _call("unshare", apart)
    except PermissionError:
        _call("unshare", apart | NEW_USER)
        for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            Path("/proc/self", name).write_text(line)
    _call("mount", None, b"/", None, RECURSIVE | PRIVATE, None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as loopback:
        fcntl.ioctl(loopback, SET_FLAGS, struct.pack("16sh14x", b"lo", IS_UP))


def _hide(enclosure: Enclosure) -> None:
    """Lays something empty over what is hidden, and what is shown over that again."""
    if "/" in enclosure.shown:
        return
    kept = {path: os.open(path, os.O_PATH) for path in enclosure.shown}
    stand_in = os.open(enclosure.temporary, os.O_PATH)
    for path in TEMPORARY:
        if Path(path).is_dir() and not Path(path).is_symlink():
            _bind(stand_in, path)
    for path in dict.fromkeys((*enclosure.hidden, SOCKETS)):
        if Path(path).is_dir():
            _call("mount", b"none", os.fsencode(path), b"tmpfs", IS_HARMLESS, b"mode=755,size=1m")
        elif Path(path).exists():
            _call("mount", b"/dev/null", os.fsencode(path), None, BIND, None)
    for device in disks("/dev"):
        _call("mount", b"/dev/null", os.fsencode(device), None, BIND, None)
    for path, descriptor in kept.items():
        is_folder = Path(f"/proc/self/fd/{descriptor}").is_dir()
        (Path(path) if is_folder else Path(path).parent).mkdir(parents=True, exist_ok=True)
        if not is_folder:
            Path(path).touch()
        _bind(descriptor, path)


def disks(root: str) -> list[str]:
    """The block devices below a folder. A link is none: where it leads may be hidden by now, as `/dev/log` does with systemd."""
    found, folders = list[str](), [root]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for one in entries:
                mode = one.stat(follow_symlinks=False).st_mode
                if stat.S_ISBLK(mode):
                    found.append(one.path)
                elif stat.S_ISDIR(mode):
                    folders.append(one.path)
    return sorted(found)


def _bind(descriptor: int, path: str) -> None:
    _call("mount", f"/proc/self/fd/{descriptor}".encode(), os.fsencode(path), None, BIND | RECURSIVE, None)


def _disarm() -> None:
    """Gives up every capability for good: whoever may mount could lift the mounts that hide."""
    for capability in range(64):
        if _libc().prctl(DROP_BOUNDING, capability, 0, 0, 0) != 0:
            break
    _call("prctl", AMBIENT, CLEAR_AMBIENT, 0, 0, 0)
    _call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _call("capset", struct.pack("Ii", CAPABILITIES_V3, 0), bytes(24))


def _die_with_parent() -> None:
    _call("prctl", 1, signal.SIGKILL, 0, 0, 0)


def _waited(child: int) -> int:
    """The exit code of the child; others that end meanwhile are buried."""
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _call(name: str, *arguments: int | bytes | None) -> None:
    if getattr(_libc(), name)(*[ctypes.c_ulong(one) if isinstance(one, int) else one for one in arguments]) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    sys.exit(main())
