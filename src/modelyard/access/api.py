"""The operations of access: the caller, accounts, roles, teams, tokens. Passwords and sessions are for browsers only."""

from modelyard.access import service
from modelyard.web.operations import Operation, operation

OPERATIONS: tuple[Operation, ...] = (
    operation("GET", "/me", service.get_me),
    operation("GET", "/users", service.list_users),
    operation("POST", "/users", service.invite_user, answers_secret=True),
    operation("POST", "/users/{user}/invitation", service.renew_invitation, answers_secret=True),
    operation("POST", "/users/{user}/disable", service.disable_user),
    operation("POST", "/users/{user}/enable", service.enable_user),
    operation("PUT", "/users/{user}/roles/{team}", service.set_role),
    operation("DELETE", "/users/{user}/roles/{team}", service.remove_role),
    operation("POST", "/service-accounts", service.create_service_account),
    operation("GET", "/teams", service.list_teams),
    operation("POST", "/teams", service.create_team),
    operation("GET", "/tokens", service.list_tokens),
    operation("POST", "/tokens", service.create_token, answers_secret=True),
    operation("DELETE", "/tokens/{token}", service.revoke_token),
)
