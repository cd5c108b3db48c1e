"""Writing a part of a view's online values anew: those of the entities that have an event in a range. Owns which they are."""

import msgspec
import polars as pl

from modelyard.features.history import NEVER, History
from modelyard.features.layout import Mark
from modelyard.features.materialization import Change, Put, keys_of, pages_and_mark, rows_between
from modelyard.features.rows import CREATED, EVENT
from modelyard.storage.online import OnlineStore


class Wanted(msgspec.Struct, frozen=True):
    """The events of a range, from `since` until before `until`, whose entities are to be as of `mark`."""

    mark: Mark
    since: int
    until: int


class Refill(msgspec.Struct, frozen=True, kw_only=True):
    """What writes some entities' values anew, and how many rows lie in the range, of how many entities."""

    puts: list[Put]
    deletes: list[bytes]
    rows: int
    entities: int


def refilled(history: History, store: OnlineStore, wanted: Wanted) -> Refill:
    """What writes the values of all entities with a wanted event anew, whatever the store holds of them."""
    view, upto_at = history.view, wanted.mark.upto_at
    keys = [key.name for key in view.entity.keys]
    known = history.rows.filter(pl.max_horizontal(EVENT, CREATED) <= upto_at)
    found = known.filter(pl.col(EVENT).is_between(wanted.since, wanted.until, closed="left"))
    chosen = found.select(keys).unique()
    rows = history.rows.join(chosen, on=keys, how="semi", maintain_order="left")
    puts, _ = rows_between(History(view, rows, history.source), None, (NEVER, upto_at))
    written = {key for key, _ in puts}
    deletes = [key for key in keys_of(store, view, chosen.rows()) if key not in written]
    return Refill(puts=puts, deletes=deletes, rows=found.height, entities=chosen.height)


def refilling(history: History, mark: Mark, found: Refill) -> Change:
    """The change that a refill of a view is: the list of its entities is written, too, so that it is whole again; the mark stays."""
    closing = pages_and_mark(history, 0, mark)
    return Change(view=history.view, before=mark, after=mark, puts=found.puts, deletes=found.deletes, closing=closing, is_anew=True)
