"""What applying a view would change, told before: feature by feature, and for those who read it. Changes nothing."""

from modelyard.access.domain import Principal, Role
from modelyard.features import store
from modelyard.features.domain import FeatureSet, FeatureView, ViewPlan
from modelyard.features.rules import view_changes
from modelyard.features.service.definitions import typed_like
from modelyard.storage.database import Snapshot


def plan_views(snapshot: Snapshot, principal: Principal, feature_set: FeatureSet) -> list[ViewPlan]:
    """What applying the set's views would change, for those that would change; one of another team's is told as if there were none.

    Types that are left open are taken as they stand; no source is read.
    """
    plans = [_plan(snapshot, principal, feature_set.name, view) for view in feature_set.views]
    return [plan for plan in plans if plan is not None]


def _plan(snapshot: Snapshot, principal: Principal, own_set: str, view: FeatureView) -> ViewPlan | None:
    standing = store.find_view(snapshot, view.name)
    if standing is None or not principal.may(Role.VIEWER, standing.team_id):
        return ViewPlan(view=view.name, before=None, number=1, changes=view_changes(None, view))
    typed = typed_like(FeatureSet(view.name, [view]), FeatureSet(view.name, [standing.view])).views[0]
    if typed.digest == standing.digest:
        return None
    known = store.find_view(snapshot, view.name, typed.digest)
    brought = store.list_materializations(snapshot, [view.name])
    before = brought.get((view.name, standing.digest))
    return ViewPlan(
        view=view.name,
        before=standing.number,
        number=known.number if known else store.last_number(snapshot, view.name) + 1,
        changes=view_changes(standing.view, typed),
        readers=tuple(one for one in store.list_readers(snapshot, [view.name]) if one.digest != typed.digest),
        sets=tuple(
            one.set.name
            for one in store.list_sets(snapshot)
            if one.set.name != own_set
            and principal.may(Role.VIEWER, one.team_id)
            and any(part.name == view.name and part.digest != typed.digest for part in one.set.views)
        ),
        rows=0 if (view.name, typed.digest) in brought else None if before is None else before.rows,
    )
