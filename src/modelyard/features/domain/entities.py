"""Entities and windows as users declare them, and the names they may have. Owns their rules; reads no source."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import force_setattr

from modelyard.core.errors import InvalidInput
from modelyard.core.names import checked_name
from modelyard.features.domain.errors import InvalidDeclaration
from modelyard.features.domain.types import DType, DTypeLike, dtype_of, duration_us, known_us

LONGEST_WORDS = 2000


def named(text: Any, what: str) -> str:
    """`text` where it is a name. Raises InvalidDeclaration."""
    if not isinstance(text, str):
        raise InvalidDeclaration(
            f"the name of a {what} is a text, not {type(text).__name__}", hint=f"write it in quotes: the {what}'s name"
        )
    try:
        return checked_name(text, what)
    except InvalidInput as error:
        raise InvalidDeclaration(error.message, hint=error.hint) from error


def worded(text: Any, what: str) -> None:
    """Raises InvalidDeclaration for words that are no text, or too many for the pages on which they stand."""
    if not isinstance(text, str) or len(text) > LONGEST_WORDS or "\x00" in text:
        got = f"a text of {len(text):,} characters" if isinstance(text, str) else type(text).__name__
        raise InvalidDeclaration(f"{what} is {got}", hint=f"write a text of at most {LONGEST_WORDS} characters")


def column_name(text: Any, what: str) -> str:
    """`text` where it can name a column: any printable text of at most 120 characters but patterns. Raises InvalidDeclaration."""
    if not isinstance(text, str) or not is_column_name(text):
        raise InvalidDeclaration(
            f"{str(text)[:60]!r} cannot name {what}", hint="use 1 to 120 printable characters; * and ^…$ would stand for other columns"
        )
    return text


def is_column_name(text: str) -> bool:
    """Whether columns of that name are read. Polars takes `*` and `^…$` for patterns that stand for other columns.

    >>> [is_column_name(text) for text in ("delay (min)", "*", "^.*$", "")]
    [True, False, False, False]
    """
    return 0 < len(text) <= 120 and text.isprintable() and text != "*" and not (text.startswith("^") and text.endswith("$"))


def without_twins(names: Sequence[str], what: str) -> None:
    """Raises InvalidDeclaration where a name stands twice."""
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise InvalidDeclaration(f"{what}: {twins[0]!r} stands twice", hint="name each once")


class Key(msgspec.Struct, frozen=True):
    """One column of an entity's key."""

    name: str
    dtype: DType


class Entity(msgspec.Struct, frozen=True, omit_defaults=True):
    """What features are about: its name, and the columns that tell one from another.

    Where no `keys` are given, the key is one column with the entity's own name and `dtype`. `personal` says that a key points
    to a person; it decides no value.

    >>> Entity("origin").keys
    (Key(name='origin', dtype='string'),)
    >>> [key.name for key in Entity("route", keys={"origin": "string", "dest": "string"}).keys]
    ['origin', 'dest']
    """

    name: str
    dtype: DType | None = None
    keys: tuple[Key, ...] = ()
    description: str = ""
    personal: bool = False

    if TYPE_CHECKING:  # what users may write is wider than what is kept

        def __init__(
            self,
            name: str,
            *,
            dtype: DTypeLike | None = None,
            keys: Mapping[str, DTypeLike] | Sequence[Key] = (),
            description: str = "",
            personal: bool = False,
        ) -> None: ...

    def __post_init__(self) -> None:
        """Brings the short forms into the one that is kept. Raises InvalidDeclaration."""
        named(self.name, "entity")
        worded(self.description, f"the description of entity {self.name}")
        keys = self.keys or ({self.name: "string" if self.dtype is None else self.dtype})
        pairs = keys.items() if isinstance(keys, Mapping) else [(key.name, key.dtype) for key in keys]
        made = tuple(Key(column_name(name, "a key"), dtype_of(dtype, f"the key {name!r}")) for name, dtype in pairs)
        without_twins([key.name for key in made], f"entity {self.name}")
        if any(key.dtype not in ("string", "int64") for key in made):
            raise InvalidDeclaration(f"entity {self.name} has a key that is no string or int64", hint="turn it into a string or an integer")
        force_setattr(self, "keys", made)
        force_setattr(self, "dtype", None)


class Window(msgspec.Struct, frozen=True):
    """A length of time that aggregations look back over: events in (t - length, t]. Its text is the columns' ending.

    >>> Window("1h").length_us
    3600000000
    """

    length: str

    def __post_init__(self) -> None:
        """Raises InvalidDeclaration for what is no length above zero."""
        if duration_us(self.length, "a window") <= 0:
            raise InvalidDeclaration("a window has a length above zero", hint='Window("1h")')

    @property
    def length_us(self) -> int:
        """Its length in microseconds."""
        return known_us(self.length)
