"""What has been pushed since a view was last brought online, as a history of its own: so that a push costs what it brings.

Owns when that is enough: where the source, as the mark knows it, is the beginning of what it is now. Else all rows are asked for.
"""

import polars as pl

from modelyard.features.domain import FeatureView, PushedSource
from modelyard.features.erased import erased_state, pushed_digest, without_erased
from modelyard.features.history import History
from modelyard.features.layout import Mark
from modelyard.features.rows import CREATED, EVENT, ROW, check_types, normalised, not_as_declared
from modelyard.features.sources.events import kept_schema
from modelyard.features.sources.opened import read_anew
from modelyard.features.sources.pushed import flushed_rows, waiting_rows
from modelyard.features.sources.reach import pushed_place
from modelyard.features.store import pushed as store
from modelyard.storage.database import Snapshot


def fresh_history(view: FeatureView, name: str, before: Mark) -> History | None:
    """The rows of `view` that become available after `before`; `None` where they are not all that a materialization must see.

    So it is where the mark is of another past, where an entity was erased since, or where something was pushed since that counts
    from the mark's instant or before on: in a replay, whose clock stands between pushes. Raises SourceUnreadable and SourceDrifted.
    """
    return read_anew(lambda: _fresh(view, name, before))


def _fresh(view: FeatureView, name: str, before: Mark) -> History | None:
    where = pushed_place(name)
    with where.database.read() as snapshot:
        known = store.find_source(snapshot, name)
        if known is None or not _goes_on(snapshot, view, known, before):
            return None
        rows = waiting_rows(snapshot, known, since_at=before.upto_at)
    schema = kept_schema(known.declaration)
    check_types(view, schema)
    parts = [rows.lazy()]
    if known.flushed_until > before.upto_at:
        parts.append(flushed_rows(where, known).select(rows.columns))
    available = pl.max_horizontal(EVENT, CREATED)
    shaped = normalised(pl.concat(parts).with_row_index(ROW), schema, view).filter(available > before.upto_at)
    try:
        rows = without_erased(view, shaped.drop(ROW).collect())
        return History(view, rows.rechunk(), pushed_digest(erased_state(view), known.content(known.digest)))
    except pl.exceptions.PolarsError as error:
        raise not_as_declared(view, error) from error


def place_of(snapshot: Snapshot, view: FeatureView, known: PushedSource, mark: Mark) -> int | None:
    """After how many pushes a view was brought online; `None` where that is not known, or where its entities were erased since."""
    state = erased_state(view)
    return store.find_place(snapshot, known, mark.source, lambda digest: pushed_digest(state, known.content(digest)))


def _goes_on(snapshot: Snapshot, view: FeatureView, known: PushedSource, before: Mark) -> bool:
    """Whether the mark's source is the beginning of this one, and all that followed was created after the mark's instant."""
    place = place_of(snapshot, view, known, before)
    if place is None:
        return False
    if place == known.pushes:
        return True
    following = store.pushed_at(snapshot, known.declaration.name, place + 1)
    return following is not None and following > before.upto_at
