"""The apps of other protocols beside the control plane's own routes, each below its prefixes. Owns the dispatch and their doors."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import msgspec

from modelyard.access.domain import Authenticated, NotAllowed, NotAuthenticated, Principal, Role
from modelyard.access.middleware import AUTHENTICATED
from modelyard.core.errors import ErrorBody
from modelyard.tracking.wire.errors import MlflowErrorBody

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Mounts:
    """An ASGI app that hands a request to the mounted app whose prefix its path begins with, any other to `app`."""

    def __init__(self, app: AsgiApp, mounted: Sequence[tuple[tuple[str, ...], AsgiApp]]) -> None:
        self._app = app
        self._mounted = tuple(mounted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        path = scope.get("path", "")
        if scope["type"] == "http":
            for prefixes, app in self._mounted:
                if path.startswith(prefixes):
                    await app(scope, receive, send)
                    return
        await self._app(scope, receive, send)


async def authenticated_viewer(scope: Scope) -> Principal:
    """The principal of a request to a mounted app: whoever may read in some team. What may be written, its services check.

    Raises NotAuthenticated and NotAllowed.
    """
    found: Authenticated | None = scope.get("state", {}).get(AUTHENTICATED)
    if found is None:
        raise NotAuthenticated("this needs a login", hint="set MLFLOW_TRACKING_TOKEN to a token: yard token create")
    if not found.principal.may_anywhere(Role.VIEWER):
        raise NotAllowed(f"{found.principal.name} is no viewer in any team", hint="an admin can give the role")
    return found.principal


def mlflow_refusal(body: ErrorBody) -> bytes:
    """What the doors refuse, in the shape that MLflow's clients read."""
    code = "UNAUTHENTICATED" if body.code == "not_authenticated" else "PERMISSION_DENIED"
    return msgspec.json.encode(MlflowErrorBody(code, body.message))
