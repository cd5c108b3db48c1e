"""Operations as Litestar routes, and errors in the one JSON shape. Owns encoding; access is checked before it is reached."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from litestar import Request, Response, route
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from modelyard.core.errors import HTTP_STATUS, ErrorBody, ModelyardError
from modelyard.web.binding import Resources, called, path_names
from modelyard.web.idempotency import REPLAYED, Answer, Caller, attempt_of, once
from modelyard.web.operations import API, BoundOperation, Transfer, arguments

JSON = "application/json"
_CODES = {400: "invalid_input", 401: "unauthenticated", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}
_WORDS = {404: "no page and no operation has this address", 405: "this address does not take this method"}

RequestValues = Callable[[Request[Any, Any, Any]], Mapping[type, Any]]
"""What is injected for one request alone, by type: its principal."""


def litestar_path(path: str) -> str:
    """`path` in Litestar's form, in which a parameter names its type.

    >>> litestar_path("/models/{model}")
    '/models/{model:str}'
    """
    for name in path_names(path):
        path = path.replace("{" + name + "}", "{" + name + ":str}")
    return path


def nobody(request: Request[Any, Any, Any]) -> str:
    """The caller where nobody is known."""
    return ""


def operation_handler(
    item: BoundOperation, resources: Resources, request_values: RequestValues, caller: Caller = nobody
) -> HTTPRouteHandler:
    """The route that reaches `item`: decodes, calls, encodes; once under an `Idempotency-Key`."""

    async def answered(request: Request[Any, Any, Any]) -> Response[bytes]:
        content = await request.body() if item.body is not None else b""
        query = {name: values if len(values) > 1 else values[0] for name, values in request.query_params.dict().items()}
        given = arguments(item, request.path_params, query, content)
        attempt = attempt_of(item, request, content, caller)
        binding = item.binding if attempt is None else once(item.binding, resources.database, attempt)
        result = await called(binding, resources, request_values(request), given)
        if isinstance(result, Answer):
            headers = {REPLAYED: "true"} if result.is_replayed else {}
            return Response(result.content, media_type=JSON, status_code=200 if result.content else 204, headers=headers)
        if result is None:
            return Response(b"", status_code=204)
        return Response(msgspec.json.encode(result), media_type=JSON)

    return route(
        litestar_path(API + item.operation.path),
        http_method=[item.operation.method],
        name=f"operation.{item.operation.name}",
        include_in_schema=False,
        status_code=200,
    )(answered)


def transfer_handler(item: Transfer, answered: Callable[[Request[Any, Any, Any]], Awaitable[Response[Any]]]) -> HTTPRouteHandler:
    """The route at which `answered` does what `item` says."""

    async def transferred(request: Request[Any, Any, Any]) -> Response[Any]:
        return await answered(request)

    return route(
        litestar_path(API + item.path), http_method=[item.method], name=f"transfer.{item.name}", include_in_schema=False, status_code=200
    )(transferred)


def error_response(body: ErrorBody, status: int, retry_after_s: int = 1) -> Response[bytes]:
    """The one JSON shape of errors, with Retry-After where another try makes sense."""
    headers = {"Retry-After": str(retry_after_s)} if status in (429, 503) else {}
    return Response(msgspec.json.encode({"error": body}), status_code=status, media_type=JSON, headers=headers)


def described(error: Exception) -> tuple[ErrorBody, int]:
    """The body and status that `error` is answered with. What nobody foresaw is logged and told without its details."""
    if isinstance(error, ModelyardError):
        return error.body(), HTTP_STATUS[error.kind]
    if isinstance(error, HTTPException):
        status = error.status_code
        return ErrorBody(
            code=_CODES.get(status, f"http_{status}"), message=_WORDS.get(status, str(error.detail)), hint="see /docs for the routes"
        ), status
    logging.getLogger("modelyard.web").error("a request failed", exc_info=error)
    return ErrorBody(
        code="internal_error", message="something failed here, not in your request", hint="the log names the request's id"
    ), 500
