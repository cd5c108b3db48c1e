"""The tables of access and all SQL on them: accounts, passwords, roles, teams, tokens, sessions, links, failed logins."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import PrincipalId, Role, Scope, Session, Team, TeamId, Token, TokenId, User
from modelyard.core.clock import Instant
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import METADATA, upsert

TEAM = sa.Table(
    "access_team",
    METADATA,
    sa.Column("id", sa.String(120), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)
ACCOUNT = sa.Table(
    "access_account",
    METADATA,
    sa.Column("id", sa.String(60), primary_key=True),
    sa.Column("name", sa.String(120), nullable=False),
    # Two names that differ in case only would be taken for one another, so the folded name is what is unique.
    sa.Column("name_key", sa.String(120), nullable=False, unique=True),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("is_active", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)
PASSWORD = sa.Table(
    "access_password",
    METADATA,
    sa.Column("account_id", sa.String(60), sa.ForeignKey("access_account.id"), primary_key=True),
    sa.Column("hash", sa.String(200), nullable=False),
    sa.Column("changed_at", sa.BigInteger, nullable=False),
)
MEMBERSHIP = sa.Table(
    "access_membership",
    METADATA,
    sa.Column("account_id", sa.String(60), sa.ForeignKey("access_account.id"), primary_key=True),
    # A team's id or `*`, which is every team.
    sa.Column("team_id", sa.String(120), primary_key=True),
    sa.Column("role", sa.String(20), nullable=False),
)
TOKEN = sa.Table(
    "access_token",
    METADATA,
    sa.Column("id", sa.String(12), primary_key=True),
    sa.Column("account_id", sa.String(60), sa.ForeignKey("access_account.id"), nullable=False, index=True),
    sa.Column("name", sa.String(120), nullable=False),
    sa.Column("secret_hash", sa.String(64), nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("roles", sa.Text, nullable=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger, nullable=True),
    sa.Column("last_used_at", sa.BigInteger, nullable=True),
)
SESSION = sa.Table(
    "access_session",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("account_id", sa.String(60), sa.ForeignKey("access_account.id"), nullable=False, index=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)
LINK = sa.Table(
    "access_link",
    METADATA,
    sa.Column("account_id", sa.String(60), sa.ForeignKey("access_account.id"), primary_key=True),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
)
THROTTLE = sa.Table(
    "access_throttle",
    METADATA,
    sa.Column("key", sa.String(80), primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
    sa.Column("until_at", sa.BigInteger, nullable=False),
)


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """How often logins failed under a key, when last, and until when the next has to wait."""

    key: str
    failures: int
    last_at: Instant
    until_at: Instant


class KnownToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token with what proving it takes: the hash of its secret and its owner."""

    token: Token
    secret_hash: str
    owner: User


# -- teams --


def insert_team(tx: Transaction, team: Team) -> None:
    """Adds a team."""
    tx.connection.execute(sa.insert(TEAM).values(id=team.id, name=team.name, created_at=team.created_at))


def list_teams(snapshot: Snapshot, ids: Sequence[TeamId] | None) -> list[Team]:
    """The teams of these ids, all of them for None, by id."""
    query = sa.select(TEAM).order_by(TEAM.c.id)
    if ids is not None:
        query = query.where(TEAM.c.id.in_(ids))
    return [Team(id=TeamId(row.id), name=row.name, created_at=Instant(row.created_at)) for row in snapshot.connection.execute(query)]


# -- accounts --


def insert_account(tx: Transaction, user: User) -> None:
    """Adds an account with its roles. Its name must not be taken."""
    tx.connection.execute(
        sa.insert(ACCOUNT).values(
            id=user.id, name=user.name, name_key=user.name.casefold(), kind=user.kind, is_active=user.is_active, created_at=user.created_at
        )
    )
    for team, role in user.roles.items():
        put_role(tx, user.id, team, role)


def put_role(tx: Transaction, account: PrincipalId, team: TeamId, role: Role) -> None:
    """Gives the account that role in the team, instead of the one it has."""
    upsert(tx, MEMBERSHIP, [{"account_id": account, "team_id": team, "role": role.value}], ["account_id", "team_id"], ["role"])


def delete_role(tx: Transaction, account: PrincipalId, team: TeamId) -> None:
    """Takes the account's role in the team."""
    tx.connection.execute(sa.delete(MEMBERSHIP).where(MEMBERSHIP.c.account_id == account, MEMBERSHIP.c.team_id == team))


def put_active(tx: Transaction, account: PrincipalId, *, is_active: bool) -> None:
    """Enables or disables the account."""
    tx.connection.execute(sa.update(ACCOUNT).where(ACCOUNT.c.id == account).values(is_active=is_active))


def lock_accounts(tx: Transaction) -> None:
    """Has other transactions that lock accounts wait for this one: the last admin is counted by one at a time."""
    if tx.dialect == "postgresql":
        tx.connection.exec_driver_sql("LOCK TABLE access_account IN SHARE ROW EXCLUSIVE MODE")


def find_user(snapshot: Snapshot, account: PrincipalId) -> User | None:
    """The account of that id."""
    return next(iter(_users(snapshot, ACCOUNT.c.id == account, 1)), None)


def find_user_by_name(snapshot: Snapshot, name: str) -> User | None:
    """The account of that name, whatever its case."""
    return next(iter(_users(snapshot, ACCOUNT.c.name_key == name.casefold(), 1)), None)


