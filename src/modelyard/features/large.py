"""Bringing a large view online in bounded memory: out of its stored history, bucket by bucket.

Owns what the buckets come to together: the mark, the list of entities, and which part is written before the rest is planned.
What the rows of a bucket change is `materialization.py`'s, so that both ways leave the same store.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from modelyard.features.backfill import Refill, Wanted, refilled
from modelyard.features.domain import FeatureView
from modelyard.features.history import NEVER, History
from modelyard.features.join import CODE
from modelyard.features.layout import ENTITIES_A_PAGE, Mark, page_key
from modelyard.features.materialization import Change, Put, find_mark, keys_of, mark_of, open_mark, rows_between, write
from modelyard.features.rows import POLARS_TYPE
from modelyard.features.stored import Histories, StoredHistory
from modelyard.features.stored.hashing import bucket_of, entity_hashes
from modelyard.storage.online import OnlineStore

HELD_BYTES = 2**26
"""What waits to be written while more is planned. Up to so much of a view is brought in one step, as a small one is."""
PAGES_AT_ONCE = 256
FIRST = "\x1ffirst"


def planned_large(histories: Histories, view: FeatureView, root: Path, store: OnlineStore, upto_at: int) -> Change:
    """As `planned`, of a view whose rows are not to be in memory together. What is more than `HELD_BYTES` has been written already.

    Until the change is carried out the mark is as before, or says that something is under way. Raises SourceUnreadable and SourceDrifted.
    """
    history, before = histories.ready(view, root), find_mark(store, view)
    if before is not None and not _holds(histories, view, history, before):
        return _brought(histories, history, _Writing(store, view, before, is_anew=True), max(upto_at, before.upto_at))
    if before is not None and upto_at <= before.upto_at:
        return Change(view=view, before=before, after=before, puts=[], deletes=[], closing=[])
    return _brought(histories, history, _Writing(store, view, before), upto_at)


def refilled_large(histories: Histories, view: FeatureView, root: Path, store: OnlineStore, wanted: Wanted) -> tuple[Change, Refill]:
    """As `refilled` and `refilling`, of a view whose rows are not to be in memory together; the refill says its counts alone."""
    history, mark = histories.ready(view, root), wanted.mark
    writing, total = _Writing(store, view, mark), _Total()
    count, entities = 0, 0
    for _, rows in histories.buckets(view, history):
        if rows.height:
            part = History(view, rows, mark.source)
            total.add(part, mark.upto_at, with_entities=True)
            found = refilled(part, store, wanted)
            writing.take(found.puts, found.deletes)
            count, entities = count + found.rows, entities + found.entities
    closing = _closing(view, total.entities, 0, mark)
    change = Change(view=view, before=mark, after=mark, puts=writing.puts, deletes=writing.deletes, closing=closing, is_anew=True)
    return change, Refill(puts=[], deletes=[], rows=count, entities=entities)


def _holds(histories: Histories, view: FeatureView, history: StoredHistory, mark: Mark) -> bool:
    """Whether the rows that were brought up to `mark` are still those of the source."""
    if mark.source == history.laid.source:
        return True
    total = _Total()
    for _, rows in histories.buckets(view, history):
        total.add(History(view, rows, mark.source), mark.upto_at)
    return (total.rows, total.check) == (mark.rows, mark.check)


class _Total:
    """What the rows of some buckets come to, as a mark says it; and their entities, with since when each is known."""

    def __init__(self) -> None:
        self.rows, self.check = 0, 0
        self.newest: int | None = None
        self.entities: list[pl.DataFrame] = []

    def add(self, history: History, upto_at: int, *, with_entities: bool = False) -> None:
        """Takes in what became available of a bucket up to an instant."""
        if not history.rows.height:
            return
        count = history.log.seen(upto_at)
        if not count:
            return
        newest = int(history.log.newest[count - 1])
        self.rows, self.check = self.rows + count, (self.check + int(history.log.checks[count - 1])) % 2**64
        self.newest = newest if self.newest is None else max(newest, self.newest)
        if with_entities:
            known = history.entities.keys.drop(CODE).with_columns(pl.Series(FIRST, history.first_seen))
            self.entities.append(known.filter(pl.col(FIRST) <= upto_at))


class _Writing:
    """The writing of one view: holds what is planned, and writes it as soon as there is much, the view's mark being open from then on."""

    def __init__(self, store: OnlineStore, view: FeatureView, before: Mark | None, *, is_anew: bool = False) -> None:
        self.store, self.view, self.before, self.is_anew = store, view, before, is_anew
        self.puts: list[Put] = []
        self.deletes: list[bytes] = []
        self._held = 0

    def take(self, puts: Sequence[Put], deletes: Sequence[bytes]) -> None:
        """What one bucket changes."""
        self.puts += puts
        self.deletes += deletes
        self._held += sum(len(key) + len(value) for key, value in puts) + sum(map(len, deletes))
        if self._held > HELD_BYTES:
            if self.before is not None:
                self.store.put_many([open_mark(self.view, self.before)])
            write(self.store, self.puts, self.deletes)
            self.puts, self.deletes, self._held = [], [], 0

    def stood(self, buckets: int) -> dict[int, pl.DataFrame]:
        """The entities that are online, by their bucket, where all is written anew."""
        if self.before is None or not self.is_anew or not self.before.entities:
            return {}
        schema, found = {key.name: POLARS_TYPE[key.dtype] for key in self.view.entity.keys}, []
        pages = [page_key(self.view.digest, page) for page in range(-(-self.before.entities // ENTITIES_A_PAGE))]
        for first in range(0, len(pages), PAGES_AT_ONCE):
            contents = self.store.get_many(pages[first : first + PAGES_AT_ONCE])
            rows = [keys for content in contents if content is not None for keys in msgspec.msgpack.decode(content)]
            found.append(pl.DataFrame(rows, schema=schema, orient="row"))
        known = pl.concat(found).head(self.before.entities)
        numbers = bucket_of(entity_hashes(known), buckets).astype(np.int64)
        return {int(bucket): known.filter(pl.Series(numbers == bucket)) for bucket in np.unique(numbers)}


def _brought(histories: Histories, history: StoredHistory, writing: _Writing, upto_at: int) -> Change:
    """Plans bucket after bucket, and writes what does not fit into memory."""
    view, before, is_anew = writing.view, writing.before, writing.is_anew
    total, stood = _Total(), writing.stood(history.laid.buckets)
    span = (NEVER if before is None or is_anew else before.upto_at, upto_at)
    for bucket, rows in histories.buckets(view, history):
        puts: list[Put] = []
        deletes: list[bytes] = []
        if rows.height:
            part = History(view, rows, history.laid.source)
            total.add(part, upto_at, with_entities=True)
            puts, deletes = rows_between(part, None if is_anew else writing.store, span)
        if is_anew:
            written = {key for key, _ in puts}
            deletes = [key for key in keys_of(writing.store, view, stood[bucket].rows()) if key not in written] if bucket in stood else []
        writing.take(puts, deletes)
    entities = sum(one.height for one in total.entities)
    after = Mark(
        upto_at=upto_at, newest_event_at=total.newest, rows=total.rows, entities=entities, source=history.laid.source, check=total.check
    )
    closing = _closing(view, total.entities, 0 if before is None or is_anew else before.entities, after)
    if before is not None and is_anew:
        gone = range(-(-after.entities // ENTITIES_A_PAGE), -(-before.entities // ENTITIES_A_PAGE))
        writing.deletes += [page_key(view.digest, page) for page in gone]
    return Change(view=view, before=before, after=after, puts=writing.puts, deletes=writing.deletes, closing=closing, is_anew=is_anew)


def _closing(view: FeatureView, entities: Sequence[pl.DataFrame], before: int, after: Mark) -> list[Put]:
    """The pages of the list of entities that change when it grows from `before`, and the mark."""
    if after.entities <= before:
        return [mark_of(view, after)]
    names = [key.name for key in view.entity.keys]
    first = before // ENTITIES_A_PAGE
    # Of those that became known at once the order is that of their keys, as it is among all rows.
    listed = pl.concat(entities).sort(FIRST, *names).select(names)[first * ENTITIES_A_PAGE :]
    pages = [msgspec.msgpack.encode(page.rows()) for page in listed.iter_slices(ENTITIES_A_PAGE)]
    return [*((page_key(view.digest, first + place), page) for place, page in enumerate(pages)), mark_of(view, after)]
