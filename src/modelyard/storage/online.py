"""The online store: the latest value of a key, read by many processes in microseconds. LMDB here, Redis in `online_redis`.

Owns bytes under keys; knows neither features nor their ages, and keeps no history.
"""

import contextlib
import fcntl
import importlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, Self, cast

import lmdb

from modelyard.core.errors import InvalidInput, Kind, ModelyardError, Overloaded

MOST_KEY_BYTES = 511
MAP_BYTES = 64 << 30
READERS = 512
# Readers that died without a word pin old pages; each of so many writes looks for them.
CHECK_READERS_EVERY = 64
WRITER = "writer.lock"
LOOK_EVERY_S = 0.005

_Work = Callable[["lmdb.Transaction[bytes]"], None]


class OnlineUnavailable(ModelyardError):
    """The online store does not answer."""

    kind = Kind.UNREACHABLE


class OnlineStore(Protocol):
    """Values by key, shared by processes. Keys have 1 to 511 bytes; a value is read whole, as one writer left it."""

    @property
    def at_once(self) -> int:
        """How many keys `put_many` writes and removes in one step, for readers and for a kill: of such a write they see all or nothing."""
        ...

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values in the order of `keys`, None for a key that is not there. Raises OnlineUnavailable."""
        ...

    def put_many(self, items: Iterable[tuple[bytes, bytes]], *, gone: Iterable[bytes] = ()) -> None:
        """Writes the values; of two for one key the later stays. Every process sees them when this returns.

        The keys `gone` are removed, no sooner than the values stand; with up to `at_once` keys in all in the same step.
        """
        ...

    def delete_many(self, keys: Iterable[bytes]) -> None:
        """Removes the keys; those that are not there are no error."""
        ...

    def alone(self, wait_s: float) -> AbstractContextManager[None]:
        """A block in which nobody else who asks for one writes, in whatever process. Raises Overloaded after `wait_s`.

        For those who write what they have read before; single writes need none. It ends with its process.
        """
        ...

    def close(self) -> None:
        """Gives back what the store holds. Nothing else may be called afterwards."""
        ...


class LmdbStore:
    """An online store in a folder: one writer at a time, readers in any number of processes that never wait for it.

    `put_many` and `delete_many` change all or nothing, also when the process is killed. What `delete_many` has removed
    stays away whatever happens; the last of several other writes may be undone where the machine, not the process, dies.
    A store may be shared by threads, but is not carried over a fork, and a process opens a folder once.
    """

    at_once = 1_000_000  # what a transaction has changed is in memory until it ends

    def __init__(self, environment: lmdb.Environment) -> None:
        self._environment = environment
        # The map must not move while somebody reads in it: whoever resizes it takes both locks, `_writing` first.
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._writes = 0

    @classmethod
    def open(cls, path: Path, *, durable: bool = True, map_bytes: int = MAP_BYTES) -> Self:
        """The store in the folder `path`, made if missing. Raises OnlineUnavailable.

        `map_bytes` is the address space of a new store, not its size on disk; when it is full it doubles, and the
        other processes follow. With `durable` false a write is not synced: it survives the death of the process but
        perhaps not of the machine, so that is only for stores which start-up rebuilds.
        """
        path.mkdir(parents=True, exist_ok=True)
        size = 0 if (path / "data.mdb").exists() else map_bytes
        try:
            environment = lmdb.open(
                str(path), map_size=size, sync=durable, metasync=False, readahead=False, max_readers=READERS, max_spare_txns=1, mode=0o600
            )
            environment.reader_check()
        except lmdb.Error as error:
            raise OnlineUnavailable(
                f"the online store in {path} does not open: {error}", hint="a process opens it once; is it an LMDB folder of this user?"
            ) from error
        return cls(environment)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values in the order of `keys`, None for a key that is not there, all of one moment."""
        try:
            with self._reading:
                transaction = self._environment.begin()
                try:
                    return [*map(transaction.get, keys)]
                finally:
                    transaction.abort()
        except lmdb.MapResizedError:
            self._adopt_size()
            return self.get_many(keys)
        except lmdb.BadValsizeError:
            # LMDB refuses to look for an empty key, which cannot be there.
            found = dict(zip(present := [key for key in keys if key], self.get_many(present), strict=True))
            return [found.get(key) for key in keys]
        except lmdb.Error as error:
            raise _translated(error, keys) from error

    def put_many(self, items: Iterable[tuple[bytes, bytes]], *, gone: Iterable[bytes] = ()) -> None:
        """Writes all of the values and removes the keys `gone` or, if it raises or the process dies, does nothing."""
        given, leaving = list(items), [key for key in gone if key]

        def work(transaction: "lmdb.Transaction[bytes]") -> None:
            with transaction.cursor() as cursor:
                cursor.putmulti(given)
            for key in leaving:
                transaction.delete(key)

        self._write(work, [*leaving, *(key for key, _ in given)])

    def delete_many(self, keys: Iterable[bytes]) -> None:
        """Removes all of the keys or, if it raises or the process dies, none."""
        self.put_many((), gone=keys)
        if self._environment.flags()["sync"]:
            self._environment.sync(True)

    @contextlib.contextmanager
    def alone(self, wait_s: float) -> Iterator[None]:
        """A block in which nobody else who asks for one writes, held by a lock on a file in the folder."""
        descriptor = os.open(Path(self._environment.path()) / WRITER, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            until = time.monotonic() + wait_s
            while not _locked(descriptor):
                if time.monotonic() >= until:
                    raise somebody_writes(wait_s)
                time.sleep(LOOK_EVERY_S)
            yield
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Closes the folder."""
        with self._writing, self._reading:
            self._environment.close()

    def _write(self, work: _Work, keys: Sequence[bytes]) -> None:
        with self._writing:
            self._writes += 1
            try:
                if self._writes % CHECK_READERS_EVERY == 0:
                    self._environment.reader_check()
                while not self._write_once(work):
                    pass
            except lmdb.Error as error:
                raise _translated(error, keys) from error

    def _write_once(self, work: _Work) -> bool:
        """Whether `work` is committed; if not, the map has been enlarged and it may be tried again."""
        try:
            with self._environment.begin(write=True) as transaction:
                work(transaction)
        except lmdb.MapFullError:
            size = 2 * self._environment.info()["map_size"]
        except lmdb.MapResizedError:
            size = 0
        else:
            return True
        with self._reading:
            self._environment.set_mapsize(size)
        return False

    def _adopt_size(self) -> None:
        """Takes on the size that another process has given the map."""
        with self._writing, self._reading:
            self._environment.set_mapsize(0)


def open_online(url: str, *, durable: bool = True) -> OnlineStore:
    """The store at `lmdb:///folder`, `redis://host:port/0` or `rediss://...`. Raises InvalidInput for another address."""
    scheme, _, rest = url.partition("://")
    match scheme:
        case "lmdb":
            return LmdbStore.open(Path(rest), durable=durable)
        case "redis" | "rediss":
            try:
                module = importlib.import_module("modelyard.storage.online_redis")
            except ModuleNotFoundError as error:
                raise InvalidInput(
                    "the online store is a Redis, whose client is not installed", hint="pip install modelyard[redis]"
                ) from error
            return cast(OnlineStore, module.RedisStore.open(url))
        case _:
            raise InvalidInput(f"{scheme!r} is no online store that is known", hint="write lmdb:///folder or redis://host:6379/0")


def somebody_writes(waited_s: float) -> Overloaded:
    """The error for a store whose writer does not come to an end."""
    return Overloaded(f"another process has brought values online for more than {waited_s:g} s", hint="try again in a moment")


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def check_keys(keys: Iterable[bytes]) -> None:
    """Raises InvalidInput for a key that is empty or longer than 511 bytes."""
    for key in keys:
        if not 0 < len(key) <= MOST_KEY_BYTES:
            raise InvalidInput(
                f"a key of the online store has 1 to {MOST_KEY_BYTES} bytes, this one {len(key)}", hint="shorten the entity's key"
            )


def _translated(error: lmdb.Error, keys: Iterable[bytes]) -> ModelyardError:
    if isinstance(error, lmdb.BadValsizeError):
        check_keys(keys)
    return OnlineUnavailable(f"the online store failed: {error}", hint="is the disk full or the folder read-only?")
