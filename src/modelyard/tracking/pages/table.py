"""The table of runs, of one experiment or of several: columns, order, filter, groups, plots, saved views. Its address is the view."""

import msgspec

from modelyard.access.domain import Principal, Role
from modelyard.core.errors import InvalidInput
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking import service
from modelyard.tracking.domain import (
    Asked,
    Experiment,
    ExperimentId,
    FilterInvalid,
    RunFacts,
    SavedView,
    SavedViewId,
    TokenInvalid,
)
from modelyard.tracking.pages.groups import GroupsTable, grouped
from modelyard.tracking.pages.looks import TONES, address
from modelyard.tracking.pages.plots import PLOTTED, Plotted, drawable, plotted
from modelyard.tracking.rules.table import (
    FIRST_ATTRIBUTES,
    Cell,
    ColumnName,
    TableView,
    cell,
    column_of,
    is_offered,
    is_sortable,
    order_by,
    query_of,
    query_text,
    suggestion,
    tidied,
)
from modelyard.web.pages import Action, Done, action
from modelyard.web.parts import Choice, Link, Pager, Tone

RUNS_A_PAGE = 50
MOST_OFFERED = 400


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """What the address says beside the view: where to go on, which columns to look for, one to move, the saved view it came from."""

    page: str = ""
    find: str = ""
    left: str = ""
    right: str = ""
    saved: str = ""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a column: where it leads, how the table is ordered by it, and its place among the pinned ones, 0 for none."""

    column: ColumnName
    href: str
    order: str
    pin: int
    is_number: bool


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A column that can be shown, whether it is, and whether it stays in view."""

    name: str
    label: str
    kind: str
    is_shown: bool
    is_pinned: bool


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """A run as a row: its facts, how it stands, and its cells in the order of the columns."""

    facts: RunFacts
    tone: Tone
    cells: tuple[Cell, ...]


class SavedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A saved view and where it leads; `is_changed` where it is open and the table is set up otherwise by now."""

    view: SavedView
    href: str
    is_open: bool
    is_changed: bool


class RunsPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `tracking/runs.html`.

    `query` is the canonical query of the view, which saving keeps; `kept` are the fields by which forms keep what they do
    not ask for. `found` counts the runs that the filter finds and `total` all, neither further than `most`.
    """

    experiments: tuple[Experiment, ...]
    names: dict[ExperimentId, str]
    path: str
    view: TableView
    query: str
    kept: tuple[tuple[str, str], ...]
    bare: str
    unfiltered: str
    usual: str
    rows: tuple[RunRow, ...]
    name_href: str
    name_order: str
    heads: tuple[Head, ...]
    columns: tuple[Offer, ...]
    columns_more: int
    find: str
    error: str
    hint: str
    found: int
    total: int
    most: int
    tabs: tuple[Choice, ...]
    group_choices: tuple[Choice, ...]
    groups: GroupsTable | None
    plot: Plotted | None
    saved: tuple[SavedRow, ...]
    exports: tuple[Link, ...]
    compare_all: str
    may_save: bool
    pager: Pager


def show_experiment(snapshot: Snapshot, principal: Principal, experiment_id: ExperimentId, view: TableView, asking: Asking) -> RunsPage:
    """The runs of an experiment: those that the filter finds, in the order asked for, with the columns chosen."""
    experiment = service.get_experiment(snapshot, principal, experiment_id)
    return _page(snapshot, principal, (experiment,), f"/experiments/{experiment.id}", (tidied(view, asking.left, asking.right), asking))


def show_runs(
    snapshot: Snapshot, principal: Principal, view: TableView, asking: Asking, experiment: tuple[ExperimentId, ...] = ()
) -> RunsPage:
    """The runs of several experiments in one table."""
    if not experiment:
        raise InvalidInput("this page shows the runs of experiments, and none was chosen", hint="choose some at /experiments")
    found = tuple(service.get_experiment(snapshot, principal, one) for one in dict.fromkeys(experiment[:20]))
    return _page(snapshot, principal, found, "/runs", (tidied(view, asking.left, asking.right), asking))


