"""How one view's selection is read online: which keys it needs, and what their contents say. Owns the seam between kinds of views."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from modelyard.features.domain import Reason, Value


class Found(msgspec.Struct, frozen=True):
    """An entity's values of one view: in the order of the selection, the event time of the newest, and why any is missing."""

    values: tuple[Value, ...]
    event_at: int | None
    reason: Reason | None


class Part(Protocol):
    """How one view's selection is read."""

    def keys(self, entity: bytes, at: int) -> list[bytes]:
        """The store's keys that an entity's values need at an instant; the first tells whether it is known."""
        ...

    def found(self, contents: Sequence[bytes | None], at: int) -> Found:
        """The entity's values from the contents of those keys."""
        ...
