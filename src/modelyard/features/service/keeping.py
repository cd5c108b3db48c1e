"""The upkeep of stored histories: laid out before the first join asks for them, merged, and removed when nobody uses them any more.

Owns which histories are used. One process at a time is at it, under the maintenance lease of these tables.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from modelyard.core.errors import ModelyardError
from modelyard.features import store
from modelyard.features.domain import AppliedView
from modelyard.features.offline import is_large
from modelyard.features.stored import Histories
from modelyard.features.stored.histories import source_of
from modelyard.features.stored.upkeep import FOLDER, KEPT_HOURS, forgotten, tidied
from modelyard.storage.database import Database, Snapshot
from modelyard.storage.table_leases import release_lease, take_lease

LEASE_S = 900.0
LOG = logging.getLogger("modelyard.features")


def keep_histories(database: Database, histories: Histories, holder: str) -> int:
    """Looks after all stored histories once; how many were changed or removed. None while another process is at it.

    Used are the versions that stand, and those that something served or a consumer's set reads. A source that cannot be read is told
    in the log; while there is one, nothing is removed.
    """
    with database.read() as snapshot:
        used, now = used_versions(snapshot), snapshot.wall()
    if not database.write(lambda tx: take_lease(tx, FOLDER, holder, LEASE_S)):
        return 0
    try:
        tables = [_kept(histories, one) for one in used]
        before_ms = now // 1000 - KEPT_HOURS * 3_600_000
        known = {name for name, _ in tables if name is not None}
        gone = forgotten(histories, known, before_ms) if len(known) == len(tables) else []
        return len(gone) + sum(is_changed for _, is_changed in tables)
    finally:
        # Given back, so that the next worker need not wait until it lapses.
        database.write(lambda tx: release_lease(tx, FOLDER, holder))


def _kept(histories: Histories, one: AppliedView) -> tuple[str | None, bool]:
    """Brings a large source's history up to date, merges its files, removes old ones.

    Its table, if that can be told, and whether there is another version now.
    """
    root = Path(one.root)
    try:
        source = source_of(one.view, root)
        if not is_large(one.view, root):
            return source.table, False
        before = histories.standing(source)
        now = histories.ready(one.view, root)
        is_merged = tidied(histories, source)
        histories.tables.vacuum(source.table, retention_hours=KEPT_HOURS)
    except ModelyardError as error:
        LOG.warning("the history of %s could not be looked after: %s", one.view.name, error)
        return None, False
    return source.table, is_merged or before is None or before.version != now.version


def used_versions(snapshot: Snapshot) -> Sequence[AppliedView]:
    """The versions that stand, and those that something served or a consumer's set reads."""
    found = {(one.view.name, one.digest): one for one in (*store.list_views(snapshot), *store.list_older(snapshot))}
    for digest in {one.set_digest for one in store.list_consumers(snapshot)}:
        consumed = store.find_set_of(snapshot, digest)
        for view in () if consumed is None else consumed.set.views:
            applied = store.find_view(snapshot, view.name, view.digest)
            if applied is not None:
                found.setdefault((view.name, view.digest), applied)
    return list(found.values())
