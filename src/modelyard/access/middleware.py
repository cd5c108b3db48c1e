"""Who makes a request, settled before anything else looks at it: host, origin, credentials, the token's scope.

A bare ASGI app around another. It puts an `Authenticated` or None under `AUTHENTICATED` into the scope's state; which
route asks for which role is said elsewhere, and an app behind it finds nobody rather than a guess.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from modelyard.access.domain import LOCAL, Authenticated, BadOrigin, NotAllowed, NotAuthenticated
from modelyard.access.rules import CSRF_HEADER, SAFE_METHODS, check_path, checked_origin, is_csrf_token, scopes_for
from modelyard.access.service import Proofs, authenticated, note_use
from modelyard.core.errors import HTTP_STATUS, ErrorBody, ModelyardError
from modelyard.storage.database import Database

# Scopes and messages are what ASGI sends, dictionaries that each framework types in its own way.
Scope = Any
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]
RefusalBody = Callable[[ErrorBody], bytes]

AUTHENTICATED = "authenticated"
"""The key in a scope's state under which `Access` leaves what it found."""


def error_json(body: ErrorBody) -> bytes:
    """The one JSON shape of errors."""
    return msgspec.json.encode({"error": body})


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """What `Access` decides with: the hosts it answers to, whether logins are asked for, and where identities are kept.

    `shapes` holds the error bodies of paths that speak another protocol, by their beginning.
    """

    database: Database
    pool: ThreadPoolExecutor
    hosts: frozenset[str]
    asks_login: bool = True
    shapes: tuple[tuple[str, RefusalBody], ...] = ()


class Access:
    """An ASGI app that lets a request through to `app` once host and origin are right, with who makes it in its state.

    A request without credentials goes through as nobody's. A cookie alone never changes anything below `/api`: the
    CSRF token of the session must be in the header `X-Yard-CSRF`.
    """

    def __init__(self, app: AsgiApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate
        self._proofs = Proofs(gate.database.clock)
        self._local = None if gate.asks_login else Authenticated(principal=LOCAL, by="no_login", csrf=secrets.token_hex(32))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            found = await self._found(scope)
        except ModelyardError as error:
            await self._refuse(scope, receive, send, error)
            return
        scope.setdefault("state", {})[AUTHENTICATED] = found
        await self._app(scope, receive, send)

    async def _found(self, scope: Scope) -> Authenticated | None:
        headers = header_texts(scope["headers"])
        # A websocket changes things after its handshake, and browsers open it across sites: it counts as a write.
        method = scope["method"] if scope["type"] == "http" else "POST"
        checked_origin(method, headers, self._gate.hosts)
        check_path(scope["path"])
        found = self._local or await self._authenticated(headers)
        if found is None:
            return None
        is_write = method not in SAFE_METHODS
        is_cookie = found.by == "session" or (found.by == "no_login" and "origin" in headers)
        if is_write and is_cookie and is_api(scope["path"]) and not is_csrf_token(headers.get(CSRF_HEADER, ""), found.csrf):
            raise BadOrigin("a cookie alone changes nothing here", hint=f"send a token, or the page's CSRF token as {CSRF_HEADER}")
        needed = scopes_for(method, scope["path"])
        if not needed & set(found.principal.scopes):
            words = " or ".join(sorted(needed))
            raise NotAllowed(f"this token's scopes do not reach {scope['path'][:100]}", hint=f"it takes a token of the scope {words}")
        return found

    async def _authenticated(self, headers: Mapping[str, str]) -> Authenticated | None:
        if "authorization" not in headers and "cookie" not in headers:
            return None
        token = headers.get("authorization")
        proven = None if token is None else self._proofs.find(token)
        if proven is not None:
            return proven
        changes = self._proofs.count_changes()
        found = await asyncio.get_running_loop().run_in_executor(self._gate.pool, self._read, headers)
        if found is not None:
            note_use(self._gate.database, found)
            if token is not None:
                self._proofs.keep(token, found, changes)
        return found

    def _read(self, headers: Mapping[str, str]) -> Authenticated | None:
        with self._gate.database.read() as snapshot:
            return authenticated(snapshot, headers)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, error: ModelyardError) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": error.code})
            return
        shape = next((body for prefix, body in self._gate.shapes if scope["path"].startswith(prefix)), error_json)
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        if isinstance(error, NotAuthenticated):
            headers.append((b"www-authenticate", b"Bearer"))
        content = shape(error.body())
        headers.append((b"content-length", str(len(content)).encode()))
        await send({"type": "http.response.start", "status": HTTP_STATUS[error.kind], "headers": headers})
        await send({"type": "http.response.body", "body": content if scope.get("method") != "HEAD" else b""})


def is_api(path: str) -> bool:
    """Whether a program's interface lies at `path`, where no form is posted.

    >>> is_api("/api/v1/models"), is_api("/models/late/alias")
    (True, False)
    """
    return path.startswith(("/api/", "/ajax-api/"))


def header_texts(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers by their lower-case name. A second one of a name that decides here makes the request nobody's to answer.

    Raises BadOrigin.
    """
    result: dict[str, str] = {}
    for raw, value in pairs:
        name = raw.decode("latin-1").lower()
        text = value.decode("latin-1")
        if name == "cookie" and name in result:
            result[name] += "; " + text
        elif name in result and name in ("host", "origin", "authorization"):
            raise BadOrigin(f"two headers {name}", hint="send one")
        else:
            result[name] = text
    return result
