"""Operations of several transactions under a key: held while they run, given back where they fail."""

import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from modelyard.core.digests import digest_bytes
from modelyard.core.errors import InvalidInput
from modelyard.storage.database import Database
from modelyard.storage.idempotency import Attempt, RequestUnderWay
from modelyard.web.binding import bound
from modelyard.web.idempotency import Answer, once

FIRST = Attempt(caller="usr_1", key="k", request=digest_bytes(b"a"))


class Counter:
    """An operation that counts how often it was carried out, and waits where it is told to."""

    def __init__(self) -> None:
        self.count = 0
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self.fails = False

    def count_up(self, name: str) -> int:
        """One more."""
        self.count += 1
        self.begun.set()
        assert self.go_on.wait(30)
        if self.fails:
            raise InvalidInput("not today", hint="tomorrow")
        return self.count


def sent(counter: Counter, database: Database) -> Answer:
    """The operation, asked for under the key."""
    answer: Answer = once(bound(counter.count_up, "/", frozenset()), database, FIRST).function(name="x")
    return answer


def test_it_is_carried_out_once_and_answered_again(database: Database) -> None:
    counter = Counter()
    assert sent(counter, database) == Answer(b"1", is_replayed=False)
    assert sent(counter, database) == Answer(b"1", is_replayed=True)
    assert counter.count == 1


def test_sent_again_while_it_runs_it_is_under_way(database: Database) -> None:
    counter = Counter()
    counter.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(sent, counter, database)
        assert counter.begun.wait(30)
        with pytest.raises(RequestUnderWay):
            sent(counter, database)
        counter.go_on.set()
        assert first.result(30) == Answer(b"1", is_replayed=False)
    assert msgspec.json.decode(sent(counter, database).content) == counter.count == 1


def test_one_that_fails_gives_its_key_back(database: Database) -> None:
    counter = Counter()
    counter.fails = True
    with pytest.raises(InvalidInput, match="not today"):
        sent(counter, database)
    counter.fails = False
    assert sent(counter, database) == Answer(b"2", is_replayed=False)
