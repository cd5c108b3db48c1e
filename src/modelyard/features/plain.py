"""Reads a plain view online: one row an entity, its age held against the ttl. Many rows are decoded as one array."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelyard.features.domain import FeatureSelection, Reason, Value
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
        self._row = PlainRow(view)
        self.has_texts = self._row.dtype is None
        self._unpacked, self._unpack, self._no_nulls = self._row.unpacked, self._row.unpack, self._row.no_nulls
        self._ttl = FOREVER if view.ttl_us is None else view.ttl_us
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

    def usual(self, content: bytes | None, at: int) -> tuple[tuple[Value, ...], int] | None:
        """The values and the event time of a row without texts that is there, fresh and without a null: of nearly every one.

        `found` says the same and more of all others. Its calls are spared because they take longer than the store.
        """
        if content is None:
            return None
        row = self._unpack(content)
        event_at: int = row[0]
        if row[2] != self._no_nulls or event_at > at or row[1] > at or at - event_at > self._ttl:
            return None
        return (row[3:] if self._is_whole else tuple([row[place + 3] for place in self._places])), event_at

    def block(self, contents: Sequence[bytes | None], at: int) -> Block:
        """The values of one row for each of `contents`."""
        if len(contents) == 1:
            one = self.found(contents, at)
            reasons = {} if one.reason is None else {0: one.reason}
            return Block([[value] for value in one.values], [None if one.event_at is None else at - one.event_at], reasons)
        if self.has_texts or not contents:
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
        # Of one row or of an array of them: only `usual` writes the rule out again.
        return (event_at <= at) & (created_at <= at) & (at - event_at <= self._ttl)
