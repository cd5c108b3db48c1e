"""Types of features and lengths of time as declarations write them. Owns their names; loads no numeric library."""

import functools
from typing import Any, Literal, get_args

from modelyard.core.clock import SECOND, duration_s
from modelyard.core.errors import InvalidInput
from modelyard.features.domain.errors import InvalidDeclaration

DType = Literal["string", "int64", "float64", "bool"]
"""What a feature or a key can be. Shorter numbers of a source are widened, categories are strings."""

DTypeLike = DType | type
"""A type's name, or a Polars type such as `pl.String`, which is known by its name."""

Value = str | int | float | bool | None
"""A value of a feature or a key."""

DTYPES: tuple[DType, ...] = get_args(DType)
LONGEST_KEY_BYTES = 4096
FIRST_DAY, LAST_DAY = -719_162, 2_932_896
"""The days of the years 1 to 9999, counted from 1970: what every program can name, and far from where int64 microseconds end."""
LONGEST_US = 200 * 366 * 86400 * SECOND

_BY_NAME: dict[str, DType] = {
    "string": "string", "str": "string", "utf8": "string", "categorical": "string", "enum": "string",
    "int8": "int64", "int16": "int64", "int32": "int64", "int64": "int64", "int": "int64",
    "uint8": "int64", "uint16": "int64", "uint32": "int64", "uint64": "int64",
    "float16": "float64", "float32": "float64", "float64": "float64", "float": "float64",
    "bool": "bool", "boolean": "bool",
}  # fmt: skip


def find_dtype(value: Any) -> DType | None:
    """The type that `value` names, or `None`: a name, a Python type, or a library's type, known by its class's name.

    >>> find_dtype("string"), find_dtype(float), find_dtype("date")
    ('string', 'float64', None)
    """
    if isinstance(value, str):
        name = value
    else:
        name = value.__name__ if isinstance(value, type) else type(value).__name__
    return _BY_NAME.get(name.lower())


def dtype_of(value: Any, what: str) -> DType:
    """The type that `value` names. Raises InvalidDeclaration, which says what `what` may be."""
    found = find_dtype(value)
    if found is None:
        shown = value if isinstance(value, str) else getattr(value, "__name__", repr(value))
        raise InvalidDeclaration(f"{what} has the type {shown!r}, which features do not have", hint=f"use one of {', '.join(DTYPES)}")
    return found


def duration_us(text: str, what: str) -> int:
    """Microseconds in a duration such as `3h`. Raises InvalidDeclaration.

    >>> duration_us("1h30m", "ttl")
    5400000000
    """
    try:
        length = round(duration_s(text) * SECOND)
    except InvalidInput as error:
        raise InvalidDeclaration(f"{what}: {error.message}", hint=error.hint) from error
    if not 0 <= length <= LONGEST_US:
        raise InvalidDeclaration(f"{what} of {text} is longer than 200 years", hint="leave it out where it has no end")
    return length


@functools.lru_cache(maxsize=1024)
def known_us(text: str) -> int:
    """The same of a duration that a declaration has checked: lists of thousands of views ask for theirs again and again."""
    return duration_us(text, "a duration")


_UNITS = ((86400 * SECOND, "d"), (3600 * SECOND, "h"), (60 * SECOND, "m"), (SECOND, "s"), (1000, "ms"))


def duration_text(length_us: int) -> str:
    """The one way to write a length of time, so that equal lengths have equal digests.

    >>> duration_text(5_400_000_000), duration_text(0)
    ('1h30m', '0s')
    """
    parts, rest = [], length_us
    for unit, name in _UNITS:
        count, rest = divmod(rest, unit)
        if count:
            parts.append(f"{count}{name}")
    if rest:
        parts.append(f"{rest / 1000}ms")
    return "".join(parts) or "0s"
