"""Whose values were erased: what is asked for, what is recorded of it, and the mark by which rows are known. Owns the types; no rule."""

import msgspec

from modelyard.access.domain import PrincipalId
from modelyard.core.clock import Instant


class NewErasure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose values are to be erased, by the key of an entity, and why. The reason is recorded; the key is not."""

    entity: str
    keys: dict[str, str | int]
    why: str


class Tombstone(msgspec.Struct, frozen=True):
    """Rows of an entity that are not read any more: those that `mark` knows and that were available by `erased_at`.

    The mark is a digest of the key's values under a secret of the installation, whose own name is `secret`. `others` are the key
    columns of versions in which the same erasure meant other values: there these are somebody else's.
    """

    entity: str
    mark: str
    secret: str
    erased_at: Instant
    others: tuple[tuple[str, ...], ...] = ()


class Unreached(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a view, online or served, that an erasure could not reach: what its key is, and why."""

    view: str
    number: int
    keys: tuple[str, ...]
    why: str


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure as it is recorded: of which entity, in which views, why, when and by whom. It holds no key.

    What it `unreached` keeps its values. By `removed_at` the rest was gone from all disks too; `None` until then.
    """

    id: str
    entity: str
    views: tuple[str, ...]
    why: str
    erased_at: Instant
    erased_by: PrincipalId
    unreached: tuple[Unreached, ...] = ()
    removed_at: Instant | None = None
