"""A version that is loaded: from asked rows to values in one call. Owns no traffic, no log and no HTTP.

The call is plain and synchronous; who calls it decides on which thread.
"""

import operator
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np

from modelyard.core.clock import Instant
from modelyard.registry.domain import DType
from modelyard.registry.encoding import encoder
from modelyard.serving.domain import Cell, ServedVersion
from modelyard.serving.gateway.features import ServedSet
from modelyard.serving.gateway.rows import Asked, Columns
from modelyard.serving.log.frames import CellKind, Field, Layout
from modelyard.serving.log.writer import KnownLayout
from modelyard.storage.online import OnlineStore

# A call that takes longer than this leaves the loop to others and runs on a thread.
INLINE_S = 0.005
SMOOTHING = 0.2

_KINDS: dict[DType, CellKind] = {"float64": "float", "int64": "integer", "bool": "boolean", "string": "text"}


class Predictor(Protocol):
    """A model that is loaded: one number a row."""

    def predict(self, matrix: Any, /) -> np.ndarray[Any, Any]:
        """The values of the rows of a float64 matrix, shape (rows,)."""
        ...


class Read(msgspec.Struct, frozen=True):
    """Features as they were read, by view the ages of the rows' values, and up to when the view had been brought online."""

    features: Columns
    ages_us: Mapping[str, list[int | None]]
    upto_at: Mapping[str, Instant | None]


class Computed(msgspec.Struct, frozen=True):
    """What a version made of rows: the features that it read, and a value a row."""

    read: Read
    values: list[float]
    are_finite: bool


NOTHING: list[Cell] = [None]
NOTHING_READ = Read({}, {}, {})


class LoadedVersion:
    """A version with its predictor and its reader of online features."""

    def __init__(self, model: str, version: ServedVersion, predictor: Predictor, online: OnlineStore) -> None:
        self.version = version
        self.cost_s = 0.0
        self._predict = predictor.predict
        self._matrix = encoder(version.signature).matrix
        self.served_set = ServedSet(version.feature_set, online) if version.feature_set else None
        self._keys = tuple(name for name, _ in version.keys)
        self._request = tuple(name for name, _ in version.request)
        self._features = version.feature_set.names if version.feature_set else ()
        self._views = tuple(view.name for view in version.feature_set.views) if version.feature_set else ()
        self.layout = KnownLayout(_layout(model, version, self._views))

    @property
    def is_slow(self) -> bool:
        """Whether its calls take so long that they should not hold up the loop."""
        return self.cost_s > INLINE_S

    def read(self, asked: Asked, now: Instant) -> Read:
        """The online features of the asked rows, and what is computed of them on demand. Raises OnlineUnavailable."""
        if self.served_set is None:
            return NOTHING_READ
        values = self.served_set.read(asked.columns, asked.rows, now)
        return Read(values.columns, values.ages_us, values.upto_at)

    def computed(self, asked: Asked, read: Read) -> Computed:
        """The values of the asked rows with the features that were read."""
        values = self._predict(self._matrix({**asked.columns, **read.features}))
        return Computed(read, values.tolist(), bool(np.isfinite(values).all()))

    def answered(self, asked: Asked, now: Instant) -> Computed:
        """Reads, computes, and notes what it cost."""
        started = time.perf_counter()
        computed = self.computed(asked, self.read(asked, now))
        self.cost_s += SMOOTHING * (time.perf_counter() - started - self.cost_s)
        return computed

    def logged_columns(self, asked: Asked, read: Read) -> list[list[Cell]]:
        """The cells of a frame in the order of `layout`; one cell where it is the same in every row."""
        columns = [asked.columns[name] for name in (*self._keys, *self._request)]
        columns += [read.features.get(name, NOTHING) for name in self._features]
        columns += [list(read.ages_us.get(view, NOTHING)) for view in self._views]
        columns += [[read.upto_at.get(view)] for view in self._views]
        return columns


def _layout(model: str, version: ServedVersion, views: Sequence[str]) -> Layout:
    features = version.feature_set.columns if version.feature_set else ()
    return Layout(
        model,
        version.number,
        (
            *(Field(name, "key", _KINDS[dtype]) for name, dtype in version.keys),
            *(Field(name, "request", _KINDS[dtype]) for name, dtype in version.request),
            *(Field(feature.name, "feature", _KINDS[feature.dtype or "float64"]) for feature in features),
            *(Field(view, "age", "integer") for view in views),
            *(Field(view, "upto", "integer") for view in views),
        ),
    )


def taken(asked: Asked, rows: Sequence[int]) -> Asked:
    """Some of the asked rows, in the order of `rows`."""
    if len(rows) == 1:
        return Asked({name: [cells[rows[0]]] for name, cells in asked.columns.items()}, 1)
    pick: Callable[[list[Cell]], tuple[Cell, ...]] = operator.itemgetter(*rows)
    return Asked({name: list(pick(cells)) for name, cells in asked.columns.items()}, len(rows))
