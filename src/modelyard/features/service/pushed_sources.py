"""The sources that events are pushed to: declared with what reads them, and kept as they were once events have come."""

from collections.abc import Iterable

from modelyard.access.domain import Principal, Role, TeamId
from modelyard.access.service import require
from modelyard.core.names import nearest
from modelyard.features.domain import Push, PushedSource, PushedSourceNotFound, Source
from modelyard.features.sources.pushed import declared_otherwise
from modelyard.features.store import pushed as store
from modelyard.storage.database import Snapshot, Transaction


def declare_pushed(tx: Transaction, principal: Principal, source: Push, team: TeamId) -> None:
    """Has events be taken in for `source`. Raises SourceDrifted where it has events of other columns, and NotAllowed.

    The source is the team's whose view, or whose model's rows, read it first.
    """
    standing = store.find_source(tx, source.name, for_update=True)
    if standing is not None:
        require(principal, Role.CONTRIBUTOR, standing.team_id)
        if standing.declaration == source:
            return
        if standing.pushes:
            raise declared_otherwise(standing, source)
    store.put_source(tx, source, standing.team_id if standing else team)


def check_pushed_sources(snapshot: Snapshot, principal: Principal, sources: Iterable[Source]) -> None:
    """Raises NotAllowed for events that are another team's: asked before any source is read, whose errors tell of its columns."""
    for source in sources:
        standing = store.find_source(snapshot, source.name) if isinstance(source, Push) else None
        if standing is not None:
            require(principal, Role.CONTRIBUTOR, standing.team_id)


def get_pushed_source(snapshot: Snapshot, principal: Principal, source: str) -> PushedSource:
    """What has been pushed to a source, and how much of it lies in its table. Raises PushedSourceNotFound with the nearest name."""
    found = store.find_source(snapshot, source)
    if found is None or not principal.may(Role.VIEWER, found.team_id):
        known = [one.declaration.name for one in store.list_sources(snapshot) if principal.may(Role.VIEWER, one.team_id)]
        hint = nearest(source, known) if known else 'apply a view over it first: FeatureView(..., Push("clicks", ...))'
        raise PushedSourceNotFound(f"nothing reads events pushed to {source[:80]!r}", hint=hint)
    return found


def list_pushed_sources(snapshot: Snapshot, principal: Principal) -> list[PushedSource]:
    """The sources that events are pushed to, as far as the principal may see them, by name."""
    return [one for one in store.list_sources(snapshot) if principal.may(Role.VIEWER, one.team_id)]
