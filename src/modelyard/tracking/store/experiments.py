"""Rows of experiments and their tags."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from modelyard.access.domain import TeamId
from modelyard.core.clock import Instant
from modelyard.core.ids import decimal_id
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.prepared import PreparedSelect
from modelyard.storage.schema import upsert
from modelyard.tracking.domain import Experiment, ExperimentId, Lifecycle
from modelyard.tracking.store.tables import EXPERIMENT_TAGS, EXPERIMENTS, RUNS


def insert_experiment(tx: Transaction, experiment: Experiment) -> bool:
    """Adds an experiment and its tags, unless its id or name is taken; whether it was added."""
    row = msgspec.structs.asdict(experiment)
    row["experiment_id"], tags = row.pop("id"), row.pop("tags")
    insert = (postgresql.insert if tx.dialect == "postgresql" else sqlite.insert)(EXPERIMENTS)
    if tx.connection.execute(insert.on_conflict_do_nothing().returning(EXPERIMENTS.c.experiment_id), row).first() is None:
        return False
    put_tags(tx, experiment, tags)
    return True


def free_id(snapshot: Snapshot) -> ExperimentId:
    """An id that no experiment has."""
    while True:
        found = ExperimentId(decimal_id())
        if not find_experiments(snapshot, [found]):
            return found


def find_experiments(snapshot: Snapshot, ids: Sequence[ExperimentId]) -> dict[ExperimentId, Experiment]:
    """Those of the experiments that are there, whatever their lifecycle."""
    query = sa.select(EXPERIMENTS).where(EXPERIMENTS.c.experiment_id.in_(ids))
    return {one.id: one for one in load_experiments(snapshot, [row._mapping for row in snapshot.connection.execute(query)])}


class ExperimentHead(NamedTuple):
    """What a run repeats of its experiment."""

    id: ExperimentId
    team_id: TeamId
    artifact_location: str
    lifecycle: str


_HEAD_COLUMNS = ("experiment_id", "team_id", "artifact_location", "lifecycle")
_HEADS = PreparedSelect(
    lambda ids: sa.select(*(EXPERIMENTS.c[name] for name in _HEAD_COLUMNS)).where(EXPERIMENTS.c.experiment_id.in_(ids)), "id"
)


def find_head(snapshot: Snapshot, experiment_id: ExperimentId) -> ExperimentHead | None:
    """The head of an experiment, whatever its lifecycle."""
    return next((ExperimentHead(*row) for row in _HEADS.rows(snapshot, [experiment_id])), None)


def find_by_name(snapshot: Snapshot, name: str) -> Experiment | None:
    """The experiment of that name, whatever its lifecycle."""
    rows = snapshot.connection.execute(sa.select(EXPERIMENTS).where(EXPERIMENTS.c.name == name))
    return next(iter(load_experiments(snapshot, [row._mapping for row in rows])), None)


def load_experiments(snapshot: Snapshot, rows: Sequence[sa.RowMapping]) -> list[Experiment]:
    """Rows of the table with their tags, in the same order."""
    tags: dict[str, dict[str, str]] = {}
    ids = [row["experiment_id"] for row in rows]
    query = sa.select(EXPERIMENT_TAGS).where(EXPERIMENT_TAGS.c.experiment_id.in_(ids)).order_by(EXPERIMENT_TAGS.c.key)
    for tag in snapshot.connection.execute(query) if ids else ():
        tags.setdefault(tag.experiment_id, {})[tag.key] = tag.value
    return [
        Experiment(
            id=ExperimentId(row["experiment_id"]),
            name=row["name"],
            team_id=TeamId(row["team_id"]),
            artifact_location=row["artifact_location"],
            created_at=Instant(row["created_at"]),
            updated_at=Instant(row["updated_at"]),
            lifecycle=Lifecycle(row["lifecycle"]),
            tags=tags.get(row["experiment_id"], {}),
        )
        for row in rows
    ]


def update_experiment(tx: Transaction, experiment_id: ExperimentId, values: Mapping[str, Any]) -> None:
    """Overwrites columns of an experiment."""
    tx.connection.execute(sa.update(EXPERIMENTS).where(EXPERIMENTS.c.experiment_id == experiment_id).values(dict(values)))


def put_tags(tx: Transaction, experiment: Experiment | ExperimentHead, tags: Mapping[str, str]) -> None:
    """Stores tags over those that stand."""
    rows = [
        {"experiment_id": experiment.id, "team_id": experiment.team_id, "key": key, "value": value} for key, value in sorted(tags.items())
    ]
    upsert(tx, EXPERIMENT_TAGS, rows, ["experiment_id", "key"], ["value"])


def remove_tag(tx: Transaction, experiment_id: ExperimentId, key: str) -> bool:
    """Removes a tag; whether it was there."""
    where = (EXPERIMENT_TAGS.c.experiment_id == experiment_id) & (EXPERIMENT_TAGS.c.key == key)
    return tx.connection.execute(sa.delete(EXPERIMENT_TAGS).where(where)).rowcount > 0


def count_runs(snapshot: Snapshot, ids: Sequence[ExperimentId]) -> dict[ExperimentId, tuple[int, Instant | None]]:
    """How many active runs each experiment has, and when the latest started."""
    query = (
        sa.select(RUNS.c.experiment_id, sa.func.count(), sa.func.max(RUNS.c.started_at))
        .where(RUNS.c.experiment_id.in_(ids), RUNS.c.lifecycle == Lifecycle.ACTIVE)
        .group_by(RUNS.c.experiment_id)
    )
    return {ExperimentId(row[0]): (row[1], row[2]) for row in snapshot.connection.execute(query)}
