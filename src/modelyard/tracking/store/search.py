"""Searches of runs, experiments and logged models compiled to SQL: bound parameters only, pages by keyset."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.storage.database import Dialect, Snapshot
from modelyard.tracking.domain import Experiment, ExperimentId, FilterInvalid, Lifecycle, RunFacts, View
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
MOST_JOINS = 16
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
    if not search.orders or search.orders[0].entity != "metric":
        return _found_runs(snapshot, experiment_ids, search, None)
    # An index has the values of a metric in their order, but not the runs that have none: those are asked for apart, and
    # only where a page is not full without them.
    is_behind = search.after is not None and search.after[0] != 0
    found = [] if is_behind else _found_runs(snapshot, experiment_ids, search, has_value=True)
    if len(found) == search.limit:
        return found
    rest = msgspec.structs.replace(search, after=search.after if is_behind else None, limit=search.limit - len(found))
    return found + _found_runs(snapshot, experiment_ids, rest, has_value=False)


def matching(snapshot: Snapshot, experiment_ids: Sequence[ExperimentId], comparisons: Sequence[Comparison]) -> sa.Select[tuple[str]]:
    """The query for the ids of active runs of those experiments for which all the comparisons hold."""
    where = (one_of(RUNS.c.experiment_id, experiment_ids), RUNS.c.lifecycle == Lifecycle.ACTIVE)
    query: sa.Select[Any] = sa.select(RUNS.c.run_id).where(*where)
    for number, comparison in enumerate(comparisons):
        query = _narrowed(query, comparison, _Scope(experiment_ids, snapshot.dialect, may_join=number < MOST_JOINS))
    return query


def _found_runs(
    snapshot: Snapshot, experiment_ids: Sequence[ExperimentId], search: Search, has_value: bool | None
) -> list[tuple[RunFacts, tuple[Any, ...]]]:
    """Runs and sort values; with `has_value`, only those that have a value for the metric that they are ordered by, or none."""
    query = sa.select(RUNS).where(one_of(RUNS.c.experiment_id, experiment_ids), one_of(RUNS.c.lifecycle, search.view.lifecycles))
    for number, comparison in enumerate(search.comparisons):
        query = _narrowed(query, comparison, _Scope(experiment_ids, snapshot.dialect, may_join=number < MOST_JOINS))
    keys: list[SortKey] = []
    for number, order in enumerate(search.orders):
        query, more = _run_order(query, order, experiment_ids, has_value if number == 0 else None)
        keys += more
    if not any(order.entity == "attribute" and order.key == "start_time" for order in search.orders):
        keys.append(SortKey(RUNS.c.started_at, is_ascending=False))
    keys.append(SortKey(RUNS.c.run_id))
    rows = snapshot.connection.execute(paged(query, keys, search.after, search.limit))
    return [(run_facts(row._mapping), tuple(row[-len(keys) :])) for row in rows]


class _Scope(NamedTuple):
    """What a comparison is compiled for. Each run has a key once, so a join adds no rows; databases allow only so many."""

    experiment_ids: Sequence[ExperimentId]
    dialect: Dialect
    may_join: bool


def one_of(column: sa.ColumnElement[Any], values: Sequence[str]) -> Condition:
    """Whether the column has one of the values; for a single one an equality, for an index gives its order only below one."""
    return column == values[0] if len(values) == 1 else column.in_(values)


def _narrowed(query: sa.Select[Any], comparison: Comparison, scope: _Scope) -> sa.Select[Any]:
    """The query with one comparison more."""
    run_id = RUNS.c.run_id
    if comparison.entity == "attribute":
        return query.where(_attribute_condition(_RUN_COLUMNS[comparison.key], comparison, scope.dialect))
    if comparison.entity == "dataset":
        return query.where(run_id.in_(_dataset_matches(comparison, scope.experiment_ids, scope.dialect)))
    if comparison.operator in ("IS NULL", "IS NOT NULL"):
        texts = RUN_PARAMS if comparison.entity == "parameter" else RUN_TAGS
        return query.where(text_condition(run_id, texts, comparison, scope.experiment_ids, scope.dialect))
    table: sa.FromClause
    if comparison.entity == "metric":
        table = RUN_SERIES.alias()
        matches = _series_matches(table.c, comparison)
    else:
        table = (RUN_PARAMS if comparison.entity == "parameter" else RUN_TAGS).alias()
        matches = _text_matches(table.c, comparison, scope.dialect)
    keyed = one_of(table.c.experiment_id, scope.experiment_ids) & (table.c.key == comparison.key) & matches
    if scope.may_join:
        return query.join(table, (table.c.run_id == run_id) & keyed)
    return query.where(run_id.in_(sa.select(table.c.run_id).where(keyed)))


def _attribute_condition(column: sa.Column[Any], comparison: Comparison, dialect: Dialect) -> Condition:
    if comparison.key in _TIMES:
        return compared_milliseconds(column, comparison.operator, comparison.value)
    return compared_text(column, comparison.operator, comparison.value, dialect)


def _series_matches(columns: Any, comparison: Comparison) -> Condition:
    value = compared_number(columns.latest_value, comparison.operator, comparison.value)
    # A NaN, kept as 0, is unequal to every number and otherwise compares with none.
    if comparison.operator == "!=":
        return sa.or_(value, columns.latest_is_nan == sa.true())
    return sa.and_(columns.latest_is_nan == sa.false(), value)


def _text_matches(columns: Any, comparison: Comparison, dialect: Dialect) -> Condition:
    value = compared_text(columns.value, comparison.operator, comparison.value, dialect)
    if comparison.operator == "=" and isinstance(comparison.value, str):
        return sa.and_(columns.value_start == comparison.value[:VALUE_START], value)
    return value


def text_condition(
    owner: sa.Column[Any], table: sa.Table, comparison: Comparison, experiment_ids: Sequence[ExperimentId], dialect: Dialect
) -> Condition:
    """Whether an owner has a param or tag that compares so."""
    name = table.primary_key.columns[0]
    matches = sa.select(name).where(one_of(table.c.experiment_id, experiment_ids), table.c.key == comparison.key)
    if comparison.operator == "IS NULL":
        return owner.not_in(matches)
    if comparison.operator == "IS NOT NULL":
        return owner.in_(matches)
    return owner.in_(matches.where(_text_matches(table.c, comparison, dialect)))


def _dataset_matches(comparison: Comparison, experiment_ids: Sequence[ExperimentId], dialect: Dialect) -> sa.Select[Any]:
    column = RUN_DATASET_INPUTS.c.context if comparison.key == "context" else RUN_DATASETS.c[comparison.key]
    joined = sa.select(RUN_DATASET_INPUTS.c.run_id).join(RUN_DATASETS, RUN_DATASETS.c.dataset_id == RUN_DATASET_INPUTS.c.dataset_id)
    condition = compared_text(column, comparison.operator, comparison.value, dialect)
    return joined.where(RUN_DATASETS.c.experiment_id.in_(experiment_ids), condition)


def _run_order(
    query: sa.Select[Any], order: Order, experiment_ids: Sequence[ExperimentId], has_value: bool | None
) -> tuple[sa.Select[Any], list[SortKey]]:
    if order.entity == "attribute":
        column = _RUN_COLUMNS[order.key]
        if column.nullable:
            return query, nulls_last(column, 0, is_ascending=order.is_ascending)
        return query, [SortKey(column, order.is_ascending)]
    if order.entity == "metric":
        return _metric_order(query, order, experiment_ids, has_value)
    table = (RUN_PARAMS if order.entity == "parameter" else RUN_TAGS).alias()
    joined = query.outerjoin(table, (table.c.run_id == RUNS.c.run_id) & (table.c.key == order.key))
    return joined, nulls_last(table.c.value, "", is_ascending=order.is_ascending)


def _metric_order(
    query: sa.Select[Any], order: Order, experiment_ids: Sequence[ExperimentId], has_value: bool | None
) -> tuple[sa.Select[Any], list[SortKey]]:
    """Values first, then NaN, then runs without the metric; with `has_value`, only the first or only the others."""
    series = RUN_SERIES.alias()
    same = (series.c.run_id == RUNS.c.run_id) & (series.c.key == order.key)
    value, is_nan = series.c.latest_value, series.c.latest_is_nan == sa.true()
    if has_value:
        there = one_of(series.c.experiment_id, experiment_ids) & (series.c.latest_is_nan == sa.false())
        return query.join(series, same & there), [SortKey(sa.literal_column("0"), is_constant=True), SortKey(value, order.is_ascending)]
    rank = sa.case((is_nan, 1), (value.is_(None), 2), else_=0)
    joined = query.outerjoin(series, same)
    if has_value is False:
        joined = joined.where(sa.or_(value.is_(None), is_nan))
    return joined, [SortKey(rank), SortKey(sa.func.coalesce(value, 0.0), order.is_ascending)]


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
