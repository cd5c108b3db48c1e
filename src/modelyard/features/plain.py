"""Reads a plain view online: one row an entity, its age held against the ttl. Many rows are decoded as one array."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from modelyard.features.domain import FeatureSelection, Reason
from modelyard.features.layout import ENTITY, PlainRow, prefix
from modelyard.features.parts import Block, Found, block_of

FOREVER = 2**63 - 1
"""The ttl of a view without one: no two instants lie so far apart."""


class PlainPart:
    """Reads a plain view's selection."""

    def __init__(self, selection: FeatureSelection) -> None:
        view = selection.view
        self.start = prefix(view.digest) + ENTITY
        """The beginning of an entity's only key."""
        self.row = PlainRow(view)
        self._unpacked = self.row.unpacked
        self.ttl = FOREVER if view.ttl_us is None else view.ttl_us
        self._places = tuple(view.names.index(name) for name in selection.names)
        self._is_whole = self._places == tuple(range(len(view.names)))
        self.chosen = itemgetter(slice(3, None)) if self._is_whole else _several(self._places)
        """The selection's values in a row as `row.unpack` gives it."""
        self._fields = [f"v{place}" for place in self._places]
        self._nothing = (None,) * len(selection.names)

    def keys(self, entity: bytes, at: int) -> list[bytes]:
        """The entity's row."""
        return [self.start + entity]

    def found(self, contents: Sequence[bytes | None], at: int) -> Found:
        """The row's values, unless there is none, it is too old, or it came after `at`."""
        content = contents[0]
        if content is None:
            return Found(self._nothing, None, Reason.UNKNOWN_ENTITY)
        event_at, created_at, values, has_all = self._unpacked(content)
        if not self._is_shown(event_at, created_at, at):
            is_ahead = event_at > at or created_at > at
            return Found(self._nothing, None if is_ahead else event_at, Reason.AHEAD if is_ahead else Reason.EXPIRED)
        if not self._is_whole:
            values = tuple([values[place] for place in self._places])
        return Found(values, event_at, None if has_all or None not in values else Reason.NULL)

    def block(self, contents: Sequence[bytes | None], at: int) -> Block:
        """The values of one row for each of `contents`."""
        if len(contents) == 1:
            one = self.found(contents, at)
            reasons = {} if one.reason is None else {0: one.reason}
            return Block([[value] for value in one.values], [None if one.event_at is None else at - one.event_at], reasons)
        if self.row.dtype is None or not contents:
            return block_of([self.found((content,), at) for content in contents], len(self._nothing), at)
        nobody = self.row.nobody
        rows = np.frombuffer(b"".join([nobody if content is None else content for content in contents]), self.row.dtype)
        event_at = rows["event_at"]
        columns = [rows[name].tolist() for name in self._fields]
        ages_us, reasons = (at - event_at).tolist(), {}
        is_odd = ~self._is_shown(event_at, rows["created_at"], at) | rows["nulls"].any(axis=1)
        for place in np.flatnonzero(is_odd).tolist():
            one = self.found((contents[place],), at)
            ages_us[place] = None if one.event_at is None else at - one.event_at
            for column, value in zip(columns, one.values, strict=True):
                column[place] = value
            if one.reason is not None:
                reasons[place] = one.reason
        return Block(columns, ages_us, reasons)

    def _is_shown(self, event_at: Any, created_at: Any, at: int) -> Any:
        # Of one row or of an array of them: only a view that is read by one key writes the rule out again.
        return (event_at <= at) & (created_at <= at) & (at - event_at <= self.ttl)


def _several(places: Sequence[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """What picks values at places of a row, behind its times and marks: a tuple also of one."""
    if len(places) == 1:
        return itemgetter(slice(places[0] + 3, places[0] + 4))
    return itemgetter(*[place + 3 for place in places])
