"""Use cases of saved views: a table's set-up under a name, for an experiment or for all of a team's.

They decide nothing and are no evidence, so the ledger has no entry of them.
"""

from modelyard.access.domain import Principal, Role
from modelyard.access.service import require
from modelyard.core.errors import InvalidInput
from modelyard.core.ids import new_id
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking.domain import ExperimentId, NoSuchView, SavedView, SavedViewId
from modelyard.tracking.rules.names import checked_length, checked_text
from modelyard.tracking.rules.table import LONGEST_QUERY, query_of, tidied, view_of
from modelyard.tracking.service.guard import find_experiment
from modelyard.tracking.store import views

LONGEST_NAME = 80
MOST_VIEWS = 500


def list_views(snapshot: Snapshot, principal: Principal, experiment_id: ExperimentId) -> list[SavedView]:
    """The saved views of an experiment, those of all its team's experiments included, by name. Raises NoSuchExperiment."""
    experiment = find_experiment(snapshot, principal, experiment_id)
    return views.list_views(snapshot, experiment.team_id, experiment.id)


def save_view(  # noqa: PLR0913 - two are injected
    tx: Transaction, principal: Principal, experiment_id: ExperimentId, name: str, query: str, *, is_for_team: bool = False
) -> SavedView:
    """A view under its name, over the one that had it. `query` is that of the page's address; what no view has is left out of it.

    Raises NoSuchExperiment and NotAllowed, and InvalidInput beyond the bounds.
    """
    experiment = find_experiment(tx, principal, experiment_id, Role.CONTRIBUTOR)
    named = checked_text(checked_length(name.strip(), "name", LONGEST_NAME), "name")
    if not named:
        raise InvalidInput("a view needs a name", hint="say what it shows")
    checked_text(checked_length(query, "query", LONGEST_QUERY), "query")
    if views.count_views(tx, experiment.team_id) >= MOST_VIEWS:
        raise InvalidInput(f"the team {experiment.team_id} has {MOST_VIEWS} saved views, the most", hint="delete one that nobody needs")
    view = SavedView(
        id=SavedViewId(new_id("vew")),
        team_id=experiment.team_id,
        experiment_id=None if is_for_team else experiment.id,
        name=named,
        query=query_of(tidied(view_of(query))),
        saved_by=principal.id,
        saved_at=tx.now(),
    )
    return views.put_view(tx, view)


def delete_view(tx: Transaction, principal: Principal, experiment_id: ExperimentId, view_id: SavedViewId) -> SavedView:
    """Deletes a saved view of an experiment, or of its team; what it was. Raises NoSuchExperiment, NoSuchView and NotAllowed."""
    experiment = find_experiment(tx, principal, experiment_id)
    found = views.find_view(tx, view_id)
    if found is None or found.team_id != experiment.team_id or found.experiment_id not in (None, experiment.id):
        raise NoSuchView(f"There is no saved view {view_id[:80]} of this experiment", hint="its page lists those that are there")
    require(principal, Role.CONTRIBUTOR, found.team_id)
    views.remove_view(tx, view_id)
    return found
