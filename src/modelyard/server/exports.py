"""Exports over HTTP: tables of runs and points of metrics, as CSV or Parquet. Owns the bytes alone; who may is the service's business."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from modelyard.core.errors import InvalidInput
from modelyard.server.guard import principal_of
from modelyard.storage.database import Database
from modelyard.tracking.domain import ExperimentId, RunId
from modelyard.tracking.rules.exports import Format
from modelyard.tracking.rules.table import TableView, tidied
from modelyard.tracking.service import ExportAsked, export_history, export_runs
from modelyard.web.binding import gathered, pooled
from modelyard.web.http import transfer_handler
from modelyard.web.operations import Transfer

MEDIA: dict[Format, str] = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
RUNS = Transfer(
    method="GET",
    path="/exports/runs",
    name="export_runs",
    component="tracking",
    about="""The table of runs as its page shows it, all rows: the filter, order and columns of the page's address, streamed.

    `experiment` and `show` may come several times; `filter`, `sort` and `format` once. A text that a spreadsheet would run is
    quoted in CSV.""",
    query={"experiment": "the experiments whose runs are exported"},
    answers="text/csv",
)
HISTORY = Transfer(
    method="GET",
    path="/exports/runs/{run_id}/history",
    name="export_history",
    component="tracking",
    about="""The points of a run's metrics by instant, step and value: of one `key`, or of all. `format` is `csv` or `parquet`.""",
    answers="text/csv",
)


class RunsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What the query of RUNS says beside the view."""

    experiment: tuple[ExperimentId, ...] = ()
    format: Format = "csv"


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What the query of HISTORY says."""

    key: str = ""
    format: Format = "csv"


def runs_export_route(database: Database, pool: ThreadPoolExecutor) -> HTTPRouteHandler:
    """The route of RUNS."""

    async def export(request: Request[Any, Any, Any]) -> Stream:
        given = request.query_params.dict()
        query, view = gathered(RunsQuery, given), tidied(gathered(TableView, given))
        if not query.experiment:
            raise InvalidInput("the query names no experiment", hint="?experiment=ID, which may come several times")
        asked = ExportAsked(experiment_ids=query.experiment, view=view, format=query.format)
        principal = principal_of(request)
        return await _streamed(pool, lambda: export_runs(database, principal, asked), "runs", query.format)

    return transfer_handler(RUNS, export)


def history_export_route(database: Database, pool: ThreadPoolExecutor) -> HTTPRouteHandler:
    """The route of HISTORY."""

    async def export(request: Request[Any, Any, Any]) -> Stream:
        query, run_id = gathered(HistoryQuery, request.query_params.dict()), RunId(str(request.path_params["run_id"]))
        principal = principal_of(request)
        work = _streamed(pool, lambda: export_history(database, principal, run_id, query.key, query.format), "history", query.format)
        return await work

    return transfer_handler(HISTORY, export)


async def _streamed(pool: ThreadPoolExecutor, begin: Callable[[], Iterator[bytes]], name: str, form: Format) -> Stream:
    """What `begin` answers, as a file of that name; what it raises before its first bytes is answered as an error."""
    chunks = await pooled(pool, begin)
    return Stream(chunks, media_type=MEDIA[form], headers={"Content-Disposition": f'attachment; filename="{name}.{form}"'})
