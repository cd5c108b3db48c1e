"""The SQL on teams, accounts, roles, passwords and one-time links."""

from collections.abc import Sequence
from typing import Any, Literal

import sqlalchemy as sa

from modelyard.access.domain import PrincipalId, Role, Team, TeamId, User
from modelyard.access.store.changes import note_change
from modelyard.access.store.tables import ACCOUNT, LINK, MEMBERSHIP, PASSWORD, TEAM
from modelyard.core.clock import Instant
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import upsert


def insert_team(tx: Transaction, team: Team) -> None:
    """Adds a team."""
    tx.connection.execute(sa.insert(TEAM).values(id=team.id, name=team.name, created_at=team.created_at))


def list_teams(snapshot: Snapshot, ids: Sequence[TeamId] | None) -> list[Team]:
    """The teams of these ids, all of them for None, by id."""
    query = sa.select(TEAM).order_by(TEAM.c.id)
    if ids is not None:
        query = query.where(TEAM.c.id.in_(ids))
    return [Team(id=TeamId(row.id), name=row.name, created_at=Instant(row.created_at)) for row in snapshot.connection.execute(query)]


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
    note_change(tx)
    upsert(tx, MEMBERSHIP, [{"account_id": account, "team_id": team, "role": role.value}], ["account_id", "team_id"], ["role"])


def delete_role(tx: Transaction, account: PrincipalId, team: TeamId) -> None:
    """Takes the account's role in the team."""
    note_change(tx)
    tx.connection.execute(sa.delete(MEMBERSHIP).where(MEMBERSHIP.c.account_id == account, MEMBERSHIP.c.team_id == team))


def put_active(tx: Transaction, account: PrincipalId, *, is_active: bool) -> None:
    """Enables or disables the account."""
    note_change(tx)
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


def list_names(snapshot: Snapshot, accounts: Sequence[PrincipalId]) -> dict[PrincipalId, str]:
    """The names of those accounts."""
    rows = snapshot.connection.execute(sa.select(ACCOUNT.c.id, ACCOUNT.c.name).where(ACCOUNT.c.id.in_(accounts)))
    return {PrincipalId(row.id): row.name for row in rows}


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
    roles = _roles_of(snapshot, [row.id for row in rows])
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


def _roles_of(snapshot: Snapshot, accounts: Sequence[str]) -> dict[str, dict[TeamId, Role]]:
    """The roles of those accounts by team."""
    result: dict[str, dict[TeamId, Role]] = {}
    if accounts:
        for row in snapshot.connection.execute(sa.select(MEMBERSHIP).where(MEMBERSHIP.c.account_id.in_(accounts))):
            result.setdefault(row.account_id, {})[TeamId(row.team_id)] = Role(row.role)
    return result


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
