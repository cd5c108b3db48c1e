"""The online store's keys and a plain view's row as bytes. One key per entity and view; aggregations add one per tile.

Every key begins with the view's version, so that two versions never meet. Owns the layout; reads and writes nothing.
"""

import hashlib
import struct
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np
import polars as pl

from modelyard.core.digests import Digest
from modelyard.features.domain import BadLabels, DType, Entity, Feature, FeatureView, Key, Value

ENTITY, TILE, MARK, PAGE, NOBODY = b"e", b"t", b"w", b"d", b"n"
LONGEST_KEY = 256
ENTITIES_A_PAGE = 1024
TOKEN: dict[DType, str] = {"float64": "d", "int64": "q", "bool": "?", "string": "I"}
ARRAY: dict[DType, str] = {"float64": "<f8", "int64": "<i8", "bool": "?"}
BLANK: dict[DType, Any] = {"float64": 0.0, "int64": 0, "bool": False, "string": b""}


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """How far a view has been brought online, kept beside its rows: all that was available up to `upto_at` is there.

    `check` sums the hashes of those rows and `source` is their files' digest, so that a changed past is noticed.
    """

    upto_at: int
    newest_event_at: int | None
    rows: int
    entities: int
    source: Digest
    check: int


def prefix(digest: Digest) -> bytes:
    """The beginning of all keys of a view's version."""
    return bytes.fromhex(digest[7:31])


def mark_key(digest: Digest) -> bytes:
    """Where a version's mark stands."""
    return prefix(digest) + MARK


def nobody_key(digest: Digest) -> bytes:
    """A key under which nothing ever stands, to ask for where there is no entity."""
    return prefix(digest) + NOBODY


def page_key(digest: Digest, page: int) -> bytes:
    """Where the `page`-th thousand of a version's entities are listed."""
    return prefix(digest) + PAGE + page.to_bytes(4, "big")


def tile_bytes(number: int) -> bytes:
    """A tile's number as the end of a key."""
    return struct.pack(">q", number)


def key_bytes(entity: Entity) -> Callable[[Sequence[Any]], bytes]:
    """The function that turns an entity's key values into bytes: one string or number as it is, several with their lengths.

    What is longer than a store's keys may be stands under its SHA-256. Raises BadLabels for a value of another type.
    """
    parts = [_key_part(key) for key in entity.keys]
    if len(parts) == 1:
        only = one_key_bytes(entity.keys[0])
        return lambda values: only(values[0])
    is_text = [key.dtype == "string" for key in entity.keys]

    def made(values: Sequence[Any]) -> bytes:
        contents = [part(value) for part, value in zip(parts, values, strict=True)]
        marked = [struct.pack(">I", len(one)) + one if text else one for one, text in zip(contents, is_text, strict=True)]
        return _bounded(b"".join(marked))

    return made


def one_key_bytes(key: Key) -> Callable[[Any], bytes]:
    """`key_bytes` of an entity with that one key, by its value."""
    part = _key_part(key)
    return part if key.dtype == "int64" else lambda value: _bounded(part(value))


def many_key_bytes(entity: Entity, start: bytes = b"") -> Callable[[Collection[Any]], list[bytes]]:
    """`start` and the `key_bytes` of many entities: of one key's values, or tuples of several, all of the declared types.

    Raises BadLabels as `key_bytes` does.
    """
    each = key_bytes(entity)
    if len(entity.keys) > 1:
        return lambda keys: [start + each(key) for key in keys]
    pack = partial(struct.Struct(f">{len(start)}sq").pack, start)

    def numbers(keys: Collection[Any]) -> list[bytes]:
        try:
            return [*map(pack, keys)]
        except struct.error:  # one of them is out of range: `each` says which
            return [start + each((key,)) for key in keys]

    def texts(keys: Collection[Any]) -> list[bytes]:
        try:
            found = [key.encode() for key in keys]
        except UnicodeEncodeError:
            return [start + each((key,)) for key in keys]
        return [start + (key if len(key) <= LONGEST_KEY else _bounded(key)) for key in found]

    return numbers if entity.keys[0].dtype == "int64" else texts


def entity_keys(entity: Entity, start: bytes, keys: pl.DataFrame) -> list[bytes]:
    """`start` and the bytes of each entity of `keys`, which has the entity's key columns."""
    names = [key.name for key in entity.keys]
    if len(names) > 1 or entity.keys[0].dtype != "int64":
        columns = keys[names[0]].to_list() if len(names) == 1 else keys.select(names).rows()
        return many_key_bytes(entity, start)(columns)
    made = np.empty((keys.height, len(start) + 8), np.uint8)
    made[:, : len(start)] = np.frombuffer(start, np.uint8)
    made[:, len(start) :] = keys[names[0]].to_numpy().astype(">i8").view(np.uint8).reshape(-1, 8)
    found: list[bytes] = made.view(f"V{made.shape[1]}")[:, 0].tolist()
    return found


