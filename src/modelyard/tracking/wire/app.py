"""MLflow's interface as one bare ASGI app. Finds the route, decodes, has it answered, encodes; sheds what is too much.

The server hands it every request below `PREFIXES`, after its own checks of host and origin.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.errors import ModelyardError
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.tracking import service
from modelyard.tracking.service import Item
from modelyard.tracking.wire import experiments, files, metrics, models, runs
from modelyard.tracking.wire.codec import LARGEST_BODY, Request, check_content_type, decode_body, decode_query
from modelyard.tracking.wire.errors import MlflowError
from modelyard.tracking.wire.http import ClientGone, Message, Receive, Scope, Send, headers_of, read_body, send_error, send_json
from modelyard.tracking.wire.ingest import Ingest
from modelyard.tracking.wire.proxy import ArtifactProxy
from modelyard.tracking.wire.routing import Found, Log, MlflowRoute, Read, Router, Write

PREFIXES = ("/api/2.0/mlflow", "/api/3.0/mlflow", "/ajax-api/2.0/mlflow", "/ajax-api/3.0/mlflow")
"""What the server hands to this app: every path that begins so, the artifact proxy included."""

TEMPLATE = "path_template"
"""The key in a scope under which the app leaves the template of the route, empty where there is none, before it asks who calls."""

Authenticate = Callable[[Scope], Awaitable[Principal]]
"""Who makes a request, by its ASGI scope. Raises NotAuthenticated, and NotAllowed where its route is for others."""

ROUTES: tuple[MlflowRoute, ...] = (*experiments.ROUTES, *runs.ROUTES, *metrics.ROUTES, *models.ROUTES, *files.ROUTES)
"""Tracking's own routes."""

MOST_IN_FLIGHT = 512
READERS = 8
_PROXY = "/mlflow-artifacts/artifacts/"
_MODEL_FILES = "/mlflow/logged-models/"
_CONTENT = (
    ("DELETE", "/api/2.0/mlflow-artifacts/artifacts/{path}"),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts/{path}"),
    ("PUT", "/api/2.0/mlflow-artifacts/artifacts/{path}"),
    ("GET", "/api/2.0/mlflow/get-artifact"),
    ("GET", "/api/2.0/mlflow/logged-models/{model_id}/artifacts/files"),
)
_log = logging.getLogger("modelyard.tracking")


