"""What groups of runs are made of: which runs a filter finds, and one column's values for all of them, read off the indexes.

The indexes hold a column's values side by side, so a column of ten thousand runs is one scan; to look each run up takes longer.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from modelyard.storage.database import Snapshot
from modelyard.tracking.domain import ExperimentId, RunId
from modelyard.tracking.grammar import Comparison
from modelyard.tracking.store.search import matching
from modelyard.tracking.store.tables import RUN_PARAMS, RUN_SERIES, RUN_TAGS, RUNS, VALUE_START

_ATTRIBUTES = {"status": RUNS.c.status, "user_id": RUNS.c.user_name}


def count_matching(snapshot: Snapshot, experiment_ids: Sequence[ExperimentId], comparisons: Sequence[Comparison], most: int) -> int:
    """How many active runs of those experiments the comparisons find, counted no further than `most`."""
    found = matching(snapshot, experiment_ids, comparisons).limit(most).subquery()
    return int(snapshot.connection.execute(sa.select(sa.func.count()).select_from(found)).scalar_one())


def list_matching(snapshot: Snapshot, experiment_ids: Sequence[ExperimentId], comparisons: Sequence[Comparison], most: int) -> list[RunId]:
    """The ids of those runs, at most so many, the latest first."""
    query = matching(snapshot, experiment_ids, comparisons).order_by(RUNS.c.started_at.desc(), RUNS.c.run_id).limit(most)
    return list(snapshot.connection.execute(query).scalars())


def column_texts(snapshot: Snapshot, experiment_ids: Sequence[ExperimentId], name: str) -> dict[RunId, str]:
    """The text that each run of those experiments has in a column: a param, a tag, or an attribute that groups are made by."""
    head, dot, key = name.partition(".")
    if not dot:
        return _pairs(snapshot, sa.select(RUNS.c.run_id, _ATTRIBUTES[name]).where(RUNS.c.experiment_id.in_(experiment_ids)))
    table = RUN_PARAMS if head == "params" else RUN_TAGS
    own = sa.select(table.c.run_id, table.c.value_start).where(table.c.experiment_id.in_(experiment_ids), table.c.key == key)
    found = _pairs(snapshot, own)
    # The index holds the beginning of a value; only where that is full is there more of it.
    if any(len(start) == VALUE_START for start in found.values()):
        whole = sa.select(table.c.run_id, table.c.value).where(table.c.experiment_id.in_(experiment_ids), table.c.key == key)
        found |= _pairs(snapshot, whole.where(sa.func.length(table.c.value_start) == VALUE_START))
    return found


def column_numbers(snapshot: Snapshot, experiment_ids: Sequence[ExperimentId], key: str) -> dict[RunId, float]:
    """The latest value of a metric in each run of those experiments that has one; a NaN is none."""
    table = RUN_SERIES
    where = (table.c.experiment_id.in_(experiment_ids), table.c.key == key, table.c.latest_is_nan == sa.false())
    return _pairs(snapshot, sa.select(table.c.run_id, table.c.latest_value).where(*where))


def _pairs(snapshot: Snapshot, query: sa.Select[Any]) -> dict[Any, Any]:
    return {row[0]: row[1] for row in snapshot.connection.execute(query).all()}
