"""Online reads: the values of a feature set for a request's entities at an instant, with their ages and what is missing.

Owns the reader that is prepared once per set and used by every request, and the reading of plain views.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from modelyard.core.clock import Instant
from modelyard.features.domain import FeatureSelection, FeatureSet, OnlineValues, Reason
from modelyard.features.layout import ENTITY, Mark, PlainRow, key_bytes, mark_key, prefix
from modelyard.features.on_demand import OnlineFunctions
from modelyard.features.parts import Found, Part
from modelyard.features.windows import WindowPart
from modelyard.storage.online import OnlineStore

Row = Mapping[str, Any]


class PlainPart:
    """Reads a plain view: one row, its age held against the ttl."""

    def __init__(self, selection: FeatureSelection) -> None:
        view = selection.view
        self._start = prefix(view.digest) + ENTITY
        self._unpacked = PlainRow(view).unpacked
        self._ttl = view.ttl_us
        self._places = tuple(view.names.index(name) for name in selection.names)
        self._is_whole = self._places == tuple(range(len(view.names)))
        self._nothing = (None,) * len(selection.names)

    def keys(self, entity: bytes, at: int) -> list[bytes]:
        """The entity's row."""
        return [self._start + entity]

    def found(self, contents: Sequence[bytes | None], at: int) -> Found:
        """The row's values, unless there is none, it is too old, or it came after `at`."""
        content = contents[0]
        if content is None:
            return Found(self._nothing, None, Reason.UNKNOWN_ENTITY)
        event_at, created_at, values = self._unpacked(content)
        if event_at > at or created_at > at:
            return Found(self._nothing, None, Reason.AHEAD)
        if self._ttl is not None and at - event_at > self._ttl:
            return Found(self._nothing, event_at, Reason.EXPIRED)
        if not self._is_whole:
            values = tuple([values[place] for place in self._places])
        return Found(values, event_at, Reason.NULL if None in values else None)


def part_of(selection: FeatureSelection) -> Part:
    """The reader of a selection's view."""
    return WindowPart(selection) if selection.view.is_aggregation else PlainPart(selection)


class _View:
    """One view of a set as a reader asks for it: which keys of a row it takes, and the entities of one request."""

    def __init__(self, selection: FeatureSelection) -> None:
        self.name, self.names = selection.view.name, selection.names
        self.part: Part = part_of(selection)
        self.mark = mark_key(selection.view.digest)
        self._keys = tuple(key.name for key in selection.view.entity.keys)
        self._one = self._keys[0] if len(self._keys) == 1 else None
        self._key_bytes = key_bytes(selection.view.entity)
        self._nothing = (None,) * len(selection.names)

    def entities(self, rows: Sequence[Row]) -> tuple[list[bytes], list[int]]:
        """The entities of the rows, each once, and each row's place among them: -1 where a key is missing or null."""
        known: dict[bytes, int] = {}
        seen: dict[Any, int] = {}
        places = []
        for row in rows:
            keys = row.get(self._one) if self._one is not None else tuple([row.get(name) for name in self._keys])
            # By type, because equal is not enough: True == 1 == 1.0, and only one of them is a key.
            is_simple = type(keys) is str or type(keys) is int
            place = seen.get(keys) if is_simple else None
            if place is None:
                place = self._place(keys, known)
                if is_simple:
                    seen[keys] = place
            places.append(place)
        return list(known), places

    def _place(self, keys: Any, known: dict[bytes, int]) -> int:
        values = (keys,) if self._one is not None else keys
        return -1 if None in values else known.setdefault(self._key_bytes(values), len(known))

    def found(self, contents: Sequence[bytes | None], count: int, at: int) -> list[Found]:
        """The values of `count` entities from their keys' contents, in order; behind them those of nobody."""
        nobody = Found(self._nothing, None, Reason.UNKNOWN_ENTITY)
        if not count:
            return [nobody]
        size = len(contents) // count
        return [*(self.part.found(contents[start : start + size], at) for start in range(0, len(contents), size)), nobody]

    def absent(self, count: int) -> list[Found]:
        """The values of `count` entities, and of nobody, where the view has never been materialized."""
        return [Found(self._nothing, None, Reason.NOT_MATERIALIZED)] * (count + 1)


class OnlineReader:
    """Reads a feature set. Prepared once and shared by threads; a read asks the store once."""

    def __init__(self, feature_set: FeatureSet) -> None:
        self.set = feature_set
        self._views = [_View(selection) for selection in feature_set.features]
        self._mark = msgspec.msgpack.Decoder(Mark)
        self._functions = OnlineFunctions(feature_set) if feature_set.on_demand else None

    def read(self, store: OnlineStore, rows: Sequence[Row], at: Instant) -> OnlineValues:
        """The values for each row, by the entity keys in it, as of `at`. A key that is missing or null is nobody's.

        What is computed on demand reads the row's other fields, too: of the types that the set declares for its `request`.

        Raises BadLabels for a key of a wrong type and OnlineUnavailable where the store does not answer.
        """
        wanted: list[bytes] = []
        asked = []
        for view in self._views:
            entities, places = view.entities(rows)
            first = len(wanted)
            wanted.append(view.mark)
            for entity in entities:
                wanted += view.part.keys(entity, at)
            asked.append((len(entities), places, first, len(wanted)))
        contents = store.get_many(wanted)
        values = OnlineValues(at=at, columns={}, ages_us={}, upto_at={}, missing={})
        for view, (count, places, first, last) in zip(self._views, asked, strict=True):
            mark = contents[first]
            values.upto_at[view.name] = None if mark is None else Instant(self._mark.decode(mark).upto_at)
            found = view.absent(count) if mark is None else view.found(contents[first + 1 : last], count, at)
            _spread(view, [found[place] for place in places], values)
        if self._functions is not None:
            self._functions.add(values, rows)
        return values


def _spread(view: _View, found: Sequence[Found], values: OnlineValues) -> None:
    """Puts the rows' values into their columns, and the reasons of what is missing beside them."""
    at = values.at
    values.ages_us[view.name] = [None if one.event_at is None else at - one.event_at for one in found]
    for column, name in enumerate(view.names):
        values.columns[name] = [one.values[column] for one in found]
    for row, one in enumerate(found):
        if one.reason is not None:
            for column, name in enumerate(view.names):
                if one.values[column] is None:
                    values.missing.setdefault(name, {})[row] = one.reason
