"""Content digests and canonical JSON. Equal digests mean equal content; a table's digest is in `storage.rows`."""

import hashlib
import math
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, NewType

import msgspec

from modelyard.core.errors import InvalidInput

Digest = NewType("Digest", str)
"""`sha256:` and 64 hexadecimal digits."""

SAFE_INTEGER = 2**53 - 1


class TooDeep(InvalidInput):
    """A value that lies within so many others that it has no canonical form."""


def digest_bytes(content: bytes) -> Digest:
    """The digest of `content`.

    >>> digest_bytes(b"")[:14]
    'sha256:e3b0c44'
    """
    return Digest("sha256:" + hashlib.sha256(content).hexdigest())


def digest_chunks(chunks: Iterable[bytes]) -> Digest:
    """The digest of the chunks, one after the other."""
    running = hashlib.sha256()
    for chunk in chunks:
        running.update(chunk)
    return Digest("sha256:" + running.hexdigest())


def digest_file(path: Path) -> Digest:
    """The digest of a file's content."""
    with path.open("rb") as stream:
        return Digest("sha256:" + hashlib.file_digest(stream, "sha256").hexdigest())


def digest_of(value: Any) -> Digest:
    """The digest of a value's canonical JSON. Frozen structs count as their wire form."""
    return digest_bytes(canonical_json(msgspec.to_builtins(value)))


def canonical_json(value: Any) -> bytes:
    """`value` as JSON by RFC 8785: keys sorted by UTF-16 code units, shortest numbers, no spaces, UTF-8.

    Raises InvalidInput for NaN, infinities, integers beyond 2**53 - 1 and keys that are no strings, TooDeep for values within
    some hundred others.

    >>> canonical_json({"b": 1.0, "a": "é"})
    b'{"a":"\\xc3\\xa9","b":1}'
    """
    try:
        return _canonical(value).encode("utf-8")
    except RecursionError:
        raise TooDeep("a value lies too deep within others", hint="make it flatter") from None


def _canonical(value: Any) -> str:
    match value:
        case None | bool() | str():
            return msgspec.json.encode(value).decode() if not isinstance(value, str) else _string(value)
        case int():
            if abs(value) > SAFE_INTEGER:
                raise InvalidInput(f"{value} is beyond what JSON numbers carry exactly", hint="write it as a string")
            return str(value)
        case float():
            return _number(value)
        case dict():
            if not all(isinstance(key, str) for key in value):
                raise InvalidInput("a JSON object's keys are strings", hint="turn the keys into strings")
            keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
            return "{" + ",".join(f"{_string(key)}:{_canonical(value[key])}" for key in keys) + "}"
        case list() | tuple():
            return "[" + ",".join(map(_canonical, value)) + "]"
        case _:
            raise InvalidInput(f"{type(value).__name__} has no canonical JSON form", hint="use strings, numbers, lists and objects")


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _string(text: str) -> str:
    escaped = (_ESCAPES.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in text)
    return '"' + "".join(escaped) + '"'


def _number(value: float) -> str:
    """A double as ECMAScript writes it, which RFC 8785 section 3.2.2.3 asks for."""
    if not math.isfinite(value):
        raise InvalidInput(f"{value} has no JSON form", hint="leave it out or write null")
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    assert isinstance(exponent, int)  # a finite Decimal has one
    text = "".join(map(str, digits))
    return "-" * sign + _ecmascript(text.rstrip("0"), len(text) + exponent)


def _ecmascript(digits: str, point: int) -> str:
    """`digits` with the decimal point after `point` of them, by ECMAScript's Number::toString."""
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    power = point - 1
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{'+' if power > 0 else '-'}{abs(power)}"
