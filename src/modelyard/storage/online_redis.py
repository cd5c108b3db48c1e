"""The online store in Redis or Valkey, for gateways on several machines. Owns how batches travel; keeps nothing itself."""

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast

import redis
from redis.lock import Lock

from modelyard.core.errors import InvalidInput
from modelyard.storage.online import LOOK_EVERY_S, OnlineUnavailable, check_keys, somebody_writes

T = TypeVar("T")

BATCH, TOGETHER = 1000, 50
"""Keys of one command, and commands of one transaction: Redis does nothing else for some hundredths of a second meanwhile."""
TIMEOUT_S = 2.0
LEASE_S = 30.0
WRITER = "modelyard:writer"
_Command = tuple[str, tuple[Any, ...]]
"""A method of Redis's client and what it is called with."""


class RedisStore:
    """An online store on a Redis server. A write of up to 50,000 keys is one transaction, a larger one several in a row."""

    at_once = BATCH * TOGETHER

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    @classmethod
    def open(cls, url: str) -> "RedisStore":
        """The store at `redis://[user:password@]host:port/number`; connects when it is first used. Raises InvalidInput."""
        try:
            return cls(redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S))
        except ValueError as error:
            raise InvalidInput(f"the online store's address is no Redis address: {error}", hint="write redis://host:6379/0") from error

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values in the order of `keys`, None for a key that is not there."""
        if not keys:
            return []
        if len(keys) <= BATCH:
            return cast(list[bytes | None], self._call(lambda: self._client.mget(keys)))
        commands = [("mget", (part,)) for part in _parts(keys)]
        return list(itertools.chain.from_iterable(self._pipeline(commands)))

    def put_many(self, items: Iterable[tuple[bytes, bytes]], *, gone: Iterable[bytes] = ()) -> None:
        """Writes the values, then removes the keys `gone`."""
        given, leaving = list(items), list(gone)
        check_keys(key for key, _ in given)
        commands: list[_Command] = [("mset", (dict(part),)) for part in _parts(given)]
        self._pipeline([*commands, *(("unlink", tuple(part)) for part in _parts(leaving))])

    def delete_many(self, keys: Iterable[bytes]) -> None:
        """Removes the keys."""
        self.put_many((), gone=keys)

    @contextlib.contextmanager
    def alone(self, wait_s: float) -> Iterator[None]:
        """A block in which nobody else who asks for one writes: a lease in Redis, renewed while the block runs."""
        lock = self._client.lock(WRITER, timeout=LEASE_S, sleep=LOOK_EVERY_S, thread_local=False)
        if not self._call(lambda: lock.acquire(blocking=wait_s > 0, blocking_timeout=wait_s or None)):
            raise somebody_writes(wait_s)
        over = threading.Event()
        heart = threading.Thread(target=self._renew, args=(lock, over), name="online-lease", daemon=True)
        heart.start()
        try:
            yield
        finally:
            over.set()
            heart.join()
            with contextlib.suppress(redis.RedisError):
                lock.release()

    def _renew(self, lock: Lock, over: threading.Event) -> None:
        while not over.wait(LEASE_S / 3):
            with contextlib.suppress(redis.RedisError):
                lock.reacquire()

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _pipeline(self, commands: Sequence[_Command]) -> list[Any]:
        """The answers to the commands, some dozen sent together, so that neither side buffers much; each such lot is one transaction."""
        answers: list[Any] = []
        for some in _parts(commands, TOGETHER):
            pipeline = self._client.pipeline(transaction=True)
            for name, arguments in some:
                getattr(pipeline, name)(*arguments)
            answers += self._call(pipeline.execute)
        return answers

    def _call(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except redis.RedisError as error:
            raise OnlineUnavailable(f"the online store does not answer: {error}", hint="is Redis running? see storage.online") from error


def _parts(values: Sequence[T], size: int = BATCH) -> list[Sequence[T]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
