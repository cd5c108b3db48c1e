"""Requests off the wire: JSON bodies and query strings as request structs, with the leniency of MLflow's server.

Numbers may come as texts and whole floats as integers; NaN and the infinities as texts or bare words; names as protobuf's
JSON has them (`runId`); nulls and unknown names are passed over. What a struct does not take as it stands is tidied up first,
so the usual request is decoded in one go. A request struct's fields are optional; those named in `REQUIRED` must hold
something.
"""

import functools
import json
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, TypeVar
from urllib.parse import parse_qs

import msgspec

from modelyard.tracking.wire.errors import MlflowError, invalid, missing

T = TypeVar("T", bound="Request")
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
LARGEST_BODY = 24 * 2**20
_JSON = b"application/json"
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class Request(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
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


class KeyValue(msgspec.Struct, forbid_unknown_fields=True):
    """A tag or param on the wire."""

    key: str | None = None
    value: str | None = None


@functools.cache
def _decoder(kind: type[Any]) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind, strict=False)


def decode_body(kind: type[T], body: bytes, path: Mapping[str, str]) -> T:
    """A JSON body as a request, with the names of its path. What is no JSON counts as empty, as MLflow has it. Raises MlflowError."""
    if b"\\u0000" in body and _NUL.search(body):
        raise invalid("A text of the request holds the character NUL, which no text here may hold.")
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
    if b"%00" in query:
        raise _is_nowhere()
    try:
        found = parse_qs(query.decode("ascii"), keep_blank_values=True, max_num_fields=10_000, errors="strict")
    except (ValueError, UnicodeDecodeError) as error:
        raise invalid(f"the query is malformed: {error}") from error
    known = {field.name for field in _fields(kind)}
    given = {name: values if name in lists else values[0] for name, values in found.items() if name in known}
    return decode_values(kind, {**given, **path})


def _is_nowhere() -> MlflowError:
    """The error for what is looked up by a text with the character NUL: nothing is called so, and PostgreSQL would not even look."""
    return MlflowError("RESOURCE_DOES_NOT_EXIST", "Nothing has a name with the character NUL, which the request holds.")


@functools.cache
def _list_fields(kind: type[Request]) -> frozenset[str]:
    hints = typing.get_type_hints(kind)
    return frozenset(name for name, hint in hints.items() if "tuple" in str(hint) and name != "REQUIRED")


def decode_values(kind: type[T], values: Mapping[str, Any]) -> T:
    """Decoded JSON as a request. Raises MlflowError that names the first parameter that is missing or wrong."""
    tidy = _tidied(kind, values)
    try:
        return _complete(msgspec.convert(tidy, kind, strict=False))
    except (msgspec.ValidationError, RecursionError):
        _explain(kind, tidy, values)
    raise invalid("The request could not be read. See the API docs for more information about request parameters.")


class _Field(typing.NamedTuple):
    name: str
    camel: str
    hint: Any
    nested: type[msgspec.Struct] | None


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> tuple[_Field, ...]:
    """The fields of a struct, as the wire names them, and the struct that each holds or holds a list of."""
    return tuple(
        _Field(
            field.encode_name,
            re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), field.encode_name),
            field.type,
            next((one for one in _types_in(field.type) if isinstance(one, type) and issubclass(one, msgspec.Struct)), None),
        )
        for field in msgspec.structs.fields(kind)
    )


def _types_in(hint: Any) -> Iterator[Any]:
    yield hint
    for inner in typing.get_args(hint):
        yield from _types_in(inner)


def _tidied(kind: type[msgspec.Struct], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the struct knows, under the names of its fields. Raises MlflowError where a field is named two ways."""
    found: dict[str, Any] = {}
    for field in _fields(kind):
        if field.camel != field.name and field.name in values and field.camel in values:
            raise invalid(f"Request specifies both '{field.name}' and '{field.camel}'; provide only one of them.")
        value = values.get(field.name, values.get(field.camel))
        if value is None or (value == "" and float in _types_in(field.hint)):
            continue
        if field.nested is not None:
            value = _tidied_within(field.nested, value)
        found[field.name] = value
    return found


def _tidied_within(kind: type[msgspec.Struct], value: Any) -> Any:
    if isinstance(value, list):
        return [_tidied(kind, one) if isinstance(one, dict) else one for one in value]
    return _tidied(kind, value) if isinstance(value, dict) else value


def _complete(request: T) -> T:
    for name in request.REQUIRED:
        value = getattr(request, name)
        if value is None or value == "":
            raise missing(name)
    return request


def check_path(names: Iterable[str]) -> None:
    """Passes where no name of a path holds the character NUL. Raises MlflowError."""
    if any("\0" in name for name in names):
        raise _is_nowhere()


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
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise invalid("A text of the request is no Unicode: it holds half of a surrogate pair.") from error
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _explain(kind: type[Request], values: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises for the first field that is missing or has another type; `given` are the values before they were tidied up."""
    for name, camel, hint, _ in _fields(kind):
        value = values.get(name)
        if value == "" and int in _types_in(hint) and str not in _types_in(hint):
            raise wrong(name, value)
        if name in kind.REQUIRED and value in (None, "") and not (name == "run_id" and values.get("run_uuid")):
            raise missing(name)
        try:
            msgspec.convert(value, hint | None, strict=False)
        except (msgspec.ValidationError, RecursionError) as error:
            raise wrong(name, given.get(name, given.get(camel))) from error


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
