"""What was erased, taken off the disks: pushed events, stored histories, what stayed online, and what is kept above of entities.

The worker does it once an erasure has been acknowledged. Each step may be killed anywhere and done again; what an erasure leaves
is gone when a whole turn has found nothing of it, and an entry of the ledger says so.
"""

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import polars as pl

from modelyard.access.domain import SYSTEM, TeamId
from modelyard.core.clock import Instant, iso
from modelyard.core.errors import ModelyardError
from modelyard.features import store
from modelyard.features.domain import AppliedView, Erasure, FeatureView, Push, PushedSource, SourceDrifted, SourceUnreadable
from modelyard.features.erased import opened_tombstones
from modelyard.features.materialization import find_mark, list_entities
from modelyard.features.offline import is_large
from modelyard.features.removal import remove_entity, remove_version
from modelyard.features.scrubbing import scrubbed
from modelyard.features.service.bringing import PATIENCE_S, alone, bring_anew, heed_erasures
from modelyard.features.service.keeping import used_versions
from modelyard.features.service.pushing import flush_pushed, forget_flushed
from modelyard.features.sources.pushed import table_of, waiting_rows
from modelyard.features.store import erasures as erasures_store
from modelyard.features.store import pushed as pushed_store
from modelyard.features.stored import Histories
from modelyard.features.stored.histories import source_of
from modelyard.features.stored.upkeep import FOLDER, KEPT_HOURS
from modelyard.features.topping import place_of
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Database, Transaction
from modelyard.storage.online import OnlineStore
from modelyard.storage.table_files import TableChange
from modelyard.storage.table_leases import release_lease, take_lease
from modelyard.storage.tables import Tables

LEASE, LEASE_S = "erasures", 900.0
LONGEST_NAME = 80
UNFINISHED_HOURS = 1
"""A flush that is not done after so long was killed: its file is nobody's."""
LOG = logging.getLogger("modelyard.features")


class Purging(msgspec.Struct, frozen=True, kw_only=True):
    """What is purged: database, histories with their tables, online store. `holder` is who does it."""

    database: Database
    histories: Histories
    online: OnlineStore
    holder: str

    @property
    def tables(self) -> Tables:
        """The tables of the histories, and of pushed events."""
        return self.histories.tables


def purge_erased(within: Purging, forget: Callable[[], int]) -> int:
    """Takes what was erased off the disks; of how many erasures the last of it is gone now. The worker calls it again and again.

    `forget` removes what components above keep of entities that were erased. What cannot be done now is told in the log of this
    process and tried the next time. Nothing is done while another process is at it.
    """
    database = within.database
    with database.read() as snapshot:
        pending = erasures_store.list_erasures(snapshot, is_pending=True)
        if not pending:
            return 0
        heed_erasures(snapshot)
    if not database.write(lambda tx: take_lease(tx, LEASE, within.holder, LEASE_S)):
        return 0
    try:
        return _purged(within, pending, forget)
    except (ModelyardError, FileNotFoundError) as error:  # a file that another process has replaced meanwhile
        LOG.warning("what was erased could not be taken off the disk yet: %s", error)
        return 0
    finally:
        # Given back, so that the next worker need not wait until it lapses.
        database.write(lambda tx: release_lease(tx, LEASE, within.holder))


def _purged(within: Purging, pending: Sequence[tuple[Erasure, TeamId]], forget: Callable[[], int]) -> int:
    database, entities = within.database, {one.entity for one, _ in pending}
    flush_pushed(database, within.tables, within.online)
    with database.read() as snapshot:
        versions, used = store.list_all_versions(snapshot), used_versions(snapshot)
        sources = pushed_store.list_sources(snapshot)
        kept = {(one.view.name, one.digest) for one in [*store.list_views(snapshot), *store.list_older(snapshot)]}
    about = [one for one in versions if one.view.entity.name in entities]
    over = {one.declaration.name: [view.view for view in versions if view.view.source == one.declaration] for one in sources}
    views = {one.declaration.name: over[one.declaration.name] or _observed(one, about) for one in sources}
    pushed = [one for one in sources if any(view.entity.name in entities for view in views[one.declaration.name])]
    clean = [_pushed_is_clean(within, one, views[one.declaration.name]) for one in pushed]
    # Views of other entities may have read the key as a value.
    beside = [one for one in versions if one not in about and any(one.view.source == source.declaration for source in pushed)]
    clean += [_history_is_clean(within, name, used) for name in _histories_of(within.tables, [*about, *beside])]
    clean += [_online_is_clean(within, one, is_kept=(one.view.name, one.digest) in kept) for one in about]
    clean += [_online_has_followed(within, one, is_kept=(one.view.name, one.digest) in kept) for one in beside]
    forget()
    if not (database.forget_freed() and all(clean)):
        return 0
    names = [one.declaration.name for one in pushed]
    return sum(database.write(lambda tx, one=one, team=team: _noted(tx, one, team, names)) for one, team in pending)  # type: ignore[misc] # bound now


def _online_is_clean(within: Purging, one: AppliedView, *, is_kept: bool) -> bool:
    """Makes good an erasure that ended before a version was without the entity online; whether nothing of it was there.

    What is online of a version came by its mark's instant: all of it, where that is no later than the erasure.
    """
    online, view, tombstones = within.online, one.view, opened_tombstones()
    # Whoever was at it when the entity was erased, and had read it by then, has ended; whoever comes later knows of the erasure.
    with alone(online, PATIENCE_S):
        mark = find_mark(online, view)
        if mark is None or tombstones is None:
            return True
        if is_kept:
            marks = {known.mark for known in tombstones.of(view.entity) if known.erased_at >= mark.upto_at}
            listed = list_entities(online, view, mark) if marks else []
            left = [keys for keys in listed if tombstones.key.mark(view.entity.name, keys) in marks]
            for keys in left:
                remove_entity(online, view, keys)
            return not left
    _remove(within, one)
    return False


