"""The SQL on tokens."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import PrincipalId, Role, Scope, TeamId, Token, TokenId, User
from modelyard.access.store.changes import note_change
from modelyard.access.store.tables import ACCOUNT, MEMBERSHIP, TOKEN
from modelyard.core.clock import Instant
from modelyard.storage.database import Snapshot, Transaction


class KnownToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token with what proving it takes: the hash of its secret and its owner."""

    token: Token
    secret_hash: str
    owner: User


def insert_token(tx: Transaction, token: Token, secret_hash: str) -> None:
    """Adds a token."""
    tx.connection.execute(
        sa.insert(TOKEN).values(
            id=token.id,
            account_id=token.owner,
            name=token.name,
            secret_hash=secret_hash,
            scopes=msgspec.json.encode(token.scopes).decode(),
            roles=None if token.roles is None else msgspec.json.encode(token.roles).decode(),
            created_at=token.created_at,
            expires_at=token.expires_at,
        )
    )


_WITH_OWNER = (
    TOKEN,
    ACCOUNT.c.name.label("owner_name"),
    ACCOUNT.c.kind,
    ACCOUNT.c.is_active,
    ACCOUNT.c.created_at.label("owner_at"),
)

# Asked at every request of a program, and at every heartbeat of a gateway: each is one query, and said once. Building it anew took
# as long as running it.
_WITH_ROLES = sa.select(*_WITH_OWNER, MEMBERSHIP.c.team_id, MEMBERSHIP.c.role).select_from(
    TOKEN.join(ACCOUNT).outerjoin(MEMBERSHIP, MEMBERSHIP.c.account_id == ACCOUNT.c.id)
)
_ONE = _WITH_ROLES.where(TOKEN.c.id == sa.bindparam("token"))
_LIVE = _WITH_ROLES.where(TOKEN.c.revoked_at.is_(None), TOKEN.c.expires_at > sa.bindparam("wall"), ACCOUNT.c.is_active.is_(True)).order_by(
    TOKEN.c.id
)


def find_token(snapshot: Snapshot, token: TokenId) -> KnownToken | None:
    """The token of that id with its owner."""
    return next(_known(snapshot.connection.execute(_ONE, {"token": token})), None)


def list_live_tokens(snapshot: Snapshot, wall: Instant) -> list[KnownToken]:
    """The tokens that hold at `wall`, those of active accounts, by id."""
    return list(_known(snapshot.connection.execute(_LIVE, {"wall": wall})))


def _known(rows: Iterable[Any]) -> Iterator[KnownToken]:
    """The tokens of rows that come together by token, one row a role of its owner."""
    for _, of_one in groupby(rows, lambda row: row.id):
        first, *others = of_one
        roles = {TeamId(row.team_id): Role(row.role) for row in (first, *others) if row.team_id is not None}
        yield KnownToken(token=_token(first), secret_hash=first.secret_hash, owner=_owner(first, roles))


def _owner(row: Any, roles: dict[TeamId, Role]) -> User:
    kind: Literal["person", "service"] = "person" if row.kind == "person" else "service"
    account, made = PrincipalId(row.account_id), Instant(row.owner_at)
    return User(id=account, name=row.owner_name, kind=kind, is_active=row.is_active, has_password=False, roles=roles, created_at=made)


def list_tokens(snapshot: Snapshot, account: PrincipalId) -> list[Token]:
    """The account's tokens, newest first, those that ended included."""
    query = sa.select(TOKEN, ACCOUNT.c.name.label("owner_name")).join(ACCOUNT).where(TOKEN.c.account_id == account)
    return [_token(row) for row in snapshot.connection.execute(query.order_by(TOKEN.c.created_at.desc(), TOKEN.c.id))]


def put_revoked(tx: Transaction, tokens: Iterable[TokenId], at: Instant) -> None:
    """Revokes those tokens that are not revoked yet."""
    note_change(tx)
    tx.connection.execute(sa.update(TOKEN).where(TOKEN.c.id.in_(list(tokens)), TOKEN.c.revoked_at.is_(None)).values(revoked_at=at))


def put_used(tx: Transaction, token: TokenId, at: Instant) -> None:
    """Notes when the token was last used."""
    tx.connection.execute(sa.update(TOKEN).where(TOKEN.c.id == token).values(last_used_at=at))


def _token(row: Any) -> Token:
    return Token(
        id=TokenId(row.id),
        owner=PrincipalId(row.account_id),
        owner_name=row.owner_name,
        name=row.name,
        scopes=msgspec.json.decode(row.scopes, type=tuple[Scope, ...]),
        roles=None if row.roles is None else msgspec.json.decode(row.roles, type=dict[TeamId, Role]),
        created_at=Instant(row.created_at),
        expires_at=Instant(row.expires_at),
        revoked_at=None if row.revoked_at is None else Instant(row.revoked_at),
        last_used_at=None if row.last_used_at is None else Instant(row.last_used_at),
    )
