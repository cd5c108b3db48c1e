"""Logging that shares commits: batches that come while one transaction is under way go into the next one, together.

Owns the waiting list. Each caller is answered after its batch is durable, or with its own error.
"""

import asyncio
import functools
from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

from modelyard.core.errors import ModelyardError
from modelyard.storage.database import Database
from modelyard.tracking import service
from modelyard.tracking.service import Item

MOST_BATCHES = 256
MOST_ENTITIES = 5000
"""How much goes into one transaction: about what a database takes in 5 ms."""


class _Waiting(NamedTuple):
    item: Item
    answer: "asyncio.Future[None]"

    @property
    def size(self) -> int:
        batch = self.item.batch
        return len(batch.metrics) + len(batch.params) + len(batch.tags)


Answers = Sequence[ModelyardError | None]


class Ingest:
    """The one place of an event loop through which batches are logged."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Waiting] = []
        self._is_busy = False

    def log(self, item: Item) -> "asyncio.Future[None]":
        """Done when the checked batch is durable; has the error that kept it out."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(item, loop.create_future())
        self._waiting.append(waiting)
        if not self._is_busy:
            self._commit(loop)
        return waiting.answer

    def _commit(self, loop: asyncio.AbstractEventLoop) -> None:
        taken = self._take()
        if not taken:
            return
        self._is_busy = self._submit(loop, taken, functools.partial(self._finish, loop, taken))

    def _take(self) -> list[_Waiting]:
        """The first of those that wait, up to what one transaction takes."""
        total = 0
        for count, waiting in enumerate(self._waiting):
            total += waiting.size
            if count == MOST_BATCHES or (total > MOST_ENTITIES and count):
                taken, self._waiting = self._waiting[:count], self._waiting[count:]
                return taken
        taken, self._waiting = self._waiting, []
        return taken

    def _submit(self, loop: asyncio.AbstractEventLoop, taken: Sequence[_Waiting], finish: "functools.partial[None]") -> bool:
        """Whether the database takes them; where it is closed, each caller is told."""
        items = [waiting.item for waiting in taken]
        try:
            future = self._database.submit(functools.partial(service.log_batches, items=items))
        except ModelyardError as error:
            for waiting in taken:
                _answer(waiting, error)
            return False
        future.add_done_callback(lambda done: loop.call_soon_threadsafe(finish, done))
        return True

    def _finish(self, loop: asyncio.AbstractEventLoop, taken: Sequence[_Waiting], done: "Future[Answers]") -> None:
        self._is_busy = False
        error = done.exception()
        if error is None:
            for waiting, refused in zip(taken, done.result(), strict=True):
                _answer(waiting, refused)
        elif len(taken) == 1:
            _answer(taken[0], error)
        else:
            # One of them broke the transaction of all: alone, each meets its own fate.
            for waiting in taken:
                self._submit(loop, [waiting], functools.partial(self._finish_alone, waiting))
        self._commit(loop)

    def _finish_alone(self, waiting: _Waiting, done: "Future[Answers]") -> None:
        _answer(waiting, done.exception() or done.result()[0])


def _answer(waiting: _Waiting, error: BaseException | None) -> None:
    if waiting.answer.done():
        return
    if error is None:
        waiting.answer.set_result(None)
    else:
        waiting.answer.set_exception(error)