def _remove(within: Purging, one: AppliedView) -> None:
    with alone(within.online, PATIENCE_S):
        remove_version(within.online, one.view)
    within.database.write(lambda tx: store.delete_materializations(tx, [(one.view.name, one.digest)]))


def _online_has_followed(within: Purging, one: AppliedView, *, is_kept: bool) -> bool:
    """Whether a view of another entity had been brought online since an erasure has changed what it reads.

    If not, brings it, or removes what nothing reads.
    """
    mark, view = find_mark(within.online, one.view), one.view
    with within.database.read() as snapshot:
        known = pushed_store.find_source(snapshot, view.source.name) if isinstance(view.source, Push) else None
        has_followed = mark is None or known is None or not known.rewritten or place_of(snapshot, view, known, mark) is not None
    if not has_followed and is_kept:
        bring_anew(within.database, within.online, one)
    elif not has_followed:
        _remove(within, one)
    return has_followed


def _observed(known: PushedSource, about: Sequence[AppliedView]) -> list[FeatureView]:
    """A source that only models learn from, as a view would read it about each entity of its team's whose keys it has."""
    source, found = known.declaration, []
    for entity in dict.fromkeys(one.view.entity for one in about if one.team_id == known.team_id):
        keys = [key.name for key in entity.keys]
        values = [name for name, dtype in source.types.items() if name not in keys and dtype != "time"]
        if values and all(source.types.get(key.name) == key.dtype for key in entity.keys):
            found.append(FeatureView("observed", entity, source, features=values[:1]))
    return found


def _pushed_is_clean(within: Purging, known: PushedSource, views: Sequence[FeatureView]) -> bool:
    """Rewrites the files that hold events of erased entities, and removes those; whether none is left, in the database neither."""
    forget_flushed(within.database, known)
    with within.database.read() as snapshot:
        now = pushed_store.find_source(snapshot, known.declaration.name)
        waiting = None if now is None else waiting_rows(snapshot, now)
    is_waiting = waiting is not None and scrubbed(waiting, views) is not None
    tables, name = within.tables, table_of(known.declaration.name)
    if tables.version(name) is None:
        return not is_waiting
    contents = tables.contents(name)
    added, gone, is_seen = [], [], False
    for file in contents.files:
        kept = scrubbed(pl.read_parquet(file.uri, hive_partitioning=False, storage_options=dict(contents.options) or None), views)
        if kept is not None:
            gone.append(file)
            added += [tables.writer(name).write_one(kept.rows, {})] if kept.rows.height else []
            is_seen = is_seen or kept.is_seen
    source = known.declaration.name
    if is_seen:
        within.database.write(lambda tx: pushed_store.note_rewriting(tx, source, is_done=False))
    if gone:
        tables.exchange(name, TableChange(base=contents.version, added=added, gone=gone, note=""))
    # Also where a call that was killed has begun it: what was read meanwhile is read anew.
    within.database.write(lambda tx: pushed_store.note_rewriting(tx, source, is_done=True))
    return _is_swept(tables, name, UNFINISHED_HOURS) and not gone and not is_waiting


def _histories_of(tables: Tables, about: Sequence[AppliedView]) -> list[str]:
    """The tables of stored histories, used or not, of any version of these views, by their names."""
    views = {one.view.name[:LONGEST_NAME] for one in about}
    found = ((name, re.fullmatch(rf"{FOLDER}/(.+)-[0-9a-f]{{24}}", name)) for name in tables.names(FOLDER))
    return [name for name, match in found if match and match[1] in views]


def _history_is_clean(within: Purging, name: str, used: Sequence[AppliedView]) -> bool:
    """Lays a history out anew without what was erased, or removes one that no view's large source has; whether nothing older is left."""
    for one in used:
        root = Path(one.root)
        if not name.startswith(f"{FOLDER}/{one.view.name[:LONGEST_NAME]}-"):
            continue
        try:
            if source_of(one.view, root).table == name and is_large(one.view, root):
                within.histories.ready(one.view, root)
                return _is_swept(within.tables, name, KEPT_HOURS)
        except (SourceUnreadable, SourceDrifted) as error:
            LOG.warning("the history of %s cannot be laid out without what was erased, and is removed: %s", one.view.name, error)
    within.tables.drop(name)
    return name not in within.tables.names(FOLDER)


def _is_swept(tables: Tables, name: str, unfinished_hours: int) -> bool:
    """Removes the files that were replaced, and those that a killed write left long ago; whether no other than the newest are left.

    A file of an unfinished write may be another process's that goes on.
    """
    tables.vacuum(name, retention_hours=0, include_unfinished=False)
    tables.vacuum(name, retention_hours=unfinished_hours)
    return tables.writer(name).paths() <= {file.path for file in tables.contents(name).files}


def _noted(tx: Transaction, erasure: Erasure, team: TeamId, sources: Sequence[str]) -> bool:
    at = Instant(tx.now())
    if not erasures_store.note_removed(tx, erasure.id, at):
        return False
    data = {"erasure": erasure.id, "erased_at": iso(erasure.erased_at), "removed_at": iso(at), "pushed_sources": list(sources)}
    record(tx, NewEntry(type="features.erasure_completed", subject=f"entity:{erasure.entity}", actor=SYSTEM.id, data=data, team_id=team))
    return True
