"""The gateway as a bare ASGI app: routes, who may, places under way, and errors in the shape of each path.

Owns the way of a request through the gateway; every step of it stands in a module of its own.
"""

import gc
import logging
import time
from collections.abc import Awaitable, Callable

from modelyard.core.errors import ModelyardError, NotFound
from modelyard.core.names import nearest
from modelyard.core.processes import spare_start_up
from modelyard.core.underway import REQUEST_ID, request_id_of
from modelyard.serving.domain import NoSuchEndpoint
from modelyard.serving.gateway import extras, mlflow, v2
from modelyard.serving.gateway.clock import AT
from modelyard.serving.gateway.guard import Caller, Gate
from modelyard.serving.gateway.handler import Answer, Handler
from modelyard.serving.gateway.meters import CONTENT_TYPE
from modelyard.serving.gateway.plain import reply_of
from modelyard.serving.gateway.routes import FIRST_WORDS, PUBLIC, template_of
from modelyard.serving.gateway.rows import Asked
from modelyard.serving.gateway.shadows import ShadowQueue
from modelyard.serving.gateway.station import Station
from modelyard.serving.gateway.wire import (
    ClientGone,
    Headers,
    Incoming,
    InternalError,
    Message,
    MethodNotAllowed,
    Receive,
    Reply,
    Send,
    body_of,
    error_reply,
    json_reply,
    send_reply,
)
from modelyard.web.bounds import WHOLE_BODY

GC_THRESHOLDS = (20_000, 50, 100)

Decode = Callable[[bytes, Headers, Handler], tuple[Asked, Callable[[Answer], Reply]]]
Posted = Callable[[list[str], Caller, Incoming], Awaitable[Reply]]


