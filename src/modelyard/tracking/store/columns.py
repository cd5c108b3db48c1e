"""Which keys the metrics, params and tags of experiments have: found from one index entry a key, however many runs there are."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from modelyard.storage.database import Snapshot
from modelyard.tracking.domain import ExperimentId
from modelyard.tracking.store.tables import RUN_PARAMS, RUN_SERIES, RUN_TAGS

MOST_KEYS = 2000
KEYED = {"metrics": RUN_SERIES, "params": RUN_PARAMS, "tags": RUN_TAGS}


def list_keys(snapshot: Snapshot, experiment_ids: Sequence[ExperimentId], kind: str) -> list[str]:
    """The keys that runs of those experiments have of a kind (`metrics`, `params`, `tags`), sorted, at most so many of each one."""
    query = _KEYS[kind]
    found: set[str] = set()
    for experiment_id in experiment_ids:
        found.update(snapshot.connection.execute(query, {"experiment": experiment_id}).scalars())
    return sorted(found)


def _keys_of(table: sa.Table) -> sa.Select[Any]:
    """Each key by a step to the next one in the index: the databases would read every entry for a DISTINCT."""
    own = table.c.experiment_id == sa.bindparam("experiment")
    first = sa.select(sa.func.min(table.c.key).label("key")).where(own).cte("found_keys", recursive=True)
    following = sa.select(sa.func.min(table.c.key)).where(own, table.c.key > first.c.key).scalar_subquery()
    found = first.union_all(sa.select(following).where(first.c.key.is_not(None)))
    return sa.select(found.c.key).where(found.c.key.is_not(None)).limit(MOST_KEYS)


_KEYS = {kind: _keys_of(table) for kind, table in KEYED.items()}
