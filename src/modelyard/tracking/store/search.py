"""Searches of runs, experiments and logged models compiled to SQL: bound parameters only, pages by keyset."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.storage.database import Dialect, Snapshot
from modelyard.tracking.domain import Experiment, ExperimentId, FilterInvalid, RunFacts, View
from modelyard.tracking.grammar import Comparison, Order
from modelyard.tracking.rules.names import checked_experiment_id
from modelyard.tracking.sql import (
    Condition,
    SortKey,
    compared_milliseconds,
    compared_number,
    compared_text,
    nulls_last,
    paged,
)
from modelyard.tracking.store.experiments import load_experiments
from modelyard.tracking.store.runs import run_facts
from modelyard.tracking.store.tables import (
    EXPERIMENT_TAGS,
    EXPERIMENTS,
    RUN_DATASET_INPUTS,
    RUN_DATASETS,
    RUN_PARAMS,
    RUN_SERIES,
    RUN_TAGS,
    RUNS,
    VALUE_START,
)

_RUN_COLUMNS: dict[str, sa.Column[Any]] = {
    "run_id": RUNS.c.run_id,
    "run_name": RUNS.c.name,
    "status": RUNS.c.status,
    "user_id": RUNS.c.user_name,
    "artifact_uri": RUNS.c.artifact_uri,
    "start_time": RUNS.c.started_at,
    "end_time": RUNS.c.ended_at,
}
_EXPERIMENT_COLUMNS: dict[str, sa.Column[Any]] = {
    "name": EXPERIMENTS.c.name,
    "experiment_id": EXPERIMENTS.c.experiment_id,
    "creation_time": EXPERIMENTS.c.created_at,
    "last_update_time": EXPERIMENTS.c.updated_at,
}
_TIMES = frozenset({"start_time", "end_time", "creation_time", "last_update_time"})


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched for: what must hold, in which order, behind which row, and how many."""

    comparisons: tuple[Comparison, ...] = ()
    orders: tuple[Order, ...] = ()
    view: View = View.ACTIVE_ONLY
    after: Sequence[Any] | None = None
    limit: int


def search_runs(snapshot: Snapshot, experiment_ids: Sequence[ExperimentId], search: Search) -> list[tuple[RunFacts, tuple[Any, ...]]]:
    """Runs of those experiments and their sort values."""
    query = sa.select(RUNS).where(RUNS.c.experiment_id.in_(experiment_ids), RUNS.c.lifecycle.in_(search.view.lifecycles))
    for comparison in search.comparisons:
        query = query.where(_run_condition(comparison, experiment_ids, snapshot.dialect))
    keys: list[SortKey] = []
    for order in search.orders:
        query, more = _run_order(query, order)
        keys += more
    if not any(order.entity == "attribute" and order.key == "start_time" for order in search.orders):
        keys.append(SortKey(RUNS.c.started_at, is_ascending=False))
    keys.append(SortKey(RUNS.c.run_id))
    rows = snapshot.connection.execute(paged(query, keys, search.after, search.limit))
    return [(run_facts(row._mapping), tuple(row[-len(keys) :])) for row in rows]


def _run_condition(comparison: Comparison, experiment_ids: Sequence[ExperimentId], dialect: Dialect) -> Condition:
    match comparison.entity:
        case "attribute":
            return _attribute_condition(_RUN_COLUMNS[comparison.key], comparison, dialect)
        case "metric":
            return RUNS.c.run_id.in_(_series_matches(comparison, experiment_ids))
        case "dataset":
            return RUNS.c.run_id.in_(_dataset_matches(comparison, experiment_ids, dialect))
        case "parameter":
            return text_condition(RUNS.c.run_id, RUN_PARAMS, comparison, experiment_ids, dialect)
        case "tag":
            return text_condition(RUNS.c.run_id, RUN_TAGS, comparison, experiment_ids, dialect)


def _attribute_condition(column: sa.Column[Any], comparison: Comparison, dialect: Dialect) -> Condition:
    if comparison.key in _TIMES:
        return compared_milliseconds(column, comparison.operator, comparison.value)
    return compared_text(column, comparison.operator, comparison.value, dialect)


def _series_matches(comparison: Comparison, experiment_ids: Sequence[ExperimentId]) -> sa.Select[Any]:
    table = RUN_SERIES
    value = compared_number(table.c.latest_value, comparison.operator, comparison.value)
    # A NaN, kept as 0, is unequal to every number and otherwise compares with none.
    if comparison.operator == "!=":
        value = sa.or_(value, table.c.latest_is_nan == sa.true())
    else:
        value = sa.and_(table.c.latest_is_nan == sa.false(), value)
    return sa.select(table.c.run_id).where(table.c.experiment_id.in_(experiment_ids), table.c.key == comparison.key, value)


