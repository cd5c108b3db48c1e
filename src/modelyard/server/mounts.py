"""The apps of other protocols beside the control plane's own routes, each below its prefixes. Owns the dispatch and their doors."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import msgspec

from modelyard.access.domain import Authenticated, NotAuthenticated, Principal, Role
from modelyard.access.middleware import AUTHENTICATED
from modelyard.core.errors import ErrorBody
from modelyard.server.access_table import PUBLIC
from modelyard.server.guard import least_of, require_anywhere
from modelyard.tracking.wire.app import TEMPLATE
from modelyard.tracking.wire.errors import MlflowErrorBody

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Mounts:
    """An ASGI app that hands a request to the mounted app of its path: one of the app's own, or below one of its prefixes."""

    def __init__(self, app: AsgiApp, mounted: Sequence[tuple[tuple[str, ...], tuple[str, ...], AsgiApp]]) -> None:
        self._app = app
        self._mounted = tuple(mounted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        path = scope.get("path", "")
        if scope["type"] == "http":
            for prefixes, paths, app in self._mounted:
                if path.startswith(prefixes) or path in paths:
                    await app(scope, receive, send)
                    return
        await self._app(scope, receive, send)


async def authenticated_caller(scope: Scope) -> Principal:
    """The principal of a request to MLflow's interface, by the table's rule for its route; what is no route, a viewer learns.

    Raises NotAuthenticated and NotAllowed. Objects of other teams are refused inside the services.
    """
    found: Authenticated | None = scope.get("state", {}).get(AUTHENTICATED)
    if found is None:
        raise NotAuthenticated("this needs a login", hint="set MLFLOW_TRACKING_TOKEN to a token: yard token create")
    least = least_of(scope["method"], scope[TEMPLATE]) if scope[TEMPLATE] else Role.VIEWER
    if least != PUBLIC:
        require_anywhere(found.principal, least)
    return found.principal


def mlflow_refusal(body: ErrorBody) -> bytes:
    """What the doors refuse, in the shape that MLflow's clients read."""
    code = {"not_authenticated": "UNAUTHENTICATED", "not_found": "ENDPOINT_NOT_FOUND"}.get(body.code, "PERMISSION_DENIED")
    return msgspec.json.encode(MlflowErrorBody(code, body.message))
