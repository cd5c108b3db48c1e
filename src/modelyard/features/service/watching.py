"""What others watch: freshness against what views promise, and who reads them."""

from modelyard.access.domain import Principal, TeamId
from modelyard.core.clock import Instant
from modelyard.features import store
from modelyard.features.domain import FeatureConsumer, FeatureSet, ViewFreshness
from modelyard.features.rules import freshness_of
from modelyard.features.service.definitions import get_view
from modelyard.storage.database import Snapshot, Transaction


def view_freshness(snapshot: Snapshot, principal: Principal, view: str) -> ViewFreshness:
    """How far the view's newest event online lies back now, against what it promises. Raises ViewNotFound."""
    found = get_view(snapshot, principal, view)
    return freshness_of(found.view, store.list_materializations(snapshot, [view]).get((view, found.digest)), snapshot.now())


def list_freshness(snapshot: Snapshot, now: Instant) -> list[ViewFreshness]:
    """The freshness of every view as it stands, at an instant: for monitoring, which may see all."""
    brought = store.list_materializations(snapshot)
    return [freshness_of(one.view, brought.get((one.view.name, one.digest)), now) for one in store.list_views(snapshot)]


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
