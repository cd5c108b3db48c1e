"""Use cases of the table of runs: which columns there are, how many runs a filter finds, groups of them, one column's values."""

from collections.abc import Mapping, Sequence

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.errors import InvalidInput
from modelyard.storage.database import Snapshot
from modelyard.tracking.domain import ExperimentId, RunId
from modelyard.tracking.grammar import RUNS, parse_filter
from modelyard.tracking.rules.table import ATTRIBUTES, GROUPABLE, ColumnName, column_of, kind_of, unknown_names
from modelyard.tracking.service.guard import visible_ids
from modelyard.tracking.store import columns, groups

MOST_COUNTED = 100_000
MOST_GROUPED = 100_000
MOST_GROUPS = 200
MOST_MEASURED = 6


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
    texts = groups.column_texts(snapshot, ids, asked.column)
    members: dict[str | None, list[RunId]] = {}
    for run_id in found:
        members.setdefault(texts.get(run_id), []).append(run_id)
    numbers = [groups.column_numbers(snapshot, ids, key) for key in asked.metrics[:MOST_MEASURED]]
    made = [
        Group(value=value, runs=len(runs), spreads=tuple(_spread(runs, values) for values in numbers)) for value, runs in members.items()
    ]
    ordered = _ordered(made, asked)
    return Groups(groups=tuple(ordered[:MOST_GROUPS]), more=max(len(ordered) - MOST_GROUPS, 0), runs=len(found))


def _spread(runs: Sequence[RunId], values: Mapping[RunId, float]) -> Spread | None:
    known = [values[run_id] for run_id in runs if run_id in values]
    if not known:
        return None
    return Spread(least=min(known), mean=sum(known) / len(known), greatest=max(known), runs=len(known))


def _ordered(made: list[Group], asked: Grouping) -> list[Group]:
    """The groups in the order asked for; those without a value in it last, ties by value."""
    name, is_falling = asked.by.removeprefix("-"), asked.by.startswith("-")
    ordered = sorted(made, key=lambda one: (one.value is None, _as_people_sort(one.value or "")))
    if name == "value":
        return ordered[::-1] if is_falling else ordered
    place = next((n for n, key in enumerate(asked.metrics) if name == f"metrics.{key}"), None)
    if place is None:
        return sorted(ordered, key=lambda one: -one.runs if is_falling or name != "runs" else one.runs)
    means = {id(one): spread.mean for one in ordered if (spread := one.spreads[place]) is not None}
    return sorted(ordered, key=lambda one: (id(one) not in means, means.get(id(one), 0.0) * (-1 if is_falling else 1)))


def _as_people_sort(text: str) -> tuple[int, float, str]:
    """Numbers by size, before words by letter."""
    try:
        number = float(text)
    except ValueError:
        return (1, 0.0, text)
    return (0, number, text) if number == number else (1, 0.0, text)
