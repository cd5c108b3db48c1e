"""`yard login` and `yard logout`: a token for a server, kept in the user's configuration folder, readable by the user alone."""

import contextlib
import getpass
import socket
import sys
from typing import Annotated

import msgspec
from cyclopts import Parameter

from modelyard.access.domain import Me, TokenId
from modelyard.access.rules import parsed_token
from modelyard.cli.connection import put_logins, server_url
from modelyard.cli.output import Json, console, plain, print_json, tell
from modelyard.core.errors import InvalidInput, ModelyardError
from modelyard.sdk.client import Client
from modelyard.sdk.places import read_logins, same_url

Url = Annotated[str, Parameter(help="The server; the one that commands talk to now, unless given.")]


class LoggedIn(msgspec.Struct, frozen=True, kw_only=True):
    """What `yard login --json` prints: never the token."""

    url: str
    name: str
    roles: dict[str, str]
    file: str


class LoggedOut(msgspec.Struct, frozen=True, kw_only=True):
    """What `yard logout --json` prints; whether the token was revoked on the server too."""

    url: str
    revoked: bool


def login(
    url: Url = "",
    /,
    *,
    name: Annotated[str, Parameter(help="Log in by password, as this account; else a token is asked for.")] = "",
    expires: Annotated[str, Parameter(help="How long the token that a password login makes holds.")] = "90d",
    json: Json = False,
) -> int:
    """Logs in to a server: asks for a token, or with --name for a password, without showing what is typed.

    Where standard input is no terminal, its first line is taken. MODELYARD_TOKEN, where set, wins over a login.

    Example: yard login https://yard.example.com --name ada
    """
    where = same_url(url or server_url())
    if name:
        with Client(where) as client:
            token = client.log_in(name, _asked(f"Password of {name} at {where}: "), f"yard on {socket.gethostname()}"[:120], expires)
    else:
        token = _asked(f"Token for {where} (yard token create, or the page {where}/settings): ")
    if parsed_token(token) is None:
        raise InvalidInput("that is no token", hint="it looks like yard_0123456789ab_ and 48 more characters")
    with Client(where, token) as client:
        me = client.get_me()
    logins = read_logins()
    path = put_logins(msgspec.structs.replace(logins, last=where, tokens={**logins.tokens, where: token}))
    done = LoggedIn(
        url=where, name=me.principal.name, roles={str(team): role.value for team, role in me.principal.roles.items()}, file=str(path)
    )
    if json:
        print_json(done)
    else:
        console().print(f"[green]{plain(done.name)}[/] is logged in to {where}: {_roles(me)}")
        tell(f"The token is in {path}, readable by you alone. yard logout takes it away.")
    return 0


def logout(url: Url = "", /, *, json: Json = False) -> int:
    """Forgets the login to a server, and revokes its token there if the server answers.

    Example: yard logout https://yard.example.com
    """
    logins = read_logins()
    where = same_url(url or (logins.last or server_url()))
    token = logins.tokens.get(where, "")
    if not token:
        raise InvalidInput(f"there is no login to {where}", hint=f"known: {', '.join(logins.tokens) or 'none'}")
    put_logins(msgspec.structs.replace(logins, last="" if logins.last == where else logins.last, tokens=_without(logins.tokens, where)))
    revoked, parsed = False, parsed_token(token)
    if parsed is not None:
        with contextlib.suppress(ModelyardError), Client(where, token) as client:
            client.revoke_token(TokenId(parsed[0]))
            revoked = True
    if json:
        print_json(LoggedOut(url=where, revoked=revoked))
    else:
        console().print(f"Logged out of {where}{'' if revoked else '; its token could not be revoked there and holds until it expires'}")
    return 0


def _asked(prompt: str) -> str:
    """What is typed without being shown; the first line of standard input where that is no terminal."""
    given = getpass.getpass(prompt, sys.stderr) if sys.stdin.isatty() else sys.stdin.readline()
    if not given.strip():
        raise InvalidInput("nothing was given", hint="type it, or pipe it in")
    return given.strip("\r\n")


def _without(tokens: dict[str, str], where: str) -> dict[str, str]:
    return {url: token for url, token in tokens.items() if url != where}


def _roles(me: Me) -> str:
    return ", ".join(f"{role} in {'every team' if team == '*' else team}" for team, role in sorted(me.principal.roles.items()))
