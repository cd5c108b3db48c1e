"""What a run logs on its way to the disk and from there to a server: two threads, neither of which the training waits for.

Owns the memory that is logged to, and when it is synced. What a full disk keeps out waits here, up to a bound.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from modelyard.core.errors import ModelyardError
from modelyard.sdk.client import Client
from modelyard.sdk.tracking.leftovers import SpoolReader, list_spools, taken_over
from modelyard.sdk.tracking.packing import Item, packed_items
from modelyard.sdk.tracking.sending import LOG, Receiver, Sending, is_passing
from modelyard.sdk.tracking.spool import Head, SpoolUnavailable, SpoolWriter, Stored
from modelyard.sdk.tracking.targets import Target, receiver_of

SYNC_S = 0.2
"""How long a value waits at most before it is written to the spool and synced, on a disk that keeps up."""

MOST_WAITING = 200_000
"""How many calls' values memory holds while the disk takes none; what comes after is dropped and counted."""

IDLE_S = 0.5
AWAY_S = (0.5, 5.0)
"""How soon a server that does not answer is asked again: the first time, and at most."""


class Outbox:
    """The memory and the spool of one run in this process."""

    def __init__(self, target: Target, head: Head) -> None:
        self._writer = SpoolWriter(target.spools, head)
        self.waiting: deque[Item] = deque()
        """What is in memory alone. The run appends to it directly: a call less on the training's time."""
        self._packing = threading.Lock()
        self._stops = threading.Event()
        self._wake = threading.Event()
        self._is_full = False
        self.dropped = 0
        self.sender = Sender(target, self._writer.folder, head, lambda: self._writer.acknowledged)
        self._packer = threading.Thread(target=self._pack_until_closed, name="modelyard-spool", daemon=True)
        self._packer.start()
        self.sender.start()

    @property
    def folder(self) -> Path:
        """The spool's folder."""
        return self._writer.folder

    def put(self, item: Item) -> None:
        """Takes an item in. It is in memory alone until it is synced."""
        if len(self.waiting) < MOST_WAITING:
            self.waiting.append(item)
        else:
            self.dropped += 1

    def store(self, content: Path | bytes) -> Stored:
        """Copies a file into the spool, durably. Raises SpoolUnavailable."""
        return self._writer.store(content)

    def flush(self) -> None:
        """Returns once all that was put is acknowledged: durable in the spool. Raises SpoolUnavailable."""
        with self._packing:
            self._pack()

    def detach(self) -> None:
        """Lets a forked child go without the run: it is its parent's, as is what a thread of the parent was writing just then."""
        self.waiting = deque(maxlen=0)
        self._packing = threading.Lock()
        self._writer.leave()

    def close(self, wait_s: float) -> int:
        """Ends both threads; how many batches no server has taken within `wait_s`. They stay in the spool. Raises SpoolUnavailable."""
        self._stops.set()
        self._wake.set()
        self._packer.join()
        try:
            self.flush()
        finally:
            left = self.sender.drained(self._writer.acknowledged, wait_s)
            self._writer.close()
            if not left:
                with contextlib.suppress(OSError), taken_over(self.folder) as reader:  # what stays is removed by whoever comes next
                    if reader is not None:
                        reader.remove()
        return left

    def _pack_until_closed(self) -> None:
        while not self._stops.is_set():
            self._wake.wait(SYNC_S)
            with self._packing:
                try:
                    self._pack()
                except SpoolUnavailable as error:
                    self._tell_full(error)
                else:
                    self._tell_free()

    def _pack(self) -> None:
        """Writes what waits. While the disk takes nothing, only what was numbered already is tried again, so that memory is bounded."""
        self._writer.sync()
        take = self.waiting.popleft
        items = [take() for _ in range(len(self.waiting))]
        if not items:
            return
        for noted in packed_items(items):
            self._writer.put(noted.record, noted.at, noted.content)
        self._writer.sync()
        self.sender.wake()

    def _tell_full(self, error: SpoolUnavailable) -> None:
        if not self._is_full:
            self._is_full = True
            LOG.warning("%s: what is logged waits in memory and is not safe from a crash. %s", error.message, error.hint)

    def _tell_free(self) -> None:
        if self._is_full:
            self._is_full = False
            LOG.warning("the spool is written again; %d calls were dropped meanwhile", self.dropped)