def _page(
    snapshot: Snapshot, principal: Principal, experiments: tuple[Experiment, ...], path: str, asked: tuple[TableView, Asking]
) -> RunsPage:
    view, asking = asked
    ids = tuple(one.id for one in experiments)
    fixed = query_text(experiment=ids) if path == "/runs" else ""
    known = service.list_columns(snapshot, principal, ids)
    error, hint, rows, found = _found(snapshot, principal, ids, asked, known)
    shown = tuple(map(column_of, rows.columns if view.show or len(ids) == 1 else ("experiment", *rows.columns)))
    offered, more = _offers(known, shown, view, asking.find)
    total = found if not view.filter else service.count_found(snapshot, principal, ids, "")
    here = query_of(view)
    return RunsPage(
        experiments=experiments,
        names={one.id: one.name for one in experiments},
        path=path,
        view=view,
        query=here,
        bare=address(path, fixed),
        unfiltered=address(path, fixed, query_of(view, filter="")),
        usual=address(path, fixed, query_of(view, show=(), pin=())),
        kept=_kept(view, ids if path == "/runs" else ()),
        rows=tuple(
            RunRow(facts=run.facts, tone=TONES[run.facts.status], cells=tuple(cell(run, one.name) for one in shown)) for run in rows.runs
        ),
        name_href=address(path, fixed, query_of(view, sort=_turned("run_name", view.sort))),
        name_order=_order("run_name", view.sort),
        heads=tuple(_head(one, view, (path, fixed)) for one in shown),
        columns=offered,
        columns_more=more,
        find=asking.find,
        error=error,
        hint=hint,
        found=found,
        total=total,
        most=service.MOST_COUNTED,
        tabs=_tabs(view, path, fixed),
        group_choices=_group_choices(known, view),
        groups=None if error or not view.group else grouped(snapshot, principal, ids, (view, shown), (path, fixed)),
        plot=None if error or not view.plot else _plot(snapshot, principal, ids, (view, shown)),
        saved=_saved(snapshot, principal, experiments, view, (path, asking.saved)),
        exports=_exports(ids, here),
        compare_all=address("/runs/compare", query_text(run=tuple(run.facts.id for run in rows.runs))),
        may_save=principal.may(Role.CONTRIBUTOR, experiments[0].team_id),
        pager=Pager(
            said=f"{len(rows.runs):,} run{'' if len(rows.runs) == 1 else 's'} on this page",
            first=address(path, fixed, here) if asking.page else None,
            next=address(path, fixed, here, page=rows.next) if rows.next else None,
        ),
    )


Found = tuple[str, str, service.RowsPage, int]
"""What is wrong with the filter and what to do about it, the rows of the page, how many there are."""


def _found(
    snapshot: Snapshot, principal: Principal, ids: tuple[ExperimentId, ...], asked: tuple[TableView, Asking], known: tuple[ColumnName, ...]
) -> Found:
    view, asking = asked
    try:
        search = Asked(filter=view.filter, order_by=order_by(view.sort), limit=RUNS_A_PAGE, page=asking.page)
        page = service.list_rows(snapshot, principal, ids, search, view.show)
        count = service.count_found(snapshot, principal, ids, view.filter)
    except (FilterInvalid, TokenInvalid) as refused:
        hint = suggestion(view.filter, [one.name for one in known]) or refused.hint
        return refused.message, hint, service.RowsPage(columns=view.show or FIRST_ATTRIBUTES), 0
    hint = "" if count or not view.filter else service.not_there(view.filter, known)
    return "", hint, page, count


def _kept(view: TableView, ids: tuple[ExperimentId, ...]) -> tuple[tuple[str, str], ...]:
    fields = msgspec.structs.asdict(view)
    values = [(name, one) for name, value in fields.items() for one in ((value,) if isinstance(value, str) else value) if one]
    return (*(("experiment", one) for one in ids), *values)


def _head(column: ColumnName, view: TableView, where: tuple[str, str]) -> Head:
    href = address(*where, query_of(view, sort=_turned(column.name, view.sort))) if is_sortable(column.name) else ""
    pin = view.pin.index(column.name) + 1 if column.name in view.pin else 0
    return Head(
        column=column,
        href=href,
        order=_order(column.name, view.sort),
        pin=pin,
        is_number=column.kind == "metric" or column.name in ("start_time", "duration", "end_time"),
    )


def _order(name: str, sort: str) -> str:
    """How the table is ordered by that column."""
    return "" if sort.removeprefix("-") != name else "descending" if sort.startswith("-") else "ascending"