def list_users(snapshot: Snapshot, teams: Sequence[TeamId] | None, after: str, limit: int) -> list[User]:
    """Accounts with a role in one of `teams`, of all for None, by name from behind `after` on."""
    condition: sa.ColumnElement[bool] = ACCOUNT.c.name_key > after.casefold()
    if teams is not None:
        condition &= ACCOUNT.c.id.in_(sa.select(MEMBERSHIP.c.account_id).where(MEMBERSHIP.c.team_id.in_(teams)))
    return _users(snapshot, condition, limit)


def count_admins(snapshot: Snapshot, every: TeamId) -> int:
    """How many people that can log in are admin of every team."""
    return snapshot.connection.execute(
        sa.select(sa.func.count())
        .select_from(ACCOUNT.join(MEMBERSHIP).join(PASSWORD, PASSWORD.c.account_id == ACCOUNT.c.id))
        .where(ACCOUNT.c.is_active, ACCOUNT.c.kind == "person", MEMBERSHIP.c.team_id == every, MEMBERSHIP.c.role == Role.ADMIN.value)
    ).scalar_one()


def has_accounts(snapshot: Snapshot) -> bool:
    """Whether there is any account."""
    return snapshot.connection.execute(sa.select(ACCOUNT.c.id).limit(1)).first() is not None


def _users(snapshot: Snapshot, condition: sa.ColumnElement[bool], limit: int) -> list[User]:
    query = (
        sa.select(ACCOUNT, PASSWORD.c.account_id.label("has_password"))
        .select_from(ACCOUNT.outerjoin(PASSWORD))
        .where(condition)
        .order_by(ACCOUNT.c.name_key)
        .limit(limit)
    )
    rows = snapshot.connection.execute(query).all()
    roles = _roles(snapshot, [row.id for row in rows])
    return [_user(row, row.has_password is not None, roles.get(row.id, {})) for row in rows]


def _user(row: Any, has_password: bool, roles: dict[TeamId, Role]) -> User:
    kind: Literal["person", "service"] = "person" if row.kind == "person" else "service"
    return User(
        id=PrincipalId(row.id),
        name=row.name,
        kind=kind,
        is_active=bool(row.is_active),
        has_password=has_password,
        roles=roles,
        created_at=Instant(row.created_at),
    )


def _roles(snapshot: Snapshot, accounts: Sequence[str]) -> dict[str, dict[TeamId, Role]]:
    result: dict[str, dict[TeamId, Role]] = {}
    if accounts:
        for row in snapshot.connection.execute(sa.select(MEMBERSHIP).where(MEMBERSHIP.c.account_id.in_(accounts))):
            result.setdefault(row.account_id, {})[TeamId(row.team_id)] = Role(row.role)
    return result


# -- passwords and links --


def find_password(snapshot: Snapshot, account: PrincipalId) -> str | None:
    """The hash of the account's password."""
    return snapshot.connection.execute(sa.select(PASSWORD.c.hash).where(PASSWORD.c.account_id == account)).scalar()


def put_password(tx: Transaction, account: PrincipalId, stored: str, at: Instant) -> None:
    """Keeps the hash of a new password."""
    upsert(tx, PASSWORD, [{"account_id": account, "hash": stored, "changed_at": at}], ["account_id"], ["hash", "changed_at"])


def put_link(tx: Transaction, account: PrincipalId, link_hash: str, expires_at: Instant) -> None:
    """Keeps the hash of the account's one link; an earlier one is void."""
    upsert(tx, LINK, [{"account_id": account, "hash": link_hash, "expires_at": expires_at}], ["account_id"], ["hash", "expires_at"])


def find_link(snapshot: Snapshot, link_hash: str) -> tuple[PrincipalId, Instant] | None:
    """Whose link it is and when it ends."""
    row = snapshot.connection.execute(sa.select(LINK.c.account_id, LINK.c.expires_at).where(LINK.c.hash == link_hash)).first()
    return None if row is None else (PrincipalId(row.account_id), Instant(row.expires_at))


def take_link(tx: Transaction, link_hash: str) -> bool:
    """Removes the link; False where another was first."""
    return tx.connection.execute(sa.delete(LINK).where(LINK.c.hash == link_hash)).rowcount == 1


def delete_links(tx: Transaction, account: PrincipalId) -> None:
    """Removes the account's link."""
    tx.connection.execute(sa.delete(LINK).where(LINK.c.account_id == account))


# -- tokens --


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


_KNOWN = sa.select(
    TOKEN, ACCOUNT.c.name.label("owner_name"), ACCOUNT.c.kind, ACCOUNT.c.is_active, ACCOUNT.c.created_at.label("owner_at")
).join(ACCOUNT)


def find_token(snapshot: Snapshot, token: TokenId) -> KnownToken | None:
    """The token of that id with its owner, in one query and one for the roles."""
    return next(iter(_known(snapshot, TOKEN.c.id == token)), None)


def list_live_tokens(snapshot: Snapshot, wall: Instant) -> list[KnownToken]:
    """The tokens that hold at `wall`, those of active accounts, by id."""
    return _known(snapshot, TOKEN.c.revoked_at.is_(None), TOKEN.c.expires_at > wall, ACCOUNT.c.is_active.is_(True))


def _known(snapshot: Snapshot, *where: sa.ColumnElement[bool]) -> list[KnownToken]:
    rows = snapshot.connection.execute(_KNOWN.where(*where).order_by(TOKEN.c.id)).all()
    roles = _roles(snapshot, sorted({row.account_id for row in rows}))
    return [KnownToken(token=_token(row), secret_hash=row.secret_hash, owner=_owner(row, roles.get(row.account_id, {}))) for row in rows]


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


# -- sessions --


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


# -- failed logins --


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
