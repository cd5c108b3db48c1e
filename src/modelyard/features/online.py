"""Online reads: the values of a feature set for a request's entities at an instant, with their ages and what is missing.

Owns the reader that is prepared once per set and used by every request. What a view's bytes say is its part's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from modelyard.core.clock import Instant
from modelyard.features.domain import FeatureSelection, FeatureSet, OnlineRow, OnlineValues, Reason, Value
from modelyard.features.layout import Mark, key_bytes, many_key_bytes, mark_key, one_key_bytes
from modelyard.features.on_demand import OnlineFunctions
from modelyard.features.parts import Block, Found, Part, block_of
from modelyard.features.plain import PlainPart
from modelyard.features.windows import WindowPart
from modelyard.storage.online import OnlineStore

Row = Mapping[str, Any]
_TYPES: dict[str, set[type]] = {"int64": {int}, "string": {str}}


class _View:
    """One view of a set as a reader asks for it: which keys of a row it takes, and the entities of one request."""

    def __init__(self, selection: FeatureSelection) -> None:
        entity = selection.view.entity
        self.name, self.names = selection.view.name, selection.names
        self.plain = None if selection.view.is_aggregation else PlainPart(selection)
        self.part: Part = self.plain or WindowPart(selection)
        self.mark = mark_key(selection.view.digest)
        self.keys = tuple(key.name for key in entity.keys)
        self._first = self.keys[0]
        self._types = [_TYPES[key.dtype] for key in entity.keys]
        self._key_bytes, self._many = key_bytes(entity), many_key_bytes(entity)
        self._one = one_key_bytes(entity.keys[0]) if len(entity.keys) == 1 else None
        self.nobody = Found((None,) * len(self.names), None, Reason.UNKNOWN_ENTITY)
        self.unmaterialized = Found((None,) * len(self.names), None, Reason.NOT_MATERIALIZED)

    def ask(self, row: Row, at: int, wanted: list[bytes]) -> None:
        """Adds the keys that the row needs: the mark's, and those of its entity, unless a key is missing or null."""
        wanted.append(self.mark)
        if self._one is not None:
            key = row.get(self._first)
            if key is None:
                return
            entity = self._one(key)
        else:
            keys = [row.get(name) for name in self.keys]
            if None in keys:
                return
            entity = self._key_bytes(keys)
        if self.plain is not None:
            wanted.append(self.plain.start + entity)
        else:
            wanted += self.part.keys(entity, at)

    def entities(self, columns: Mapping[str, Sequence[Any]]) -> tuple[list[bytes], list[int] | None]:
        """The entities of the rows, each once, and each row's place among them: -1 where a key is missing or null.

        No places where every row is an entity of its own.
        """
        given = [columns[name] for name in self.keys]
        keys: Sequence[Any] = given[0] if len(given) == 1 else [*zip(*given, strict=True)]
        # By type, because equal is not enough: True == 1 == 1.0, and only one of them is a key.
        if not all(set(map(type, column)) == kind for column, kind in zip(given, self._types, strict=True)):
            return self._checked(keys)
        places = dict.fromkeys(keys)
        names = self._many(places)
        if len(names) == len(keys):
            return names, None
        where = dict(zip(places, range(len(names)), strict=True))
        return names, [where[key] for key in keys]

    def _checked(self, keys: Sequence[Any]) -> tuple[list[bytes], list[int]]:
        known: dict[bytes, int] = {}
        tuples = [(key,) for key in keys] if len(self.keys) == 1 else keys
        places = [-1 if None in values else known.setdefault(self._key_bytes(values), len(known)) for values in tuples]
        return list(known), places

    def wanted(self, entities: list[bytes], at: int) -> list[bytes]:
        """The store's keys for the entities."""
        if self.plain is None:
            return [key for entity in entities for key in self.part.keys(entity, at)]
        start = self.plain.start
        return [start + entity for entity in entities]

    def block(self, contents: list[bytes | None], places: list[int] | None, at: int) -> Block:
        """The rows from the contents of those keys."""
        if self.plain is not None:
            return self.plain.block(contents if places is None else [contents[place] if place >= 0 else None for place in places], at)
        size = len(self.part.keys(b"", at))
        found = [*(self.part.found(contents[start : start + size], at) for start in range(0, len(contents), size)), self.nobody]
        return block_of(found[:-1] if places is None else [found[place] for place in places], len(self.names), at)

    def absent(self, count: int, at: int) -> Block:
        """The rows where the view has never been materialized."""
        return block_of([self.unmaterialized] * count, len(self.names), at)


