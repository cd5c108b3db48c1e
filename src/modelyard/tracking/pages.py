"""Tracking's pages: experiments, the runs of one, a run. Each is a function from a request to one frozen context."""

from urllib.parse import urlencode

import msgspec

from modelyard.access.domain import Principal, PrincipalId
from modelyard.access.service import principal_names
from modelyard.core.clock import SECOND, Instant
from modelyard.storage.database import Snapshot
from modelyard.tracking import service
from modelyard.tracking.domain import (
    ENVIRONMENT_DIGEST_TAG,
    RUN_NAME_TAG,
    SNAPSHOT_DIGEST_TAG,
    SOURCE_DIGEST_TAG,
    Artifact,
    Experiment,
    ExperimentId,
    FilterInvalid,
    Run,
    RunFacts,
    RunId,
    RunStatus,
    TokenInvalid,
)
from modelyard.tracking.sections import RunCard, RunContributors
from modelyard.web.charts import Chart, Plane, Point, Series, lines
from modelyard.web.pages import Nav, Page, page
from modelyard.web.parts import Link, Pager, Tone

EXPERIMENTS_A_PAGE = 50
RUNS_A_PAGE = 50
MOST_COLUMNS = 8
COLUMNS_AT_FIRST = 4
MOST_FILES = 500
POINTS_OF_A_SPARKLINE = 60
POINTS_OF_A_CHART = 1000
MOST_CHECKED_POINTS = 50_000

TONES: dict[RunStatus, Tone] = {
    RunStatus.RUNNING: "busy",
    RunStatus.SCHEDULED: "idle",
    RunStatus.FINISHED: "good",
    RunStatus.FAILED: "bad",
    RunStatus.KILLED: "warn",
}

_TOLD_ELSEWHERE = frozenset({RUN_NAME_TAG, SOURCE_DIGEST_TAG, ENVIRONMENT_DIGEST_TAG, SNAPSHOT_DIGEST_TAG})


