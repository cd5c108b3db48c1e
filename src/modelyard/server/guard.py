"""Holds every route against the one access table. A route without a rule keeps the server from starting."""

import functools
from collections.abc import Iterable
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.routes import BaseRoute, HTTPRoute

from modelyard.access.domain import Authenticated, NotAllowed, NotAuthenticated, Principal, Role
from modelyard.access.middleware import AUTHENTICATED
from modelyard.core.digests import digest_of
from modelyard.ledger.domain import Reader
from modelyard.server.access_table import PUBLIC, TABLE, Least
from modelyard.server.gateway_rules import check_same

Connection = ASGIConnection[Any, Any, Any, Any]


def found_of(connection: Connection) -> Authenticated | None:
    """Who makes the request, as the access middleware left it."""
    found: Authenticated | None = connection.scope["state"].get(AUTHENTICATED)
    return found


def principal_of(connection: Connection) -> Principal:
    """The principal of the request. Raises NotAuthenticated where there is none."""
    found = found_of(connection)
    if found is None:
        raise NotAuthenticated("this needs a login", hint="log in, or send a token as Authorization: Bearer")
    return found.principal


def request_values(request: Request[Any, Any, Any]) -> dict[type, Any]:
    """What is injected for one request alone: its principal, where it has one."""
    found = found_of(request)
    return {} if found is None else {Principal: found.principal, Authenticated: found, Reader: Reader(found.principal.teams)}


def caller_of(request: Request[Any, Any, Any]) -> str:
    """The caller under these rights, empty where nobody is logged in: after they change, a key is a new one."""
    found = found_of(request)
    if found is None:
        return ""
    return f"{found.principal.id} {digest_of([found.principal.roles, found.principal.scopes])}"


def teams_of(request: Request[Any, Any, Any]) -> tuple[str, ...] | None:
    """The teams whose objects the caller sees; None for every team's."""
    found = found_of(request)
    return () if found is None else found.principal.teams


async def guard(connection: Connection, handler: BaseRouteHandler) -> None:
    """Refuses whoever lacks the role that the table asks for. Objects of other teams are refused inside the services.

    It waits for nothing; Litestar would carry a plain function to a thread and back at every request.
    """
    least = least_of(str(connection.scope.get("method", "GET")), connection.scope["path_template"])
    if least == PUBLIC:
        return
    require_anywhere(principal_of(connection), least)


def require_anywhere(principal: Principal, least: Role) -> None:
    """Raises NotAllowed unless `principal` has the role in some team."""
    if not principal.may_anywhere(least):
        raise NotAllowed(f"{principal.name} is no {least} in any team", hint="an admin can give the role")


def least_of(method: str, template: str) -> Least:
    """The least role for a route. Raises KeyError for one that the table does not know."""
    method = "GET" if method == "HEAD" else method
    return TABLE[f"{method} {plain(template)}"]


@functools.cache
def plain(template: str) -> str:
    """A path template without types, put together once for each of the routes'.

    >>> plain("/models/{model:str}")
    '/models/{model}'
    """
    return "/".join(part.partition(":")[0] + "}" if part.startswith("{") and ":" in part else part for part in template.split("/"))


def check_rules(routes: Iterable[BaseRoute], mounted: Iterable[tuple[str, str]]) -> None:
    """Raises TypeError where a route has no rule in the table, or a rule no route; `mounted` apps name method and template of theirs."""
    own = {
        (method, plain(route.path_format))
        for route in routes
        if isinstance(route, HTTPRoute)
        for method in route.methods
        if method not in ("HEAD", "OPTIONS")
    }
    check_same({" ".join(route) for route in (*own, *mounted)}, TABLE)
