"""Requests off the wire: JSON bodies and query strings as request structs, with the leniency of MLflow's server.

Numbers may come as texts and whole floats as integers; NaN and the infinities as texts or bare words; unknown fields are
passed over. A request struct's fields are optional; those named in `REQUIRED` must hold something.
"""

import functools
import json
import typing
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar
from urllib.parse import parse_qs

import msgspec

from modelyard.tracking.wire.errors import MlflowError, invalid, missing

T = TypeVar("T", bound="Request")
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
LARGEST_BODY = 24 * 2**20
_JSON = b"application/json"


class Request(msgspec.Struct, kw_only=True):
    """A request. `REQUIRED` names the fields that must hold something, in the order in which they are asked for."""

    REQUIRED: ClassVar[tuple[str, ...]] = ()


class RunRequest(Request, kw_only=True):
    """A request about one run, whose id old clients call `run_uuid`."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("run_id",)

    run_id: str | None = None
    run_uuid: str | None = None

    def __post_init__(self) -> None:
        """Takes the old name for the new one."""
        if not self.run_id and self.run_uuid:
            self.run_id = self.run_uuid


class KeyValue(msgspec.Struct):
    """A tag or param on the wire."""

    key: str | None = None
    value: str | None = None


@functools.cache
def _decoder(kind: type[Any]) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind, strict=False)


def decode_body(kind: type[T], body: bytes, path: Mapping[str, str]) -> T:
    """A JSON body as a request, with the names of its path. What is no JSON counts as empty, as MLflow has it. Raises MlflowError."""
    try:
        decoded: T = _decoder(kind).decode(body or b"{}")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return decode_values(kind, {**_lenient(body), **path})
    for name, value in path.items():
        setattr(decoded, name, value)
    return _complete(decoded)


def decode_query(kind: type[T], query: bytes, path: Mapping[str, str]) -> T:
    """A query string as a request, with the names of its path. Raises MlflowError."""
    lists = _list_fields(kind)
    try:
        found = parse_qs(query.decode("ascii"), keep_blank_values=True, max_num_fields=10_000, errors="strict")
    except (ValueError, UnicodeDecodeError) as error:
        raise invalid(f"the query is malformed: {error}") from error
    given = {name: values if name in lists else values[0] for name, values in found.items()}
    return decode_values(kind, {**given, **path})


@functools.cache
def _list_fields(kind: type[Request]) -> frozenset[str]:
    hints = typing.get_type_hints(kind)
    return frozenset(name for name, hint in hints.items() if "tuple" in str(hint) and name != "REQUIRED")


def decode_values(kind: type[T], values: Mapping[str, Any]) -> T:
    """Decoded JSON as a request. Raises MlflowError that names the first parameter that is missing or wrong."""
    try:
        return _complete(msgspec.convert(values, kind, strict=False))
    except (msgspec.ValidationError, RecursionError):
        _explain(kind, values)
    raise invalid("The request could not be read. See the API docs for more information about request parameters.")


def _complete(request: T) -> T:
    for name in request.REQUIRED:
        value = getattr(request, name)
        if value is None or value == "":
            raise missing(name)
    return request


def check_content_type(content_type: bytes | None) -> None:
    """Passes for JSON. Raises MlflowError: a page of another site can send other types without asking."""
    if content_type is None:
        raise invalid("Bad Request. Content-Type header is missing.")
    if content_type.partition(b";")[0].strip() != _JSON:
        raise invalid("Bad Request. Content-Type must be one of ['application/json'].")


def _lenient(body: bytes) -> dict[str, Any]:
    """The body by the standard library, which reads bare NaN; JSON that was encoded twice is decoded twice."""
    try:
        value: Any = json.loads(body)
        if isinstance(value, str):
            value = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _explain(kind: type[Request], values: Mapping[str, Any]) -> None:
    """Raises for the first field that is missing or has another type."""
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for name, hint in fields.items():
        value = values.get(name)
        if name in kind.REQUIRED and value in (None, "") and not (name == "run_id" and values.get("run_uuid")):
            raise missing(name)
        try:
            msgspec.convert(value, hint | None, strict=False)
        except (msgspec.ValidationError, RecursionError) as error:
            raise wrong(name, value) from error


def wrong(name: str, value: Any) -> MlflowError:
    """The error for a parameter of another type, or beyond what it may be."""
    try:
        shown = json.dumps(value, sort_keys=True, separators=(",", ":"))[:1000]
    except (ValueError, RecursionError):
        shown = "..."
    hint = f" Hint: Value was of type '{type(value).__name__}'."
    return invalid(
        f"Invalid value {shown} for parameter '{name}' supplied: {hint} See the API docs for more information about request parameters."
    )
