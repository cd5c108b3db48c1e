"""Bringing a view's new rows online: what changes in the store, from the view's history and the mark of the last time.

Owns the comparison and the order of writes. Repeating a call, or going on after one that was killed, changes no value.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl
from msgspec.structs import replace

from modelyard.core.digests import Digest
from modelyard.features.domain import FeatureView, Value
from modelyard.features.exact import Ints
from modelyard.features.history import AVAILABLE, NEVER, History
from modelyard.features.join import CODE
from modelyard.features.layout import (
    ENTITIES_A_PAGE,
    ENTITY,
    TILE,
    Mark,
    PlainRow,
    entity_keys,
    key_bytes,
    mark_key,
    page_key,
    prefix,
    tile_bytes,
)
from modelyard.features.records import Record
from modelyard.features.rows import EVENT
from modelyard.features.tiles import (
    NUMBERS,
    Kept,
    NewRow,
    State,
    advance,
    kept_of,
    no_tiles,
    packed_rows,
    packed_tiles,
    tile_us,
    unpacked_rows,
    unpacked_tiles,
)
from modelyard.storage.online import OnlineStore

Put = tuple[bytes, bytes]
AT_ONCE = 20_000
"""Keys that are asked for at once."""
ENTITIES_AT_ONCE = 256
"""Entities whose aggregations are advanced together."""
FEW = 256
UNSETTLED = Digest("")
"""The source of a mark beside which a larger change is being written."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a materialization writes and deletes, and the marks before and after.

    `closing` are the list of entities and the mark. `is_anew` where all is written whatever the store held.
    """

    view: FeatureView
    before: Mark | None
    after: Mark
    puts: list[Put]
    deletes: list[bytes]
    closing: list[Put]
    is_anew: bool = False

    @property
    def new_rows(self) -> int:
        """How many rows have come since the mark before."""
        return self.after.rows - (self.before.rows if self.before else 0)


def find_mark(store: OnlineStore, view: FeatureView) -> Mark | None:
    """How far the view's version has been brought online, or `None` where it never was."""
    content = store.get_many([mark_key(view.digest)])[0]
    return None if content is None else msgspec.msgpack.decode(content, type=Mark)


def planned(history: History, store: OnlineStore, upto_at: int) -> Change:
    """What brings online all that was available up to `upto_at`: nothing where that has been done.

    If rows that were brought before are no longer those of the source, everything is written anew.
    """
    view = history.view
    before = find_mark(store, view)
    if before is not None and not _holds(history, before):
        return _rebuilt(history, store, before, max(upto_at, before.upto_at))
    if before is not None and upto_at <= before.upto_at:
        return Change(view=view, before=before, after=before, puts=[], deletes=[], closing=[])
    after = _mark(history, upto_at)
    since = NEVER if before is None else before.upto_at
    puts, deletes = rows_between(history, store, (since, upto_at))
    closing = pages_and_mark(history, before.entities if before else 0, after)
    return Change(view=view, before=before, after=after, puts=puts, deletes=deletes, closing=closing)


def topped_up(fresh: History, store: OnlineStore, before: Mark, upto_at: int) -> Change:
    """What brings online the rows of `fresh`: all that become available after `before` up to `upto_at`, and perhaps later ones.

    For sources that are known to have changed in nothing else. It comes to the same as `planned` over all rows, and costs what the new
    ones do. `fresh` bears the digest of the whole source.
    """
    view, span = fresh.view, (before.upto_at, upto_at)
    count = fresh.log.seen(upto_at)
    if not count:
        after = replace(before, upto_at=upto_at, source=fresh.source)
        return Change(view=view, before=before, after=after, puts=[], deletes=[], closing=pages_and_mark(fresh, before.entities, after))
    start = prefix(view.digest) + ENTITY
    first = [code for code in fresh.appearance.tolist() if fresh.first_seen[code] <= upto_at]
    stored = dict(zip(first, _got(store, [start + fresh.names[code] for code in first]), strict=True))
    if view.is_aggregation:
        puts, deletes = rows_between(fresh, store, span)
    else:
        puts, deletes = _later_rows(fresh, _plain_rows(fresh, span), {start + fresh.names[code]: stored[code] for code in first}), []
    new = [fresh.keys[code] for code in first if stored[code] is None]
    newest = int(fresh.log.newest[count - 1])
    after = Mark(
        upto_at=upto_at,
        newest_event_at=newest if before.newest_event_at is None else max(newest, before.newest_event_at),
        rows=before.rows + count,
        entities=before.entities + len(new),
        source=fresh.source,
        check=(before.check + int(fresh.log.checks[count - 1])) % 2**64,
    )
    closing = [*_more_pages(store, view, before.entities, new), mark_of(view, after)]
    return Change(view=view, before=before, after=after, puts=puts, deletes=deletes, closing=closing)


