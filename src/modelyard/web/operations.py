"""An operation: one service function, said once, reached by one route. Routes, OpenAPI and the client follow from it.

Owns the mapping between a signature and the wire. Owns no route of its own and decides nothing about access.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from modelyard.core.errors import InvalidInput
from modelyard.web.binding import Binding, bound, converted

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
API = "/api/v1"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A service function and the route that reaches it, below `/api/v1`. An answer that is a secret is kept nowhere."""

    method: Method
    path: str
    function: Callable[..., Any]
    name: str
    answers_secret: bool = False


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """An operation that takes or answers a file instead of JSON: its handler is written by hand, what it is stands here.

    `takes` and `answers` are media types, empty for no body; `query` holds the parameters that must be given, with what
    each is. The path is below `/api/v1`; the first line of `about` is the summary.
    """

    method: Method
    path: str
    name: str
    component: str
    about: str
    answers: str
    takes: str = ""
    query: Mapping[str, str] = {}


class BoundOperation(msgspec.Struct, frozen=True, kw_only=True):
    """An operation whose parameters have their places. `body` is the type that the request's JSON must have, if any."""

    operation: Operation
    binding: Binding
    body: type[msgspec.Struct] | None
    is_whole_body: bool


def operation(method: Method, path: str, function: Callable[..., Any], *, name: str = "", answers_secret: bool = False) -> Operation:
    """The operation that calls `function`; its name, also that of the client's method, is the function's unless given."""
    return Operation(method=method, path=path, function=function, name=name or function.__name__, answers_secret=answers_secret)


def bind(item: Operation, injectable: frozenset[type]) -> BoundOperation:
    """`item` with its parameters in their places.

    Parameters of an injectable type are injected, those named in the path come from it. The rest are query parameters
    of GET and DELETE, and fields of a JSON body otherwise; a single rest named `body` is the whole body.
    """
    binding = bound(item.function, item.path, injectable)
    if item.method in ("GET", "DELETE") or not binding.wire:
        return BoundOperation(operation=item, binding=binding, body=None, is_whole_body=False)
    if list(binding.wire) == ["body"]:
        return BoundOperation(operation=item, binding=binding, body=binding.hints["body"], is_whole_body=True)
    return BoundOperation(operation=item, binding=binding, body=_body_type(item, binding), is_whole_body=False)


def _body_type(item: Operation, binding: Binding) -> type[msgspec.Struct]:
    fields: list[Any] = []
    for name, parameter in binding.wire.items():
        if parameter.default is inspect.Parameter.empty:
            fields.append((name, binding.hints[name]))
        else:
            fields.append((name, binding.hints[name], parameter.default))
    words = "".join(part.capitalize() for part in item.name.split("_"))
    return msgspec.defstruct(f"{words}Body", fields, kw_only=True, forbid_unknown_fields=True)


def arguments(item: BoundOperation, path: Mapping[str, str], query: Mapping[str, Any], content: bytes) -> dict[str, Any]:
    """The wire's arguments, decoded and checked. Raises InvalidInput that says which one is wrong and why."""
    binding = item.binding
    given = converted(path, binding.path, "path")
    if item.body is None:
        unknown = [name for name in query if name not in binding.wire]
        if unknown:
            raise InvalidInput(f"unknown query parameter {unknown[0]!r}", hint=f"known: {', '.join(binding.wire) or 'none'}")
        given |= converted(query, {name: binding.hints[name] for name in binding.wire}, "query")
        missing = [name for name, one in binding.wire.items() if name not in query and one.default is inspect.Parameter.empty]
        if missing:
            raise InvalidInput(f"the query parameter {missing[0]!r} is missing", hint="see /docs for what the operation takes")
        return given
    try:
        decoded = msgspec.json.decode(content or b"{}", type=item.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"the body of {item.operation.method} {item.operation.path}: {error}", hint="see /docs for its fields"
        ) from error
    if item.is_whole_body:
        return given | {"body": decoded}
    return given | {name: getattr(decoded, name) for name in binding.wire}
