"""Erasure of an entity's values: online at once, and out of every later reading of the sources, with an entry that names no key."""

from collections.abc import Callable, Collection, Mapping

import msgspec

from modelyard.access.domain import DEFAULT_TEAM, Principal, Role
from modelyard.access.service import require
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.core.errors import InvalidInput
from modelyard.core.ids import new_id
from modelyard.core.names import listed, nearest
from modelyard.features import store
from modelyard.features.domain import AppliedView, Entity, EntityNotFound, Erasure, FeatureSet, NewErasure, Tombstone, Unreached
from modelyard.features.domain.types import LONGEST_KEY_BYTES
from modelyard.features.erased import ErasureKey, Tombstones, open_tombstones, opened_tombstones
from modelyard.features.removal import remove_entity, remove_version
from modelyard.features.service.bringing import PATIENCE_S, alone, heed_erasures
from modelyard.features.service.reaching import Meant, exact_keys, mapped_keys
from modelyard.features.store import erasures as erasures_store
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.storage.online import OnlineStore

LONGEST_REASON = 2000


def open_erasures(database: Database, key: ErasureKey) -> None:
    """Has this process leave out whatever was erased, from here on and whoever reads a view's source."""

    def read() -> list[Tombstone]:
        with database.read() as snapshot:
            return erasures_store.list_tombstones(snapshot)

    open_tombstones(Tombstones(key, read))


def erase_entity(database: Database, online: OnlineStore, principal: Principal, body: NewErasure) -> Erasure:
    """Erases all values of an entity that have become available by now, in every version of every view that is about it.

    A version whose key has other columns is reached where these can be told of the given ones; the answer says which were not.
    It may whoever may approve for each team that owns such a view. Rows of the entity that become available later count again.
    Repeated, it erases what has come since; a call that was cut short is done over. Raises EntityNotFound, InvalidInput for a
    key that the entity cannot have, NotAllowed, Overloaded and OnlineUnavailable.
    """
    _check(body)
    tombstones = opened_tombstones()
    if tombstones is None:
        raise InvalidInput("this process keeps no erasures", hint="ask the server")
    with database.read() as snapshot:
        versions = _versions(snapshot, principal, body)
        kept = {(one.view.name, one.digest) for one in [*store.list_views(snapshot), *store.list_older(snapshot)]}
        standing = {(one.view.name, one.digest) for one in store.list_views(snapshot)}
    found = _reached(online, versions, body, standing)
    unreached = tuple(
        Unreached(view=one.view.name, number=one.number, keys=tuple(key.name for key in one.view.entity.keys), why=meant.why)
        for one, meant in found
        if meant.why and (one.view.name, one.digest) in kept
    )
    marks: dict[str, set[tuple[str, ...]]] = {}
    for one, meant in found:
        for keys in meant.keys:
            marks.setdefault(tombstones.key.mark(body.entity, keys), set()).add(_columns(one.view.entity))
    done = database.write(lambda tx: _recorded(tx, principal, body, Reached(found, unreached, marks, tombstones.key.name)))
    with alone(online, PATIENCE_S):
        with database.read() as snapshot:
            tombstones.tell(erasures_store.list_tombstones(snapshot))
            kept = {(one.view.name, one.digest) for one in [*store.list_views(snapshot), *store.list_older(snapshot)]}
        gone = []
        for one, meant in found:
            if (one.view.name, one.digest) not in kept and remove_version(online, one.view):
                gone.append((one.view.name, one.digest))  # nobody reads it; brought online again, it is without the entity
                continue
            for values in meant.keys:
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
    shapes: dict[tuple[str, tuple[str, ...]], Entity] = {}
    if tombstones is not None and (known := {one.entity for one in erasures_store.list_tombstones(snapshot)}):
        entities = {one.view.entity for one in store.list_all_versions(snapshot) if one.view.entity.name in known}
        shapes = {(entity.name, _columns(entity)): entity for entity in entities}

    def is_erased(keys: Mapping[str, object], at: Instant) -> bool:
        if tombstones is None:
            return False
        mine = [
            (entity, tombstones.key.mark(name, [keys[one] for one in columns]))
            for (name, columns), entity in shapes.items()
            if keys.keys() >= {*columns}
        ]
        return any(one.mark == mark and at <= one.erased_at for entity, mark in mine for one in tombstones.of(entity))

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


