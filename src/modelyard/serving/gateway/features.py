"""A feature set as a gateway answers for it: questions decoded, read and encoded by what is prepared once. Owns the answer's shape."""

from collections.abc import Callable
from typing import Any

import msgspec

from modelyard.core.clock import Instant
from modelyard.features.domain import DType, FeatureSet, OnlineValues, Reason
from modelyard.features.online import OnlineReader
from modelyard.serving.gateway.rows import Form
from modelyard.serving.gateway.wire import Reply
from modelyard.storage.online import OnlineStore


class _Answer(msgspec.Struct, frozen=True, gc=False):
    set: str
    digest: str
    at: Instant
    rows: list[Any]
    ages_us: list[Any]
    upto_at: dict[str, Instant | None]
    missing: dict[str, dict[int, Reason]]


_encoder = msgspec.json.Encoder()


class ServedSet:
    """A feature set, its reader and the form of its questions."""

    def __init__(self, feature_set: FeatureSet, online: OnlineStore) -> None:
        self.name = feature_set.name
        self._digest = feature_set.digest  # a hash of the whole definition: not for each request
        self._online = online
        self.reader = OnlineReader(feature_set)
        fields: dict[str, DType] = {field.name: field.dtype or "float64" for field in feature_set.request}
        self._asked = (*(key.name for key in feature_set.keys), *fields)
        self._form = Form({key.name: key.dtype for key in feature_set.keys}, fields)
        self._row, self._ages = _maker("Row", feature_set.names), _maker("Ages", [view.name for view in feature_set.views])

    def read(self, columns: dict[str, list[Any]], count: int, at: Instant) -> OnlineValues:
        """The values for `count` rows that come as columns. Raises OnlineUnavailable."""
        return self.reader.read_columns(self._online, columns, count, at)

    def reply(self, content: bytes, at: Instant) -> Reply:
        """The values for the rows of a body, row by row, with the ages of their views and why any is missing.

        Raises BadRows, TooLarge and OnlineUnavailable.
        """
        asked = self._form.decoded(content)
        if asked.rows == 1:
            one = self.reader.read_row(self._online, {name: asked.columns[name][0] for name in self._asked}, at)
            missing = {name: {0: reason} for name, reason in one.missing.items()}
            answer = _Answer(self.name, self._digest, at, [one.values], [one.ages_us], one.upto_at, missing)
        else:
            read = self.read(asked.columns, asked.rows, at)
            rows = list(map(self._row, *read.columns.values()))
            answer = _Answer(self.name, self._digest, at, rows, list(map(self._ages, *read.ages_us.values())), read.upto_at, read.missing)
        return Reply(200, _encoder.encode(answer))


def _maker(name: str, fields: tuple[str, ...] | list[str]) -> Callable[..., Any]:
    """Makes an object with those fields out of their values: it is made and encoded faster than a dictionary."""
    slots = {f"f{place}": field for place, field in enumerate(fields)}
    made: Callable[..., Any] = msgspec.defstruct(name, list(slots), rename=slots, gc=False)
    return made