class MlflowApp:
    """The ASGI app. It belongs to one event loop; `close` ends its readers."""

    def __init__(self, database: Database, blobs: Blobs, authenticate: Authenticate, routes: Iterable[MlflowRoute]) -> None:
        self._database = database
        self._authenticate = authenticate
        rows = tuple(routes)
        self._router = Router(rows)
        self.templates = frozenset({*((row.method, row.template) for row in rows), *_CONTENT})
        """The method and template of every route; each also answers below `/ajax-api`."""
        self._pool = ThreadPoolExecutor(READERS, "mlflow-reader")
        self._ingest = Ingest(database)
        self._proxy = ArtifactProxy(database, blobs, self._pool)
        self._in_flight = 0

    def close(self) -> None:
        """Ends the readers; what they are doing is finished."""
        self._pool.shutdown()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        has_started = False

        async def sent(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        self._in_flight += 1
        try:
            if self._in_flight > MOST_IN_FLIGHT:
                raise MlflowError("REQUEST_LIMIT_EXCEEDED", "Too many requests are under way; try again in a moment.")
            await self._answer(scope, receive, sent)
        except ClientGone:
            return
        except Exception as error:
            if has_started:
                # Half an answer is out: only a connection that breaks tells the client that it is not whole.
                raise
            await send_error(send, error if isinstance(error, ModelyardError) else _unforeseen(scope))
        finally:
            self._in_flight -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        found = self._router.find(method, path)
        scope[TEMPLATE] = _content_template(method, path) if found is None else found.route.template
        principal = await self._authenticate(scope)
        if found is None:
            await self._answer_raw(scope, receive, send, principal)
            return
        request = await self._request(found, scope, receive)
        answer = await self._act(found.route, principal, request)
        await send_json(send, answer if isinstance(answer, bytes) else msgspec.json.encode(answer))

    async def _answer_raw(self, scope: Scope, receive: Receive, send: Send, principal: Principal) -> None:
        """Answers a request for the content of an artifact; anything else is no endpoint."""
        below, template = _below(scope["path"]), scope[TEMPLATE]
        if not template:
            raise MlflowError("ENDPOINT_NOT_FOUND", f"No endpoint answers {scope['method']} {scope['path'][:200]}.")
        if template.endswith("{path}"):
            await self._proxy.proxied(scope, receive, send, principal, below.removeprefix(_PROXY))
        else:
            model_id = below.removeprefix(_MODEL_FILES).partition("/")[0] if "{model_id}" in template else None
            await self._proxy.attachment(scope, send, principal, model_id)

    async def _request(self, found: Found, scope: Scope, receive: Receive) -> Request:
        method, query = scope["method"], scope["query_string"]
        if method == "GET" and query:
            return decode_query(found.route.request, query, found.values)
        if method in ("POST", "PUT"):
            check_content_type(headers_of(scope).get(b"content-type"))
        return decode_body(found.route.request, await read_body(receive, LARGEST_BODY), found.values)

    async def _act(self, route: MlflowRoute, principal: Principal, request: Request) -> Any:
        action = route.action
        if isinstance(action, Log):
            await self._ingest.log(Item(principal, action.batch(request)))
            return b"{}"
        if isinstance(action, Read):
            return await self._read(functools.partial(_encoded, action.function, principal, request))
        extra = () if action.prepare is None else (await self._read(functools.partial(_called, action.prepare, principal, request)),)
        return await asyncio.wrap_future(self._database.submit(functools.partial(_written, action, principal, request, extra)))

    async def _read(self, work: Callable[[Snapshot], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._with_snapshot, work)

    def _with_snapshot(self, work: Callable[[Snapshot], Any]) -> Any:
        with self._database.read() as snapshot:
            return work(snapshot)


def _below(path: str) -> str:
    """The path without `/api/2.0`, or whatever stands there."""
    return "/" + path.split("/", 3)[-1]


def _content_template(method: str, path: str) -> str:
    """The template of the route that answers with an artifact's content, or takes it; empty where there is none."""
    below = _below(path)
    if below.startswith(_PROXY):
        template = "/api/2.0/mlflow-artifacts/artifacts/{path}"
    elif below.startswith(_MODEL_FILES) and below.endswith("/artifacts/files"):
        template = "/api/2.0/mlflow/logged-models/{model_id}/artifacts/files"
    else:
        template = f"/api/2.0{below}"
    return template if ("GET" if method == "HEAD" else method, template) in _CONTENT else ""


def _unforeseen(scope: Scope) -> MlflowError:
    """The answer to what nobody foresaw, which is logged and told without its details."""
    _log.exception("a request of MLflow's interface failed: %s %s", scope["method"], scope["path"])
    return MlflowError("INTERNAL_ERROR", "Something failed here, not in your request; the log says what.")


def _called(function: Callable[[Snapshot, Principal, Any], Any], principal: Principal, request: Request, snapshot: Snapshot) -> Any:
    return function(snapshot, principal, request)


def _encoded(function: Callable[[Snapshot, Principal, Any], Any], principal: Principal, request: Request, snapshot: Snapshot) -> bytes:
    return msgspec.json.encode(function(snapshot, principal, request))


def _written(action: Write, principal: Principal, request: Request, extra: tuple[Any, ...], tx: Transaction) -> Any:
    return action.function(tx, principal, request, *extra)


def mlflow_app(database: Database, blobs: Blobs, authenticate: Authenticate, routes: Iterable[MlflowRoute] = ()) -> MlflowApp:
    """The app over a database and a blob store, with tracking's routes and those of other components. Makes experiment 0."""
    database.write(service.ensure_default)
    return MlflowApp(database, blobs, authenticate, (*ROUTES, *routes))
