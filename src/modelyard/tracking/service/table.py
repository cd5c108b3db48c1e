"""Use cases of the table of runs: which columns there are, how many runs a filter finds, groups of them, one column's values."""

from collections.abc import Sequence

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.errors import InvalidInput
from modelyard.storage.database import Snapshot
from modelyard.tracking.domain import Asked, ExperimentId, Run
from modelyard.tracking.grammar import RUNS, parse_filter, parse_orders
from modelyard.tracking.rules.groups import Spreads, ordered, partition, spreads
from modelyard.tracking.rules.table import (
    ATTRIBUTES,
    COLUMNS_AT_FIRST,
    FIRST_ATTRIBUTES,
    GROUPABLE,
    Cell,
    ColumnName,
    column_of,
    kind_of,
    unknown_names,
)
from modelyard.tracking.service.guard import visible_ids
from modelyard.tracking.service.runs import search_facts
from modelyard.tracking.store import columns, groups
from modelyard.tracking.store.runsearch import search_runs
from modelyard.tracking.store.search import Search

MOST_COUNTED = 100_000
MOST_GROUPED = 100_000
MOST_GROUPS = 100
MOST_MEASURED = 6


class RowsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Runs with what they have in the columns, and no more of what was logged to them; the token that goes on behind them."""

    columns: tuple[str, ...]
    runs: tuple[Run, ...] = ()
    next: str = ""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A metric's latest values over runs: the lowest, their mean, the highest, and how many runs have one."""

    least: float
    mean: float
    greatest: float
    runs: int


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that have the same in a column: what that is, how many they are, and the spread of each metric asked for."""

    value: str | None
    runs: int
    spreads: tuple[Spread | None, ...]


class Grouping(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked: the runs that a filter finds, by a param, tag, `status` or `user_id`, measured by metrics' keys.

    `by` orders the groups: `value`, `runs`, or a metric's column for its mean; `-` before it for descending.
    """

    filter: str = ""
    column: str
    metrics: tuple[str, ...] = ()
    by: str = "-runs"


class Groups(msgspec.Struct, frozen=True, kw_only=True):
    """Groups of runs, how many there are beyond those, and how many runs were looked at."""

    groups: tuple[Group, ...]
    more: int
    runs: int


def list_columns(snapshot: Snapshot, principal: Principal, experiment_ids: tuple[ExperimentId, ...]) -> tuple[ColumnName, ...]:
    """Every column that runs of those experiments have: attributes, then metrics, params and tags by key."""
    ids = visible_ids(snapshot, principal, experiment_ids)
    found = [f"{kind}.{key}" for kind in columns.KEYED for key in columns.list_keys(snapshot, ids, kind)]
    return tuple(map(column_of, (*ATTRIBUTES, *found)))


def list_rows(
    snapshot: Snapshot, principal: Principal, experiment_ids: tuple[ExperimentId, ...], asked: Asked, names: tuple[str, ...]
) -> RowsPage:
    """The runs that a search finds, with those columns; where none is named, with the first few metrics and params that they have."""
    found, following = search_facts(snapshot, principal, experiment_ids, asked)
    if not names:
        ids = [one.id for one in found]
        first = [f"{kind}.{key}" for kind in ("metrics", "params") for key in columns.first_keys(snapshot, ids, kind, COLUMNS_AT_FIRST)]
        names = (*FIRST_ATTRIBUTES, *first)
    return RowsPage(columns=names, runs=tuple(columns.load_shown(snapshot, found, names)), next=following)


def count_found(snapshot: Snapshot, principal: Principal, experiment_ids: tuple[ExperimentId, ...], text: str) -> int:
    """How many runs of those experiments a filter finds, counted no further than 100,000. Raises FilterInvalid."""
    ids = visible_ids(snapshot, principal, experiment_ids)
    return groups.count_matching(snapshot, ids, parse_filter(text, RUNS), MOST_COUNTED) if ids else 0


def not_there(text: str, known: Sequence[ColumnName]) -> str:
    """What to say where a filter names what no run has, with the nearest name; else nothing. Raises FilterInvalid."""
    return unknown_names(parse_filter(text, RUNS), [one.name for one in known if one.kind != "attribute"])


def group_runs(snapshot: Snapshot, principal: Principal, experiment_ids: tuple[ExperimentId, ...], asked: Grouping) -> Groups:
    """Groups of the runs that the filter finds, the latest hundred thousand of them. Raises FilterInvalid, InvalidInput."""
    if kind_of(asked.column) not in ("param", "tag") and asked.column not in GROUPABLE:
        raise InvalidInput(f"runs are not grouped by {asked.column[:80]!r}", hint=f"take a param, a tag, {' or '.join(GROUPABLE)}")
    ids = visible_ids(snapshot, principal, experiment_ids)
    comparisons = parse_filter(asked.filter, RUNS)
    found = groups.list_matching(snapshot, ids, comparisons, MOST_GROUPED) if ids else []
    parts = partition(found, groups.column_texts(snapshot, ids, asked.column) if found else {})
    metrics = asked.metrics[:MOST_MEASURED]
    measured = {key: spreads(parts, groups.column_numbers(snapshot, ids, key)) for key in metrics} if found else {}
    by = measured.get(asked.by.removeprefix("-").partition(".")[2])
    order = ordered(parts, asked.by, None if by is None else by.mean)
    made = [
        Group(value=parts.values[n], runs=int(parts.counts[n]), spreads=tuple(_spread(measured[key], n) for key in metrics))
        for n in order[:MOST_GROUPS]
    ]
    return Groups(groups=tuple(made), more=max(len(order) - MOST_GROUPS, 0), runs=len(found))


def _spread(found: Spreads, place: int) -> Spread | None:
    runs = int(found.runs[place])
    if not runs:
        return None
    return Spread(least=float(found.least[place]), mean=float(found.mean[place]), greatest=float(found.greatest[place]), runs=runs)


def plotted_cells(
    snapshot: Snapshot, principal: Principal, experiment_ids: tuple[ExperimentId, ...], asked: Asked, names: tuple[str, ...]
) -> tuple[list[str], dict[str, list[Cell]]]:
    """The names of the runs that a search finds, and what they have in some metric and param columns. Raises FilterInvalid."""
    ids = visible_ids(snapshot, principal, experiment_ids)
    search = Search(comparisons=parse_filter(asked.filter, RUNS), orders=parse_orders(asked.order_by, RUNS), limit=asked.limit)
    found = [facts for facts, _ in search_runs(snapshot, ids, search)] if ids else []
    cells = groups.cells_of(snapshot, [facts.id for facts in found], names)
    return [facts.name for facts in found], {name: [cells[name].get(facts.id) for facts in found] for name in names}
