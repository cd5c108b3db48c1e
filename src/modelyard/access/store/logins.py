"""The SQL on sessions and failed logins."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import PrincipalId, Session
from modelyard.access.store.tables import SESSION, THROTTLE
from modelyard.core.clock import Instant
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import upsert


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """How often logins failed under a key, when last, and until when the next has to wait."""

    key: str
    failures: int
    last_at: Instant
    until_at: Instant


def insert_session(tx: Transaction, session: Session) -> None:
    """Adds a session, and drops those that ended of themselves."""
    tx.connection.execute(sa.delete(SESSION).where(SESSION.c.expires_at <= session.created_at))
    tx.connection.execute(
        sa.insert(SESSION).values(
            id=session.id,
            account_id=session.principal,
            created_at=session.created_at,
            seen_at=session.seen_at,
            expires_at=session.expires_at,
        )
    )


def find_session(snapshot: Snapshot, session: str) -> Session | None:
    """The session of that id."""
    row = snapshot.connection.execute(sa.select(SESSION).where(SESSION.c.id == session)).first()
    if row is None:
        return None
    return Session(
        id=row.id,
        principal=PrincipalId(row.account_id),
        created_at=Instant(row.created_at),
        seen_at=Instant(row.seen_at),
        expires_at=Instant(row.expires_at),
    )


def put_seen(tx: Transaction, session: str, at: Instant) -> None:
    """Notes when the session was last used."""
    tx.connection.execute(sa.update(SESSION).where(SESSION.c.id == session).values(seen_at=at))


def delete_session(tx: Transaction, session: str) -> None:
    """Ends one session."""
    tx.connection.execute(sa.delete(SESSION).where(SESSION.c.id == session))


def delete_sessions(tx: Transaction, account: PrincipalId) -> None:
    """Ends all sessions of the account."""
    tx.connection.execute(sa.delete(SESSION).where(SESSION.c.account_id == account))


def lock_tries(tx: Transaction, keys: Sequence[str], at: Instant) -> Mapping[str, Try]:
    """The tries under `keys`, held until the transaction ends, so that tries at the same moment are counted one by one."""
    ordered = sorted(keys)
    upsert(tx, THROTTLE, [{"key": key, "failures": 0, "last_at": at, "until_at": 0} for key in ordered], ["key"])
    query = sa.select(THROTTLE).where(THROTTLE.c.key.in_(ordered)).order_by(THROTTLE.c.key).with_for_update()
    return {
        row.key: Try(key=row.key, failures=row.failures, last_at=row.last_at, until_at=row.until_at) for row in tx.connection.execute(query)
    }


def put_tries(tx: Transaction, tries: Iterable[Try]) -> None:
    """Keeps how often logins failed."""
    upsert(tx, THROTTLE, [msgspec.structs.asdict(one) for one in tries], ["key"], ["failures", "last_at", "until_at"])


def delete_old_tries(tx: Transaction, before: Instant) -> None:
    """Drops tries that no longer count."""
    tx.connection.execute(sa.delete(THROTTLE).where(THROTTLE.c.last_at < before))