class OnlineReader:
    """Reads a feature set. Prepared once and shared by threads; a read asks the store once."""

    def __init__(self, feature_set: FeatureSet) -> None:
        self.set = feature_set
        self._views = [_View(selection) for selection in feature_set.features]
        self._keys = tuple(dict.fromkeys(name for view in self._views for name in view.keys))
        self._functions = OnlineFunctions(feature_set) if feature_set.on_demand else None
        self._asked = (*self._keys, *(field.name for field in feature_set.request))
        self._decoder = msgspec.msgpack.Decoder(Mark)
        # A mark changes once a materialization and is read by every request.
        self._known: dict[str, tuple[bytes, Instant]] = {view.name: (b"", Instant(0)) for view in self._views}

    def read(self, store: OnlineStore, rows: Sequence[Row], at: Instant) -> OnlineValues:
        """The values for each row, by the entity keys in it, as of `at`. A key that is missing or null is nobody's.

        What is computed on demand reads the row's other fields, too: of the types that the set declares for its `request`.

        Raises BadLabels for a key of a wrong type and OnlineUnavailable where the store does not answer.
        """
        return self.read_columns(store, {name: [row.get(name) for row in rows] for name in self._asked}, len(rows), at)

    def read_row(self, store: OnlineStore, row: Row, at: Instant) -> OnlineRow:
        """`read` for one row."""
        wanted: list[bytes] = []
        asked = []
        for view in self._views:
            view.ask(row, at, wanted)
            asked.append((view, len(wanted)))
        contents = store.get_many(wanted)
        values: dict[str, Value] = {}
        ages_us: dict[str, int | None] = {}
        upto_at: dict[str, Instant | None] = {}
        missing: dict[str, Reason] = {}
        first = 0
        for view, end in asked:
            name, mark = view.name, contents[first]
            if mark is None:
                upto_at[name], found = None, view.unmaterialized
            else:
                known = self._known[name]
                upto_at[name] = known[1] if known[0] == mark else self._upto_at(name, mark)
                found = view.part.found(contents[first + 1 : end], at) if end - first > 1 else view.nobody
            first, event_at = end, found.event_at
            ages_us[name] = None if event_at is None else at - event_at
            values.update(zip(view.names, found.values))  # noqa: B905  # as many as names, and `strict` would cost a tenth of a read
            if found.reason is not None:
                missing.update({feature: found.reason for feature in view.names if values[feature] is None})
        found_row = OnlineRow(at=at, values=values, ages_us=ages_us, upto_at=upto_at, missing=missing)
        return found_row if self._functions is None else self._functions.added(found_row, row)

    def read_columns(self, store: OnlineStore, columns: Mapping[str, Sequence[Any]], count: int, at: Instant) -> OnlineValues:
        """`read` for `count` rows that come as columns, the keys' among them."""
        if count == 1:
            return self.read_row(store, {name: columns[name][0] for name in self._asked}, at).as_values()
        wanted: list[bytes] = []
        asked = []
        for view in self._views:
            entities, places = view.entities(columns)
            first = len(wanted)
            wanted.append(view.mark)
            wanted += view.wanted(entities, at)
            asked.append((view, places, first, len(wanted)))
        contents = store.get_many(wanted)
        features: dict[str, list[Value]] = {}
        ages_us: dict[str, list[int | None]] = {}
        upto_at: dict[str, Instant | None] = {}
        missing: dict[str, dict[int, Reason]] = {}
        for view, places, first, last in asked:
            name, mark = view.name, contents[first]
            upto_at[name] = None if mark is None else self._upto_at(name, mark)
            block = view.absent(count, at) if mark is None else view.block(contents[first + 1 : last], places, at)
            features.update(zip(view.names, block.columns, strict=True))
            ages_us[name] = block.ages_us
            for row, reason in block.reasons.items():
                for feature, column in zip(view.names, block.columns, strict=True):
                    if column[row] is None:
                        missing.setdefault(feature, {})[row] = reason
        values = OnlineValues(at=at, columns=features, ages_us=ages_us, upto_at=upto_at, missing=missing)
        if self._functions is not None:
            self._functions.add(values, columns, count)
        return values

    def _upto_at(self, view: str, mark: bytes) -> Instant:
        known = self._known[view]
        if known[0] != mark:
            known = self._known[view] = (mark, Instant(self._decoder.decode(mark).upto_at))
        return known[1]
