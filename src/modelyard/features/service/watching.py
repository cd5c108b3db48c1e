"""What others watch: freshness against what views promise, and who reads them."""

from collections.abc import Sequence

from modelyard.access.domain import Principal, TeamId
from modelyard.core.clock import Instant
from modelyard.features import store
from modelyard.features.domain import AppliedView, FeatureConsumer, FeatureSet, ViewFreshness, ViewReader
from modelyard.features.rules import freshness_of
from modelyard.features.service.definitions import get_view
from modelyard.storage.database import Snapshot, Transaction


def view_freshness(snapshot: Snapshot, principal: Principal, view: str) -> ViewFreshness:
    """How far the view's newest event online lies back now, against what it promises. Raises ViewNotFound."""
    found = get_view(snapshot, principal, view)
    return freshness_of(found.view, store.list_materializations(snapshot, [view]).get((view, found.digest)), snapshot.now())


def list_freshness(snapshot: Snapshot, now: Instant) -> list[ViewFreshness]:
    """The freshness of every view at an instant, each once: for monitoring, which may see all.

    Where models answer by a view, it is as fresh as the version of it that they read, the worst of several: a version that was
    only applied is nobody's yet. A view that no answer comes from is as fresh as the version that stands.
    """
    brought = store.list_materializations(snapshot)
    answering = {(one.view, one.digest) for one in store.list_readers(snapshot) if one.is_answering}
    standing = store.list_views(snapshot)
    versions: dict[str, list[AppliedView]] = {one.view.name: [] for one in standing}
    for one in [*standing, *store.list_older(snapshot)]:
        if (one.view.name, one.digest) in answering:
            versions[one.view.name].append(one)
    judged = [versions[one.view.name] or [one] for one in standing]
    return [
        max((freshness_of(one.view, brought.get((one.view.name, one.digest)), now) for one in some), key=lambda found: found.urgency)
        for some in judged
    ]


def put_readers(tx: Transaction, holder: str, team: TeamId, readers: Sequence[ViewReader]) -> None:
    """Notes which versions of views the versions of models that `holder` serves read, and nothing else of it any more.

    From then on these are brought online as they were, whatever stands under their names.
    """
    store.replace_readers(tx, holder, team, readers)


def list_readers(snapshot: Snapshot, principal: Principal, view: str) -> list[ViewReader]:
    """Which versions of served models read which versions of a view, those that answer first. Raises ViewNotFound."""
    get_view(snapshot, principal, view)
    return store.list_readers(snapshot, [view])


def put_consumer(tx: Transaction, name: str, href: str, feature_set: FeatureSet, team_id: TeamId) -> None:
    """Notes that `name` (a model, say) reads the set, and nothing else any more. `href` is its page."""
    digest = feature_set.digest
    consumers = [
        FeatureConsumer(name=name, href=href, view=view.name, set=feature_set.name, set_digest=digest) for view in feature_set.views
    ]
    store.replace_consumers(tx, name, team_id, consumers)


def remove_consumer(tx: Transaction, name: str, team_id: TeamId) -> None:
    """Notes that `name` reads nothing any more."""
    store.replace_consumers(tx, name, team_id, [])


def list_consumers(snapshot: Snapshot, principal: Principal, view: str) -> list[FeatureConsumer]:
    """What reads a view, by name. Raises ViewNotFound."""
    get_view(snapshot, principal, view)
    return store.list_consumers(snapshot, [view])
