"""What searches have in common, and the search of experiments: compiled to SQL, bound parameters only, pages by keyset."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.storage.database import Dialect, Snapshot
from modelyard.tracking.domain import Experiment, ExperimentId, FilterInvalid, View
from modelyard.tracking.grammar import Comparison, Order
from modelyard.tracking.rules.names import checked_experiment_id
from modelyard.tracking.sql import (
    Condition,
    SortKey,
    compared_milliseconds,
    compared_text,
    like_start,
    paged,
    starts_with,
)
from modelyard.tracking.store.experiments import load_experiments
from modelyard.tracking.store.tables import (
    EXPERIMENT_TAGS,
    EXPERIMENTS,
    VALUE_START,
)

_EXPERIMENT_COLUMNS: dict[str, sa.Column[Any]] = {
    "name": EXPERIMENTS.c.name,
    "experiment_id": EXPERIMENTS.c.experiment_id,
    "creation_time": EXPERIMENTS.c.created_at,
    "last_update_time": EXPERIMENTS.c.updated_at,
}
_TIMES = frozenset({"creation_time", "last_update_time"})


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched for: what must hold, in which order, behind which row, and how many."""

    comparisons: tuple[Comparison, ...] = ()
    orders: tuple[Order, ...] = ()
    view: View = View.ACTIVE_ONLY
    after: Sequence[Any] | None = None
    limit: int


def one_of(column: sa.ColumnElement[Any], values: Sequence[str]) -> Condition:
    """Whether a column has one of the values."""
    # An index gives its order only below an equality.
    return column == values[0] if len(values) == 1 else column.in_(values)


def text_matches(columns: Any, comparison: Comparison, dialect: Dialect) -> Condition:
    """Whether a row of params or tags has a value that compares so."""
    value = compared_text(columns.value, comparison.operator, comparison.value, dialect)
    if comparison.operator == "=" and isinstance(comparison.value, str):
        return sa.and_(columns.value_start == comparison.value[:VALUE_START], value)
    start = like_start(comparison.value)[:VALUE_START] if comparison.operator == "LIKE" else ""
    return sa.and_(starts_with(columns.value_start, start), value) if start else value


def _attribute_condition(column: sa.Column[Any], comparison: Comparison, dialect: Dialect) -> Condition:
    if comparison.key in _TIMES:
        return compared_milliseconds(column, comparison.operator, comparison.value)
    return compared_text(column, comparison.operator, comparison.value, dialect)


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
    return owner.in_(matches.where(text_matches(table.c, comparison, dialect)))


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
