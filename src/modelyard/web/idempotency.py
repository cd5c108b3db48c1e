"""`Idempotency-Key`: an operation that is sent again under its key is answered as the first time and changes nothing more.

Owns what the header may be and where the answer is kept: in the transaction of the change, where the operation has one.
An operation of several transactions holds the key meanwhile and keeps the answer after the last; one that was killed in
between runs again, and finds in `UNDER_WAY` by what to know its own earlier changes.
"""

import functools
from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Request

from modelyard.core.digests import digest_bytes
from modelyard.core.errors import InvalidInput
from modelyard.storage.database import Database, Snapshot
from modelyard.storage.idempotency import UNDER_WAY, Attempt, keep, release, reserve
from modelyard.web.binding import Binding
from modelyard.web.operations import BoundOperation

HEADER = "idempotency-key"
REPLAYED = "Idempotency-Replayed"
LONGEST_KEY = 200

Caller = Callable[[Request[Any, Any, Any]], str]
"""Who asks: an id that is nobody else's, empty for a caller who is not known."""


class Answer(msgspec.Struct, frozen=True):
    """An encoded answer, empty for none, and whether it was given before."""

    content: bytes
    is_replayed: bool


def takes_key(item: BoundOperation) -> bool:
    """Whether the operation changes anything, and answers nothing that is kept nowhere."""
    transaction = item.binding.transaction
    reads = item.operation.method == "GET" or (transaction is not None and transaction[1] is Snapshot)
    return not reads and not item.operation.answers_secret


def attempt_of(item: BoundOperation, request: Request[Any, Any, Any], content: bytes, caller: Caller) -> Attempt | None:
    """The request under its key; None where it has none, or where the operation only reads. Raises InvalidInput."""
    key = request.headers.get(HEADER)
    if key is None or (not takes_key(item) and not item.operation.answers_secret):
        return None
    if item.operation.answers_secret:
        raise InvalidInput("the answer is a secret, of which nothing is kept: it takes no Idempotency-Key", hint="leave the header out")
    who = caller(request)
    if not who:
        raise InvalidInput("an Idempotency-Key is its caller's, and nobody is logged in", hint="leave the header out, or log in")
    if not 0 < len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise InvalidInput(f"the Idempotency-Key {key[:60]!r} has not 1 to {LONGEST_KEY} visible signs of ASCII", hint="send a UUID")
    words = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return Attempt(caller=who, key=key, request=digest_bytes(words + content))


def once(binding: Binding, database: Database, attempt: Attempt) -> Binding:
    """The same function, answered as an `Answer`: from what was kept where the attempt is not the first."""
    if binding.transaction is None:
        return msgspec.structs.replace(binding, function=functools.partial(_in_several, binding.function, database, attempt))
    return msgspec.structs.replace(binding, function=functools.partial(_in_one, binding.function, binding.transaction[0], attempt))


def _in_one(function: Callable[..., Any], name: str, attempt: Attempt, /, **given: Any) -> Answer:
    tx = given[name]
    known = reserve(tx, attempt)
    if known is not None:
        return Answer(known, is_replayed=True)
    content = _encoded(function(**given))
    keep(tx, attempt, content)
    return Answer(content, is_replayed=False)


def _in_several(function: Callable[..., Any], database: Database, attempt: Attempt, /, **given: Any) -> Answer:
    known = database.write(lambda tx: reserve(tx, attempt))
    if known is not None:
        return Answer(known, is_replayed=True)
    token = UNDER_WAY.set(attempt)
    try:
        content = _encoded(function(**given))
    except BaseException:
        database.write(lambda tx: release(tx, attempt))
        raise
    finally:
        UNDER_WAY.reset(token)
    database.write(lambda tx: keep(tx, attempt, content))
    return Answer(content, is_replayed=False)


def _encoded(result: Any) -> bytes:
    return b"" if result is None else msgspec.json.encode(result)
