"""Answers under a caller's key, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from modelyard.core.clock import FixedClock
from modelyard.core.digests import digest_bytes
from modelyard.storage.database import Database, Transaction
from modelyard.storage.idempotency import (
    KEPT_US,
    UNDER_WAY_US,
    Attempt,
    KeyReused,
    RequestUnderWay,
    forget_answers,
    keep,
    release,
    reserve,
)

FIRST = Attempt(caller="usr_1", key="k", request=digest_bytes(b"a"))


def answered(database: Database, attempt: Attempt, answer: bytes) -> bytes:
    """The answer of an attempt: `answer`, unless it was answered before."""

    def work(tx: Transaction) -> bytes:
        known = reserve(tx, attempt)
        if known is None:
            keep(tx, attempt, answer)
        return answer if known is None else known

    return database.write(work)


def test_the_first_answer_stands_for_a_day(database: Database, clock: FixedClock) -> None:
    assert answered(database, FIRST, b"1") == b"1"
    clock.advance(KEPT_US / 1e6 - 1)
    assert answered(database, FIRST, b"2") == b"1"
    assert forget_answers(database) == 0
    clock.advance(2)
    assert answered(database, FIRST, b"3") == b"3"
    assert answered(database, FIRST, b"4") == b"3"


def test_what_was_kept_for_a_day_is_forgotten_whoever_asks_next(database: Database, clock: FixedClock) -> None:
    for number in range(3):
        answered(database, Attempt(caller="usr_1", key=str(number), request=FIRST.request), b"1")
    clock.advance(KEPT_US / 1e6 + 1)
    answered(database, FIRST, b"1")
    assert (forget_answers(database), forget_answers(database)) == (3, 0)
    assert answered(database, FIRST, b"2") == b"1"


def test_a_request_that_holds_its_key_over_several_transactions_is_said_to_be_under_way(database: Database, clock: FixedClock) -> None:
    assert database.write(lambda tx: reserve(tx, FIRST)) is None
    with pytest.raises(RequestUnderWay, match="is being carried out"):
        answered(database, FIRST, b"2")
    clock.advance(UNDER_WAY_US / 1e6 + 1)
    assert answered(database, FIRST, b"3") == b"3"


def test_a_key_that_is_given_back_is_free_and_an_answer_stays(database: Database) -> None:
    assert database.write(lambda tx: reserve(tx, FIRST)) is None
    database.write(lambda tx: release(tx, FIRST))
    assert answered(database, FIRST, b"1") == b"1"
    database.write(lambda tx: release(tx, FIRST))
    assert answered(database, FIRST, b"2") == b"1"


def test_an_empty_answer_is_one_too(database: Database) -> None:
    assert answered(database, FIRST, b"") == b""
    assert answered(database, FIRST, b"2") == b""


def test_a_key_is_its_callers_and_names_one_request(database: Database) -> None:
    other = Attempt(caller="usr_2", key="k", request=digest_bytes(b"b"))
    assert answered(database, FIRST, b"1") == b"1"
    assert answered(database, other, b"2") == b"2"
    again = Attempt(caller="usr_1", key="k", request=digest_bytes(b"b"))
    with pytest.raises(KeyReused, match="another request before"):
        answered(database, again, b"3")


def test_what_fails_keeps_nothing(database: Database) -> None:
    def failing(tx: Transaction) -> None:
        assert reserve(tx, FIRST) is None
        raise RuntimeError

    with pytest.raises(RuntimeError):
        database.write(failing)
    assert answered(database, FIRST, b"1") == b"1"


def test_of_attempts_at_once_one_is_carried_out(database: Database) -> None:
    start = Barrier(8)

    def attempt(number: int) -> bytes:
        start.wait()
        return answered(database, FIRST, str(number).encode())

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(8)))
    assert len(set(answers)) == 1
