"""Which keys the metrics, params and tags of experiments have, found from one index entry a key; and what runs have of some of them."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from modelyard.storage.database import Snapshot
from modelyard.storage.prepared import PreparedSelect
from modelyard.tracking.domain import ExperimentId, Run, RunFacts, RunId
from modelyard.tracking.store.runs import list_texts
from modelyard.tracking.store.series import list_latest
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


def _first_of(table: sa.Table) -> PreparedSelect:
    return PreparedSelect(
        lambda ids: sa.select(table.c.key).where(table.c.run_id.in_(ids)).group_by(table.c.key).order_by(table.c.key).limit(MOST_FIRST),
        "id",
    )


MOST_FIRST = 20
_FIRST = {kind: _first_of(table) for kind, table in KEYED.items()}


def first_keys(snapshot: Snapshot, run_ids: Sequence[RunId], kind: str, most: int) -> list[str]:
    """A few keys that those runs have of a kind: the first run's, and the others' where it has not enough."""
    found: dict[str, None] = {}
    for ids in (run_ids[:1], run_ids[1:]):
        if len(found) < most:
            found |= dict.fromkeys(row[0] for row in _FIRST[kind].tuples(snapshot, ids))
    return list(found)[:most]


_MEASURED = PreparedSelect(
    lambda ids: (
        sa.select(RUN_SERIES.c.key, sa.func.max(RUN_SERIES.c.points))
        .where(RUN_SERIES.c.run_id.in_(ids))
        .group_by(RUN_SERIES.c.key)
        .order_by(RUN_SERIES.c.key)
    ),
    "id",
)


def measured_keys(snapshot: Snapshot, run_ids: Sequence[RunId]) -> dict[str, int]:
    """The metrics of those runs, by key, with how many points one of them has of it at most."""
    return dict(_MEASURED.tuples(snapshot, run_ids))


def load_shown(snapshot: Snapshot, facts: Sequence[RunFacts], names: Sequence[str]) -> list[Run]:
    """Those runs with no more of what was logged to them than stands in some columns: the rest may be a thousand metrics each."""
    ids = [one.id for one in facts]
    keys = {kind: [key for head, _, key in (name.partition(".") for name in names) if head == kind and key] for kind in KEYED}
    latest = list_latest(snapshot, ids, keys["metrics"])
    params, tags = (list_texts(snapshot, KEYED[kind], ids, keys[kind]) for kind in ("params", "tags"))
    return [
        Run(facts=one, metrics=tuple(latest.get(one.id, ())), params=params.get(one.id, {}), tags=tags.get(one.id, {})) for one in facts
    ]
