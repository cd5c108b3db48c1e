"""The grammar's comparisons and orders as SQL, the same on SQLite and PostgreSQL, values bound. Owns no table.

Texts compare by code point; LIKE minds case, ILIKE does not for ASCII letters; neither has an escape character.
"""

import base64
import contextlib
import math
import re
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.core.digests import digest_bytes
from modelyard.storage.database import Dialect
from modelyard.tracking.domain import FilterInvalid, TokenInvalid
from modelyard.tracking.grammar import Operator, Value

Condition = sa.ColumnElement[bool]
LONGEST_PATTERN = 10_000
_MICROSECONDS = 1000
_FARTHEST = (2**63 - 1) // _MICROSECONDS - 1
_GLOB = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})


def compared_text(column: sa.ColumnElement[Any], operator: Operator, value: Value, dialect: Dialect) -> Condition:
    """Whether a text compares so with `value`, a text, or texts for IN and NOT IN."""
    texts = [value] if isinstance(value, str) else list(value) if isinstance(value, tuple) else []
    if any("\0" in text for text in texts):
        raise FilterInvalid("a text in the filter holds the character NUL")
    match operator:
        case "=":
            return column == value
        case "!=":
            return column != value
        case "IN":
            return column.in_(texts)
        case "NOT IN":
            return column.not_in(texts)
        case "LIKE" | "ILIKE":
            return _like(column, operator, texts[0], dialect)
        case _:
            raise FilterInvalid(f"Invalid comparator '{operator}' for a text")


def _like(column: sa.ColumnElement[Any], operator: Operator, pattern: str, dialect: Dialect) -> Condition:
    if len(pattern) > LONGEST_PATTERN:
        raise FilterInvalid(f"a pattern has {len(pattern)} characters, more than {LONGEST_PATTERN}")
    if dialect == "postgresql":
        return column.like(pattern, escape="") if operator == "LIKE" else column.ilike(pattern, escape="")
    # SQLite's LIKE never minds the case of ASCII letters; its GLOB always does.
    return column.op("GLOB", is_comparison=True)(pattern.translate(_GLOB)) if operator == "LIKE" else column.like(pattern)


def like_start(pattern: Value) -> str:
    """How every text begins that a LIKE pattern matches.

    >>> like_start("run-7%1")
    'run-7'
    """
    return re.split("[%_]", pattern, maxsplit=1)[0] if isinstance(pattern, str) else ""


def starts_with(column: sa.ColumnElement[Any], start: str) -> Condition:
    """Whether a text begins so, in the form that an index answers: from `start` to the first text behind all that begin with it."""
    last = ord(start[-1]) + 1
    # The code points of surrogates are no characters.
    after = chr(0xE000 if 0xD800 <= last <= 0xDFFF else last) if last <= sys.maxunicode else ""
    return (column >= start) & (column < start[:-1] + after) if after else column >= start


def compared_number(column: sa.ColumnElement[Any], operator: Operator, value: Value) -> Condition:
    """Whether a number compares so with `value`."""
    match operator:
        case "=":
            return column == value
        case "!=":
            return column != value
        case "<":
            return column < value
        case "<=":
            return column <= value
        case ">":
            return column > value
        case ">=":
            return column >= value
        case _:
            raise FilterInvalid(f"Invalid comparator '{operator}' for a number")


def compared_milliseconds(column: sa.ColumnElement[Any], operator: Operator, value: Value) -> Condition:
    """Whether an instant, in whole milliseconds, compares so with `value` in milliseconds."""
    if not isinstance(value, int | float) or value != value:
        raise FilterInvalid(f"Invalid value for a time: {value!r}")
    bounded = min(max(value, -_FARTHEST), _FARTHEST)
    low, high = math.floor(bounded), math.ceil(bounded)
    after_low = (low + 1) * _MICROSECONDS
    match operator:
        case ">":
            return column >= after_low
        case ">=":
            return column >= high * _MICROSECONDS
        case "<":
            return column < high * _MICROSECONDS
        case "<=":
            return column < after_low
    if low != high:
        return column.is_not(None) if operator == "!=" else sa.false()
    at = (column >= low * _MICROSECONDS) & (column < after_low)
    return sa.not_(at) if operator == "!=" else at


