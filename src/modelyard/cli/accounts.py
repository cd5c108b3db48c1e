"""`yard token` and `yard user`: who may come in. A secret is printed once, alone, and nowhere else."""

import sys
from typing import Annotated

import msgspec
from cyclopts import Parameter

from modelyard.access.domain import Invitation, Role, Scope, TeamId, Token, TokenId, TokenOrder, User
from modelyard.cli.connection import connected
from modelyard.cli.output import Json, console, plain, print_json, print_table, tell, when
from modelyard.core.clock import Instant, wall_now

Scopes = Annotated[
    tuple[Scope, ...], Parameter(negative="", show_default=False, help="What it may be used for, read unless given; again for more.")
]


class Invited(msgspec.Struct, frozen=True, kw_only=True):
    """What `yard user add --json` prints: the account, and the one showing of the link under which it chooses a password."""

    name: str
    user: str
    link: str
    expires_at: Instant


def create_token(
    name: str,
    /,
    *,
    scope: Scopes = (Scope.READ,),
    expires: Annotated[str, Parameter(help="How long it holds, at most 366d.")] = "90d",
    account: Annotated[str, Parameter(help="A service account that you administer; your own, unless given.")] = "",
    json: Json = False,
) -> int:
    """Makes a token and prints it, this once: only its hash is kept.

    The token stands alone on standard output.

    Example: yard token create ci --scope deploy --scope tracking --expires 30d
    """
    with connected() as client:
        made = client.create_token(TokenOrder(name=name, scopes=scope, expires_in=expires, owner=account))
    if json:
        print_json(made)
        return 0
    sys.stdout.write(made.secret + "\n")
    token, scopes = made.token, ", ".join(made.token.scopes)
    tell(f"{token.name} ({token.id}) of {token.owner_name}: {scopes}, until {when(token.expires_at)} UTC. It is not shown again.")
    return 0


def list_tokens(*, account: Annotated[str, Parameter(help="Whose, if not your own.")] = "", json: Json = False) -> int:
    """Your tokens, or those of an account that you administer; never their secrets.

    Example: yard token list
    """
    with connected() as client:
        tokens = client.list_tokens(user=account)
    if json:
        print_json(tokens)
    elif tokens:
        rows = [(one.id, plain(one.name), ", ".join(one.scopes), when(one.last_used_at) or "never", _until(one)) for one in tokens]
        print_table("Tokens", ("id!", "name", "scopes", "last used (UTC)", "holds until"), rows)
    else:
        console().print("There is no token. yard token create NAME makes one.", style="dim")
    return 0


def revoke_token(token: str, /, *, json: Json = False) -> int:
    """Revokes a token at once, by its id. A gateway that is cut off takes it for ten minutes more at most.

    Example: yard token revoke 3f2a90b1c4de
    """
    with connected() as client:
        client.revoke_token(TokenId(token))
    if json:
        print_json({"revoked": token})
    else:
        console().print(f"{plain(token)} is revoked")
    return 0


def add_user(
    name: str,
    /,
    *,
    role: Annotated[Role, Parameter(help="What the account may do in the team.")] = Role.CONTRIBUTOR,
    team: Annotated[str, Parameter(help="The team; * is every team.")] = "default",
    service: Annotated[
        bool, Parameter(negative="", show_default=False, help="An account for a program: it has tokens and no password.")
    ] = False,
    json: Json = False,
) -> int:
    """Makes an account and prints the one-time link under which its owner chooses a password.

    It takes an admin: yard login --name admin

    Example: yard user add ada --role approver --team ops
    """
    with connected() as client:
        if service:
            return _told(client.create_service_account(name, TeamId(team), role), json=json)
        made = client.invite_user(name, TeamId(team), role)
        invited = _invited(made, client.url)
    if json:
        print_json(invited)
        return 0
    sys.stdout.write(invited.link + "\n")
    tell(f"{name} is {role} in {team} and chooses a password there, until {when(invited.expires_at)} UTC. The link is not shown again.")
    return 0


def list_users(*, json: Json = False) -> int:
    """The accounts of the teams that you administer or audit.

    Example: yard user list
    """
    found: list[User] = []
    with connected() as client:
        while page := client.list_users(after=found[-1].name if found else ""):
            found += page
    if json:
        print_json(found)
    else:
        rows = [(plain(one.name), one.kind, _roles(one), _state(one), when(one.created_at), one.id) for one in found]
        print_table("Accounts", ("name", "kind", "roles", "state", "since (UTC)", "id!"), rows)
    return 0


def _told(user: User, *, json: bool) -> int:
    if json:
        print_json(user)
    else:
        name = plain(user.name)
        console().print(f"{name} is a service account: {_roles(user)}. yard token create NAME --account {name} gives it a token.")
    return 0


def _invited(made: Invitation, url: str) -> Invited:
    return Invited(name=made.name, user=made.user, link=url + made.path, expires_at=made.expires_at)


def _until(token: Token) -> str:
    if token.revoked_at is not None:
        return "[red]revoked[/]"
    return "[dim]expired[/]" if token.expires_at <= wall_now() else when(token.expires_at)


def _roles(user: User) -> str:
    return ", ".join(f"{role} in {'every team' if team == '*' else team}" for team, role in sorted(user.roles.items()))


def _state(user: User) -> str:
    if not user.is_active:
        return "[red]disabled[/]"
    return "[green]active[/]" if user.has_password or user.kind == "service" else "[yellow]invited[/]"
