"""What access offers: the check that services make, accounts and teams, tokens, logins. Each change writes its ledger entry."""

from modelyard.access.service.accounts import (
    create_service_account,
    create_team,
    disable_user,
    enable_user,
    first_start,
    get_me,
    invite_user,
    list_teams,
    list_users,
    principal_names,
    remove_role,
    renew_invitation,
    set_role,
)
from modelyard.access.service.guard import require
from modelyard.access.service.login import authenticated, change_password, choose_password, get_link, login, logout, note_use
from modelyard.access.service.proofs import Proofs
from modelyard.access.service.tokens import create_token, list_lent, list_tokens, revoke_token

__all__ = [
    "Proofs",
    "authenticated",
    "change_password",
    "choose_password",
    "create_service_account",
    "create_team",
    "create_token",
    "disable_user",
    "enable_user",
    "first_start",
    "get_link",
    "get_me",
    "invite_user",
    "list_lent",
    "list_teams",
    "list_tokens",
    "list_users",
    "login",
    "logout",
    "note_use",
    "principal_names",
    "remove_role",
    "renew_invitation",
    "require",
    "revoke_token",
    "set_role",
]
