"""MLflow's routes about the points of a metric."""

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec

from modelyard.access.domain import Principal
from modelyard.storage.database import Snapshot
from modelyard.tracking import service
from modelyard.tracking.domain import RunId
from modelyard.tracking.rules.series import Points
from modelyard.tracking.wire.codec import Int64, Request, RunRequest
from modelyard.tracking.wire.errors import invalid, missing
from modelyard.tracking.wire.experiments import given
from modelyard.tracking.wire.messages import Number, number
from modelyard.tracking.wire.routing import MlflowRoute, Read
from modelyard.tracking.wire.runs import run_id_of

MOST_BULK_RUNS = 100
MOST_BULK_POINTS = 25_000
MOST_SAMPLED = 2500


class GetHistory(RunRequest, kw_only=True):
    """metrics/get-history"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("run_id", "metric_key")
    metric_key: str | None = None
    page_token: str | None = None
    max_results: Int64 | None = None


class GetHistoryBulk(Request, kw_only=True):
    """metrics/get-history-bulk"""

    run_id: tuple[str, ...] = ()
    metric_key: str | None = None
    max_results: Int64 | None = None


class GetHistorySamples(Request, kw_only=True):
    """metrics/get-history-bulk-interval"""

    run_ids: tuple[str, ...] = ()
    metric_key: str | None = None
    start_step: Int64 | None = None
    end_step: Int64 | None = None
    max_results: Int64 | None = None


class PointMessage(msgspec.Struct, frozen=True):
    """A point: no optional field and made by position, since there may be a hundred thousand in one answer."""

    key: str
    value: Number
    timestamp: int
    step: int


class RunPointMessage(msgspec.Struct, frozen=True):
    """A point and the run it is of."""

    key: str
    value: Number
    timestamp: int
    step: int
    run_id: str


class HistoryAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Points of a metric."""

    metrics: list[PointMessage] | list[RunPointMessage] = []
    next_page_token: str | None = None


class BulkAnswer(msgspec.Struct, frozen=True):
    """Points of a metric in several runs; MLflow tells an empty list as one."""

    metrics: list[RunPointMessage]


def _columns(points: Points) -> tuple[list[Any], list[int], list[int]]:
    """Values, milliseconds and steps; a NaN as the word that protobuf's JSON has for it."""
    values: list[Any] = points.value.tolist()
    if bool((points.value != points.value).any()):
        values = [number(value) for value in values]
    return values, (points.at // 1000).tolist(), points.step.tolist()


def _of_runs(key: str, found: Iterable[tuple[RunId, Points]]) -> list[RunPointMessage]:
    return [RunPointMessage(key, *row, run_id) for run_id, points in found for row in zip(*_columns(points), strict=True)]


def _history(snapshot: Snapshot, principal: Principal, request: GetHistory) -> HistoryAnswer:
    key = given(request.metric_key)
    page = service.metric_history(snapshot, principal, (run_id_of(request), key), request.max_results, request.page_token or "")
    return HistoryAnswer([PointMessage(key, *row) for row in zip(*_columns(page.points), strict=True)], page.next or None)


def _bulk(snapshot: Snapshot, principal: Principal, request: GetHistoryBulk) -> BulkAnswer:
    if not request.run_id:
        raise invalid("GetMetricHistoryBulk request must specify at least one run_id.")
    if len(request.run_id) > MOST_BULK_RUNS:
        raise invalid(
            f"GetMetricHistoryBulk request cannot specify more than {MOST_BULK_RUNS} run_ids. Received {len(request.run_id)} run_ids."
        )
    if request.metric_key is None:
        raise invalid("GetMetricHistoryBulk request must specify a metric_key.")
    asked = request.max_results
    # A number below 0 bounds nothing, as MLflow on SQLite has it.
    most = MOST_BULK_POINTS if asked is None or asked < 0 else min(asked, MOST_BULK_POINTS)
    runs = tuple(map(RunId, request.run_id))
    found = service.histories(snapshot, principal, runs, request.metric_key, most)
    return BulkAnswer(_of_runs(request.metric_key, found.items())[:most])


def _samples(snapshot: Snapshot, principal: Principal, request: GetHistorySamples) -> HistoryAnswer:
    if not request.run_ids:
        raise missing("run_ids")
    if len(request.run_ids) > MOST_BULK_RUNS:
        raise invalid(
            f"GetMetricHistoryBulkInterval request must specify at most {MOST_BULK_RUNS} run_ids. Received {len(request.run_ids)} run_ids. "
            "See the API docs for more information about request parameters."
        )
    if not request.metric_key:
        raise missing("metric_key")
    most = MOST_SAMPLED if request.max_results is None else request.max_results
    if not 1 <= most <= MOST_SAMPLED:
        raise invalid(f"max_results must be between 1 and {MOST_SAMPLED}. See the API docs for more information about request parameters.")
    runs = tuple(map(RunId, request.run_ids))
    found = service.samples(snapshot, principal, runs, request.metric_key, service.Window(most=most, steps=_steps(request)))
    return HistoryAnswer(_of_runs(request.metric_key, [(run_id, found[run_id]) for run_id in runs if run_id in found]))


def _steps(request: GetHistorySamples) -> tuple[int, int] | None:
    first, last = request.start_step, request.end_step
    if first is None and last is None:
        return None
    if first is None or last is None:
        raise invalid("If either start step or end step are specified, both must be specified.")
    if first > last:
        raise invalid(f"end_step must be greater than start_step. Found start_step={first} and end_step={last}.")
    return first, last


def _get(path: str, request: type[Request], action: Read) -> MlflowRoute:
    return MlflowRoute(method="GET", path=f"/mlflow/metrics/{path}", request=request, action=action)


ROUTES = (
    _get("get-history", GetHistory, Read(_history)),
    _get("get-history-bulk", GetHistoryBulk, Read(_bulk)),
    _get("get-history-bulk-interval", GetHistorySamples, Read(_samples)),
)
"""The routes about points."""
