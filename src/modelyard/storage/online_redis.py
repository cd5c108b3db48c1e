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

BATCH = 1000
TIMEOUT_S = 2.0
LEASE_S = 30.0
WRITER = "modelyard:writer"


class RedisStore:
    """An online store on a Redis server. Batches of 1,000 keys are written each as a whole; larger ones in such parts."""

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
        return list(itertools.chain.from_iterable(self._pipeline(_parts(keys), lambda pipeline, part: pipeline.mget(part))))

    def put_many(self, items: Iterable[tuple[bytes, bytes]], *, gone: Iterable[bytes] = ()) -> None:
        """Writes the values, 1,000 at a time, then removes the keys `gone`."""
        given = list(items)
        check_keys(key for key, _ in given)
        self._pipeline(_parts(given), lambda pipeline, part: pipeline.mset(dict(part)))
        self.delete_many(gone)

    def delete_many(self, keys: Iterable[bytes]) -> None:
        """Removes the keys, 1,000 at a time."""
        self._pipeline(_parts(list(keys)), lambda pipeline, part: pipeline.unlink(*part))

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

    def _pipeline(self, parts: Sequence[T], command: "Callable[[redis.client.Pipeline, T], object]") -> list[Any]:
        """The answers to one command for each part, sent a few dozen together, so that neither side buffers much."""
        answers: list[Any] = []
        for some in _parts(parts, 32):
            pipeline = self._client.pipeline(transaction=False)
            for part in some:
                command(pipeline, part)
            answers += self._call(pipeline.execute)
        return answers

    def _call(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except redis.RedisError as error:
            raise OnlineUnavailable(f"the online store does not answer: {error}", hint="is Redis running? see storage.online") from error


def _parts(values: Sequence[T], size: int = BATCH) -> list[Sequence[T]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
