"""A run's spool: numbered batches in append-only files of checksummed frames. Owns what is on disk and when it is durable; sends nothing.

A batch is *acknowledged locally* once `SpoolWriter.sync` has returned: from then on a kill of the process or a power cut does not
lose it. Who holds the spool's lock is its only writer, or, once that is gone, the only one who sends off what it left.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.core.errors import Kind, ModelyardError
from modelyard.core.ids import hex_id
from modelyard.storage.durable import sync, write_whole
from modelyard.storage.frames import framed
from modelyard.tracking.domain import RunId
from modelyard.tracking.spooled import Record, SourceId

SPOOLS = "spool"
HEAD, LOCK, FILES, SEGMENT = "head.json", "lock", "files", ".frames"
CONTENT = re.compile(r"[0-9a-f]{32}")
"""The names of artifacts' bytes in a spool. One that came from elsewhere may name anything, which is then not touched."""

MAGIC = b"MYSPL\x00\x01\n"
MOST_FRAME_BYTES = 32 * 2**20
SEGMENT_BYTES = 16 * 2**20
MOST_SPOOL_BYTES = 2**30
_CHUNK = 1 << 20


class SpoolUnavailable(ModelyardError):
    """The spool cannot be written: what is logged waits in memory, and is not safe from a crash."""

    kind = Kind.UNREACHABLE


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a spool is: which run it logs to, and where it is sent. Without an address, to the server of its own data folder."""

    source: SourceId
    run_id: RunId
    name: str
    url: str = ""
    format: int = 1


class Spooled(msgspec.Struct, frozen=True, array_like=True):
    """A batch in the spool. `content` names the file in the spool that holds an artifact's bytes."""

    sequence: int
    at: Instant
    record: Record
    content: str = ""


class Stored(msgspec.Struct, frozen=True):
    """An artifact's bytes in the spool, durable."""

    name: str
    digest: Digest
    size_bytes: int


class SpoolWriter:
    """A new spool below `root`, which this process writes. Not for several threads at once."""

    def __init__(self, root: Path, head: Head, *, most_bytes: int = MOST_SPOOL_BYTES, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.head, self.folder = head, root / head.source
        self._most_bytes, self._segment_bytes = most_bytes, segment_bytes
        self._waiting: list[bytes] = []
        self._sequence = self._segments = self._end = 0
        self._descriptor = -1
        self.acknowledged = 0
        """The number of the last batch that is durable."""
        try:
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.mkdir(mode=0o700)
            lock = locked(self.folder)
            assert lock is not None  # nobody else knows the folder yet
            self.lock = lock
            write_whole(self.folder / HEAD, msgspec.json.encode(head))
            sync(root)
            sync(root.parent)
        except OSError as error:
            raise _unavailable(self.folder, error) from error

    def put(self, record: Record, at: Instant, content: str = "") -> None:
        """Numbers a batch. It is not on disk before `sync`."""
        self._sequence += 1
        self._waiting.append(framed(_encoder.encode(Spooled(self._sequence, at, record, content))))

    def sync(self) -> None:
        """Makes every batch so far durable. Raises SpoolUnavailable with all of them kept for the next try, under the same numbers."""
        if not self._waiting:
            return
        content = memoryview(b"".join(self._waiting))
        try:
            self._append(content)
        except OSError as error:
            self._abandon()
            raise _unavailable(self.folder, error) from error
        self._waiting = []
        self.acknowledged = self._sequence
        if self._end >= self._segment_bytes:
            self._close()

    @property
    def waiting_bytes(self) -> int:
        """How much waits for a disk that takes it."""
        return sum(map(len, self._waiting))

    def store(self, content: Path | bytes) -> Stored:
        """Copies a file into the spool, durably: what becomes of the original later changes nothing. Raises SpoolUnavailable."""
        name, running, size = hex_id(), hashlib.sha256(), 0
        target = self.folder / FILES / name
        try:
            target.parent.mkdir(exist_ok=True, mode=0o700)
            with target.open("xb") as stream:
                for chunk in _chunks(content):
                    running.update(chunk)
                    size += len(chunk)
                    stream.write(chunk)
                stream.flush()
                os.fsync(stream.fileno())
            sync(target.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                target.unlink()
            raise _unavailable(target, error) from error
        return Stored(name, Digest("sha256:" + running.hexdigest()), size)

    def close(self) -> None:
        """Lets go of the spool: another may send off what is in it."""
        self._close()
        if self.lock >= 0:
            unlock(self.lock)
            self.lock = -1

    def leave(self) -> None:
        """Leaves the spool, and what waits for its disk, to the process that this one was forked from."""
        self._waiting = []
        self._close()
        self.lock = -1

    def _append(self, content: memoryview) -> None:
        if size_of(self.folder) + len(content) > self._most_bytes:
            raise OSError(errno.EDQUOT, f"the spool holds {self._most_bytes} bytes that no server has taken yet")
        if self._descriptor < 0:
            self._open()
        written = 0
        while written < len(content):
            written += os.pwrite(self._descriptor, content[written:], self._end + written)
        os.fdatasync(self._descriptor)
        self._end += len(content)

    def _open(self) -> None:
        self._segments += 1
        self._end = 0
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        self._descriptor = os.open(self.folder / f"{self._segments:08}{SEGMENT}", flags, 0o600)
        os.pwrite(self._descriptor, MAGIC, 0)
        self._end = len(MAGIC)
        sync(self.folder)

    def _abandon(self) -> None:
        """Leaves a segment whose disk failed: what was durable is kept, the rest is cut off if it can be and comes again in the next.

        One without anything durable is removed: a disk that is full for hours would be tried in ever more of them.
        """
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._end)
        self._close()
        if self._end <= len(MAGIC):
            with contextlib.suppress(OSError):
                (self.folder / f"{self._segments:08}{SEGMENT}").unlink()

    def _close(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = -1


_encoder = msgspec.msgpack.Encoder()


def locked(folder: Path) -> int | None:
    """The descriptor that holds the spool's lock until it is closed; None where somebody else has it, or the spool is gone."""
    try:
        descriptor = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    if os.fstat(descriptor).st_nlink == 0:  # whoever had it before has sent all and removed it
        os.close(descriptor)
        return None
    _HELD.add(descriptor)
    return descriptor


def unlock(descriptor: int) -> None:
    """Lets go of a spool's lock, also where a child has inherited the descriptor. A forked child has no part in it."""
    if descriptor in _HELD:
        _HELD.discard(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


_HELD: set[int] = set()


def _leave_to_parent() -> None:
    for descriptor in _HELD:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _HELD.clear()


os.register_at_fork(after_in_child=_leave_to_parent)


def size_of(folder: Path) -> int:
    """How many bytes the spool's segments take; artifacts are not counted."""
    total = 0
    for path in folder.glob(f"*{SEGMENT}"):
        with contextlib.suppress(FileNotFoundError):  # sent meanwhile
            total += path.stat().st_size
    return total


def _chunks(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _unavailable(path: Path, error: OSError) -> SpoolUnavailable:
    return SpoolUnavailable(f"{path} cannot be written: {error.strerror}", hint="free space on its disk; it is tried again")
