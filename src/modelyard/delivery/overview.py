"""Deliveries as they are asked for of all models at once: the latest of each, and those since an instant. A query each."""

from modelyard.access.domain import Principal, Role
from modelyard.core.clock import Instant
from modelyard.delivery import store
from modelyard.delivery.domain import Delivery
from modelyard.storage.database import Snapshot

MOST_SINCE = 2000


def latest_deliveries(snapshot: Snapshot, principal: Principal) -> dict[str, Delivery]:
    """The latest delivery of every model that the caller may see, by model."""
    return {one.model: one for one in store.list_latest_deliveries(snapshot) if principal.may(Role.VIEWER, one.team_id)}


def deliveries_since(snapshot: Snapshot, principal: Principal, since: Instant) -> list[Delivery]:
    """The deliveries that the caller may see and that began at `since` or later, newest first, of the last 2,000."""
    found = store.list_deliveries_since(snapshot, since, MOST_SINCE)
    return [one for one in found if principal.may(Role.VIEWER, one.team_id)]