class Sender(threading.Thread):
    """Sends this run's spool, and beside it what other processes left in the same folder; what they left of the same run comes first."""

    def __init__(self, target: Target, own: Path, head: Head, acknowledged: Callable[[], int]) -> None:
        super().__init__(name="modelyard-sender", daemon=True)
        self._target, self._own, self._head, self._acknowledged = target, own, head, acknowledged
        self._unreadable: set[str] = set()
        self._reader: SpoolReader | None = None
        self._line: _Line | None = None
        self._wake, self._drains, self._quits = threading.Event(), threading.Event(), threading.Event()
        self._away: type[Exception] | None = None
        self._wait_s = AWAY_S[0]

    def wake(self) -> None:
        """Says that there is something to send."""
        self._wake.set()

    def drained(self, last: int, wait_s: float) -> int:
        """How many batches up to `last` are left once the thread has ended.

        It ends when all is sent, when the server does not answer, or when the time is over.
        """
        self._drains.set()
        self._wake.set()
        self.join(wait_s)
        self._quits.set()
        return last - (self._reader.state.delivered if self._reader is not None else 0)

    def run(self) -> None:
        """Sends until it is drained."""
        while not self._quits.is_set():
            self._wake.clear()
            try:
                is_reached = self._has_sent_all()
            except (ModelyardError, OSError) as error:  # a disk that fails now may read again
                is_reached = False
                self._hang_up(error)
            if self._drains.is_set():
                break
            if is_reached:
                self._wake.wait(IDLE_S)
            else:
                self._drains.wait(self._wait_s)
                self._wait_s = min(self._wait_s * 2, AWAY_S[1])
        if self._line is not None:
            self._line.client.close()

    def _has_sent_all(self) -> bool:
        """Whether nothing is left to send; false where no server is there. Raises ModelyardError where it does not take what it is sent."""
        line = self._line = self._line or self._reached()
        if line is None:
            return False
        while not self._quits.is_set() and self._has_stepped(line):
            self._wait_s = AWAY_S[0]
            if self._away is not None:
                self._away = None
                LOG.warning("run %s: the server takes it again", self._head.name)
        return True

    def _has_stepped(self, line: "_Line") -> bool:
        is_beside = not self._drains.is_set()
        return next(line.before, False) or line.own.step() or (is_beside and next(line.beside, False))

    def _reached(self) -> "_Line | None":
        found = receiver_of(self._target, self._head)
        if found is None:
            return None
        client, receiver = found
        self._reader = self._reader or SpoolReader(self._own, self._acknowledged)
        return _Line(
            client=client,
            own=Sending(self._reader, receiver, is_orphan=False),
            before=self._leftovers(receiver, is_same_run=True),
            beside=self._leftovers(receiver, is_same_run=False),
        )

    def _leftovers(self, receiver: Receiver, *, is_same_run: bool) -> Iterator[bool]:
        """Sends what processes left that are gone, batch by batch. One whose run is not there yet is left to a later sender."""
        for folder in list_spools(self._target.spools):
            try:
                yield from self._left(folder, receiver, is_same_run=is_same_run)
            except OSError as error:  # the run's own spool is sent all the same
                if folder.name not in self._unreadable:
                    self._unreadable.add(folder.name)
                    LOG.warning("%s, which another process left, cannot be sent now: %s", folder, error.strerror or error)

    def _left(self, folder: Path, receiver: Receiver, *, is_same_run: bool) -> Iterator[bool]:
        with taken_over(folder) as reader:
            if reader is None or reader.head.url != self._head.url or (reader.head.run_id == self._head.run_id) is not is_same_run:
                return
            sending = Sending(reader, receiver, is_orphan=True)
            try:
                while sending.step():
                    yield True
            except ModelyardError as error:
                if is_passing(error):
                    raise

    def _hang_up(self, error: ModelyardError | OSError) -> None:
        if self._line is not None:
            self._line.client.close()
            self._line = None
        if self._away is not type(error):
            self._away = type(error)
            why = error.message if isinstance(error, ModelyardError) else f"the disk says {error.strerror or error}; it is tried again"
            LOG.warning("run %s waits in its spool: %s", self._head.name, why)


class _Line(NamedTuple):
    """A connection to a server, and what is sent over it: what was left of the run before, the run's own, what others left."""

    client: Client
    own: Sending
    before: Iterator[bool]
    beside: Iterator[bool]
