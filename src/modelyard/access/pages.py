"""The page of one's own settings: who one is here, tokens, password. Logging in has handlers of its own."""

from typing import Literal

import msgspec

from modelyard.access import service
from modelyard.access.domain import EVERY_TEAM, LOCAL, NewToken, Principal, Scope, Team, TeamId, Token, TokenId
from modelyard.access.passwords import LEAST
from modelyard.core.clock import Instant
from modelyard.storage.database import Snapshot, Transaction
from modelyard.web.pages import Action, Done, Page, action, page
from modelyard.web.parts import Choice

SETTINGS = "/settings"
LIFETIMES = (("7d", "7 days"), ("30d", "30 days"), ("90d", "90 days"), ("366d", "A year"))

TokenState = Literal["active", "expired", "revoked"]


class ScopeChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A scope that a new token may have, in words."""

    scope: Scope
    label: str
    hint: str


SCOPES = (
    ScopeChoice(scope=Scope.READ, label="Read", hint="Look at everything you see; change nothing."),
    ScopeChoice(scope=Scope.TRACKING, label="Tracking", hint="Log runs and register versions: notebooks, training jobs, MLflow clients."),
    ScopeChoice(scope=Scope.SERVING, label="Serving", hint="Ask for predictions and features, send labels."),
    ScopeChoice(scope=Scope.DEPLOY, label="Deploy", hint="Start deliveries and move aliases: continuous integration."),
    ScopeChoice(scope=Scope.ALL, label="Everything", hint="All that you may do, accounts and tokens included: the command line."),
)


class TeamRole(msgspec.Struct, frozen=True, kw_only=True):
    """A team and one's role in it, in words."""

    team: str
    role: str


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A token with how it stands now."""

    token: Token
    state: TokenState


class SettingsPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `access/settings.html`. `made` is a token that was made by this very request: it is shown this once."""

    name: str
    roles: tuple[TeamRole, ...]
    has_account: bool
    tokens: tuple[TokenRow, ...]
    ended: int
    scopes: tuple[ScopeChoice, ...]
    lifetimes: tuple[Choice, ...]
    least: int
    made: NewToken | None = None


def show_settings(snapshot: Snapshot, principal: Principal) -> SettingsPage:
    """One's own account: roles, tokens, password."""
    return settings_page(snapshot, principal, None)


def settings_page(snapshot: Snapshot, principal: Principal, made: NewToken | None) -> SettingsPage:
    """The context of the settings page, with a token that was made just now."""
    me = service.get_me(snapshot, principal)
    rows = [TokenRow(token=token, state=token_state(token, snapshot.wall())) for token in service.list_tokens(snapshot, principal)]
    return SettingsPage(
        name=principal.name,
        roles=role_words(me.teams, principal),
        has_account=principal.id != LOCAL.id,
        tokens=tuple(row for row in rows if row.state == "active"),
        ended=sum(row.state != "active" for row in rows),
        scopes=SCOPES,
        lifetimes=tuple(Choice(value, label, value == "90d") for value, label in LIFETIMES),
        least=LEAST,
        made=made,
    )


def token_state(token: Token, wall: Instant) -> TokenState:
    """How a token stands at `wall`."""
    if token.revoked_at is not None:
        return "revoked"
    return "active" if wall < token.expires_at else "expired"


def role_words(teams: tuple[Team, ...], principal: Principal) -> tuple[TeamRole, ...]:
    """The caller's roles, that in every team first, each with its team's name."""
    names: dict[TeamId, str] = {team.id: team.name for team in teams} | {EVERY_TEAM: "Every team"}
    ordered = sorted(principal.roles.items(), key=lambda item: (item[0] != EVERY_TEAM, item[0]))
    return tuple(TeamRole(team=names.get(team, team), role=role.value) for team, role in ordered)


def revoke(tx: Transaction, principal: Principal, token: TokenId) -> Done:
    """Revokes one of one's tokens."""
    service.revoke_token(tx, principal, token)
    return Done(SETTINGS, "The token is revoked; the next request with it is refused.")


PAGES: tuple[Page, ...] = (page(SETTINGS, show_settings, "access/settings.html", title="Settings"),)
ACTIONS: tuple[Action, ...] = (action("/settings/tokens/{token}/revoke", revoke),)
