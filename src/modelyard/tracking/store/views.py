"""Rows of saved views."""

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.core.clock import Instant
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import upsert
from modelyard.tracking.domain import ExperimentId, SavedView, SavedViewId
from modelyard.tracking.store.tables import RUN_VIEWS

_OF_ALL = ""
"""What stands for the experiment of a view that is for all of a team's: a unique constraint passes over nulls."""


def put_view(tx: Transaction, view: SavedView) -> SavedView:
    """Stores a view, over the one of its name, which keeps its id; the view as it stands."""
    row = msgspec.structs.asdict(view)
    row["view_id"], row["experiment_id"] = row.pop("id"), view.experiment_id or _OF_ALL
    upsert(tx, RUN_VIEWS, [row], ["team_id", "experiment_id", "name"], ["query", "saved_by", "saved_at"])
    named = (RUN_VIEWS.c.team_id == view.team_id) & (RUN_VIEWS.c.experiment_id == row["experiment_id"]) & (RUN_VIEWS.c.name == view.name)
    return _view(tx.connection.execute(sa.select(RUN_VIEWS).where(named)).one()._mapping)


def list_views(snapshot: Snapshot, team_id: TeamId, experiment_id: ExperimentId) -> list[SavedView]:
    """The views that are for an experiment of a team, those of all its experiments included, by name."""
    where = (RUN_VIEWS.c.team_id == team_id) & RUN_VIEWS.c.experiment_id.in_([_OF_ALL, experiment_id])
    query = sa.select(RUN_VIEWS).where(where).order_by(RUN_VIEWS.c.name, RUN_VIEWS.c.experiment_id)
    return [_view(row._mapping) for row in snapshot.connection.execute(query)]


def find_view(snapshot: Snapshot, view_id: SavedViewId) -> SavedView | None:
    """The view of that id."""
    found = snapshot.connection.execute(sa.select(RUN_VIEWS).where(RUN_VIEWS.c.view_id == view_id)).first()
    return None if found is None else _view(found._mapping)


def count_views(snapshot: Snapshot, team_id: TeamId) -> int:
    """How many views a team has."""
    return int(snapshot.connection.execute(sa.select(sa.func.count()).where(RUN_VIEWS.c.team_id == team_id)).scalar_one())


def remove_view(tx: Transaction, view_id: SavedViewId) -> None:
    """Removes a view."""
    tx.connection.execute(sa.delete(RUN_VIEWS).where(RUN_VIEWS.c.view_id == view_id))


def _view(row: sa.RowMapping) -> SavedView:
    return SavedView(
        id=SavedViewId(row["view_id"]),
        team_id=TeamId(row["team_id"]),
        experiment_id=ExperimentId(row["experiment_id"]) if row["experiment_id"] else None,
        name=row["name"],
        query=row["query"],
        saved_by=row["saved_by"],
        saved_at=Instant(row["saved_at"]),
    )
