"""Conditions on a source's rows, as declarations write them: `carrier IN ('UA', 'AA') AND NOT cancelled`. Owns the grammar.

Comparisons are joined by AND, OR and NOT, in parentheses where need be. A name stands as it is or in backticks; a text in
single quotes, one within it doubled. A comparison with a null is neither true nor false, as in SQL.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal, TypeVar

import msgspec

from modelyard.features.domain.errors import InvalidDeclaration

LONGEST = 1000
Literal_ = str | int | float | bool
Operator = Literal["=", "!=", "<", "<=", ">", ">="]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])|(?P<text>'(?:[^']|'')*')|`(?P<quoted>[^`]+)`"
    r"|(?P<word>[A-Za-z_]\w*)|(?P<sign><=|>=|!=|<>|[=<>(),]))"
)
_WORDS = frozenset({"AND", "OR", "NOT", "IN", "IS", "NULL", "TRUE", "FALSE"})
_SIGNS: dict[str, Operator] = {"=": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


class Compared(msgspec.Struct, frozen=True):
    """A column against a value."""

    column: str
    operator: Operator
    value: Literal_


class Among(msgspec.Struct, frozen=True):
    """A column that has one of some values."""

    column: str
    values: tuple[Literal_, ...]


class Missing(msgspec.Struct, frozen=True):
    """A column that is null."""

    column: str


class Flag(msgspec.Struct, frozen=True):
    """A column of flags that is true."""

    column: str


class Not(msgspec.Struct, frozen=True):
    """The opposite of a condition."""

    part: "Condition"


class Joined(msgspec.Struct, frozen=True):
    """Conditions of which all (`AND`) or any (`OR`) hold."""

    word: Literal["AND", "OR"]
    parts: tuple["Condition", ...]


Condition = Compared | Among | Missing | Flag | Not | Joined
T = TypeVar("T")


def parse_condition(text: str) -> Condition:
    """The condition that `text` writes. Raises InvalidDeclaration, which says where it cannot be read.

    >>> written(parse_condition("not (a>=2 or b = 'it''s')"))
    "NOT (a >= 2 OR b = 'it''s')"
    """
    if len(text) > LONGEST:
        raise InvalidDeclaration(f"a condition of {len(text)} characters is too long", hint=f"write at most {LONGEST}")
    reader = _Reader(text)
    found = reader.any_of()
    if reader.token is not None:
        raise reader.error("AND, OR or the end")
    return found


def columns_of(condition: Condition) -> dict[str, list[Literal_]]:
    """The columns that a condition reads, with what each is compared with; flags with a truth value."""
    found: dict[str, list[Literal_]] = {}
    for part in _leaves(condition):
        values: tuple[Literal_, ...] = ()
        if isinstance(part, Compared):
            values = (part.value,)
        elif isinstance(part, Among):
            values = part.values
        elif isinstance(part, Flag):
            values = (True,)
        found.setdefault(part.column, []).extend(values)
    return found


def _leaves(condition: Condition) -> Iterator[Compared | Among | Missing | Flag]:
    if isinstance(condition, Joined):
        for part in condition.parts:
            yield from _leaves(part)
    elif isinstance(condition, Not):
        yield from _leaves(condition.part)
    else:
        yield condition


def written(condition: Condition) -> str:
    """The one way to write a condition, so that equal ones have equal digests."""
    match condition:
        case Compared(column, operator, value):
            return f"{_name(column)} {operator} {_literal(value)}"
        case Among(column, values):
            return f"{_name(column)} IN ({', '.join(map(_literal, values))})"
        case Missing(column):
            return f"{_name(column)} IS NULL"
        case Flag(column):
            return _name(column)
        case Not(part):
            return f"NOT {_bracketed(part)}"
        case Joined(word, parts):
            return f" {word} ".join(map(_bracketed, parts))


def _bracketed(condition: Condition) -> str:
    return f"({written(condition)})" if isinstance(condition, Joined) else written(condition)


def _name(column: str) -> str:
    return column if re.fullmatch(r"[A-Za-z_]\w*", column, re.ASCII) and column.upper() not in _WORDS else f"`{column}`"


def _literal(value: Literal_) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value).upper() if isinstance(value, bool) else repr(value)


class _Reader:
    """The tokens of a condition, one ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = self._end = 0
        self.token: Any = None
        self.kind = ""
        self._next()

    def any_of(self) -> Condition:
        """Conditions joined by OR."""
        return self._joined("OR", lambda: self._joined("AND", self._one))

    def _joined(self, word: Literal["AND", "OR"], part: Any) -> Condition:
        parts = [part()]
        while self._take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def _one(self) -> Condition:
        if self._take("NOT"):
            return Not(self._one())
        if self._take("("):
            found = self.any_of()
            self._need(")")
            return found
        if self.kind != "name":
            raise self.error("a column")
        column = self.token
        self._next()
        return self._about(column)

    def _about(self, column: str) -> Condition:
        if self._take("IS"):
            is_not = self._take("NOT")
            self._need("NULL")
            return Not(Missing(column)) if is_not else Missing(column)
        if self._take("NOT"):
            self._need("IN")
            return Not(self._among(column))
        if self._take("IN"):
            return self._among(column)
        if self.kind == "sign" and self.token in _SIGNS:
            operator = _SIGNS[self.token]
            self._next()
            return Compared(column, operator, self._value())
        return Flag(column)

    def _among(self, column: str) -> Among:
        self._need("(")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._need(")")
        return Among(column, tuple(values))

    def _value(self) -> Literal_:
        value: Literal_
        if self.kind in ("number", "text"):
            value = self.token
            self._next()
            return value
        for word, value in (("TRUE", True), ("FALSE", False)):
            if self._take(word):
                return value
        raise self.error("a number, a text in single quotes, TRUE or FALSE")

    def _take(self, word: str) -> bool:
        if self.kind in ("word", "sign") and self.token == word:
            self._next()
            return True
        return False

    def _need(self, word: str) -> None:
        if not self._take(word):
            raise self.error(word)

    def error(self, wanted: str) -> InvalidDeclaration:
        """What is wrong at the present token."""
        got = self._text[self._place : self._place + 40].strip() or "the end"
        return InvalidDeclaration(
            f"the condition {self._text[:80]!r} cannot be read at {got!r}: {wanted} is expected there",
            hint="write it like: carrier IN ('UA', 'AA') AND NOT cancelled",
        )

    def _next(self) -> None:
        self._place = self._end
        if not self._text[self._end :].strip():
            self.token, self.kind = None, "end"
            return
        found = _TOKEN.match(self._text, self._end)
        if found is None:
            self.kind = "unknown"
            raise self.error("a column, a value or a sign")
        self._end = found.end()
        if found["number"] is not None:
            self.kind, self.token = "number", _number(found["number"])
        elif found["text"] is not None:
            self.kind, self.token = "text", found["text"][1:-1].replace("''", "'")
        elif found["word"] is not None and found["word"].upper() in _WORDS:
            self.kind, self.token = "word", found["word"].upper()
        elif found["sign"] is not None:
            self.kind, self.token = "sign", found["sign"]
        else:
            self.kind, self.token = "name", found["quoted"] or found["word"]


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
