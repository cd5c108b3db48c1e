"""What operators see: JSON log lines with request and job ids, Prometheus metrics, OpenTelemetry traces when configured."""

import contextvars
import logging
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry, Counter, Histogram

from modelyard.core.clock import iso, wall_now
from modelyard.core.ids import uuid7

REQUEST_ID: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
JOB_ID: contextvars.ContextVar[str] = contextvars.ContextVar("job_id", default="")
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
MOST_ID_LENGTH = 64

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Message, Receive, Send], Awaitable[None]]


class JsonLines(logging.Formatter):
    """One JSON object a line: at, level, role, logger, message, and the ids of the request and the job under way."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        line: dict[str, Any] = {
            "at": iso(wall_now()),
            "level": record.levelname.lower(),
            "role": self._role,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in (("request_id", REQUEST_ID.get()), ("job_id", JOB_ID.get())) if value}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def log_as_json(role: str) -> None:
    """Sends every log line of this process to stderr as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(role))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "alembic", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def start_tracing(endpoint: str, role: str) -> None:
    """Sends traces to `endpoint` (OTLP over HTTP); nothing is set up where it is empty."""
    if not endpoint:
        return
    provider = TracerProvider(resource=Resource.create({"service.name": f"modelyard-{role}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)


class Observed:
    """An ASGI app that gives every request an id, counts and times it, and traces it."""

    def __init__(self, app: AsgiApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._log = logging.getLogger("modelyard.requests")
        self._tracer = trace.get_tracer("modelyard")
        self._seconds = Histogram("modelyard_request_seconds", "Time to answer.", ["method"], registry=registry, buckets=BUCKETS_S)
        self._answers = Counter("modelyard_requests_total", "Requests answered.", ["method", "status"], registry=registry)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
        request_id = given if given.isalnum() and len(given) <= MOST_ID_LENGTH else uuid7().hex
        token, started, status = REQUEST_ID.set(request_id), time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        path = "/setup/..." if scope["path"].startswith("/setup/") else scope["path"]  # a one-time link is a secret
        method = scope["method"] if scope["method"] in ("GET", "POST", "PUT", "PATCH", "DELETE") else "other"
        try:
            with self._tracer.start_as_current_span(f"{method} {path}"):
                await self._app(scope, receive, sent)
        finally:
            took_s = time.perf_counter() - started
            self._seconds.labels(method).observe(took_s)
            self._answers.labels(method, str(status)).inc()
            if status >= 500:
                self._log.error("%s %s answered %s in %.1f ms", method, path, status, took_s * 1000)
            REQUEST_ID.reset(token)
