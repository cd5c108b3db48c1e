"""The writer of the prediction log: one thread that appends what waits and makes it durable with one call for all of it.

Owns the open segment. Nothing appended counts as logged before its future is done; a failed disk fails the futures.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from modelyard.core.clock import SECOND, Clock, Instant
from modelyard.core.errors import Conflict, Kind, ModelyardError, Overloaded
from modelyard.core.ids import new_id
from modelyard.serving.log.frames import MAGIC, Layout, encoded
from modelyard.serving.log.segments import OPEN, Recovered, recover, seal, sync_folder
from modelyard.storage.frames import framed

MOST_WAITING_BYTES = 64 * 2**20

Sync = Callable[[int], None]


class LogUnavailable(ModelyardError):
    """The prediction log cannot be written, so nothing may be answered."""

    kind = Kind.UNREACHABLE


class KnownLayout:
    """A layout with its key and its frame, made once for all the frames that use it."""

    __slots__ = ("frame", "key", "layout")

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.key = layout.key
        self.frame = framed(encoded(layout))


FrameBody = tuple[KnownLayout | None, bytes]
"""A frame's body, and the layout that it names, if any."""


class _Item:
    __slots__ = ("bodies", "future", "since", "size")

    def __init__(self, bodies: Sequence[FrameBody], future: "asyncio.Future[None] | None", since: Instant) -> None:
        self.bodies = bodies
        self.future = future
        self.since = since
        self.size = sum(len(body) for _, body in bodies)


class LogWriter:
    """A prediction log that is open in a folder of its own. Frames that wait together share one write and one fdatasync.

    `segment_bytes` and `segment_age_s` say when a segment is sealed. `sync` makes a descriptor durable.
    """

    def __init__(self, folder: Path, clock: Clock, *, segment_bytes: int, segment_age_s: float, sync: Sync = os.fdatasync) -> None:
        self.folder = folder
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._segment_age = int(segment_age_s * SECOND)
        self._sync = sync
        self._lock = _locked(folder)
        self.recovered: list[Recovered] = recover(folder)
        self._wake = threading.Condition()
        self._waiting: list[_Item] = []
        self._writing: list[_Item] = []
        self._seal_wanted = False
        self._closed = False
        self.waiting_bytes = 0
        self.syncs = 0
        self.failed = False
        self._segment: _Open | None = None
        self._thread = threading.Thread(target=self._write_until_closed, name="prediction-log", daemon=True)
        self._thread.start()

    def unsealed_since(self) -> Instant | None:
        """The wall instant before which everything appended is in sealed segments; None where nothing else is left."""
        with self._wake:
            first = self._segment or next(iter(self._writing or self._waiting), None)
            return first.since if first else None

    def append(self, bodies: Sequence[FrameBody], future: "asyncio.Future[None] | None" = None) -> None:
        """Has frames appended together, each after its layout where the segment has not got it; `future` ends once they are durable.

        Raises Overloaded where the disk is far behind, and LogUnavailable once the log is closed.
        """
        with self._wake:
            # The instant is taken under the lock: `unsealed_since` must never miss an item that is older than its answer.
            item = _Item(bodies, future, self._clock.wall())
            if self._closed:
                raise LogUnavailable("the prediction log is closed", hint="the gateway is stopping; ask another one")
            if self.waiting_bytes + item.size > MOST_WAITING_BYTES:
                raise Overloaded("the prediction log is behind its disk", hint="try again in a moment")
            self.waiting_bytes += item.size
            self._waiting.append(item)
            self._wake.notify()

    def request_seal(self) -> None:
        """Has the open segment sealed after what waits now is in it."""
        with self._wake:
            self._seal_wanted = True
            self._wake.notify()

    def close(self) -> None:
        """Writes what waits, seals the segment and stops the thread; once is as good as twice."""
        with self._wake:
            closed, self._closed = self._closed, True
            self._wake.notify()
        self._thread.join()
        if not closed:
            os.close(self._lock)

    def _write_until_closed(self) -> None:
        while True:
            with self._wake:
                while not (self._waiting or self._seal_wanted or self._closed):
                    if not self._wake.wait(self._until_seal_s()) and self._until_seal_s() == 0:
                        break
                self._writing, self._waiting = self._waiting, []
                seal_wanted, self._seal_wanted = self._seal_wanted, False
                closed = self._closed
            if self._writing:
                self._write(self._writing)
            if self._segment and (closed or seal_wanted or self._is_full(self._segment)):
                self._seal()
            if closed and not self._waiting:
                return

    def _until_seal_s(self) -> float | None:
        if self._segment is None:
            return None
        return max(0.0, (self._segment.since + self._segment_age - self._clock.wall()) / SECOND)

    def _is_full(self, segment: "_Open") -> bool:
        return segment.size >= self._segment_bytes or self._until_seal_s() == 0

    def _write(self, items: list[_Item]) -> None:
        error: OSError | None = None
        try:
            segment = self._segment = self._segment or _Open(self.folder, items[0].since)
            segment.append(items, self._sync)
        except OSError as caught:
            error = caught
            logging.getLogger("modelyard.serving").error("the prediction log cannot be written: %s", caught)
            self._abandon()
        with self._wake:
            self.failed = error is not None
            self.waiting_bytes -= sum(item.size for item in items)
            self.syncs += 1
            self._writing = []
        _answer([item.future for item in items if item.future is not None], error)

    def _seal(self) -> None:
        assert self._segment is not None
        try:
            os.close(self._segment.descriptor)
            seal(self._segment.path)
        except OSError as error:
            logging.getLogger("modelyard.serving").error("a segment cannot be sealed: %s", error)
        with self._wake:
            self._segment = None

    def _abandon(self) -> None:
        """Leaves a segment whose disk failed: what was durable is kept, what nobody was answered for is cut off if it can be."""
        segment, self._segment = self._segment, None
        if segment is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(segment.descriptor, segment.size)
        with contextlib.suppress(OSError):
            os.close(segment.descriptor)
        with contextlib.suppress(OSError):
            recover(self.folder)


class _Open:
    """The segment that grows. `size` counts what is durable."""

    __slots__ = ("descriptor", "layouts", "path", "since", "size")

    def __init__(self, folder: Path, since: Instant) -> None:
        self.path = folder / f"{new_id('seg')}{OPEN}"
        self.descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        self.layouts: set[str] = set()
        self.size = 0
        self.since = since
        sync_folder(folder)

    def append(self, items: list[_Item], sync: Sync) -> None:
        """Writes the items' frames and makes them durable. Raises OSError with the segment as it was before."""
        known = set(self.layouts)
        parts = [] if self.size else [MAGIC]
        for layout, body in (one for item in items for one in item.bodies):
            if layout is not None and layout.key not in known:
                known.add(layout.key)
                parts.append(layout.frame)
            parts.append(framed(body))
        content = memoryview(b"".join(parts))
        written = 0
        while written < len(content):
            written += os.pwrite(self.descriptor, content[written:], self.size + written)
        sync(self.descriptor)
        self.size += len(content)
        self.layouts = known


def _answer(futures: "list[asyncio.Future[None]]", error: OSError | None) -> None:
    """Ends the futures in their loop, all in one call."""

    def end() -> None:
        for future in futures:
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(LogUnavailable(f"the prediction log cannot be written: {error}", hint="free space on its disk"))

    if futures:
        # The loop is closed only when the gateway stops, and then nobody waits any more.
        with contextlib.suppress(RuntimeError):
            futures[0].get_loop().call_soon_threadsafe(end)


def _locked(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise Conflict(f"another gateway writes the log in {folder}", hint="give each gateway a name of its own") from error
    return descriptor
