"""Views and sets as they are applied: types read from the sources, versions numbered, every change in the ledger."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from modelyard.access.domain import DEFAULT_TEAM, Principal, Role, TeamId
from modelyard.access.service import require
from modelyard.core.digests import Digest
from modelyard.core.names import nearest
from modelyard.features import store
from modelyard.features.domain import (
    AppliedFeatures,
    AppliedSet,
    AppliedView,
    Column,
    Csv,
    Feature,
    FeatureSelection,
    FeatureSet,
    FeatureSetNotFound,
    FeatureView,
    InvalidDeclaration,
    Push,
    Sql,
    ViewNotFound,
    ViewSummary,
    pinned,
)
from modelyard.features.rows import check_types, declared_types, source_files, source_schema
from modelyard.features.rules import freshness_of
from modelyard.features.service.pushed_sources import check_pushed_sources, declare_pushed
from modelyard.features.service.staying import check_sources_stay
from modelyard.features.service.trusting import apply_on_demand, check_trusted, proofs_of
from modelyard.features.soundness import check_values
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Database, Snapshot, Transaction


def resolved_view(view: FeatureView, root: Path) -> FeatureView:
    """`view` with the types that its source gives, the path taken from `root`. Raises SourceUnreadable and SourceDrifted."""
    view = _with_columns(view, root)
    files = source_files(view.source, root)
    schema = source_schema(files)
    check_types(view, schema)
    check_values(view, files)
    found = declared_types(view, schema)
    features = tuple(Feature(one.name, one.dtype or found[one.name]) for one in view.features)
    aggregate = tuple(msgspec.structs.replace(one, dtype=one.dtype or found[one.column]) for one in view.aggregate)
    return msgspec.structs.replace(view, features=features, aggregate=aggregate)


def _with_columns(view: FeatureView, root: Path) -> FeatureView:
    """`view` with the types of its source's columns where those do not say them: the declared ones, else what all rows say."""
    if not isinstance(view.source, Csv | Sql) or view.source.columns:
        return view
    found = declared_types(view, source_schema(source_files(view.source, root)))
    found |= {one.name: one.dtype for one in view.features if one.dtype is not None} | {key.name: key.dtype for key in view.entity.keys}
    columns = [Column(name, dtype) for name, dtype in found.items()]
    return msgspec.structs.replace(view, source=pinned(view.source, columns))


def resolved_set(feature_set: FeatureSet, root: Path) -> FeatureSet:
    """`feature_set` over resolved views."""
    return _over(feature_set, {view: resolved_view(view, root) for view in feature_set.views})


def typed_like(feature_set: FeatureSet, standing: FeatureSet) -> FeatureSet:
    """`feature_set` with the types that it leaves open as they are in `standing`, feature by feature; no source is read."""
    known = {(view.name, one.name): one.dtype for view in standing.views for one in view.features}
    known |= {(view.name, one.name): one.dtype for view in standing.views for one in view.aggregate}
    sources = {view.name: view.source for view in standing.views}
    views = {}
    for view in feature_set.views:
        features = tuple(Feature(one.name, one.dtype or known.get((view.name, one.name))) for one in view.features)
        aggregate = tuple(msgspec.structs.replace(one, dtype=one.dtype or known.get((view.name, one.name))) for one in view.aggregate)
        source = sources.get(view.name, view.source)
        columns = source.columns if isinstance(source, Csv | Sql) else ()
        views[view] = msgspec.structs.replace(view, source=pinned(view.source, columns), features=features, aggregate=aggregate)
    return _over(feature_set, views)


def _over(feature_set: FeatureSet, views: Mapping[FeatureView, FeatureView]) -> FeatureSet:
    parts = [FeatureSelection(views[part.view], part.names) for part in feature_set.features]
    return FeatureSet(feature_set.name, parts, feature_set.on_demand)


