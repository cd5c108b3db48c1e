"""What operators see of requests: their ids, Prometheus metrics, OpenTelemetry traces when configured."""

import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry, Counter, Histogram

from modelyard.core.underway import HEADER, REQUEST_ID, request_id_of

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
TRACE_CONTEXT = TraceContextTextMapPropagator()
TRACE_HEADERS = (b"traceparent", b"tracestate")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Message, Receive, Send], Awaitable[None]]


@contextlib.contextmanager
def tracing(endpoint: str, role: str) -> Iterator[None]:
    """Sends traces to `endpoint` (OTLP over HTTP) while the block runs, the last ones at its end; nothing is set up where it is empty."""
    if not endpoint:
        yield
        return
    from modelyard.server.exporting import provider_of  # an HTTP client and a serializer of its own, which most never need

    provider = provider_of(endpoint, role)
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


class Traced:
    """An ASGI app whose every request is a span, in the trace that the caller named, if it did."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._tracer = trace.get_tracer("modelyard")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"] if name in TRACE_HEADERS}
        method, path = str(scope["method"]), _told(scope["path"])
        facts = {"http.request.method": method, "url.path": path}
        parent = TRACE_CONTEXT.extract(given)
        with self._tracer.start_as_current_span(f"{method} {path}", parent, SpanKind.SERVER, facts) as span:

            async def sent(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            await self._app(scope, receive, sent)


class Observed:
    """An ASGI app that gives every request an id, and counts and times it."""

    def __init__(self, app: AsgiApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._log = logging.getLogger("modelyard.requests")
        self._seconds = Histogram("modelyard_request_seconds", "Time to answer.", ["method"], registry=registry, buckets=BUCKETS_S)
        self._answers = Counter("modelyard_requests_total", "Requests answered.", ["method", "status"], registry=registry)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope["headers"])
        token, started, status = REQUEST_ID.set(request_id), time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (HEADER, request_id.encode())]
            await send(message)

        path = _told(scope["path"])
        method = scope["method"] if scope["method"] in ("GET", "POST", "PUT", "PATCH", "DELETE") else "other"
        try:
            await self._app(scope, receive, sent)
        finally:
            took_s = time.perf_counter() - started
            self._seconds.labels(method).observe(took_s)
            self._answers.labels(method, str(status)).inc()
            if status >= 500:
                self._log.error("%s %s answered %s in %.1f ms", method, path, status, took_s * 1000)
            REQUEST_ID.reset(token)


def _told(path: str) -> str:
    """The path as logs and traces have it: a one-time link is a secret."""
    return "/setup/..." if path.startswith("/setup/") else path
