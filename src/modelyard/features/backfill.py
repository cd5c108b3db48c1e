"""Writing a part of a view's online values anew: those of the entities that have an event in a range. Owns which they are."""

import msgspec
import polars as pl

from modelyard.features.history import AVAILABLE, History
from modelyard.features.layout import Mark, entity_keys
from modelyard.features.materialization import Change, anew, keys_of_entities, pages_and_mark
from modelyard.features.rows import CREATED, EVENT
from modelyard.storage.online import OnlineStore


class Refill(msgspec.Struct, frozen=True, kw_only=True):
    """What a backfill writes: the change, and how many rows lie in its range, of how many entities."""

    change: Change
    rows: int
    entities: int


def refilled(history: History, store: OnlineStore, mark: Mark, since: int, until: int) -> Refill:
    """What writes the values of all entities with an event in [`since`, `until`) anew, as of `mark`, whatever the store holds of them.

    The list of entities is written, too, so that it is whole again.
    """
    view = history.view
    keys = [key.name for key in view.entity.keys]
    known = history.rows.with_columns(pl.max_horizontal(EVENT, CREATED).alias(AVAILABLE)).filter(pl.col(AVAILABLE) <= mark.upto_at)
    found = known.filter(pl.col(EVENT).is_between(since, until, closed="left"))
    chosen = found.select(keys).unique()
    rows = history.rows.join(chosen, on=keys, how="semi", maintain_order="left")
    puts = anew(History(view, rows, history.source), mark.upto_at)
    stored = keys_of_entities(store, view, entity_keys(view.entity, b"", chosen))
    written = {key for key, _ in puts}
    change = Change(
        view=view,
        before=mark,
        after=mark,
        puts=puts,
        deletes=[key for key in stored if key not in written],
        closing=pages_and_mark(history, 0, mark),
        is_anew=True,
    )
    return Refill(change=change, rows=found.height, entities=chosen.height)
