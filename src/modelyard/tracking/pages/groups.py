"""Groups of runs as a table: what each has in common, how many they are, the spread of the metrics that the table shows."""

import msgspec

from modelyard.access.domain import Principal
from modelyard.storage.database import Snapshot
from modelyard.tracking import service
from modelyard.tracking.domain import ExperimentId
from modelyard.tracking.pages.looks import address
from modelyard.tracking.rules.table import ColumnName, TableView, narrowed, query_of
from modelyard.web.parts import Choice

LONGEST_LINKED = 1000
"""Characters of a value that a group's address may hold: addresses of many thousand are refused, and two hundred fill a page."""


class GroupRow(msgspec.Struct, frozen=True, kw_only=True):
    """A group and where its runs are; nowhere for what the grammar cannot say."""

    group: service.Group
    href: str


class GroupsTable(msgspec.Struct, frozen=True, kw_only=True):
    """The groups by a column. `orders` are the ways to order them: what is ordered by, its word, and whether that is in force."""

    label: str
    metrics: tuple[str, ...]
    orders: tuple[Choice, ...]
    by: str
    rows: tuple[GroupRow, ...]
    more: int
    runs: int


def grouped(
    snapshot: Snapshot,
    principal: Principal,
    ids: tuple[ExperimentId, ...],
    asked: tuple[TableView, tuple[ColumnName, ...]],
    where: tuple[str, str],
) -> GroupsTable:
    """The runs that a view's filter finds by the column that it groups by, with the metrics among the columns shown."""
    view, shown = asked
    metrics = tuple(one.label for one in shown if one.kind == "metric")[: service.MOST_MEASURED]
    by = view.by or "-runs"
    found = service.group_runs(snapshot, principal, ids, service.Grouping(filter=view.filter, column=view.group, metrics=metrics, by=by))
    names = (("value", view.group), ("runs", "Runs"), *((f"metrics.{key}", key) for key in metrics))
    return GroupsTable(
        label=view.group,
        metrics=metrics,
        orders=tuple(
            Choice(address(*where, query_of(view, by=_turned(name, by))), label, by.removeprefix("-") == name) for name, label in names
        ),
        by=by,
        rows=tuple(GroupRow(group=one, href=_href(view, one.value, where)) for one in found.groups),
        more=found.more,
        runs=found.runs,
    )


def _turned(name: str, by: str) -> str:
    """The order by `name`, the other way round where it is in force; counts fall first."""
    if by == name:
        return f"-{name}"
    return name if by == f"-{name}" or name != "runs" else "-runs"


def _href(view: TableView, value: str | None, where: tuple[str, str]) -> str:
    text = narrowed(view.filter, view.group, value) if value is not None and len(value) <= LONGEST_LINKED else None
    return "" if text is None else address(*where, query_of(view, filter=text, group="", by=""))