class SortKey(msgspec.Struct, frozen=True):
    """An expression that is never null, and its direction; one that is constant is told and not sorted by."""

    expression: sa.ColumnElement[Any]
    is_ascending: bool = True
    is_constant: bool = False


def nulls_last(expression: sa.ColumnElement[Any], filler: str | float, *, is_ascending: bool) -> list[SortKey]:
    """The keys that sort by `expression` with nulls at the end in either direction."""
    rank = sa.case((expression.is_(None), 1), else_=0)
    return [SortKey(rank), SortKey(sa.func.coalesce(expression, filler), is_ascending)]


def check_values(keys: Sequence[SortKey], after: Sequence[Any]) -> None:
    """Passes where a token's values may be those of the keys: as many, each of its key's kind. Raises TokenInvalid.

    Anybody can write a token; a database must not be asked with what it cannot compare.
    """
    if len(after) != len(keys) or not all(_is_kind(value, key.expression.type) for key, value in zip(keys, after, strict=True)):
        raise TokenInvalid("Invalid page token: it is of another order")


def _is_kind(value: Any, kind: sa.types.TypeEngine[Any]) -> bool:
    if isinstance(value, str):
        return not isinstance(kind, sa.Integer | sa.Float | sa.Numeric) and "\0" not in value
    if isinstance(value, bool) or isinstance(kind, sa.String):
        return False
    return (isinstance(value, float) and not isinstance(kind, sa.Integer)) or (isinstance(value, int) and -(2**63) <= value < 2**63)


def paged(query: sa.Select[Any], keys: Sequence[SortKey], after: Sequence[Any] | None, limit: int) -> sa.Select[Any]:
    """The next `limit` rows of `query` in the order of `keys`, behind the row whose keys had the values `after`.

    The keys' values come as the last columns, for the next token.
    """
    ordered = query.add_columns(*(key.expression.label(f"sort_{n}") for n, key in enumerate(keys)))
    sorted_by = [key for key in keys if not key.is_constant]
    ordered = ordered.order_by(*(key.expression.asc() if key.is_ascending else key.expression.desc() for key in sorted_by)).limit(limit)
    if after is None:
        return ordered
    check_values(keys, after)
    seen = [(key, value) for key, value in zip(keys, after, strict=True) if not key.is_constant]
    branches = []
    for n, (key, value) in enumerate(seen):
        equal = [one.expression == same for one, same in seen[:n]]
        branches.append(sa.and_(*equal, key.expression > value if key.is_ascending else key.expression < value))
    lead, value = seen[0]
    return ordered.where(lead.expression >= value if lead.is_ascending else lead.expression <= value, sa.or_(*branches))


def fingerprint(*asked: Any) -> str:
    """A short digest of what a search asks, which its page tokens carry."""
    return digest_bytes(msgspec.json.encode(asked))[7:19]


def token_of(mark: str, values: Sequence[Any]) -> str:
    """The page token that goes on behind the row with those sort values."""
    return base64.urlsafe_b64encode(msgspec.json.encode([mark, *values])).decode()


def mark_of(token: str) -> str:
    """The digest of the search that a token carries; empty where it carries none."""
    with contextlib.suppress(ValueError, msgspec.DecodeError):
        found = msgspec.json.decode(base64.urlsafe_b64decode(token.encode("ascii")), type=list[str | int | float | bool])
        return str(found[0]) if found else ""
    return ""


def values_of(token: str, mark: str) -> list[Any] | None:
    """The sort values in a token; None for an empty one. Raises TokenInvalid, also for a token of another search."""
    if not token:
        return None
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(token.encode("ascii")), type=list[str | int | float | bool])
    except (ValueError, msgspec.DecodeError) as error:
        raise TokenInvalid("Invalid page token, could not base64-decode") from error
    if not found or found[0] != mark:
        raise TokenInvalid("Invalid page token: it is of another search", hint="search again without a page token")
    return found[1:]
