"""Reading spools: the batches that no server has yet, in order. Owns how far a spool was sent, and what was set aside; sends nothing."""

import contextlib
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from modelyard.core.clock import Instant
from modelyard.core.errors import ErrorBody
from modelyard.sdk.tracking.spool import CONTENT, FILES, HEAD, MAGIC, MOST_FRAME_BYTES, SEGMENT, Head, Spooled, locked, unlock
from modelyard.storage.durable import sync
from modelyard.storage.frames import claimed_size, whole_bodies
from modelyard.tracking.domain import RunStatus
from modelyard.tracking.spooled import Ended

STATE, REFUSED = "state.json", "refused.jsonl"
READ_BYTES = 2**20
"""How much of a spool is in memory at once, next to one frame: a spool that came from elsewhere may be of any size."""
MOST_HEAD_BYTES = 2**20
LONGEST_LINE = 2 * MOST_FRAME_BYTES


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How far a spool was sent. A state that was lost makes batches come again, which changes nothing.

    `is_over` says that it is not sent any further: all of it was, or the server refused the run itself.
    """

    delivered: int = 0
    at: Instant = Instant(0)
    has_ended: bool = False
    is_over: bool = False


class SetAside(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that the server refused, or one that the disk lost, and why."""

    sequence: int
    error: ErrorBody
    record: Any = None


