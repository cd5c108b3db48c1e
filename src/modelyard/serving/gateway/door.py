"""The door in a gateway's folder: a Unix socket by which somebody of this machine rolls back while the control plane is away.

Owns who may come in and the words that are exchanged. There is no such route over HTTP: who can open the folder may, nobody else.
"""

import asyncio
import contextlib
import os
import pwd
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from struct import Struct as Packing

import msgspec

from modelyard.core.errors import ErrorBody, InvalidInput, Kind, ModelyardError
from modelyard.serving.domain import RevisionDetail
from modelyard.serving.gateway.own import LocalRollback

FOLDER = "gateway"
"""Where, inside a data folder, this machine's gateway keeps its own."""

DOOR = "door.sock"
MOST_BYTES = 65_536
WITHIN_S = 5.0
LONGEST_PATH = 100
_PEER = Packing("3i")


class Told(msgspec.Struct, frozen=True):
    """What the gateway answers: the revision that it serves under now, or an error and its kind."""

    done: RevisionDetail | None = None
    error: ErrorBody | None = None
    kind: Kind = Kind.INTERNAL


Answer = Callable[[LocalRollback, str], Awaitable[RevisionDetail]]


async def opened(folder: Path, answer: Answer) -> asyncio.Server:
    """The door of a gateway's folder, open: `answer` is given each order and who of this machine gave it.

    Raises OSError where no socket can be put there.
    """
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        (folder / DOOR).unlink(missing_ok=True)
        with reached(folder) as path:
            bound.bind(path)
        (folder / DOOR).chmod(0o600)
        return await asyncio.start_unix_server(lambda reader, writer: _met(reader, writer, answer), sock=bound, limit=MOST_BYTES)
    except OSError:
        bound.close()
        raise


@contextlib.contextmanager
def reached(folder: Path) -> Iterator[str]:
    """A path of the door that is short enough for a socket: where the folder's own is too long, by its descriptor."""
    path = str(folder / DOOR)
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield path
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{DOOR}"
    finally:
        os.close(descriptor)


async def _met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    with contextlib.suppress(TimeoutError, ValueError, OSError), contextlib.closing(writer):
        by = _peer(writer.get_extra_info("socket"))
        if by is None:
            return
        line = await asyncio.wait_for(reader.readline(), WITHIN_S)
        writer.write(msgspec.json.encode(await _told(line, by, answer)) + b"\n")
        await asyncio.wait_for(writer.drain(), WITHIN_S)


async def _told(line: bytes, by: str, answer: Answer) -> Told:
    try:
        try:
            order = msgspec.json.decode(line, type=LocalRollback)
        except msgspec.DecodeError as error:
            raise InvalidInput(f"that is no order: {error}", hint="use yard rollback MODEL --local of this version") from error
        return Told(done=await answer(order, by))
    except ModelyardError as error:
        return Told(error=error.body(), kind=error.kind)


def _peer(met: socket.socket) -> str | None:
    """Who is at the door, as the kernel says: the login that they came with and the account that they act as; None for others.

    The socket's permissions let nobody else in; this holds also where somebody has widened them.
    """
    process, user, _ = _PEER.unpack(met.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if user not in (0, os.geteuid()):
        return None
    login = _login(process)
    return _name(user) if login in (None, user) else f"{_name(login)} as {_name(user)}"


def _login(process: int) -> int | None:
    """Who logged in, before any sudo; None where the kernel does not keep it."""
    try:
        found = int(Path(f"/proc/{process}/loginuid").read_text("ascii"))
    except (OSError, ValueError):
        return None
    return found if found < 2**32 - 1 else None


def _name(user: int | None) -> str:
    try:
        return pwd.getpwuid(user or 0).pw_name
    except KeyError:
        return f"user {user}"
