"""Online reads: the values of a feature set for a request's entities at an instant, with their ages and what is missing.

Owns the reader that is prepared once per set and used by every request. What a view's bytes say is its part's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from modelyard.core.clock import Instant
from modelyard.features.domain import FeatureSelection, FeatureSet, OnlineRow, OnlineValues, Reason, Value
from modelyard.features.layout import Mark, key_bytes, many_key_bytes, mark_key, nobody_key, one_key_bytes
from modelyard.features.on_demand import OnlineFunctions
from modelyard.features.parts import Block, Found, Part, block_of
from modelyard.features.plain import PlainPart
from modelyard.features.windows import WindowPart
from modelyard.storage.online import OnlineStore

Row = Mapping[str, Any]
_DECODER = msgspec.msgpack.Decoder(Mark)
_TYPES: dict[str, set[type]] = {"int64": {int}, "string": {str}}


class _View:
    """One view of a set as a reader asks for it: which keys of a row it takes, and the entities of one request."""

    def __init__(self, selection: FeatureSelection, place: int) -> None:
        """`place` is where its mark stands among the contents that a read of one row gets from the store."""
        entity = selection.view.entity
        self.name, self.names = selection.view.name, selection.names
        self.mark = mark_key(selection.view.digest)
        self.plain = None if selection.view.is_aggregation else PlainPart(selection)
        self.part: Part = self.plain or WindowPart(selection)
        self._start = None if self.plain is None else self.plain.start
        self._nobodys = [self.mark, *[nobody_key(selection.view.digest)] * len(self.part.keys(b"", 0))]
        self._place, self.end = place, place + len(self._nobodys)
        self._known: tuple[bytes, Instant] = (b"", Instant(0))
        self.keys = tuple(key.name for key in entity.keys)
        self._types = [_TYPES[key.dtype] for key in entity.keys]
        self._key_bytes, self._many = key_bytes(entity), many_key_bytes(entity, self._start or b"")
        self.nobody = Found((None,) * len(self.names), None, Reason.UNKNOWN_ENTITY)
        self.unmaterialized = Found((None,) * len(self.names), None, Reason.NOT_MATERIALIZED)

    def ask(self, row: Row, at: int, wanted: list[bytes]) -> None:
        """Adds the keys that the row needs: the mark's, and those of its entity or, where a key is missing or null, nobody's."""
        keys = [row.get(name) for name in self.keys]
        wanted += self._nobodys if None in keys else (self.mark, *self.part.keys(self._key_bytes(keys), at))

    def add(self, contents: Sequence[bytes | None], answer: OnlineRow) -> None:
        """Adds to `answer` what the contents of the row's keys say, all views' together."""
        at, name, mark = answer.at, self.name, contents[self._place]
        if mark is None:
            answer.upto_at[name], found = None, self.unmaterialized
        else:
            answer.upto_at[name], found = self.upto_at(mark), self.part.found(contents[self._place + 1 : self.end], at)
        answer.values.update(zip(self.names, found.values, strict=True))
        answer.ages_us[name] = None if found.event_at is None else at - found.event_at
        if found.reason is not None:
            nulls = [feature for feature, value in zip(self.names, found.values, strict=True) if value is None]
            answer.missing.update(dict.fromkeys(nulls, found.reason))

    def upto_at(self, mark: bytes) -> Instant:
        """How far the mark says the view has been brought. A mark changes once a materialization and is read by every request."""
        known = self._known
        if known[0] != mark:
            known = self._known = (mark, Instant(_DECODER.decode(mark).upto_at))
        return known[1]

    def entities(self, columns: Mapping[str, Sequence[Any]]) -> tuple[list[bytes], list[int] | None]:
        """The entities of the rows, each once, as a plain view's keys, and each row's place among them: -1 where a key is missing or null.

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
        start = self._start or b""
        known: dict[bytes, int] = {}
        tuples = [(key,) for key in keys] if len(self.keys) == 1 else keys
        places = [-1 if None in values else known.setdefault(start + self._key_bytes(values), len(known)) for values in tuples]
        return list(known), places

    def wanted(self, entities: list[bytes], at: int) -> list[bytes]:
        """The store's keys for those entities."""
        return entities if self.plain is not None else [key for entity in entities for key in self.part.keys(entity, at)]

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


class _OneKeyView(_View):
    """A plain view without texts of an entity with one key, whose rows are read in as few steps as there are.

    Nearly every row is there, fresh and without a null; the calls that tell what else it is would take longer than the store.
    """

    def __init__(self, selection: FeatureSelection, place: int) -> None:
        super().__init__(selection, place)
        part = PlainPart(selection)
        self._first, self._one, self._start_of = self.keys[0], one_key_bytes(selection.view.entity.keys[0]), part.start
        self._unpack, self._no_nulls, self._ttl, self._chosen = part.row.unpack, part.row.no_nulls, part.ttl, part.chosen

    def ask(self, row: Row, at: int, wanted: list[bytes]) -> None:
        """As any view does."""
        key = row.get(self._first)
        wanted += self._nobodys if key is None else (self.mark, self._start_of + self._one(key))

    def add(self, contents: Sequence[bytes | None], answer: OnlineRow) -> None:
        """As any view does."""
        content, known, at = contents[self._place + 1], self._known, answer.at
        if content is not None and contents[self._place] == known[0]:
            row = self._unpack(content)
            event_at = row[0]
            if event_at <= at and row[1] <= at and at - event_at <= self._ttl and row[2] == self._no_nulls:
                answer.upto_at[self.name], answer.ages_us[self.name] = known[1], at - event_at
                answer.values.update(zip(self.names, self._chosen(row)))  # noqa: B905  # as many as names; `strict` would cost a tenth
                return
        super().add(contents, answer)


def _view(selection: FeatureSelection, place: int) -> _View:
    view = selection.view
    is_usual = not view.is_aggregation and len(view.entity.keys) == 1 and all(one.dtype != "string" for one in view.columns)
    return _OneKeyView(selection, place) if is_usual else _View(selection, place)


class OnlineReader:
    """Reads a feature set. Prepared once and shared by threads; a read asks the store once."""

    def __init__(self, feature_set: FeatureSet) -> None:
        self.set = feature_set
        self._views: list[_View] = []
        for selection in feature_set.features:
            self._views.append(_view(selection, self._views[-1].end if self._views else 0))
        self._keys = tuple(dict.fromkeys(name for view in self._views for name in view.keys))
        self._functions = OnlineFunctions(feature_set) if feature_set.on_demand else None
        self._asked = (*self._keys, *(field.name for field in feature_set.request))

    def read(self, store: OnlineStore, rows: Sequence[Row], at: Instant) -> OnlineValues:
        """The values for each row, by the entity keys in it, as of `at`. A key that is missing or null is nobody's.

        What is computed on demand reads the row's other fields, too: of the types that the set declares for its `request`.

        Raises BadLabels for a key of a wrong type and OnlineUnavailable where the store does not answer.
        """
        return self.read_columns(store, {name: [row.get(name) for row in rows] for name in self._asked}, len(rows), at)

    def read_row(self, store: OnlineStore, row: Row, at: Instant) -> OnlineRow:
        """`read` for one row."""
        wanted: list[bytes] = []
        for view in self._views:
            view.ask(row, at, wanted)
        contents = store.get_many(wanted)
        found_row = OnlineRow(at=at, values={}, ages_us={}, upto_at={}, missing={})
        for view in self._views:
            view.add(contents, found_row)
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
            upto_at[name] = None if mark is None else view.upto_at(mark)
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