def _key_part(key: Key) -> Callable[[Any], bytes]:
    pack = struct.Struct(">q").pack

    def number(value: Any) -> bytes:
        if type(value) is int:
            try:
                return pack(value)
            except struct.error:
                pass  # out of range
        raise BadLabels(f"the key {key.name!r} is an int64, not {str(value)[:40]!r}", hint=f"send {key.name} as a whole number")

    def text(value: Any) -> bytes:
        if type(value) is not str:
            raise BadLabels(f"the key {key.name!r} is a string, not {str(value)[:40]!r}", hint=f"send {key.name} in quotes")
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise BadLabels(f"the key {key.name!r} is no Unicode text", hint="send it as UTF-8") from error

    return number if key.dtype == "int64" else text


def _bounded(content: bytes) -> bytes:
    # No UTF-8 text and no length begins with this byte.
    return content if len(content) <= LONGEST_KEY else b"\xff" + hashlib.sha256(content).digest()


class PlainRow:
    """The bytes of a plain view's row: event and creation time, which values are null, values; texts behind the rest."""

    def __init__(self, view: FeatureView) -> None:
        self.columns: tuple[Feature, ...] = view.columns
        kinds = [_known(column) for column in self.columns]
        self._texts = [index for index, kind in enumerate(kinds) if kind == "string"]
        self._nulls = (len(kinds) + 7) // 8
        self._blanks = [BLANK[kind] for kind in kinds]
        self._struct = struct.Struct(f"<qq{self._nulls}s" + "".join(TOKEN[kind] for kind in kinds))
        self.no_nulls, self.unpack = bytes(self._nulls), self._struct.unpack_from
        """A row's marks where nothing is null, and what takes a row apart: event time, creation time, marks, values or a text's length."""
        self.dtype = None if self._texts else np.dtype([*_HEAD, ("nulls", "u1", (self._nulls,)), *_fields(kinds)])
        """The same bytes to NumPy: `event_at`, `created_at`, `nulls`, then `v0`, `v1` ... by column. None where texts make rows uneven."""
        self.nobody = self._struct.pack(2**63 - 1, 2**63 - 1, self.no_nulls, *([0] * len(kinds)))
        """A row that no instant may see, to stand where there is none."""

    def packed(self, event_at: int, created_at: int, values: Sequence[Value]) -> bytes:
        """The row's bytes."""
        nulls, kept, tail = 0, list(values), []
        for index, value in enumerate(values):
            if value is None:
                nulls |= 1 << index
                kept[index] = self._blanks[index]
        for index in self._texts:
            text = values[index]
            tail.append(text.encode() if isinstance(text, str) else b"")
            kept[index] = len(tail[-1])
        marks = nulls.to_bytes(self._nulls, "little")
        return self._struct.pack(event_at, created_at, marks, *kept) + b"".join(tail)

    def all_packed(self, times_and_values: pl.DataFrame) -> list[bytes]:
        """The bytes of many rows: the event time, the creation time, then the values, as columns in this order."""
        event_at, created_at, *columns = times_and_values.get_columns()
        if self.dtype is None:
            return [self.packed(row[0], row[1], row[2:]) for row in times_and_values.iter_rows()]
        rows = np.zeros(times_and_values.height, self.dtype)
        rows["event_at"], rows["created_at"] = event_at.to_numpy(), created_at.to_numpy()
        for place, column in enumerate(columns):
            if column.null_count():
                rows["nulls"][:, place // 8] |= column.is_null().to_numpy().astype(np.uint8) << place % 8
            rows[f"v{place}"] = column.fill_null(self._blanks[place]).to_numpy()
        packed: list[bytes] = rows.view(f"V{self._struct.size}").tolist()
        return packed

    def unpacked(self, content: bytes) -> tuple[int, int, tuple[Value, ...], bool]:
        """The event time, the creation time and the values of a row's bytes, and whether none of these is null."""
        found = self.unpack(content)
        marks = found[2]
        if marks == self.no_nulls and not self._texts:
            return found[0], found[1], found[3:], True
        values = list(found[3:])
        if self._texts:
            start = self._struct.size
            for index in self._texts:
                end = start + values[index]
                values[index] = content[start:end].decode()
                start = end
        if marks != self.no_nulls:
            nulls = int.from_bytes(marks, "little")
            for index in range(len(values)):
                if nulls >> index & 1:
                    values[index] = None
        return found[0], found[1], tuple(values), marks == self.no_nulls


_HEAD = [("event_at", "<i8"), ("created_at", "<i8")]


def _fields(kinds: Sequence[DType]) -> list[tuple[str, str]]:
    return [(f"v{place}", ARRAY[kind]) for place, kind in enumerate(kinds)]


def _known(column: Feature) -> DType:
    if column.dtype is None:
        raise BadLabels(f"the type of {column.name!r} is not known yet", hint="apply the view first: its types are read from the source")
    return column.dtype