def text_condition(
    owner: sa.Column[Any], table: sa.Table, comparison: Comparison, experiment_ids: Sequence[ExperimentId], dialect: Dialect
) -> Condition:
    """Whether an owner has a param or tag that compares so."""
    name = table.primary_key.columns[0]
    matches = sa.select(name).where(table.c.experiment_id.in_(experiment_ids), table.c.key == comparison.key)
    if comparison.operator == "IS NULL":
        return owner.not_in(matches)
    if comparison.operator == "IS NOT NULL":
        return owner.in_(matches)
    if comparison.operator == "=" and isinstance(comparison.value, str):
        matches = matches.where(table.c.value_start == comparison.value[:VALUE_START])
    return owner.in_(matches.where(compared_text(table.c.value, comparison.operator, comparison.value, dialect)))


def _dataset_matches(comparison: Comparison, experiment_ids: Sequence[ExperimentId], dialect: Dialect) -> sa.Select[Any]:
    column = RUN_DATASET_INPUTS.c.context if comparison.key == "context" else RUN_DATASETS.c[comparison.key]
    joined = sa.select(RUN_DATASET_INPUTS.c.run_id).join(RUN_DATASETS, RUN_DATASETS.c.dataset_id == RUN_DATASET_INPUTS.c.dataset_id)
    condition = compared_text(column, comparison.operator, comparison.value, dialect)
    return joined.where(RUN_DATASETS.c.experiment_id.in_(experiment_ids), condition)


def _run_order(query: sa.Select[Any], order: Order) -> tuple[sa.Select[Any], list[SortKey]]:
    if order.entity == "attribute":
        column = _RUN_COLUMNS[order.key]
        if column.nullable:
            return query, nulls_last(column, 0, is_ascending=order.is_ascending)
        return query, [SortKey(column, order.is_ascending)]
    if order.entity == "metric":
        series = RUN_SERIES.alias()
        joined = query.outerjoin(series, (series.c.run_id == RUNS.c.run_id) & (series.c.key == order.key))
        value = series.c.latest_value
        rank = sa.case((series.c.latest_is_nan == sa.true(), 1), (value.is_(None), 2), else_=0)
        return joined, [SortKey(rank), SortKey(sa.func.coalesce(value, 0.0), order.is_ascending)]
    table = (RUN_PARAMS if order.entity == "parameter" else RUN_TAGS).alias()
    joined = query.outerjoin(table, (table.c.run_id == RUNS.c.run_id) & (table.c.key == order.key))
    return joined, nulls_last(table.c.value, "", is_ascending=order.is_ascending)


def search_experiments(snapshot: Snapshot, teams: Sequence[TeamId] | None, search: Search) -> list[tuple[Experiment, tuple[Any, ...]]]:
    """Experiments of those teams, or of all, and their sort values."""
    query = sa.select(EXPERIMENTS).where(EXPERIMENTS.c.lifecycle.in_(search.view.lifecycles))
    if teams is not None:
        query = query.where(EXPERIMENTS.c.team_id.in_(teams))
    for comparison in search.comparisons:
        query = query.where(_experiment_condition(comparison, snapshot.dialect))
    keys: list[SortKey] = []
    for order in search.orders:
        if order.key == "experiment_id":
            keys += _by_id(is_ascending=order.is_ascending)
        else:
            keys.append(SortKey(_EXPERIMENT_COLUMNS[order.key], order.is_ascending))
    if not any(order.key == "experiment_id" for order in search.orders):
        keys += _by_id(is_ascending=False)
    rows = snapshot.connection.execute(paged(query, keys, search.after, search.limit)).all()
    found = load_experiments(snapshot, [row._mapping for row in rows])
    return [(one, tuple(row[-len(keys) :])) for one, row in zip(found, rows, strict=True)]


def _by_id(*, is_ascending: bool) -> list[SortKey]:
    """Ids are numbers without leading zeros: the longer is the larger."""
    column = EXPERIMENTS.c.experiment_id
    return [SortKey(sa.func.length(column), is_ascending), SortKey(column, is_ascending)]


def _experiment_condition(comparison: Comparison, dialect: Dialect) -> Condition:
    if comparison.entity == "tag":
        table = EXPERIMENT_TAGS
        matches = sa.select(table.c.experiment_id).where(table.c.key == comparison.key)
        if comparison.operator == "IS NULL":
            return EXPERIMENTS.c.experiment_id.not_in(matches)
        if comparison.operator != "IS NOT NULL":
            matches = matches.where(compared_text(table.c.value, comparison.operator, comparison.value, dialect))
        return EXPERIMENTS.c.experiment_id.in_(matches)
    value = comparison.value
    if comparison.key == "experiment_id":
        if comparison.operator in ("LIKE", "ILIKE"):
            raise FilterInvalid(f"Invalid comparator for experiment_id: {comparison.operator}")
        value = tuple(map(checked_experiment_id, value)) if isinstance(value, tuple) else checked_experiment_id(str(value))
    checked = msgspec.structs.replace(comparison, value=value)
    return _attribute_condition(_EXPERIMENT_COLUMNS[comparison.key], checked, dialect)
