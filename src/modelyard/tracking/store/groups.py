"""What groups of runs are made of: which runs a filter finds, and one column's values for all of them, read off the indexes.

The indexes hold a column's values side by side, so a column of ten thousand runs is one scan; to look each run up takes longer.
SQLite hands such a column over in one row, in a third of the time of as many rows.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa

from modelyard.storage.database import Snapshot
from modelyard.storage.prepared import PreparedSelect
from modelyard.tracking.domain import ExperimentId, RunId
from modelyard.tracking.grammar import Comparison
from modelyard.tracking.rules.groups import Measured
from modelyard.tracking.rules.table import Cell
from modelyard.tracking.store.runs import list_texts
from modelyard.tracking.store.runsearch import matching
from modelyard.tracking.store.search import one_of
from modelyard.tracking.store.tables import RUN_PARAMS, RUN_SERIES, RUN_TAGS, RUNS, VALUE_START

_TEXTS = {"params": RUN_PARAMS, "tags": RUN_TAGS}
_LATEST = PreparedSelect(
    lambda ids, keys: sa.select(RUN_SERIES.c.run_id, RUN_SERIES.c.key, RUN_SERIES.c.latest_value, RUN_SERIES.c.latest_is_nan).where(
        RUN_SERIES.c.run_id.in_(ids), RUN_SERIES.c.key.in_(keys)
    ),
    "id",
    "key",
)
_ATTRIBUTES = {"status": RUNS.c.status, "user_id": RUNS.c.user_name}


def count_matching(snapshot: Snapshot, experiment_ids: Sequence[ExperimentId], comparisons: Sequence[Comparison], most: int) -> int:
    """How many active runs of those experiments the comparisons find, counted no further than `most`."""
    found = matching(snapshot, experiment_ids, comparisons).limit(most).subquery()
    return int(snapshot.connection.execute(sa.select(sa.func.count()).select_from(found)).scalar_one())


def list_matching(snapshot: Snapshot, experiment_ids: Sequence[ExperimentId], comparisons: Sequence[Comparison], most: int) -> list[str]:
    """The ids of those runs, at most so many, the latest first."""
    query = matching(snapshot, experiment_ids, comparisons).order_by(RUNS.c.started_at.desc(), RUNS.c.run_id).limit(most)
    if snapshot.dialect == "sqlite":
        found = query.subquery()
        (ids,) = _whole(snapshot, sa.select(sa.func.json_group_array(found.c.run_id)))
        return msgspec.json.decode(ids, type=list[str])
    return [row[0] for row in _plain(snapshot, query)]


def column_texts(snapshot: Snapshot, experiment_ids: Sequence[ExperimentId], name: str) -> dict[str, str]:
    """The text that each run of those experiments has in a column: a param, a tag, or an attribute that groups are made by."""
    head, dot, key = name.partition(".")
    if not dot:
        return _by_run(snapshot, RUNS.c.run_id, _ATTRIBUTES[name], one_of(RUNS.c.experiment_id, experiment_ids))
    table = _TEXTS[head]
    own = (one_of(table.c.experiment_id, experiment_ids), table.c.key == key)
    found = _by_run(snapshot, table.c.run_id, table.c.value_start, *own)
    # The index holds the beginning of a value; only where that is full is there more of it.
    if VALUE_START in set(map(len, found.values())):
        long = sa.func.length(table.c.value_start) == VALUE_START
        found.update(_plain(snapshot, sa.select(table.c.run_id, table.c.value).where(*own, long)))
    return found


def column_numbers(snapshot: Snapshot, experiment_ids: Sequence[ExperimentId], key: str) -> Measured:
    """The latest value of a metric, for all runs of those experiments that have one; a NaN is none."""
    table = RUN_SERIES
    where = (one_of(table.c.experiment_id, experiment_ids), table.c.key == key, table.c.latest_is_nan == sa.false())
    if snapshot.dialect == "sqlite":
        columns = sa.func.json_group_array(table.c.run_id), sa.func.doubles(table.c.latest_value)
        ids, numbers = _whole(snapshot, sa.select(*columns).where(*where))
        return Measured(msgspec.json.decode(ids, type=list[str]), np.frombuffer(numbers or b"", np.float64))
    rows = _plain(snapshot, sa.select(table.c.run_id, table.c.latest_value).where(*where))
    return Measured([row[0] for row in rows], np.array([row[1] for row in rows], np.float64))


def cells_of(snapshot: Snapshot, run_ids: Sequence[RunId], names: Sequence[str]) -> dict[str, dict[str, Cell]]:
    """What runs have in metric and param columns, by column and run; a NaN is the text `NaN`."""
    found: dict[str, dict[str, Cell]] = {name: {} for name in names}
    keys = {head: [name.partition(".")[2] for name in names if name.startswith(f"{head}.")] for head in ("metrics", "params")}
    for run_id, key, value, is_nan in _LATEST.rows(snapshot, run_ids, keys["metrics"]):
        found[f"metrics.{key}"][run_id] = "NaN" if is_nan else value
    for run_id, texts in list_texts(snapshot, RUN_PARAMS, run_ids, keys["params"]).items():
        for key, value in texts.items():
            found[f"params.{key}"][run_id] = value
    return found


def _by_run(snapshot: Snapshot, run: sa.Column[Any], text: sa.Column[Any], *where: sa.ColumnElement[bool]) -> dict[str, str]:
    if snapshot.dialect == "sqlite":
        (texts,) = _whole(snapshot, sa.select(sa.func.json_group_object(run, text)).where(*where))
        return msgspec.json.decode(texts, type=dict[str, str])
    return dict(_plain(snapshot, sa.select(run, text).where(*where)))


def _whole(snapshot: Snapshot, query: sa.Select[Any]) -> Any:
    return snapshot.connection.execute(query).one()


def _plain(snapshot: Snapshot, query: sa.Select[Any]) -> list[Any]:
    """The rows as the driver gives them: SQLAlchemy's own take twice as long as the scan, and none of these columns needs them."""
    result = snapshot.connection.execute(query)
    assert result.cursor is not None  # a select has one
    rows = list(result.cursor.fetchall())
    result.close()
    return rows