def carry_out(store: OnlineStore, changes: Sequence[Change]) -> None:
    """Writes the changes in one step, where the store can: whoever reads meanwhile sees all of them and their marks, or none.

    A larger one is written in parts, the mark of what is made anew after everything, so that a call that is cut short is
    done over. Elsewhere deletions come last: until the new values stand, somebody may need the rows that only the old ones reach.
    """
    puts = [put for change in changes for put in (*change.puts, *change.closing)]
    deletes = [key for change in changes for key in change.deletes]
    if len(puts) + len(deletes) <= store.at_once:
        if puts or deletes:
            write(store, puts, deletes)
        return
    for change in changes:
        if change.before is not None:
            store.put_many([open_mark(change.view, change.before)])
        _put(store, change.puts)
        if change.is_anew:
            _delete(store, change.deletes)
        _put(store, change.closing)
        if not change.is_anew:
            _delete(store, change.deletes)


def write(store: OnlineStore, puts: Sequence[Put], deletes: Sequence[bytes]) -> None:
    """Writes values and removes keys, no sooner than the values stand: in one step where the store can."""
    if len(puts) + len(deletes) <= store.at_once:
        store.put_many(puts, gone=deletes)
        return
    _put(store, puts)
    _delete(store, deletes)


def mark_of(view: FeatureView, mark: Mark) -> Put:
    """The mark under its key."""
    return mark_key(view.digest), msgspec.msgpack.encode(mark)


def open_mark(view: FeatureView, before: Mark) -> Put:
    """The mark while a larger change is written: until it is done nobody tops it up, for entities stand there that it does not count."""
    return mark_of(view, replace(before, source=UNSETTLED))


def _put(store: OnlineStore, puts: Sequence[Put]) -> None:
    for start in range(0, len(puts), store.at_once):
        store.put_many(puts[start : start + store.at_once])


def _delete(store: OnlineStore, keys: Sequence[bytes]) -> None:
    for start in range(0, len(keys), store.at_once):
        store.delete_many(keys[start : start + store.at_once])