def apply_features(
    database: Database, principal: Principal, sets: Sequence[FeatureSet], root: Path, team_id: TeamId = DEFAULT_TEAM
) -> AppliedFeatures:
    """Applies sets and their views, sources' paths taken from `root`, all or none. What stands already is left as it is.

    Raises SourceUnreadable, SourceDrifted, SourceMoved, NotColumnwise, InvalidDeclaration where two views of one name differ,
    and NotAllowed.
    """
    with database.read() as snapshot:
        check_pushed_sources(snapshot, principal, [view.source for one in sets for view in one.views])
    resolved = [resolved_set(one, root) for one in sets]
    views = list(dict.fromkeys(view for one in resolved for view in one.views))
    names = [view.name for view in views]
    twins = [name for name in names if names.count(name) > 1]
    if twins:
        raise InvalidDeclaration(f"two different views are named {twins[0]!r}", hint="declare it once and import it where it is used")

    check_sources_stay(database, views, root)
    functions = [(function, proofs_of(one)) for one in resolved for function in one.on_demand]

    def work(tx: Transaction) -> AppliedFeatures:
        for function, proofs in functions:
            apply_on_demand(tx, principal, function, proofs, team_id)
        return AppliedFeatures(
            views=tuple(apply_view(tx, principal, view, str(root), team_id) for view in views),
            sets=tuple(apply_set(tx, principal, one, team_id) for one in resolved),
        )

    return database.write(work)


def apply_view(tx: Transaction, principal: Principal, view: FeatureView, root: str, team_id: TeamId = DEFAULT_TEAM) -> AppliedView:
    """Makes a resolved view the one under its name: a definition that was never there is a new version.

    Raises InvalidDeclaration for a view without types, SourceDrifted for one over events that were pushed otherwise, and NotAllowed.
    """
    if not view.is_typed:
        raise InvalidDeclaration(f"the types of view {view.name} are not known yet", hint="resolve it against its source first")
    standing = store.find_view(tx, view.name)
    team = standing.team_id if standing else team_id
    require(principal, Role.CONTRIBUTOR, team)
    if standing and (standing.view, standing.root) == (view, root):
        return standing
    if isinstance(view.source, Push):
        declare_pushed(tx, principal, view.source, team)
    known = store.find_view(tx, view.name, view.digest)
    applied = AppliedView(
        view=view,
        digest=view.digest,
        number=known.number if known else store.last_number(tx, view.name) + 1,
        team_id=team,
        root=root,
        applied_at=tx.now(),
        applied_by=principal.id,
    )
    store.put_view(tx, applied)
    data = {
        "entity": view.entity.name,
        "source": view.source.place,
        "kind": view.source.kind,
        "features": list(view.names),
        "owner": view.owner,
        "personal": list(view.personal_names),
        "before": standing.digest if standing else None,
    }
    subject = f"view:{view.name}/{applied.number}"
    record(tx, NewEntry(type="features.view_applied", subject=subject, actor=principal.id, data=data, digest=applied.digest, team_id=team))
    return applied


def apply_set(tx: Transaction, principal: Principal, feature_set: FeatureSet, team_id: TeamId = DEFAULT_TEAM) -> AppliedSet:
    """Makes a set the one under its name. Its views and functions must have been applied in these versions.

    Raises ViewNotFound, OnDemandNotFound and NotAllowed.
    """
    standing = store.find_set(tx, feature_set.name)
    team = standing.team_id if standing else team_id
    require(principal, Role.CONTRIBUTOR, team)
    for view in feature_set.views:
        if store.find_view(tx, view.name, view.digest) is None:
            raise ViewNotFound(f"view {view.name} has not been applied in this version", hint="apply the view before the set")
    check_trusted(tx, feature_set)
    digest = feature_set.digest
    if standing and standing.digest == digest:
        return standing
    applied = AppliedSet(set=feature_set, digest=digest, team_id=team, applied_at=tx.now(), applied_by=principal.id)
    store.put_set(tx, applied)
    data: dict[str, object] = {"features": list(feature_set.names), "views": {view.name: view.digest for view in feature_set.views}}
    if feature_set.on_demand:
        data["on_demand"] = {one.name: one.digest for one in feature_set.on_demand}
    subject = f"feature_set:{feature_set.name}"
    record(tx, NewEntry(type="features.set_applied", subject=subject, actor=principal.id, data=data, digest=digest, team_id=team))
    return applied


