"""The search of runs compiled to SQL: bound parameters only, pages by keyset, led by whatever reads fewest rows.

Three ways lead to a page. The matches of a comparison that has few are sorted. Else the order's index is walked along, and the
comparisons are tried until the page is full. Where that takes too long, since many runs pass each comparison and hardly any
passes all, the matches of all of them are intersected. The first is chosen by counting matches, up to a bound, for a database
that only estimates is wrong by factors of thousands; the walk is given up after so many steps.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import sqlalchemy as sa

from modelyard.storage.database import Dialect, Snapshot, TooManySteps
from modelyard.tracking.domain import ExperimentId, RunFacts, RunId, View
from modelyard.tracking.grammar import Comparison, Order
from modelyard.tracking.sql import Condition, SortKey, compared_milliseconds, compared_number, compared_text, like_start, paged
from modelyard.tracking.store.runs import find_facts
from modelyard.tracking.store.search import Search, one_of, text_matches
from modelyard.tracking.store.tables import RUN_DATASET_INPUTS, RUN_DATASETS, RUN_PARAMS, RUN_SERIES, RUN_TAGS, RUNS

MOST_LED = 2000
"""So many matches of a comparison may lead: sorting them costs about what walking along an order until a page is full does."""
MOST_LED_BESIDE_RANGE = 250
"""The same where the order's own index is narrowed by a comparison of its metric."""
MOST_STEPS = 1_000_000
"""Steps of SQLite's virtual machine after which a walk is given up, about 0.3 s. PostgreSQL plans by statistics of its own."""

_COLUMNS: dict[str, sa.Column[Any]] = {
    "run_id": RUNS.c.run_id,
    "run_name": RUNS.c.name,
    "status": RUNS.c.status,
    "user_id": RUNS.c.user_name,
    "artifact_uri": RUNS.c.artifact_uri,
    "start_time": RUNS.c.started_at,
    "end_time": RUNS.c.ended_at,
}
_TIMES = frozenset({"start_time", "end_time"})
_LATEST = Order(entity="attribute", key="start_time", is_ascending=False)
Part = Literal["all", "valued", "rest"]
"""Which runs: all, or those that have a value for the key that leads the order, or the others, which come after them."""


class _Scope(NamedTuple):
    """What a condition is compiled for."""

    experiment_ids: Sequence[ExperimentId]
    dialect: Dialect


def search_runs(snapshot: Snapshot, experiment_ids: Sequence[ExperimentId], search: Search) -> list[tuple[RunFacts, tuple[Any, ...]]]:
    """Runs of those experiments and their sort values."""
    scope = _Scope(experiment_ids, snapshot.dialect)
    has_start = any(one.entity == "attribute" and one.key == "start_time" for one in search.orders)
    asked = search if has_start else msgspec.structs.replace(search, orders=(*search.orders, _LATEST))
    found = _found(snapshot, scope, asked)
    facts = find_facts(snapshot, [RunId(row[0]) for row in found])
    return [(facts[row[0]], tuple(row[1:])) for row in found]


def matching(snapshot: Snapshot, experiment_ids: Sequence[ExperimentId], comparisons: Sequence[Comparison]) -> sa.Select[tuple[str]]:
    """The query for the ids of active runs of those experiments for which all the comparisons hold."""
    scope = _Scope(experiment_ids, snapshot.dialect)
    search = Search(comparisons=tuple(comparisons), orders=(_LATEST,), limit=0)
    leader = _leader(snapshot, scope, search)
    leaders = tuple(filter(_is_indexed, comparisons)) if leader is None else (leader,)
    return _filtered(sa.select(RUNS.c.run_id), scope, search, leaders)


def _filtered(
    query: sa.Select[Any], scope: _Scope, search: Search, leaders: tuple[Comparison, ...] = (), *, is_bound: bool = False
) -> sa.Select[Any]:
    """The query narrowed to what is searched for. The runs that pass the `leaders` are found first, by their indexes.

    `is_bound` says that the query's rows are of those experiments already: then nothing else may be walked along.
    """
    query = query.where(one_of(RUNS.c.lifecycle, search.view.lifecycles))
    found = [_matches(one, scope) for one in leaders]
    if found:
        query = query.where(RUNS.c.run_id.in_(sa.intersect(*found) if len(found) > 1 else found[0]))
    elif not is_bound:
        query = query.where(one_of(RUNS.c.experiment_id, scope.experiment_ids))
    return query.where(*(_condition(one, scope) for one in search.comparisons if one not in leaders))


def _found(snapshot: Snapshot, scope: _Scope, search: Search) -> Sequence[Any]:
    leader = _leader(snapshot, scope, search)
    if leader is not None:
        return snapshot.connection.execute(_statement(scope, search, "all", (leader,))).all()
    sets = tuple(filter(_is_indexed, search.comparisons))
    if len(sets) < 2:
        return _walked(snapshot, scope, search)
    try:
        with snapshot.bounded(MOST_STEPS):
            return _walked(snapshot, scope, search)
    except TooManySteps:
        return snapshot.connection.execute(_statement(scope, search, "all", sets)).all()


