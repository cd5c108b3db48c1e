"""What a caller's write was answered with, kept for a day under a key of the caller's: sent again, it changes nothing more.

Owns how long. Knows not what a request or an answer means.
"""

import msgspec
import sqlalchemy as sa

from modelyard.core.clock import SECOND, Instant
from modelyard.core.digests import Digest
from modelyard.core.errors import Conflict
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import IDEMPOTENCY_ANSWER as ANSWERS
from modelyard.storage.schema import upsert

KEPT_S = 86_400


class KeyReused(Conflict):
    """The key came with another request before."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A request of a caller's under a key; `request` is the digest of all of it."""

    caller: str
    key: str
    request: Digest


def find_answer(snapshot: Snapshot, attempt: Attempt) -> bytes | None:
    """What the same request was answered with in the last day, or None. Raises KeyReused."""
    mine = (ANSWERS.c.caller == attempt.caller, ANSWERS.c.key == attempt.key, ANSWERS.c.made_at >= _oldest(snapshot))
    found = snapshot.connection.execute(sa.select(ANSWERS.c.request, ANSWERS.c.answer).where(*mine)).first()
    if found is None:
        return None
    if found.request != attempt.request:
        raise KeyReused(f"the key {attempt.key[:60]!r} came with another request before", hint="a key names one request: choose a new one")
    return None if found.answer is None else bytes(found.answer)


def reserve(tx: Transaction, attempt: Attempt) -> bytes | None:
    """Holds the key for this transaction and gives None; or what was answered before. One that holds it elsewhere is waited for."""
    tx.connection.execute(sa.delete(ANSWERS).where(ANSWERS.c.made_at < _oldest(tx)))
    row = {"caller": attempt.caller, "key": attempt.key, "request": attempt.request, "answer": None, "made_at": tx.wall()}
    upsert(tx, ANSWERS, [row], ["caller", "key"])
    return find_answer(tx, attempt)


def keep(tx: Transaction, attempt: Attempt, answer: bytes) -> None:
    """Notes the answer of a request that has reserved its key."""
    mine = (ANSWERS.c.caller == attempt.caller, ANSWERS.c.key == attempt.key)
    tx.connection.execute(sa.update(ANSWERS).where(*mine).values(answer=answer))


def _oldest(snapshot: Snapshot) -> Instant:
    return Instant(snapshot.wall() - KEPT_S * SECOND)
