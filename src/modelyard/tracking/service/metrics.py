"""Use cases of metric points: history by page, curves thinned out, and the merging of loose chunks that the worker does."""

import functools
from collections.abc import Sequence

import msgspec

from modelyard.access.domain import Principal, Role
from modelyard.core.errors import InvalidInput
from modelyard.storage.database import Database, Snapshot
from modelyard.tracking.domain import Curve, History, RunId, TokenInvalid
from modelyard.tracking.rules.series import Points, between, by_time, part, sampled, unpacked
from modelyard.tracking.service.guard import get_facts
from modelyard.tracking.sql import fingerprint, token_of, values_of
from modelyard.tracking.store import runs, series

MOST_MERGED_AT_ONCE = 512
SERIES_A_TICK = 64
POINTS_A_PAGE = 10_000
MOST_IN_A_CURVE = 5000
NO_POINTS = unpacked([])


class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Points of a metric by instant, step and value, and the token that goes on behind them; empty on the last page."""

    points: Points
    next: str = ""


def get_history(snapshot: Snapshot, principal: Principal, run_id: RunId, key: str, page: str = "") -> History:
    """The points of a run's metric, ten thousand at a time, and the token that goes on behind them."""
    found = metric_history(snapshot, principal, (run_id, key), POINTS_A_PAGE, page)
    return History(at=found.points.at.tolist(), steps=found.points.step.tolist(), values=_numbers(found.points), next=found.next)


def _numbers(points: Points) -> list[float | None]:
    return [value if value == value else None for value in points.value.tolist()]


def metric_history(
    snapshot: Snapshot, principal: Principal, metric: tuple[RunId, str], limit: int | None = None, page: str = ""
) -> HistoryPage:
    """The points of a run's metric, repeated ones once: all of them, or `limit` behind the page token.

    A run that is not there has none, as MLflow has it.
    """
    run_id, key = metric
    if limit is not None and limit <= 0:
        raise InvalidInput(f"Invalid value {limit} for parameter 'max_results' supplied. It must be a positive integer.")
    points = histories(snapshot, principal, [run_id], key).get(run_id, NO_POINTS)
    mark = fingerprint(run_id, key)
    start = _offset(page, mark)
    if limit is None:
        return HistoryPage(points=part(points, start, None))
    end = start + limit
    # The history only grows, mostly at its end: the place of a point stays unless a late one lands before it.
    return HistoryPage(points=part(points, start, end), next=token_of(mark, [end]) if len(points.at) > end else "")


def _offset(page: str, mark: str) -> int:
    found = values_of(page, mark)
    if found is None:
        return 0
    if len(found) != 1 or not isinstance(found[0], int) or found[0] < 0:
        raise TokenInvalid("Invalid page token: it is of another search")
    return found[0]


def load_points(snapshot: Snapshot, run_ids: Sequence[RunId], key: str) -> dict[RunId, Points]:
    """One metric's points in each run as they were appended, repeated ones included; whoever calls has checked who may see them."""
    ids = series.find_series(snapshot, run_ids, key)
    found = series.load_points(snapshot, list(ids.values())) if ids else {}
    return {run_id: found[ids[run_id]] if run_id in ids else unpacked([]) for run_id in run_ids}


def histories(
    snapshot: Snapshot, principal: Principal, run_ids: Sequence[RunId], key: str, limit: int | None = None
) -> dict[RunId, Points]:
    """One metric's points in several runs, by instant, step and value; runs that are not there have none."""
    found = load_points(snapshot, _visible(snapshot, principal, run_ids), key)
    return {run_id: part(by_time(points), 0, limit) for run_id, points in found.items()}


def _visible(snapshot: Snapshot, principal: Principal, run_ids: Sequence[RunId]) -> list[RunId]:
    known = runs.find_facts(snapshot, run_ids)
    return [run_id for run_id in sorted(known) if principal.may(Role.VIEWER, known[run_id].team_id)]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a metric is wanted: so many points, between two steps where they are given, both among them."""

    most: int
    steps: tuple[int, int] | None = None


def samples(snapshot: Snapshot, principal: Principal, run_ids: Sequence[RunId], key: str, window: Window) -> dict[RunId, Points]:
    """One metric in several runs, by step, evenly thinned out to the window; runs that are not there are left out."""
    found = load_points(snapshot, _visible(snapshot, principal, run_ids), key)
    wanted = {run_id: points if window.steps is None else between(points, *window.steps) for run_id, points in found.items()}
    return {run_id: sampled(points, window.most) for run_id, points in wanted.items()}


def curves(snapshot: Snapshot, principal: Principal, run_id: RunId, most: int = 500) -> list[Curve]:
    """Every metric of a run over its steps, at most `most` points each."""
    get_facts(snapshot, principal, run_id)
    rows = series.list_series(snapshot, run_id)
    found = series.load_points(snapshot, [row.id for row in rows]) if rows else {}
    return [_curve(run_id, row.facts.key, sampled(found[row.id], min(max(most, 1), MOST_IN_A_CURVE))) for row in rows]


def _curve(run_id: RunId, key: str, points: Points) -> Curve:
    return Curve(run_id=run_id, key=key, steps=points.step.tolist(), at=points.at.tolist(), values=_numbers(points))


def tick(database: Database) -> int:
    """Merges loose chunks of series that have many; how many chunks went. The worker calls it now and then."""
    with database.read() as snapshot:
        scattered = series.list_scattered(snapshot, SERIES_A_TICK)
    gone = 0
    for series_id in scattered:
        work = functools.partial(series.merge_chunks, series_id=series_id, most=MOST_MERGED_AT_ONCE)
        while merged := database.write(work):
            gone += merged
    return gone
