"""Erasure of an entity's values: online at once, and out of every later reading of the sources, with an entry that names no key."""

from collections.abc import Callable, Mapping

from modelyard.access.domain import DEFAULT_TEAM, Principal, Role
from modelyard.access.service import require
from modelyard.core.clock import Instant
from modelyard.core.errors import InvalidInput
from modelyard.core.ids import new_id
from modelyard.core.names import listed, nearest
from modelyard.features import store
from modelyard.features.domain import AppliedView, Entity, EntityNotFound, Erasure, FeatureSet, NewErasure, Tombstone
from modelyard.features.erased import ErasureKey, Tombstones, open_tombstones, opened_tombstones
from modelyard.features.removal import remove_entity, remove_version
from modelyard.features.service.bringing import PATIENCE_S, alone, heed_erasures
from modelyard.features.store import erasures as erasures_store
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.storage.online import OnlineStore

LONGEST_REASON = 2000
LARGEST = 2**63


def open_erasures(database: Database, key: ErasureKey) -> None:
    """Has this process leave out whatever was erased, from here on and whoever reads a view's source."""

    def read() -> list[Tombstone]:
        with database.read() as snapshot:
            return erasures_store.list_tombstones(snapshot)

    open_tombstones(Tombstones(key, read))


def erase_entity(database: Database, online: OnlineStore, principal: Principal, body: NewErasure) -> Erasure:
    """Erases all values of an entity that have become available by now, in every version of every view that is about it.

    It may whoever may approve for each team that owns such a view. Rows of the entity that become available later count again.
    Repeated, it erases what has come since; a call that was cut short is done over. Raises EntityNotFound, InvalidInput for a
    key that the entity cannot have, NotAllowed, Overloaded and OnlineUnavailable.
    """
    if not body.why.strip():
        raise InvalidInput("a reason is missing", hint="say why; it is recorded, so leave out whom it is about")
    tombstones = opened_tombstones()
    if tombstones is None:
        raise InvalidInput("this process keeps no erasures", hint="ask the server")
    with database.read() as snapshot:
        versions = _versions(snapshot, principal, body)
    keys = [_keys_of(one.view.entity, body) for one in versions]
    if not any(keys):
        columns = listed([f"{key.name} ({key.dtype})" for key in versions[-1].view.entity.keys])
        raise InvalidInput(
            f"the key of {body.entity} is {columns}", hint="give a value of that type for each of these columns, and for no other"
        )
    marks = sorted({tombstones.key.mark(body.entity, one) for one in keys if one})
    done = database.write(lambda tx: _recorded(tx, principal, body, versions, (marks, tombstones.key.name)))
    with alone(online, PATIENCE_S):
        with database.read() as snapshot:
            tombstones.tell(erasures_store.list_tombstones(snapshot))
            kept = {(one.view.name, one.digest) for one in [*store.list_views(snapshot), *store.list_older(snapshot)]}
        gone = []
        for one, values in zip(versions, keys, strict=True):
            if (one.view.name, one.digest) not in kept and remove_version(online, one.view):
                gone.append((one.view.name, one.digest))  # nobody reads it; brought online again, it is without the entity
            elif values:
                remove_entity(online, one.view, values)
    if gone:
        database.write(lambda tx: store.delete_materializations(tx, gone))
    return done


def list_erasures(snapshot: Snapshot, principal: Principal) -> list[Erasure]:
    """The erasures in the caller's teams, newest first; none of them holds a key."""
    return [one for one, team in erasures_store.list_erasures(snapshot) if principal.may(Role.VIEWER, team)]


def erasures_since(snapshot: Snapshot, feature_set: FeatureSet, at: Instant) -> list[Erasure]:
    """The erasures of the set's entities at `at` or later, newest first: what was read of them before may hold rows of theirs."""
    entities = {view.entity.name for view in feature_set.views}
    return [one for one, _ in erasures_store.list_erasures(snapshot) if one.entity in entities and one.erased_at >= at]