def _walked(snapshot: Snapshot, scope: _Scope, search: Search) -> Sequence[Any]:
    found: list[Any] = []
    after = search.after
    for part in _parts(search):
        rest = msgspec.structs.replace(search, after=after, limit=search.limit - len(found))
        found += snapshot.connection.execute(_statement(scope, rest, part)).all()
        if len(found) == search.limit:
            break
        after = None
    return found


def _parts(search: Search) -> Iterator[Part]:
    """An index has the values of a key in their order, but not the runs that have none: those are asked for apart."""
    first = search.orders[0]
    if first.entity == "attribute" and not _COLUMNS[first.key].nullable:
        yield "all"
        return
    if search.after is None or search.after[:1] == [0]:
        yield "valued"
    if not any(map(_needs_value(first), search.comparisons)):
        yield "rest"


def _needs_value(order: Order) -> Any:
    """A test for comparisons that no run passes that has no value for the order's key, and no run whose metric is NaN."""
    return lambda one: (one.entity, one.key) == (order.entity, order.key) and one.operator not in ("!=", "IS NULL", "IS NOT NULL")


def _statement(scope: _Scope, search: Search, part: Part, leaders: tuple[Comparison, ...] = ()) -> sa.Select[Any]:
    first, *more = search.orders
    query, keys, series = _ordered(sa.select(RUNS.c.run_id), first, scope, part)
    for order in more:
        query, added, _ = _ordered(query, order, scope, "all")
        keys += added
    for comparison in search.comparisons:
        if series is not None and (comparison.entity, comparison.key) == ("metric", first.key):
            query = query.where(compared_number(series.c.latest_value, comparison.operator, comparison.value))
    others = tuple(one for one in search.comparisons if series is None or (one.entity, one.key) != ("metric", first.key))
    rest = msgspec.structs.replace(search, comparisons=others)
    query = _filtered(query, scope, rest, leaders, is_bound=part == "valued" and first.entity != "attribute")
    return paged(query, [*keys, SortKey(RUNS.c.run_id)], search.after, search.limit)


def _leader(snapshot: Snapshot, scope: _Scope, search: Search) -> Comparison | None:
    """The comparison with the fewest matches, where they are few enough to be sorted."""
    first = search.orders[0]
    has_range = first.entity == "metric" and any(map(_needs_value(first), search.comparisons))
    least, found = MOST_LED_BESIDE_RANGE if has_range else MOST_LED, None
    for comparison in search.comparisons:
        if not _is_indexed(comparison) or (has_range and (comparison.entity, comparison.key) == ("metric", first.key)):
            continue
        counted = sa.select(sa.func.count()).select_from(_matches(comparison, scope).limit(least).subquery())
        count = snapshot.connection.execute(counted).scalar_one()
        if count < least:
            least, found = count, comparison
    return found


def _is_indexed(comparison: Comparison) -> bool:
    """Whether an index has the comparison's matches and nothing else."""
    operator = comparison.operator
    match comparison.entity:
        case "metric":
            return operator != "!="
        case "parameter" | "tag":
            return operator == "=" or (operator == "LIKE" and bool(like_start(comparison.value)))
        case "dataset":
            return operator in ("=", "IN")
        case "attribute":
            return (comparison.key in ("run_id", "run_name") and operator == "=") or (comparison.key == "run_id" and operator == "IN")


def _matches(comparison: Comparison, scope: _Scope) -> sa.Select[Any]:
    """The ids of the runs that pass a comparison that has an index."""
    if comparison.entity == "attribute":
        mine = one_of(RUNS.c.experiment_id, scope.experiment_ids)
        lifecycles = one_of(RUNS.c.lifecycle, View.ALL.lifecycles)
        return sa.select(RUNS.c.run_id).where(mine, lifecycles, _condition(comparison, scope))
    if comparison.entity == "dataset":
        inputs = RUN_DATASET_INPUTS
        joined = sa.select(inputs.c.run_id).join(RUN_DATASETS, RUN_DATASETS.c.dataset_id == inputs.c.dataset_id)
        return joined.where(one_of(RUN_DATASETS.c.experiment_id, scope.experiment_ids), _dataset_matches(comparison, scope))
    table = _table_of(comparison)
    keyed = one_of(table.c.experiment_id, scope.experiment_ids) & (table.c.key == comparison.key)
    return sa.select(table.c.run_id).where(keyed, _row_matches(table.c, comparison, scope))