def _turned(name: str, sort: str) -> str:
    """The order by that column, the other way round where it is in force."""
    return f"-{name}" if sort == name else name


def _offers(known: tuple[ColumnName, ...], shown: tuple[ColumnName, ...], view: TableView, find: str) -> tuple[tuple[Offer, ...], int]:
    """The columns that can be chosen, those that are shown first, and how many more there are."""
    names = {one.name for one in shown}
    rest = [one for one in known if one.name not in names and is_offered(one, find)]
    offered = [*shown, *rest[:MOST_OFFERED]]
    found = tuple(
        Offer(name=one.name, label=one.label, kind=one.kind, is_shown=one.name in names, is_pinned=one.name in view.pin) for one in offered
    )
    return found, max(len(rest) - MOST_OFFERED, 0)


def _tabs(view: TableView, path: str, fixed: str) -> tuple[Choice, ...]:
    """The ways to look at the runs: each leads there with everything else as it is."""
    plain = query_of(view, plot="", group="", by="")
    shapes = (("Table", plain, not view.plot and not view.group),)
    plots = (
        ("Parallel", query_of(view, plot="parallel"), view.plot == "parallel"),
        ("Scatter", query_of(view, plot="scatter"), view.plot == "scatter"),
    )
    return tuple(Choice(value=address(path, fixed, query), label=label, is_on=is_on) for label, query, is_on in (*shapes, *plots))


def _group_choices(known: tuple[ColumnName, ...], view: TableView) -> tuple[Choice, ...]:
    names = ["status", "user_id", *(one.name for one in known if one.kind in ("param", "tag") and is_offered(one, ""))][:MOST_OFFERED]
    if view.group and view.group not in names:
        names.append(view.group)
    return (Choice("", "nothing", not view.group), *(Choice(name, name, name == view.group) for name in names))


def _plot(
    snapshot: Snapshot, principal: Principal, ids: tuple[ExperimentId, ...], asked: tuple[TableView, tuple[ColumnName, ...]]
) -> Plotted:
    view, shown = asked
    search, wanted = Asked(filter=view.filter, order_by=order_by(view.sort), limit=PLOTTED), drawable(view, shown)
    names, columns = service.plotted_cells(snapshot, principal, ids, search, wanted.columns)
    return plotted(view.plot, wanted, names, columns)


def _saved(
    snapshot: Snapshot, principal: Principal, experiments: tuple[Experiment, ...], view: TableView, where: tuple[str, str]
) -> tuple[SavedRow, ...]:
    path, opened = where
    fixed = query_text(experiment=tuple(one.id for one in experiments)) if path == "/runs" else ""
    found = service.list_views(snapshot, principal, experiments[0].id)
    here = query_of(view)
    return tuple(
        SavedRow(
            view=one,
            href=address(path, fixed, one.query, saved=one.id),
            is_open=one.id == opened,
            is_changed=one.id == opened and one.query != here,
        )
        for one in found
        if len(experiments) == 1 or one.experiment_id is None
    )


def _exports(ids: tuple[ExperimentId, ...], here: str) -> tuple[Link, ...]:
    fixed = query_text(experiment=ids)
    return tuple(
        Link(label, address("/api/v1/exports/runs", fixed, here, format=form)) for label, form in (("CSV", "csv"), ("Parquet", "parquet"))
    )


def save_view(  # noqa: PLR0913 - two are injected
    tx: Transaction,
    principal: Principal,
    experiment_id: ExperimentId,
    name: str,
    query: str = "",
    back: str = "",
    is_for_team: bool = False,
) -> Done:
    """Saves the view that the table has under a name."""
    found = service.save_view(tx, principal, experiment_id, name, query, is_for_team=is_for_team)
    path, _, fixed = (back or f"/experiments/{experiment_id}").partition("?")
    return Done(address(path, fixed, found.query, saved=found.id), f"The view {found.name} is saved.")


def delete_view(tx: Transaction, principal: Principal, experiment_id: ExperimentId, view_id: SavedViewId) -> Done:
    """Deletes a saved view."""
    found = service.delete_view(tx, principal, experiment_id, view_id)
    return Done(address(f"/experiments/{experiment_id}", found.query), f"The view {found.name} is deleted.")


ACTIONS: tuple[Action, ...] = (
    action("/experiments/{experiment_id}/views", save_view),
    action("/experiments/{experiment_id}/views/{view_id}/delete", delete_view),
)