def erased_vectors(snapshot: Snapshot) -> Callable[[Mapping[str, object], Instant], bool]:
    """Tells of the keys that a vector was read by, and of when, whether an entity among them was erased at that instant or later.

    So is told what is kept of vectors elsewhere, by keys of any version that a view has had.
    """
    heed_erasures(snapshot)
    tombstones = opened_tombstones()
    shapes: set[tuple[str, tuple[str, ...]]] = set()
    if tombstones is not None and (known := {one.entity for one in erasures_store.list_tombstones(snapshot)}):
        entities = {one.view.entity for one in store.list_all_versions(snapshot) if one.view.entity.name in known}
        shapes = {(entity.name, tuple(key.name for key in entity.keys)) for entity in entities}

    def is_erased(keys: Mapping[str, object], at: Instant) -> bool:
        if tombstones is None:
            return False
        mine = [(name, tombstones.key.mark(name, [keys[one] for one in columns])) for name, columns in shapes if keys.keys() >= {*columns}]
        return any(one.mark == mark and at <= one.erased_at for name, mark in mine for one in tombstones.of(name))

    return is_erased


def personal_in(snapshot: Snapshot, feature_set: FeatureSet) -> tuple[str, ...]:
    """The set's keys and features that say something of a person, keys first, as they were declared then or are by now.

    Whose data a column holds is no matter of the version that reads it: a flag that is set later holds for earlier ones.
    """
    keys: dict[str, None] = {}
    names: dict[str, None] = {}
    for part in feature_set.features:
        standing = store.find_view(snapshot, part.view.name)
        for view in (part.view, *([standing.view] if standing else [])):
            keys |= dict.fromkeys(key.name for key in part.view.entity.keys if view.entity.personal)
            names |= dict.fromkeys(name for name in part.names if name in view.personal_names)
    return (*keys, *names)


def _versions(snapshot: Snapshot, principal: Principal, body: NewErasure) -> list[AppliedView]:
    """All versions of all views about the entity. Raises EntityNotFound, and NotAllowed unless the caller may decide about each."""
    known = [one for one in store.list_all_versions(snapshot) if principal.may(Role.VIEWER, one.team_id)]
    found = [one for one in store.list_all_versions(snapshot) if one.view.entity.name == body.entity]
    if not any(one.view.entity.name == body.entity for one in known):
        names = sorted({one.view.entity.name for one in known})
        raise EntityNotFound(f"no view is about an entity {body.entity[:80]!r}", hint=nearest(body.entity, names))
    for one in found:
        require(principal, Role.APPROVER, one.team_id)
    return found


def _keys_of(entity: Entity, body: NewErasure) -> list[str | int]:
    """The key's values in the order and the types of the entity's columns; none where it has other columns or such values cannot be."""
    if {key.name for key in entity.keys} != set(body.keys):
        return []
    given = [(key.dtype, body.keys[key.name]) for key in entity.keys]
    if any(dtype == "int64" and not (isinstance(value, int) and abs(value) < LARGEST) for dtype, value in given):
        return []
    return [str(value) if dtype == "string" else value for dtype, value in given]


def _recorded(
    tx: Transaction, principal: Principal, body: NewErasure, versions: list[AppliedView], marks: tuple[list[str], str]
) -> Erasure:
    teams = {one.team_id for one in versions}
    team = next(iter(teams)) if len(teams) == 1 else DEFAULT_TEAM
    done = Erasure(
        id=new_id("era"),
        entity=body.entity,
        views=tuple(sorted({one.view.name for one in versions})),
        why=body.why.strip()[:LONGEST_REASON],
        erased_at=Instant(tx.now()),
        erased_by=principal.id,
    )
    erasures_store.put_erasure(tx, done, team, [Tombstone(body.entity, mark, marks[1], done.erased_at) for mark in marks[0]])
    data = {"erasure": done.id, "views": list(done.views), "why": done.why}
    record(tx, NewEntry(type="features.entity_erased", subject=f"entity:{body.entity}", actor=principal.id, data=data, team_id=team))
    return done