class SpoolReader:
    """The batches of a spool that were not sent yet, one after the other.

    `acknowledged` tells of a spool that is written the last batch that is durable. None behind it is given out: had the server one
    that a power cut then took from the disk, the next in its place, such as the end that is owed, would pass there for the same.
    """

    def __init__(self, folder: Path, acknowledged: Callable[[], int] | None = None) -> None:
        self.folder = folder
        self._acknowledged = acknowledged
        self.head = msgspec.json.decode(_small(folder / HEAD), type=Head)
        self.state = _read_state(folder)
        self._bodies: deque[bytes] = deque()
        self._segment: Path | None = None
        self._offset = 0
        self._current: Spooled | None = None
        self.tries = 0

    def next(self) -> Spooled | None:
        """The first batch that was not sent; the same one until it is marked. None where there is none, perhaps not yet."""
        while self._current is None:
            if not self._bodies and not self._has_read():
                return None
            found = _decoded(self._bodies.popleft())
            if found is not None and found.sequence > self.state.delivered:
                self._current = found
        return self._current if self._acknowledged is None or self._current.sequence <= self._acknowledged() else None

    @property
    def lost(self) -> int:
        """How many batches before the next one the disk has lost."""
        return 0 if self._current is None else self._current.sequence - self.state.delivered - 1

    def mark(self, batch: Spooled) -> None:
        """Notes that the batch needs no sending any more, and removes what is not needed for others."""
        self._current, self.tries = None, 0
        ended = isinstance(batch.record, Ended)
        has_ended = self.state.has_ended or ended
        is_noted = self.put_state(msgspec.structs.replace(self.state, delivered=batch.sequence, at=batch.at, has_ended=has_ended))
        if CONTENT.fullmatch(batch.content):
            with contextlib.suppress(OSError):
                (self.folder / FILES / batch.content).unlink()
        sent = [path for path in _segments(self.folder) if self._segment is not None and path < self._segment]
        if sent and is_noted:
            with contextlib.suppress(OSError):  # without a note that lasts, what was sent would look lost
                sync(self.folder / STATE)
                sync(self.folder)
                for path in sent:
                    path.unlink()

    def set_aside(self, entry: SetAside) -> None:
        """Keeps a refused batch, durably, beside those that are to be sent. Raises OSError."""
        with (self.folder / REFUSED).open("a+b") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(size - 1, 0))
            # What a full disk or a crash left of the one before is a line of its own.
            begins = b"" if stream.read(1) in (b"", b"\n") else b"\n"
            stream.write(begins + msgspec.json.encode(entry) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        sync(self.folder)

    def ending(self) -> Spooled | None:
        """The end that a writer owes that was killed; None where it said its end, or began nothing."""
        if self.state.has_ended or not self.state.delivered:
            return None
        return Spooled(self.state.delivered + 1, self.state.at, Ended(status=RunStatus.KILLED, at=self.state.at, is_owed=True))

    def remove(self) -> None:
        """Removes the spool, all of it sent; what was refused stays, to be looked at."""
        if not (self.folder / REFUSED).exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        self.put_state(msgspec.structs.replace(self.state, is_over=True))
        shutil.rmtree(self.folder / FILES, ignore_errors=True)
        for path in _segments(self.folder):
            path.unlink(missing_ok=True)

    def put_state(self, state: State) -> bool:
        """Notes how far it was sent, and says whether the disk took the note; one that is full keeps the older."""
        self.state = state
        partial = self.folder / f"{STATE}.new"
        with contextlib.suppress(OSError):
            partial.write_bytes(msgspec.json.encode(state))
            partial.replace(self.folder / STATE)
            return True
        return False

    def _has_read(self) -> bool:
        """Whether more batches were read off the disk."""
        while True:
            # The list is taken first: a segment that has a follower now gets nothing more, so that none is passed over.
            segments = _segments(self.folder)
            if self._segment is None:
                self._segment = next(iter(segments), None)
                self._offset = len(MAGIC)
            if self._segment is None:
                return False
            self._read(self._segment)
            if self._bodies:
                return True
            following = next((path for path in segments if path > self._segment), None)
            if following is None:
                return False
            self._segment, self._offset = following, len(MAGIC)

    def _read(self, path: Path) -> None:
        size = 0
        for end, body in _frames(path, self._offset):
            self._bodies.append(body)
            self._offset = end
            size += len(body)
            if size >= READ_BYTES:
                break


def count_waiting(folder: Path) -> int:
    """How many batches of a spool no server has taken, by what is noted."""
    delivered = _read_state(folder).delivered
    found = (_decoded(body) for path in _segments(folder) for _, body in _frames(path, len(MAGIC)))
    return len({one.sequence for one in found if one is not None and one.sequence > delivered})


def _frames(path: Path, offset: int) -> Iterator[tuple[int, bytes]]:
    """Each whole frame's body from `offset` on, and where the frame ends, read as it is asked for; nothing of a file that is gone."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return
    with stream:
        while True:
            stream.seek(offset)
            content = stream.read(READ_BYTES)
            content += stream.read(max(claimed_size(content, MOST_FRAME_BYTES) - len(content), 0))
            begun = offset
            for end, body in whole_bodies(memoryview(content), 0, MOST_FRAME_BYTES):
                offset = begun + end
                yield offset, bytes(body)
            if offset == begun:
                return


def _decoded(body: bytes) -> Spooled | None:
    """The batch in a frame; None for a frame of another kind, whose number is then missing."""
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError:
        return None


_decoder = msgspec.msgpack.Decoder(Spooled)


def list_spools(root: Path) -> list[Path]:
    """The spools below `root`, the oldest first. What is none of ours is left out: a folder that holds anything but plain files."""
    return sorted(path.parent for path in root.glob(f"src_*/{HEAD}") if _is_plain(path.parent))


def _is_plain(folder: Path) -> bool:
    """Whether no name in the folder leads elsewhere: by a link in one that came from elsewhere, files outside would be written or cut."""
    try:
        with os.scandir(folder) as entries:
            return not folder.is_symlink() and all(_is_own(entry) for entry in entries)
    except OSError:
        return False


def _is_own(entry: "os.DirEntry[str]") -> bool:
    return entry.is_dir(follow_symlinks=False) if entry.name == FILES else entry.is_file(follow_symlinks=False)


def read_refused(folder: Path) -> list[SetAside]:
    """What the server refused of a spool; a line that a crash has torn is passed over."""
    found = []
    with contextlib.suppress(FileNotFoundError), (folder / REFUSED).open("rb") as stream:
        while line := stream.readline(LONGEST_LINE):
            with contextlib.suppress(msgspec.MsgspecError):
                found.append(msgspec.json.decode(line, type=SetAside))
    return found


@contextlib.contextmanager
def taken_over(folder: Path, *, is_asked: bool = False) -> Iterator[SpoolReader | None]:
    """The spool of a writer that is gone, while the block runs: nobody else sends it off meanwhile. A torn tail is cut.

    None where its writer lives, where somebody else sends it, where it is gone or over. A spool whose run was refused is tried
    again where somebody asks for it.
    """
    lock = locked(folder)
    if lock is None:
        yield None
        return
    try:
        reader = _opened(folder)
        if reader is not None and reader.state.is_over and is_asked and _segments(folder):
            (folder / REFUSED).unlink(missing_ok=True)
            reader.put_state(msgspec.structs.replace(reader.state, is_over=False))
        if reader is None or reader.state.is_over:
            yield None
        else:
            cut_tail(folder)
            yield reader
    finally:
        unlock(lock)


def _opened(folder: Path) -> SpoolReader | None:
    try:
        reader = SpoolReader(folder)
    except (OSError, msgspec.MsgspecError):
        return None
    return None if reader.head.format != 1 else reader


def cut_tail(folder: Path) -> int:
    """Cuts off what was being written when the machine died; how many bytes."""
    last = next(reversed(_segments(folder)), None)
    if last is None:
        return 0
    size = last.stat().st_size
    whole = min(len(MAGIC), size)
    for end, _ in _frames(last, whole):
        whole = end
    if whole < size:
        os.truncate(last, whole)
    return size - whole


def _segments(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SEGMENT}"))


def _read_state(folder: Path) -> State:
    try:
        return msgspec.json.decode(_small(folder / STATE), type=State)
    except (OSError, msgspec.MsgspecError):
        return State()


def _small(path: Path) -> bytes:
    """The content of a small file. What is longer is cut, and then no JSON."""
    with path.open("rb") as stream:
        return stream.read(MOST_HEAD_BYTES)