def list_entities(store: OnlineStore, view: FeatureView, mark: Mark, *, most: int | None = None) -> list[tuple[object, ...]]:
    """The key values of the entities that are online, in the order in which they became known; `most` of them at most."""
    count = mark.entities if most is None else min(most, mark.entities)
    pages = store.get_many([page_key(view.digest, page) for page in range(-(-count // ENTITIES_A_PAGE))])
    return [tuple(keys) for page in pages if page is not None for keys in msgspec.msgpack.decode(page)][:count]


def _holds(history: History, mark: Mark) -> bool:
    """Whether the rows that were brought up to `mark` are still those of the source."""
    if mark.source == history.source:
        return True
    now = _mark(history, mark.upto_at)
    return (now.rows, now.check) == (mark.rows, mark.check)


def share_past(one: History, other: History, upto_at: int) -> bool:
    """Whether two sources of one view held the same rows up to an instant."""
    mine, others = _mark(one, upto_at), _mark(other, upto_at)
    return (mine.rows, mine.check) == (others.rows, others.check)


def _mark(history: History, upto_at: int) -> Mark:
    log, count = history.log, history.log.seen(upto_at)
    entities = int(np.searchsorted(history.appeared, upto_at, side="right"))
    newest, check = (int(log.newest[count - 1]), int(log.checks[count - 1])) if count else (None, 0)
    return Mark(upto_at=upto_at, newest_event_at=newest, rows=count, entities=entities, source=history.source, check=check)


def rows_between(history: History, store: OnlineStore | None, span: tuple[int, int]) -> tuple[list[Put], list[bytes]]:
    """What a span of availability changes. Without a store, nothing is taken over from it."""
    if not history.view.is_aggregation:
        return _plain_rows(history, span), []
    codes = np.unique(history.codes[history.log.seen(span[0]) : history.log.seen(span[1])])
    return _aggregate_rows(history, store, codes, span) if len(codes) else ([], [])


def _plain_rows(history: History, span: tuple[int, int]) -> list[Put]:
    """The last value of each entity that got one in the span."""
    view, (instants, codes, rows) = history.view, history.steps
    low, high = np.searchsorted(instants, span, side="right").tolist()
    start, row = prefix(view.digest) + ENTITY, history.packer
    # Of several values of one entity the last stays.
    latest = dict(zip(codes[low:high].tolist(), rows[low:high].tolist(), strict=True))
    if len(latest) <= FEW:
        # A few rows are picked one by one: to gather them together would take longer.
        shown = map(history.shown.row, latest.values())
        names = map(history.names.__getitem__, latest)
        return [(start + name, row.packed(values[0], values[1], values[2:])) for name, values in zip(names, shown, strict=True)]
    chosen = np.array(sorted(latest))
    keys = entity_keys(view.entity, start, history.entities.keys[chosen])
    return list(zip(keys, row.all_packed(history.shown[[latest[code] for code in chosen.tolist()]]), strict=True))


def _aggregate_rows(history: History, store: OnlineStore | None, codes: Ints, span: tuple[int, int]) -> tuple[list[Put], list[bytes]]:
    view, kept = history.view, kept_of(history.view.aggregate)
    longest = max(window.length_us for window in view.windows)
    tile = tile_us(longest)
    fresh = _new_rows(history, span, tile, longest)
    start = prefix(view.digest)
    puts: list[Put] = []
    deletes: list[bytes] = []
    for first in range(0, len(codes), ENTITIES_AT_ONCE):
        # Their states are much larger than the bytes that they become.
        some = codes[first : first + ENTITIES_AT_ONCE].tolist()
        names = [history.names[code] for code in some]
        states = _states(view, kept, store, names, [{row.event_at // tile for row in fresh[code]} for code in some])
        for name, code, state in zip(names, some, states, strict=True):
            gone = advance(state, fresh.pop(code), kept, tile, longest)
            puts.append((start + ENTITY + name, packed_tiles(state.tiles, kept)))
            puts += [
                (start + TILE + name + tile_bytes(number), packed_rows(rows, kept))
                for number, rows in state.rows.items()
                if number not in gone
            ]
            deletes += [start + TILE + name + tile_bytes(number) for number in gone]
    return puts, deletes


def _new_rows(history: History, span: tuple[int, int], tile: int, longest: int) -> dict[int, list[NewRow]]:
    """The rows of a span of availability, by entity. From the beginning: those that a window may still reach, and the newest."""
    log = history.log
    rows = history.logged[log.seen(span[0]) : log.seen(span[1])]
    if span[0] == NEVER:
        event, available = pl.col(EVENT), pl.col(AVAILABLE)
        latest = available.max().over(CODE)
        # An entity is known by its newest row even if no window reaches it; older ones out of reach are of no use to anyone.
        is_needed = (event // tile >= (latest - longest) // tile) | (event == event.max().over(CODE)) | (available == latest)
        rows = rows.filter(is_needed)
    found: dict[int, list[NewRow]] = {}
    for code, event_at, created_at, available_at, *values in rows.rows():
        found.setdefault(code, []).append(NewRow(event_at, created_at, available_at, tuple(values)))
    return found


def _states(
    view: FeatureView, kept: Sequence[Kept], store: OnlineStore | None, names: Sequence[bytes], touched: Sequence[set[int]]
) -> list[State]:
    """The entities' states as the store has them, with the rows of the touched tiles."""
    start = prefix(view.digest)
    keys = [start + ENTITY + name for name in names]
    keys += [start + TILE + name + tile_bytes(number) for name, numbers in zip(names, touched, strict=True) for number in sorted(numbers)]
    found: dict[bytes, bytes | None] = {}
    if store is not None:
        for first in range(0, len(keys), AT_ONCE):
            found.update(zip(keys[first : first + AT_ONCE], store.get_many(keys[first : first + AT_ONCE]), strict=True))
    states = []
    for name, numbers in zip(names, touched, strict=True):
        main = found.get(start + ENTITY + name)
        parts = {number: content for number in numbers if (content := found.get(start + TILE + name + tile_bytes(number)))}
        rows = {number: unpacked_rows(content, kept) for number, content in parts.items()}
        states.append(State(no_tiles(kept, NEVER) if main is None else unpacked_tiles(main, kept), rows))
    return states


def _got(store: OnlineStore, keys: Sequence[bytes]) -> list[bytes | None]:
    return [one for first in range(0, len(keys), AT_ONCE) for one in store.get_many(keys[first : first + AT_ONCE])]


def _later_rows(fresh: History, puts: Sequence[Put], stored: Mapping[bytes, bytes | None]) -> list[Put]:
    """Of a plain view's new rows those that come after what is online, in the order by which rows of one entity follow each other."""
    row = PlainRow(fresh.view)
    found = []
    for key, content in puts:
        before = stored[key]
        if before is None or _order(row.unpacked(content)) > _order(row.unpacked(before)):
            found.append((key, content))
    return found


def _order(unpacked: tuple[int, int, tuple[Value, ...], bool]) -> tuple[Any, ...]:
    """Event time, creation time, then values: a null comes before any, NaN after."""
    event_at, created_at, values, _ = unpacked
    return event_at, created_at, [(0, 0) if one is None else (2, 0) if one != one else (1, one) for one in values]


def _more_pages(store: OnlineStore, view: FeatureView, before: int, new: Sequence[tuple[object, ...]]) -> list[Put]:
    """The pages of the list of entities that change when `new` ones follow `before` others."""
    first, kept = divmod(before, ENTITIES_A_PAGE)
    if not new:
        return []
    content = store.get_many([page_key(view.digest, first)])[0] if kept else None
    listed = [*(msgspec.msgpack.decode(content)[:kept] if content else []), *new]
    pages = [listed[start : start + ENTITIES_A_PAGE] for start in range(0, len(listed), ENTITIES_A_PAGE)]
    return [(page_key(view.digest, first + index), msgspec.msgpack.encode(page)) for index, page in enumerate(pages)]


def pages_and_mark(history: History, before: int, after: Mark) -> list[Put]:
    """The pages of the list of entities that change when it grows from `before`, and the mark."""
    digest, mark = history.view.digest, mark_of(history.view, after)
    if after.entities <= before:
        return [mark]
    first = before // ENTITIES_A_PAGE
    keys = [history.keys[code] for code in history.appearance[first * ENTITIES_A_PAGE : after.entities].tolist()]
    pages = [keys[start : start + ENTITIES_A_PAGE] for start in range(0, len(keys), ENTITIES_A_PAGE)]
    return [*((page_key(digest, first + index), msgspec.msgpack.encode(page)) for index, page in enumerate(pages)), mark]


def _rebuilt(history: History, store: OnlineStore, before: Mark, upto_at: int) -> Change:
    """Everything as of `upto_at`, whatever the store holds, and the deletion of what is no longer there."""
    view, after = history.view, _mark(history, upto_at)
    puts, _ = rows_between(history, None, (NEVER, upto_at))
    closing = pages_and_mark(history, 0, after)
    written = {key for key, _ in puts + closing}
    deletes = [key for key in stored_keys(store, view, before) if key not in written]
    return Change(view=view, before=before, after=after, puts=puts, deletes=deletes, closing=closing, is_anew=True)


def stored_keys(store: OnlineStore, view: FeatureView, mark: Mark) -> list[bytes]:
    """All keys of a version in the store, except its mark's."""
    keys = keys_of(store, view, list_entities(store, view, mark))
    return keys + [page_key(view.digest, page) for page in range(-(-mark.entities // ENTITIES_A_PAGE))]


def keys_of(store: OnlineStore, view: FeatureView, entities: Sequence[tuple[object, ...]]) -> list[bytes]:
    """All keys under which some entities of a version stand in the store."""
    start, key = prefix(view.digest), key_bytes(view.entity)
    names = [key(keys) for keys in entities]
    keys = [start + ENTITY + name for name in names]
    if view.is_aggregation:
        for first in range(0, len(names), AT_ONCE):
            some = names[first : first + AT_ONCE]
            for name, main in zip(some, store.get_many([start + ENTITY + one for one in some]), strict=True):
                if main is not None:
                    keys += [start + TILE + name + tile_bytes(number) for number in Record(main).whole(NUMBERS)]
    return keys