def get_view(snapshot: Snapshot, principal: Principal, view: str, digest: Digest | None = None) -> AppliedView:
    """The view of that name as it stands, or in the version with that digest. Raises ViewNotFound with the nearest name."""
    found = store.find_view(snapshot, view, digest)
    if found is None or not principal.may(Role.VIEWER, found.team_id):
        known = [one.view.name for one in store.list_views(snapshot) if principal.may(Role.VIEWER, one.team_id)]
        what = "no feature view" if digest is None else f"no version {digest[:80]} of a feature view"
        raise ViewNotFound(f"there is {what} {view[:80]!r}", hint=nearest(view, known))
    return found


def list_views(snapshot: Snapshot, principal: Principal) -> list[ViewSummary]:
    """The views that the principal may see, by name, with their freshness now and how many things read them."""
    brought, now = store.list_materializations(snapshot), snapshot.now()
    readers = Counter(consumer.view for consumer in store.list_consumers(snapshot))
    return [
        ViewSummary(
            applied=one,
            freshness=freshness_of(one.view, brought.get((one.view.name, one.digest)), now),
            consumers=readers[one.view.name],
        )
        for one in store.list_views(snapshot)
        if principal.may(Role.VIEWER, one.team_id)
    ]


def list_view_versions(snapshot: Snapshot, principal: Principal, view: str) -> list[AppliedView]:
    """All versions of a view, the newest first. Raises ViewNotFound."""
    get_view(snapshot, principal, view)
    return store.list_view_versions(snapshot, view)


def get_set(snapshot: Snapshot, principal: Principal, feature_set: str, digest: Digest | None = None) -> AppliedSet:
    """The set of that name as it stands, or in the version with that digest. Raises FeatureSetNotFound with the nearest name."""
    found = store.find_set(snapshot, feature_set, digest)
    if found is None or not principal.may(Role.VIEWER, found.team_id):
        known = [one.set.name for one in store.list_sets(snapshot) if principal.may(Role.VIEWER, one.team_id)]
        what = "no feature set" if digest is None else f"no version {digest[:80]} of a feature set"
        raise FeatureSetNotFound(f"there is {what} {feature_set[:80]!r}", hint=nearest(feature_set, known))
    return found


def get_readable_set(snapshot: Snapshot, principal: Principal, feature_set: str) -> AppliedSet:
    """The set of that name for somebody who asks for its values: they are those of its views, whoever owns the set.

    Raises FeatureSetNotFound, and NotAllowed for a view of a team that the caller sees nothing of.
    """
    found = get_set(snapshot, principal, feature_set)
    for view in found.set.views:
        applied = store.find_view(snapshot, view.name, view.digest)
        if applied is not None:
            require(principal, Role.VIEWER, applied.team_id)
    return found


def teams_of(snapshot: Snapshot, feature_set: FeatureSet | None) -> tuple[TeamId, ...]:
    """The teams that own the set's views, in order."""
    found = [store.find_view(snapshot, view.name, view.digest) for view in (feature_set.views if feature_set else ())]
    return tuple(sorted({one.team_id for one in found if one is not None}))


def find_applied_set(snapshot: Snapshot, digest: Digest) -> FeatureSet | None:
    """The set with that digest, also where another one stands under its name by now: for what reads it, which may see it."""
    found = store.find_set_of(snapshot, digest)
    return None if found is None else found.set


def list_sets(snapshot: Snapshot, principal: Principal) -> list[AppliedSet]:
    """The sets that the principal may see, by name."""
    return [one for one in store.list_sets(snapshot) if principal.may(Role.VIEWER, one.team_id)]
