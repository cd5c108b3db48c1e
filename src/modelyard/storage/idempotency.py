"""What a caller's write was answered with, kept for a day under a key of the caller's: sent again, it changes nothing more.

Owns how long. Knows not what a request or an answer means.
"""

import contextvars

import msgspec
import sqlalchemy as sa

from modelyard.core.clock import SECOND
from modelyard.core.digests import Digest
from modelyard.core.errors import Conflict, Overloaded
from modelyard.storage.database import Database, Transaction
from modelyard.storage.schema import IDEMPOTENCY_ANSWER as ANSWERS
from modelyard.storage.schema import insert_if_absent

KEPT_US = 86_400 * SECOND
UNDER_WAY_US = 120 * SECOND
"""For how long a request without an answer counts as being carried out; after that its process is taken to be dead."""
FORGOTTEN_AT_ONCE = 500


class KeyReused(Conflict):
    """The key came with another request before."""


class RequestUnderWay(Overloaded):
    """The same request under the same key is being carried out."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A request of a caller's under a key; `request` is the digest of all of it."""

    caller: str
    key: str
    request: Digest


UNDER_WAY: contextvars.ContextVar[Attempt | None] = contextvars.ContextVar("attempt_under_way", default=None)
"""The attempt that is being carried out in several transactions: what must not run twice even where its process dies in between
notes it beside its first change."""


def reserve(tx: Transaction, attempt: Attempt) -> bytes | None:
    """Holds the key and gives None: carry the request out, then `keep` its answer. Or what it was answered before.

    Raises KeyReused, and RequestUnderWay while another process holds the key and has no answer yet.
    """
    now = tx.wall()
    row = {"caller": attempt.caller, "key": attempt.key, "request": attempt.request, "answer": None, "made_at": now}
    if insert_if_absent(tx, ANSWERS, row, ["caller", "key"]):
        return None
    found = tx.connection.execute(sa.select(ANSWERS.c.request, ANSWERS.c.answer, ANSWERS.c.made_at).where(*_mine(attempt))).one()
    if found.made_at < now - (UNDER_WAY_US if found.answer is None else KEPT_US):
        tx.connection.execute(sa.update(ANSWERS).where(*_mine(attempt)).values(request=attempt.request, answer=None, made_at=now))
        return None
    if found.request != attempt.request:
        raise KeyReused(f"the key {attempt.key[:60]!r} came with another request before", hint="a key names one request: choose a new one")
    if found.answer is None:
        raise RequestUnderWay(f"the request under the key {attempt.key[:60]!r} is being carried out", hint="ask again in a moment")
    return bytes(found.answer)


def keep(tx: Transaction, attempt: Attempt, answer: bytes) -> None:
    """Notes the answer of a request that holds its key."""
    tx.connection.execute(sa.update(ANSWERS).where(*_mine(attempt)).values(answer=answer))


def release(tx: Transaction, attempt: Attempt) -> None:
    """Gives the key of a request back that failed and changed nothing."""
    tx.connection.execute(sa.delete(ANSWERS).where(*_mine(attempt), ANSWERS.c.answer.is_(None)))


def forget_answers(database: Database) -> int:
    """Removes some answers that were kept for long enough; how many. The worker calls it again and again."""
    with database.read() as snapshot:
        oldest = snapshot.wall() - KEPT_US
        old = sa.select(ANSWERS.c.caller, ANSWERS.c.key).where(ANSWERS.c.made_at < oldest).order_by(ANSWERS.c.made_at)
        if snapshot.connection.execute(old.limit(1)).first() is None:
            return 0
    some = sa.tuple_(ANSWERS.c.caller, ANSWERS.c.key).in_(old.limit(FORGOTTEN_AT_ONCE))
    return database.write(lambda tx: tx.connection.execute(sa.delete(ANSWERS).where(some)).rowcount)


def _mine(attempt: Attempt) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return ANSWERS.c.caller == attempt.caller, ANSWERS.c.key == attempt.key
