"""A view's source in memory, in the orders that joins and materialization need, kept until its source changes.

Owns the cache and what is derived of the rows; decides no value.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

from modelyard.core.digests import Digest
from modelyard.features.aggregates import Tape, tape
from modelyard.features.domain import FeatureView
from modelyard.features.erased import view_files
from modelyard.features.join import CODE, Entities, Ints, Timeline, timeline
from modelyard.features.layout import key_bytes
from modelyard.features.rows import CREATED, EVENT, ROW, OpenSource, files_digest, not_as_declared, source_rows

KEPT_BYTES = 2**30
"""Rows that are kept in memory, all histories together; the one that was used last stays, whatever its size."""
NEVER = -(2**63)
AVAILABLE = "\x1favailable"


class Log(Struct, frozen=True):
    """The rows in the order of availability: their indices, when each became available, the newest event and the check so far.

    The check is the sum of the rows' hashes modulo 2**64: equal for equal rows, in any order.
    """

    rows: Ints
    available: Ints
    newest: Ints
    checks: npt.NDArray[np.uint64]

    def seen(self, upto_at: int) -> int:
        """How many rows were available at an instant."""
        return int(np.searchsorted(self.available, upto_at, side="right"))


@dataclass(frozen=True)
class History:
    """All rows of a view's source, in the one shape of `rows.normalised`, and the digest of its source."""

    view: FeatureView
    rows: pl.DataFrame
    source: Digest

    @cached_property
    def log(self) -> Log:
        """The rows in the order of availability."""
        event = self.rows[EVENT].to_numpy()
        available = np.maximum(event, self.rows[CREATED].to_numpy())
        order = np.argsort(available, kind="stable")
        hashes = self.rows.hash_rows(seed=0).to_numpy()[order]
        return Log(order, available[order], np.maximum.accumulate(event[order]), np.cumsum(hashes, dtype=np.uint64))

    @cached_property
    def timeline(self) -> Timeline:
        """Since when which row was an entity's latest value: of a plain view."""
        return timeline(self.rows, self.view)

    @cached_property
    def tape(self) -> Tape:
        """The running sums of an aggregating view."""
        return tape(self.rows, self.view)

    @property
    def entities(self) -> Entities:
        """The entities."""
        return self.tape.entities if self.view.is_aggregation else self.timeline.entities

    @cached_property
    def first_seen(self) -> Ints:
        """Since when each entity is known, by code."""
        return self.tape.first_seen if self.view.is_aggregation else self.timeline.since[self.entities.offsets[:-1]]

    @cached_property
    def appearance(self) -> Ints:
        """The entities' codes in the order in which they became known."""
        return np.argsort(self.first_seen, kind="stable")

    @cached_property
    def steps(self) -> tuple[Ints, Ints, Ints]:
        """The instants of a plain view's timeline in order, with the entity of each and the row that became its value."""
        order = np.argsort(self.timeline.since, kind="stable")
        codes = np.repeat(np.arange(self.entities.count), np.diff(self.entities.offsets))
        return self.timeline.since[order], codes[order], self.timeline.rows[order]

    @cached_property
    def appeared(self) -> Ints:
        """Since when each entity is known, in order."""
        return self.first_seen[self.appearance]

    @cached_property
    def codes(self) -> Ints:
        """Each row's entity, in the order of the log."""
        return self.entities.codes(self.rows)[self.log.rows]

    @cached_property
    def logged(self) -> pl.DataFrame:
        """The rows in the order of the log: entity, event and creation time, availability, values."""
        values = self.rows.select(EVENT, CREATED, *self.view.value_names)[self.log.rows]
        available = pl.Series(AVAILABLE, self.log.available)
        return values.select(pl.Series(CODE, self.codes), EVENT, CREATED, available, *self.view.value_names)

    @cached_property
    def shown(self) -> pl.DataFrame:
        """The rows' times and values."""
        return self.rows.select(EVENT, CREATED, *self.view.value_names)

    @cached_property
    def keys(self) -> list[tuple[object, ...]]:
        """The entities' key values, by code."""
        return self.entities.keys.drop(CODE).rows()

    @cached_property
    def names(self) -> list[bytes]:
        """The entities' key values as the online store's keys hold them, by code."""
        made = key_bytes(self.view.entity)
        return [made(keys) for keys in self.keys]


_lock = threading.Lock()
_kept: OrderedDict[tuple[Digest, Path, Hashable], History] = OrderedDict()


def load_history(view: FeatureView, root: Path) -> History:
    """The history of `view`, whose source's path is taken from `root`: from memory while it is unchanged.

    Raises SourceUnreadable and SourceDrifted.
    """
    files = view_files(view, root)
    key = (view.digest, root, files.state)
    with _lock:
        found = _kept.get(key)
        if found is not None:
            _kept.move_to_end(key)
            return found
    made = read_history(view, files)
    with _lock:
        for other in [one for one in _kept if one[:2] == key[:2]]:
            del _kept[other]
        _kept[key] = made
        while len(_kept) > 1 and sum(one.rows.estimated_size() for one in _kept.values()) > KEPT_BYTES:
            _kept.popitem(last=False)
    return made


def read_history(view: FeatureView, files: OpenSource) -> History:
    """The history of `view` as it stands, read anew."""
    source = files_digest(files)
    try:
        rows = source_rows(view, files).drop(ROW).collect().rechunk()
    except pl.exceptions.PolarsError as error:
        raise not_as_declared(view, error) from error
    return History(view, rows, source)