class App:
    """One gateway. `station` and `shadows` run from the first to the last lifespan event."""

    def __init__(self, station: Station, shadows: ShadowQueue, *, places: int) -> None:
        self._station = station
        self._shadows = shadows
        self._live = station.parts.shelf.live
        self._guard = station.parts.guard
        self._meters = station.parts.meters
        self._clock = station.parts.clock
        self._gate = Gate(places)
        self._posts: dict[str | None, Posted] = {
            "/predict/{model}": self._predict,
            "/invocations/{model}": self._invoke,
            "/v2/models/{model}/infer": self._infer,
            "/v2/models/{model}/versions/{version}/infer": self._infer,
            "/features/{set}": self._features,
            "/labels/{model}": self._labels,
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "lifespan":
            await self._live_until_stopped(receive, send)
            return
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        request_id = request_id_of(scope["headers"])
        REQUEST_ID.set(request_id)  # in the request's own task, so nothing is left to be put back
        try:
            reply = await self._reply(scope, path, receive)
        except ClientGone:
            return
        except ModelyardError as error:
            reply = error_reply(error, path)
            if reply.status in (429, 503):
                self._station.shed += 1
                self._meters.shed.labels(str(reply.status)).inc()
        except Exception:  # the request boundary
            logging.getLogger("modelyard.serving").exception("%s %s failed", scope["method"], path)
            hint = f"the gateway's log names the request {request_id}"
            reply = error_reply(InternalError("something failed here, not in your request", hint=hint), path)
        word = path.strip("/").partition("/")[0]
        self._meters.answered(word if word in FIRST_WORDS and reply.status != 404 else "unknown", reply.status).inc()
        await send_reply(send, reply, request_id)

    async def _live_until_stopped(self, receive: Receive, send: Send) -> None:
        await receive()
        self._shadows.start()
        await self._station.start()
        spare_start_up()
        gc.set_threshold(*GC_THRESHOLDS)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._shadows.stop()
        await self._station.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _reply(self, scope: Message, path: str, receive: Receive) -> Reply:
        method: str = scope["method"]
        if path in PUBLIC:
            return self._health(path)
        headers: Headers = dict(scope["headers"])
        self._guard.check_host(headers)
        caller = self._guard.caller(headers)
        parts = path.split("/")[1:]
        if method == "GET":
            return self._read(parts, caller)
        route = self._posts.get(template_of("POST", parts))
        if route is None:
            raise NotFound(f"there is no {path[:80]!r} here", hint="POST /predict/{model}; docs/serving.md lists the routes")
        if method != "POST":
            raise MethodNotAllowed(f"{method} is not for {path[:80]!r}", hint="use POST")
        self._gate.enter(caller.principal)
        try:
            return await route(parts, caller, Incoming(headers, receive, WHOLE_BODY in scope.get("extensions", ())))
        finally:
            self._gate.leave(caller.principal)

    def _handler(self, model: str, caller: Caller) -> Handler:
        handler = self._live.get(model)
        if handler is None or not caller.may_use(handler.revision.team_id):
            known = [name for name, one in self._live.items() if caller.may_use(one.revision.team_id)]
            raise NoSuchEndpoint(f"no model {model[:80]!r} is served here", hint=nearest(model, known))
        return handler

    async def _answered(self, handler: Handler, request: Incoming, decode: Decode, version: int | None = None) -> Reply:
        started = time.perf_counter()
        content = await body_of(request)
        now = self._clock.asked_at(request.headers.get(AT))
        asked, encode = decode(content, request.headers, handler)
        answer = await handler.answer(asked, now, version)
        meter = self._meters.of(answer.model, answer.version)
        meter.requests.inc()
        meter.predictions.inc(asked.rows)
        if answer.reasons is not None:
            meter.fallbacks.inc(asked.rows - answer.reasons.count(None))
        reply = encode(answer)
        meter.seconds.observe(time.perf_counter() - started)
        self._station.requests += 1
        return reply

    async def _predict(self, parts: list[str], caller: Caller, request: Incoming) -> Reply:
        return await self._answered(self._handler(parts[1], caller), request, _plain)

    async def _invoke(self, parts: list[str], caller: Caller, request: Incoming) -> Reply:
        return await self._answered(self._handler(parts[1], caller), request, _invocation)

    async def _infer(self, parts: list[str], caller: Caller, request: Incoming) -> Reply:
        handler = self._handler(parts[2], caller)
        return await self._answered(handler, request, _inference, _version(parts) if len(parts) == 6 else None)

    async def _features(self, parts: list[str], caller: Caller, request: Incoming) -> Reply:
        content = await body_of(request)
        mine = (handler for handler in self._live.values() if caller.may_use(handler.revision.team_id))
        served = extras.find_set(mine, parts[1], caller)
        return served.reply(content, self._clock.asked_at(request.headers.get(AT)))

    async def _labels(self, parts: list[str], caller: Caller, request: Incoming) -> Reply:
        handler = self._handler(parts[1], caller)
        content = await body_of(request)
        frame = extras.label_frame(handler, content, self._clock.asked_at(request.headers.get(AT)), self._clock.wall())
        reply = await extras.log_labels(self._station.parts.log, frame)
        self._meters.labels.labels(parts[1]).inc(len(frame.values))
        return reply

    def _read(self, parts: list[str], caller: Caller) -> Reply:
        template = template_of("GET", parts)
        if template == "/metrics":
            return Reply(200, self._metrics(), CONTENT_TYPE)
        if template == "/v2":
            return v2.server_metadata()
        if template is not None:
            handler = self._handler(parts[2], caller)
            version = handler.champion.version
            if "{version}" in template:
                number = _version(parts)
                extras.check_answering(handler, number)
                version = handler.loaded[number].version
            is_ready = parts[-1] == "ready"
            return json_reply({"name": handler.revision.model, "ready": True}) if is_ready else v2.model_metadata(handler, version)
        if template_of("POST", parts):
            raise MethodNotAllowed(f"GET is not for '/{'/'.join(parts)[:80]}'", hint="use POST")
        raise NotFound(f"there is no '/{'/'.join(parts)[:80]}' here", hint="docs/serving.md lists the routes")

    def _health(self, path: str) -> Reply:
        if path in ("/healthz", "/v2/health/live"):
            return json_reply({"live": True})
        log = self._station.parts.log
        is_ready = self._station.is_ready and not log.failed
        age_s = self._station.control_age_s()
        return json_reply({"ready": is_ready, "control_plane_age_s": age_s}, 200 if is_ready else 503)

    def _metrics(self) -> bytes:
        meters, parts, wall = self._meters, self._station.parts, self._clock.wall()
        meters.in_flight.set(self._gate.taken)
        meters.log_waiting.set(parts.log.waiting_bytes)
        meters.log_syncs.set(parts.log.syncs)
        meters.control_age.set(self._station.control_age_s() or 0.0)
        for model, handler in self._live.items():
            meters.revision.labels(model).set(handler.revision.number)
            meters.revision_age.labels(model).set((wall - parts.shelf.active_at(handler)) / 1e6)
        return meters.text()


def _plain(content: bytes, headers: Headers, handler: Handler) -> tuple[Asked, Callable[[Answer], Reply]]:
    return handler.form.decoded(content), reply_of


def _invocation(content: bytes, headers: Headers, handler: Handler) -> tuple[Asked, Callable[[Answer], Reply]]:
    return mlflow.asked_of(content, handler.form), mlflow.reply_of


def _inference(content: bytes, headers: Headers, handler: Handler) -> tuple[Asked, Callable[[Answer], Reply]]:
    inference = v2.inference_of(content, headers, handler.form)
    return inference.asked, lambda answer: v2.reply_of(answer, inference)


def _version(parts: list[str]) -> int:
    text = parts[4] if len(parts) > 4 else ""
    if not text.isdecimal() or len(text) > 9:
        raise NotFound(f"{text[:20]!r} is no version", hint="versions are numbers, such as /v2/models/late_arrival/versions/3")
    return int(text)
