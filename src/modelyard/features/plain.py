"""Reads a plain view online: one row an entity, its age held against the ttl. Many rows are decoded as one array."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelyard.features.domain import FeatureSelection, Reason
from modelyard.features.layout import ENTITY, PlainRow, prefix
from modelyard.features.parts import Block, Found, block_of


class PlainPart:
    """Reads a plain view's selection."""

    def __init__(self, selection: FeatureSelection) -> None:
        view = selection.view
        self.start = prefix(view.digest) + ENTITY
        """The beginning of an entity's only key."""
        self._row = PlainRow(view)
        self._unpacked = self._row.unpacked
        self._ttl = view.ttl_us
        self._places = tuple(view.names.index(name) for name in selection.names)
        self._is_whole = self._places == tuple(range(len(view.names)))
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
        if self._row.dtype is None or not contents:
            return block_of([self.found((content,), at) for content in contents], len(self._nothing), at)
        nobody = self._row.nobody
        rows = np.frombuffer(b"".join([nobody if content is None else content for content in contents]), self._row.dtype)
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
        # Of one row or of an array of them: the rule stands here alone.
        is_there = (event_at <= at) & (created_at <= at)
        return is_there if self._ttl is None else is_there & (at - event_at <= self._ttl)
