"""Accounts and teams: the first start, invitations, service accounts, roles, disabling. Owns no login."""

import secrets
from collections.abc import Iterable

from modelyard.access import store
from modelyard.access.domain import (
    DEFAULT_TEAM,
    EVERY_TEAM,
    LOCAL,
    SYSTEM,
    Invitation,
    LastAdmin,
    Me,
    NameIsTaken,
    NoSuchTeam,
    Principal,
    PrincipalId,
    PrincipalKind,
    Role,
    Team,
    TeamId,
    User,
)
from modelyard.access.rules import LINK_S, is_account_name, is_team_id, secret_hash
from modelyard.access.service.guard import known_user, require, require_administered
from modelyard.core.clock import SECOND, Instant
from modelyard.core.errors import InvalidInput
from modelyard.core.ids import new_id
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Snapshot, Transaction

FIRST_ADMIN = "admin"
MOST_USERS = 500


def first_start(tx: Transaction) -> Invitation | None:
    """The link under which the first admin chooses a password; None once an admin has one.

    The first call makes the default team and the account, without a password. Each further call, until the link was
    used, voids the last link and gives a new one: who starts the server always has the one that holds.
    """
    if store.has_accounts(tx):
        user = store.find_user_by_name(tx, FIRST_ADMIN)
        if user is None or user.has_password or not user.is_active or user.roles.get(EVERY_TEAM) is not Role.ADMIN:
            return None
        return _link(tx, SYSTEM, user)
    store.insert_team(tx, Team(id=DEFAULT_TEAM, name="Default", created_at=tx.wall()))
    user = _new_account(tx, SYSTEM, FIRST_ADMIN, "person", {EVERY_TEAM: Role.ADMIN})
    return _link(tx, SYSTEM, user)


def get_me(snapshot: Snapshot, principal: Principal) -> Me:
    """Who the caller is, and the teams whose objects it sees."""
    return Me(principal=principal, teams=tuple(store.list_teams(snapshot, principal.teams)))


def list_users(snapshot: Snapshot, principal: Principal, after: str = "", limit: int = 100) -> list[User]:
    """The accounts of the teams that the caller administers or audits, by name; `after` is the last name of the page before."""
    if not 1 <= limit <= MOST_USERS or (after and not is_account_name(after)):
        raise InvalidInput(
            f"{limit} accounts after {after[:60]!r}", hint=f"ask for 1 to {MOST_USERS}, after the last name of the page before"
        )
    if principal.may(Role.AUDITOR, EVERY_TEAM):
        return store.list_users(snapshot, None, after, limit)
    teams = [team for team in principal.roles if principal.may(Role.AUDITOR, team)]
    found = store.list_users(snapshot, teams, after, limit)
    return [_as_seen(user, teams) for user in found]


def _as_seen(user: User, teams: list[TeamId]) -> User:
    roles = {team: role for team, role in user.roles.items() if team in teams}
    return User(
        id=user.id,
        name=user.name,
        kind=user.kind,
        is_active=user.is_active,
        has_password=user.has_password,
        roles=roles,
        created_at=user.created_at,
    )


def principal_names(snapshot: Snapshot, ids: Iterable[PrincipalId]) -> dict[PrincipalId, str]:
    """What people call those principals, for pages; an id that is no account stands for itself."""
    wanted = set(ids)
    known = {SYSTEM.id: SYSTEM.name, LOCAL.id: LOCAL.name, **store.list_names(snapshot, sorted(wanted))}
    return {one: known.get(one, one) for one in wanted}


def invite_user(tx: Transaction, principal: Principal, name: str, team: TeamId, role: Role) -> Invitation:
    """A new person's account with a role in `team`, and the one-time link under which they choose a password."""
    require(principal, Role.ADMIN, team)
    _check_team(tx, team)
    return _link(tx, principal, _new_account(tx, principal, name, "person", {team: role}))


def renew_invitation(tx: Transaction, principal: Principal, user: str) -> Invitation:
    """A new one-time link for an account: for a link that lapsed, or a password that was forgotten. The last link is void."""
    found = known_user(tx, user)
    require_administered(principal, found)
    if found.kind != "person" or not found.is_active:
        raise InvalidInput(f"{found.name} takes no password", hint="enable the account, or make a token for a service account")
    return _link(tx, principal, found)


def create_service_account(tx: Transaction, principal: Principal, name: str, team: TeamId, role: Role) -> User:
    """An account for a program, with a role in `team`. It has tokens and no password."""
    require(principal, Role.ADMIN, team)
    _check_team(tx, team)
    return _new_account(tx, principal, name, "service", {team: role})


def set_role(tx: Transaction, principal: Principal, user: str, team: TeamId, role: Role) -> User:
    """Gives an account a role in a team, instead of the one it has there; `*` is every team. Raises LastAdmin."""
    require(principal, Role.ADMIN, team)
    _check_team(tx, team)
    found = known_user(tx, user)
    store.lock_accounts(tx)
    store.put_role(tx, found.id, team, role)
    _check_admin_left(tx, found)
    _record(tx, principal, "access.role_set", found.id, {"team": team, "role": role.value, "before": found.roles.get(team)})
    return known_user(tx, found.id)