class ExperimentRow(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment, how many active runs it has, and when the latest started."""

    experiment: Experiment
    runs: int
    latest_at: Instant | None


class ExperimentsPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `tracking/experiments.html`. `error` says why the filter was not understood."""

    rows: tuple[ExperimentRow, ...]
    filter: str
    error: str
    pager: Pager


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column of the runs table: a metric or param by the name that filters and orders know it by."""

    name: str
    label: str
    is_metric: bool
    is_shown: bool


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """A run as a row: its facts, how long it took, and its cells in the order of the columns that are shown."""

    facts: RunFacts
    tone: Tone
    duration_s: float | None
    cells: tuple[float | str | None, ...]


class RunsPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `tracking/experiment.html`. `kept` is what the links of the table's heads keep of the query."""

    experiment: Experiment
    rows: tuple[RunRow, ...]
    columns: tuple[Column, ...]
    filter: str
    sort: str
    kept: str
    error: str
    pager: Pager


class MetricRow(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of a run: its latest value, and its course in small."""

    key: str
    value: float | None
    step: int
    points: int
    course: tuple[float | None, ...]
    is_drawn: bool


class FileRow(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a run and where it is downloaded."""

    file: Artifact
    href: str


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `tracking/run.html`.

    `tags` leaves out those that other fields tell. `changed` says whether the run was written to since its end, where that
    was looked at. `user` and `author` are the names of who the client said it was and of who was authenticated.
    """

    run: Run
    user: str
    author: str
    experiment: Experiment
    crumbs: tuple[Link, ...]
    tone: Tone
    duration_s: float | None
    metrics: tuple[MetricRow, ...]
    tags: dict[str, str]
    chart: Chart | None
    files: tuple[FileRow, ...]
    file_count: int
    size_bytes: int
    changed: bool | None
    cards: tuple[RunCard, ...]


def show_experiments(
    snapshot: Snapshot,
    principal: Principal,
    filter: str = "",  # noqa: A002 - the query parameter's word
    page: str = "",
) -> ExperimentsPage:
    """The experiments that the viewer may see, the newest first."""
    error, found = "", service.ExperimentPage(experiments=())
    try:
        found = service.list_experiments(snapshot, principal, filter, EXPERIMENTS_A_PAGE, page)
    except (FilterInvalid, TokenInvalid) as refused:
        error = refused.message
    counts = service.count_runs(snapshot, found.experiments)
    rows = [
        ExperimentRow(experiment=one, runs=runs, latest_at=latest)
        for one in found.experiments
        for runs, latest in (counts.get(one.id, (0, None)),)
    ]
    kept = {"filter": filter} if filter else {}
    pager = Pager(
        said=_said(len(rows), "experiment"),
        first=_address("/experiments", kept) if page else None,
        next=_address("/experiments", {**kept, "page": found.next}) if found.next else None,
    )
    return ExperimentsPage(rows=tuple(rows), filter=filter, error=error, pager=pager)


def show_experiment(  # noqa: PLR0913 - two are injected
    snapshot: Snapshot,
    principal: Principal,
    experiment_id: ExperimentId,
    filter: str = "",  # noqa: A002 - the query parameter's word
    sort: str = "",
    show: tuple[str, ...] = (),
    page: str = "",
) -> RunsPage:
    """The runs of an experiment: those that the filter finds, in the order asked for, with the columns chosen."""
    experiment = service.get_experiment(snapshot, principal, experiment_id)
    error, found = "", service.RunPage(runs=())
    asked = service.Asked(filter=filter, order_by=_order(sort), limit=RUNS_A_PAGE, page=page)
    try:
        found = service.search_runs(snapshot, principal, (experiment.id,), asked)
    except (FilterInvalid, TokenInvalid) as refused:
        error = refused.message
    columns = _columns(found.runs, show)
    query = [("filter", filter)] * bool(filter) + [("show", name) for name in show]
    sorted_query = query + [("sort", sort)] * bool(sort)
    path = f"/experiments/{experiment.id}"
    pager = Pager(
        said=_said(len(found.runs), "run"),
        first=_address(path, sorted_query) if page else None,
        next=_address(path, [*sorted_query, ("page", found.next)]) if found.next else None,
    )
    return RunsPage(
        experiment=experiment,
        rows=tuple(_row(run, columns) for run in found.runs),
        columns=columns,
        filter=filter,
        sort=sort,
        kept=urlencode(query),
        error=error,
        pager=pager,
    )


def show_run(snapshot: Snapshot, principal: Principal, contributors: RunContributors, run_id: RunId, metric: str = "") -> RunPage:
    """A run: what it was made of, what was logged to it, how its metrics went, its files."""
    run = service.get_run(snapshot, principal, run_id)
    experiment = service.get_experiment(snapshot, principal, run.facts.experiment_id)
    curves = {curve.key: curve for curve in service.curves(snapshot, principal, run_id, POINTS_OF_A_CHART)}
    drawn = metric if metric in curves else max(curves, key=lambda key: len(curves[key].steps), default="")
    files = service.list_all_files(snapshot, principal, run_id)
    can_check = run.facts.content_digest is not None and sum(one.points for one in run.metrics) <= MOST_CHECKED_POINTS
    digest = service.current_digest(snapshot, principal, run_id) if can_check else None
    said, author = PrincipalId(run.facts.user), PrincipalId(run.facts.created_by)
    names = principal_names(snapshot, {said, author})
    rows = [
        MetricRow(
            key=one.key,
            value=one.value,
            step=one.step,
            points=one.points,
            course=_course(curves[one.key].values),
            is_drawn=one.key == drawn,
        )
        for one in run.metrics
    ]
    return RunPage(
        run=run,
        user=names[said],
        author=names[author],
        experiment=experiment,
        crumbs=(Link("Experiments", "/experiments"), Link(experiment.name, f"/experiments/{experiment.id}")),
        tone=TONES[run.facts.status],
        duration_s=_duration(run.facts),
        metrics=tuple(rows),
        tags={key: value for key, value in run.tags.items() if key not in _TOLD_ELSEWHERE},
        chart=_chart(curves[drawn]) if drawn and len(curves[drawn].steps) > 1 else None,
        files=tuple(FileRow(file=one, href=_download(run_id, one.path)) for one in files[:MOST_FILES]),
        file_count=len(files),
        size_bytes=sum(one.size_bytes for one in files),
        changed=digest != run.facts.content_digest if can_check else None,
        cards=tuple(card for one in contributors.functions for card in one(snapshot, principal, run)),
    )


PAGES: tuple[Page, ...] = (
    page("/experiments", show_experiments, "tracking/experiments.html", nav=Nav("Build", "Experiments", 20)),
    page("/experiments/{experiment_id}", show_experiment, "tracking/experiment.html", title="Experiment"),
    page("/runs/{run_id}", show_run, "tracking/run.html", title="Run"),
)


def _order(sort: str) -> tuple[str, ...]:
    """The order that a column's name asks for, `-` before it for descending."""
    name = sort.removeprefix("-")
    entity, dot, key = name.partition(".")
    quoted = f"{entity}.`{key}`" if dot else name
    return (f"{quoted} {'DESC' if sort.startswith('-') else 'ASC'}",) if name else ()


def _columns(runs: tuple[Run, ...], chosen: tuple[str, ...]) -> tuple[Column, ...]:
    """The metrics and params of those runs, and which of them are shown: the chosen ones, or the first few."""
    metrics = list(dict.fromkeys(f"metrics.{one.key}" for run in runs for one in run.metrics))
    params = list(dict.fromkeys(f"params.{key}" for run in runs for key in run.params))
    first = {*metrics[:COLUMNS_AT_FIRST], *params[:COLUMNS_AT_FIRST]}
    known = list(dict.fromkeys([*metrics, *params, *(name for name in chosen if name.startswith(("metrics.", "params.")))]))
    shown = set(chosen[:MOST_COLUMNS]) if chosen else first
    return tuple(
        Column(name=name, label=name.partition(".")[2], is_metric=name.startswith("metrics."), is_shown=name in shown) for name in known
    )


def _row(run: Run, columns: tuple[Column, ...]) -> RunRow:
    values: dict[str, float | str | None] = {f"metrics.{one.key}": one.value for one in run.metrics}
    values.update({f"params.{key}": value for key, value in run.params.items()})
    cells = tuple(values.get(column.name) for column in columns if column.is_shown)
    return RunRow(facts=run.facts, tone=TONES[run.facts.status], duration_s=_duration(run.facts), cells=cells)


def _duration(facts: RunFacts) -> float | None:
    return None if facts.ended_at is None else (facts.ended_at - facts.started_at) / SECOND


def _course(values: list[float | None]) -> tuple[float | None, ...]:
    """The values thinned out for a sparkline."""
    step = max(1, len(values) // POINTS_OF_A_SPARKLINE)
    return tuple(values[::step])


def _chart(curve: service.Curve) -> Chart:
    points = [Point(float(step), value) for step, value in zip(curve.steps, curve.values, strict=True)]
    return lines(f"{curve.key} by step", [Series(name=curve.key, points=points)], Plane(x="step", y=curve.key, is_time=False))


def _download(run_id: RunId, path: str) -> str:
    return f"/ajax-api/2.0/mlflow/get-artifact?{urlencode({'run_id': run_id, 'path': path})}"


def _said(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'} on this page"


def _address(path: str, query: "dict[str, str] | list[tuple[str, str]]") -> str:
    return f"{path}?{urlencode(query)}" if query else path
