"""Pushed events as a source: those in their table and those that wait to be flushed into it, together, each once.

Owns reading them. One state of the database says which push lies where: of the table only what counts as flushed by then is
taken, so that it makes no difference when a flush ends.
"""

import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace

import polars as pl

from modelyard.core.digests import Digest
from modelyard.features.domain import Push, PushedSource, SourceDrifted
from modelyard.features.domain.sources import PUSH_NUMBER
from modelyard.features.sources.events import frame_of, kept_schema
from modelyard.features.sources.opened import ROW
from modelyard.features.sources.reach import Place, pushed_place
from modelyard.features.store import pushed as store
from modelyard.storage.database import Snapshot

FOLDER = "pushed_events"
KEPT_SOURCES = 16


def table_of(name: str) -> str:
    """The table of a source's flushed events."""
    return f"{FOLDER}/{name}"


@dataclass(frozen=True)
class OpenPushed:
    """The events that had been pushed at a moment; of these the ones `after` a push, before which there were `before_rows`."""

    place: str
    declaration: Push
    known: PushedSource | None
    waiting: pl.DataFrame
    where: Place
    after: int = 0
    before_rows: int = 0

    @property
    def state(self) -> Hashable:
        """The digest of all pushes: flushing changes nothing in it, an erasure that changes what is read does."""
        return self.place, self.digest(), self.after

    def digest(self) -> Digest:
        """The digest of all pushes in their order, each with its creation time."""
        return store.NOTHING if self.known is None else self.known.content(self.known.digest)

    def schema(self) -> Mapping[str, pl.DataType]:
        """The declared columns."""
        return {name: dtype for name, dtype in kept_schema(self.declaration).items() if name != PUSH_NUMBER}

    def count(self) -> int:
        """How many events there are."""
        return 0 if self.known is None else self.known.events - self.before_rows

    def scan(self) -> pl.LazyFrame:
        """The events in the order of the table, which merging its files changes, and then of their pushes, with `ROW`."""
        rows = _joined(self._flushed(), self.waiting)
        return (rows.filter(pl.col(PUSH_NUMBER) > self.after) if self.after else rows).drop(PUSH_NUMBER).with_row_index(ROW)

    def in_order(self) -> pl.LazyFrame:
        """The events in the order of their pushes, with `ROW`: the same whatever was flushed and merged."""
        rows = _joined(self._flushed(), self.waiting)
        return rows.sort(PUSH_NUMBER, maintain_order=True).drop(PUSH_NUMBER).with_row_index(ROW)

    def _flushed(self) -> pl.LazyFrame | None:
        if self.known is None or self.after >= self.known.flushed_pushes:
            return None
        return flushed_rows(self.where, self.known)

    def rest(self, digest: Digest, rows: int, said: Callable[[Digest], Digest]) -> "OpenPushed | None":
        """The events that followed when there were `rows`, whose digest is said as `digest`; `None` where there never were these."""
        known = self.known
        if known is None:
            return None
        with self.where.database.read() as snapshot:
            place = store.find_place(snapshot, known, digest, lambda one: said(known.content(one)))
        return None if place is None else replace(self, after=place, before_rows=rows)

    def remember(self) -> None:
        """Has `rest` know these events later, when they have been flushed."""
        if self.known is not None:
            known = self.known
            self.where.database.write(lambda tx: store.note_head(tx, known))


def flushed_rows(where: Place, known: PushedSource) -> pl.LazyFrame:
    """The rows of the table that count as flushed for `known`: those that are appended meanwhile do not."""
    return where.tables.scan(table_of(known.declaration.name)).filter(pl.col(PUSH_NUMBER) <= known.flushed_pushes)


def waiting_rows(snapshot: Snapshot, known: PushedSource, *, since_at: int | None = None) -> pl.DataFrame:
    """The rows that are not flushed; with `since_at`, those of pushes that hold one that becomes available later."""
    kept = store.list_kept(snapshot, known, since_at=since_at)
    return frame_of(known.declaration, ((one.number, one.pushed_at, one.content) for one in kept))


def _joined(flushed: pl.LazyFrame | None, waiting: pl.DataFrame) -> pl.LazyFrame:
    return waiting.lazy() if flushed is None else pl.concat([flushed.select(waiting.columns), waiting.lazy()])


_lock = threading.Lock()
_kept: dict[tuple[int, str], OpenPushed] = {}


def declared_otherwise(known: PushedSource, source: Push) -> SourceDrifted:
    """The error for a source whose events were pushed under another declaration, with every difference."""
    before, now = known.declaration.types, source.types
    said = [f"{name!r} is {before[name]}, not {now[name]}" for name in before if name in now and before[name] != now[name]]
    said += [f"{name!r} is missing now" for name in before if name not in now]
    said += [f"{name!r} is new" for name in now if name not in before]
    differences = "; ".join(said) or "other times or another order"
    return SourceDrifted(
        f"{known.events} events of {source.name} were pushed under another declaration: {differences}",
        hint="declare it as it was, or push to a source of another name",
    )


def open_pushed(source: Push) -> OpenPushed:
    """The events of `source` as they stand: the same object again until there is another one.

    Raises SourceUnreadable, and SourceDrifted where they were pushed under another declaration.
    """
    where = pushed_place(source.name)
    slot = (id(where), source.name)
    with where.database.read() as snapshot:
        known = store.find_source(snapshot, source.name)
        if known is None or not known.pushes:
            return OpenPushed(source.place, source, None, frame_of(source, ()), where)
        if known.declaration != source:
            raise declared_otherwise(known, source)
        with _lock:
            found = _kept.get(slot)
        if found is not None and found.known is not None and found.where is where and found.digest() == known.content(known.digest):
            return found
        waiting = waiting_rows(snapshot, known)
    made = OpenPushed(source.place, source, known, waiting, where)
    with _lock:
        _kept[slot] = made
        while len(_kept) > KEPT_SOURCES:
            del _kept[next(iter(_kept))]
    return made
