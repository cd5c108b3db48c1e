"""Who may: the one check that every service makes, and which accounts a principal may administer."""

from modelyard.access import store
from modelyard.access.domain import EVERY_TEAM, NoSuchAccount, NotAllowed, Principal, PrincipalId, Role, TeamId, User
from modelyard.access.rules import is_account_name
from modelyard.storage.database import Snapshot


def require(principal: Principal, role: Role, team: TeamId) -> None:
    """Raises NotAllowed unless `principal` has `role`, or one that includes it, in `team`."""
    if not principal.may(role, team):
        where = "every team" if team == EVERY_TEAM else f"team {team}"
        raise NotAllowed(f"{principal.name} is no {role} in {where}", hint=f"ask an admin of {where} for that role")


def may_administer(principal: Principal, user: User) -> bool:
    """Whether `principal` is admin wherever `user` has a role, so that no account is taken over through a smaller team."""
    return principal.may(Role.ADMIN, EVERY_TEAM) or (bool(user.roles) and all(principal.may(Role.ADMIN, team) for team in user.roles))


def require_administered(principal: Principal, user: User) -> None:
    """Raises NotAllowed unless `principal` may administer `user`; of an account in foreign teams only, NoSuchAccount."""
    if may_administer(principal, user):
        return
    if not any(principal.may(Role.ADMIN, team) for team in user.roles):
        raise unknown_account(user.id)
    raise NotAllowed(f"{user.name} has roles outside the teams that {principal.name} administers", hint="ask an admin of the installation")


def known_user(snapshot: Snapshot, user: str) -> User:
    """The account of that id or name. Raises NoSuchAccount."""
    if not is_account_name(user):
        raise unknown_account(user)
    found = store.find_user(snapshot, PrincipalId(user)) or store.find_user_by_name(snapshot, user)
    if found is None:
        raise unknown_account(user)
    return found


def unknown_account(user: str) -> NoSuchAccount:
    """The error for an account that is not there, or not for the one who asks."""
    return NoSuchAccount(f"no account {user[:120]!r}", hint="see yard user list")