def _check(body: NewErasure) -> None:
    """Raises InvalidInput for a reason that is none, or too long to be recorded, and for a key that no row can have."""
    if not 1 <= len(body.why.strip()) <= LONGEST_REASON or "\x00" in body.why:
        raise InvalidInput(
            "a reason is missing, or longer than is recorded",
            hint=f"say why in at most {LONGEST_REASON} characters; it is recorded, so leave out whom it is about",
        )
    for name, value in body.keys.items():
        if isinstance(value, str) and (size := len(value.encode("utf-8", "replace"))) > LONGEST_KEY_BYTES:
            raise InvalidInput(
                f"{name[:60]!r} is a key of {size} bytes, and at most {LONGEST_KEY_BYTES} may be", hint="give the key as the source has it"
            )


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


class Reached(msgspec.Struct, frozen=True):
    """The versions about an entity with the keys that are meant, which could not be reached, and the marks under a secret's name.

    With each mark stand the key columns of the versions in which it is meant.
    """

    found: list[tuple[AppliedView, Meant]]
    unreached: tuple[Unreached, ...]
    marks: dict[str, set[tuple[str, ...]]]
    secret: str

    def tombstones(self, entity: str, at: Instant) -> list[Tombstone]:
        """What tells the rows from now on."""
        known = set().union(*self.marks.values())
        return [Tombstone(entity, mark, self.secret, at, tuple(sorted(known - mine))) for mark, mine in sorted(self.marks.items())]


def _columns(entity: Entity) -> tuple[str, ...]:
    return tuple(key.name for key in entity.keys)


def _reached(
    online: OnlineStore, versions: list[AppliedView], body: NewErasure, standing: Collection[tuple[str, Digest]]
) -> list[tuple[AppliedView, Meant]]:
    """The keys that are meant in each version. Raises InvalidInput for a key that the entity has in none.

    Only a key in the columns of a version that stands is looked for under other columns: part of a key would mean too many.
    """
    exact = {one.digest: keys for one in versions if (keys := exact_keys(one.view.entity, body.keys))}
    if not exact:
        columns = listed([f"{key.name} ({key.dtype})" for key in versions[-1].view.entity.keys])
        raise InvalidInput(
            f"the key of {body.entity} is {columns}", hint="give a value of that type for each of these columns, and for no other"
        )
    is_of_today = any(one.digest in exact and (one.view.name, one.digest) in standing for one in versions)
    otherwise = Meant(why=f"its key has other columns than {listed([*body.keys])}, which is the key of older versions alone")

    def meant(one: AppliedView) -> Meant:
        if keys := exact.get(one.digest):
            return Meant([keys])
        return mapped_keys(online, one, body.keys) if is_of_today else otherwise

    return [(one, meant(one)) for one in versions]


def _recorded(tx: Transaction, principal: Principal, body: NewErasure, reached: Reached) -> Erasure:
    teams = {one.team_id for one, _ in reached.found}
    team = next(iter(teams)) if len(teams) == 1 else DEFAULT_TEAM
    done = Erasure(
        id=new_id("era"),
        entity=body.entity,
        views=tuple(sorted({one.view.name for one, meant in reached.found if meant.keys})),
        why=body.why.strip(),
        erased_at=Instant(tx.now()),
        erased_by=principal.id,
        unreached=reached.unreached,
    )
    erasures_store.put_erasure(tx, done, team, reached.tombstones(body.entity, done.erased_at))
    data = {"erasure": done.id, "views": list(done.views), "why": done.why}
    if done.unreached:
        data["unreached"] = [f"{one.view}/{one.number}: {one.why}" for one in done.unreached]
    record(tx, NewEntry(type="features.entity_erased", subject=f"entity:{body.entity}", actor=principal.id, data=data, team_id=team))
    return done