def _condition(comparison: Comparison, scope: _Scope) -> Condition:
    """Whether a run passes a comparison, asked of the run at hand."""
    if comparison.entity == "attribute":
        column = _COLUMNS[comparison.key]
        if comparison.key in _TIMES:
            return compared_milliseconds(column, comparison.operator, comparison.value)
        return compared_text(column, comparison.operator, comparison.value, scope.dialect)
    if comparison.entity == "dataset":
        inputs = RUN_DATASET_INPUTS
        joined = sa.exists(inputs.c.run_id).where(inputs.c.run_id == RUNS.c.run_id, inputs.c.dataset_id == RUN_DATASETS.c.dataset_id)
        return joined.where(_dataset_matches(comparison, scope)).correlate(RUNS)
    table = _table_of(comparison).alias()
    there = sa.exists(table.c.run_id).where(table.c.run_id == RUNS.c.run_id, table.c.key == comparison.key).correlate(RUNS)
    if comparison.operator == "IS NULL":
        return ~there
    return there if comparison.operator == "IS NOT NULL" else there.where(_row_matches(table.c, comparison, scope))


def _table_of(comparison: Comparison) -> sa.Table:
    if comparison.entity == "metric":
        return RUN_SERIES
    return RUN_PARAMS if comparison.entity == "parameter" else RUN_TAGS


def _row_matches(columns: Any, comparison: Comparison, scope: _Scope) -> Condition:
    if comparison.entity != "metric":
        return text_matches(columns, comparison, scope.dialect)
    value = compared_number(columns.latest_value, comparison.operator, comparison.value)
    # A NaN, kept as 0, is unequal to every number and otherwise compares with none.
    if comparison.operator == "!=":
        return sa.or_(value, columns.latest_is_nan == sa.true())
    return sa.and_(columns.latest_is_nan == sa.false(), value)


def _dataset_matches(comparison: Comparison, scope: _Scope) -> Condition:
    column = RUN_DATASET_INPUTS.c.context if comparison.key == "context" else RUN_DATASETS.c[comparison.key]
    return compared_text(column, comparison.operator, comparison.value, scope.dialect)


_Ordered = tuple[sa.Select[Any], list[SortKey], sa.FromClause | None]


def _ordered(query: sa.Select[Any], order: Order, scope: _Scope, part: Part) -> _Ordered:
    """The query with what it is ordered by, the sort keys, and the metric's table where every run has a row of it."""
    if order.entity == "metric":
        return _by_metric(query, order, scope, part)
    if order.entity == "attribute":
        column = _COLUMNS[order.key]
        if not column.nullable:
            return query, [SortKey(column, order.is_ascending)], None
        narrowed = query if part == "all" else query.where(column.is_not(None) if part == "valued" else column.is_(None))
        return narrowed, _ranked(part, column.is_(None), [column], 0, order), None
    table = (RUN_PARAMS if order.entity == "parameter" else RUN_TAGS).alias()
    same = (table.c.run_id == RUNS.c.run_id) & (table.c.key == order.key)
    if part == "valued":
        query = query.join(table, same & one_of(table.c.experiment_id, scope.experiment_ids))
    else:
        query = query.outerjoin(table, same)
        query = query if part == "all" else query.where(table.c.value.is_(None))
    # The start of a text is in the index; texts that start alike are few.
    return query, _ranked(part, table.c.value.is_(None), [table.c.value_start, table.c.value], "", order), None


def _ranked(part: Part, is_missing: Condition, columns: Sequence[sa.ColumnElement[Any]], filler: str | int, order: Order) -> list[SortKey]:
    """The keys that put runs without a value last in either direction; the same number of them in every part."""
    if part == "rest":
        return [SortKey(_constant(1), is_constant=True), *(SortKey(_constant(filler), is_constant=True) for _ in columns)]
    if part == "valued":
        return [SortKey(_constant(0), is_constant=True), *(SortKey(column, order.is_ascending) for column in columns)]
    filled = [SortKey(sa.func.coalesce(column, filler), order.is_ascending) for column in columns]
    return [SortKey(sa.case((is_missing, 1), else_=0)), *filled]


def _constant(value: str | int) -> sa.ColumnElement[Any]:
    return sa.literal_column(repr(value))


def _by_metric(query: sa.Select[Any], order: Order, scope: _Scope, part: Part) -> _Ordered:
    """Values first, then NaN, then runs without the metric."""
    series = RUN_SERIES.alias()
    same = (series.c.run_id == RUNS.c.run_id) & (series.c.key == order.key)
    value, is_nan = series.c.latest_value, series.c.latest_is_nan == sa.true()
    if part == "valued":
        there = one_of(series.c.experiment_id, scope.experiment_ids) & (series.c.latest_is_nan == sa.false())
        return query.join(series, same & there), [SortKey(_constant(0), is_constant=True), SortKey(value, order.is_ascending)], series
    rank = sa.case((is_nan, 1), (value.is_(None), 2), else_=0)
    joined = query.outerjoin(series, same)
    if part == "rest":
        joined = joined.where(sa.or_(value.is_(None), is_nan))
    return joined, [SortKey(rank), SortKey(sa.func.coalesce(value, 0.0), order.is_ascending)], None
