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
from modelyard.tracking.wire.codec import LARGEST_BODY, Request, check_content_type, check_path, decode_body, decode_query
from modelyard.tracking.wire.content import OPEN, TEMPLATES, ContentApp, answer_open, find_content
from modelyard.tracking.wire.errors import MlflowError
from modelyard.tracking.wire.http import ClientGone, Message, Receive, Scope, Send, headers_of, read_body, send_error, send_json
from modelyard.tracking.wire.ingest import Ingest
from modelyard.tracking.wire.routing import Download, Found, Log, MlflowRoute, Read, Router, Write

PREFIXES = ("/api/2.0/mlflow", "/api/3.0/mlflow", "/ajax-api/2.0/mlflow", "/ajax-api/3.0/mlflow")
"""What the server hands to this app: every path that begins so, the artifact proxy included, and each of `content.PATHS`."""

TEMPLATE = "path_template"
"""The key in a scope under which the app leaves the template of the route, empty where there is none, before it asks who calls."""

Authenticate = Callable[[Scope], Awaitable[Principal]]
"""Who makes a request, by its ASGI scope. Raises NotAuthenticated, and NotAllowed where its route is for others."""

ROUTES: tuple[MlflowRoute, ...] = (*experiments.ROUTES, *runs.ROUTES, *metrics.ROUTES, *models.ROUTES, *files.ROUTES)
"""Tracking's own routes."""

MOST_IN_FLIGHT = 512
READERS = 8
MOVERS = 16
_log = logging.getLogger("modelyard.tracking")


class MlflowApp:
    """The ASGI app. It belongs to one event loop; `close` ends its readers."""

    def __init__(self, database: Database, blobs: Blobs, authenticate: Authenticate, routes: Iterable[MlflowRoute]) -> None:
        self._database = database
        self._authenticate = authenticate
        rows = tuple(routes)
        self._router = Router(rows)
        self.templates = frozenset({*((row.method, row.template) for row in rows), *TEMPLATES})
        """The method and template of every route; each below `/api` also answers below `/ajax-api`."""
        self._pool = ThreadPoolExecutor(READERS, "mlflow-reader")
        # An upload keeps a thread as long as its body takes to come: it must not keep those that answer questions.
        self._movers = ThreadPoolExecutor(MOVERS, "mlflow-mover")
        self._ingest = Ingest(database)
        self._content = ContentApp(database, blobs, self._movers)
        self._in_flight = 0

    def close(self) -> None:
        """Ends the readers; what they are doing is finished."""
        self._pool.shutdown()
        self._movers.shutdown()

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
        content = find_content(method, path) if found is None else None
        scope[TEMPLATE] = found.route.template if found else content.template if content else ""
        if content is not None and content.template in OPEN:
            await answer_open(send, content.template)
            return
        principal = await self._authenticate(scope)
        if found is not None:
            action, request = found.route.action, await self._request(found, scope, receive)
            if isinstance(action, Download):
                await self._content.send_file(scope, send, functools.partial(_called, action.function, principal, request))
                return
            answer = await self._act(action, principal, request)
            await send_json(send, answer if isinstance(answer, bytes) else msgspec.json.encode(answer))
        elif content is not None:
            if not content.template.endswith("{path}"):  # what an artifact's path may hold is looked at with the rest of it
                check_path(content.names)
            await self._content.answer(scope, receive, send, content, principal)
        else:
            raise MlflowError("ENDPOINT_NOT_FOUND", f"No endpoint answers {method} {path[:200]}.")

    async def _request(self, found: Found, scope: Scope, receive: Receive) -> Request:
        check_path(found.values.values())
        method, query = scope["method"], scope["query_string"]
        if method == "GET" and query:
            return decode_query(found.route.request, query, found.values)
        if method in ("POST", "PUT"):
            check_content_type(headers_of(scope).get(b"content-type"))
        return decode_body(found.route.request, await read_body(receive, LARGEST_BODY), found.values)

    async def _act(self, action: Read | Write | Log, principal: Principal, request: Request) -> Any:
        if isinstance(action, Log):
            await self._ingest.log(Item(principal, action.batch(request), action.is_single))
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
