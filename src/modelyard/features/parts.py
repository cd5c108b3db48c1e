"""How one view's selection is read online: which keys it needs, and what their contents say. Owns the seam between kinds of views."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from modelyard.features.domain import Reason, Value


class Found(msgspec.Struct, frozen=True, gc=False):
    """An entity's values of one view: in the order of the selection, the event time of the newest, and why any is missing."""

    values: tuple[Value, ...]
    event_at: int | None
    reason: Reason | None


class Block(msgspec.Struct, frozen=True):
    """Rows of one view: a list per feature in the order of the selection, each row's age, and the rows that miss something, with why."""

    columns: Sequence[list[Value]]
    ages_us: list[int | None]
    reasons: dict[int, Reason]


class Part(Protocol):
    """How one view's selection is read."""

    def keys(self, entity: bytes, at: int) -> list[bytes]:
        """The store's keys that an entity's values need at an instant; the first tells whether it is known."""
        ...

    def found(self, contents: Sequence[bytes | None], at: int) -> Found:
        """The entity's values from the contents of those keys."""
        ...


def block_of(found: Sequence[Found], width: int, at: int) -> Block:
    """The rows as a block of `width` features.

    >>> block_of([Found((1.5, None), 7, Reason.NULL)], 2, 10)
    Block(columns=[[1.5], [None]], ages_us=[3], reasons={0: <Reason.NULL: 'null'>})
    """
    return Block(
        columns=[[one.values[place] for one in found] for place in range(width)],
        ages_us=[None if one.event_at is None else at - one.event_at for one in found],
        reasons={row: one.reason for row, one in enumerate(found) if one.reason is not None},
    )