def remove_role(tx: Transaction, principal: Principal, user: str, team: TeamId) -> None:
    """Takes an account's role in a team. Raises LastAdmin."""
    require(principal, Role.ADMIN, team)
    found = known_user(tx, user)
    if team not in found.roles:
        return
    store.lock_accounts(tx)
    store.delete_role(tx, found.id, team)
    _check_admin_left(tx, found)
    _record(tx, principal, "access.role_removed", found.id, {"team": team, "before": found.roles[team].value})


def disable_user(tx: Transaction, principal: Principal, user: str) -> None:
    """Disables an account at once: its sessions end, its tokens are revoked, its link is void. Raises LastAdmin."""
    found = known_user(tx, user)
    require_administered(principal, found)
    if not found.is_active:
        return
    store.lock_accounts(tx)
    store.put_active(tx, found.id, is_active=False)
    _check_admin_left(tx, found)
    revoked = [token.id for token in store.list_tokens(tx, found.id) if token.revoked_at is None]
    store.delete_sessions(tx, found.id)
    store.delete_links(tx, found.id)
    store.put_revoked(tx, revoked, tx.wall())
    _record(tx, principal, "access.user_disabled", found.id, {"revoked_tokens": list(revoked)})


def enable_user(tx: Transaction, principal: Principal, user: str) -> User:
    """Enables an account again. Its password and roles are as before; tokens stay revoked."""
    found = known_user(tx, user)
    require_administered(principal, found)
    if not found.is_active:
        store.put_active(tx, found.id, is_active=True)
        _record(tx, principal, "access.user_enabled", found.id, {})
    return known_user(tx, found.id)


def create_team(tx: Transaction, principal: Principal, team: TeamId, name: str) -> Team:
    """A new team. `team` is its id, in lower case; only an admin of the installation makes teams."""
    require(principal, Role.ADMIN, EVERY_TEAM)
    if not is_team_id(team):
        raise InvalidInput(f"{team[:60]!r} is no id for a team", hint="begin with a lower-case letter, then letters, digits, '_' or '-'")
    if not 1 <= len(name.strip()) <= 200 or not name.isprintable():
        raise InvalidInput(f"{name[:60]!r} is no name for a team", hint="give it 1 to 200 printable characters")
    if store.list_teams(tx, [team]):
        raise NameIsTaken(f"there is a team {team}", hint="choose another id, or give people roles in the one that is there")
    made = Team(id=team, name=name.strip(), created_at=tx.wall())
    store.insert_team(tx, made)
    record(tx, NewEntry(type="access.team_created", subject=f"team:{team}", actor=principal.id, data={"name": made.name}, team_id=team))
    return made


def list_teams(snapshot: Snapshot, principal: Principal) -> list[Team]:
    """The teams in which the caller has a role."""
    return store.list_teams(snapshot, principal.teams)


def _new_account(tx: Transaction, principal: Principal, name: str, kind: PrincipalKind, roles: dict[TeamId, Role]) -> User:
    if not is_account_name(name):
        raise InvalidInput(f"{name[:60]!r} is no name for an account", hint="begin with a letter, then letters, digits or . _ @ + -")
    if kind == "system":
        raise InvalidInput("only the platform itself is of the kind system", hint="make a person or a service account")
    store.lock_accounts(tx)
    if store.find_user_by_name(tx, name):
        raise NameIsTaken(f"there is an account {name}", hint="give that one a role in the team, or choose another name")
    account = PrincipalId(new_id("usr" if kind == "person" else "svc"))
    user = User(id=account, name=name, kind=kind, is_active=True, has_password=False, roles=roles, created_at=tx.wall())
    store.insert_account(tx, user)
    granted = {str(team): role.value for team, role in roles.items()}
    word = "access.user_created" if kind == "person" else "access.service_account_created"
    data = {"roles": granted}
    record(tx, NewEntry(type=word, subject=f"user:{account}", actor=principal.id, data=data, personal={"name": name}))
    return user


def _link(tx: Transaction, principal: Principal, user: User) -> Invitation:
    secret = secrets.token_urlsafe(32)
    expires_at = Instant(tx.wall() + LINK_S * SECOND)
    store.put_link(tx, user.id, secret_hash(secret), expires_at)
    _record(tx, principal, "access.link_made", user.id, {"expires_at": expires_at})
    return Invitation(user=user.id, name=user.name, path=f"/setup/{secret}", expires_at=expires_at)


def _check_team(snapshot: Snapshot, team: TeamId) -> None:
    if team != EVERY_TEAM and not (is_team_id(team) and store.list_teams(snapshot, [team])):
        raise NoSuchTeam(f"no team {team[:60]!r}", hint="an admin of the installation makes teams")


def _check_admin_left(tx: Transaction, user: User) -> None:
    # Who has no password yet cannot log in, so neither is counted nor counts on being the last.
    if user.has_password and user.roles.get(EVERY_TEAM) is Role.ADMIN and not store.count_admins(tx, EVERY_TEAM):
        raise LastAdmin(
            f"{user.name} is the last admin of the installation", hint=f"first give another person the role admin in {EVERY_TEAM}"
        )


def _record(tx: Transaction, principal: Principal, word: str, account: PrincipalId, data: dict[str, object]) -> None:
    record(tx, NewEntry(type=word, subject=f"user:{account}", actor=principal.id, data=data))
